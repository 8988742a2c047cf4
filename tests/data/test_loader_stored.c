/* Batches of stored pictures: what reading each by itself gives, whatever threads and device. */
#define _DEFAULT_SOURCE
#include "data/loader/device_source.h"
#include "data/pack/pack_store.h"
#include "kernels/device/device_memory.h"
#include "tests/data/stored_pack.h"

#include <fcntl.h>

enum { TRAIN = 33, TEST = 7, SIDE = 22, C = 3, PIXELS = C * SIDE * SIDE };

static spx_pack *mixed; /* encoded, of differing sizes */

static int set_up(void **state)
{
    (void)state;
    empty_folder();
    make_set(TRAIN, TEST, 0, 0);
    mixed = store_set("mixed.h5", "original");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    spx_pack_close(mixed);
    spx_scratch_remove(&scratch);
    return 0;
}

static const spx_loader_options training = {
    .split = SPX_SPLIT_TRAIN,
    .train = true,
    .batch = 10,
    .height = SIDE,
    .width = SIDE,
    .augment = {.resized_crop = SPX_RESIZED_CROP_RANDOM,
                .scale = {0.3, 1},
                .ratio = {0.6, 1.7},
                .flip = true,
                .alternate = true,
                .cutout = 5,
                .jitter = {0.4, 0.4, 0.4}},
    .seed = 7,
};

/* The sample of an image by itself: decoded whole, then as augment.h says. No picture here is so
 * large that a JPEG is decoded smaller. */
static void want_sample(const spx_pack *p, const spx_loader_options *o, uint64_t epoch, uint32_t i,
                        float *out)
{
    const spx_augment a = spx_loader_augment(o);
    spx_augment_shape shape = {C, 0, 0, o->height, o->width, false};
    spx_augment_draw d;
    spx_normalise n;
    spx_image image;
    spx_rng rng;
    CHECK_OK(spx_normalise_init(&n, C, p->mean, p->std));
    CHECK_OK(spx_pack_image(p, o->split, i, &image));
    shape.from_height = image.height;
    shape.from_width = image.width;
    spx_augment_rng(&rng, o->seed, epoch, i);
    spx_augment_choose(&a, &shape, &rng, &d);
    spx_augment_apply(&a, &d, &n, &shape, image.pixels, out);
    spx_image_clear(&image);
}

static void check_batches(const spx_pack *p, const spx_loader_options *o, uint64_t epochs)
{
    const size_t pixels = (size_t)(C * o->height * o->width);
    float *want;
    spx_loader *l;
    spx_batch b;
    CHECK_OK(SPX_NEW(want, pixels));
    CHECK_OK(spx_loader_open(&l, p, o));
    for (uint64_t epoch = 0; epoch < epochs; epoch++) {
        for (size_t step = 0; step < spx_loader_steps(l); step++) {
            CHECK_OK(spx_loader_get(l, epoch, step, &b));
            for (size_t i = 0; i < b.count; i++) {
                want_sample(p, o, epoch, b.indices[i], want);
                assert_memory_equal(b.images + i * pixels, want, pixels * sizeof *want);
                assert_int_equal(b.labels[i], p->split[o->split].labels[b.indices[i]]);
            }
        }
    }
    spx_loader_close(l);
    spx_free(want);
}

SPX_TEST(stored_pictures_become_the_samples_their_planes_would)
{
    SPX_UNUSED;
    spx_loader_options o = training;
    for (o.threads = 0; o.threads < 4; o.threads += 3) {
        check_batches(mixed, &o, 2);
    }
    o.split = SPX_SPLIT_TEST;
    o.train = false;
    check_batches(mixed, &o, 1);
}

SPX_TEST(stored_pictures_of_one_size_are_shifted_and_padded_as_tensors_are)
{
    static const char *const forms[] = {"original", "raw:20"};
    const spx_augment shift = {.pad_crop = 3, .flip = true, .cutout = 4, .jitter = {0, 0.3}};
    SPX_UNUSED;
    empty_folder();
    make_set(21, 4, 20, 20);
    for (int f = 0; f < 2; f++) {
        spx_loader_options o = training;
        spx_pack *p = store_set(f == 0 ? "one.h5" : "planes.h5", forms[f]);
        assert_int_equal(p->height, 20);
        for (int k = 0; k < 2; k++) {
            o.augment = k == 0 ? shift : training.augment;
            o.height = o.width = k == 0 ? SIDE : 14;
            o.threads = 2;
            check_batches(p, &o, 2);
        }
        spx_pack_close(p);
    }
}

static uint64_t digest_at(spx_loader *l, bool bytes, uint64_t epoch, size_t step)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    spx_batch b;
    CHECK_OK(spx_loader_get(l, epoch, step, &b));
    const uint8_t *p = bytes ? b.bytes : (const uint8_t *)b.images;
    for (size_t i = 0; i < b.count * PIXELS * (bytes ? 1 : sizeof(float)); i++) {
        h = (h ^ p[i]) * 0x100000001b3u;
    }
    for (size_t i = 0; bytes && i < 2 * b.count; i++) {
        h = (h ^ (uint32_t)b.cut[i]) * 0x100000001b3u;
    }
    return h;
}

