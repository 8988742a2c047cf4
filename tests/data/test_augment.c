#include "data/augment/augment.h"
#include "tests/support/spx_test.h"

#include <stdlib.h>

enum { C = 2, FROM_H = 5, FROM_W = 4, H = 8, W = 7, PIXELS = C * H * W };

static const double mean[C] = {0.25, 0.5}, deviation[C] = {0.5, 0.125};
static const spx_augment_shape shape = {C, FROM_H, FROM_W, H, W, false};
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
        const spx_augment_draw d = {.dy = i % 9 - 4,
                                    .dx = i / 9 % 9 - 4,
                                    .flip = i / 81 == 1,
                                    .cut_y = i % H,
                                    .cut_x = i % W};
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
        {.dy = H}, {.dx = -W, .flip = true}, {.dy = -60, .dx = 60, .flip = true}};
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
    spx_augment_choose(&none, &shape, &rng, &d);
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
        spx_augment_choose(&a, &shape, &rng, &d);
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

/* ---- crops of any size, resized ---- */

enum { BIG_H = 37, BIG_W = 53 };

static uint8_t big[C * BIG_H * BIG_W];

static void make_big(void)
{
    spx_rng rng;
    spx_rng_init(&rng, 9, SPX_RNG_TEST, 1);
    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (uint8_t)spx_rng_u32(&rng);
    }
}

/* The triangle filter in double: pixel `at` of n brought to m, weight of pixel i,
 * not yet divided. */
static double triangle(int at, int i, int n, int m)
{
    const double scale = (double)n / m, support = scale > 1 ? scale : 1;
    const double centre = (at + 0.5) * scale, d = fabs(i + 0.5 - centre) / support;
    return d < 1 ? 1 - d : 0;
}

static double resized(const spx_augment_draw *d, int c, int y, int x, int height, int width)
{
    double sum = 0, weights = 0;
    for (int i = 0; i < d->box_height; i++) {
        for (int j = 0; j < d->box_width; j++) {
            const double w =
                triangle(y, i, d->box_height, height) * triangle(x, j, d->box_width, width);
            sum += w * big[(c * BIG_H + d->box_y + i) * BIG_W + d->box_x + j];
            weights += w;
        }
    }
    return sum / weights;
}

SPX_TEST(a_resized_box_is_the_triangle_filters_mean_planar_or_interleaved)
{
    static const spx_augment_draw boxes[] = {
        {.box_height = BIG_H, .box_width = BIG_W},
        {.box_y = 3, .box_x = 7, .box_height = 5, .box_width = 40, .flip = true},
        {.box_y = BIG_H - 1, .box_x = BIG_W - 1, .box_height = 1, .box_width = 1},
        {.box_y = 2, .box_x = 0, .box_height = H, .box_width = W},
        {.box_y = 30, .box_x = 50, .box_height = 7, .box_width = 2, .flip = true},
    };
    const spx_augment a = {.resized_crop = SPX_RESIZED_CROP_RANDOM};
    const spx_augment_shape planar = {C, BIG_H, BIG_W, H, W, false};
    spx_augment_shape mixed = planar;
    static uint8_t interleaved[sizeof big];
    static float got[PIXELS], again[PIXELS];
    spx_normalise n;
    SPX_UNUSED;
    make(&n);
    make_big();
    mixed.interleaved = true;
    for (int i = 0; i < BIG_H * BIG_W; i++) {
        for (int c = 0; c < C; c++) {
            interleaved[i * C + c] = big[c * BIG_H * BIG_W + i];
        }
    }
    for (size_t b = 0; b < sizeof boxes / sizeof boxes[0]; b++) {
        const spx_augment_draw *d = &boxes[b];
        spx_augment_apply(&a, d, &n, &planar, big, got);
        spx_augment_apply(&a, d, &n, &mixed, interleaved, again);
        assert_memory_equal(got, again, sizeof got);
        for (int i = 0; i < PIXELS; i++) {
            const int c = i / (H * W), y = i / W % H, x = d->flip ? W - 1 - i % W : i % W;
            const double want = resized(d, c, y, x, H, W);
            /* rounded half up; in double a value may fall just below a half that is exact */
            const int low = (int)floor(want + 0.5 - 1e-9), high = (int)floor(want + 0.5 + 1e-9);
            assert_true(got[i] == n.value[c][low] || got[i] == n.value[c][high]);
        }
    }
}

