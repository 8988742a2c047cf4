#define _DEFAULT_SOURCE
#include "data/augment/resample.h"
#include "data/image/decoder.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "tests/support/fresh_seed.h"
#include "tests/support/spx_jpegs.h"

static spx_decoder *decoder;

/* Pixel by pixel from the whole picture. */
static void define(const spx_image *from, const spx_box *b, bool flip, int height, int width,
                   bool planes, uint8_t *out)
{
    for (int c = 0; c < from->channels; c++) {
        const uint8_t *const box =
            from->pixels + ((ptrdiff_t)c * from->height + b->y) * from->width + b->x;
        for (int y = 0; y < height; y++) {
            const spx_resize_taps rows = spx_resize_at(y, b->height, height);
            for (int x = 0; x < width; x++) {
                const spx_resize_taps columns = spx_resize_at(x, b->width, width);
                const int at = y * width + (flip ? width - 1 - x : x);
                out[planes ? c * height * width + at : at * from->channels + c] =
                    spx_resize_pixel(box, from->width, 1, &rows, &columns);
            }
        }
    }
}

static spx_box draw_box(spx_rng *rng, int height, int width)
{
    spx_box b;
    b.height = 1 + (int)spx_rng_below(rng, (uint32_t)height);
    b.width = 1 + (int)spx_rng_below(rng, (uint32_t)width);
    b.y = (int)spx_rng_below(rng, (uint32_t)(height - b.height) + 1);
    b.x = (int)spx_rng_below(rng, (uint32_t)(width - b.width) + 1);
    return b;
}

SPX_TEST(a_box_that_shrinks_by_less_than_two_is_the_whole_pictures)
{
    SPX_UNUSED;
    spx_rng rng;
    spx_rng_init(&rng, 1, SPX_RNG_TEST, 0);
    for (int k = 0; k < SPX_JPEG_KINDS; k++) {
        const int h = 20 + (int)spx_rng_below(&rng, 90), w = 20 + (int)spx_rng_below(&rng, 90);
        uint8_t *const scene = spx_jpeg_scene(w, h, spx_jpeg_kinds[k].components, 7);
        unsigned char *jpeg;
        const size_t size = spx_jpeg_make(&jpeg, &spx_jpeg_kinds[k], w, h, scene, 85);
        for (int i = 0; i < 16; i++) {
            const spx_box b = draw_box(&rng, h, w);
            const int height = b.height / 2 + 1 + (int)spx_rng_below(&rng, 20), width = b.width + 3;
            const int channels = 1 + 2 * (i & 1);
            const size_t n = (size_t)channels * (size_t)height * (size_t)width;
            uint8_t *const got = malloc(n), *const want = malloc(n);
            spx_image whole;
            CHECK_OK(spx_image_decode(&whole, "a.jpg", jpeg, size, channels));
            define(&whole, &b, i & 2, height, width, i & 4, want);
            CHECK_OK(spx_decoder_sample(decoder, "a.jpg", jpeg, size, channels, &b, i & 2, height,
                                        width, i & 4, got));
            assert_memory_equal(got, want, n);
            spx_image_clear(&whole);
            free(got);
            free(want);
        }
        free(jpeg);
        free(scene);
    }
}

/* What the decoder's contract says: the whole picture at 8 / shrink of its size, then resized. */
static void define_shrunk(const unsigned char *jpeg, size_t size, const spx_box *b, int shrink,
                          int channels, bool flip, int height, int width, uint8_t *out)
{
    spx_resample r = {.channels = channels, .flip = flip, .out = out};
    int h, w, stored;
    uint8_t *const plain = spx_jpeg_plain(jpeg, size, (unsigned)(8 / shrink), &h, &w, &stored);
    void *scratch;
    spx_jpeg_convert(plain, (size_t)h * (size_t)w, stored, channels);
    r.y = (spx_resample_axis){b->y, b->height, h, shrink, height};
    r.x = (spx_resample_axis){b->x, b->width, w, shrink, width};
    r.row = (ptrdiff_t)w * channels;
    r.src = plain;
    CHECK_OK(spx_alloc(&scratch, spx_resample_room(&r)));
    CHECK_OK(spx_resample_run(&r, scratch));
    spx_free(scratch);
    free(plain);
}

