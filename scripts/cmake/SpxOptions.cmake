# Language level, warnings, sanitizers and the libraries the rooms use.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

set(SPX_SANITIZE "" CACHE STRING "Sanitizers to build with: address,undefined or thread")
option(SPX_WERROR "Warnings are errors" ON)
option(SPX_ENGINE_ONLY "Only kernels and graph, with their tests: libc (and CUDA) is enough" OFF)

add_library(spx_flags INTERFACE)
target_include_directories(spx_flags INTERFACE
  $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}> $<BUILD_INTERFACE:${CMAKE_BINARY_DIR}>)
target_compile_options(spx_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-Wall -Wextra -Wconversion -Wshadow -fno-math-errno
  -fno-trapping-math>
  $<$<AND:$<COMPILE_LANGUAGE:C,CXX>,$<BOOL:${SPX_WERROR}>>:-Werror>
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>)
if(SPX_SANITIZE)
  # These warnings follow the optimiser, which sees less through the checks inserted here.
  target_compile_options(spx_flags INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:
    -fsanitize=${SPX_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all
    -Wno-format-truncation -Wno-maybe-uninitialized -Wno-stringop-overflow>)
  target_link_options(spx_flags INTERFACE -fsanitize=${SPX_SANITIZE})
endif()

# A program never looks for libraries in the folder it is started from: CMake ends the RUNPATH of
# what it builds with an empty component, which the loader reads as ".", unless it may write the
# final one at once. Folders of libraries outside the default path stay in it, as absolute paths.
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)

# What makes a memory fault in a program that strangers talk to harder to use. kernels/nn opts out
# of the stack protector: its loops see no data of strangers but numbers.
if(NOT SPX_SANITIZE)
  include(CheckCCompilerFlag)
  foreach(flag -fstack-protector-strong -fcf-protection)
    string(MAKE_C_IDENTIFIER "SPX_HAVE_${flag}" have)
    check_c_compiler_flag(${flag} ${have})
    if(${have})
      add_compile_options($<$<COMPILE_LANGUAGE:C>:${flag}>)
    endif()
  endforeach()
  if(CMAKE_BUILD_TYPE MATCHES "^(Release|RelWithDebInfo|MinSizeRel)$") # it needs the optimiser
    add_compile_options($<$<COMPILE_LANGUAGE:C>:-U_FORTIFY_SOURCE>
                        $<$<COMPILE_LANGUAGE:C>:-D_FORTIFY_SOURCE=2>)
  endif()
endif()
add_link_options(LINKER:-z,relro LINKER:-z,now)

# Found here once, so that the rooms, the installed package and the summary agree.
find_package(Threads REQUIRED)
if(SPX_ENGINE_ONLY)
  return()
endif()
find_package(PkgConfig REQUIRED)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET GLOBAL jansson)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET GLOBAL libsodium)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET GLOBAL openssl)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET GLOBAL zlib)
pkg_check_modules(PNG REQUIRED IMPORTED_TARGET GLOBAL libpng)
pkg_check_modules(JPEG REQUIRED IMPORTED_TARGET GLOBAL libjpeg) # libjpeg-turbo
pkg_search_module(HDF5 REQUIRED IMPORTED_TARGET GLOBAL "hdf5-serial>=1.10.5" "hdf5>=1.10.5")
