spx_test(test_graph SOURCES graph/test_graph.c LINK spx_graph)
spx_test(test_program SOURCES graph/test_program.c LINK spx_graph LABELS threads)
spx_test(test_tuning SOURCES graph/test_tuning.c LINK spx_graph)
