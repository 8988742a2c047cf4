#include "tests/support/spx_test.h"

#include "kernels/base/rng.h"

/* Known answers of philox4x32-10 from Random123 1.14, tests/kat_vectors: counter, key, result. */
typedef struct kat {
    uint32_t counter[4], key[2], want[4];
} kat;

static const kat kats[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

SPX_TEST(philox_gives_the_published_vectors)
{
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof kats / sizeof kats[0]; i++) {
        const kat *k = &kats[i];
        const uint64_t seed = k->key[0] | (uint64_t)k->key[1] << 32;
        const uint64_t hi = k->counter[1] | (uint64_t)k->counter[2] << 32;
        uint32_t got[4];
        spx_rng_u32x4(seed, k->counter[3], hi, k->counter[0], got);
        assert_memory_equal(got, k->want, sizeof got);
    }
}

SPX_TEST(the_sequential_view_walks_the_blocks_in_order_and_copies_fork)
{
    uint32_t block[4];
    spx_rng r, copy;
    SPX_UNUSED;
    spx_rng_init(&r, 11, SPX_RNG_TEST, 22);
    for (uint32_t i = 0; i < 3; i++) {
        spx_rng_u32x4(11, SPX_RNG_TEST, 22, i, block);
        for (int j = 0; j < 4; j++) {
            copy = r;
            assert_int_equal(spx_rng_u32(&r), block[j]);
            assert_int_equal(spx_rng_u32(&copy), block[j]);
        }
    }
}

SPX_TEST(streams_seeds_and_keys_give_different_draws)
{
    uint32_t a[4], b[4];
    SPX_UNUSED;
    spx_rng_u32x4(1, SPX_RNG_TEST, 1, 1, a);
    spx_rng_u32x4(2, SPX_RNG_TEST, 1, 1, b);
    assert_memory_not_equal(a, b, sizeof a);
    spx_rng_u32x4(1, SPX_RNG_BENCH, 1, 1, b);
    assert_memory_not_equal(a, b, sizeof a);
    spx_rng_u32x4(1, SPX_RNG_TEST, (uint64_t)1 << 32 | 1, 1, b);
    assert_memory_not_equal(a, b, sizeof a);
    spx_rng_u32x4((uint64_t)1 << 32 | 1, SPX_RNG_TEST, 1, 1, b);
    assert_memory_not_equal(a, b, sizeof a);
}

SPX_TEST(integers_below_a_bound_are_uniform)
{
    enum { DRAWS = 70000, BOUND = 7 };
    int count[BOUND] = {0};
    double chi2 = 0;
    spx_rng r;
    SPX_UNUSED;
    spx_rng_init(&r, 1, SPX_RNG_TEST, 0);
    for (int i = 0; i < DRAWS; i++) {
        const uint32_t v = spx_rng_below(&r, BOUND);
        assert_true(v < BOUND);
        count[v]++;
    }
    for (int i = 0; i < BOUND; i++) {
        const double d = count[i] - DRAWS / (double)BOUND;
        chi2 += d * d / (DRAWS / (double)BOUND);
    }
    assert_true(chi2 < 22.46); /* 99.9 % point of chi-square with 6 degrees of freedom */
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(spx_rng_below(&r, 1), 0);
        assert_true(spx_rng_below(&r, 0x80000001u) <= 0x80000000u); /* rejects nearly half */
    }
}

SPX_TEST(uniform_and_normal_have_their_moments)
{
    enum { DRAWS = 100000 };
    double u1 = 0, u2 = 0, n1 = 0, n2 = 0;
    spx_rng r;
    SPX_UNUSED;
    spx_rng_init(&r, 3, SPX_RNG_TEST, 0);
    for (int i = 0; i < DRAWS; i++) {
        const double u = (double)spx_rng_uniform(&r), n = (double)spx_rng_normal(&r);
        assert_true(u >= 0 && u < 1 && fabs(n) < 6); /* sqrt(-2 ln 2^-24) = 5.77 */
        u1 += u / DRAWS;
        u2 += u * u / DRAWS;
        n1 += n / DRAWS;
        n2 += n * n / DRAWS;
    }
    /* five standard deviations: variances 1/12, 4/45, 1 and 2 over the number of draws */
    assert_true(fabs(u1 - 0.5) <= 5 * sqrt(1 / 12.0 / DRAWS));
    assert_true(fabs(u2 - 1 / 3.0) <= 5 * sqrt(4 / 45.0 / DRAWS));
    assert_true(fabs(n1) <= 5 * sqrt(1.0 / DRAWS));
    assert_true(fabs(n2 - 1) <= 5 * sqrt(2.0 / DRAWS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(philox_gives_the_published_vectors),
        SPX_UNIT(the_sequential_view_walks_the_blocks_in_order_and_copies_fork),
        SPX_UNIT(streams_seeds_and_keys_give_different_draws),
        SPX_UNIT(integers_below_a_bound_are_uniform),
        SPX_UNIT(uniform_and_normal_have_their_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