SPX_TEST(batches_depend_neither_on_threads_nor_on_where_one_begins)
{
    enum { STEPS = TRAIN / 10, ALL = 3 * STEPS };
    SPX_UNUSED;
    for (int bytes = 0; bytes < 2; bytes++) {
        spx_loader_options o = training;
        uint64_t want[ALL];
        spx_loader *l;
        o.bytes = bytes == 1;
        CHECK_OK(spx_loader_open(&l, mixed, &o));
        for (size_t t = 0; t < ALL; t++) {
            want[t] = digest_at(l, o.bytes, t / STEPS, t % STEPS);
        }
        spx_loader_close(l);
        for (size_t start = 0; start < ALL; start += 2) {
            o.threads = 1 + (int)(start % 5);
            o.prefetch = 1 + (int)(start % 3);
            CHECK_OK(spx_loader_open(&l, mixed, &o));
            for (size_t t = start; t < ALL; t++) {
                assert_true(digest_at(l, o.bytes, t / STEPS, t % STEPS) == want[t]);
            }
            spx_loader_close(l);
        }
    }
}

/* 256 of the shorter side is the stored one's, so that 224 of it is a copy of the middle. */
SPX_TEST(evaluation_resizes_to_256_and_crops_224_or_takes_plain_224)
{
    enum { BIG = 224 };
    spx_loader_options o = {.split = SPX_SPLIT_TEST,
                            .batch = 1,
                            .height = BIG,
                            .width = BIG,
                            .augment = {.resized_crop = SPX_RESIZED_CROP_RANDOM}};
    spx_pack *p;
    spx_loader *l;
    spx_image image;
    spx_batch b;
    SPX_UNUSED;
    empty_folder();
    make_picture("set/train/a/0.png", 1, 20, 20);
    make_picture("set/test/a/0.jpg", 2, 256, 300);
    make_picture("set/test/a/1.jpg", 3, 230, 224);
    p = store_set("eval.h5", "original");
    CHECK_OK(spx_loader_open(&l, p, &o));
    CHECK_OK(spx_loader_get(l, 0, 0, &b));
    CHECK_OK(spx_pack_image(p, SPX_SPLIT_TEST, 0, &image));
    for (int i = 0; i < C * BIG * BIG; i++) {
        const int c = i / (BIG * BIG), y = 16 + i / BIG % BIG, x = 38 + i % BIG;
        const float v =
            (float)((image.pixels[(c * 256 + y) * 300 + x] / 255.0 - p->mean[c]) / p->std[c]);
        assert_true(b.images[i] == v);
    }
    spx_image_clear(&image);
    spx_loader_close(l);
    o.augment.centre_crop = o.augment.centre_resize = BIG;
    CHECK_OK(spx_loader_open(&l, p, &o));
    CHECK_OK(spx_loader_get(l, 0, 1, &b));
    CHECK_OK(spx_pack_image(p, SPX_SPLIT_TEST, 1, &image));
    for (int i = 0; i < C * BIG * BIG; i++) {
        const int c = i / (BIG * BIG), y = 3 + i / BIG % BIG, x = i % BIG;
        const float v =
            (float)((image.pixels[(c * 230 + y) * BIG + x] / 255.0 - p->mean[c]) / p->std[c]);
        assert_true(b.images[i] == v);
    }
    spx_image_clear(&image);
    spx_loader_close(l);
    spx_pack_close(p);
}

SPX_TEST(differing_sizes_without_a_resized_crop_are_refused)
{
    spx_loader_options o = training;
    spx_loader *l;
    SPX_UNUSED;
    o.augment = (spx_augment){.pad_crop = 2};
    CHECK_FAILS(SPX_EINVAL, spx_loader_open(&l, mixed, &o));
    assert_non_null(strstr(spx_error_message(), "--resized-crop"));
    o.train = false;
    CHECK_FAILS(SPX_EINVAL, spx_loader_open(&l, mixed, &o));
}

/* Turns one bit of the file where the picture's bytes are found in it. */
static void damage(const char *path, const uint8_t *picture, size_t size)
{
    void *file;
    size_t n, at = 0;
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    n = (size_t)ftell(f);
    CHECK_OK(spx_alloc(&file, n));
    rewind(f);
    assert_int_equal(fread(file, 1, n, f), n);
    while (at + size <= n && memcmp((uint8_t *)file + at, picture, size) != 0) {
        at++;
    }
    assert_true(at + size <= n);
    at += size / 2;
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_equal(fputc(((uint8_t *)file)[at] ^ 4, f), ((uint8_t *)file)[at] ^ 4);
    assert_int_equal(fclose(f), 0);
    spx_free(file);
}

