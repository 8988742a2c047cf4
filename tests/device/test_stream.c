#include "tests/support/spx_test.h"

#include "kernels/device/device_memory.h"
#include "kernels/device/stream.h"

SPX_TEST(a_stream_has_the_threads_asked_for)
{
    spx_stream *s;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 3));
    assert_int_equal(spx_stream_device(s), SPX_DEVICE_CPU);
    assert_int_equal(spx_stream_threads(s), 3);
    assert_int_equal(spx_pool_threads(spx_stream_pool(s)), 3);
    CHECK_OK(spx_stream_sync(s));
    spx_stream_destroy(s);
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 0));
    assert_int_equal(spx_stream_threads(s), spx_pool_processors());
    spx_stream_destroy(s);
}

SPX_TEST(unknown_devices_and_bad_thread_counts_are_refused)
{
    spx_stream *s;
    SPX_UNUSED;
    CHECK_FAILS(SPX_EINVAL, spx_stream_create(&s, SPX_DEVICE_COUNT, 1));
    assert_null(s);
    CHECK_FAILS(SPX_EINVAL, spx_stream_create(&s, SPX_DEVICE_CPU, -1));
    assert_null(s);
    CHECK_FAILS(SPX_EINVAL, spx_stream_create(&s, SPX_DEVICE_CPU, 257));
    assert_null(s);
    spx_stream_destroy(NULL);
}

SPX_TEST(a_stream_knows_how_much_memory_it_holds)
{
    spx_stream *s;
    void *a, *b;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_OK(spx_device_alloc(s, &a, 1000));
    CHECK_OK(spx_device_alloc(s, &b, 24));
    assert_int_equal(spx_device_bytes(s), 1024);
    spx_device_free(s, a);
    assert_int_equal(spx_device_bytes(s), 24);
    spx_device_free(s, b);
    spx_device_free(s, NULL);
    assert_int_equal(spx_device_bytes(s), 0);
    spx_stream_destroy(s);
}

static int opened, closed;

static spx_status open_library(spx_stream *s, void **out)
{
    (void)s;
    if (opened < 0) {
        opened = 0;
        return SPX_FAIL(SPX_EDEVICE, "no such library");
    }
    opened++;
    *out = &opened;
    return SPX_OK;
}

static void close_library(void *library)
{
    assert_ptr_equal(library, &opened);
    closed++;
}

SPX_TEST(a_library_is_opened_once_and_closed_with_its_stream)
{
    spx_stream *s;
    void *l;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    opened = -1;
    CHECK_FAILS(SPX_EDEVICE,
                spx_stream_library(s, SPX_STREAM_CUDNN, open_library, close_library, &l));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(spx_stream_library(s, SPX_STREAM_CUDNN, open_library, close_library, &l));
        assert_ptr_equal(l, &opened);
    }
    assert_int_equal(opened, 1);
    assert_int_equal(closed, 0);
    spx_stream_destroy(s);
    assert_int_equal(closed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_stream_has_the_threads_asked_for),
        SPX_UNIT(unknown_devices_and_bad_thread_counts_are_refused),
        SPX_UNIT(a_stream_knows_how_much_memory_it_holds),
        SPX_UNIT(a_library_is_opened_once_and_closed_with_its_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
