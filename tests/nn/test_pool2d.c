/* The average pool against its specification, on operands that lie in every way. */
#include "tests/support/spx_devices.h"

#include "kernels/nn/pool/pool2d.h"
#include "kernels/nn/pool/pool2d_private.h"
#include "tests/nn/network_sizes.h"

static const spx_pool2d_shape cases[] = {
    /* n, c, h, w, size, stride, pad */
    {2, 3, 32, 32, 3, 1, 1, 0, 0},         {2, 3, 32, 32, 3, 2, 1, 0, 0},
    {1, 2, 7, 9, 3, 1, 1, 0, 0},           {3, 1, 9, 7, 3, 2, 1, 0, 0},
    {1, 2, 1, 1, 3, 1, 1, 0, 0},           {1, 1, 2, 1, 3, 2, 1, 0, 0},
    {1, 1, 1, 2, 3, 1, 1, 0, 0},           {2, 1, 2, 3, 3, 2, 1, 0, 0},
    {2, 2, 8, 8, 5, 3, 0, 0, 0},           {1, 3, 14, 14, 5, 2, 0, 0, 0},
    {3, 4, 8, 8, 8, 1, 0, 0, 0},           {2, 5, 7, 7, 7, 1, 0, 0, 0},
    {1, 2, 9, 9, 2, 4, 1, 0, 0},           {1, 1, 6, 5, 4, 1, 2, 0, 0},
    {1, 1, 3, 4000, 3, 1, 1, 0, 0},        {1, 1, 2, 5000, 2, 2, 0, 0, 0},
    {1, 1, 1030, 4, 1024, 300, 512, 0, 0}, {1, 2, 2, 2100, 2, 1, 1, 0, 0},
    {1, 1, 5, 5, 1, 1, 0, 0, 0},           {1, 1, 4, 4, 3, 3, 1, 0, 0},
};
#define CASES (sizeof cases / sizeof cases[0])

/*
 * A window's rows and columns are summed one after the other, all in single precision: with
 * operands of similar size, rounding errors of random sign stay below 4*sqrt(2*size) u of the mean
 * (Higham and Mary 2019); six more roundings for the factors. bf16 rounds each result.
 */
static double tolerance(const device_env *e, const spx_pool2d_shape *d)
{
    return (4 * sqrt(2.0 * (double)d->size) + 6) * SPX_U + env_rounding(e);
}

/* Operands of one shape, on the host and on the device. */
typedef struct problem {
    spx_pool2d_shape d;
    size_t n, c, in, out;
    float *x, *dy, *y, *dx;
    device_tensor tx, tdy, ty, tdx;
} problem;

static void problem_init(device_env *e, problem *q, const spx_pool2d_shape *d, tensor_form fx,
                         tensor_form fy)
{
    q->d = *d;
    CHECK_OK(spx_pool2d_shape_init(&q->d));
    q->n = (size_t)d->n;
    q->c = (size_t)d->c;
    q->in = (size_t)(q->d.h * q->d.w);
    q->out = (size_t)(q->d.p * q->d.q);
    q->x = env_normal(e, q->n * q->c * q->in, 1);
    q->dy = env_normal(e, q->n * q->c * q->out, 1);
    q->y = pile_copy(&e->p, q->dy, q->n * q->c * q->out);
    q->dx = pile_copy(&e->p, q->x, q->n * q->c * q->in);
    q->tx = env_tensor(e, q->x, q->c * q->in, q->n, q->c, q->in, fx);
    q->ty = env_tensor(e, q->y, q->c * q->out, q->n, q->c, q->out, fy);
    q->tdy = env_tensor(e, q->dy, q->c * q->out, q->n, q->c, q->out, fy);
    q->tdx = env_tensor(e, q->dx, q->c * q->in, q->n, q->c, q->in, fx);
}

static void run(device_env *e, problem *q, bool accumulate)
{
    CHECK_OK(spx_avg_pool_forward(e->s, &q->d, q->tx.x, q->ty.x));
    CHECK_OK(spx_avg_pool_backward(e->s, &q->d, q->tdy.x, accumulate, q->tdx.x));
    env_read(e, &q->ty, q->y, q->c * q->out);
    env_read(e, &q->tdx, q->dx, q->c * q->in);
}

static spx_operand on_host(float *x, size_t image)
{
    return (spx_operand){x, (int64_t)image, SPX_TYPE_F32};
}

static void check(device_env *e, const spx_pool2d_shape *d, tensor_form fx, tensor_form fy,
                  bool accumulate)
{
    problem q;
    problem_init(e, &q, d, fx, fy);
    const size_t in = q.c * q.in, out = q.c * q.out;
    float *y = pile_copy(&e->p, q.y, q.n * out), *dx = pile_copy(&e->p, q.dx, q.n * in);
    run(e, &q, accumulate);
    spx_avg_pool_forward_ref(&(spx_avg_pool_args){&q.d, on_host(q.x, in), on_host(y, out), false});
    CHECK_CLOSE(q.y, y, q.n * out, tolerance(e, &q.d));
    if (q.n * in * q.out < 1000000) { /* the reference looks at every pair of pixels */
        spx_avg_pool_backward_ref(
            &(spx_avg_pool_args){&q.d, on_host(q.dy, out), on_host(dx, in), accumulate});
        CHECK_CLOSE(q.dx, dx, q.n * in, tolerance(e, &q.d));
    }
    env_clear(e);
}

