/* Batches on every device, by every way there is, against the loader's. */
#include "data/loader/device_source.h"
#include "kernels/device/device_memory.h"
#include "tests/support/spx_test.h"

enum { N = 53, C = 3, FROM_H = 6, FROM_W = 5, H = 9, W = 8, BATCH = 8, PIXELS = C * H * W };

static uint8_t images[N * C * FROM_H * FROM_W];
static uint16_t labels[N];
static spx_pack pack = {
    .dataset = "synthetic",
    .channels = C,
    .height = FROM_H,
    .width = FROM_W,
    .classes = 4,
    .mean = {.5, .4, .3},
    .std = {.25, .2, .3},
    .split = {[SPX_SPLIT_TRAIN] = {N, images, labels, NULL}},
};

static int set_up(void **state)
{
    spx_rng rng;
    (void)state;
    spx_rng_init(&rng, 1, SPX_RNG_TEST, 0);
    for (size_t i = 0; i < sizeof images; i++) {
        images[i] = (uint8_t)spx_rng_u32(&rng);
    }
    for (int i = 0; i < N; i++) {
        labels[i] = (uint16_t)(i % 4);
    }
    return 0;
}

/* What the device has is what the loader gave, bit for bit, whatever the layout. */
static void compare(spx_stream *s, const spx_samples *got, const spx_batch *want)
{
    const bool planar = spx_stream_device(s) == SPX_DEVICE_CPU;
    float x[BATCH * PIXELS];
    int32_t y[BATCH];
    CHECK_OK(spx_download(s, x, got->images, sizeof x));
    CHECK_OK(spx_download(s, y, got->labels, sizeof y));
    CHECK_OK(spx_stream_sync(s));
    assert_int_equal(got->valid, want->valid);
    assert_memory_equal(y, want->labels, sizeof y);
    for (size_t n = 0; n < BATCH; n++) {
        for (size_t c = 0; c < C; c++) {
            for (size_t i = 0; i < H * W; i++) {
                const float v = x[n * PIXELS + (planar ? c * H * W + i : i * C + c)];
                assert_true(v == want->images[n * PIXELS + c * H * W + i]);
            }
        }
    }
}

static void body(spx_stream *s, double share, const spx_loader_options *o)
{
    spx_device_split *split;
    spx_device_source *d;
    spx_source source;
    spx_loader *loader;
    CHECK_OK(spx_device_split_open(&split, s, &pack, SPX_SPLIT_TRAIN, share));
    assert_true((split != NULL) == (share > 0 && spx_stream_device(s) != SPX_DEVICE_CPU));
    CHECK_OK(spx_device_source_open(&d, s, split, &pack, o));
    CHECK_OK(spx_loader_open(&loader, &pack, o));
    source = spx_device_source_of(d);
    assert_int_equal(source.steps, spx_loader_steps(loader));
    for (int64_t epoch = 0; epoch < 2; epoch++) {
        for (int64_t step = 0; step < source.steps; step++) {
            spx_samples got;
            spx_batch want;
            CHECK_OK(source.get(source.ctx, epoch, step, &got));
            CHECK_OK(spx_loader_get(loader, (uint64_t)epoch, (size_t)step, &want));
            if (step % 4 != 1) { /* some are asked for while those before are under way */
                compare(s, &got, &want);
            }
        }
    }
    spx_loader_close(loader);
    spx_device_source_close(d);
    spx_device_split_close(split);
}

SPX_TEST(batches_are_the_loaders_by_every_way_and_with_every_augmentation)
{
    static const spx_augment augment[] = {{.pad_crop = 0},
                                          {.pad_crop = 2},
                                          {.flip = true},
                                          {.cutout = 3},
                                          {.pad_crop = 2, .flip = true, .cutout = 4},
                                          {.resized_crop = SPX_RESIZED_CROP_RANDOM, .flip = true},
                                          {.resized_crop = SPX_RESIZED_CROP_CENTRE, .cutout = 2},
                                          {.flip = true, .alternate = true, .cutout = 3},
                                          {.pad_crop = 1, .jitter = {0.4, 0.4, 0.4}, .cutout = 2}};
    SPX_UNUSED;
    for (int d = 0; d < SPX_DEVICE_COUNT; d++) {
        spx_stream *s;
        if (spx_device_count((spx_device)d) == 0) {
            print_message("  %s: not here\n", spx_device_name((spx_device)d));
            continue;
        }
        CHECK_OK(spx_stream_create(&s, (spx_device)d, 1));
        for (size_t i = 0; i < 2 * (sizeof augment / sizeof augment[0]); i++) {
            spx_loader_options o = {.split = SPX_SPLIT_TRAIN,
                                    .train = true,
                                    .batch = BATCH,
                                    .height = H,
                                    .width = W,
                                    .augment = augment[i / 2],
                                    .seed = 7,
                                    .threads = 1};
            body(s, i % 2 == 0 ? 1.0 : 0.0, &o);
            o.train = false;
            body(s, i % 2 == 0 ? 1.0 : 0.0, &o);
        }
        spx_stream_destroy(s);
    }
}

SPX_TEST(a_split_that_the_device_has_no_room_for_stays_on_the_host)
{
    spx_pack huge = pack;
    SPX_UNUSED;
    huge.split[SPX_SPLIT_TRAIN].count = (size_t)1 << 45; /* no byte of it is read */
    for (int d = 0; d < SPX_DEVICE_COUNT; d++) {
        for (double share = 1; share < 1e9; share *= 1e8) { /* too much of it; more than there is */
            spx_device_split *split;
            spx_stream *s;
            if (spx_device_count((spx_device)d) == 0) {
                break;
            }
            CHECK_OK(spx_stream_create(&s, (spx_device)d, 1));
            CHECK_OK(spx_device_split_open(&split, s, &huge, SPX_SPLIT_TRAIN, share));
            assert_null(split);
            spx_stream_destroy(s);
        }
    }
}

SPX_TEST(a_split_that_is_not_there_is_refused)
{
    spx_device_split *split;
    spx_stream *s;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_FAILS(SPX_ENOTFOUND, spx_device_split_open(&split, s, &pack, SPX_SPLIT_TEST, 1));
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(batches_are_the_loaders_by_every_way_and_with_every_augmentation),
        SPX_UNIT(a_split_that_the_device_has_no_room_for_stays_on_the_host),
        SPX_UNIT(a_split_that_is_not_there_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
