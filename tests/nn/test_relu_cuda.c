/* relu on CUDA against its specification: exact, but for the rounding of what is accumulated. */
#include "tests/support/spx_cuda.h"

#include "kernels/nn/relu/relu_cuda.h"
#include "kernels/nn/relu/relu_private.h"
#include "tests/nn/network_sizes.h"
#include "tests/nn/relu_cases.h"

typedef struct sizes {
    size_t n, c, hw;
} sizes;

static spx_relu_args ref(const sizes *k, const float *x, const float *dy, bool accumulate,
                         float *out)
{
    const size_t chw = k->c * k->hw;
    return (spx_relu_args){.n = k->n,
                           .chw = chw,
                           .x = x,
                           .dy = dy,
                           .x_stride = chw,
                           .dy_stride = chw,
                           .out_stride = chw,
                           .accumulate = accumulate,
                           .out = out};
}

static float *rounded(cuda_env *e, size_t n)
{
    float *x = pile_normal(&e->p, n, 0, 1);
    cuda_round(e->type, x, n);
    return x;
}

static void check(cuda_env *e, const sizes *k, cuda_form fx, cuda_form fy, bool accumulate)
{
    const size_t chw = k->c * k->hw, all = k->n * chw;
    const int64_t rows = (int64_t)(k->n * k->hw), c = (int64_t)k->c;
    float *x = rounded(e, all), *dy = rounded(e, all), *old = rounded(e, all);
    float *got = pile_bytes(&e->p, all * sizeof *got), *want = pile_copy(&e->p, old, all);
    const cuda_tensor tx = cuda_tensor_of(e, x, chw, k->n, k->c, k->hw, fx);
    const cuda_tensor ty = cuda_tensor_of(e, old, chw, k->n, k->c, k->hw, fy);
    const cuda_tensor tdy = cuda_tensor_of(e, dy, chw, k->n, k->c, k->hw, fy);
    const cuda_tensor tdx = cuda_tensor_of(e, old, chw, k->n, k->c, k->hw, fx);
    spx_relu_args a = ref(k, x, NULL, false, want);
    CHECK_OK(spx_relu_forward_cuda(e->s, rows, c, tx.x, ty.x));
    cuda_read(e, &ty, got, chw);
    spx_relu_forward_ref(&a);
    CHECK_CLOSE(got, want, all, 0);
    memcpy(want, old, all * sizeof *want);
    a = ref(k, x, dy, accumulate, want); /* x in y's place: the same signs */
    CHECK_OK(spx_relu_backward_cuda(e->s, rows, c, tx.x, tdy.x, accumulate, tdx.x));
    spx_relu_backward_ref(&a);
    cuda_round(e->type, want, all);
    cuda_read(e, &tdx, got, chw);
    CHECK_CLOSE(got, want, all, 0);
    CHECK_OK(spx_relu_forward_cuda(e->s, rows, c, tx.x, tx.x)); /* in place */
    cuda_read(e, &tx, got, chw);
    a = ref(k, x, NULL, false, want);
    spx_relu_forward_ref(&a);
    CHECK_CLOSE(got, want, all, 0);
    cuda_clear(e);
}

static void on_forms(cuda_env *e, const sizes *k)
{
    for (int i = 0; i < FORMS * FORMS; i++) {
        check(e, k, (cuda_form)(i / FORMS), (cuda_form)(i % FORMS), i % 2 == 1);
    }
}

static void cases_body(cuda_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < RELU_CASES; i++) { /* as rows of one channel, and as one row */
        on_forms(e, &(sizes){relu_cases[i][0], 1, relu_cases[i][1]});
        on_forms(e, &(sizes){relu_cases[i][0], relu_cases[i][1], 1});
    }
}

SPX_TEST(forward_and_backward_equal_the_formula_however_operands_lie)
{
    SPX_UNUSED;
    cuda_on_types(cases_body, NULL);
}

static void networks_body(cuda_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < NETWORK_SIZES; i++) {
        const network_size *k = &network_sizes[i];
        const sizes z = {2, (size_t)k->c, (size_t)(k->side * k->side)};
        check(e, &z, FORM_DENSE, FORM_SLICE, true);
        check(e, &z, FORM_DENSE, FORM_DENSE, false);
    }
}

SPX_TEST(both_passes_equal_the_formula_at_the_networks_sizes)
{
    SPX_UNUSED;
    cuda_on_types(networks_body, NULL);
}

static void nan_body(cuda_env *e, void *ctx)
{
    const float x[9] = {NAN, -1, 1, -INFINITY, INFINITY, 0, NAN, -2, 2};
    float y[9];
    const cuda_tensor t = cuda_tensor_of(e, x, 9, 1, 1, 9, FORM_DENSE);
    (void)ctx;
    CHECK_OK(spx_relu_forward_cuda(e->s, 9, 1, t.x, t.x));
    cuda_read(e, &t, y, 9);
    assert_true(isnan(y[0]) && isnan(y[6])); /* or divergence would hide */
    assert_true(y[1] == 0 && y[2] == 1 && y[3] == 0 && isinf(y[4]) && y[5] == 0 && y[8] == 2);
}

SPX_TEST(a_nan_stays_one)
{
    SPX_UNUSED;
    cuda_on_types(nan_body, NULL);
}

static void bad_body(cuda_env *e, void *ctx)
{
    const float x[4] = {0};
    const cuda_tensor t = cuda_tensor_of(e, x, 4, 1, 4, 1, FORM_DENSE);
    const spx_nhwc narrow = {t.x.data, 3, t.x.type}, none = {NULL, 4, t.x.type},
                   other = {t.x.data, 4, (spx_type)(1 - (int)t.x.type)};
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward_cuda(e->s, 0, 4, t.x, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward_cuda(e->s, 1, 4, narrow, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward_cuda(e->s, 1, 4, t.x, none));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward_cuda(e->s, 1, 4, t.x, other));
    CHECK_FAILS(SPX_EINVAL, spx_relu_backward_cuda(e->s, 1, 4, t.x, none, false, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward_cuda(e->s, (int64_t)1 << 40, 4, t.x, t.x));
}

SPX_TEST(bad_operands_are_refused)
{
    SPX_UNUSED;
    cuda_on_types(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(forward_and_backward_equal_the_formula_however_operands_lie),
        SPX_UNIT(both_passes_equal_the_formula_at_the_networks_sizes),
        SPX_UNIT(a_nan_stays_one),
        SPX_UNIT(bad_operands_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_cuda_run(all_tests);
}