SPX_TEST(a_box_of_the_samples_own_size_is_copied)
{
    const spx_augment a = {.resized_crop = SPX_RESIZED_CROP_RANDOM};
    const spx_augment_draw d = {.box_y = 11, .box_x = 13, .box_height = H, .box_width = W};
    const spx_augment_shape planar = {C, BIG_H, BIG_W, H, W, false};
    float got[PIXELS];
    spx_normalise n;
    SPX_UNUSED;
    make(&n);
    make_big();
    spx_augment_apply(&a, &d, &n, &planar, big, got);
    for (int i = 0; i < PIXELS; i++) {
        const int c = i / (H * W), y = i / W % H, x = i % W;
        assert_true(got[i] == n.value[c][big[(c * BIG_H + 11 + y) * BIG_W + 13 + x]]);
    }
}

SPX_TEST(random_boxes_lie_inside_have_their_areas_and_ratios_and_end_in_a_centred_one)
{
    const spx_augment a = {.resized_crop = SPX_RESIZED_CROP_RANDOM};
    const spx_augment_shape usual = {3, 300, 400, 224, 224, true},
                            strip = {3, 30, 4000, 8, 8, true}, tower = {3, 4000, 30, 8, 8, true};
    double share = 0, log_ratio = 0;
    int fitted = 0;
    SPX_UNUSED;
    for (uint64_t i = 0; i < 4000; i++) {
        spx_augment_draw d;
        spx_rng rng;
        spx_augment_rng(&rng, 5, 1, (uint32_t)i);
        spx_augment_choose(&a, &usual, &rng, &d);
        const double s = (double)d.box_height * d.box_width / (300.0 * 400.0);
        const double r = (double)d.box_width / d.box_height;
        assert_true(d.box_y >= 0 && d.box_y + d.box_height <= 300);
        assert_true(d.box_x >= 0 && d.box_x + d.box_width <= 400);
        /* rounding moves a side of at least sqrt(0.08 * 3/4) of 300 pixels by half a pixel */
        assert_true(s >= 0.08 * 0.98 && s <= 1);
        assert_true(r >= 0.75 * 0.98 && r <= 4.0 / 3 * 1.02);
        share += s / 4000;
        log_ratio += log(r) / 4000;
        fitted += rng.counter < 3;
    }
    /* shares near 1 rarely fit, so the mean lies below that of 0.08..1, 0.54 +- 0.27/sqrt(4000);
     * the image is wider than high, so wide boxes fit more often */
    assert_true(share > 0.35 && share < 0.54);
    assert_true(log_ratio > -0.02 && log_ratio < 0.1);
    assert_true(fitted > 3000);
    for (uint64_t i = 0; i < 100; i++) { /* 1:133: no ratio fits; 40x30 in the middle remain */
        spx_augment_draw d;
        spx_rng rng;
        spx_augment_rng(&rng, 5, 1, (uint32_t)i);
        spx_augment_choose(&a, &strip, &rng, &d);
        if (d.box_height == 30 && d.box_width == 40) {
            assert_true(d.box_y == 0 && d.box_x == 1980);
        }
        spx_augment_rng(&rng, 5, 1, (uint32_t)i);
        spx_augment_choose(&a, &tower, &rng, &d);
        if (d.box_width == 30 && d.box_height == 40) {
            assert_true(d.box_x == 0 && d.box_y == 1980);
        }
    }
}

SPX_TEST(the_ratios_exponential_and_logarithm_are_the_librarys)
{
    SPX_UNUSED;
    for (int i = -1000; i <= 1000; i++) {
        const double t = 0.3e-3 * i, wide = 2.4e-3 * i;
        const double x = exp(log(SPX_AUGMENT_MAX_RATIO) * 1e-3 * i);
        assert_true(fabs(spx_augment_exp(t) / exp(t) - 1) <= 4e-16);
        /* three squarings double an error of 2^-53 thrice and add some of their own */
        assert_true(fabs(spx_augment_exp(wide) / exp(wide) - 1) <= 12 * 0x1p-53);
        assert_true(fabs(spx_augment_log(x) - log(x)) <= 24 * 0x1p-53); /* 8 times three roots' */
    }
}

