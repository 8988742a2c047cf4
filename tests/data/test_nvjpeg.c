/* Batches that nvJPEG decodes: the loader's, the same after a stop, and clear words where there are
 * none. Where CUDA is emulated a library made of libjpeg stands in (fake_nvjpeg.cu): its pixels
 * are libjpeg's, so the tolerance is 0; the real one's is derived in data/loader/nvjpeg.md. */
#define _DEFAULT_SOURCE
#include "data/loader/device_source.h"
#include "data/pack/pack_store.h"
#include "kernels/device/device_memory.h"
#include "tests/data/stored_pack.h"

#include <dlfcn.h>

enum { TRAIN = 33, TEST = 7, SIDE = 22, C = 3 };

#ifdef SPX_FAKE_NVJPEG_LIBRARY
#define TOLERANCE 0
#else
#define TOLERANCE 10 /* of 255 */
#endif

static spx_pack *mixed; /* encoded, of differing sizes, a fifth of them PNG */
static int *decoded;    /* pictures that the stand-in decoded; or NULL */

static const spx_loader_options training = {
    .split = SPX_SPLIT_TRAIN,
    .train = true,
    .batch = 10,
    .height = SIDE,
    .width = SIDE,
    .nvjpeg = true,
    .augment = {.resized_crop = SPX_RESIZED_CROP_RANDOM,
                .scale = {0.3, 1},
                .ratio = {0.6, 1.7},
                .flip = true,
                .alternate = true,
                .cutout = 5},
    .seed = 7,
    .threads = 3,
};

static int set_up(void **state)
{
    (void)state;
#ifdef SPX_FAKE_NVJPEG_LIBRARY
    void *fake = dlopen(SPX_FAKE_NVJPEG_LIBRARY, RTLD_NOW);
    assert_non_null(fake);
    decoded = dlsym(fake, "spx_fake_nvjpeg_decoded");
    assert_non_null(decoded);
    assert_int_equal(setenv("SPHYNX_NVJPEG", SPX_FAKE_NVJPEG_LIBRARY, 1), 0);
#endif
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

/* A stream of the GPU; the test is left out where it or nvJPEG is not there. */
static spx_stream *gpu(void)
{
    spx_device_source *d;
    spx_stream *s;
    spx_status st;
    if (spx_device_count(SPX_DEVICE_CUDA) == 0) {
        skip();
    }
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CUDA, 1));
    st = spx_device_source_open(&d, s, NULL, mixed, &training);
    if (st == SPX_EUNSUPPORTED && decoded == NULL) {
        print_message("  %s\n", spx_error_message());
        spx_stream_destroy(s);
        skip();
    }
    CHECK_OK(st);
    spx_device_source_close(d);
    return s;
}

/* Fetches a batch. */
static void get(spx_stream *s, const spx_source *source, int64_t epoch, int64_t step, float *x,
                int32_t *y, size_t batch, size_t pixels)
{
    spx_samples got;
    CHECK_OK(source->get(source->ctx, epoch, step, &got));
    CHECK_OK(spx_download(s, x, got.images, batch * pixels * sizeof *x));
    CHECK_OK(spx_download(s, y, got.labels, batch * sizeof *y));
    CHECK_OK(spx_stream_sync(s));
}

static void check_batches(spx_stream *s, const spx_pack *p, const spx_loader_options *o)
{
    const size_t c = (size_t)p->channels, pixels = c * SIDE * SIDE, n = o->batch * pixels;
    spx_device_source *d;
    spx_source source;
    spx_loader *l;
    float *x;
    int32_t *y;
    CHECK_OK(SPX_NEW(x, n));
    CHECK_OK(SPX_NEW(y, o->batch));
    CHECK_OK(spx_device_source_open(&d, s, NULL, p, o));
    CHECK_OK(spx_loader_open(&l, p, o));
    source = spx_device_source_of(d);
    for (int64_t t = 0; t < 2 * source.steps; t++) {
        spx_batch want;
        CHECK_OK(
            spx_loader_get(l, (uint64_t)(t / source.steps), (size_t)(t % source.steps), &want));
        if (t % 3 == 1) { /* not waited for before the next is asked for */
            spx_samples got;
            CHECK_OK(source.get(source.ctx, t / source.steps, t % source.steps, &got));
            continue;
        }
        get(s, &source, t / source.steps, t % source.steps, x, y, o->batch, pixels);
        assert_memory_equal(y, want.labels, o->batch * sizeof *y);
        for (size_t i = 0; i < n; i++) {
            const size_t row = i / pixels, k = i % pixels / (SIDE * SIDE), at = i % (SIDE * SIDE);
            const double off = fabs((double)x[row * pixels + at * c + k] - (double)want.images[i]);
            assert_true(off <= TOLERANCE / 255.0 / p->std[k]);
        }
    }
    spx_loader_close(l);
    spx_device_source_close(d);
    spx_free(x);
    spx_free(y);
}

