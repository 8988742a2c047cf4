#include "tests/support/spx_fixture.h"

#include "kernels/nn/pool/pool2d.h"
#include "kernels/nn/pool/pool2d_private.h"
#include "tests/nn/network_sizes.h"
#include "tests/nn/pool2d_cases.h"

typedef struct problem {
    pile p;
    spx_pool2d_shape d;
    size_t x_stride, y_stride, x_all, y_all;
    float *x, *dy;
    bool accumulate;
} problem;

static void problem_init(problem *q, const pool_case *k)
{
    memset(q, 0, sizeof *q);
    q->d = k->d;
    CHECK_OK(spx_pool2d_shape_init(&q->d));
    q->x_stride = (size_t)(q->d.c * q->d.h * q->d.w) + k->gap;
    q->y_stride = (size_t)(q->d.c * q->d.p * q->d.q) + 2 * k->gap;
    q->x_all = (size_t)q->d.n * q->x_stride;
    q->y_all = (size_t)q->d.n * q->y_stride;
    q->x = pile_normal(&q->p, q->x_all, 1, 1);
    q->dy = pile_normal(&q->p, q->y_all, 1, 1);
}

static void forward_body(spx_stream *s, void *ctx)
{
    problem *q = ctx;
    float *y = pile_copy(&q->p, q->dy, q->y_all), *want = pile_copy(&q->p, q->dy, q->y_all);
    CHECK_OK(spx_avg_pool_forward(s, &q->d, q->x, (int64_t)q->x_stride, y, (int64_t)q->y_stride));
    spx_avg_pool_forward_ref(
        &(spx_avg_pool_args){&q->d, q->x, q->x_stride, want, q->y_stride, false});
    CHECK_CLOSE(y, want, q->y_all, pool_tolerance(&q->d));
}

SPX_TEST(forward_equals_the_mean_of_the_window_without_padding)
{
    SPX_UNUSED;
    for (size_t i = 0; i < POOL_CASES; i++) {
        problem q;
        problem_init(&q, &pool_cases[i]);
        spx_on_every_stream(forward_body, &q);
        pile_clear(&q.p);
    }
}

static void backward_body(spx_stream *s, void *ctx)
{
    problem *q = ctx;
    float *dx = pile_copy(&q->p, q->x, q->x_all), *want = pile_copy(&q->p, q->x, q->x_all);
    CHECK_OK(spx_avg_pool_backward(s, &q->d, q->dy, (int64_t)q->y_stride, q->accumulate, dx,
                                   (int64_t)q->x_stride));
    spx_avg_pool_backward_ref(
        &(spx_avg_pool_args){&q->d, q->dy, q->y_stride, want, q->x_stride, q->accumulate});
    CHECK_CLOSE(dx, want, q->x_all, pool_tolerance(&q->d));
}

SPX_TEST(backward_equals_the_transpose)
{
    SPX_UNUSED;
    for (size_t i = 0; i < 2 * POOL_CASES; i++) {
        problem q;
        problem_init(&q, &pool_cases[i / 2]);
        q.accumulate = i % 2 == 1;
        if (q.x_all * q.y_all < 1000000) { /* the reference looks at every pair of pixels */
            spx_on_every_stream(backward_body, &q);
        }
        pile_clear(&q.p);
    }
}

