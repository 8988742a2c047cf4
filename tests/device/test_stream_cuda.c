/* Streams, lanes, events, recordings and memory on CUDA, real or emulated. */
#include "tests/support/spx_test.h"

#include "kernels/device/device_memory.h"
#include "kernels/device/stream.h"
#include "tests/device/kernels_cuda.h"

#include <stdlib.h>

#define N 1000

typedef struct fixture {
    spx_stream *s;
    float *host; /* pinned, [N]: 0, 1, 2, ... */
    float *back; /* pinned, [N] */
    float *x;    /* device, [N] */
    float *y;    /* device, [N] */
} fixture;

static void setup(fixture *f)
{
    CHECK_OK(spx_stream_create(&f->s, SPX_DEVICE_CUDA, 1));
    CHECK_OK(spx_pinned_alloc(f->s, (void **)&f->host, N * sizeof(float)));
    CHECK_OK(spx_pinned_alloc(f->s, (void **)&f->back, N * sizeof(float)));
    CHECK_OK(spx_device_alloc(f->s, (void **)&f->x, N * sizeof(float)));
    CHECK_OK(spx_device_alloc(f->s, (void **)&f->y, N * sizeof(float)));
    for (int i = 0; i < N; i++) {
        f->host[i] = (float)i;
    }
}

static void teardown(fixture *f)
{
    spx_device_free(f->s, f->x);
    spx_device_free(f->s, f->y);
    spx_pinned_free(f->s, f->host);
    spx_pinned_free(f->s, f->back);
    spx_stream_destroy(f->s);
}

SPX_TEST(kernels_see_threads_blocks_shared_memory_and_warps)
{
    fixture f;
    int *count;
    int got[2];
    SPX_UNUSED;
    setup(&f);
    CHECK_OK(spx_device_alloc(f.s, (void **)&count, 2 * sizeof(int)));
    CHECK_OK(spx_upload(f.s, f.x, f.host, N * sizeof(float)));
    CHECK_OK(test_sum(f.s, N, f.x, f.y));
    CHECK_OK(test_count(f.s, N, f.x, count, count + 1));
    CHECK_OK(test_affine(f.s, N, 2, 1, f.x));
    CHECK_OK(spx_download(f.s, f.back, f.y, sizeof(float)));
    CHECK_OK(spx_download(f.s, got, count, sizeof got));
    CHECK_OK(spx_stream_sync(f.s));
    assert_true(f.back[0] == N * (N - 1) / 2); /* below 2^24: exact in any order */
    assert_int_equal(got[0], N - 1);
    assert_int_equal(got[1], -1);
    CHECK_OK(spx_download(f.s, f.back, f.x, N * sizeof(float)));
    CHECK_OK(spx_stream_sync(f.s));
    for (int i = 0; i < N; i++) {
        assert_true(f.back[i] == 2.0f * (float)i + 1.0f);
    }
    spx_device_free(f.s, count);
    teardown(&f);
}

SPX_TEST(bf16_rounds_to_nearest_even)
{
    /* 8 bits of mantissa: 1 + 2^-8 lies between 1 and 1 + 2^-7, 1 + 3 * 2^-8 between two others */
    static const float in[] = {1.0f, 1.0f + 0x1p-8f, 1.0f + 0x3p-8f, -1.0f - 0x1.01p-8f, 0x1p-133f};
    static const float out[] = {1.0f, 1.0f, 1.0f + 0x4p-8f, -1.0f - 0x2p-8f, 0x1p-133f};
    fixture f;
    SPX_UNUSED;
    setup(&f);
    CHECK_OK(spx_upload(f.s, f.x, in, sizeof in));
    CHECK_OK(test_round_bf16(f.s, 5, f.x, f.y));
    CHECK_OK(spx_download(f.s, f.back, f.y, sizeof in));
    CHECK_OK(spx_stream_sync(f.s));
    assert_memory_equal(f.back, out, sizeof out);
    teardown(&f);
}

/* x[i] = ROUNDS steps of 2x + 1, each on another lane than the one before. */
#define ROUNDS 20
static void chain(fixture *f, spx_event *e)
{
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_OK(test_affine(f->s, N, 2, 1, f->x));
        CHECK_OK(spx_event_record(e, f->s));
        spx_stream_set_lane(f->s, (i + 1) % spx_stream_lanes(f->s));
        CHECK_OK(spx_event_wait(e, f->s));
    }
    CHECK_OK(spx_event_record(e, f->s));
    spx_stream_set_lane(f->s, 0);
    CHECK_OK(spx_event_wait(e, f->s));
}

static void check_chain(const float *x, int times)
{
    for (int i = 0; i < 3; i++) { /* 2^20 (i + 1) - 1: below 2^24 */
        double v = i;
        for (int r = 0; r < times * ROUNDS; r++) {
            v = 2 * v + 1;
        }
        assert_true((double)x[i] == v);
    }
}

