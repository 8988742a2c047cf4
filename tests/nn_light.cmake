# The ops of spx_nn_light, one program each.
foreach(op conv2d_ring matmul_f64 norm_sum)
  spx_test(test_${op} SOURCES nn/test_${op}.c LINK spx_nn_light LABELS threads)
endforeach()
# On every device: test_<op> is the CPU's run, test_<op>_cuda that of CUDA, real or emulated.
set(ops copy drop_mask linear loss pool2d relu softmax)
foreach(op IN LISTS ops)
  spx_test(test_${op} SOURCES nn/test_${op}.c LINK spx_nn_light LABELS threads DEVICES)
endforeach()
# Throughput beside a copy; run by hand.
add_executable(bench_ops nn/bench_ops.c)
target_link_libraries(bench_ops PRIVATE spx_flags spx_nn_light spx_optim)
add_executable(bench_conv2d_ring nn/bench_conv2d_ring.c)
target_link_libraries(bench_conv2d_ring PRIVATE spx_flags spx_nn_light)
# The same ops on CUDA; 77 without a device.
if(SPX_HAVE_CUDA OR SPX_CUDA_EMULATED)
  foreach(op norm_sum reduction_stress)
    spx_test(test_${op}_cuda SOURCES nn/test_${op}_cuda.c LINK spx_nn_light)
  endforeach()
endif()
if(SPX_CUDA_EMULATED) # new memory is NaN: no op may count on zeros
  foreach(op norm_sum optim)
    add_test(NAME test_${op}_cuda_poisoned COMMAND test_${op}_cuda)
    set_tests_properties(test_${op}_cuda_poisoned PROPERTIES ENVIRONMENT SPX_POISON=ff
                         SKIP_RETURN_CODE 77 LABELS slow)
  endforeach()
  foreach(op IN LISTS ops)
    add_test(NAME test_${op}_cuda_poisoned COMMAND test_${op})
    set_tests_properties(test_${op}_cuda_poisoned PROPERTIES SKIP_RETURN_CODE 77 LABELS slow
                         ENVIRONMENT "SPX_POISON=ff;SPX_TEST_DEVICES=cuda")
  endforeach()
endif()
