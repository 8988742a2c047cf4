# CUDA: the compiler, the architectures, and spx_cuda_sources. One source, two ways to build it:
#   SPX_CUDA            nvcc, where there is one; without it the build goes on CPU-only
#   SPX_CUDA_EMULATED   a C++ compiler against tests/support/cuda_emulation: kernels run on the CPU,
#                       under sanitizers, slowly; for tests
option(SPX_CUDA "Build for CUDA where nvcc is found" OFF)
option(SPX_CUDA_EMULATED "Build the CUDA sources for the CPU, by emulation (tests only)" OFF)
set(SPX_CUDA_ARCHITECTURES "" CACHE STRING
    "Architectures, as CMAKE_CUDA_ARCHITECTURES; empty: all that nvcc knows from 7.5 on")
set(SPX_HAVE_CUDA OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)

if(SPX_CUDA_EMULATED)
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    message(FATAL_ERROR "the emulation of CUDA switches stacks in x86-64 assembly")
  endif()
  enable_language(CXX)
  add_subdirectory(tests/support/cuda_emulation)
elseif(SPX_CUDA)
  include(CheckLanguage)
  if(NOT CMAKE_CUDA_COMPILER)
    find_program(SPX_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda/bin)
    if(SPX_NVCC)
      set(ENV{CUDACXX} ${SPX_NVCC})
    endif()
  endif()
  set(CMAKE_CUDA_ARCHITECTURES OFF) # said for each target
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    include(SpxCudart)
    set(SPX_HAVE_CUDA ON)
  endif()
endif()

if(SPX_HAVE_CUDA AND NOT SPX_CUDA_ARCHITECTURES)
  # Machine code for each generation this nvcc knows, and PTX for what comes after it: of the last,
  # and of 9.0, whose PTX serves generations between it and the last.
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-code OUTPUT_VARIABLE known)
  foreach(arch 75 80 86 89 90 100 120)
    if(known MATCHES "sm_${arch}\n")
      list(APPEND SPX_CUDA_ARCHITECTURES ${arch}-real)
      set(last ${arch})
      if(arch EQUAL 90)
        list(APPEND SPX_CUDA_ARCHITECTURES 90-virtual)
      endif()
    endif()
  endforeach()
  list(APPEND SPX_CUDA_ARCHITECTURES ${last}-virtual)
  list(REMOVE_DUPLICATES SPX_CUDA_ARCHITECTURES)
endif()

# spx_cuda_sources(TARGET file.cu...): adds them to a room where CUDA is built, which then has
# SPX_HAVE_CUDA defined for itself and for what links it.
function(spx_cuda_sources target)
  if(SPX_CUDA_EMULATED)
    set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS
                                "-x;c++;-Wno-unknown-pragmas") # #pragma unroll
    target_link_libraries(${target} PUBLIC $<BUILD_INTERFACE:spx_cuda_emulation>)
  elseif(SPX_HAVE_CUDA)
    set_target_properties(${target} PROPERTIES CUDA_ARCHITECTURES "${SPX_CUDA_ARCHITECTURES}"
                          CUDA_RUNTIME_LIBRARY Static)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:
      -Xcompiler=-Wall,-Wextra>
      $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${SPX_WERROR}>>:--Werror=all-warnings
      -Xcompiler=-Werror>)
    target_link_libraries(${target} PUBLIC SphynxDeps::cudart)
  else()
    return()
  endif()
  target_sources(${target} PRIVATE ${ARGN})
  target_compile_definitions(${target} PUBLIC SPX_HAVE_CUDA)
endfunction()

