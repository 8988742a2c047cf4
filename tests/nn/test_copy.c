/* Fills, layouts and types. */
#include "tests/support/spx_devices.h"

#include "kernels/nn/copy/copy.h"

static void copies_body(device_env *e, void *ctx)
{
    static const size_t sizes[][3] = {{1, 1, 1},   {2, 3, 1024}, {3, 5, 33},
                                      {2, 64, 64}, {1, 130, 31}, {70, 100, 1}};
    (void)ctx;
    for (size_t i = 0; i < FORMS * (sizeof sizes / sizeof sizes[0]); i++) {
        const size_t n = sizes[i / FORMS][0], c = sizes[i / FORMS][1], hw = sizes[i / FORMS][2];
        const size_t all = n * c * hw;
        const int64_t in = (int64_t)n, ic = (int64_t)c, ihw = (int64_t)hw;
        float *x = pile_normal(&e->p, all, 0, 1), *got = pile_copy(&e->p, x, all);
        float *want = pile_copy(&e->p, x, all), *zero = pile_bytes(&e->p, all * sizeof *zero);
        const device_tensor t = env_tensor(e, zero, c * hw, n, c, hw, (tensor_form)(i % FORMS));
        round_to_type(e->type, want, all);
        CHECK_OK(spx_from_nchw(e->s, in, ic, ihw, env_floats(e, x, all), false, t.x));
        env_read(e, &t, got, c * hw);
        CHECK_CLOSE(got, want, all, 0);
        float *flat = env_scratch(e, all * sizeof *flat);
        CHECK_OK(spx_to_nchw(e->s, in, ic, ihw, t.x, flat));
        env_fetch(e, got, flat, all * sizeof *got);
        CHECK_CLOSE(got, want, all, 0);
        CHECK_OK(spx_from_nchw(e->s, in, ic, ihw, flat, true, t.x));
        env_read(e, &t, got, c * hw);
        for (size_t k = 0; k < all; k++) {
            assert_true(got[k] == 2 * want[k]);
        }
        CHECK_OK(spx_fill(e->s, in, ic, ihw, -2.5f, t.x));
        env_read(e, &t, got, c * hw);
        for (size_t k = 0; k < all; k++) {
            assert_true(got[k] == -2.5f);
        }
        env_clear(e);
    }
}

SPX_TEST(layouts_types_and_fills_are_exact_and_leave_gaps_alone)
{
    SPX_UNUSED;
    on_each(copies_body, NULL);
}

static void convert_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < 6; i++) {
        static const size_t lengths[] = {1, 7, 8, 4099, 16384, 3000};
        const size_t n = lengths[i], skip = i % 2; /* not always aligned */
        float *x = pile_normal(&e->p, n + skip, 0, 100);
        uint16_t *got = pile_bytes(&e->p, (n + skip) * sizeof *got);
        float *dx = env_floats(e, x, n + skip);
        uint16_t *dy = env_copy(e, got, (n + skip) * sizeof *got);
        if (!e->cuda) {
            CHECK_FAILS(SPX_EUNSUPPORTED, spx_to_bf16(e->s, (int64_t)n, dx, dy));
            continue;
        }
        CHECK_OK(spx_to_bf16(e->s, (int64_t)n, dx + skip, dy + skip));
        env_fetch(e, got, dy, (n + skip) * sizeof *got);
        for (size_t k = 0; k < n; k++) {
            assert_int_equal(got[skip + k], bf16_of(x[skip + k]));
        }
        env_clear(e);
    }
}

SPX_TEST(conversion_rounds_to_nearest_even)
{
    SPX_UNUSED;
    on_each(convert_body, NULL);
}

static void bad_body(device_env *e, void *ctx)
{
    const float x[8] = {0};
    const device_tensor t = env_tensor(e, x, 8, 1, 2, 4, FORM_DENSE);
    const spx_operand none = {NULL, 8, e->type}, narrow = {t.x.data, 1, e->type};
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_fill(e->s, 1, 0, 4, 1, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_fill(e->s, 1, 2, 4, 1, none));
    CHECK_FAILS(SPX_EINVAL, spx_fill(e->s, 1, 2, 4, 1, narrow));
    CHECK_FAILS(SPX_EINVAL, spx_from_nchw(e->s, 1, 2, 4, NULL, false, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_to_nchw(e->s, 1, 2, 4, t.x, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_to_nchw(e->s, 0, 2, 4, t.x, t.x.data));
    CHECK_FAILS(SPX_EINVAL, spx_to_nchw(e->s, 1, 2, 4, none, t.x.data));
    CHECK_FAILS(SPX_EINVAL, spx_to_bf16(e->s, 1, NULL, NULL));
}

SPX_TEST(bad_arguments_are_refused)
{
    SPX_UNUSED;
    on_each(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(layouts_types_and_fills_are_exact_and_leave_gaps_alone),
        SPX_UNIT(conversion_rounds_to_nearest_even),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
