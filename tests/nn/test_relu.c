/* relu against its specification: exact, but for the rounding of what is accumulated. */
#include "tests/support/spx_devices.h"

#include "kernels/nn/relu/relu.h"
#include "kernels/nn/relu/relu_private.h"
#include "tests/nn/network_sizes.h"
#include "tests/nn/relu_golden.h"

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

/* 0 is none to the operation and a NaN to the reference. */
static float to_reference(float clip)
{
    return clip == 0 ? NAN : clip;
}

static void check(device_env *e, const sizes *k, tensor_form fx, tensor_form fy, float clip,
                  bool accumulate)
{
    const size_t chw = k->c * k->hw, all = k->n * chw;
    const int64_t n = (int64_t)k->n, c = (int64_t)k->c, hw = (int64_t)k->hw;
    float *x = env_normal(e, all, 0), *dy = env_normal(e, all, 0), *old = env_normal(e, all, 0);
    float *got = pile_bytes(&e->p, all * sizeof *got), *want = pile_copy(&e->p, old, all);
    const device_tensor tx = env_tensor(e, x, chw, k->n, k->c, k->hw, fx);
    const device_tensor ty = env_tensor(e, old, chw, k->n, k->c, k->hw, fy);
    const device_tensor tdy = env_tensor(e, dy, chw, k->n, k->c, k->hw, fy);
    const device_tensor tdx = env_tensor(e, old, chw, k->n, k->c, k->hw, fx);
    spx_relu_args a = {.n = n,
                       .c = c,
                       .hw = hw,
                       .clip = to_reference(clip),
                       .x = on_host(x, k),
                       .dy = on_host(dy, k),
                       .out = on_host(want, k),
                       .accumulate = accumulate};
    CHECK_OK(spx_relu_forward(e->s, n, c, hw, clip, tx.x, ty.x));
    env_read(e, &ty, got, chw);
    spx_relu_forward_ref(&a);
    CHECK_CLOSE(got, want, all, 0);
    CHECK_OK(spx_relu_backward(e->s, n, c, hw, clip, tx.x, tdy.x, accumulate, tdx.x)); /* x as y */
    env_read(e, &tdx, got, chw);
    memcpy(want, old, all * sizeof *want);
    spx_relu_backward_ref(&a);
    round_to_type(e->type, want, all);
    CHECK_CLOSE(got, want, all, 0); /* one addition, rounded alike */
    CHECK_OK(spx_relu_forward(e->s, n, c, hw, clip, tx.x, tx.x));
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
              (tensor_form)(form % FORMS), i % 3 == 0 ? 0.5f : 0, i % 2 == 1);
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
        check(e, &z, FORM_DENSE, FORM_SLICE, 0, true);
        check(e, &z, FORM_DENSE, FORM_DENSE, 0.75f, false);
    }
}

SPX_TEST(both_passes_equal_the_formula_at_the_networks_sizes)
{
    SPX_UNUSED;
    on_each(networks_body, NULL);
}

/* Positions as the device has them: (c, hw), on CUDA (hw, c); and back. */
static void turn(const device_env *e, const sizes *k, bool back, const float *from, float *to)
{
    for (size_t i = 0; i < k->c * k->hw; i++) {
        const size_t there = e->cuda ? i % k->hw * k->c + i / k->hw : i;
        to[back ? i : there] = from[back ? there : i];
    }
}

static float *on_device(device_env *e, const sizes *k, const float *x)
{
    float *turned = pile_bytes(&e->p, k->c * k->hw * sizeof *turned);
    turn(e, k, false, x, turned);
    return env_floats(e, turned, k->c * k->hw);
}

static void fetch_turned(device_env *e, const sizes *k, const float *device, float *x)
{
    float *turned = pile_bytes(&e->p, k->c * k->hw * sizeof *turned);
    env_fetch(e, turned, device, k->c * k->hw * sizeof *turned);
    turn(e, k, true, turned, x);
}

/* A mask of zeros and ones where `hard`, else of those and of numbers around them. */
static float *make_mask(device_env *e, const sizes *k, bool hard)
{
    float *m = pile_normal(&e->p, k->c * k->hw, 0.5f, 1);
    for (size_t i = 0; i < k->c * k->hw; i++) {
        m[i] = hard || i % 3 == 0 ? (float)(m[i] > 0.5f) : m[i];
    }
    return m;
}

