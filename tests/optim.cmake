spx_test(test_optim SOURCES optim/test_optim.c LINK spx_optim LABELS threads)
if(SPX_HAVE_CUDA OR SPX_CUDA_EMULATED)
  spx_test(test_optim_cuda SOURCES optim/test_optim_cuda.c LINK spx_optim)
endif()
