spx_test(test_he SOURCES he/test_he.c LINK spx_he m)
