spx_test(test_comm SOURCES comm/test_comm.c LINK spx_comm)
