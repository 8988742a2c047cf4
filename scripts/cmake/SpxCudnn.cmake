# cuDNN 9: only its headers are needed to build; the library is looked for when it is first used.
# cudnn_graph.h came with version 9.
set(SPX_HAVE_CUDNN OFF)
if(SPX_HAVE_CUDA)
  find_path(SPX_CUDNN_INCLUDE cudnn_graph.h
    HINTS ${CUDNN_ROOT} ENV CUDNN_ROOT ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES include
    DOC "Folder of cuDNN's headers")
  if(SPX_CUDNN_INCLUDE)
    file(STRINGS ${SPX_CUDNN_INCLUDE}/cudnn_version.h lines REGEX "#define CUDNN_(MAJOR|MINOR) ")
    string(REGEX REPLACE "[^0-9;]" "" lines "${lines}")
    list(JOIN lines "." SPX_CUDNN_VERSION)
    if(SPX_CUDNN_VERSION VERSION_GREATER_EQUAL 9 AND SPX_CUDNN_VERSION VERSION_LESS 10)
      set(SPX_HAVE_CUDNN ON)
    endif()
  endif()
endif()
