spx_test(test_genotype SOURCES search/test_genotype.c LINK spx_space)
spx_test(test_network SOURCES search/test_network.c LINK spx_space)
spx_test(test_budget SOURCES search/test_budget.c LINK spx_budget)
