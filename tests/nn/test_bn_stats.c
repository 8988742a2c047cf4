/* Batch statistics against their specification in double, on operands that lie in every way. */
#include "tests/support/spx_devices.h"

#include "kernels/nn/norm_sum/norm_sum.h"
#include "kernels/nn/norm_sum/norm_sum_private.h"

typedef struct stats_case {
    size_t n, c, hw, gap;
    float mean, std;
} stats_case;

static const stats_case stats_cases[] = {
    {1, 1, 1, 0, 3, 1},       {64, 3, 1, 2, 1, 2},     {8, 5, 49, 3, 0, 1},
    {3, 2, 1024, 0, 1, 0.1f}, {2, 2, 5000, 9, -1, 3},  {16, 4, 64, 0, 1000, 1},
    {4, 3, 1000, 1, 1000, 1}, {5, 2, 33, 0, -4096, 2},
};
#define STATS_CASES (sizeof stats_cases / sizeof stats_cases[0])

static void check_stats(device_env *e, const stats_case *k, const float *x, tensor_form form,
                        double tol)
{
    const size_t stride = k->c * k->hw + k->gap;
    const spx_norm_dims d = {(int64_t)k->n, (int64_t)k->c, (int64_t)k->hw};
    const device_tensor t = env_tensor(e, x, stride, k->n, k->c, k->hw, form);
    float *out[6], *device[6], *want[6];
    void *scratch = env_scratch(e, spx_bn_stats_workspace(e->s, &d));
    for (int i = 0; i < 6; i++) { /* mean, invstd, two running means, two running variances */
        out[i] = pile_normal(&e->p, k->c, 1, 0.1f);
        want[i] = pile_copy(&e->p, out[i], k->c);
        device[i] = env_floats(e, out[i], k->c);
    }
    CHECK_OK(spx_bn_stats(e->s, &d, t.x, device[0], device[1], 2, device + 2, device + 4, scratch));
    for (int i = 0; i < 6; i++) {
        env_fetch(e, out[i], device[i], k->c * sizeof(float));
    }
    spx_bn_stats_ref(&(spx_bn_stats_args){k->n, k->c, k->hw, x, stride, want[0], want[1], 2,
                                          want + 2, want + 4, 0, 0, NULL});
    for (size_t c = 0; c < k->c; c++) {
        const double std = 1 / (double)want[1][c];
        assert_true(fabs((double)out[0][c] - (double)want[0][c]) <=
                    tol * std + 2 * SPX_U * fabs((double)want[0][c]));
        assert_true(fabs((double)out[1][c] / (double)want[1][c] - 1) <= tol / 2 + 2 * SPX_U);
    }
    for (int i = 2; i < 6; i++) {
        CHECK_CLOSE(out[i], want[i], k->c, tol + 4 * SPX_U);
    }
}

/*
 * CPU: sums run over x - shift in chunks of at most 1024 pixels: rounding errors of random sign add
 * up to below 4*sqrt(1024) u (Higham and Mary 2019). CUDA: a thread's sums are of 64 values at most
 * here, and at most 256 rows of threads are joined, in f32: 4*sqrt(64 + 256) u.
 */
static double stats_rounding(const device_env *e)
{
    return 4 * (e->cuda ? 18 : 32) * SPX_U;
}

static void stats_cases_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < 3 * STATS_CASES; i++) {
        stats_case k = stats_cases[i / 3];
        k.c = i % 3 == 2 ? 4 * k.c : k.c;
        k.hw = i % 3 == 1 ? (k.hw + 3) / 4 * 4 : k.hw;
        const size_t all = k.n * (k.c * k.hw + k.gap);
        float *x = pile_normal(&e->p, all, k.mean, k.std);
        round_to_type(e->type, x, all);
        for (int form = 0; form < FORMS && (e->cuda || i % 3 == 0); form++) {
            /* the shift is a row's mean or a value, at most 4 deviations from the mean, so that
             * sum2 - sum^2/m loses at most a factor 1 + 16; invstd takes half of that */
            check_stats(e, &k, x, (tensor_form)form, 17 * stats_rounding(e));
        }
        env_clear(e);
    }
}

SPX_TEST(statistics_survive_a_mean_a_thousand_times_the_deviation)
{
    SPX_UNUSED;
    on_each(stats_cases_body, NULL);
}

/* The first pixel, row or image alone lies far off: the worst shift there is. */
static void outlier_body(device_env *e, void *ctx)
{
    const stats_case k = {64, 3, 64, 0, 0, 1};
    const size_t all = k.n * k.c * k.hw, far[] = {1, k.hw, k.c * k.hw};
    (void)ctx;
    for (size_t i = 0; i < 3; i++) {
        float *x = pile_normal(&e->p, all, 1, 1);
        for (size_t j = 0; j < far[i]; j++) {
            x[j] += 4096;
        }
        round_to_type(e->type, x, all);
        /* CPU: the shift, a row's mean, costs a factor of the images of the digits, see
         * norm_sum_cpu.c. CUDA: a block's first value is the origin of its means, and lies in its
         * own variance: what a block loses is the square root of its values. 64 is the most of
         * either. */
        check_stats(e, &k, x, FORM_DENSE, 64 * stats_rounding(e));
        env_clear(e);
    }
}

SPX_TEST(statistics_survive_an_outlying_first_pixel_row_or_image)
{
    SPX_UNUSED;
    on_each(outlier_body, NULL);
}

