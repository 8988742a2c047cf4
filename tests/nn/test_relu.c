#include "tests/support/spx_fixture.h"

#include "kernels/nn/relu/relu.h"
#include "kernels/nn/relu/relu_private.h"
#include "tests/nn/network_sizes.h"
#include "tests/nn/relu_cases.h"

typedef struct problem {
    pile p;
    size_t n, chw, stride;
    bool accumulate;
} problem;

static void body(spx_stream *s, void *ctx)
{
    problem *q = ctx;
    const size_t all = q->n * q->stride;
    const int64_t n = (int64_t)q->n, chw = (int64_t)q->chw, st = (int64_t)q->stride;
    const float *x = pile_normal(&q->p, all, 0, 1), *dy = pile_normal(&q->p, all, 0, 1);
    float *y = pile_copy(&q->p, dy, all), *want = pile_copy(&q->p, dy, all);
    float *dx = pile_copy(&q->p, x, all), *dx_want = pile_copy(&q->p, x, all);
    float *in_place = pile_copy(&q->p, x, all);
    spx_relu_args a = {.n = q->n,
                       .chw = q->chw,
                       .x = x,
                       .x_stride = q->stride,
                       .out = want,
                       .out_stride = q->stride};
    CHECK_OK(spx_relu_forward(s, n, chw, x, st, y, st));
    spx_relu_forward_ref(&a);
    CHECK_CLOSE(y, want, all, 0); /* selection: exact, and gaps untouched */
    CHECK_OK(spx_relu_forward(s, n, chw, in_place, st, in_place, st));
    for (size_t i = 0; i < q->n; i++) {
        CHECK_CLOSE(in_place + i * q->stride, y + i * q->stride, q->chw, 0);
    }
    a.x = y;
    a.dy = dy;
    a.dy_stride = q->stride;
    a.accumulate = q->accumulate;
    a.out = dx_want;
    CHECK_OK(spx_relu_backward(s, n, chw, y, st, dy, st, q->accumulate, dx, st));
    spx_relu_backward_ref(&a);
    CHECK_CLOSE(dx, dx_want, all, 0); /* one addition, rounded alike */
}

SPX_TEST(forward_and_backward_equal_the_formula)
{
    SPX_UNUSED;
    for (size_t i = 0; i < 2 * RELU_CASES; i++) {
        const size_t *k = relu_cases[i / 2];
        problem q = {.n = k[0], .chw = k[1], .stride = k[1] + k[2], .accumulate = i % 2 == 1};
        spx_on_every_stream(body, &q);
        pile_clear(&q.p);
    }
}

SPX_TEST(both_passes_equal_the_formula_at_the_networks_sizes)
{
    SPX_UNUSED;
    for (size_t i = 0; i < NETWORK_SIZES; i++) {
        const network_size *k = &network_sizes[i];
        const size_t chw = (size_t)(k->c * k->side * k->side);
        problem q = {.n = 2, .chw = chw, .stride = chw};
        spx_on_every_stream(body, &q);
        pile_clear(&q.p);
    }
}

static void nan_body(spx_stream *s, void *ctx)
{
    const float x[9] = {NAN, -1, 1, -INFINITY, INFINITY, 0, NAN, -2, 2};
    float y[9];
    (void)ctx;
    CHECK_OK(spx_relu_forward(s, 1, 9, x, 9, y, 9));
    assert_true(isnan(y[0]) && isnan(y[6])); /* or divergence would hide */
    assert_true(y[1] == 0 && y[2] == 1 && y[3] == 0 && isinf(y[4]) && y[5] == 0 && y[8] == 2);
}

SPX_TEST(a_nan_stays_a_nan)
{
    SPX_UNUSED;
    spx_on_every_stream(nan_body, NULL);
}

SPX_TEST(bad_arguments_are_refused)
{
    spx_stream *s;
    float x[8] = {0};
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(s, 0, 1, x, 1, x, 1));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(s, 2, 4, x, 3, x, 4));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(s, 1, 4, NULL, 4, x, 4));
    CHECK_FAILS(SPX_EINVAL, spx_relu_backward(s, 1, 4, x, 4, NULL, 4, false, x, 4));
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(forward_and_backward_equal_the_formula),
        SPX_UNIT(both_passes_equal_the_formula_at_the_networks_sizes),
        SPX_UNIT(a_nan_stays_a_nan),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