/* A product, then an addition that may be fused with it: half a unit in the last place of the
 * product, which is at most as large as what is compared, or of a term a million smaller. */
#define FUSED 0x1p-23

/* Of sums of n products, beside the reference's double: n+1 roundings of partial sums, which may be
 * sqrt(n) times as large as the sum (signs are random); 8 is beyond chance. */
static double summed(const sizes *k)
{
    return 8 * (double)(k->n + 1) * 0x1p-24 * sqrt((double)k->n);
}

static void check_masked(device_env *e, const sizes *k, tensor_form fx, tensor_form fy, float clip,
                         bool hard, bool accumulate)
{
    const size_t chw = k->c * k->hw, all = k->n * chw;
    const int64_t n = (int64_t)k->n, c = (int64_t)k->c, hw = (int64_t)k->hw;
    float *x = env_normal(e, all, 0), *dy = env_normal(e, all, 0), *old = env_normal(e, all, 0);
    float *m = make_mask(e, k, hard), *dm = pile_normal(&e->p, chw, 0, 1);
    float *got = pile_bytes(&e->p, all * sizeof *got), *want = pile_copy(&e->p, old, all);
    const device_tensor tx = env_tensor(e, x, chw, k->n, k->c, k->hw, fx);
    const device_tensor ty = env_tensor(e, old, chw, k->n, k->c, k->hw, fy);
    const device_tensor tdy = env_tensor(e, dy, chw, k->n, k->c, k->hw, fy);
    const device_tensor tdx = env_tensor(e, old, chw, k->n, k->c, k->hw, fx);
    const float *const mask = on_device(e, k, m);
    float *const dmask = on_device(e, k, dm);
    spx_relu_args a = {
        n,          c, hw, to_reference(clip), on_host(x, k), on_host(dy, k), on_host(want, k),
        accumulate, m, dm, accumulate};
    CHECK_OK(spx_relu_masked_forward(e->s, n, c, hw, clip, mask, tx.x, ty.x));
    env_read(e, &ty, got, chw);
    spx_relu_masked_forward_ref(&a);
    round_to_type(e->type, want, all);
    CHECK_CLOSE(got, want, all, 0);
    spx_relu_grad g = {tdx.x, dmask, accumulate, accumulate};
    CHECK_OK(spx_relu_masked_backward(e->s, n, c, hw, clip, mask, tx.x, tdy.x, &g));
    memcpy(want, old, all * sizeof *want);
    spx_relu_masked_backward_ref(&a);
    round_to_type(e->type, want, all);
    env_read(e, &tdx, got, chw);
    CHECK_CLOSE(got, want, all, hard ? 0 : FUSED + env_rounding(e));
    fetch_turned(e, k, dmask, got);
    CHECK_CLOSE(got, dm, chw, summed(k));
    g = (spx_relu_grad){.x = tdy.x}; /* in dy's place, the input's alone */
    CHECK_OK(spx_relu_masked_backward(e->s, n, c, hw, clip, mask, tx.x, tdy.x, &g));
    a.accumulate = false;
    a.dmask = NULL;
    spx_relu_masked_backward_ref(&a);
    round_to_type(e->type, want, all);
    env_read(e, &tdy, got, chw);
    CHECK_CLOSE(got, want, all, 0);
    CHECK_OK(spx_relu_masked_forward(e->s, n, c, hw, clip, mask, tx.x, tx.x)); /* in place */
    env_clear(e);
}

static void masked_body(device_env *e, void *ctx)
{
    const size_t step = e->cuda ? 1 : FORMS + 1;
    (void)ctx;
    for (size_t i = 0; i < CASES * FORMS * FORMS; i += step) {
        const int form = (int)(i % (FORMS * FORMS));
        check_masked(e, &cases[i / (FORMS * FORMS)], (tensor_form)(form / FORMS),
                     (tensor_form)(form % FORMS), i % 3 == 0 ? 0.5f : 0, i % 4 < 2, i % 2 == 1);
    }
    for (size_t i = 0; i < NETWORK_SIZES; i++) {
        const network_size *k = &network_sizes[i];
        const sizes z = {11, (size_t)k->c, (size_t)(k->side * k->side)};
        check_masked(e, &z, FORM_DENSE, i % 2 == 0 ? FORM_DENSE : FORM_SLICE, 0, i < 2, false);
    }
}