/* Draws and samples of 0.1.0, whose runs must go on with the same bits. */
SPX_TEST(what_earlier_versions_drew_is_kept)
{
    static const spx_augment augment[] = {
        {.pad_crop = 4, .flip = true, .cutout = 3},
        {.resized_crop = SPX_RESIZED_CROP_RANDOM, .flip = true, .cutout = 2},
        {.resized_crop = SPX_RESIZED_CROP_CENTRE}};
    static const int sizes[][2] = {{5, 4}, {37, 53}, {1, 60}, {90, 7}, {8, 8}, {33, 34}};
    uint64_t digest = 0xcbf29ce484222325u; /* FNV-1a */
    spx_normalise n;
    SPX_UNUSED;
    make(&n);
    make_big();
    for (uint32_t i = 0; i < 3 * 6 * 40; i++) {
        const spx_augment *a = &augment[i % 3];
        const int *size = a->pad_crop > 0 ? sizes[0] : sizes[i / 3 % 6];
        const spx_augment_shape k = {C, size[0], size[1], H, W, i % 2 == 1};
        float sample[PIXELS];
        spx_augment_draw d;
        spx_rng rng;
        spx_augment_rng(&rng, 5, i / 100, i);
        spx_augment_choose(a, &k, &rng, &d);
        spx_augment_apply(a, &d, &n, &k, big, sample);
        const int drawn[] = {d.dy,    d.dx,    d.flip,       d.cut_y,    d.cut_x,
                             d.box_y, d.box_x, d.box_height, d.box_width};
        for (size_t b = 0; b < sizeof drawn; b++) {
            digest = (digest ^ ((const uint8_t *)drawn)[b]) * 0x100000001b3u;
        }
        for (size_t b = 0; b < sizeof sample; b++) {
            digest = (digest ^ ((const uint8_t *)sample)[b]) * 0x100000001b3u;
        }
    }
    if (digest != 0xf97b5709ff6611afu) {
        fail_msg("digest 0x%016llx", (unsigned long long)digest);
    }
}

SPX_TEST(evaluation_takes_seven_eighths_of_the_middle_of_the_samples_ratio)
{
    static const struct {
        int h, w, height, width, y, x, box_height, box_width;
    } cases[] = {{256, 256, 224, 224, 16, 16, 224, 224},
                 {256, 400, 224, 224, 16, 88, 224, 224},
                 {600, 512, 224, 224, 76, 32, 448, 448},
                 {100, 400, 50, 100, 6, 112, 88, 175},
                 {1, 1, 8, 8, 0, 0, 1, 1}};
    const spx_augment a = {.resized_crop = SPX_RESIZED_CROP_CENTRE};
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const spx_augment_shape k = {3,    cases[i].h, cases[i].w, cases[i].height, cases[i].width,
                                     false};
        spx_augment_draw d;
        spx_rng rng;
        spx_augment_rng(&rng, 1, 1, 1);
        spx_augment_choose(&a, &k, &rng, &d);
        assert_int_equal(rng.counter, 0);
        assert_int_equal(d.box_height, cases[i].box_height);
        assert_int_equal(d.box_width, cases[i].box_width);
        assert_int_equal(d.box_y, cases[i].y);
        assert_int_equal(d.box_x, cases[i].x);
    }
}

SPX_TEST(a_random_boxs_area_and_ratio_are_those_asked_for)
{
    const spx_augment a = {
        .resized_crop = SPX_RESIZED_CROP_RANDOM, .scale = {0.25, 0.5}, .ratio = {0.5, 8}};
    const spx_augment_shape square = {3, 2000, 2000, 224, 224, true},
                            strip = {3, 30, 400, 8, 8, true}, column = {3, 400, 1, 8, 8, true};
    double ratio[2] = {8, 0.5};
    spx_augment_draw d;
    spx_rng rng;
    SPX_UNUSED;
    for (uint32_t i = 0; i < 2000; i++) {
        spx_augment_rng(&rng, 5, 1, i);
        spx_augment_choose(&a, &square, &rng, &d);
        const double s = (double)d.box_height * d.box_width / 4e6;
        const double r = (double)d.box_width / d.box_height;
        assert_true(s >= 0.25 * 0.995 && s <= 0.5 * 1.005); /* sides of 353 at least, rounded */
        assert_true(r >= 0.5 * 0.995 && r <= 8 * 1.005);
        ratio[0] = r < ratio[0] ? r : ratio[0];
        ratio[1] = r > ratio[1] ? r : ratio[1];
        spx_augment_rng(&rng, 5, 1, i);
        spx_augment_choose(&a, &strip, &rng, &d);
        assert_true(d.box_height <= 30 && d.box_width <= 240); /* 8 : 1 at most */
        spx_augment_rng(&rng, 5, 1, i);
        spx_augment_choose(&a, &column, &rng, &d);
        assert_true(d.box_width == 1 && d.box_height <= 2);
    }
    assert_true(ratio[0] < 0.55);
    assert_true(ratio[1] > 3); /* a share of 1/4 fits up to 4 */
}

