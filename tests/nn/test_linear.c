#include "tests/support/spx_fixture.h"

#include "kernels/nn/linear/linear.h"
#include "kernels/nn/linear/linear_private.h"
#include "tests/nn/linear_cases.h"
#include "tests/nn/network_sizes.h"

typedef struct problem {
    pile p;
    size_t n, f, o;
    float *x, *w, *b, *dy;
    bool flag; /* bias, accumulate */
} problem;

static void problem_init(problem *q, size_t n, size_t f, size_t o, bool flag)
{
    memset(q, 0, sizeof *q);
    q->n = n;
    q->f = f;
    q->o = o;
    q->flag = flag;
    q->x = pile_normal(&q->p, q->n * q->f, 0, 1);
    q->w = pile_normal(&q->p, q->o * q->f, 0, 1);
    q->b = pile_normal(&q->p, q->o, 0, 1);
    q->dy = pile_normal(&q->p, q->n * q->o, 0, 1);
}

static void forward_body(spx_stream *s, void *ctx)
{
    problem *q = ctx;
    spx_linear_args a = {
        .n = q->n, .f = q->f, .o = q->o, .x = q->x, .w = q->w, .b = q->flag ? q->b : NULL};
    float *y = pile_bytes(&q->p, q->n * q->o * sizeof *y);
    a.out = pile_bytes(&q->p, q->n * q->o * sizeof *y);
    CHECK_OK(
        spx_linear_forward(s, (int64_t)q->n, (int64_t)q->f, (int64_t)q->o, q->x, q->w, a.b, y));
    spx_linear_forward_ref(&a);
    CHECK_CLOSE(y, a.out, q->n * q->o, linear_tolerance(q->f + 1));
}

static void backward_body(spx_stream *s, void *ctx)
{
    problem *q = ctx;
    const int64_t n = (int64_t)q->n, f = (int64_t)q->f, o = (int64_t)q->o;
    spx_linear_args a = {
        .n = q->n, .f = q->f, .o = q->o, .x = q->x, .w = q->w, .dy = q->dy, .accumulate = q->flag};
    float *dx = pile_copy(&q->p, q->x, q->n * q->f), *dw = pile_copy(&q->p, q->w, q->o * q->f);
    float *db = pile_copy(&q->p, q->b, q->o);
    CHECK_OK(spx_linear_backward_data(s, n, f, o, q->dy, q->w, q->flag, dx));
    CHECK_OK(spx_linear_backward_weights(s, n, f, o, q->x, q->dy, q->flag, dw, db));
    a.out = pile_copy(&q->p, q->x, q->n * q->f);
    spx_linear_backward_data_ref(&a);
    CHECK_CLOSE(dx, a.out, q->n * q->f, linear_tolerance(q->o + 1));
    a.out = pile_copy(&q->p, q->w, q->o * q->f);
    a.db = pile_copy(&q->p, q->b, q->o);
    spx_linear_backward_weights_ref(&a);
    CHECK_CLOSE(dw, a.out, q->o * q->f, linear_tolerance(q->n + 1));
    CHECK_CLOSE(db, a.db, q->o, linear_tolerance(q->n + 1));
    CHECK_OK(spx_linear_backward_weights(s, n, f, o, q->x, q->dy, false, dw, NULL));
}

static void on_every_case(void (*body)(spx_stream *s, void *ctx))
{
    for (size_t i = 0; i < 2 * LINEAR_CASES; i++) {
        problem q;
        problem_init(&q, linear_cases[i / 2][0], linear_cases[i / 2][1], linear_cases[i / 2][2],
                     i % 2 == 1);
        spx_on_every_stream(body, &q);
        pile_clear(&q.p);
    }
}

SPX_TEST(forward_equals_the_matrix_product)
{
    SPX_UNUSED;
    on_every_case(forward_body);
}

SPX_TEST(backward_equals_the_matrix_products)
{
    SPX_UNUSED;
    on_every_case(backward_body);
}

SPX_TEST(all_passes_equal_the_matrix_products_at_the_networks_sizes)
{
    SPX_UNUSED;
    for (size_t i = 0; i < NETWORK_LINEARS; i++) {
        const int64_t *k = network_linears[i];
        problem q;
        problem_init(&q, 5, (size_t)k[1], (size_t)k[2], true);
        spx_on_every_stream(forward_body, &q);
        spx_on_every_stream(backward_body, &q);
        pile_clear(&q.p);
    }
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

/* y is linear in x and in w: <dy, y> = <dx, x> = <dw, w>, and <db, b> is what the bias adds. */
static void adjoint_body(spx_stream *s, void *ctx)
{
    problem *q = ctx;
    const int64_t n = (int64_t)q->n, f = (int64_t)q->f, o = (int64_t)q->o;
    float *y = pile_bytes(&q->p, q->n * q->o * sizeof *y), *yb = pile_copy(&q->p, y, q->n * q->o);
    float *dx = pile_copy(&q->p, q->x, q->n * q->f), *dw = pile_copy(&q->p, q->w, q->o * q->f);
    float *db = pile_copy(&q->p, q->b, q->o);
    const double spread = sqrt((double)(q->n * q->f * q->o)); /* of <dy, y> */
    const double tol = linear_tolerance(q->n + q->f + q->o) * (8 * spread + 8);
    double left, with_bias;
    CHECK_OK(spx_linear_forward(s, n, f, o, q->x, q->w, NULL, y));
    CHECK_OK(spx_linear_forward(s, n, f, o, q->x, q->w, q->b, yb));
    CHECK_OK(spx_linear_backward_data(s, n, f, o, q->dy, q->w, false, dx));
    CHECK_OK(spx_linear_backward_weights(s, n, f, o, q->x, q->dy, false, dw, db));
    left = dot(q->dy, y, q->n * q->o);
    with_bias = dot(q->dy, yb, q->n * q->o);
    assert_true(fabs(left - dot(dx, q->x, q->n * q->f)) <= tol);
    assert_true(fabs(left - dot(dw, q->w, q->o * q->f)) <= tol);
    assert_true(fabs(with_bias - left - dot(db, q->b, q->o)) <= tol);
}

SPX_TEST(backward_is_the_adjoint_of_forward)
{
    SPX_UNUSED;
    on_every_case(adjoint_body);
}

SPX_TEST(bad_arguments_are_refused)
{
    spx_stream *s;
    float a[4] = {0};
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_FAILS(SPX_EINVAL, spx_linear_forward(s, 0, 1, 1, a, a, NULL, a));
    CHECK_FAILS(SPX_EINVAL, spx_linear_forward(s, 1, INT64_MAX, 2, a, a, NULL, a));
    CHECK_FAILS(SPX_EINVAL, spx_linear_forward(s, 1, 1, 1, NULL, a, NULL, a));
    CHECK_FAILS(SPX_EINVAL, spx_linear_backward_data(s, 1, 1, -1, a, a, false, a));
    CHECK_FAILS(SPX_EINVAL, spx_linear_backward_weights(s, 1, 1, 1, a, a, false, NULL, a));
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(forward_equals_the_matrix_product),
        SPX_UNIT(backward_equals_the_matrix_products),
        SPX_UNIT(all_passes_equal_the_matrix_products_at_the_networks_sizes),
        SPX_UNIT(backward_is_the_adjoint_of_forward),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
