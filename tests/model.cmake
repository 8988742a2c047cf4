spx_test(test_deploy SOURCES model/test_deploy.c LINK spx_model LABELS threads)
