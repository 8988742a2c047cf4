#define _POSIX_C_SOURCE 200809L
#include "data/image/image.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/rng.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

static spx_scratch scratch;

static void make(spx_image *image, int channels)
{
    CHECK_OK(spx_image_create(image, channels, 5, 7));
    for (int i = 0; i < channels * 5 * 7; i++) {
        image->pixels[i] = (uint8_t)(i * 37);
    }
}

SPX_TEST(what_is_written_is_read_back)
{
    SPX_UNUSED;
    static const int channels[] = {1, 3};
    for (size_t i = 0; i < 2; i++) {
        const char *path = spx_scratch_path(&scratch, "a.png");
        spx_image a, b;
        make(&a, channels[i]);
        CHECK_OK(spx_image_write(&a, path));
        CHECK_OK(spx_image_read(&b, path, channels[i]));
        assert_true(b.channels == channels[i] && b.height == 5 && b.width == 7);
        assert_memory_equal(a.pixels, b.pixels, (size_t)channels[i] * 5 * 7);
        spx_image_clear(&a);
        spx_image_clear(&b);
    }
}

SPX_TEST(grey_and_colour_convert)
{
    SPX_UNUSED;
    const char *path = spx_scratch_path(&scratch, "grey.png");
    spx_image grey, colour, back;
    make(&grey, 1);
    CHECK_OK(spx_image_write(&grey, path));
    CHECK_OK(spx_image_read(&colour, path, 3));
    for (int c = 0; c < 3; c++) {
        assert_memory_equal(colour.pixels + c * 35, grey.pixels, 35);
    }
    CHECK_OK(spx_image_write(&colour, path));
    CHECK_OK(spx_image_read(&back, path, 1));
    for (int i = 0; i < 35; i++) { /* through linear light and back: off by one at most */
        assert_in_range(back.pixels[i] + 1 - grey.pixels[i], 0, 2);
    }
    spx_image_clear(&grey);
    spx_image_clear(&colour);
    spx_image_clear(&back);
}

SPX_TEST(what_is_no_png_is_refused)
{
    SPX_UNUSED;
    const char *path = spx_scratch_path(&scratch, "bad.png");
    spx_image image;
    CHECK_FAILS(SPX_ENOTFOUND, spx_image_read(&image, spx_scratch_path(&scratch, "absent"), 1));
    assert_int_equal(spx_scratch_write(path, "not a picture", 13), 0);
    CHECK_FAILS(SPX_EFORMAT, spx_image_read(&image, path, 1));
    assert_non_null(strstr(spx_error_message(), path));
    assert_int_equal(spx_scratch_write(path, "", 0), 0);
    CHECK_FAILS(SPX_EFORMAT, spx_image_read(&image, path, 1));
    CHECK_FAILS(SPX_EINVAL, spx_image_create(&image, 2, 5, 5));
    CHECK_FAILS(SPX_EINVAL, spx_image_create(&image, 1, 5, SPX_IMAGE_MAX_SIDE + 1));
    CHECK_FAILS(SPX_EINVAL, spx_image_create(&image, 1, 0, 5));
    assert_null(image.pixels);
}

SPX_TEST(truncated_and_flipped_pngs_are_read_or_refused)
{
    SPX_UNUSED;
    const char *path = spx_scratch_path(&scratch, "a.png");
    const char *bad = spx_scratch_path(&scratch, "bad.png");
    spx_image image;
    spx_rng rng;
    void *data;
    uint8_t *bytes;
    size_t n;
    make(&image, 3);
    CHECK_OK(spx_image_write(&image, path));
    spx_image_clear(&image);
    CHECK_OK(spx_file_read(path, 1 << 20, &data, &n));
    bytes = data;
    for (size_t i = 0; i < n - 12;
         i++) { /* the last 12 bytes say no more than that this is the end */
        assert_int_equal(spx_scratch_write(bad, bytes, i), 0);
        CHECK_FAILS(SPX_EFORMAT, spx_image_read(&image, bad, 3));
    }
    spx_rng_init(&rng, 1, SPX_RNG_TEST, 0);
    for (int i = 0; i < 500; i++) {
        const size_t bit = spx_rng_below(&rng, (uint32_t)(8 * n));
        spx_status st;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(spx_scratch_write(bad, bytes, n), 0);
        st = spx_image_read(&image, bad, 3);
        assert_true(st == SPX_OK || (st == SPX_EFORMAT && image.pixels == NULL));
        spx_image_clear(&image);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    spx_free(data);
}

SPX_TEST(a_header_of_absurd_size_is_refused_before_allocation)
{
    SPX_UNUSED;
    /* Signature and a header of 2^31 - 1 by 2^31 - 1 pixels, with its CRC (computed with zlib). */
    static const uint8_t vast[] = {0x89, 'P',  'N', 'G', 0x0d, 0x0a, 0x1a, 0x0a, 0,    0,    0,
                                   13,   'I',  'H', 'D', 'R',  0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff,
                                   0xff, 0xff, 8,   0,   0,    0,    0,    0x31, 0xa2, 0x54, 0xba};
    const char *path = spx_scratch_path(&scratch, "vast.png");
    spx_image image;
    assert_int_equal(spx_scratch_write(path, vast, sizeof vast), 0);
    CHECK_FAILS(SPX_EFORMAT, spx_image_read(&image, path, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(what_is_written_is_read_back),
        SPX_UNIT(grey_and_colour_convert),
        SPX_UNIT(what_is_no_png_is_refused),
        SPX_UNIT(truncated_and_flipped_pngs_are_read_or_refused),
        SPX_UNIT(a_header_of_absurd_size_is_refused_before_allocation),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
