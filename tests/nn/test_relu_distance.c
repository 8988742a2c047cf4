/* relu_distance against the formula in double. */
#include "tests/support/spx_devices.h"

#include "kernels/nn/relu_distance/relu_distance.h"
#include "kernels/nn/relu_distance/relu_distance_private.h"

typedef struct sizes {
    size_t n, c, hw;
} sizes;

/* Around a block of positions, on either device. */
static const sizes cases[] = {{1, 1, 1},   {2, 3, 7},    {5, 1, 1023}, {3, 4, 256},
                              {2, 257, 4}, {3, 1025, 1}, {64, 8, 16}};
#define CASES (sizeof cases / sizeof cases[0])

static void distance_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < CASES * FORMS; i++) {
        const sizes *k = &cases[i / FORMS];
        const size_t chw = k->c * k->hw, all = k->n * chw;
        const int64_t n = (int64_t)k->n, c = (int64_t)k->c, hw = (int64_t)k->hw;
        float *y = env_normal(e, all, 0), *target = pile_normal(&e->p, all, 0, 1);
        float *got = pile_bytes(&e->p, chw * sizeof *got);
        const device_tensor t = env_tensor(e, y, chw, k->n, k->c, k->hw, (tensor_form)(i % FORMS));
        float *sum = env_scratch(e, chw * sizeof *sum);
        const spx_distance_args a = {
            n, c, hw, {y, (int64_t)chw, SPX_TYPE_F32}, target, pile_bytes(&e->p, chw * sizeof *y)};
        CHECK_OK(spx_relu_distance(e->s, n, c, hw, t.x, env_floats(e, target, all), sum));
        env_fetch(e, got, sum, chw * sizeof *got);
        spx_relu_distance_ref(&a);
        for (size_t at = 0; at < chw; at++) { /* a rounded difference, and a sum of n */
            assert_true(fabs((double)got[at] - (double)a.sum[at]) <=
                        ((double)k->n + 2) * SPX_U * (double)a.sum[at]);
        }
        env_clear(e);
    }
}

SPX_TEST(distances_are_summed_however_operands_lie)
{
    SPX_UNUSED;
    on_each(distance_body, NULL);
}

static void bad_body(device_env *e, void *ctx)
{
    const float x[4] = {0};
    const device_tensor t = env_tensor(e, x, 4, 1, 4, 1, FORM_DENSE);
    const spx_operand none = {NULL, 4, t.x.type}, narrow = {t.x.data, 3, t.x.type};
    float *f = env_scratch(e, 64);
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_relu_distance(e->s, 0, 4, 1, t.x, f, f));
    CHECK_FAILS(SPX_EINVAL, spx_relu_distance(e->s, 1, 4, 1, none, f, f));
    CHECK_FAILS(SPX_EINVAL, spx_relu_distance(e->s, 1, 4, 1, t.x, f, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_relu_distance(e->s, 1, 4, 1, narrow, f, f));
    CHECK_FAILS(SPX_EINVAL, spx_relu_distance(e->s, 1, 4, 1, t.x, NULL, f));
}

SPX_TEST(bad_operands_are_refused)
{
    SPX_UNUSED;
    on_few(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(distances_are_summed_however_operands_lie),
        SPX_UNIT(bad_operands_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
