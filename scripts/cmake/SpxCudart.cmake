# The target SphynxDeps::cudart: CUDA's runtime, linked statically, so that a program starts on
# machines without a driver and finds no device there. Also part of the installed package.
if(NOT TARGET SphynxDeps::cudart)
  find_package(CUDAToolkit REQUIRED)
  add_library(SphynxDeps::cudart INTERFACE IMPORTED GLOBAL)
  target_link_libraries(SphynxDeps::cudart INTERFACE CUDA::cudart_static)
endif()
