#define _POSIX_C_SOURCE 200809L
#include "host/graph/tuning_private.h"
#include "host/train/tuning_cache.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

static spx_scratch scratch;
static spx_stream *stream;

static spx_conv2d_want want_of(int64_t channels)
{
    spx_conv2d_want w = {.shape = {.n = 1,
                                   .c = channels,
                                   .h = 6,
                                   .w = 6,
                                   .k = 2,
                                   .r = 3,
                                   .s = 3,
                                   .stride = 1,
                                   .dilation = 1,
                                   .pad_begin = 1,
                                   .pad_end = 1},
                         .x_stride = channels * 36,
                         .y_stride = 72};
    CHECK_OK(spx_conv2d_shape_init(&w.shape));
    return w;
}

/* A table with a measured choice for that many channels, on top of what the cache gives. */
static spx_tuning *measured(int64_t channels, int *count)
{
    const spx_conv2d_want w = want_of(channels);
    spx_shared_plan *p;
    spx_tuning *t;
    CHECK_OK(spx_tuning_create(&t));
    spx_tuning_cache_load(t);
    CHECK_OK(spx_tuning_share_plan(t, stream, &w, &p));
    spx_shared_plan_release(p);
    *count = spx_tuning_measured(t);
    return t;
}

SPX_TEST(what_one_run_measured_the_next_one_knows)
{
    int count;
    spx_tuning *t;
    SPX_UNUSED;
    t = measured(3, &count);
    assert_int_equal(count, 1);
    spx_tuning_cache_store(t);
    spx_tuning_destroy(t);
    t = measured(4, &count); /* another shape: both are kept */
    assert_int_equal(count, 1);
    spx_tuning_cache_store(t);
    spx_tuning_destroy(t);
    for (int64_t channels = 3; channels <= 4; channels++) {
        t = measured(channels, &count);
        assert_int_equal(count, 0);
        spx_tuning_destroy(t);
    }
}

SPX_TEST(without_a_folder_to_write_nothing_is_kept_and_nothing_fails)
{
    int count;
    spx_tuning *t;
    SPX_UNUSED;
    assert_int_equal(setenv("XDG_CACHE_HOME", "/dev/null", 1), 0);
    t = measured(5, &count);
    spx_tuning_cache_store(t);
    spx_tuning_destroy(t);
    t = measured(5, &count);
    assert_int_equal(count, 1);
    spx_tuning_destroy(t);
    assert_int_equal(setenv("XDG_CACHE_HOME", scratch.folder, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(what_one_run_measured_the_next_one_knows),
        SPX_UNIT(without_a_folder_to_write_nothing_is_kept_and_nothing_fails),
    };
    char sub[600];
    spx_scratch inner;
    int failed;
    if (spx_scratch_make(&scratch) != 0 || setenv("XDG_CACHE_HOME", scratch.folder, 1) != 0 ||
        spx_stream_create(&stream, SPX_DEVICE_CPU, 1) != SPX_OK) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_stream_destroy(stream);
    (void)snprintf(sub, sizeof sub, "%s/sphynx", scratch.folder);
    inner = scratch;
    (void)snprintf(inner.folder, sizeof inner.folder, "%.63s", sub);
    spx_scratch_remove(&inner);
    spx_scratch_remove(&scratch);
    return failed;
}
