/* What channels and positions are kept: the best sum within the budget, ties by place. */
#define _DEFAULT_SOURCE
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "search/prune/prune_private.h"
#include "tests/support/fresh_seed.h"
#include "tests/support/spx_test.h"

static double value(const spx_choose_item *item, size_t n, int64_t *size)
{
    double sum = 0;
    *size = 0;
    for (size_t i = 0; i < n; i++) {
        sum += item[i].keep ? (double)item[i].score : 0.0;
        *size += item[i].keep ? item[i].size : 0;
    }
    return sum;
}

SPX_TEST(the_best_sum_within_the_budget_is_kept)
{
    SPX_UNUSED;
    const uint64_t seed = spx_fresh_seed();
    for (uint64_t t = 0; t < (spx_test_whole_tables() ? 300 : 30); t++) {
        spx_choose_item item[12], tried[12];
        spx_rng r;
        int64_t size, all = 0;
        double best = 0;
        spx_rng_init(&r, seed, SPX_RNG_TEST, t);
        const size_t n = 1 + spx_rng_below(&r, 12);
        for (size_t i = 0; i < n; i++) {
            item[i] = (spx_choose_item){.size = 3 * ((int64_t)1 << 2 * spx_rng_below(&r, 3)),
                                        .score = (float)spx_rng_below(&r, 20)};
            all += item[i].size;
        }
        const int64_t budget = (int64_t)spx_rng_below(&r, (uint32_t)all + 2);
        memcpy(tried, item, sizeof item);
        for (uint32_t k = 0; k < (uint32_t)1 << n; k++) {
            for (size_t i = 0; i < n; i++) {
                tried[i].keep = k >> i & 1;
            }
            const double sum = value(tried, n, &size);
            best = size <= budget && sum > best ? sum : best;
        }
        CHECK_OK(spx_choose(item, n, budget));
        assert_true(value(item, n, &size) == best);
        assert_true(size <= budget);
    }
}

/* Positions: all of size 1, more of them than SPX_CHOOSE_UNITS. */
SPX_TEST(of_one_size_exactly_the_budget_is_kept_and_ties_go_to_the_lower_index)
{
    SPX_UNUSED;
    enum { N = 2 * SPX_CHOOSE_UNITS + 1000, KEEP = SPX_CHOOSE_UNITS + 500 };
    spx_choose_item *item;
    size_t kept = 0;
    CHECK_OK(SPX_NEW(item, N));
    for (size_t i = 0; i < N; i++) {
        item[i] = (spx_choose_item){.size = 1, .score = i % 4 == 3 ? 2.0f : 1.0f};
    }
    CHECK_OK(spx_choose(item, N, KEEP));
    for (size_t i = 0; i < N; i++) {
        kept += item[i].keep;
        /* a quarter is better than the rest, of which the first are taken */
        const size_t before = i - i / 4; /* of the rest */
        assert_int_equal(item[i].keep, i % 4 == 3 || before < KEEP - N / 4);
    }
    assert_int_equal(kept, KEEP);
    CHECK_OK(spx_choose(item, N, 0));
    assert_false(item[3].keep);
    CHECK_OK(spx_choose(item, N, N));
    assert_true(item[0].keep && item[N - 1].keep);
    spx_free(item);
    CHECK_OK(spx_choose(NULL, 0, 7));
}

/* Sizes without a common measure are rounded up: never above the budget, and close to it. */
SPX_TEST(odd_sizes_stay_within_the_budget)
{
    SPX_UNUSED;
    enum { N = 40 };
    spx_choose_item item[N];
    int64_t size;
    for (int64_t i = 0; i < N; i++) {
        item[i] = (spx_choose_item){.size = 1000003 + 7919 * i, .score = (float)(1 + i % 5)};
    }
    CHECK_OK(spx_choose(item, N, 20 * 1100000));
    assert_true(value(item, N, &size) > 0);
    assert_in_range(size, 19 * 1000003, 20 * 1100000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SPX_UNIT(the_best_sum_within_the_budget_is_kept),
        SPX_UNIT(of_one_size_exactly_the_budget_is_kept_and_ties_go_to_the_lower_index),
        SPX_UNIT(odd_sizes_stay_within_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
