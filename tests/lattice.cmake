spx_test(test_modq SOURCES lattice/test_modq.c LINK spx_lattice)
spx_test(test_ntt SOURCES lattice/test_ntt.c LINK spx_lattice)
spx_test(test_sampler SOURCES lattice/test_sampler.c LINK spx_lattice m)
# Nanoseconds a transform and a product, every variant; run by hand.
add_executable(bench_ntt lattice/bench_ntt.c)
target_link_libraries(bench_ntt PRIVATE spx_flags spx_lattice PkgConfig::CMOCKA)