SPX_TEST(evaluations_share_of_the_middle_is_that_asked_for)
{
    static const struct {
        int crop, resize, h, w, height, width, y, x, box_height, box_width;
    } cases[] = {{224, 224, 256, 400, 224, 224, 0, 72, 256, 256},
                 {160, 182, 182, 273, 160, 160, 11, 56, 160, 160},
                 {224, 256, 500, 375, 224, 224, 86, 23, 328, 328},
                 {1, SPX_RESIZE_MAX, 100, 100, 8, 8, 49, 49, 1, 1}};
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const spx_augment a = {.resized_crop = SPX_RESIZED_CROP_CENTRE,
                               .centre_crop = cases[i].crop,
                               .centre_resize = cases[i].resize};
        const spx_augment_shape k = {3,    cases[i].h, cases[i].w, cases[i].height, cases[i].width,
                                     false};
        spx_augment_draw d;
        spx_rng rng;
        spx_augment_rng(&rng, 1, 1, 1);
        spx_augment_choose(&a, &k, &rng, &d);
        assert_int_equal(d.box_height, cases[i].box_height);
        assert_int_equal(d.box_width, cases[i].box_width);
        assert_int_equal(d.box_y, cases[i].y);
        assert_int_equal(d.box_x, cases[i].x);
    }
}

SPX_TEST(an_alternating_flip_shows_the_other_side_in_the_next_epoch)
{
    const spx_augment a = {.flip = true, .alternate = true};
    int flipped = 0;
    SPX_UNUSED;
    for (uint32_t i = 0; i < 4000; i++) {
        bool first = false;
        for (uint64_t epoch = 0; epoch < 4; epoch++) {
            spx_augment_draw d;
            spx_rng rng;
            spx_augment_rng(&rng, 5, epoch, i);
            spx_augment_choose(&a, &shape, &rng, &d);
            assert_int_equal(rng.counter, 0); /* draws of the other steps stay as they are */
            first = epoch == 0 ? d.flip : first;
            assert_true(d.flip == (epoch % 2 == 0 ? first : !first));
        }
        flipped += first;
    }
    assert_in_range(flipped, 2000 - 190, 2000 + 190); /* six deviations of sqrt(4000)/2 = 32 */
}

SPX_TEST(jitter_comes_between_the_flip_and_normalising_and_leaves_other_draws)
{
    const spx_augment plain = {.pad_crop = 2, .flip = true, .cutout = 3};
    spx_augment a = plain;
    SPX_UNUSED;
    a.jitter[SPX_JITTER_CONTRAST] = 0.5;
    for (uint32_t i = 0; i < 50; i++) {
        float got[PIXELS], want[PIXELS];
        uint8_t sample[PIXELS];
        spx_augment_draw d, before;
        spx_normalise n;
        spx_rng rng;
        make(&n);
        spx_augment_rng(&rng, 5, 1, i);
        spx_augment_choose(&plain, &shape, &rng, &before);
        spx_augment_rng(&rng, 5, 1, i);
        spx_augment_choose(&a, &shape, &rng, &d);
        assert_true(d.dy == before.dy && d.dx == before.dx && d.flip == before.flip &&
                    d.cut_y == before.cut_y && d.cut_x == before.cut_x);
        spx_augment_apply(&a, &d, &n, &shape, image, got);
        for (int j = 0; j < PIXELS; j++) { /* black padding counts for the mean */
            const int c = j / (H * W), y = j / W % H, x = d.flip ? W - 1 - j % W : j % W;
            sample[j] = (uint8_t)padded(c, y + d.dy, x + d.dx);
        }
        spx_augment_recolour(&a, &d, C, (size_t)H * W, true, sample);
        spx_augment_normalise(&a, &d, &n, &shape, sample, want);
        assert_memory_equal(got, want, sizeof got);
    }
}

SPX_TEST(interleaved_bytes_are_those_of_the_planes)
{
    static const spx_augment augment[] = {{.pad_crop = 3, .flip = true},
                                          {.resized_crop = SPX_RESIZED_CROP_RANDOM, .flip = true}};
    SPX_UNUSED;
    make_big();
    for (uint32_t i = 0; i < 80; i++) {
        const spx_augment *a = &augment[i % 2];
        uint8_t planes[PIXELS], mixed[PIXELS];
        spx_augment_draw d;
        spx_rng rng;
        spx_augment_rng(&rng, 5, 1, i);
        spx_augment_choose(a, &shape, &rng, &d);
        memset(planes, 1, sizeof planes);
        memset(mixed, 2, sizeof mixed);
        spx_augment_crop(a, &d, &shape, big, true, planes);
        spx_augment_crop(a, &d, &shape, big, false, mixed);
        for (int j = 0; j < PIXELS; j++) {
            assert_int_equal(mixed[j % (H * W) * C + j / (H * W)], planes[j]);
        }
    }
}

