# Every op but conv2d. *_cpu.c: once per instruction set.
include(${CMAKE_SOURCE_DIR}/kernels/variants.cmake)
spx_room(nn_light
  SOURCES
    conv2d_ring/conv2d_ring.c conv2d_ring/conv2d_ring_ref.c
    copy/copy.c
    drop_mask/drop_mask.c
    linear/linear.c linear/linear_ref.c
    loss/loss.c loss/loss_hits.c loss/loss_ref.c
    matmul_f64/matmul_f64.c
    norm_sum/norm_sum.c norm_sum/norm_sum_ref.c
    pool/pool2d.c pool/pool2d_ref.c
    relu/relu.c relu/relu_ref.c
    softmax/softmax.c softmax/softmax_ref.c
  LINK spx_device m)
spx_variants(spx_nn_light
  conv2d_ring/conv2d_ring_dot.c linear/linear_cpu.c matmul_f64/matmul_f64_cpu.c
  norm_sum/norm_sum_cpu.c pool/pool2d_cpu.c relu/relu_cpu.c)
# The same ops on CUDA.
spx_cuda_sources(spx_nn_light
  copy/copy_cuda.cu
  drop_mask/drop_mask_cuda.cu
  linear/linear_tiled_cuda.cu
  loss/loss_cuda.cu
  norm_sum/norm_sum_cuda.cu norm_sum/norm_sum_reduce_cuda.cu
  pool/pool2d_cuda.cu
  relu/relu_cuda.cu
  softmax/softmax_cuda.cu)
if(SPX_HAVE_CUDA OR SPX_CUDA_EMULATED)
  target_sources(spx_nn_light PRIVATE linear/linear_cuda.c)
endif()
# cuBLASLt: only its header is needed to build.
find_file(SPX_CUBLAS_HEADER cublasLt.h HINTS ${CUDAToolkit_INCLUDE_DIRS} NO_DEFAULT_PATH)
mark_as_advanced(SPX_CUBLAS_HEADER)
if(SPX_HAVE_CUDA AND SPX_CUBLAS_HEADER)
  target_sources(spx_nn_light PRIVATE linear/linear_cublas_cuda.c)
  target_compile_definitions(spx_nn_light PRIVATE SPX_HAVE_CUBLAS)
  target_include_directories(spx_nn_light SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(spx_nn_light PRIVATE ${CMAKE_DL_LIBS})
endif()