/* The pool is linear, so <dy, pool(x)> = <backward(dy), x> is its whole gradient check. */
static void adjoint_body(spx_stream *s, void *ctx)
{
    problem *q = ctx;
    float *y = pile_bytes(&q->p, q->y_all * sizeof *y),
          *dx = pile_bytes(&q->p, q->x_all * sizeof *dx);
    double left = 0, right = 0, size = 0;
    CHECK_OK(spx_avg_pool_forward(s, &q->d, q->x, (int64_t)q->x_stride, y, (int64_t)q->y_stride));
    CHECK_OK(spx_avg_pool_backward(s, &q->d, q->dy, (int64_t)q->y_stride, false, dx,
                                   (int64_t)q->x_stride));
    for (size_t i = 0; i < q->y_all; i++) { /* the gaps of y and dx are zero */
        left += (double)q->dy[i] * (double)y[i];
        size += fabs((double)q->dy[i] * (double)y[i]);
    }
    for (size_t i = 0; i < q->x_all; i++) {
        right += (double)dx[i] * (double)q->x[i];
        size += fabs((double)dx[i] * (double)q->x[i]);
    }
    if (!(fabs(left - right) <= pool_tolerance(&q->d) * size)) {
        fail_msg("<dy, y> = %.9g but <dx, x> = %.9g", left, right);
    }
}

SPX_TEST(backward_is_the_adjoint_of_forward)
{
    SPX_UNUSED;
    for (size_t i = 0; i < POOL_CASES; i++) {
        problem q;
        problem_init(&q, &pool_cases[i]);
        spx_on_every_stream(adjoint_body, &q);
        pile_clear(&q.p);
    }
}

SPX_TEST(the_networks_sizes_give_the_mean_and_its_adjoint)
{
    SPX_UNUSED;
    for (size_t i = 0; i < 2 * NETWORK_SIZES; i++) {
        const network_size *size = &network_sizes[i / 2];
        const pool_case k = {.d = {.n = 2,
                                   .c = size->c,
                                   .h = size->side,
                                   .w = size->side,
                                   .size = 3,
                                   .stride = 1 + (int64_t)(i % 2),
                                   .pad = 1}};
        problem q;
        problem_init(&q, &k);
        spx_on_every_stream(forward_body, &q);
        spx_on_every_stream(adjoint_body, &q);
        pile_clear(&q.p);
    }
}

SPX_TEST(shapes_follow_the_floor_rule_and_bad_ones_are_refused)
{
    static const spx_pool2d_shape bad[] = {
        {0, 1, 8, 8, 3, 1, 1, 0, 0},         {1, 1, 8, 8, 0, 1, 0, 0, 0},
        {1, 1, 8, 8, 1025, 1, 0, 0, 0},      {1, 1, 8, 8, 3, 0, 1, 0, 0},
        {1, 1, 8, 8, 3, 1, 2, 0, 0},         {1, 1, 8, 8, 3, 1, -1, 0, 0},
        {1, 1, 4, 8, 5, 1, 0, 0, 0},         {1, 1, -1, 8, 3, 1, 1, 0, 0},
        {INT64_MAX, 3, 8, 8, 3, 1, 1, 0, 0},
    };
    spx_pool2d_shape d = {1, 1, 8, 9, 5, 3, 0, 0, 0};
    spx_stream *s;
    float x[72] = {0}, y[4];
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_FAILS(SPX_EINVAL, spx_avg_pool_forward(s, &d, x, 72, y, 4)); /* p, q not set */
    CHECK_OK(spx_pool2d_shape_init(&d));
    assert_int_equal(d.p, 2);
    assert_int_equal(d.q, 2);
    CHECK_FAILS(SPX_EINVAL, spx_avg_pool_forward(s, &d, NULL, 72, y, 4));
    CHECK_FAILS(SPX_EINVAL, spx_avg_pool_forward(s, &d, x, 71, y, 4));
    CHECK_FAILS(SPX_EINVAL, spx_avg_pool_backward(s, &d, y, 4, false, NULL, 72));
    spx_stream_destroy(s);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        d = bad[i];
        CHECK_FAILS(SPX_EINVAL, spx_pool2d_shape_init(&d));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(forward_equals_the_mean_of_the_window_without_padding),
        SPX_UNIT(backward_equals_the_transpose),
        SPX_UNIT(backward_is_the_adjoint_of_forward),
        SPX_UNIT(the_networks_sizes_give_the_mean_and_its_adjoint),
        SPX_UNIT(shapes_follow_the_floor_rule_and_bad_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