static void cases_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < 4 * CASES; i++) { /* channels that fill vectors, too */
        spx_pool2d_shape d = cases[i / 4];
        d.c = i % 4 == 3 ? 8 : i % 4 == 2 ? 12 : d.c;
        if (!e->cuda && i % 4 >= 2) {
            continue;
        }
        check(e, &d, (tensor_form)(i % FORMS), (tensor_form)(i / 4 % FORMS), i % 2 == 1);
    }
}

SPX_TEST(both_passes_equal_the_formula_however_operands_lie)
{
    SPX_UNUSED;
    on_each(cases_body, NULL);
}

/* The pool is linear, so <dy, pool(x)> = <backward(dy), x> is its whole gradient check. */
static void check_adjoint(device_env *e, const spx_pool2d_shape *d)
{
    problem q;
    double left = 0, right = 0, size = 0;
    problem_init(e, &q, d, FORM_DENSE, FORM_DENSE);
    run(e, &q, false);
    for (size_t i = 0; i < q.n * q.c * q.out; i++) {
        left += (double)q.dy[i] * (double)q.y[i];
        size += fabs((double)q.dy[i] * (double)q.y[i]);
    }
    for (size_t i = 0; i < q.n * q.c * q.in; i++) {
        right += (double)q.dx[i] * (double)q.x[i];
        size += fabs((double)q.dx[i] * (double)q.x[i]);
    }
    if (!(fabs(left - right) <= tolerance(e, &q.d) * size)) {
        fail_msg("<dy, y> = %.9g but <dx, x> = %.9g", left, right);
    }
    env_clear(e);
}

static void adjoint_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < CASES; i++) {
        check_adjoint(e, &cases[i]);
    }
}

SPX_TEST(backward_is_the_adjoint_of_forward)
{
    SPX_UNUSED;
    on_each(adjoint_body, NULL);
}

static void networks_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < 3 * NETWORK_SIZES; i++) {
        const network_size *k = &network_sizes[i / 3];
        spx_pool2d_shape d = {.n = 2, .c = k->c, .h = k->side, .w = k->side, .size = 3, .pad = 1};
        d.stride = 1 + (int64_t)(i % 3);
        if (i % 3 == 2) { /* global */
            d.size = k->side;
            d.stride = 1;
            d.pad = 0;
        }
        check(e, &d, FORM_DENSE, FORM_DENSE, i % 2 == 0);
        check_adjoint(e, &d);
    }
}

SPX_TEST(the_networks_sizes_give_the_mean_and_its_adjoint)
{
    SPX_UNUSED;
    on_each(networks_body, NULL);
}

static void bad_body(device_env *e, void *ctx)
{
    const float x[72] = {0};
    const device_tensor in = env_tensor(e, x, 72, 1, 1, 72, FORM_DENSE);
    const device_tensor out = env_tensor(e, x, 4, 1, 1, 4, FORM_DENSE);
    const spx_operand none = {NULL, 72, e->type}, narrow = {in.x.data, 0, e->type};
    spx_pool2d_shape d = {1, 1, 8, 9, 5, 3, 0, 0, 0};
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_avg_pool_forward(e->s, NULL, in.x, out.x));
    CHECK_FAILS(SPX_EINVAL, spx_avg_pool_forward(e->s, &d, in.x, out.x)); /* p, q not set */
    CHECK_OK(spx_pool2d_shape_init(&d));
    assert_int_equal(d.p, 2);
    assert_int_equal(d.q, 2);
    CHECK_FAILS(SPX_EINVAL, spx_avg_pool_forward(e->s, &d, none, out.x));
    CHECK_FAILS(SPX_EINVAL, spx_avg_pool_forward(e->s, &d, narrow, out.x));
    CHECK_FAILS(SPX_EINVAL, spx_avg_pool_backward(e->s, &d, out.x, false, none));
}

SPX_TEST(bad_operands_are_refused)
{
    SPX_UNUSED;
    on_each(bad_body, NULL);
}

SPX_TEST(bad_shapes_are_refused)
{
    static const spx_pool2d_shape bad[] = {
        {0, 1, 8, 8, 3, 1, 1, 0, 0},         {1, 1, 8, 8, 0, 1, 0, 0, 0},
        {1, 1, 8, 8, 1025, 1, 0, 0, 0},      {1, 1, 8, 8, 3, 0, 1, 0, 0},
        {1, 1, 8, 8, 3, 1, 2, 0, 0},         {1, 1, 8, 8, 3, 1, -1, 0, 0},
        {1, 1, 4, 8, 5, 1, 0, 0, 0},         {1, 1, -1, 8, 3, 1, 1, 0, 0},
        {INT64_MAX, 3, 8, 8, 3, 1, 1, 0, 0},
    };
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        spx_pool2d_shape d = bad[i];
        CHECK_FAILS(SPX_EINVAL, spx_pool2d_shape_init(&d));
    }
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(both_passes_equal_the_formula_however_operands_lie),
        SPX_UNIT(backward_is_the_adjoint_of_forward),
        SPX_UNIT(the_networks_sizes_give_the_mean_and_its_adjoint),
        SPX_UNIT(bad_operands_are_refused),
        SPX_UNIT(bad_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
