spx_test(test_genotype SOURCES search/test_genotype.c LINK spx_space)
spx_test(test_network SOURCES search/test_network.c LINK spx_space)
spx_test(test_budget SOURCES search/test_budget.c LINK spx_budget)
spx_test(test_sites SOURCES search/test_sites.c LINK spx_budget)
spx_test(test_relu_sites SOURCES search/test_relu_sites.c LINK spx_prune)
spx_test(test_import SOURCES search/test_import.c LINK spx_final)
add_dependencies(test_import sphynx)
target_compile_definitions(test_import PRIVATE
  SPHYNX="$<TARGET_FILE:sphynx>" GOLDEN_DIR="${CMAKE_CURRENT_SOURCE_DIR}/golden")
