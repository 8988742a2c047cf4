spx_test(test_he SOURCES he/test_he.c LINK spx_he m LABELS threads)
spx_test(test_he_noise SOURCES he/test_he_noise.c LINK spx_he m)
