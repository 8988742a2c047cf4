/* Batches on their way to every device there is. */
#include "host/train/feed.h"

#include "kernels/base/rng.h"
#include "kernels/device/device_memory.h"
#include "tests/support/spx_test.h"

enum { BATCH = 3, C = 3, H = 5, W = 7, PIXELS = C * H * W, STEPS = 9 };

/* A source whose one batch changes under the feet of who still reads it. */
typedef struct shelf {
    float *images;
    int32_t *labels;
    int gets;
} shelf;

static float pixel(int64_t step, size_t i)
{
    spx_rng r;
    spx_rng_init(&r, (uint64_t)step, SPX_RNG_TEST, i);
    return spx_rng_normal(&r);
}

static spx_status get(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    shelf *s = ctx;
    s->gets++;
    if (step == STEPS) {
        return SPX_FAIL(SPX_EIO, "the shelf is empty");
    }
    for (size_t i = 0; i < BATCH * PIXELS; i++) {
        s->images[i] = pixel(10 * epoch + step, i);
    }
    for (int i = 0; i < BATCH; i++) {
        s->labels[i] = (int32_t)(100 * step + i);
    }
    *out = (spx_samples){.images = s->images, .labels = s->labels, .valid = step % 2 ? 1 : BATCH};
    return SPX_OK;
}

/* What lies on the device, as (batch, C, H, W). */
static void read_batch(spx_stream *s, const spx_samples *b, float *images, int32_t *labels)
{
    float raw[BATCH * PIXELS];
    const bool planar = spx_stream_device(s) == SPX_DEVICE_CPU;
    CHECK_OK(spx_download(s, raw, b->images, sizeof raw));
    CHECK_OK(spx_download(s, labels, b->labels, BATCH * sizeof *labels));
    CHECK_OK(spx_stream_sync(s));
    for (size_t n = 0; n < BATCH; n++) {
        for (size_t c = 0; c < C; c++) {
            for (size_t i = 0; i < H * W; i++) {
                images[(n * C + c) * H * W + i] =
                    raw[n * PIXELS + (planar ? c * H * W + i : i * C + c)];
            }
        }
    }
}

static void body(spx_stream *s, bool pinned)
{
    const spx_batch_shape shape = {BATCH, C, H, W};
    void *p;
    shelf from = {0};
    spx_source host = {.get = get, .ctx = &from, .steps = STEPS}, device;
    float plain[BATCH * PIXELS];
    int32_t plain_labels[BATCH];
    const float *first = NULL;
    spx_samples batch;
    spx_feed *f;
    from.images = plain;
    from.labels = plain_labels;
    if (pinned) {
        CHECK_OK(spx_pinned_alloc(s, &p, sizeof plain));
        from.images = p;
        CHECK_OK(spx_pinned_alloc(s, &p, sizeof plain_labels));
        from.labels = p;
    }
    CHECK_OK(spx_feed_open(&f, s, &host, &shape));
    device = spx_feed_source(f);
    assert_int_equal(device.steps, STEPS);
    for (int64_t step = 0; step < STEPS; step++) {
        float images[BATCH * PIXELS];
        int32_t labels[BATCH];
        CHECK_OK(device.get(device.ctx, 1, step, &batch));
        assert_int_equal(batch.valid, step % 2 ? 1 : BATCH);
        first = first == NULL ? batch.images : first;
        assert_ptr_equal(batch.images, first); /* recorded steps read there */
        if (step % 3 == 2) {
            continue; /* the next one is asked for before this one was waited for */
        }
        read_batch(s, &batch, images, labels);
        for (size_t i = 0; i < BATCH * PIXELS; i++) {
            assert_true(images[i] == pixel(10 + step, i));
        }
        for (int i = 0; i < BATCH; i++) {
            assert_int_equal(labels[i], 100 * step + i);
        }
    }
    CHECK_FAILS(SPX_EIO, device.get(device.ctx, 1, STEPS, &batch));
    assert_int_equal(from.gets, STEPS + 1);
    spx_feed_close(f);
    if (pinned) {
        spx_pinned_free(s, from.images);
        spx_pinned_free(s, from.labels);
    }
}

SPX_TEST(batches_arrive_as_they_were_at_one_address_in_the_devices_layout)
{
    SPX_UNUSED;
    for (int d = 0; d < SPX_DEVICE_COUNT; d++) {
        spx_stream *s;
        if (spx_device_count((spx_device)d) == 0) {
            print_message("  %s: not here\n", spx_device_name((spx_device)d));
            continue;
        }
        CHECK_OK(spx_stream_create(&s, (spx_device)d, 1));
        body(s, false);
        body(s, true);
        spx_stream_destroy(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(batches_arrive_as_they_were_at_one_address_in_the_devices_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
