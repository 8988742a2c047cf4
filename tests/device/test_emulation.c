/* The emulation finds what it is there to find. */
#define _DEFAULT_SOURCE
#include "tests/support/spx_test.h"

#include "kernels/device/device_memory.h"
#include "kernels/device/stream.h"
#include "tests/device/kernels_cuda.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether body ends its process by a signal or a sanitizer's report. */
static bool dies(void (*body)(spx_stream *s))
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        spx_stream *s;
        (void)signal(SIGSEGV, SIG_DFL); /* a quick end, without the sanitizer's report */
        (void)!freopen("/dev/null", "w", stderr);
        if (spx_stream_create(&s, SPX_DEVICE_CUDA, 1) == SPX_OK) {
            body(s);
        }
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static float *device_floats(spx_stream *s, size_t n)
{
    void *p = NULL;
    return spx_device_alloc(s, &p, n * sizeof(float)) == SPX_OK ? p : NULL;
}

static void touch_device_memory(spx_stream *s)
{
    volatile float *x = device_floats(s, 4);
    x[0] = 1;
}

static void run_over(spx_stream *s)
{
    float *x = device_floats(s, 64); /* 256 bytes: the guard follows */
    if (test_affine(s, 65, 1, 1, x) == SPX_OK) {
        (void)!spx_stream_sync(s);
    }
}

static void stay_inside(spx_stream *s)
{
    float *x = device_floats(s, 64);
    if (test_affine(s, 64, 1, 1, x) == SPX_OK) {
        (void)!spx_stream_sync(s);
    }
}

SPX_TEST(the_host_cannot_reach_device_memory)
{
    SPX_UNUSED;
    assert_true(dies(touch_device_memory));
}

SPX_TEST(a_kernel_that_runs_over_its_buffer_ends_the_program)
{
    SPX_UNUSED;
    assert_true(dies(run_over));
    assert_false(dies(stay_inside));
}

SPX_TEST(threads_that_miss_a_barrier_fail_the_launch)
{
    spx_stream *s;
    float *x;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CUDA, 1));
    x = device_floats(s, 64);
    spx_stream_label(s, "here");
    CHECK_OK(test_missed_barrier(s, x));
    CHECK_FAILS(SPX_EDEVICE, spx_stream_sync(s));
    assert_non_null(strstr(spx_error_message(), "here"));
    assert_non_null(strstr(spx_error_message(), "missed_barrier"));
    spx_stream_label(s, "there"); /* on a device all calls fail from here on */
    CHECK_OK(test_missed_barrier(s, x));
    CHECK_FAILS(SPX_EDEVICE, spx_stream_sync(s));
    assert_non_null(strstr(spx_error_message(), "here: cudaStreamSynchronize"));
    assert_null(strstr(spx_error_message(), "there"));
    CHECK_OK(test_affine(s, 64, 0, 1, x)); /* the emulation goes on */
    CHECK_OK(spx_stream_sync(s));
    spx_device_free(s, x);
    spx_stream_destroy(s);
}

/* A sum without the barrier it needs, and two lanes without the event they need: the right number
 * in one order, not in the others. */
SPX_TEST(a_missing_barrier_and_a_missing_event_show_in_some_order)
{
    const char *order = getenv("SPX_EMULATION_ORDER");
    const bool forward = order == NULL || strcmp(order, "forward") == 0;
    float back[2] = {0, 0};
    bool right = true;
    spx_stream *s;
    float *x;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CUDA, 1));
    x = device_floats(s, 64);
    for (int i = 0; i < 20; i++) {
        CHECK_OK(test_racy_shift(s, x));
        CHECK_OK(spx_download(s, back, x, sizeof back));
        CHECK_OK(spx_stream_sync(s));
        right = right && back[0] == 1.0f;
        CHECK_OK(spx_device_zero(s, x, 4));
        spx_stream_set_lane(s, 1);
        CHECK_OK(test_affine(s, 1, 0, 5, x));
        spx_stream_set_lane(s, 0);
        CHECK_OK(spx_download(s, back, x, sizeof back));
        CHECK_OK(spx_stream_sync(s));
        right = right && back[0] == 5.0f;
    }
    assert_true(right == forward);
    spx_device_free(s, x);
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(the_host_cannot_reach_device_memory),
        SPX_UNIT(a_kernel_that_runs_over_its_buffer_ends_the_program),
        SPX_UNIT(threads_that_miss_a_barrier_fail_the_launch),
        SPX_UNIT(a_missing_barrier_and_a_missing_event_show_in_some_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
