/* The average pool on CUDA against its specification, on operands that lie in every way. */
#include "tests/support/spx_cuda.h"

#include "kernels/nn/pool/pool2d_cuda.h"
#include "kernels/nn/pool/pool2d_private.h"
#include "tests/nn/network_sizes.h"
#include "tests/nn/pool2d_cases.h"

/* f32: (rows and columns are summed one after the other) as on the CPU; bf16 rounds each result. */
static double tolerance(const cuda_env *e, const spx_pool2d_shape *d)
{
    return pool_tolerance(d) + (e->type == SPX_TYPE_BF16 ? SPX_U_BF16 : 0);
}

static float *rounded(cuda_env *e, size_t n)
{
    float *x = pile_normal(&e->p, n, 1, 1);
    cuda_round(e->type, x, n);
    return x;
}

static void check(cuda_env *e, spx_pool2d_shape d, cuda_form fx, cuda_form fy, bool accumulate)
{
    CHECK_OK(spx_pool2d_shape_init(&d));
    const size_t n = (size_t)d.n, c = (size_t)d.c, in = (size_t)(d.h * d.w),
                 out = (size_t)(d.p * d.q);
    float *x = rounded(e, n * c * in), *dy = rounded(e, n * c * out);
    float *y = pile_copy(&e->p, dy, n * c * out), *dx = pile_copy(&e->p, x, n * c * in);
    float *y_want = pile_copy(&e->p, dy, n * c * out), *dx_want = pile_copy(&e->p, x, n * c * in);
    const cuda_tensor tx = cuda_tensor_of(e, x, c * in, n, c, in, fx);
    const cuda_tensor ty = cuda_tensor_of(e, y, c * out, n, c, out, fy);
    const cuda_tensor tdy = cuda_tensor_of(e, dy, c * out, n, c, out, fy);
    const cuda_tensor tdx = cuda_tensor_of(e, dx, c * in, n, c, in, fx);
    CHECK_OK(spx_avg_pool_forward_cuda(e->s, &d, tx.x, ty.x));
    CHECK_OK(spx_avg_pool_backward_cuda(e->s, &d, tdy.x, accumulate, tdx.x));
    cuda_read(e, &ty, y, c * out);
    cuda_read(e, &tdx, dx, c * in);
    spx_avg_pool_forward_ref(&(spx_avg_pool_args){&d, x, c * in, y_want, c * out, false});
    CHECK_CLOSE(y, y_want, n * c * out, tolerance(e, &d));
    if (n * c * in * out < 4000000) { /* the reference looks at every pair of pixels */
        spx_avg_pool_backward_ref(
            &(spx_avg_pool_args){&d, dy, c * out, dx_want, c * in, accumulate});
        CHECK_CLOSE(dx, dx_want, n * c * in, tolerance(e, &d));
    }
    cuda_clear(e);
}

static void cases_body(cuda_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < 4 * POOL_CASES; i++) {
        spx_pool2d_shape d = pool_cases[i / 4].d;
        d.c = i % 4 == 3 ? 8 : i % 4 == 2 ? 12 : d.c;
        check(e, d, (cuda_form)(i % FORMS), (cuda_form)(i / 4 % FORMS), i % 2 == 1);
    }
}

SPX_TEST(both_ways_equal_the_formula_however_operands_lie)
{
    SPX_UNUSED;
    cuda_on_types(cases_body, NULL);
}

static void networks_body(cuda_env *e, void *ctx)
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
        check(e, d, FORM_DENSE, FORM_DENSE, i % 2 == 0);
    }
}

SPX_TEST(both_ways_equal_the_formula_at_the_networks_sizes)
{
    SPX_UNUSED;
    cuda_on_types(networks_body, NULL);
}

/* The pool is linear, so <dy, pool(x)> = <backward(dy), x> is its whole gradient check. */
static void adjoint_body(cuda_env *e, void *ctx)
{
    spx_pool2d_shape d = {.n = 2, .c = 5, .h = 32, .w = 30, .size = 3, .stride = 2, .pad = 1};
    (void)ctx;
    CHECK_OK(spx_pool2d_shape_init(&d));
    const size_t in = (size_t)(d.c * d.h * d.w), out = (size_t)(d.c * d.p * d.q);
    float *x = rounded(e, 2 * in), *dy = rounded(e, 2 * out);
    float *y = pile_bytes(&e->p, 2 * out * sizeof *y), *dx = pile_bytes(&e->p, 2 * in * sizeof *dx);
    const cuda_tensor tx = cuda_tensor_of(e, x, in, 2, 5, in / 5, FORM_DENSE);
    const cuda_tensor ty = cuda_tensor_of(e, y, out, 2, 5, out / 5, FORM_DENSE);
    const cuda_tensor tdy = cuda_tensor_of(e, dy, out, 2, 5, out / 5, FORM_DENSE);
    const cuda_tensor tdx = cuda_tensor_of(e, dx, in, 2, 5, in / 5, FORM_DENSE);
    double left = 0, right = 0, size = 0;
    CHECK_OK(spx_avg_pool_forward_cuda(e->s, &d, tx.x, ty.x));
    CHECK_OK(spx_avg_pool_backward_cuda(e->s, &d, tdy.x, false, tdx.x));
    cuda_read(e, &ty, y, out);
    cuda_read(e, &tdx, dx, in);
    for (size_t i = 0; i < 2 * out; i++) {
        left += (double)dy[i] * (double)y[i];
        size += fabs((double)dy[i] * (double)y[i]);
    }
    for (size_t i = 0; i < 2 * in; i++) {
        right += (double)dx[i] * (double)x[i];
        size += fabs((double)dx[i] * (double)x[i]);
    }
    assert_true(fabs(left - right) <= tolerance(e, &d) * size);
}

SPX_TEST(backward_is_the_adjoint_of_forward)
{
    SPX_UNUSED;
    cuda_on_types(adjoint_body, NULL);
}

static void bad_body(cuda_env *e, void *ctx)
{
    const float x[16] = {0};
    const cuda_tensor t = cuda_tensor_of(e, x, 16, 1, 1, 16, FORM_DENSE);
    spx_pool2d_shape d = {.n = 1, .c = 1, .h = 4, .w = 4, .size = 3, .stride = 1, .pad = 1};
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_avg_pool_forward_cuda(e->s, NULL, t.x, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_avg_pool_forward_cuda(e->s, &d, t.x, t.x)); /* not initialised */
    CHECK_OK(spx_pool2d_shape_init(&d));
    CHECK_FAILS(SPX_EINVAL, spx_avg_pool_forward_cuda(e->s, &d, (spx_nhwc){NULL, 1, e->type}, t.x));
    CHECK_FAILS(SPX_EINVAL,
                spx_avg_pool_backward_cuda(e->s, &d, t.x, false, (spx_nhwc){t.x.data, 0, e->type}));
}

SPX_TEST(bad_arguments_are_refused)
{
    SPX_UNUSED;
    cuda_on_types(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(both_ways_equal_the_formula_however_operands_lie),
        SPX_UNIT(both_ways_equal_the_formula_at_the_networks_sizes),
        SPX_UNIT(backward_is_the_adjoint_of_forward),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_cuda_run(all_tests);
}
