/* relu against its specification: exact, but for the rounding of what is accumulated. */
#include "tests/support/spx_devices.h"

#include "kernels/nn/relu/relu.h"
#include "kernels/nn/relu/relu_private.h"
#include "tests/nn/network_sizes.h"

typedef struct sizes {
    size_t n, c, hw;
} sizes;

/* Around a part of the CPU's, and a prime; as rows of one channel and as one row each. */
static const sizes cases[] = {
    {1, 1, 1}, {3, 1, 7},    {2, 1, 4096}, {3, 1, 4097}, {5, 1, 10000},
    {3, 7, 1}, {2, 4096, 1}, {3, 4097, 1}, {3, 5, 77},
};
#define CASES (sizeof cases / sizeof cases[0])

static spx_operand on_host(float *x, const sizes *k)
{
    return (spx_operand){x, (int64_t)(k->c * k->hw), SPX_TYPE_F32};
}

static void check(device_env *e, const sizes *k, tensor_form fx, tensor_form fy, bool accumulate)
{
    const size_t chw = k->c * k->hw, all = k->n * chw;
    const int64_t n = (int64_t)k->n, c = (int64_t)k->c, hw = (int64_t)k->hw;
    float *x = env_normal(e, all, 0), *dy = env_normal(e, all, 0), *old = env_normal(e, all, 0);
    float *got = pile_bytes(&e->p, all * sizeof *got), *want = pile_copy(&e->p, old, all);
    const device_tensor tx = env_tensor(e, x, chw, k->n, k->c, k->hw, fx);
    const device_tensor ty = env_tensor(e, old, chw, k->n, k->c, k->hw, fy);
    const device_tensor tdy = env_tensor(e, dy, chw, k->n, k->c, k->hw, fy);
    const device_tensor tdx = env_tensor(e, old, chw, k->n, k->c, k->hw, fx);
    spx_relu_args a = {n, c, hw, on_host(x, k), on_host(dy, k), on_host(want, k), accumulate};
    CHECK_OK(spx_relu_forward(e->s, n, c, hw, tx.x, ty.x));
    env_read(e, &ty, got, chw);
    spx_relu_forward_ref(&a);
    CHECK_CLOSE(got, want, all, 0);
    CHECK_OK(spx_relu_backward(e->s, n, c, hw, tx.x, tdy.x, accumulate, tdx.x)); /* x as y */
    env_read(e, &tdx, got, chw);
    memcpy(want, old, all * sizeof *want);
    spx_relu_backward_ref(&a);
    round_to_type(e->type, want, all);
    CHECK_CLOSE(got, want, all, 0); /* one addition, rounded alike */
    CHECK_OK(spx_relu_forward(e->s, n, c, hw, tx.x, tx.x));
    env_read(e, &tx, got, chw);
    spx_relu_forward_ref(&a);
    CHECK_CLOSE(got, want, all, 0);
    env_clear(e);
}

static void cases_body(device_env *e, void *ctx)
{
    const size_t step = e->cuda ? 1 : FORMS + 1; /* the CPU looks at no two strides together */
    (void)ctx;
    for (size_t i = 0; i < CASES * FORMS * FORMS; i += step) {
        const int form = (int)(i % (FORMS * FORMS));
        check(e, &cases[i / (FORMS * FORMS)], (tensor_form)(form / FORMS),
              (tensor_form)(form % FORMS), i % 2 == 1);
    }
}

SPX_TEST(forward_and_backward_equal_the_formula_however_operands_lie)
{
    SPX_UNUSED;
    on_each(cases_body, NULL);
}

static void networks_body(device_env *e, void *ctx)
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
    on_each(networks_body, NULL);
}

static void nan_body(device_env *e, void *ctx)
{
    const float x[9] = {NAN, -1, 1, -INFINITY, INFINITY, 0, NAN, -2, 2};
    float y[9];
    const device_tensor t = env_tensor(e, x, 9, 1, 1, 9, FORM_DENSE);
    (void)ctx;
    CHECK_OK(spx_relu_forward(e->s, 1, 1, 9, t.x, t.x));
    env_read(e, &t, y, 9);
    assert_true(isnan(y[0]) && isnan(y[6])); /* or divergence would hide */
    assert_true(y[1] == 0 && y[2] == 1 && y[3] == 0 && isinf(y[4]) && y[5] == 0 && y[8] == 2);
}

SPX_TEST(a_nan_stays_one)
{
    SPX_UNUSED;
    on_each(nan_body, NULL);
}

static void bad_body(device_env *e, void *ctx)
{
    const float x[4] = {0};
    const device_tensor t = env_tensor(e, x, 4, 1, 4, 1, FORM_DENSE);
    const spx_operand narrow = {t.x.data, 3, t.x.type}, none = {NULL, 4, t.x.type},
                      other = {t.x.data, 4, (spx_type)(1 - (int)t.x.type)};
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(e->s, 0, 4, 1, t.x, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(e->s, 1, 4, 1, narrow, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(e->s, 1, 4, 1, t.x, none));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(e->s, 1, 4, 1, t.x, other));
    CHECK_FAILS(SPX_EINVAL, spx_relu_backward(e->s, 1, 4, 1, t.x, none, false, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(e->s, (int64_t)1 << 40, 4, 1, t.x, t.x));
}

SPX_TEST(bad_operands_are_refused)
{
    SPX_UNUSED;
    on_each(bad_body, NULL);
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
    return spx_run_devices(all_tests);
}
