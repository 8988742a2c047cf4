spx_test(test_optim SOURCES optim/test_optim.c LINK spx_optim LABELS threads DEVICES)
spx_test(test_muon SOURCES optim/test_muon.c LINK spx_optim LABELS threads DEVICES)
spx_test(test_gates SOURCES optim/test_gates.c LINK spx_optim LABELS threads DEVICES)