SPX_TEST(lanes_run_in_the_order_that_events_say)
{
    fixture f;
    spx_event *e;
    SPX_UNUSED;
    setup(&f);
    assert_int_equal(spx_stream_lanes(f.s), SPX_LANES_MAX);
    CHECK_OK(spx_event_create(&e, f.s));
    CHECK_OK(spx_upload(f.s, f.x, f.host, N * sizeof(float)));
    chain(&f, e);
    CHECK_OK(spx_download(f.s, f.back, f.x, N * sizeof(float)));
    CHECK_OK(spx_stream_sync(f.s));
    check_chain(f.back, 1);
    spx_event_destroy(e);
    teardown(&f);
}

SPX_TEST(a_stream_waits_for_an_event_of_another_and_the_host_for_either)
{
    fixture f;
    spx_stream *uploads;
    spx_event *ready, *used;
    SPX_UNUSED;
    setup(&f);
    CHECK_OK(spx_stream_create(&uploads, SPX_DEVICE_CUDA, 1));
    CHECK_OK(spx_event_create(&ready, uploads));
    CHECK_OK(spx_event_create(&used, f.s));
    CHECK_OK(spx_event_wait(used, uploads)); /* never marked: nothing to wait for */
    CHECK_OK(spx_event_sync(used));
    for (int i = 1; i <= 3; i++) {       /* two streams in turn on one buffer */
        CHECK_OK(spx_event_sync(ready)); /* host is free again */
        for (int j = 0; j < N; j++) {
            f.host[j] = (float)(i * j);
        }
        CHECK_OK(spx_event_wait(used, uploads));
        CHECK_OK(spx_upload(uploads, f.x, f.host, N * sizeof(float)));
        CHECK_OK(spx_event_record(ready, uploads));
        CHECK_OK(spx_event_wait(ready, f.s));
        CHECK_OK(test_affine(f.s, N, 1, 1, f.x));
        CHECK_OK(spx_download(f.s, f.back, f.x, N * sizeof(float)));
        CHECK_OK(spx_event_record(used, f.s));
        CHECK_OK(spx_event_sync(used));
        assert_true(f.back[N - 1] == (float)(i * (N - 1) + 1));
    }
    spx_event_destroy(ready);
    spx_event_destroy(used);
    spx_stream_destroy(uploads);
    teardown(&f);
}

SPX_TEST(events_measure_the_time_between_them)
{
    fixture f;
    spx_event *from, *to;
    double seconds;
    SPX_UNUSED;
    setup(&f);
    CHECK_OK(spx_event_create(&from, f.s));
    CHECK_OK(spx_event_create(&to, f.s));
    CHECK_FAILS(SPX_EDEVICE, spx_event_seconds(from, to, &seconds)); /* not marked */
    CHECK_OK(spx_event_record(from, f.s));
    CHECK_OK(test_affine(f.s, N, 2, 1, f.x));
    CHECK_OK(spx_event_record(to, f.s));
    CHECK_OK(spx_event_sync(to));
    CHECK_OK(spx_event_seconds(from, to, &seconds));
    assert_true(seconds >= 0 && seconds < 600);
    spx_event_destroy(from);
    spx_event_destroy(to);
    teardown(&f);
}

SPX_TEST(a_replay_does_again_what_was_recorded_on_what_lies_there_now)
{
    fixture f;
    spx_event *e;
    spx_replay *r;
    SPX_UNUSED;
    setup(&f);
    CHECK_OK(spx_event_create(&e, f.s));
    CHECK_OK(spx_upload(f.s, f.x, f.host, N * sizeof(float)));
    assert_true(spx_stream_can_record(f.s));
    CHECK_OK(spx_replay_begin(f.s));
    chain(&f, e);
    CHECK_OK(spx_device_copy(f.s, f.y, f.x, N * sizeof(float)));
    CHECK_OK(spx_replay_end(f.s, &r));
    CHECK_OK(spx_download(f.s, f.back, f.x, N * sizeof(float)));
    CHECK_OK(spx_stream_sync(f.s));
    assert_memory_equal(f.back, f.host, N * sizeof(float)); /* nothing ran */
    for (int times = 1; times <= 2; times++) {
        CHECK_OK(spx_upload(f.s, f.x, f.host, N * sizeof(float)));
        for (int i = 0; i < times; i++) {
            CHECK_OK(spx_replay_run(r, f.s));
        }
        CHECK_OK(spx_download(f.s, f.back, f.y, N * sizeof(float)));
        CHECK_OK(spx_stream_sync(f.s));
        if (times == 1) {
            check_chain(f.back, 1);
        } else { /* from 2^20 on steps of 2x + 1 round: the same roundings on the host */
            float v = 2;
            for (int i = 0; i < times * ROUNDS; i++) {
                v = 2 * v + 1;
            }
            assert_true(f.back[2] == v);
        }
    }
    spx_replay_destroy(r);
    spx_event_destroy(e);
    teardown(&f);
}

