spx_test(test_optim SOURCES optim/test_optim.c LINK spx_optim LABELS threads DEVICES)
