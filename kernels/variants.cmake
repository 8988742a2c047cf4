# spx_variants(TARGET file...): compiles each file once per instruction set the engine has code for
# and adds the objects to TARGET. In each, SPX_VARIANT_NAME is the set's name; the op's public entry
# picks one at run time (kernels/base/variant.h), so the library starts on any machine.
#
# -fopenmp-simd: `#pragma omp simd reduction` names the very sums that may be reordered into lanes,
# so no fast-math is needed; it brings no run-time library. -ffp-contract: multiply-adds may fuse.
include(CheckCCompilerFlag)
check_c_compiler_flag("-mavx2 -mfma" SPX_COMPILER_HAS_AVX2)

function(spx_variants target)
  set(sets portable)
  set(flags_portable "")
  if(SPX_COMPILER_HAS_AVX2)
    list(APPEND sets avx2)
    set(flags_avx2 -mavx2 -mfma)
    target_compile_definitions(${target} PRIVATE SPX_HAVE_AVX2=1)
  endif()
  foreach(set IN LISTS sets)
    add_library(${target}_${set} OBJECT ${ARGN})
    target_link_libraries(${target}_${set} PRIVATE spx_flags)
    target_compile_definitions(${target}_${set} PRIVATE SPX_VARIANT_NAME=${set})
    target_compile_options(${target}_${set} PRIVATE
      ${flags_${set}} $<$<CONFIG:Release>:-O3> -fopenmp-simd -ffp-contract=fast)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_${set}>)
  endforeach()
endfunction()
