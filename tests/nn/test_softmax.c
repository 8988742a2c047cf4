/* softmax and its gradient against the formula in double and finite differences. */
#include "tests/support/spx_devices.h"

#include "kernels/nn/softmax/softmax.h"
#include "kernels/nn/softmax/softmax_private.h"

static void large_body(device_env *e, void *ctx)
{
    const float x[] = {1000, 1000, -1000, 0, 0, 0, -3e38f, 3e38f, 0}, third = 1.0f / 3.0f;
    const float want[] = {0.5f, 0.5f, 0, third, third, third, 0, 1, 0};
    float y[9], *out = env_floats(e, x, 9);
    (void)ctx;
    CHECK_OK(spx_softmax_forward(e->s, 3, 3, env_floats(e, x, 9), out));
    env_fetch(e, y, out, sizeof y);
    CHECK_CLOSE(y, want, 9, SPX_U);
}

SPX_TEST(rows_sum_to_one_and_large_inputs_do_not_overflow)
{
    SPX_UNUSED;
    on_each(large_body, NULL);
}

static void cases_body(device_env *e, void *ctx)
{
    static const size_t sizes[][2] = {{1, 1}, {14, 7}, {3, 32}, {5, 33}, {9, 1000}};
    (void)ctx;
    for (size_t i = 0; i < 2 * (sizeof sizes / sizeof sizes[0]); i++) {
        const size_t rows = sizes[i / 2][0], cols = sizes[i / 2][1], all = rows * cols;
        const int64_t r = (int64_t)rows, c = (int64_t)cols;
        float *x = pile_normal(&e->p, all, 0, 30), *dy = pile_normal(&e->p, all, 0, 1);
        float *old = pile_normal(&e->p, all, 0, 1), *y = pile_copy(&e->p, x, all);
        float *want = pile_copy(&e->p, x, all), *dx = pile_copy(&e->p, old, all);
        float *dev = env_floats(e, x, all), *ddy = env_floats(e, dy, all),
              *ddx = env_floats(e, old, all), *out = env_floats(e, x, all);
        CHECK_OK(spx_softmax_forward(e->s, r, c, dev, out));
        env_fetch(e, y, out, all * sizeof *y);
        spx_softmax_forward_ref(rows, cols, x, want);
        for (size_t k = 0; k < all; k++) { /* both in double, rounded once each */
            assert_true(fabs((double)y[k] - (double)want[k]) <= 3 * SPX_U * (double)want[k]);
        }
        CHECK_OK(spx_softmax_backward(e->s, r, c, out, ddy, i % 2 == 1, ddx));
        env_fetch(e, dx, ddx, all * sizeof *dx);
        spx_softmax_backward_ref(rows, cols, y, dy, i % 2 == 1, old);
        for (size_t k = 0; k < all; k++) {
            assert_true(fabs((double)dx[k] - (double)old[k]) <=
                        3 * SPX_U * fabs((double)old[k]) + 1e-14);
        }
        env_clear(e);
    }
}

SPX_TEST(softmax_and_its_gradient_equal_the_formula)
{
    SPX_UNUSED;
    on_each(cases_body, NULL);
}

enum { ROWS = 14, COLS = 7, ALL = ROWS * COLS };

/* sum of dy * softmax(x + h * direction), in double */
static double moved(const float *x, const float *dy, const float *direction, double h)
{
    double loss = 0;
    for (int r = 0; r < ROWS; r++) {
        double sum = 0, dot = 0;
        for (int k = r * COLS; k < (r + 1) * COLS; k++) {
            const double e = exp((double)x[k] + h * (double)direction[k]);
            sum += e;
            dot += e * (double)dy[k];
        }
        loss += dot / sum;
    }
    return loss;
}

static void gradient_body(device_env *e, void *ctx)
{
    const float *x = pile_normal(&e->p, ALL, 0, 2), *dy = pile_normal(&e->p, ALL, 0, 1);
    const float *direction = pile_normal(&e->p, ALL, 0, 1), *old = pile_normal(&e->p, ALL, 0, 1);
    float dx[ALL], sum[ALL], *y = env_floats(e, x, ALL), *ddy = env_floats(e, dy, ALL);
    float *ddx = env_floats(e, old, ALL), *dsum = env_floats(e, old, ALL);
    const double h = 1e-5;
    double product = 0, slope;
    (void)ctx;
    CHECK_OK(spx_softmax_forward(e->s, ROWS, COLS, env_floats(e, x, ALL), y));
    CHECK_OK(spx_softmax_backward(e->s, ROWS, COLS, y, ddy, false, ddx));
    CHECK_OK(spx_softmax_backward(e->s, ROWS, COLS, y, ddy, true, dsum));
    env_queue_fetch(e, dx, ddx, sizeof dx);
    env_fetch(e, sum, dsum, sizeof sum);
    for (size_t i = 0; i < ALL; i++) {
        product += (double)dx[i] * (double)direction[i];
        assert_true(fabs((double)sum[i] - (double)old[i] - (double)dx[i]) <=
                    2 * SPX_U * (fabs((double)old[i]) + fabs((double)dx[i])));
    }
    slope = (moved(x, dy, direction, h) - moved(x, dy, direction, -h)) / (2 * h);
    /* y and dx are rounded once each: relative u, in up to ALL products of numbers of size ~ 1 */
    assert_true(fabs(slope - product) <= 4 * SPX_U * ALL + 1e-9);
}

SPX_TEST(gradient_equals_finite_differences_and_accumulates)
{
    SPX_UNUSED;
    on_each(gradient_body, NULL);
}

static void bad_body(device_env *e, void *ctx)
{
    float *x = env_bytes(e, sizeof *x);
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_softmax_forward(e->s, 1, 0, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_softmax_forward(e->s, 1, 1, NULL, x));
    CHECK_FAILS(SPX_EINVAL, spx_softmax_backward(e->s, -1, 1, x, x, false, x));
    CHECK_FAILS(SPX_EINVAL, spx_softmax_backward(e->s, 1, 1, x, x, false, NULL));
}

SPX_TEST(bad_arguments_are_refused)
{
    SPX_UNUSED;
    on_each(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(rows_sum_to_one_and_large_inputs_do_not_overflow),
        SPX_UNIT(softmax_and_its_gradient_equal_the_formula),
        SPX_UNIT(gradient_equals_finite_differences_and_accumulates),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
