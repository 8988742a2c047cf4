spx_test(test_graph SOURCES graph/test_graph.c LINK spx_graph)
spx_test(test_program SOURCES graph/test_program.c LINK spx_graph LABELS threads)
spx_test(test_ops SOURCES graph/test_ops.c LINK spx_graph)
spx_test(test_tuning SOURCES graph/test_tuning.c LINK spx_graph)
spx_test(test_program_cuda SOURCES graph/test_program_cuda.c LINK spx_graph)
if(SPX_CUDA_EMULATED) # threads, blocks and lanes in other orders
  foreach(order reverse 11)
    add_test(NAME test_program_cuda_${order} COMMAND test_program_cuda)
    set_tests_properties(test_program_cuda_${order} PROPERTIES
                         ENVIRONMENT SPX_EMULATION_ORDER=${order})
  endforeach()
  add_test(NAME test_program_one_lane COMMAND test_program)
  set_tests_properties(test_program_one_lane PROPERTIES ENVIRONMENT SPX_LANES=1)
endif()
