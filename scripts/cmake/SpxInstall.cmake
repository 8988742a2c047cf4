# The installed tree: bin/sphynx, lib/libspx_*.a, include/sphynx, and two ways of finding them:
# find_package(sphynx) with the targets sphynx::<room> and sphynx::sphynx, and pkg-config.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(rooms GLOBAL PROPERTY SPX_ROOMS)
list(REMOVE_ITEM rooms spx_cli) # the program's own
add_library(spx_all INTERFACE)
target_link_libraries(spx_all INTERFACE ${rooms})
set_target_properties(spx_all PROPERTIES EXPORT_NAME sphynx)
set_target_properties(spx_nn PROPERTIES EXPORT_NAME nn)

install(TARGETS sphynx RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS ${rooms} spx_nn spx_all EXPORT sphynx
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT sphynx FILE sphynxTargets.cmake NAMESPACE sphynx::
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/sphynx)

# Public headers: not those of the program, not *_private.h, nor what needs nvcc.
file(GLOB_RECURSE headers RELATIVE ${CMAKE_SOURCE_DIR} CONFIGURE_DEPENDS
     kernels/*.h host/*.h data/*.h search/*.h)
list(FILTER headers EXCLUDE REGEX "^host/cli/|_private\\.h$|/launch_cuda\\.h$")
foreach(header IN LISTS headers)
  get_filename_component(folder ${header} DIRECTORY)
  install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sphynx/${folder})
endforeach()

install(DIRECTORY search/final/recipes/ DESTINATION ${CMAKE_INSTALL_DATADIR}/sphynx/recipes
        FILES_MATCHING PATTERN "*.ini")

set(package ${CMAKE_BINARY_DIR}/package)
configure_package_config_file(scripts/cmake/sphynxConfig.cmake.in ${package}/sphynxConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/sphynx)
write_basic_package_version_file(${package}/sphynxConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)

set(cuda_link "")
if(SPX_HAVE_CUDA)
  get_target_property(cudart CUDA::cudart_static IMPORTED_LOCATION)
  set(cuda_link " ${cudart} -lrt -ldl -lstdc++")
endif()

# The libraries are static, so what they need is part of Libs and Requires, not of the private ones.
# A room links only rooms defined before it: the reverse of that order suits the linker.
set(SPX_PC_LIBS "")
foreach(room IN LISTS rooms)
  string(PREPEND SPX_PC_LIBS " -l${room}")
endforeach()
string(APPEND SPX_PC_LIBS "${cuda_link} -lm -pthread")
set(SPX_PC_REQUIRES "jansson libsodium openssl zlib libpng libjpeg ${HDF5_MODULE_NAME}")
# Relative to the file itself: the prefix is chosen at install time, and the tree may be moved.
file(RELATIVE_PATH SPX_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(scripts/cmake/sphynx.pc.in ${package}/sphynx.pc @ONLY)

install(FILES scripts/cmake/SpxCudart.cmake
              ${package}/sphynxConfig.cmake
              ${package}/sphynxConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/sphynx)
install(FILES ${package}/sphynx.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
