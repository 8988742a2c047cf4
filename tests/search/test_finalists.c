/* Who goes on in a selection, and what it refuses; tests/cli/test_finalists.sh runs whole ones. */
#include "search/evidence/finalists.h"

#include "tests/support/spx_test.h"

SPX_TEST(the_better_half_goes_on_best_first_and_of_equal_ones_the_earlier)
{
    static const struct {
        double loss[5];
        int n, kept, keep[3];
    } c[] = {{{3}, 1, 1, {0}},
             {{3, 2}, 2, 1, {1}},
             {{3, 2, 1}, 3, 2, {2, 1}},
             {{1, 2, 1, 2}, 4, 2, {0, 2}},
             {{5, 4, 3, 2, 1}, 5, 3, {4, 3, 2}}};
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        int keep[5];
        assert_int_equal(spx_halve(c[i].loss, c[i].n, keep), c[i].kept);
        for (int k = 0; k < c[i].kept; k++) {
            assert_int_equal(keep[k], c[i].keep[k]);
        }
    }
}

SPX_TEST(numbers_out_of_range_are_refused_before_anything_is_opened)
{
    static const spx_finalists_options bad[] = {{.pool = 2, .seeds = 5},
                                                {.pool = 65, .extra = -1, .seeds = 5},
                                                {.pool = 8, .extra = 121, .seeds = 5},
                                                {.pool = 8, .seeds = 1},
                                                {.pool = 8, .seeds = 65}};
    json_t *result;
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_FAILS(SPX_EINVAL, spx_finalists_run(&bad[i], &result));
        assert_null(result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(the_better_half_goes_on_best_first_and_of_equal_ones_the_earlier),
        SPX_UNIT(numbers_out_of_range_are_refused_before_anything_is_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