/* Random boxes of one picture, each shrunk by a random factor. */
static void check_boxes(const unsigned char *jpeg, size_t size, int h, int w, int boxes,
                        spx_rng *rng)
{
    for (int i = 0; i < boxes; i++) {
        const spx_box b = draw_box(rng, h, w);
        const int factor = 1 + (int)spx_rng_below(rng, 10); /* 1, 2, 4 and 8 of the scales */
        const int height = b.height / factor + (b.height < factor);
        const int width = b.width / factor + (b.width < factor);
        const int channels = 1 + 2 * (i & 1);
        int shrink = 8;
        size_t n = (size_t)channels * (size_t)height * (size_t)width;
        uint8_t *const got = malloc(n), *const want = malloc(n);
        while (shrink > 1 && (b.height < height * shrink || b.width < width * shrink)) {
            shrink /= 2;
        }
        define_shrunk(jpeg, size, &b, shrink, channels, i & 2, height, width, want);
        CHECK_OK(spx_decoder_sample(decoder, "a.jpg", jpeg, size, channels, &b, i & 2, height,
                                    width, false, got));
        for (size_t k = 0; k < n; k++) {
            if (got[k] != want[k]) {
                fail_msg("%dx%d, box %dx%d at %d,%d to %dx%d (1/%d): byte %zu is %d, expected %d",
                         h, w, b.height, b.width, b.y, b.x, height, width, shrink, k, got[k],
                         want[k]);
            }
        }
        free(got);
        free(want);
    }
}

SPX_TEST(a_box_is_the_whole_pictures_at_the_same_scale_bit_for_bit)
{
    SPX_UNUSED;
    spx_rng rng;
    spx_rng_init(&rng, spx_fresh_seed(), SPX_RNG_TEST, 0);
    for (int k = 0; k < SPX_JPEG_KINDS; k++) {
        for (int i = 0; i < (spx_test_whole_tables() ? 12 : 2); i++) {
            const int h = 1 + (int)spx_rng_below(&rng, i % 4 ? 190 : 40);
            const int w = 1 + (int)spx_rng_below(&rng, i % 3 ? 190 : 40);
            uint8_t *const scene = spx_jpeg_scene(w, h, spx_jpeg_kinds[k].components, (unsigned)i);
            unsigned char *jpeg;
            const size_t size = spx_jpeg_make(&jpeg, &spx_jpeg_kinds[k], w, h, scene, 85);
            check_boxes(jpeg, size, h, w, 12, &rng);
            free(jpeg);
            free(scene);
        }
    }
}

/*
 * Beside the picture decoded at full size and resized: libjpeg's scaled DCT leaves out the higher
 * frequencies, the filter weighs them down. For a picture without frequencies above those that the
 * scale keeps, here slopes, both sample the same surface: a decoded pixel is off by 1/2 (rounding),
 * by up to 1.5 of quantisation at quality 100 and of the colours' conversion, on either way.
 */
SPX_TEST(a_smooth_picture_at_a_scale_is_near_the_one_at_full_size)
{
    SPX_UNUSED;
    enum { SIDE = 256, TO = 60, TOLERANCE = 4 };
    for (int components = 1; components <= 3; components += 2) {
        uint8_t *const scene = malloc((size_t)SIDE * SIDE * (size_t)components);
        uint8_t got[3 * TO * TO], want[3 * TO * TO];
        unsigned char *jpeg;
        size_t size;
        for (int i = 0; i < SIDE * SIDE * components; i++) {
            const int y = i / components / SIDE, x = i / components % SIDE;
            scene[i] = (uint8_t)(20 + (y * 2 + x * 3) / 8 + i % components * 30);
        }
        size =
            spx_jpeg_make(&jpeg, &spx_jpeg_kinds[components == 1 ? 0 : 4], SIDE, SIDE, scene, 100);
        for (int side = 2 * TO; side <= SIDE; side += 17) { /* 1/2, and at the end 1/4 */
            const spx_box b = {(SIDE - side) / 2, (SIDE - side) / 3, side, side};
            CHECK_OK(spx_decoder_sample(decoder, "a", jpeg, size, components, &b, false, TO, TO,
                                        false, got));
            define_shrunk(jpeg, size, &b, 1, components, false, TO, TO, want);
            for (int i = 0; i < TO * TO * components; i++) {
                assert_in_range(got[i] - want[i] + TOLERANCE, 0, 2 * TOLERANCE);
            }
        }
        free(jpeg);
        free(scene);
    }
}

