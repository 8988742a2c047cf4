#define _DEFAULT_SOURCE
#include "data/image/image.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "tests/support/fresh_seed.h"
#include "tests/support/spx_jpegs.h"

static const int sides[][2] = {{1, 1}, {7, 5}, {16, 16}, {35, 50}, {17, 1}, {4000, 30}};
enum { SIDES = sizeof sides / sizeof *sides };

static void check_kind(const spx_jpeg_kind *kind, int width, int height)
{
    uint8_t *const scene = spx_jpeg_scene(width, height, kind->components, 1), *plain, *plain_grey;
    const size_t n = (size_t)width * (size_t)height;
    unsigned char *jpeg;
    const size_t size = spx_jpeg_make(&jpeg, kind, width, height, scene, 80);
    int h, w, components;
    spx_image_info info;
    spx_image colour, grey;
    CHECK_OK(spx_image_decode(&colour, "a.png", jpeg, size, 3));
    CHECK_OK(spx_image_decode(&grey, "a.png", jpeg, size, 1));
    CHECK_OK(spx_image_probe(&info, "a.png", jpeg, size));
    plain = spx_jpeg_plain(jpeg, size, 8, &h, &w, &components);
    plain_grey = spx_jpeg_plain(jpeg, size, 8, &h, &w, &components);
    spx_jpeg_convert(plain, n, components, 3);
    spx_jpeg_convert(plain_grey, n, components, 1);
    assert_true(info.jpeg && info.height == height && info.width == width &&
                info.grey == (kind->components == 1));
    assert_true(colour.height == height && colour.width == width && colour.channels == 3);
    assert_memory_equal(grey.pixels, plain_grey, n);
    for (size_t i = 0; i < 3 * n; i++) {
        assert_int_equal(colour.pixels[i % 3 * n + i / 3], plain[i]);
    }
    spx_image_clear(&colour);
    spx_image_clear(&grey);
    free(plain);
    free(plain_grey);
    free(jpeg);
    free(scene);
}

SPX_TEST(jpegs_of_every_kind_and_size_are_what_libjpeg_gives)
{
    SPX_UNUSED;
    for (size_t k = 0; k < SPX_JPEG_KINDS; k++) {
        for (size_t s = 0; s < (k < 3 ? SIDES : SIDES - 1); s++) {
            check_kind(&spx_jpeg_kinds[k], sides[s][0], sides[s][1]);
        }
    }
}

static void check_refused(const void *bytes, size_t n, const char *expect)
{
    spx_image image;
    spx_image_info info;
    CHECK_FAILS(SPX_EFORMAT, spx_image_decode(&image, "bad.jpg", bytes, n, 3));
    assert_null(image.pixels);
    if (strstr(spx_error_message(), expect) == NULL ||
        strstr(spx_error_message(), "bad.jpg") == NULL) {
        fail_msg("'%s', expected '%s'", spx_error_message(), expect);
    }
    if (spx_image_probe(&info, "bad.jpg", bytes, n) == SPX_OK) { /* the header may be a good one */
        assert_true(info.height > 0 && info.width > 0);
    }
}

/* Where the last segment of that kind begins. */
static size_t find_marker(const uint8_t *bytes, size_t n, uint8_t marker)
{
    size_t at = n - 1;
    while (at > 0 && (bytes[at - 1] != 0xff || bytes[at] != marker)) {
        at--;
    }
    assert_true(at > 0);
    return at - 1;
}

SPX_TEST(a_jpeg_that_ends_anywhere_early_is_refused)
{
    SPX_UNUSED;
    for (size_t k = 0; k < SPX_JPEG_KINDS; k += 3) {
        uint8_t *const scene = spx_jpeg_scene(21, 19, spx_jpeg_kinds[k].components, 2);
        unsigned char *jpeg;
        const size_t n = spx_jpeg_make(&jpeg, &spx_jpeg_kinds[k], 21, 19, scene, 70);
        for (size_t i = 0; i < n - 1; i++) {
            check_refused(jpeg, i, ""); /* of the last marker one byte will do */
        }
        check_refused(jpeg, n - 20, "damaged JPEG: ");
        free(jpeg);
        free(scene);
    }
}