SPX_TEST(a_lane_left_open_is_joined_at_the_end_of_the_recording)
{
    fixture f;
    spx_stream *other;
    spx_event *e;
    spx_replay *r;
    SPX_UNUSED;
    setup(&f);
    CHECK_OK(spx_event_create(&e, f.s));
    CHECK_OK(spx_upload(f.s, f.x, f.host, N * sizeof(float)));
    CHECK_OK(spx_upload(f.s, f.y, f.host, N * sizeof(float)));
    CHECK_OK(spx_replay_begin(f.s));
    CHECK_OK(spx_event_record(e, f.s));
    spx_stream_set_lane(f.s, 3);
    CHECK_OK(spx_event_wait(e, f.s));
    CHECK_OK(test_affine(f.s, N, 1, 1, f.x));
    spx_stream_set_lane(f.s, 0);
    CHECK_OK(test_affine(f.s, N, 1, 2, f.y));
    CHECK_OK(spx_replay_end(f.s, &r));
    spx_stream_set_lane(f.s, 1);
    CHECK_FAILS(SPX_EINVAL, spx_replay_run(r, f.s)); /* its lanes' counters are their own */
    spx_stream_set_lane(f.s, 0);
    CHECK_OK(spx_stream_create(&other, SPX_DEVICE_CUDA, 1));
    CHECK_FAILS(SPX_EINVAL, spx_replay_run(r, other));
    spx_stream_destroy(other);
    CHECK_OK(spx_replay_run(r, f.s));
    CHECK_OK(test_affine(f.s, N, 2, 0, f.x));
    CHECK_OK(spx_download(f.s, f.back, f.x, N * sizeof(float)));
    CHECK_OK(spx_download(f.s, f.host, f.y, N * sizeof(float)));
    CHECK_OK(spx_stream_sync(f.s));
    assert_true(f.back[5] == 12.0f);
    assert_true(f.host[5] == 7.0f);
    spx_replay_destroy(r);
    spx_event_destroy(e);
    teardown(&f);
}

SPX_TEST(what_cannot_be_recorded_is_refused_and_the_stream_stays_usable)
{
    fixture f;
    float pageable[4];
    void *p;
    spx_replay *r;
    spx_event *outside;
    SPX_UNUSED;
    setup(&f);
    CHECK_FAILS(SPX_EINVAL, spx_replay_end(f.s, &r));
    assert_null(r);
    CHECK_OK(spx_replay_begin(f.s));
    CHECK_FAILS(SPX_EINVAL, spx_replay_begin(f.s));
    CHECK_FAILS(SPX_EINVAL, spx_stream_sync(f.s));
    CHECK_FAILS(SPX_EINVAL, spx_device_alloc(f.s, &p, 16));
    CHECK_FAILS(SPX_EINVAL, spx_pinned_alloc(f.s, &p, 16));
    CHECK_FAILS(SPX_EINVAL, spx_upload(f.s, f.x, pageable, sizeof pageable));
    CHECK_FAILS(SPX_EINVAL, spx_download(f.s, pageable, f.x, sizeof pageable));
    CHECK_OK(test_affine(f.s, N, 0, 3, f.x));
    CHECK_OK(spx_replay_end(f.s, &r)); /* refusals did not spoil it */
    CHECK_OK(spx_replay_run(r, f.s));
    CHECK_OK(spx_download(f.s, f.back, f.x, N * sizeof(float)));
    CHECK_OK(spx_stream_sync(f.s));
    assert_true(f.back[N - 1] == 3.0f);
    spx_replay_destroy(r);

    /* work from outside the recording cannot be waited for in it */
    CHECK_OK(spx_event_create(&outside, f.s));
    CHECK_OK(spx_event_record(outside, f.s));
    CHECK_OK(spx_replay_begin(f.s));
    CHECK_FAILS(SPX_EDEVICE, spx_event_wait(outside, f.s));
    CHECK_FAILS(SPX_EDEVICE, spx_replay_end(f.s, &r));
    assert_null(r);
    CHECK_OK(test_affine(f.s, N, 0, 4, f.x));
    CHECK_OK(spx_download(f.s, f.back, f.x, N * sizeof(float)));
    CHECK_OK(spx_stream_sync(f.s));
    assert_true(f.back[0] == 4.0f);
    spx_event_destroy(outside);
    teardown(&f);
}

