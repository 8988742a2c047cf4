spx_test(test_h5_file SOURCES h5/test_h5_file.c LINK spx_h5)