SPX_TEST(bad_settings_are_refused)
{
    SPX_UNUSED;
    const double zero[C] = {1, 0}, nan_mean[C] = {NAN, 0};
    spx_normalise n;
    CHECK_FAILS(SPX_EINVAL, spx_normalise_init(&n, 0, mean, deviation));
    CHECK_FAILS(SPX_EINVAL, spx_normalise_init(&n, 1, mean, (double[1]){1e-40}));
    CHECK_FAILS(SPX_EINVAL, spx_normalise_init(&n, SPX_AUGMENT_MAX_CHANNELS + 1, mean, deviation));
    CHECK_FAILS(SPX_EINVAL, spx_normalise_init(&n, C, mean, zero));
    CHECK_FAILS(SPX_EINVAL, spx_normalise_init(&n, C, nan_mean, deviation));
    CHECK_FAILS(SPX_EINVAL, spx_augment_check(&(spx_augment){.pad_crop = -1}, H, W));
    CHECK_FAILS(SPX_EINVAL, spx_augment_check(&(spx_augment){.pad_crop = 65}, H, W));
    CHECK_FAILS(SPX_EINVAL, spx_augment_check(&(spx_augment){.cutout = W + 1}, H, W));
    CHECK_FAILS(SPX_EINVAL, spx_augment_check(&(spx_augment){.cutout = -1}, H, W));
    CHECK_FAILS(SPX_EINVAL, spx_augment_check(&(spx_augment){.resized_crop = 3}, H, W));
    CHECK_FAILS(SPX_EINVAL,
                spx_augment_check(
                    &(spx_augment){.pad_crop = 1, .resized_crop = SPX_RESIZED_CROP_RANDOM}, H, W));
    static const spx_augment bad[] = {{.alternate = true},
                                      {.scale = {0.5, 0.4}},
                                      {.scale = {0, 1}},
                                      {.scale = {0.5, 1.1}},
                                      {.scale = {NAN, 1}},
                                      {.ratio = {0.01, 1}},
                                      {.ratio = {1, 11}},
                                      {.centre_crop = 224},
                                      {.centre_resize = 224},
                                      {.centre_crop = 257, .centre_resize = 256},
                                      {.centre_crop = 1, .centre_resize = SPX_RESIZE_MAX + 1},
                                      {.jitter = {-0.1}},
                                      {.jitter = {0, 1.1}},
                                      {.jitter = {0, 0, NAN}}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_FAILS(SPX_EINVAL, spx_augment_check(&bad[i], H, W));
    }
    CHECK_OK(spx_augment_check(&(spx_augment){.pad_crop = 64, .flip = true, .cutout = W}, H, W));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(every_draw_gives_what_the_definition_says),
        SPX_UNIT(a_crop_that_leaves_the_image_is_all_black),
        SPX_UNIT(without_augmentation_the_sample_is_the_centred_image),
        SPX_UNIT(draws_cover_their_ranges_evenly),
        SPX_UNIT(a_resized_box_is_the_triangle_filters_mean_planar_or_interleaved),
        SPX_UNIT(a_box_of_the_samples_own_size_is_copied),
        SPX_UNIT(random_boxes_lie_inside_have_their_areas_and_ratios_and_end_in_a_centred_one),
        SPX_UNIT(the_ratios_exponential_and_logarithm_are_the_librarys),
        SPX_UNIT(what_earlier_versions_drew_is_kept),
        SPX_UNIT(evaluation_takes_seven_eighths_of_the_middle_of_the_samples_ratio),
        SPX_UNIT(a_random_boxs_area_and_ratio_are_those_asked_for),
        SPX_UNIT(evaluations_share_of_the_middle_is_that_asked_for),
        SPX_UNIT(an_alternating_flip_shows_the_other_side_in_the_next_epoch),
        SPX_UNIT(jitter_comes_between_the_flip_and_normalising_and_leaves_other_draws),
        SPX_UNIT(interleaved_bytes_are_those_of_the_planes),
        SPX_UNIT(bad_settings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
