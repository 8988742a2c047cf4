# Ops of integers and of what is made once, on the CPU alone.
foreach(op conv2d_ring matmul_f64)
  spx_test(test_${op} SOURCES nn/test_${op}.c LINK spx_nn_light LABELS threads)
endforeach()
# All others on every device, by the names of their files: test_<op> is the CPU's run,
# test_<op>_cuda that of CUDA, real or emulated.
file(GLOB ops RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}/nn CONFIGURE_DEPENDS
     ${CMAKE_CURRENT_SOURCE_DIR}/nn/test_*.c)
list(FILTER ops EXCLUDE REGEX "conv2d|matmul_f64|_cuda")
list(TRANSFORM ops REPLACE "^test_(.*)\\.c$" "\\1")
foreach(op IN LISTS ops)
  spx_test(test_${op} SOURCES nn/test_${op}.c LINK spx_nn_light LABELS threads DEVICES)
endforeach()
# Throughput beside a copy; run by hand.
add_executable(bench_ops nn/bench_ops.c)
target_link_libraries(bench_ops PRIVATE spx_flags spx_nn_light spx_optim)
add_executable(bench_conv2d_ring nn/bench_conv2d_ring.c)
target_link_libraries(bench_conv2d_ring PRIVATE spx_flags spx_nn_light)
if(SPX_HAVE_CUDA OR SPX_CUDA_EMULATED)
  spx_test(test_reduction_stress_cuda SOURCES nn/test_reduction_stress_cuda.c LINK spx_nn_light)
endif()
if(SPX_CUDA_EMULATED) # new memory is NaN: no op may count on zeros
  foreach(op IN LISTS ops ITEMS optim)
    add_test(NAME test_${op}_cuda_poisoned COMMAND test_${op})
    set_tests_properties(test_${op}_cuda_poisoned PROPERTIES SKIP_RETURN_CODE 77 LABELS slow
                         ENVIRONMENT "SPX_POISON=ff;SPX_TEST_DEVICES=cuda")
  endforeach()
endif()
