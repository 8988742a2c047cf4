include(${CMAKE_CURRENT_LIST_DIR}/nn/conv2d.cmake)