SPX_TEST(a_masked_one_equals_its_formula_however_operands_lie)
{
    SPX_UNUSED;
    on_each(masked_body, NULL);
}

/* Two roundings of a number, and on bf16 its storing; three of each of the N terms of a mask's
 * gradient, which may be some times as large as their sum. */
static void golden_body(device_env *e, void *ctx)
{
    const sizes k = {GOLDEN_N, GOLDEN_C, GOLDEN_HW};
    enum { CHW = GOLDEN_C * GOLDEN_HW, ALL = GOLDEN_N * CHW };
    const double tol = 0x1p-23 + env_rounding(e);
    float got[ALL];
    (void)ctx;
    for (int form = 0; form < FORMS; form++) {
        const tensor_form f = (tensor_form)form;
        const device_tensor x = env_tensor(e, golden_x, CHW, k.n, k.c, k.hw, f),
                            dy = env_tensor(e, golden_dy, CHW, k.n, k.c, k.hw, f),
                            out = env_tensor(e, golden_x, CHW, k.n, k.c, k.hw, f);
        const float *const mask = on_device(e, &k, golden_mask);
        const spx_relu_grad g = {.x = out.x, .mask = on_device(e, &k, golden_mask)};
        CHECK_OK(spx_relu_masked_forward(e->s, GOLDEN_N, GOLDEN_C, GOLDEN_HW, 0, mask, x.x, out.x));
        env_read(e, &out, got, CHW);
        CHECK_CLOSE(got, golden_y, ALL, tol);
        CHECK_OK(
            spx_relu_masked_backward(e->s, GOLDEN_N, GOLDEN_C, GOLDEN_HW, 0, mask, x.x, dy.x, &g));
        env_read(e, &out, got, CHW);
        CHECK_CLOSE(got, golden_dx, ALL, tol);
        fetch_turned(e, &k, g.mask, got);
        CHECK_CLOSE(got, golden_dmask, CHW, 16 * 0x1p-24);
        env_clear(e);
    }
}

SPX_TEST(a_masked_one_gives_what_pytorch_gives)
{
    SPX_UNUSED;
    on_each(golden_body, NULL);
}

/* Only the mask's gradient, of which the input has no need; in the reference's formula by hand. */
static void mask_alone_body(device_env *e, void *ctx)
{
    const float x[6] = {-2, 3, -4, 5, -0.5f, 0}, dy[6] = {1, 1, 0.5f, 7, -2, 9}, m[3] = {1, 0, 2};
    const float want[3] = {2 * 1 + 0, 0 - 2 * 0.5f, 4 * 0.5f + 0};
    const sizes k = {2, 3, 1};
    const device_tensor tx = env_tensor(e, x, 3, 2, 3, 1, FORM_DENSE),
                        tdy = env_tensor(e, dy, 3, 2, 3, 1, FORM_DENSE);
    float got[3];
    spx_relu_grad g = {.mask = on_device(e, &k, m)};
    (void)ctx;
    CHECK_OK(spx_relu_masked_backward(e->s, 2, 3, 1, 0, on_device(e, &k, m), tx.x, tdy.x, &g));
    fetch_turned(e, &k, g.mask, got);
    CHECK_CLOSE(got, want, 3, 0);
}

SPX_TEST(a_masks_gradient_can_be_had_alone)
{
    SPX_UNUSED;
    on_each(mask_alone_body, NULL);
}

