/* softmax, drop masks, fills and copies on CUDA. */
#include "tests/support/spx_cuda.h"

#include "kernels/nn/copy/copy_cuda.h"
#include "kernels/nn/drop_mask/drop_mask_cuda.h"
#include "kernels/nn/softmax/softmax_cuda.h"
#include "kernels/nn/softmax/softmax_private.h"

static void softmax_body(cuda_env *e, void *ctx)
{
    static const size_t sizes[][2] = {{1, 1}, {14, 7}, {3, 32}, {5, 33}, {9, 1000}};
    (void)ctx;
    for (size_t i = 0; i < 2 * (sizeof sizes / sizeof sizes[0]); i++) {
        const size_t rows = sizes[i / 2][0], cols = sizes[i / 2][1], all = rows * cols;
        const int64_t r = (int64_t)rows, c = (int64_t)cols;
        float *x = pile_normal(&e->p, all, 0, 30), *dy = pile_normal(&e->p, all, 0, 1);
        float *old = pile_normal(&e->p, all, 0, 1), *y = pile_copy(&e->p, x, all);
        float *want = pile_copy(&e->p, x, all), *dx = pile_copy(&e->p, old, all);
        float *dev = cuda_floats(e, x, all), *ddy = cuda_floats(e, dy, all),
              *ddx = cuda_floats(e, old, all), *out = cuda_floats(e, x, all);
        CHECK_OK(spx_softmax_forward_cuda(e->s, r, c, dev, out));
        cuda_fetch(e, y, out, all * sizeof *y);
        spx_softmax_forward_ref(rows, cols, x, want);
        for (size_t k = 0; k < all; k++) { /* both in double, rounded once each */
            assert_true(fabs((double)y[k] - (double)want[k]) <= 3 * SPX_U * (double)want[k]);
        }
        CHECK_OK(spx_softmax_backward_cuda(e->s, r, c, out, ddy, i % 2 == 1, ddx));
        cuda_fetch(e, dx, ddx, all * sizeof *dx);
        spx_softmax_backward_ref(rows, cols, y, dy, i % 2 == 1, old);
        for (size_t k = 0; k < all; k++) {
            assert_true(fabs((double)dx[k] - (double)old[k]) <=
                        3 * SPX_U * fabs((double)old[k]) + 1e-14);
        }
        cuda_clear(e);
    }
    CHECK_FAILS(SPX_EINVAL, spx_softmax_forward_cuda(e->s, 0, 1, NULL, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_softmax_backward_cuda(e->s, 1, 1, NULL, NULL, false, NULL));
}

SPX_TEST(softmax_and_its_gradient_equal_the_formula)
{
    SPX_UNUSED;
    cuda_on_types(softmax_body, NULL);
}

static void masks_body(cuda_env *e, void *ctx)
{
    static const float ps[] = {0.0f, 0.2f, 0.5f, 0.9f};
    spx_stream *cpu;
    (void)ctx;
    CHECK_OK(spx_stream_create(&cpu, SPX_DEVICE_CPU, 1));
    for (size_t i = 0; i < 4; i++) {
        for (size_t n = 1; n < 2000; n = 3 * n + 1) {
            const uint64_t numbers[2] = {5 + i, (uint64_t)1 << 40 | n};
            float *got = pile_bytes(&e->p, n * sizeof *got), *want = pile_bytes(&e->p, n * 4);
            const uint64_t *d = cuda_copy(e, numbers, sizeof numbers);
            const float *p = cuda_floats(e, &ps[i], 1);
            float *mask = cuda_floats(e, want, n);
            CHECK_OK(spx_drop_mask_cuda(e->s, (int64_t)n, p, d, d + 1, 77, mask));
            cuda_fetch(e, got, mask, n * sizeof *got);
            CHECK_OK(spx_drop_mask(cpu, (int64_t)n, ps[i], numbers[0], numbers[1], 77, want));
            CHECK_CLOSE(got, want, n, 0); /* the same draws and one division */
        }
    }
    CHECK_FAILS(SPX_EINVAL, spx_drop_mask_cuda(e->s, 0, NULL, NULL, NULL, 0, NULL));
    spx_stream_destroy(cpu);
}

SPX_TEST(drop_masks_have_the_cpus_bits)
{
    SPX_UNUSED;
    cuda_on_types(masks_body, NULL);
}

static void copies_body(cuda_env *e, void *ctx)
{
    static const size_t sizes[][3] = {{1, 1, 1},   {2, 3, 1024}, {3, 5, 33},
                                      {2, 64, 64}, {1, 130, 31}, {70, 100, 1}};
    (void)ctx;
    for (size_t i = 0; i < FORMS * (sizeof sizes / sizeof sizes[0]); i++) {
        const size_t n = sizes[i / FORMS][0], c = sizes[i / FORMS][1], hw = sizes[i / FORMS][2];
        const size_t all = n * c * hw;
        float *x = pile_normal(&e->p, all, 0, 1), *got = pile_copy(&e->p, x, all);
        float *want = pile_copy(&e->p, x, all), *zero = pile_bytes(&e->p, all * sizeof *zero);
        const cuda_tensor t = cuda_tensor_of(e, zero, c * hw, n, c, hw, (cuda_form)(i % FORMS));
        float *planes = cuda_floats(e, x, all), *back = cuda_floats(e, zero, all);
        cuda_round(e->type, want, all);
        CHECK_OK(spx_from_nchw_cuda(e->s, (int64_t)n, (int64_t)c, (int64_t)hw, planes, t.x));
        CHECK_OK(spx_to_nchw_cuda(e->s, (int64_t)n, (int64_t)c, (int64_t)hw, t.x, back));
        cuda_read(e, &t, got, c * hw);
        CHECK_CLOSE(got, want, all, 0);
        cuda_fetch(e, got, back, all * sizeof *got);
        CHECK_CLOSE(got, want, all, 0);
        CHECK_OK(spx_fill_cuda(e->s, (int64_t)(n * hw), (int64_t)c, -2.5f, t.x));
        cuda_read(e, &t, got, c * hw);
        for (size_t k = 0; k < all; k++) {
            assert_true(got[k] == -2.5f);
        }
        cuda_clear(e);
    }
}

SPX_TEST(layouts_types_and_fills_are_exact_and_leave_gaps_alone)
{
    SPX_UNUSED;
    cuda_on_types(copies_body, NULL);
}

static void convert_body(cuda_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < 6; i++) {
        static const size_t lengths[] = {1, 7, 8, 4099, 16384, 3000};
        const size_t n = lengths[i], skip = i % 2; /* not always aligned */
        float *x = pile_normal(&e->p, n + skip, 0, 100);
        uint16_t *got = pile_bytes(&e->p, (n + skip) * sizeof *got);
        float *dx = cuda_floats(e, x, n + skip);
        uint16_t *dy = cuda_copy(e, got, (n + skip) * sizeof *got);
        CHECK_OK(spx_to_bf16_cuda(e->s, (int64_t)n, dx + skip, dy + skip));
        cuda_fetch(e, got, dy, (n + skip) * sizeof *got);
        for (size_t k = 0; k < n; k++) {
            assert_int_equal(got[skip + k], bf16_of(x[skip + k]));
        }
        cuda_clear(e);
    }
    CHECK_FAILS(SPX_EINVAL, spx_to_bf16_cuda(e->s, 1, NULL, NULL));
}

SPX_TEST(conversion_rounds_to_nearest_even)
{
    SPX_UNUSED;
    cuda_on_types(convert_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(softmax_and_its_gradient_equal_the_formula),
        SPX_UNIT(drop_masks_have_the_cpus_bits),
        SPX_UNIT(layouts_types_and_fills_are_exact_and_leave_gaps_alone),
        SPX_UNIT(conversion_rounds_to_nearest_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_cuda_run(all_tests);
}
