# The lattice side: modular arithmetic, transforms, samplers. Fast files are compiled for their own
# instruction set; ntt.c picks at run time.
include(CheckCCompilerFlag)
spx_room(lattice SOURCES modq.c ntt.c ntt_ref.c sampler.c LINK spx_base)
foreach(set avx2 ifma)
  set(flags_avx2 -mavx2 -mfma)
  set(flags_ifma -mavx512f -mavx512vl -mavx512dq -mavx512ifma)
  string(TOUPPER ${set} name)
  list(JOIN flags_${set} " " flags)
  check_c_compiler_flag("${flags}" SPX_LATTICE_${name})
  if(SPX_LATTICE_${name})
    target_sources(spx_lattice PRIVATE ntt_${set}.c)
    set_source_files_properties(ntt_${set}.c PROPERTIES
      COMPILE_OPTIONS "${flags_${set}};$<$<CONFIG:Release>:-O3>")
    target_compile_definitions(spx_lattice PRIVATE SPX_HAVE_${name}=1)
  endif()
endforeach()
