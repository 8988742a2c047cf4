/* Products in double. Operands are small integers, so every result is exact. */
#include "tests/support/spx_fixture.h"

#include "kernels/nn/matmul_f64/matmul_f64.h"

static void check(size_t m, size_t n, size_t k, uint64_t seed)
{
    pile mine = {.key = seed};
    spx_rng r;
    const size_t a_step = k + 3, b_step = n + 1, c_step = n + 2;
    double *a = pile_bytes(&mine, m * a_step * sizeof *a);
    double *b = pile_bytes(&mine, k * b_step * sizeof *b);
    double *c = pile_bytes(&mine, m * c_step * sizeof *c);
    double *expected = pile_bytes(&mine, m * c_step * sizeof *c);
    spx_rng_init(&r, seed, SPX_RNG_TEST, 0);
    for (size_t i = 0; i < m * a_step; i++) {
        a[i] = (double)spx_rng_below(&r, 2001) - 1000;
    }
    for (size_t i = 0; i < k * b_step; i++) {
        b[i] = (double)spx_rng_below(&r, 2001) - 1000;
    }
    for (size_t i = 0; i < m * c_step; i++) {
        c[i] = expected[i] = (double)spx_rng_below(&r, 100);
    }
    for (size_t i = 0; i < m * n; i++) {
        for (size_t l = 0; l < k; l++) {
            expected[i / n * c_step + i % n] += a[i / n * a_step + l] * b[l * b_step + i % n];
        }
    }
    spx_matmul_f64(m, n, k, a, a_step, b, b_step, c, c_step);
    assert_memory_equal(c, expected, m * c_step * sizeof *c);
    pile_clear(&mine);
}

SPX_TEST(products_are_exact_at_every_edge_and_leave_gaps_alone)
{
    SPX_UNUSED;
    static const size_t sizes[] = {1, 3, 4, 5, 11, 12, 13, 25, 80};
    for (int isa = 0; isa <= (int)SPX_ISA_AVX2; isa++) {
        assert_int_equal(setenv("SPHYNX_ISA", spx_isa_name((spx_isa)isa), 1), 0);
        for (size_t i = 0; i < 9 * 9 * 3; i++) {
            check(sizes[i % 9], sizes[i / 9 % 9], sizes[i / 81 * 4], i + 1);
        }
    }
    assert_int_equal(unsetenv("SPHYNX_ISA"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(products_are_exact_at_every_edge_and_leave_gaps_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