SPX_TEST(memory_is_zeroed_aligned_and_refused_when_there_is_too_little)
{
    fixture f;
    void *p;
    SPX_UNUSED;
    setup(&f);
    assert_int_equal((uintptr_t)f.x % 256, 0);
    assert_true(f.back[0] == 0 && f.back[N - 1] == 0); /* pinned */
    memset(f.back, 1, N * sizeof(float));
    CHECK_OK(spx_download(f.s, f.back, f.x, N * sizeof(float)));
    CHECK_OK(spx_stream_sync(f.s));
    assert_true(f.back[0] == 0 && f.back[N - 1] == 0);
    CHECK_OK(spx_device_alloc(f.s, &p, 0));
    assert_null(p);
    CHECK_FAILS(SPX_ENOMEM, spx_device_alloc(f.s, &p, (size_t)1 << 50));
    assert_null(p);
    assert_non_null(strstr(spx_error_message(), "free"));
    spx_device_free(f.s, NULL);
    spx_pinned_free(f.s, NULL);
    CHECK_OK(spx_upload(f.s, f.x, f.host, N * sizeof(float)));
    CHECK_OK(spx_device_zero(f.s, f.x, 2 * sizeof(float)));
    CHECK_OK(spx_download(f.s, f.back, f.x, N * sizeof(float)));
    CHECK_OK(spx_stream_sync(f.s));
    assert_true(f.back[1] == 0 && f.back[2] == 2);
    teardown(&f);
}

SPX_TEST(pageable_memory_is_the_callers_again_when_the_upload_returns)
{
    float *pageable = malloc(N * sizeof *pageable);
    fixture f;
    SPX_UNUSED;
    setup(&f);
    assert_non_null(pageable);
    memcpy(pageable, f.host, N * sizeof *pageable);
    CHECK_OK(spx_upload(f.s, f.x, pageable, N * sizeof *pageable));
    memset(pageable, 0, N * sizeof *pageable);
    CHECK_OK(spx_download(f.s, pageable, f.x, N * sizeof *pageable));
    CHECK_OK(spx_stream_sync(f.s));
    assert_memory_equal(pageable, f.host, N * sizeof *pageable);
    free(pageable);
    teardown(&f);
}

SPX_TEST(a_failing_launch_is_reported_with_the_label_and_does_not_linger)
{
    fixture f;
    SPX_UNUSED;
    setup(&f);
    spx_stream_label(f.s, "cell 3, node 7");
    CHECK_FAILS(SPX_EDEVICE, test_too_many_threads(f.s, f.x));
    assert_non_null(strstr(spx_error_message(), "cell 3, node 7"));
    assert_non_null(strstr(spx_error_message(), "affine"));
    spx_stream_label(f.s, NULL);
    CHECK_OK(test_affine(f.s, N, 0, 2, f.x));
    CHECK_OK(spx_stream_sync(f.s));
    teardown(&f);
}

SPX_TEST(the_device_describes_itself_and_others_are_refused)
{
    spx_device_info info;
    spx_stream *s;
    SPX_UNUSED;
    CHECK_OK(spx_device_describe(SPX_DEVICE_CUDA, 0, &info));
    assert_true(info.name[0] != '\0' && info.major >= 7 && info.multiprocessors > 0);
    assert_true(info.memory_bytes > 0);
    CHECK_FAILS(SPX_EINVAL, spx_device_describe(SPX_DEVICE_CUDA, 1000, &info));
    CHECK_FAILS(SPX_EDEVICE, spx_stream_open(&s, &(spx_stream_options){.device = SPX_DEVICE_CUDA,
                                                                       .index = 1000}));
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(kernels_see_threads_blocks_shared_memory_and_warps),
        SPX_UNIT(bf16_rounds_to_nearest_even),
        SPX_UNIT(lanes_run_in_the_order_that_events_say),
        SPX_UNIT(a_stream_waits_for_an_event_of_another_and_the_host_for_either),
        SPX_UNIT(events_measure_the_time_between_them),
        SPX_UNIT(a_replay_does_again_what_was_recorded_on_what_lies_there_now),
        SPX_UNIT(a_lane_left_open_is_joined_at_the_end_of_the_recording),
        SPX_UNIT(what_cannot_be_recorded_is_refused_and_the_stream_stays_usable),
        SPX_UNIT(memory_is_zeroed_aligned_and_refused_when_there_is_too_little),
        SPX_UNIT(pageable_memory_is_the_callers_again_when_the_upload_returns),
        SPX_UNIT(a_failing_launch_is_reported_with_the_label_and_does_not_linger),
        SPX_UNIT(the_device_describes_itself_and_others_are_refused),
    };
    if (spx_device_count(SPX_DEVICE_CUDA) == 0) {
        puts("no CUDA device here");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
