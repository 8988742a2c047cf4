#include "tests/support/spx_fixture.h"

#include "kernels/nn/softmax/softmax.h"

enum { ROWS = 14, COLS = 7 };

SPX_TEST(rows_sum_to_one_and_large_inputs_do_not_overflow)
{
    const float x[] = {1000, 1000, -1000, 0, 0, 0, -3e38f, 3e38f, 0}, third = 1.0f / 3.0f;
    const float want[] = {0.5f, 0.5f, 0, third, third, third, 0, 1, 0};
    float y[9];
    spx_stream *s;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_OK(spx_softmax_forward(s, 3, 3, x, y));
    CHECK_CLOSE(y, want, 9, SPX_U);
    spx_stream_destroy(s);
}

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

SPX_TEST(gradient_equals_finite_differences_and_accumulates)
{
    pile p = {.key = 0};
    const size_t all = ROWS * COLS;
    const float *x = pile_normal(&p, all, 0, 2), *dy = pile_normal(&p, all, 0, 1);
    const float *direction = pile_normal(&p, all, 0, 1), *old = pile_normal(&p, all, 0, 1);
    float *y = pile_bytes(&p, all * sizeof *y), *dx = pile_copy(&p, old, all);
    float *sum = pile_copy(&p, old, all);
    const double h = 1e-5;
    double product = 0, slope;
    spx_stream *s;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 2));
    CHECK_OK(spx_softmax_forward(s, ROWS, COLS, x, y));
    CHECK_OK(spx_softmax_backward(s, ROWS, COLS, y, dy, false, dx));
    CHECK_OK(spx_softmax_backward(s, ROWS, COLS, y, dy, true, sum));
    for (size_t i = 0; i < all; i++) {
        product += (double)dx[i] * (double)direction[i];
        assert_true(fabs((double)sum[i] - (double)old[i] - (double)dx[i]) <=
                    2 * SPX_U * (fabs((double)old[i]) + fabs((double)dx[i])));
    }
    slope = (moved(x, dy, direction, h) - moved(x, dy, direction, -h)) / (2 * h);
    /* y and dx are rounded once each: relative u, in up to `all` products of numbers of size ~ 1 */
    assert_true(fabs(slope - product) <= 4 * SPX_U * (double)all + 1e-9);
    spx_stream_destroy(s);
    pile_clear(&p);
}

SPX_TEST(bad_arguments_are_refused)
{
    spx_stream *s;
    float x[1] = {0};
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_FAILS(SPX_EINVAL, spx_softmax_forward(s, 1, 0, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_softmax_forward(s, 1, 1, NULL, x));
    CHECK_FAILS(SPX_EINVAL, spx_softmax_backward(s, -1, 1, x, x, false, x));
    CHECK_FAILS(SPX_EINVAL, spx_softmax_backward(s, 1, 1, x, x, false, NULL));
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(rows_sum_to_one_and_large_inputs_do_not_overflow),
        SPX_UNIT(gradient_equals_finite_differences_and_accumulates),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
