spx_test(test_conv2d SOURCES nn/test_conv2d.c LINK spx_conv2d LABELS threads DEVICES)
spx_test(test_conv2d_ref SOURCES nn/test_conv2d_ref.c LINK spx_conv2d)
# The same cases through each instruction set that the kernels are compiled for.
foreach(isa avx2 portable)
  add_test(NAME test_conv2d_${isa} COMMAND test_conv2d)
  set_tests_properties(test_conv2d_${isa} PROPERTIES
                       ENVIRONMENT "SPHYNX_ISA=${isa};SPX_TEST_DEVICES=cpu")
endforeach()

add_executable(bench_conv2d nn/bench_conv2d.c)
target_link_libraries(bench_conv2d PRIVATE spx_flags spx_conv2d)

if(SPX_HAVE_CUDA OR SPX_CUDA_EMULATED)
  target_sources(bench_conv2d PRIVATE nn/bench_conv2d_cuda.c)
  spx_test(test_conv2d_layouts_cuda LINK spx_conv2d spx_nn_light
           SOURCES nn/test_conv2d_layouts_cuda.c nn/conv2d_fake_library.c)
endif()
if(SPX_HAVE_CUDNN)
  spx_test(test_conv2d_cudnn SOURCES nn/test_conv2d_cudnn.c LINK spx_conv2d)
  target_include_directories(test_conv2d_cudnn SYSTEM PRIVATE ${SPX_CUDNN_INCLUDE}
                                                              ${CUDAToolkit_INCLUDE_DIRS})
endif()