SPX_TEST(damage_behind_the_box_is_not_looked_at_and_before_it_is_refused)
{
    SPX_UNUSED;
    const spx_box top = {0, 0, 16, 64}, bottom = {48, 0, 16, 64};
    uint8_t *const scene = spx_jpeg_scene(64, 64, 3, 1);
    uint8_t out[3 * 8 * 8];
    unsigned char *jpeg;
    const size_t size = spx_jpeg_make(&jpeg, &spx_jpeg_kinds[1], 64, 64, scene, 85);
    CHECK_OK(spx_decoder_sample(decoder, "a", jpeg, size - 20, 3, &top, false, 8, 8, true, out));
    CHECK_FAILS(SPX_EFORMAT, spx_decoder_sample(decoder, "a", jpeg, size - 20, 3, &bottom, false, 8,
                                                8, true, out));
    CHECK_OK(spx_decoder_sample(decoder, "a", jpeg, size, 3, &bottom, false, 8, 8, true, out));
    free(jpeg);
    free(scene);
}

SPX_TEST(changed_jpegs_are_sampled_or_refused)
{
    SPX_UNUSED;
    spx_rng rng;
    spx_rng_init(&rng, spx_fresh_seed(), SPX_RNG_TEST, 1);
    for (int k = 0; k < SPX_JPEG_KINDS; k++) {
        uint8_t *const scene = spx_jpeg_scene(90, 70, spx_jpeg_kinds[k].components, 5);
        unsigned char *jpeg;
        const size_t n = spx_jpeg_make(&jpeg, &spx_jpeg_kinds[k], 90, 70, scene, 60);
        uint8_t *const bad = malloc(n), out[3 * 20 * 20];
        for (int i = 0; i < 50; i++) {
            const spx_box b = draw_box(&rng, 70, 90);
            spx_status st;
            memcpy(bad, jpeg, n);
            for (uint32_t hits = 1 + spx_rng_below(&rng, 4); hits > 0; hits--) {
                bad[spx_rng_below(&rng, (uint32_t)n)] = (uint8_t)spx_rng_below(&rng, 256);
            }
            st = spx_decoder_sample(decoder, "a", bad, n, 1 + 2 * (i & 1), i & 2 ? &b : NULL, false,
                                    1 + (int)spx_rng_below(&rng, 20),
                                    1 + (int)spx_rng_below(&rng, 20), i & 4, out);
            /* a header may shrink the picture until the box lies outside */
            assert_true(st == SPX_OK || st == SPX_EFORMAT || (st == SPX_EINVAL && i & 2));
        }
        free(bad);
        free(jpeg);
        free(scene);
    }
}

SPX_TEST(bad_boxes_sizes_and_pictures_are_refused)
{
    SPX_UNUSED;
    static const spx_box bad[] = {{-1, 0, 2, 2}, {0, -1, 2, 2}, {0, 0, 0, 2},  {0, 0, 2, 0},
                                  {1, 0, 9, 9},  {0, 1, 9, 9},  {0, 0, 10, 9}, {9, 0, 1, 1}};
    uint8_t *const scene = spx_jpeg_scene(9, 9, 3, 1);
    uint8_t out[27];
    unsigned char *jpeg;
    const size_t size = spx_jpeg_make(&jpeg, &spx_jpeg_kinds[1], 9, 9, scene, 85);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_FAILS(SPX_EINVAL, spx_decoder_sample(decoder, "a.jpg", jpeg, size, 3, &bad[i], false,
                                                   3, 3, false, out));
    }
    CHECK_FAILS(SPX_EINVAL,
                spx_decoder_sample(decoder, "a", jpeg, size, 2, NULL, false, 3, 3, false, out));
    CHECK_FAILS(SPX_EINVAL,
                spx_decoder_sample(decoder, "a", jpeg, size, 3, NULL, false, 0, 3, false, out));
    CHECK_FAILS(SPX_EFORMAT,
                spx_decoder_sample(decoder, "a", jpeg, size / 2, 3, NULL, false, 3, 3, false, out));
    CHECK_FAILS(SPX_EFORMAT,
                spx_decoder_sample(decoder, "a", "no", 2, 3, NULL, false, 3, 3, false, out));
    CHECK_OK(spx_decoder_sample(decoder, "a", jpeg, size, 3, NULL, false, 3, 3, false, out));
    free(jpeg);
    free(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_box_that_shrinks_by_less_than_two_is_the_whole_pictures),
        SPX_UNIT(a_box_is_the_whole_pictures_at_the_same_scale_bit_for_bit),
        SPX_UNIT(a_smooth_picture_at_a_scale_is_near_the_one_at_full_size),
        SPX_UNIT(damage_behind_the_box_is_not_looked_at_and_before_it_is_refused),
        SPX_UNIT(changed_jpegs_are_sampled_or_refused),
        SPX_UNIT(bad_boxes_sizes_and_pictures_are_refused),
    };
    int failed;
    if (spx_decoder_create(&decoder) != SPX_OK) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_decoder_destroy(decoder);
    return failed;
}
