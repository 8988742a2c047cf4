#include "data/augment/augment.h"
#include "tests/support/spx_test.h"

#include <stdlib.h>

enum { C = 2, FROM_H = 5, FROM_W = 4, H = 8, W = 7, PIXELS = C * H * W };

static const double mean[C] = {0.25, 0.5}, deviation[C] = {0.5, 0.125};
static const spx_augment_shape shape = {C, FROM_H, FROM_W, H, W};
static uint8_t image[C * FROM_H * FROM_W];

static void make(spx_normalise *n)
{
    for (size_t i = 0; i < sizeof image; i++) {
        image[i] = (uint8_t)(1 + 7 * i); /* no black, so that padding shows */
    }
    CHECK_OK(spx_normalise_init(n, C, mean, deviation));
}

/* The stored pixel at (y, x) of the black-padded sample. */
static int padded(int c, int y, int x)
{
    const int row = y - (H - FROM_H) / 2, column = x - (W - FROM_W) / 2;
    return row < 0 || row >= FROM_H || column < 0 || column >= FROM_W
               ? 0
               : image[(c * FROM_H + row) * FROM_W + column];
}

/* What augment.h says, pixel by pixel. */
static void reference(const spx_augment *a, const spx_augment_draw *d, float *out)
{
    for (int c = 0; c < C; c++) {
        for (int y = 0; y < H; y++) {
            for (int x = 0; x < W; x++) {
                const int before = d->flip ? W - 1 - x : x;
                const int v = padded(c, y + d->dy, before + d->dx);
                const int top = d->cut_y - a->cutout / 2, left = d->cut_x - a->cutout / 2;
                const bool erased =
                    y >= top && y < top + a->cutout && x >= left && x < left + a->cutout;
                out[(c * H + y) * W + x] =
                    erased ? 0 : (float)((v / 255.0 - mean[c]) / deviation[c]);
            }
        }
    }
}

SPX_TEST(every_draw_gives_what_the_definition_says)
{
    SPX_UNUSED;
    const spx_augment a = {.pad_crop = 4, .flip = true, .cutout = 3};
    float got[PIXELS], want[PIXELS];
    spx_normalise n;
    make(&n);
    for (int i = 0; i < 9 * 9 * 2; i++) {
        const spx_augment_draw d = {i % 9 - 4, i / 9 % 9 - 4, i / 81 == 1, i % H, i % W};
        memset(got, 0xff, sizeof got); /* NaN: every element must be written */
        spx_augment_apply(&a, &d, &n, &shape, image, got);
        reference(&a, &d, want);
        assert_memory_equal(got, want, sizeof got);
    }
}

SPX_TEST(a_crop_that_leaves_the_image_is_all_black)
{
    SPX_UNUSED;
    const spx_augment a = {.pad_crop = SPX_AUGMENT_MAX_PAD};
    const spx_augment_draw far[] = {
        {H, 0, false, 0, 0}, {0, -W, true, 0, 0}, {-60, 60, true, 0, 0}};
    float got[PIXELS];
    spx_normalise n;
    make(&n);
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        spx_augment_apply(&a, &far[i], &n, &shape, image, got);
        for (int j = 0; j < PIXELS; j++) {
            assert_true(got[j] == n.value[j / (H * W)][0]);
        }
    }
}

SPX_TEST(without_augmentation_the_sample_is_the_centred_image)
{
    SPX_UNUSED;
    const spx_augment none = {0};
    spx_augment_draw d;
    spx_normalise n;
    spx_rng rng;
    float got[PIXELS];
    make(&n);
    spx_rng_init(&rng, 1, SPX_RNG_AUGMENT, 2);
    spx_augment_choose(&none, H, W, &rng, &d);
    assert_int_equal(rng.counter, 0); /* what is off draws nothing */
    spx_augment_apply(&none, &d, &n, &shape, image, got);
    assert_true(got[0] == (float)((0 - mean[0]) / deviation[0]));
    assert_true(got[1 * W + 1] == (float)((image[0] / 255.0 - mean[0]) / deviation[0]));
}

SPX_TEST(draws_cover_their_ranges_evenly)
{
    SPX_UNUSED;
    const spx_augment a = {.pad_crop = 4, .flip = true, .cutout = 3};
    int dy[9] = {0}, dx[9] = {0}, flips = 0, y[H] = {0}, x[W] = {0};
    for (uint64_t i = 0; i < 9000; i++) {
        spx_augment_draw d;
        spx_rng rng;
        spx_rng_init(&rng, 3, SPX_RNG_AUGMENT, i);
        spx_augment_choose(&a, H, W, &rng, &d);
        assert_true(d.dy >= -4 && d.dy <= 4 && d.dx >= -4 && d.dx <= 4);
        assert_true(d.cut_y >= 0 && d.cut_y < H && d.cut_x >= 0 && d.cut_x < W);
        dy[d.dy + 4]++;
        dx[d.dx + 4]++;
        flips += d.flip;
        y[d.cut_y]++;
        x[d.cut_x]++;
    }
    /* Binomial: 9000/9 = 1000, deviation sqrt(1000 * 8/9) = 30; six of them on either side. */
    for (int i = 0; i < 9; i++) {
        assert_in_range(dy[i], 820, 1180);
        assert_in_range(dx[i], 820, 1180);
    }
    assert_in_range(flips, 4500 - 285, 4500 + 285); /* deviation sqrt(9000)/2 = 47 */
    for (int i = 0; i < H; i++) {
        assert_in_range(y[i], 1125 - 190, 1125 + 190); /* sqrt(1125 * 7/8) = 31 */
    }
    for (int i = 0; i < W; i++) {
        assert_in_range(x[i], 1286 - 200, 1286 + 200); /* sqrt(1286 * 6/7) = 33 */
    }
}

SPX_TEST(bad_settings_are_refused)
{
    SPX_UNUSED;
    const double zero[C] = {1, 0}, nan_mean[C] = {NAN, 0};
    spx_normalise n;
    CHECK_FAILS(SPX_EINVAL, spx_normalise_init(&n, 0, mean, deviation));
    CHECK_FAILS(SPX_EINVAL, spx_normalise_init(&n, SPX_AUGMENT_MAX_CHANNELS + 1, mean, deviation));
    CHECK_FAILS(SPX_EINVAL, spx_normalise_init(&n, C, mean, zero));
    CHECK_FAILS(SPX_EINVAL, spx_normalise_init(&n, C, nan_mean, deviation));
    CHECK_FAILS(SPX_EINVAL, spx_augment_check(&(spx_augment){.pad_crop = -1}, H, W));
    CHECK_FAILS(SPX_EINVAL, spx_augment_check(&(spx_augment){.pad_crop = 65}, H, W));
    CHECK_FAILS(SPX_EINVAL, spx_augment_check(&(spx_augment){.cutout = W + 1}, H, W));
    CHECK_FAILS(SPX_EINVAL, spx_augment_check(&(spx_augment){.cutout = -1}, H, W));
    CHECK_OK(spx_augment_check(&(spx_augment){64, true, W}, H, W));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(every_draw_gives_what_the_definition_says),
        SPX_UNIT(a_crop_that_leaves_the_image_is_all_black),
        SPX_UNIT(without_augmentation_the_sample_is_the_centred_image),
        SPX_UNIT(draws_cover_their_ranges_evenly),
        SPX_UNIT(bad_settings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
