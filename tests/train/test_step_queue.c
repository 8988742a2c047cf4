/* Steps, recordings and late reports on every device there is: a step here is one update. */
#include "host/train/step_queue.h"

#include "kernels/device/device_memory.h"
#include "kernels/optim/optim.h"
#include "tests/support/spx_test.h"

enum { N = 1000, STEPS = 20 };

/* Weights that fall by lr * 1 a step; their norm before it is reported. */
typedef struct fixture {
    spx_step_queue queue;
    float *w, *g, *buf;
    int queued; /* times the step's work was queued by the host */
    bool fail;
} fixture;

static void *memory(spx_stream *s, size_t bytes)
{
    void *p;
    CHECK_OK(spx_device_alloc(s, &p, bytes));
    return p;
}

static void setup(fixture *f, spx_stream *s)
{
    float ones[N];
    for (int i = 0; i < N; i++) {
        ones[i] = 1;
    }
    memset(f, 0, sizeof *f);
    CHECK_OK(spx_step_queue_init(&f->queue, s, N));
    f->w = memory(s, sizeof ones);
    f->g = memory(s, sizeof ones);
    f->buf = memory(s, sizeof ones);
    CHECK_OK(spx_upload(s, f->w, ones, sizeof ones));
    CHECK_OK(spx_upload(s, f->g, ones, sizeof ones));
}

static void teardown(fixture *f, spx_stream *s)
{
    spx_step_queue_clear(&f->queue);
    spx_device_free(s, f->w);
    spx_device_free(s, f->g);
    spx_device_free(s, f->buf);
}

static spx_status step(void *ctx)
{
    fixture *f = ctx;
    spx_step_queue *q = &f->queue;
    f->queued++;
    SPX_RETURN_IF(spx_norm2(q->stream, N, f->w, &q->numbers->norm[0], q->norm_workspace.data));
    SPX_RETURN_IF(spx_guard_update(q->stream, &q->numbers->norm[0], NULL, 0, &q->numbers->guard));
    if (f->fail) {
        return SPX_FAIL(SPX_EDEVICE, "made up");
    }
    return spx_sgd(q->stream, N, &q->scalars->lr, &(spx_sgd_rule){0}, &q->numbers->guard, f->g,
                   f->buf, f->w);
}

static spx_status run(fixture *f, uint64_t i, float lr, const void *key0)
{
    const spx_scalars v = {.step = i, .lr = lr};
    const void *const key[SPX_RECORDING_KEYS] = {key0};
    return spx_step_queue_run(&f->queue, &v, key, step, f);
}

static void each_device(void (*body)(spx_stream *s))
{
    for (int d = 0; d < SPX_DEVICE_COUNT; d++) {
        spx_stream *s;
        if (spx_device_count((spx_device)d) == 0) {
            print_message("  %s: not here\n", spx_device_name((spx_device)d));
            continue;
        }
        CHECK_OK(spx_stream_create(&s, (spx_device)d, 1));
        body(s);
        spx_stream_destroy(s);
    }
}

/* Steps of 1/16, exact in f32; w before step i is 1 - i/16, its norm sqrt(N) times that. */
static void check(const spx_step_result *r, uint64_t i)
{
    const double w = 1 - (double)i / 16;
    assert_int_equal(r->scalars.step, i);
    assert_true(fabs(r->numbers.norm[0] - sqrt((double)N * w * w)) < 1e-12 * N);
}

static void late_body(spx_stream *s)
{
    const bool records = spx_stream_can_record(s);
    spx_step_result r;
    uint64_t read = 0;
    fixture f;
    bool any;
    setup(&f, s);
    for (uint64_t i = 0; i < STEPS; i++) {
        CHECK_OK(run(&f, i, 0x1p-4f, &f));
        CHECK_OK(spx_step_queue_read(&f.queue, false, &r, &any));
        assert_true(any == (records ? i >= 4 : true));
        if (any) {
            check(&r, read++);
        }
    }
    do {
        CHECK_OK(spx_step_queue_read(&f.queue, true, &r, &any));
        if (any) {
            check(&r, read++);
        }
    } while (any);
    assert_int_equal(read, STEPS);
    assert_int_equal(f.queued, records ? 2 : STEPS); /* the warm-up and the recording */
    teardown(&f, s);
}

