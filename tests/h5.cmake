spx_test(test_h5_file SOURCES h5/test_h5_file.c LINK spx_h5)
spx_test(test_h5_apart SOURCES h5/test_h5_apart.c LINK spx_h5)