SPX_TEST(bad_codes_are_refused_and_bytes_too_many_are_not)
{
    SPX_UNUSED;
    uint8_t *const scene = spx_jpeg_scene(64, 48, 3, 3);
    unsigned char *jpeg;
    const size_t n = spx_jpeg_make(&jpeg, &spx_jpeg_kinds[1], 64, 48, scene, 70);
    const size_t scan = find_marker(jpeg, n, 0xda), frame = find_marker(jpeg, n, 0xc0);
    uint8_t *const longer = malloc(n + 20);
    spx_image want, got;
    CHECK_OK(spx_image_decode(&want, "a.jpg", jpeg, n, 3));
    memcpy(longer, jpeg, frame);
    memset(longer + frame, 0x11, 10); /* between two segments */
    memcpy(longer + frame + 10, jpeg + frame, n - frame);
    memset(longer + n + 10, 0x22, 10); /* behind the end */
    CHECK_OK(spx_image_decode(&got, "a.jpg", longer, n + 20, 3));
    assert_memory_equal(got.pixels, want.pixels, (size_t)3 * 64 * 48);
    spx_image_clear(&got);
    spx_image_clear(&want);
    /* ones only, as 0xff and its stuffed 0: libjpeg's standard tables have no such code */
    for (size_t i = scan + 100; i + 8 < n - 2; i += 2) {
        jpeg[i] = 0xff;
        jpeg[i + 1] = 0;
    }
    check_refused(jpeg, n, "Huffman");
    free(longer);
    free(jpeg);
    free(scene);
}

static void set_frame(uint8_t *bytes, size_t frame, unsigned height, unsigned width)
{
    bytes[frame + 5] = (uint8_t)(height >> 8), bytes[frame + 6] = (uint8_t)height;
    bytes[frame + 7] = (uint8_t)(width >> 8), bytes[frame + 8] = (uint8_t)width;
}

SPX_TEST(bombs_are_refused_before_they_cost_anything)
{
    SPX_UNUSED;
    enum { SCANS = 3000 };
    const spx_jpeg_kind two = {2, JCS_UNKNOWN, 1, 1, 0, 0};
    uint8_t *const scene = spx_jpeg_scene(16, 16, 3, 4);
    unsigned char *jpeg;
    size_t n = spx_jpeg_make(&jpeg, &spx_jpeg_kinds[1], 16, 16, scene, 70);
    size_t frame = find_marker(jpeg, n, 0xc0), last;
    uint8_t *many;
    set_frame(jpeg, frame, 8193, 16);
    check_refused(jpeg, n, "at most 8192");
    set_frame(jpeg, frame, 8192, 8192);
    check_refused(jpeg, n, "can hold");
    set_frame(jpeg, frame, 0, 16);
    check_refused(jpeg, n, "damaged JPEG");
    free(jpeg);
    n = spx_jpeg_make(&jpeg, &spx_jpeg_kinds[16], 16, 16, scene, 70); /* a scan a component */
    last = find_marker(jpeg, n, 0xda);
    many = malloc(n * SCANS);
    memcpy(many, jpeg, last);
    for (size_t i = 0, at = last; i < SCANS; i++, at += n - 2 - last) {
        memcpy(many + at, jpeg + last, n - last);
    }
    check_refused(many, last + (n - 2 - last) * SCANS + 2, "scans");
    free(many);
    free(jpeg);
    n = spx_jpeg_make(&jpeg, &two, 16, 16, scene, 70);
    check_refused(jpeg, n, "2 components");
    free(jpeg);
    free(scene);
}