/* With 1 everywhere the ReLU's very bits, with 0 the input's: whatever the numbers. */
static void exact_body(device_env *e, void *ctx)
{
    const float odd[12] = {NAN, -1, 1, -INFINITY, INFINITY, 0, -0.0f, -2, 2, 1e-38f, -1e-38f, 3};
    const float one[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, zero[12] = {0};
    float plain[12], got[12], in[12];
    const sizes k = {1, 2, 6};
    (void)ctx;
    for (int pass = 0; pass < 2; pass++) { /* forward; backward, of each number by each */
        for (int shift = 0; shift < (pass == 0 ? 1 : 12); shift++) {
            float dy[12];
            for (int i = 0; i < 12; i++) {
                dy[i] = odd[(i + shift) % 12];
            }
            const device_tensor x = env_tensor(e, odd, 12, 1, 2, 6, FORM_DENSE),
                                d = env_tensor(e, dy, 12, 1, 2, 6, FORM_DENSE),
                                y = env_tensor(e, odd, 12, 1, 2, 6, FORM_DENSE);
            const float *const m[2] = {on_device(e, &k, one), on_device(e, &k, zero)};
            const spx_relu_grad g = {.x = y.x};
            CHECK_OK(pass == 0 ? spx_relu_forward(e->s, 1, 2, 6, 0, x.x, y.x)
                               : spx_relu_backward(e->s, 1, 2, 6, 0, x.x, d.x, false, y.x));
            env_read(e, &y, plain, 12);
            for (int mask = 0; mask < 2; mask++) {
                CHECK_OK(pass == 0
                             ? spx_relu_masked_forward(e->s, 1, 2, 6, 0, m[mask], x.x, y.x)
                             : spx_relu_masked_backward(e->s, 1, 2, 6, 0, m[mask], x.x, d.x, &g));
                env_read(e, &y, got, 12);
                env_read(e, pass == 0 ? &x : &d, in, 12);
                for (int i = 0; i < 12 && pass == 1; i++) { /* a gradient's zero needs no sign */
                    got[i] = got[i] == 0 ? 0 : got[i];
                    plain[i] = plain[i] == 0 ? 0 : plain[i];
                    in[i] = in[i] == 0 ? 0 : in[i];
                }
                assert_memory_equal(got, mask == 0 ? plain : in, sizeof got);
            }
            env_clear(e);
        }
    }
}

SPX_TEST(a_mask_of_ones_is_the_relu_and_one_of_zeros_nothing_to_the_bit)
{
    SPX_UNUSED;
    on_each(exact_body, NULL);
}

static void nan_body(device_env *e, void *ctx)
{
    const float x[9] = {NAN, -1, 1, -INFINITY, INFINITY, 0, NAN, -2, 2};
    float y[9];
    const device_tensor t = env_tensor(e, x, 9, 1, 1, 9, FORM_DENSE);
    (void)ctx;
    CHECK_OK(spx_relu_forward(e->s, 1, 1, 9, 0, t.x, t.x));
    env_read(e, &t, y, 9);
    assert_true(isnan(y[0]) && isnan(y[6])); /* or divergence would hide */
    assert_true(y[1] == 0 && y[2] == 1 && y[3] == 0 && isinf(y[4]) && y[5] == 0 && y[8] == 2);
}

SPX_TEST(a_nan_stays_one)
{
    SPX_UNUSED;
    on_each(nan_body, NULL);
}

/* By hand: ReLU6 with a ReLU kept, half of one and none; at 6 itself nothing goes through. */
static void clipped_body(device_env *e, void *ctx)
{
    const float x[9] = {-2, 3, 8, -2, 3, 8, -2, 3, 8}, m[9] = {1, 1, 1, 0.5f, 0.5f, 0.5f, 0, 0, 0};
    const float y6[9] = {0, 3, 6, -1, 3, 7, -2, 3, 8}, one[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    const float dx6[9] = {0, 1, 0, 0.5f, 1, 0.5f, 1, 1, 1}, dm6[9] = {2, 0, -2, 2, 0, -2, 2, 0, -2};
    const float at[9] = {NAN, 6, INFINITY, -INFINITY, 5.5f, 7, 0, -1, 6.5f};
    const sizes k = {1, 9, 1};
    const device_tensor t = env_tensor(e, x, 9, 1, 9, 1, FORM_DENSE),
                        out = env_tensor(e, x, 9, 1, 9, 1, FORM_DENSE),
                        dy = env_tensor(e, one, 9, 1, 9, 1, FORM_DENSE),
                        odd = env_tensor(e, at, 9, 1, 9, 1, FORM_DENSE);
    const float *const mask = on_device(e, &k, m);
    const spx_relu_grad g = {.x = out.x, .mask = on_device(e, &k, m)};
    float got[9];
    (void)ctx;
    CHECK_OK(spx_relu_masked_forward(e->s, 1, 9, 1, 6, mask, t.x, out.x));
    env_read(e, &out, got, 9);
    CHECK_CLOSE(got, y6, 9, 0);
    CHECK_OK(spx_relu_masked_backward(e->s, 1, 9, 1, 6, mask, t.x, dy.x, &g));
    env_read(e, &out, got, 9);
    CHECK_CLOSE(got, dx6, 9, 0);
    fetch_turned(e, &k, g.mask, got);
    CHECK_CLOSE(got, dm6, 9, 0);
    CHECK_OK(spx_relu_backward(e->s, 1, 9, 1, 6, odd.x, dy.x, false, out.x));
    env_read(e, &out, got, 9);
    assert_true(got[1] == 0 && got[2] == 0 && got[3] == 0 && got[4] == 1 && got[6] == 0);
    CHECK_OK(spx_relu_forward(e->s, 1, 9, 1, 6, odd.x, out.x));
    env_read(e, &out, got, 9);
    assert_true(isnan(got[0]) && got[1] == 6 && got[2] == 6 && got[3] == 0 && got[4] == 5.5f);
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(e->s, 1, 9, 1, -1, t.x, out.x));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(e->s, 1, 9, 1, NAN, t.x, out.x));
    CHECK_FAILS(SPX_EINVAL, spx_relu_backward(e->s, 1, 9, 1, INFINITY, t.x, dy.x, false, out.x));
}

