# The target SphynxDeps::onednn, where oneDNN's C header and library are found. Its own package file
# is avoided: Debian's asks for OpenCL, which a CPU build has no use for. Also part of the installed
# package.
if(NOT TARGET SphynxDeps::onednn)
  find_path(SPX_ONEDNN_INCLUDE NAMES oneapi/dnnl/dnnl.h dnnl.h)
  find_library(SPX_ONEDNN_LIBRARY NAMES dnnl)
  if(SPX_ONEDNN_INCLUDE AND SPX_ONEDNN_LIBRARY)
    add_library(SphynxDeps::onednn INTERFACE IMPORTED GLOBAL)
    target_include_directories(SphynxDeps::onednn INTERFACE ${SPX_ONEDNN_INCLUDE})
    target_link_libraries(SphynxDeps::onednn INTERFACE ${SPX_ONEDNN_LIBRARY})
    target_compile_definitions(SphynxDeps::onednn INTERFACE SPX_HAVE_ONEDNN)
  endif()
endif()