SPX_TEST(changed_jpegs_are_read_or_refused)
{
    SPX_UNUSED;
    spx_rng rng;
    spx_rng_init(&rng, spx_fresh_seed(), SPX_RNG_TEST, 0);
    for (size_t k = 0; k < SPX_JPEG_KINDS; k++) {
        uint8_t *const scene = spx_jpeg_scene(40, 33, spx_jpeg_kinds[k].components, 5);
        unsigned char *jpeg;
        const size_t n = spx_jpeg_make(&jpeg, &spx_jpeg_kinds[k], 40, 33, scene, 60);
        uint8_t *const bad = malloc(n); /* of just that size, so that a sanitizer sees the end */
        for (int i = 0; i < 60; i++) {
            spx_image image;
            spx_image_info info;
            spx_status st;
            memcpy(bad, jpeg, n);
            for (uint32_t hits = 1 + spx_rng_below(&rng, 4); hits > 0; hits--) {
                bad[spx_rng_below(&rng, (uint32_t)n)] = (uint8_t)spx_rng_below(&rng, 256);
            }
            st = spx_image_decode(&image, "bad.jpg", bad, n, 1 + 2 * (i % 2));
            assert_true(st == SPX_OK || (st == SPX_EFORMAT && image.pixels == NULL));
            assert_true(spx_image_probe(&info, "bad.jpg", bad, n) == SPX_OK || st != SPX_OK);
            spx_image_clear(&image);
        }
        free(bad);
        free(jpeg);
        free(scene);
    }
}

SPX_TEST(what_is_encoded_is_a_jpeg_near_the_image)
{
    SPX_UNUSED;
    for (int channels = 1; channels <= 3; channels += 2) {
        spx_image image, back;
        void *bytes, *again;
        size_t size, size_again;
        double error = 0;
        CHECK_OK(spx_image_create(&image, channels, 301, 407));
        for (int i = 0; i < channels * 301 * 407; i++) { /* slopes: a JPEG holds them well */
            image.pixels[i] = (uint8_t)(i % 407 / 4 + i / 407 % 301 / 4 + i / (301 * 407) * 30);
        }
        CHECK_OK(spx_image_encode_jpeg(&image, 95, &bytes, &size));
        CHECK_OK(spx_image_encode_jpeg(&image, 95, &again, &size_again));
        assert_int_equal(size, size_again);
        assert_memory_equal(bytes, again, size);
        CHECK_OK(spx_image_decode(&back, "a.jpg", bytes, size, channels));
        for (int i = 0; i < channels * 301 * 407; i++) {
            const double d = (double)image.pixels[i] - back.pixels[i];
            error += d * d / (channels * 301 * 407);
        }
        assert_true(error < 12); /* divisors are 12 at most: uniform errors of variance 12^2/12 */
        spx_free(again);
        CHECK_FAILS(SPX_EINVAL, spx_image_encode_jpeg(&image, 101, &again, &size_again));
        spx_free(bytes);
        spx_image_clear(&image);
        spx_image_clear(&back);
    }
}

SPX_TEST(a_large_noisy_image_is_encoded_whole)
{
    SPX_UNUSED;
    spx_image image, back;
    void *bytes;
    size_t size;
    uint32_t noise = 1;
    CHECK_OK(spx_image_create(&image, 3, 400, 500));
    for (int i = 0; i < 3 * 400 * 500; i++) {
        noise = noise * 1664525u + 1013904223u;
        image.pixels[i] = (uint8_t)(noise >> 24);
    }
    CHECK_OK(spx_image_encode_jpeg(&image, 100, &bytes, &size));
    assert_true(size > (size_t)128 << 10); /* so that the first room was too small, twice */
    CHECK_OK(spx_image_decode(&back, "a.jpg", bytes, size, 3));
    spx_free(bytes);
    spx_image_clear(&image);
    spx_image_clear(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(jpegs_of_every_kind_and_size_are_what_libjpeg_gives),
        SPX_UNIT(a_jpeg_that_ends_anywhere_early_is_refused),
        SPX_UNIT(bad_codes_are_refused_and_bytes_too_many_are_not),
        SPX_UNIT(bombs_are_refused_before_they_cost_anything),
        SPX_UNIT(changed_jpegs_are_read_or_refused),
        SPX_UNIT(what_is_encoded_is_a_jpeg_near_the_image),
        SPX_UNIT(a_large_noisy_image_is_encoded_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