static void one_value_body(device_env *e, void *ctx)
{
    const spx_norm_dims d = {1, 1, 1};
    const float x = 3, one = 1;
    float mean, invstd, rm, rv, *dm = env_floats(e, &one, 1), *dv = env_floats(e, &one, 1);
    float *m = env_floats(e, &one, 1), *s = env_floats(e, &one, 1);
    const device_tensor t = env_tensor(e, &x, 1, 1, 1, 1, FORM_DENSE);
    void *scratch = env_scratch(e, spx_bn_stats_workspace(e->s, &d));
    (void)ctx;
    CHECK_OK(spx_bn_stats(e->s, &d, t.x, m, s, 1, &dm, &dv, scratch));
    env_queue_fetch(e, &mean, m, sizeof mean);
    env_queue_fetch(e, &invstd, s, sizeof invstd);
    env_queue_fetch(e, &rm, dm, sizeof rm);
    env_fetch(e, &rv, dv, sizeof rv);
    assert_true(mean == 3);
    assert_true(fabs((double)invstd * sqrt(1e-5) - 1) <= 4 * SPX_U);
    assert_true(fabs((double)rm - 1.2) <= 2 * SPX_U && fabs((double)rv - 0.9) <= SPX_U);
    CHECK_OK(spx_bn_running(e->s, 1, dm, dv, m, s));
    env_queue_fetch(e, &mean, m, sizeof mean);
    env_fetch(e, &invstd, s, sizeof invstd);
    assert_true(mean == rm);
    assert_true(fabs((double)invstd * sqrt((double)rv + 1e-5) - 1) <= 2 * SPX_U);
}

SPX_TEST(statistics_of_one_value_have_no_variance_and_evaluation_takes_the_running_ones)
{
    SPX_UNUSED;
    on_each(one_value_body, NULL);
}

static void repeat_body(device_env *e, void *ctx)
{
    enum { N = 6, C = 2, HW = 33 };
    const spx_norm_dims d = {N, C, HW};
    const float *x = env_normal(e, N * C * HW, 0);
    const device_tensor t = env_tensor(e, x, C * HW, N, C, HW, FORM_ODD);
    float got[2][2][C], *out = env_floats(e, x, 2 * C);
    (void)ctx;
    for (int i = 0; i < 2; i++) {
        CHECK_OK(spx_bn_stats(e->s, &d, t.x, out, out + C, 0, NULL, NULL,
                              env_scratch(e, spx_bn_stats_workspace(e->s, &d))));
        env_fetch(e, got[i], out, sizeof got[i]);
    }
    assert_memory_equal(got[0], got[1], sizeof got[0]);
}

SPX_TEST(repeated_calls_give_the_same_bits)
{
    SPX_UNUSED;
    on_each(repeat_body, NULL);
}

static void nan_body(device_env *e, void *ctx)
{
    const spx_norm_dims d = {2, 1, 5};
    float x[10] = {1, 2, 3, 4, NAN, 6, 7, 8, 9, 10}, mean, invstd;
    float *m = env_floats(e, x, 1), *s = env_floats(e, x, 1);
    const device_tensor t = env_tensor(e, x, 5, 2, 1, 5, FORM_DENSE);
    (void)ctx;
    CHECK_OK(spx_bn_stats(e->s, &d, t.x, m, s, 0, NULL, NULL,
                          env_scratch(e, spx_bn_stats_workspace(e->s, &d))));
    env_queue_fetch(e, &mean, m, sizeof mean);
    env_fetch(e, &invstd, s, sizeof invstd);
    assert_true(isnan(mean) && isnan(invstd)); /* or divergence would hide */
}

SPX_TEST(a_nan_reaches_the_statistics)
{
    SPX_UNUSED;
    on_each(nan_body, NULL);
}

static void bad_body(device_env *e, void *ctx)
{
    const float zero[12] = {0};
    const spx_norm_dims d = {2, 3, 2}, none = {0, 1, 1};
    const device_tensor t = env_tensor(e, zero, 6, 2, 3, 2, FORM_DENSE);
    const spx_operand x = t.x, absent = {NULL, x.stride, x.type}, narrow = {x.data, 0, x.type};
    float *c = env_bytes(e, 64), *null_list[] = {NULL};
    void *scratch = env_scratch(e, spx_bn_stats_workspace(e->s, &d));
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_bn_stats(e->s, &none, x, c, c, 0, NULL, NULL, scratch));
    CHECK_FAILS(SPX_EINVAL, spx_bn_stats(e->s, &d, absent, c, c, 0, NULL, NULL, scratch));
    CHECK_FAILS(SPX_EINVAL, spx_bn_stats(e->s, &d, narrow, c, c, 0, NULL, NULL, scratch));
    CHECK_FAILS(SPX_EINVAL, spx_bn_stats(e->s, &d, x, NULL, c, 0, NULL, NULL, scratch));
    CHECK_FAILS(SPX_EINVAL, spx_bn_stats(e->s, &d, x, c, c, 1, NULL, NULL, scratch));
    CHECK_FAILS(SPX_EINVAL, spx_bn_stats(e->s, &d, x, c, c, 1, null_list, null_list, scratch));
    CHECK_FAILS(SPX_EINVAL, spx_bn_running(e->s, 0, c, c, c, c));
    CHECK_FAILS(SPX_EINVAL, spx_bn_running(e->s, 1, c, c, c, NULL));
}

SPX_TEST(bad_arguments_are_refused)
{
    SPX_UNUSED;
    on_each(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(statistics_survive_a_mean_a_thousand_times_the_deviation),
        SPX_UNIT(statistics_survive_an_outlying_first_pixel_row_or_image),
        SPX_UNIT(statistics_of_one_value_have_no_variance_and_evaluation_takes_the_running_ones),
        SPX_UNIT(a_nan_reaches_the_statistics),
        SPX_UNIT(repeated_calls_give_the_same_bits),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