SPX_TEST(a_damaged_picture_fails_its_batch_by_name_whatever_the_threads)
{
    spx_loader_options o = training;
    char said[512] = "", path[512];
    uint8_t bytes[8192];
    spx_pack *p;
    size_t size;
    SPX_UNUSED;
    empty_folder();
    make_set(30, 3, 0, 0);
    p = store_set("damaged.h5", "original");
    (void)snprintf(path, sizeof path, "%s", place("damaged.h5"));
    for (uint32_t i = 3; i < 30; i += 11) { /* three of them, told of by order */
        CHECK_OK(spx_store_read(p, SPX_SPLIT_TRAIN, i, bytes, sizeof bytes, &size));
        damage(path, bytes, size);
    }
    spx_pack_close(p);
    CHECK_OK(spx_pack_open(&p, path, SPX_PACK_LOAD_ALL)); /* pictures are not read */
    o.batch = 30;
    for (o.threads = 0; o.threads < 5; o.threads++) {
        spx_loader *l;
        spx_batch b;
        CHECK_OK(spx_loader_open(&l, p, &o));
        for (int again = 0; again < 2; again++) {
            CHECK_FAILS(SPX_EFORMAT, spx_loader_get(l, 0, 0, &b));
            assert_non_null(strstr(spx_error_message(), "train/"));
            assert_non_null(strstr(spx_error_message(), "damaged.h5"));
            assert_null(strchr(spx_error_message(), '\n'));
            assert_true(o.threads + again == 0 || strcmp(said, spx_error_message()) == 0);
            (void)snprintf(said, sizeof said, "%s", spx_error_message());
        }
        spx_loader_close(l);
    }
    spx_pack_close(p);
}

/* ---- devices ---- */

static void compare_device(spx_stream *s, const spx_pack *p, const spx_loader_options *o,
                           double share, bool resident)
{
    const size_t side = (size_t)o->height * (size_t)o->width, n = o->batch * C * side;
    const bool planar = spx_stream_device(s) == SPX_DEVICE_CPU;
    spx_device_split *split;
    spx_device_source *d;
    spx_source source;
    spx_loader *l;
    float *x;
    CHECK_OK(SPX_NEW(x, n));
    CHECK_OK(spx_device_split_open(&split, s, p, o->split, share));
    assert_true((split != NULL) == (resident && !planar));
    CHECK_OK(spx_device_source_open(&d, s, split, p, o));
    CHECK_OK(spx_loader_open(&l, p, o));
    source = spx_device_source_of(d);
    for (int64_t t = 0; t < 2 * source.steps; t++) {
        spx_samples got;
        spx_batch want;
        CHECK_OK(source.get(source.ctx, t / source.steps, t % source.steps, &got));
        CHECK_OK(
            spx_loader_get(l, (uint64_t)(t / source.steps), (size_t)(t % source.steps), &want));
        CHECK_OK(spx_download(s, x, got.images, n * sizeof *x));
        CHECK_OK(spx_stream_sync(s));
        for (size_t i = 0; i < n; i++) {
            const size_t row = i / (C * side), c = i / side % C, at = i % side;
            assert_true(x[planar ? i : (row * side + at) * C + c] == want.images[i]);
        }
    }
    spx_loader_close(l);
    spx_device_source_close(d);
    spx_device_split_close(split);
    spx_free(x);
}

SPX_TEST(every_device_has_the_loaders_batches)
{
    spx_pack *planes;
    SPX_UNUSED;
    empty_folder();
    make_set(21, 11, 20, 20);
    planes = store_set("planes.h5", "raw:20");
    for (int d = 0; d < SPX_DEVICE_COUNT; d++) {
        spx_loader_options o = training;
        spx_stream *s;
        if (spx_device_count((spx_device)d) == 0) {
            continue;
        }
        CHECK_OK(spx_stream_create(&s, (spx_device)d, 1));
        compare_device(s, mixed, &o, 1, false);
        compare_device(s, planes, &o, 1, true); /* on the device, but jitter keeps it unused */
        memset(o.augment.jitter, 0, sizeof o.augment.jitter);
        compare_device(s, planes, &o, 1, true);
        compare_device(s, planes, &o, 0, false);
        o.train = false;
        o.split = SPX_SPLIT_TEST;
        compare_device(s, planes, &o, 1, true);
        spx_stream_destroy(s);
    }
    spx_pack_close(planes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(stored_pictures_become_the_samples_their_planes_would),
        SPX_UNIT(batches_depend_neither_on_threads_nor_on_where_one_begins),
        SPX_UNIT(differing_sizes_without_a_resized_crop_are_refused),
        SPX_UNIT(every_device_has_the_loaders_batches),
        SPX_UNIT(stored_pictures_of_one_size_are_shifted_and_padded_as_tensors_are),
        SPX_UNIT(evaluation_resizes_to_256_and_crops_224_or_takes_plain_224),
        SPX_UNIT(a_damaged_picture_fails_its_batch_by_name_whatever_the_threads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
