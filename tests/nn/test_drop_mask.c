/* Drop-path masks: what they mean, and that every device draws the same bits. */
#include "tests/support/spx_devices.h"

#include "kernels/nn/drop_mask/drop_mask.h"
#include "kernels/nn/drop_mask/drop_mask_math_private.h"

enum { N = 40001 };

typedef struct draw_of {
    float p;
    uint64_t seed, step;
    uint32_t key;
} draw_of;

static void draw(device_env *e, size_t n, draw_of d, float *mask)
{
    float *out = env_bytes(e, n * sizeof *out);
    CHECK_OK(spx_drop_mask(e->s, (int64_t)n, env_floats(e, &d.p, 1),
                           env_copy(e, &d.seed, sizeof d.seed), env_copy(e, &d.step, sizeof d.step),
                           d.key, out));
    env_fetch(e, mask, out, n * sizeof *mask);
    env_clear(e);
}

static void fair_body(device_env *e, void *ctx)
{
    static float mask[N];
    static const float ps[] = {0.0f, 0.2f, 0.5f, 0.9f};
    (void)ctx;
    for (size_t i = 0; i < sizeof ps / sizeof ps[0]; i++) {
        const double p = (double)ps[i], scale = 1 / (1 - p);
        double sum = 0;
        draw(e, N, (draw_of){ps[i], 1, 2, 3}, mask);
        for (int j = 0; j < N; j++) {
            assert_true(mask[j] == 0 || fabs((double)mask[j] - scale) <= 4 * SPX_U * scale);
            sum += (double)mask[j];
        }
        /* five standard deviations of the mean of N draws */
        assert_true(fabs(sum / N - 1) <= 5 * scale * sqrt(p * (1 - p) / N) + 4 * SPX_U);
    }
}

SPX_TEST(kept_share_is_one_less_p_and_the_mean_is_one)
{
    SPX_UNUSED;
    on_few(fair_body, NULL);
}

static void same_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t n = 1; n < 2000; n = 3 * n + 1) {
        float got[2000];
        draw(e, n, (draw_of){0.3f, 5, (uint64_t)1 << 40 | n, 77}, got);
        for (size_t i = 0; i < n; i++) { /* the same draws and one division */
            float four[4];
            spx_drop_mask_block(5, (uint64_t)1 << 40 | n, 77, 0.3f, (uint32_t)(i / 4), four);
            assert_true(got[i] == four[i % 4]);
        }
    }
}

SPX_TEST(masks_have_the_same_bits_on_every_device_with_any_threads_and_length)
{
    SPX_UNUSED;
    on_each(same_body, NULL);
}

static void apart_body(device_env *e, void *ctx)
{
    static float first[N], second[N];
    (void)ctx;
    for (uint32_t i = 1; i <= 3; i++) {
        int same = 0;
        draw(e, N, (draw_of){0.5f, 5, 6, 7}, first);
        draw(e, N, (draw_of){0.5f, 5 + (i == 1), 6 + (i == 2), 7 + (i == 3)}, second);
        for (int j = 0; j < N; j++) {
            same += first[j] == second[j];
        }
        assert_true(fabs(same / (double)N - 0.5) <= 5 * sqrt(0.25 / N)); /* as fair coins do */
    }
}

SPX_TEST(masks_of_other_seeds_steps_and_keys_are_others)
{
    SPX_UNUSED;
    on_few(apart_body, NULL);
}

static void bad_body(device_env *e, void *ctx)
{
    static const float ps[] = {0.1f, 1.0f, -0.1f, NAN};
    const uint64_t one = 1;
    float *m = env_bytes(e, sizeof *m);
    const uint64_t *k = env_copy(e, &one, sizeof one);
    (void)ctx;
    for (size_t i = 0; i < sizeof ps / sizeof ps[0]; i++) {
        const float *p = env_floats(e, &ps[i], 1);
        CHECK_FAILS(SPX_EINVAL, spx_drop_mask(e->s, 0, p, k, k, 1, m));
        CHECK_FAILS(SPX_EINVAL, spx_drop_mask(e->s, 1, p, k, k, 1, NULL));
        CHECK_FAILS(SPX_EINVAL, spx_drop_mask(e->s, 1, p, NULL, k, 1, m));
        if (i > 0 && !e->cuda) { /* CUDA's numbers are not looked at in time */
            CHECK_FAILS(SPX_EINVAL, spx_drop_mask(e->s, 1, p, k, k, 1, m));
        }
    }
    CHECK_FAILS(SPX_EINVAL, spx_drop_mask(e->s, 1, NULL, k, k, 1, m));
}

SPX_TEST(bad_arguments_are_refused)
{
    SPX_UNUSED;
    on_each(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(kept_share_is_one_less_p_and_the_mean_is_one),
        SPX_UNIT(masks_have_the_same_bits_on_every_device_with_any_threads_and_length),
        SPX_UNIT(masks_of_other_seeds_steps_and_keys_are_others),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
