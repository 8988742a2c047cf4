/*
 * Statistics against values of scipy 1.17.1 (stats.t.cdf, stats.t.ppf, stats.ttest_ind with
 * equal_var=False, stats.ttest_rel, their confidence_interval), written down as it printed them.
 */
#include "search/evidence/stats.h"

#include "kernels/base/rng.h"
#include "tests/support/spx_test.h"

#define NEAR(got, want) assert_true(fabs((got) - (want)) <= 1e-11 * (1 + fabs(want)))

SPX_TEST(students_distribution_is_scipys)
{
    static const double cdf[][3] = {{0.5, 1, 0.6475836176504333},
                                    {-2.0, 3.7, 0.06090860095261699},
                                    {2.776, 4, 0.9749886108400118},
                                    {1.3, 8.25, 0.885628061999006},
                                    {6.0, 30, 0.9999993028615617}};
    static const double quantile[][3] = {{0.975, 1, 12.706204736174694},
                                         {0.975, 4, 2.7764451051977934},
                                         {0.975, 7.3, 2.345066736547703},
                                         {0.05, 9, -1.8331129326562376},
                                         {0.995, 200, 2.600634436191558}};
    SPX_UNUSED;
    for (int i = 0; i < 5; i++) {
        NEAR(spx_student_cdf(cdf[i][0], cdf[i][1]), cdf[i][2]);
        NEAR(spx_student_quantile(quantile[i][0], quantile[i][1]), quantile[i][2]);
    }
    NEAR(spx_student_cdf(0, 5), 0.5);
}

SPX_TEST(welchs_test_is_scipys)
{
    static const double a[] = {89.07, 88.50, 89.08}, b[] = {89.24, 88.81, 89.23, 88.07};
    spx_difference d;
    SPX_UNUSED;
    NEAR(spx_deviation(a, 3), 0.33201405592735334);
    CHECK_OK(spx_welch(a, 3, b, 4, 0.95, &d));
    NEAR(d.difference / d.error, 0.13681041775055966);
    NEAR(d.df, 4.89252701941135);
    NEAR(d.p, 0.8966316231854368);
    NEAR(d.low, -0.8210673452376573);
    NEAR(d.high, 0.9127340119042975);
}

SPX_TEST(the_paired_test_is_scipys)
{
    static const double a[] = {71.2, 70.9, 71.8, 72.0, 70.4}, b[] = {70.9, 70.95, 71.1, 71.3, 70.2};
    spx_difference d;
    SPX_UNUSED;
    CHECK_OK(spx_paired(a, b, 5, 0.95, &d));
    NEAR(d.difference / d.error, 2.5292679299912635);
    NEAR(d.p, 0.06471503910737643);
    NEAR(d.low, -0.0361589034289192);
    NEAR(d.high, 0.7761589034289227);
}

SPX_TEST(holm_raises_each_by_how_many_are_left_and_keeps_their_order)
{
    double p[] = {0.04, 0.01, 0.03, 0.6};
    SPX_UNUSED;
    CHECK_OK(spx_holm(p, 4, p)); /* by hand: 4 * .01, 3 * .03, max(.09, 2 * .04), .6 */
    NEAR(p[1], 0.04);
    NEAR(p[2], 0.09);
    NEAR(p[0], 0.09);
    NEAR(p[3], 0.6);
}

SPX_TEST(numbers_that_do_not_vary_leave_nothing_to_chance)
{
    static const double a[] = {1, 1}, b[] = {2, 2};
    spx_difference d;
    SPX_UNUSED;
    CHECK_OK(spx_welch(a, 2, b, 2, 0.95, &d));
    assert_true(d.p == 0 && d.low == -1 && d.high == -1);
    CHECK_OK(spx_paired(a, a, 2, 0.95, &d));
    assert_true(d.p == 1 && d.low == 0 && d.high == 0 && spx_deviation(a, 1) == 0);
}

/* Of normal samples the percentile interval is near the normal one, sqrt(n/(n-1)) narrower at most;
 * for 40 and 40 units of deviation 1 that is 1.96 * sqrt(2/40) = 0.438 to each side. */
SPX_TEST(the_bootstrap_of_units_is_near_the_normal_interval)
{
    double a[40], b[40], low, high, again[2];
    const spx_unit_results x = {a, 40}, y = {b, 40};
    spx_rng r;
    SPX_UNUSED;
    spx_rng_init(&r, 5, SPX_RNG_TEST, 0);
    for (int i = 0; i < 40; i++) {
        a[i] = 3 + (double)spx_rng_normal(&r);
        b[i] = (double)spx_rng_normal(&r);
    }
    const double middle = spx_mean(a, 40) - spx_mean(b, 40);
    const double sa = spx_deviation(a, 40), sb = spx_deviation(b, 40);
    const double half = 1.96 * sqrt((sa * sa + sb * sb) / 40);
    CHECK_OK(spx_bootstrap(&x, &y, 1, 4000, 9, 0.95, &low, &high));
    assert_true(fabs(low - (middle - half)) < 0.15 * half);
    assert_true(fabs(high - (middle + half)) < 0.15 * half);
    CHECK_OK(spx_bootstrap(&x, &y, 1, 4000, 9, 0.95, &again[0], &again[1]));
    assert_true(again[0] == low && again[1] == high);
}

/* Units that agree on every image still leave what other images might have given. */
SPX_TEST(the_bootstrap_draws_images_as_well_as_units)
{
    double a[2][50], b[2][50], low, high;
    const spx_unit_results x = {a[0], 2}, y = {b[0], 2};
    SPX_UNUSED;
    for (int i = 0; i < 50; i++) {
        a[0][i] = a[1][i] = i % 2;
        b[0][i] = b[1][i] = 0.25;
    }
    CHECK_OK(spx_bootstrap(&x, &y, 50, 2000, 1, 0.95, &low, &high));
    /* a share of 0.5 of 50 images: 1.96 * sqrt(0.25/50) = 0.139 to each side */
    assert_true(fabs(low - (0.25 - 0.139)) < 0.03 && fabs(high - (0.25 + 0.139)) < 0.03);
}

SPX_TEST(what_is_no_sample_is_refused)
{
    static const double a[] = {1, 2}, bad[] = {1, NAN}, p[] = {1.5};
    double q[1];
    spx_difference d;
    SPX_UNUSED;
    assert_int_equal(spx_welch(a, 1, a, 2, 0.95, &d), SPX_EINVAL);
    assert_int_equal(spx_paired(a, bad, 2, 0.95, &d), SPX_EINVAL);
    assert_int_equal(spx_welch(a, 2, a, 2, 1, &d), SPX_EINVAL);
    assert_int_equal(spx_holm(p, 1, q), SPX_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(students_distribution_is_scipys),
        SPX_UNIT(welchs_test_is_scipys),
        SPX_UNIT(the_paired_test_is_scipys),
        SPX_UNIT(holm_raises_each_by_how_many_are_left_and_keeps_their_order),
        SPX_UNIT(numbers_that_do_not_vary_leave_nothing_to_chance),
        SPX_UNIT(the_bootstrap_of_units_is_near_the_normal_interval),
        SPX_UNIT(the_bootstrap_draws_images_as_well_as_units),
        SPX_UNIT(what_is_no_sample_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
