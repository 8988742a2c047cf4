/* linear against its specification in double. */
#include "tests/support/spx_devices.h"

#include "kernels/nn/linear/linear.h"
#include "kernels/nn/linear/linear_private.h"
#include "tests/nn/network_sizes.h"

static const size_t cases[][3] = {
    /* n, f, o */
    {1, 1, 1},    {2, 3, 4},   {5, 80, 10}, {7, 33, 9},
    {3, 16, 130}, {1, 512, 7}, {130, 5, 3}, {66, 67, 100},
};
#define CASES (sizeof cases / sizeof cases[0])

/* Whole batches where there is a GPU: the largest goes through the library. */
static size_t images(const device_env *e, const int64_t *k)
{
#ifdef SPX_CUDA_EMULATED
    (void)e;
    (void)k;
    return 5;
#else
    return e->cuda ? (size_t)k[0] : 5;
#endif
}

/*
 * A sum of `terms` products in single precision: roundings of random sign stay below 4*sqrt(terms)
 * u of the sum's own spread, sqrt(terms) (Higham and Mary 2019), and two more for the product and
 * the end. Under TF32 the operands of a product are rounded to 11 bits, twice.
 */
static double sum_tolerance(size_t terms)
{
    return (4 * sqrt((double)terms) + 2) * SPX_U;
}

static double tolerance(const device_env *e, size_t terms)
{
    const bool tf32 = spx_stream_precision(e->s) == SPX_PRECISION_TF32;
    return sum_tolerance(terms) + (tf32 ? 2 * 0x1p-11 : 0);
}

/* Operands of one size, on the host and on the device; results start as something else. */
typedef struct problem {
    size_t n, f, o;
    float *x, *w, *b, *dy, *old_x;
    float *y, *dx, *dw, *db;
    device_tensor tx, tdx;
    const float *cw, *cb, *cdy;
    float *cy, *cdw, *cdb;
} problem;

static void problem_init(device_env *e, problem *q, size_t n, size_t f, size_t o)
{
    *q = (problem){.n = n, .f = f, .o = o};
    q->x = env_normal(e, n * f, 0);
    q->old_x = env_normal(e, n * f, 0);
    q->w = pile_normal(&e->p, o * f, 0, 1);
    q->b = pile_normal(&e->p, o, 0, 1);
    q->dy = pile_normal(&e->p, n * o, 0, 1);
    q->y = pile_copy(&e->p, q->dy, n * o);
    q->dx = pile_copy(&e->p, q->old_x, n * f);
    q->dw = pile_copy(&e->p, q->w, o * f);
    q->db = pile_copy(&e->p, q->b, o);
    q->tx = env_tensor(e, q->x, f, n, f, 1, FORM_DENSE);
    q->tdx = env_tensor(e, q->old_x, f, n, f, 1, FORM_DENSE);
    q->cw = env_floats(e, q->w, o * f);
    q->cb = env_floats(e, q->b, o);
    q->cdy = env_floats(e, q->dy, n * o);
    q->cy = env_floats(e, q->y, n * o);
    q->cdw = env_floats(e, q->dw, o * f);
    q->cdb = env_floats(e, q->db, o);
}

/* All passes, with a bias, or onto what is there, or without. */
static void run(device_env *e, problem *q, bool bias, bool accumulate)
{
    const int64_t n = (int64_t)q->n, f = (int64_t)q->f, o = (int64_t)q->o;
    CHECK_OK(spx_linear_forward(e->s, n, f, o, q->tx.x, q->cw, bias ? q->cb : NULL, q->cy));
    CHECK_OK(spx_linear_backward_data(e->s, n, f, o, q->cdy, q->cw, accumulate, q->tdx.x));
    CHECK_OK(
        spx_linear_backward_weights(e->s, n, f, o, q->tx.x, q->cdy, accumulate, q->cdw, q->cdb));
    env_queue_fetch(e, q->y, q->cy, q->n * q->o * sizeof *q->y);
    env_queue_fetch(e, q->dw, q->cdw, q->o * q->f * sizeof *q->dw);
    env_queue_fetch(e, q->db, q->cdb, q->o * sizeof *q->db);
    env_read(e, &q->tdx, q->dx, q->f);
}

