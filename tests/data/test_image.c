#define _POSIX_C_SOURCE 200809L
#include "data/image/image.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/rng.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

#include <zlib.h>

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
    assert_memory_equal(back.pixels, grey.pixels, 35);
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

/* ---- pictures made here, chunk by chunk, so that libpng does not check itself ---- */

typedef struct png_file {
    uint8_t bytes[4096];
    size_t n;
} png_file;

static void put32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        to[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

static void chunk(png_file *f, const char *type, const void *data, size_t n)
{
    uint8_t *at = f->bytes + f->n;
    assert_true(f->n + n + 12 <= sizeof f->bytes);
    put32(at, (uint32_t)n);
    memcpy(at + 4, type, 4);
    if (n > 0) {
        memcpy(at + 8, data, n);
    }
    put32(at + 8 + n, (uint32_t)crc32(0, at + 4, (uInt)n + 4));
    f->n += n + 12;
}

static void begin(png_file *f, uint32_t w, uint32_t h, int depth, int colour, int interlace)
{
    static const uint8_t signature[] = {0x89, 'P', 'N', 'G', 0x0d, 0x0a, 0x1a, 0x0a};
    uint8_t header[13] = {0};
    memcpy(f->bytes, signature, 8);
    f->n = 8;
    put32(header, w);
    put32(header + 4, h);
    header[8] = (uint8_t)depth;
    header[9] = (uint8_t)colour;
    header[12] = (uint8_t)interlace;
    chunk(f, "IHDR", header, sizeof header);
}

/* Rows with their filter bytes; then the end. */
static void finish(png_file *f, const uint8_t *rows, size_t n)
{
    uint8_t packed[2048];
    uLongf size = sizeof packed;
    assert_int_equal(compress(packed, &size, rows, n), Z_OK);
    chunk(f, "IDAT", packed, size);
    chunk(f, "IEND", NULL, 0);
}

static void check_pixels(const png_file *f, int channels, const uint8_t *want, size_t n)
{
    spx_image image;
    CHECK_OK(spx_image_decode(&image, "made.png", f->bytes, f->n, channels));
    assert_int_equal(image.channels * image.height * image.width, n);
    assert_memory_equal(image.pixels, want, n);
    spx_image_clear(&image);
}

/* round(x), halves up, of a quotient that is never negative. */
static uint32_t nearest(double x)
{
    return (uint32_t)floor(x + 0.5);
}

SPX_TEST(every_sixteen_bit_value_becomes_the_nearest_eight_bit_one)
{
    SPX_UNUSED;
    for (uint32_t first = 0; first < 65536; first += 256) {
        uint8_t rows[1 + 512] = {0}, want[256];
        png_file f;
        for (uint32_t i = 0; i < 256; i++) {
            rows[1 + 2 * i] = (uint8_t)((first + i) >> 8);
            rows[2 + 2 * i] = (uint8_t)(first + i);
            want[i] = (uint8_t)nearest((first + i) * 255.0 / 65535.0);
            assert_true((first + i) % 257 != 0 || want[i] == (first + i) / 257);
        }
        begin(&f, 256, 1, 16, 0, 0);
        finish(&f, rows, sizeof rows);
        check_pixels(&f, 1, want, 256);
    }
}

SPX_TEST(few_bits_are_spread_over_the_whole_range)
{
    SPX_UNUSED;
    static const int depths[] = {1, 2, 4};
    for (size_t k = 0; k < 3; k++) {
        const int b = depths[k], n = 1 << b;
        uint8_t rows[1 + 8] = {0}, want[16];
        png_file f;
        for (int i = 0; i < n; i++) {
            rows[1 + i * b / 8] |= (uint8_t)(i << (8 - b - i * b % 8));
            want[i] = (uint8_t)(i * 255 / (n - 1));
        }
        begin(&f, (uint32_t)n, 1, b, 0, 0);
        finish(&f, rows, 1 + (size_t)(n * b + 7) / 8);
        check_pixels(&f, 1, want, (size_t)n);
    }
}

SPX_TEST(gamma_and_colour_space_change_nothing)
{
    SPX_UNUSED;
    static const uint8_t rows[] = {0, 10, 100, 200, 250}, gamma[] = {0, 1, 0x86, 0xa0},
                         intent[] = {0};
    png_file plain, other;
    begin(&plain, 4, 1, 8, 0, 0);
    finish(&plain, rows, sizeof rows);
    check_pixels(&plain, 1, rows + 1, 4);
    begin(&other, 4, 1, 8, 0, 0);
    chunk(&other, "gAMA", gamma, sizeof gamma); /* 1.0 */
    finish(&other, rows, sizeof rows);
    check_pixels(&other, 1, rows + 1, 4);
    begin(&other, 4, 1, 8, 0, 0);
    chunk(&other, "sRGB", intent, sizeof intent);
    finish(&other, rows, sizeof rows);
    check_pixels(&other, 1, rows + 1, 4);
}

/* Colours of all kinds: 0, 1, ..., by a rule of thumb that visits the corners. */
static uint8_t colour_of(size_t i, size_t c)
{
    return (uint8_t)(i < 8 ? (i >> c & 1) * 255 : (i * 37 + c * 91) % 256);
}

SPX_TEST(colour_becomes_grey_by_the_weights_on_stored_values)
{
    SPX_UNUSED;
    enum { N = 64 };
    uint8_t rows[1 + 6 * N] = {0}, wide[1 + 6 * N] = {0}, want[N], red[3 * N];
    png_file f;
    for (size_t i = 0; i < N; i++) {
        const uint32_t r = colour_of(i, 0), g = colour_of(i, 1), b = colour_of(i, 2);
        for (size_t c = 0; c < 3; c++) {
            rows[1 + 3 * i + c] = red[c * N + i] = colour_of(i, c);
            wide[1 + 6 * i + 2 * c] = wide[2 + 6 * i + 2 * c] = colour_of(i, c); /* v * 257 */
        }
        want[i] = (uint8_t)((19595 * r + 38470 * g + 7471 * b + 32768) >> 16);
        assert_true(fabs(want[i] - (0.299 * r + 0.587 * g + 0.114 * b)) < 0.51);
    }
    begin(&f, N, 1, 8, 2, 0);
    finish(&f, rows, 1 + 3 * N);
    check_pixels(&f, 1, want, N);
    check_pixels(&f, 3, red, 3 * N);
    begin(&f, N, 1, 16, 2, 0);
    finish(&f, wide, 1 + 6 * N);
    check_pixels(&f, 1, want, N);
    check_pixels(&f, 3, red, 3 * N);
}

SPX_TEST(palettes_are_looked_up_with_their_transparency)
{
    SPX_UNUSED;
    static const uint8_t colours[] = {10, 20, 30, 200, 100, 0, 255, 255, 255}, alphas[] = {255, 51};
    static const uint8_t rows[] = {0, 0x18}; /* 0, 1, 2, 0 in two bits each */
    static const uint8_t want[] = {10, 40, 255, 10, 20, 20, 255, 20, 30, 0, 255, 30};
    static const uint8_t outside[] = {0, 0xff};
    spx_image image;
    png_file f;
    begin(&f, 4, 1, 2, 3, 0);
    chunk(&f, "PLTE", colours, sizeof colours);
    chunk(&f, "tRNS", alphas, sizeof alphas);
    finish(&f, rows, sizeof rows);
    check_pixels(&f, 3, want, sizeof want);
    CHECK_OK(spx_image_decode(&image, "made.png", f.bytes, f.n, 3));
    assert_true(image.transparent);
    spx_image_clear(&image);
    begin(&f, 4, 1, 2, 3, 0);
    chunk(&f, "PLTE", colours, sizeof colours);
    finish(&f, outside, sizeof outside);
    CHECK_FAILS(SPX_EFORMAT, spx_image_decode(&image, "made.png", f.bytes, f.n, 3));
    assert_non_null(strstr(spx_error_message(), "palette"));
}

SPX_TEST(transparency_is_laid_over_black_and_told)
{
    SPX_UNUSED;
    for (uint32_t alpha = 0; alpha < 256; alpha += 15) {
        uint8_t rows[1 + 512] = {0}, wide[1 + 1024] = {0}, want[256];
        spx_image image;
        png_file f;
        for (uint32_t v = 0; v < 256; v++) {
            rows[1 + 2 * v] = (uint8_t)v;
            rows[2 + 2 * v] = (uint8_t)alpha;
            wide[1 + 4 * v] = wide[2 + 4 * v] = (uint8_t)v;
            wide[3 + 4 * v] = wide[4 + 4 * v] = (uint8_t)alpha;
            want[v] = (uint8_t)nearest(v * alpha / 255.0);
        }
        begin(&f, 256, 1, 8, 4, 0);
        finish(&f, rows, sizeof rows);
        check_pixels(&f, 1, want, 256);
        CHECK_OK(spx_image_decode(&image, "made.png", f.bytes, f.n, 1));
        assert_int_equal(image.transparent, alpha != 255);
        spx_image_clear(&image);
        begin(&f, 256, 1, 16, 4, 0);
        finish(&f, wide, sizeof wide);
        check_pixels(&f, 1, want, 256);
    }
}

SPX_TEST(a_transparent_colour_is_black)
{
    SPX_UNUSED;
    static const uint8_t grey[] = {0, 7, 8, 9}, key[] = {0, 8}, want[] = {7, 0, 9};
    static const uint8_t rgb[] = {0, 1, 2, 3, 4, 5, 6}, rgb_key[] = {0, 4, 0, 5, 0, 6};
    static const uint8_t rgb_want[] = {1, 0, 2, 0, 3, 0};
    png_file f;
    begin(&f, 3, 1, 8, 0, 0);
    chunk(&f, "tRNS", key, sizeof key);
    finish(&f, grey, sizeof grey);
    check_pixels(&f, 1, want, sizeof want);
    begin(&f, 2, 1, 8, 2, 0);
    chunk(&f, "tRNS", rgb_key, sizeof rgb_key);
    finish(&f, rgb, sizeof rgb);
    check_pixels(&f, 3, rgb_want, sizeof rgb_want);
}

/* Rows of the seven passes of an image whose pixel (y, x) is 16 y + x; the passes' origins and
 * steps are those of the PNG specification, section 8.2. */
static size_t adam7(uint8_t *rows, size_t width, size_t height)
{
    static const size_t x0[] = {0, 4, 0, 2, 0, 1, 0}, y0[] = {0, 0, 4, 0, 2, 0, 1},
                        dx[] = {8, 8, 4, 4, 2, 2, 1}, dy[] = {8, 8, 8, 4, 4, 2, 2};
    size_t n = 0;
    for (size_t pass = 0; pass < 7; pass++) {
        for (size_t y = y0[pass]; y < height && x0[pass] < width; y += dy[pass]) {
            rows[n++] = 0;
            for (size_t x = x0[pass]; x < width; x += dx[pass]) {
                rows[n++] = (uint8_t)(16 * y + x);
            }
        }
    }
    return n;
}

SPX_TEST(interlaced_images_are_put_together)
{
    SPX_UNUSED;
    static const size_t sides[][2] = {{1, 1}, {2, 3}, {5, 1}, {1, 5}, {8, 8}, {13, 11}};
    for (size_t k = 0; k < sizeof sides / sizeof *sides; k++) {
        const size_t width = sides[k][0], height = sides[k][1];
        uint8_t rows[400], want[13 * 11];
        png_file f;
        for (size_t i = 0; i < width * height; i++) {
            want[i] = (uint8_t)(16 * (i / width) + i % width);
        }
        begin(&f, (uint32_t)width, (uint32_t)height, 8, 0, 1);
        finish(&f, rows, adam7(rows, width, height));
        check_pixels(&f, 1, want, width * height);
    }
}

static void check_refused(const void *bytes, size_t n, const char *expect)
{
    spx_image image;
    CHECK_FAILS(SPX_EFORMAT, spx_image_decode(&image, "bad.png", bytes, n, 1));
    assert_null(image.pixels);
    if (strstr(spx_error_message(), expect) == NULL ||
        strstr(spx_error_message(), "bad.png") == NULL) {
        fail_msg("'%s', expected '%s'", spx_error_message(), expect);
    }
}

SPX_TEST(bombs_wrong_checksums_and_other_formats_get_one_clear_line)
{
    SPX_UNUSED;
    static const uint8_t rows[] = {0, 1, 2}, key[] = {0, 2};
    png_file f;
    size_t at;
    begin(&f, 8192, 8192, 16, 6, 0);
    finish(&f, rows, sizeof rows);
    check_refused(f.bytes, f.n, "can hold");
    begin(&f, 8193, 1, 8, 0, 0);
    finish(&f, rows, sizeof rows);
    check_refused(f.bytes, f.n, "at most 8192");
    begin(&f, 2, 1, 8, 0, 0);
    at = f.n;
    chunk(&f, "tRNS", key, sizeof key);
    finish(&f, rows, sizeof rows);
    f.bytes[at + 9] ^= 1; /* what is transparent: a checksum must save it */
    check_refused(f.bytes, f.n, "CRC");
    begin(&f, 2, 2, 8, 0, 0); /* a row is missing */
    finish(&f, rows, sizeof rows);
    check_refused(f.bytes, f.n, "damaged PNG");
    check_refused("GIF89a and so on", 16, "GIF");
    check_refused("\xff\xd8\xff\xe0 and so on", 14, "damaged JPEG");
    check_refused("", 0, "empty");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(what_is_written_is_read_back),
        SPX_UNIT(grey_and_colour_convert),
        SPX_UNIT(what_is_no_png_is_refused),
        SPX_UNIT(truncated_and_flipped_pngs_are_read_or_refused),
        SPX_UNIT(a_header_of_absurd_size_is_refused_before_allocation),
        SPX_UNIT(every_sixteen_bit_value_becomes_the_nearest_eight_bit_one),
        SPX_UNIT(few_bits_are_spread_over_the_whole_range),
        SPX_UNIT(gamma_and_colour_space_change_nothing),
        SPX_UNIT(colour_becomes_grey_by_the_weights_on_stored_values),
        SPX_UNIT(palettes_are_looked_up_with_their_transparency),
        SPX_UNIT(transparency_is_laid_over_black_and_told),
        SPX_UNIT(a_transparent_colour_is_black),
        SPX_UNIT(interlaced_images_are_put_together),
        SPX_UNIT(bombs_wrong_checksums_and_other_formats_get_one_clear_line),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