SPX_TEST(a_clip_bounds_the_output_and_its_gradient)
{
    SPX_UNUSED;
    on_each(clipped_body, NULL);
}

static void bad_body(device_env *e, void *ctx)
{
    const float x[4] = {0};
    const device_tensor t = env_tensor(e, x, 4, 1, 4, 1, FORM_DENSE);
    const spx_operand narrow = {t.x.data, 3, t.x.type}, none = {NULL, 4, t.x.type},
                      other = {t.x.data, 4, (spx_type)(1 - (int)t.x.type)};
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(e->s, 0, 4, 1, 0, t.x, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(e->s, 1, 4, 1, 0, narrow, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(e->s, 1, 4, 1, 0, t.x, none));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(e->s, 1, 4, 1, 0, t.x, other));
    CHECK_FAILS(SPX_EINVAL, spx_relu_backward(e->s, 1, 4, 1, 0, t.x, none, false, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_relu_forward(e->s, (int64_t)1 << 40, 4, 1, 0, t.x, t.x));
    const float *const m = env_floats(e, x, 4);
    const spx_relu_grad g = {.x = t.x}, neither = {.accumulate = true}, thin = {.x = narrow};
    CHECK_FAILS(SPX_EINVAL, spx_relu_masked_forward(e->s, 1, 4, 1, 0, NULL, t.x, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_relu_masked_forward(e->s, 1, 4, 1, 0, m, narrow, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_relu_masked_backward(e->s, 1, 4, 1, 0, NULL, t.x, t.x, &g));
    CHECK_FAILS(SPX_EINVAL, spx_relu_masked_backward(e->s, 1, 4, 1, 0, m, none, t.x, &g));
    CHECK_FAILS(SPX_EINVAL, spx_relu_masked_backward(e->s, 1, 4, 1, 0, m, t.x, t.x, &neither));
    CHECK_FAILS(SPX_EINVAL, spx_relu_masked_backward(e->s, 1, 4, 1, 0, m, t.x, t.x, &thin));
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
        SPX_UNIT(a_masked_one_equals_its_formula_however_operands_lie),
        SPX_UNIT(a_masked_one_gives_what_pytorch_gives),
        SPX_UNIT(a_masks_gradient_can_be_had_alone),
        SPX_UNIT(a_mask_of_ones_is_the_relu_and_one_of_zeros_nothing_to_the_bit),
        SPX_UNIT(a_clip_bounds_the_output_and_its_gradient),
        SPX_UNIT(bad_operands_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