SPX_TEST(batches_are_the_loaders_and_nvjpeg_decodes_what_is_jpeg)
{
    spx_loader_options o = training;
    spx_stream *s = gpu();
    SPX_UNUSED;
    for (o.threads = 1; o.threads < 4; o.threads += 2) {
        const int before = decoded != NULL ? *decoded : 0;
        check_batches(s, mixed, &o);
        assert_true(decoded == NULL || *decoded - before > 6 * 10 / 2);
        assert_true(decoded == NULL || *decoded - before < 6 * 10); /* PNGs are not its */
    }
    o.train = false;
    o.split = SPX_SPLIT_TEST;
    o.augment.centre_crop = o.augment.centre_resize = 8;
    check_batches(s, mixed, &o);
    spx_stream_destroy(s);
}

SPX_TEST(a_batch_is_the_same_whatever_was_asked_for_before)
{
    enum { STEPS = 6, PIXELS = C * SIDE * SIDE, N = 10 * PIXELS };
    spx_stream *s = gpu();
    spx_device_source *d;
    spx_source source;
    void *all;
    float *x, *again;
    int32_t y[10];
    SPX_UNUSED;
    CHECK_OK(spx_pinned_alloc(s, &all, STEPS * N * sizeof *x));
    CHECK_OK(SPX_NEW(again, N));
    x = all;
    CHECK_OK(spx_device_source_open(&d, s, NULL, mixed, &training));
    source = spx_device_source_of(d);
    for (int64_t t = 0; t < STEPS; t++) { /* in a row, nothing waited for */
        spx_samples got;
        CHECK_OK(source.get(source.ctx, t / source.steps, t % source.steps, &got));
        CHECK_OK(spx_download(s, x + t * N, got.images, N * sizeof *x));
    }
    CHECK_OK(spx_stream_sync(s));
    spx_device_source_close(d);
    CHECK_OK(spx_device_source_open(&d, s, NULL, mixed, &training));
    source = spx_device_source_of(d);
    for (int64_t t = STEPS - 1; t >= 0; t--) { /* as after a resume, and backwards */
        get(s, &source, t / source.steps, t % source.steps, again, y, 10, PIXELS);
        assert_memory_equal(x + t * N, again, N * sizeof *x);
    }
    spx_device_source_close(d);
    spx_pinned_free(s, all);
    spx_free(again);
    spx_stream_destroy(s);
}