static void check(device_env *e, size_t n, size_t f, size_t o, bool flag)
{
    problem q;
    problem_init(e, &q, n, f, o);
    spx_linear_args a = {.n = n, .f = f, .o = o, .x = q.x, .w = q.w, .b = flag ? q.b : NULL};
    run(e, &q, flag, flag);
    a.out = pile_bytes(&e->p, n * o * sizeof *a.out);
    spx_linear_forward_ref(&a);
    CHECK_CLOSE(q.y, a.out, n * o, tolerance(e, f + 1));
    a.dy = q.dy;
    a.accumulate = flag;
    a.out = pile_copy(&e->p, q.old_x, n * f);
    spx_linear_backward_data_ref(&a);
    CHECK_CLOSE(q.dx, a.out, n * f, tolerance(e, o + 1) + env_rounding(e));
    a.out = pile_copy(&e->p, q.w, o * f);
    a.db = pile_copy(&e->p, q.b, o);
    spx_linear_backward_weights_ref(&a);
    CHECK_CLOSE(q.dw, a.out, o * f, tolerance(e, n + 1));
    CHECK_CLOSE(q.db, a.db, o, sum_tolerance(n + 1));
    CHECK_OK(spx_linear_backward_weights(e->s, (int64_t)n, (int64_t)f, (int64_t)o, q.tx.x, q.cdy,
                                         false, q.cdw, NULL));
    env_clear(e);
}

static void networks_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < NETWORK_LINEARS; i++) {
        const int64_t *k = network_linears[i];
        check(e, images(e, k), (size_t)k[1], (size_t)k[2], true);
    }
}

static void cases_body(device_env *e, void *ctx)
{
    for (size_t i = 0; i < 2 * CASES; i++) {
        check(e, cases[i / 2][0], cases[i / 2][1], cases[i / 2][2], i % 2 == 1);
    }
    networks_body(e, ctx);
}

SPX_TEST(all_passes_equal_the_matrix_products)
{
    SPX_UNUSED;
    on_each(cases_body, NULL);
}

SPX_TEST(tf32_products_differ_by_the_rounding_of_their_operands)
{
    const spx_stream_options tf32 = {.device = env_device, .threads = 1};
    SPX_UNUSED;
    run_body(&tf32, networks_body, NULL); /* the CPU has f32 only, whatever is asked for */
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
static void adjoint_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < CASES; i++) {
        const size_t n = cases[i][0], f = cases[i][1], o = cases[i][2];
        const double spread = sqrt((double)(n * f * o)); /* of <dy, y> */
        const double tol = tolerance(e, n + f + o) * (8 * spread + 8) +
                           4 * env_rounding(e) * sqrt((double)(n * f)) * sqrt((double)o);
        double left, with_bias;
        problem q;
        problem_init(e, &q, n, f, o);
        run(e, &q, true, false);
        with_bias = dot(q.dy, q.y, n * o);
        run(e, &q, false, false);
        left = dot(q.dy, q.y, n * o);
        assert_true(fabs(left - dot(q.dx, q.x, n * f)) <= tol);
        assert_true(fabs(left - dot(q.dw, q.w, o * f)) <= tol);
        assert_true(fabs(with_bias - left - dot(q.db, q.b, o)) <= tol);
        env_clear(e);
    }
}

SPX_TEST(backward_is_the_adjoint_of_forward)
{
    SPX_UNUSED;
    on_each(adjoint_body, NULL);
}

static void bad_body(device_env *e, void *ctx)
{
    float *x = env_bytes(e, 64);
    const spx_operand t = {x, 2, e->type}, none = {NULL, 2, e->type}, apart = {x, 3, e->type};
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_linear_forward(e->s, 0, 2, 2, t, x, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_linear_forward(e->s, 1, INT64_MAX, 2, t, x, NULL, x));
    CHECK_FAILS(SPX_EINVAL, spx_linear_forward(e->s, 2, 2, 2, none, x, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_linear_backward_data(e->s, 1, 1, -1, x, x, false, t));
    CHECK_FAILS(SPX_EINVAL, spx_linear_backward_data(e->s, 2, 2, 2, x, NULL, false, t));
    CHECK_FAILS(SPX_EINVAL, spx_linear_backward_weights(e->s, 2, 2, 2, t, x, false, NULL, x));
    CHECK_FAILS(SPX_EINVAL, spx_linear_forward(e->s, 2, 2, 2, apart, x, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_linear_backward_data(e->s, 2, 2, 2, x, x, false, apart));
    CHECK_FAILS(SPX_EINVAL, spx_linear_backward_weights(e->s, 2, 2, 2, apart, x, false, x, x));
}

SPX_TEST(bad_arguments_are_refused)
{
    SPX_UNUSED;
    on_each(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(all_passes_equal_the_matrix_products),
        SPX_UNIT(tf32_products_differ_by_the_rounding_of_their_operands),
        SPX_UNIT(backward_is_the_adjoint_of_forward),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