SPX_TEST(every_step_is_reported_in_order_and_work_is_queued_twice_at_most)
{
    SPX_UNUSED;
    each_device(late_body);
}

static void other_body(spx_stream *s)
{
    static const float rates[] = {0x1p-4f, 0x1p-3f, 0x1p-5f, 0.5f, 0, 0x1p-4f};
    double w = 1;
    fixture f;
    setup(&f, s);
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        const void *key =
            i < 3 ? (const void *)&f : (const void *)rates; /* others begin again with a warm-up */
        spx_step_result r;
        bool any;
        CHECK_OK(run(&f, i, rates[i], key));
        CHECK_OK(spx_step_queue_read(&f.queue, true, &r, &any));
        assert_true(any && fabs(r.numbers.norm[0] - sqrt(N) * fabs(w)) < 1e-12 * N);
        w -= (double)rates[i];
    }
    assert_int_equal(f.queued, spx_stream_can_record(s) ? 4 : 6);
    teardown(&f, s);
}

SPX_TEST(replayed_steps_take_their_own_numbers_and_other_pointers_a_new_recording)
{
    SPX_UNUSED;
    each_device(other_body);
}

static void shut_body(spx_stream *s)
{
    float w[N], before[N];
    spx_step_result r;
    fixture f;
    bool any;
    setup(&f, s);
    for (uint64_t i = 0; i < 8; i++) { /* the third step makes w infinite, the fourth sees it */
        CHECK_OK(run(&f, i, i == 2 ? -INFINITY : 0x1p-4f, &f));
        if (i == 2) {
            CHECK_OK(spx_download(s, before, f.w, sizeof before));
        }
        CHECK_OK(spx_step_queue_read(&f.queue, false, &r, &any));
    }
    CHECK_OK(spx_download(s, w, f.w, sizeof w));
    for (;;) {
        CHECK_OK(spx_step_queue_read(&f.queue, true, &r, &any));
        if (!any) {
            break;
        }
        assert_int_equal(r.numbers.guard.ok, r.scalars.step < 3);
    }
    CHECK_OK(spx_stream_sync(s));
    assert_memory_equal(w, before, sizeof w);
    teardown(&f, s);
}

SPX_TEST(from_the_first_bad_step_on_nothing_is_updated_though_steps_are_queued_behind_it)
{
    SPX_UNUSED;
    each_device(shut_body);
}

static void full_body(spx_stream *s)
{
    fixture f;
    spx_step_result r;
    bool any;
    setup(&f, s);
    for (uint64_t i = 0; i < SPX_STEP_RING; i++) {
        CHECK_OK(run(&f, i, 0, &f));
    }
    CHECK_FAILS(SPX_EINVAL, run(&f, SPX_STEP_RING, 0, &f));
    CHECK_OK(spx_step_queue_read(&f.queue, true, &r, &any));
    CHECK_OK(run(&f, SPX_STEP_RING, 0, &f));
    teardown(&f, s);
}

SPX_TEST(more_unread_steps_than_there_is_room_for_are_refused)
{
    SPX_UNUSED;
    each_device(full_body);
}

static void failing_body(spx_stream *s)
{
    fixture f;
    setup(&f, s);
    f.fail = true;
    for (int i = 0; i < 3; i++) { /* at the warm-up, while recording, and again */
        CHECK_FAILS(SPX_EDEVICE, run(&f, 0, 0, &f));
        assert_non_null(strstr(spx_error_message(), "made up"));
    }
    f.fail = false;
    CHECK_OK(run(&f, 0, 0, &f));
    teardown(&f, s);
}

SPX_TEST(a_step_that_fails_to_queue_says_why_and_can_be_tried_again)
{
    SPX_UNUSED;
    each_device(failing_body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(every_step_is_reported_in_order_and_work_is_queued_twice_at_most),
        SPX_UNIT(replayed_steps_take_their_own_numbers_and_other_pointers_a_new_recording),
        SPX_UNIT(from_the_first_bad_step_on_nothing_is_updated_though_steps_are_queued_behind_it),
        SPX_UNIT(more_unread_steps_than_there_is_room_for_are_refused),
        SPX_UNIT(a_step_that_fails_to_queue_says_why_and_can_be_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