SPX_TEST(what_nvjpeg_fails_on_the_cpu_decodes_and_a_failing_device_is_told)
{
    spx_stream *s = gpu();
    spx_device_source *d;
    spx_samples got;
    spx_source source;
    char width[16];
    int height, wide;
    SPX_UNUSED;
    if (decoded == NULL) {
        spx_stream_destroy(s);
        skip();
    }
    spx_store_size(mixed, SPX_SPLIT_TRAIN, 5, &height, &wide);
    (void)snprintf(width, sizeof width, "%d", wide);
    assert_int_equal(setenv("SPX_FAKE_NVJPEG", width, 1), 0);
    check_batches(s, mixed, &training);
    assert_int_equal(setenv("SPX_FAKE_NVJPEG", "device", 1), 0);
    CHECK_OK(spx_device_source_open(&d, s, NULL, mixed, &training));
    source = spx_device_source_of(d);
    CHECK_FAILS(SPX_EDEVICE, source.get(source.ctx, 0, 0, &got));
    assert_non_null(strstr(spx_error_message(), "nvjpegDecodeBatched"));
    spx_device_source_close(d);
    assert_int_equal(setenv("SPX_FAKE_NVJPEG", "old", 1), 0);
    CHECK_FAILS(SPX_EUNSUPPORTED, spx_device_source_open(&d, s, NULL, mixed, &training));
    assert_non_null(strstr(spx_error_message(), "version 11.1, expected 12.1"));
    assert_int_equal(unsetenv("SPX_FAKE_NVJPEG"), 0);
    assert_int_equal(setenv("SPHYNX_NVJPEG", "none", 1), 0);
    CHECK_FAILS(SPX_EUNSUPPORTED, spx_device_source_open(&d, s, NULL, mixed, &training));
    assert_non_null(strstr(spx_error_message(), "switches it off; use --decoder cpu"));
#ifdef SPX_FAKE_NVJPEG_LIBRARY
    assert_int_equal(setenv("SPHYNX_NVJPEG", SPX_FAKE_NVJPEG_LIBRARY, 1), 0);
#endif
    spx_stream_destroy(s);
}

SPX_TEST(a_damaged_picture_is_named)
{
    spx_loader_options o = training;
    spx_stream *s = gpu();
    spx_device_source *d;
    spx_samples got;
    spx_source source;
    spx_pack *p;
    char path[512];
    FILE *f;
    SPX_UNUSED;
    p = store_set("damaged.h5", "original");
    (void)snprintf(path, sizeof path, "%s", place("damaged.h5"));
    f = fopen(path, "r+b");
    assert_non_null(f);
    for (long at = 4096; at < 40000; at += 512) { /* of the pictures, which lie first */
        int c;
        assert_int_equal(fseek(f, at, SEEK_SET), 0);
        c = fgetc(f);
        assert_int_equal(fseek(f, at, SEEK_SET), 0);
        assert_int_not_equal(fputc(c ^ 4, f), EOF);
    }
    assert_int_equal(fclose(f), 0);
    o.batch = 30;
    CHECK_OK(spx_device_source_open(&d, s, NULL, p, &o));
    source = spx_device_source_of(d);
    CHECK_FAILS(SPX_EFORMAT, source.get(source.ctx, 0, 0, &got));
    assert_non_null(strstr(spx_error_message(), "train/"));
    assert_non_null(strstr(spx_error_message(), "damaged.h5"));
    spx_device_source_close(d);
    spx_pack_close(p);
    spx_stream_destroy(s);
}

SPX_TEST(what_cannot_be_decoded_there_is_refused_with_what_to_do)
{
    spx_loader_options o = training;
    spx_device_source *d;
    spx_pack *planes;
    spx_stream *s;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_FAILS(SPX_EUNSUPPORTED, spx_device_source_open(&d, s, NULL, mixed, &o));
    assert_non_null(strstr(spx_error_message(), "--device cuda"));
    spx_stream_destroy(s);
    s = gpu();
    planes = store_set("planes.h5", "raw:20");
    CHECK_FAILS(SPX_EINVAL, spx_device_source_open(&d, s, NULL, planes, &o));
    assert_non_null(strstr(spx_error_message(), "no JPEGs"));
    o.augment.jitter[SPX_JITTER_CONTRAST] = 0.4;
    CHECK_FAILS(SPX_EUNSUPPORTED, spx_device_source_open(&d, s, NULL, mixed, &o));
    assert_non_null(strstr(spx_error_message(), "jitter"));
    o.augment = (spx_augment){.flip = true};
    CHECK_FAILS(SPX_EINVAL, spx_device_source_open(&d, s, NULL, mixed, &o));
    assert_non_null(strstr(spx_error_message(), "--resized-crop"));
    spx_pack_close(planes);
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(batches_are_the_loaders_and_nvjpeg_decodes_what_is_jpeg),
        SPX_UNIT(a_batch_is_the_same_whatever_was_asked_for_before),
        SPX_UNIT(what_nvjpeg_fails_on_the_cpu_decodes_and_a_failing_device_is_told),
        SPX_UNIT(a_damaged_picture_is_named),
        SPX_UNIT(what_cannot_be_decoded_there_is_refused_with_what_to_do),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
