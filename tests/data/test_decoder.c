#include "data/augment/resize.h"
#include "data/image/decoder.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
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
