spx_test(test_deploy SOURCES model/test_deploy.c LINK spx_model LABELS threads)
spx_test(test_fold SOURCES model/test_fold.c LINK spx_model spx_space)
