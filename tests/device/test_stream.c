#include "tests/support/spx_test.h"

#include "kernels/device/buffer.h"
#include "kernels/device/device_memory.h"
#include "kernels/device/stream.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

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

SPX_TEST(a_buffer_is_zero_and_given_back_to_where_it_came_from)
{
    spx_stream *s;
    spx_buffer of_stream, of_host, none;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
#ifdef M_PERTURB
    (void)mallopt(M_PERTURB,
                  0x55); /* memory of malloc is anything but zero; a sanitizer's is, too */
#endif
    CHECK_OK(spx_buffer_alloc(&of_stream, s, 100));
    CHECK_OK(spx_buffer_alloc(&of_host, NULL, 50));
    CHECK_OK(spx_buffer_alloc(&none, s, 0));
    assert_true(none.data == NULL && none.bytes == 0 && none.stream == NULL);
    assert_int_equal(spx_device_bytes(s), 100); /* the host's is not the stream's */
    assert_memory_equal(of_stream.data, ((char[100]){0}), 100);
    assert_memory_equal(of_host.data, ((char[50]){0}), 50);
    spx_buffer_free(&of_stream);
    spx_buffer_free(&of_host);
    spx_buffer_free(&none);
    spx_buffer_free(&none);
    assert_null(of_stream.data);
    assert_int_equal(spx_device_bytes(s), 0);
    spx_stream_destroy(s);
#ifdef M_PERTURB
    (void)mallopt(M_PERTURB, 0);
#endif
}

SPX_TEST(host_code_is_refused_memory_of_a_device_and_too_little_of_its_own)
{
    char memory[16];
    spx_buffer b = {.data = memory, .bytes = sizeof memory};
    SPX_UNUSED;
    CHECK_OK(spx_buffer_check(&b, SPX_DEVICE_CPU, sizeof memory, "reader"));
    CHECK_FAILS(SPX_EINVAL, spx_buffer_check(&b, SPX_DEVICE_CPU, sizeof memory + 1, "reader"));
    b.device = SPX_DEVICE_CUDA;
    CHECK_FAILS(SPX_EINVAL, spx_buffer_check(&b, SPX_DEVICE_CPU, 1, "reader"));
    assert_non_null(strstr(spx_error_message(), "reader: memory of cuda"));
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

SPX_TEST(memory_copies_and_events_work_alike_on_every_device)
{
    SPX_UNUSED;
    for (int d = 0; d < SPX_DEVICE_COUNT; d++) {
        for (int i = 0; i < spx_device_count((spx_device)d); i++) {
            const spx_stream_options o = {.device = (spx_device)d, .index = i, .threads = 1};
            int32_t *host, *back, *a, *b, pageable[4] = {1, 2, 3, 4};
            spx_event *from, *to;
            double seconds = -1;
            spx_stream *s;
            CHECK_OK(spx_stream_open(&s, &o));
            CHECK_OK(spx_pinned_alloc(s, (void **)&host, sizeof pageable));
            CHECK_OK(spx_pinned_alloc(s, (void **)&back, sizeof pageable));
            CHECK_OK(spx_device_alloc(s, (void **)&a, sizeof pageable));
            CHECK_OK(spx_device_alloc(s, (void **)&b, sizeof pageable));
            CHECK_OK(spx_event_create(&from, s));
            CHECK_OK(spx_event_create(&to, s));
            CHECK_OK(spx_event_record(from, s));
            CHECK_OK(spx_upload(s, a, pageable, sizeof pageable));
            CHECK_OK(spx_device_copy(s, b + 1, a, 3 * sizeof *a)); /* b: 0 1 2 3 */
            CHECK_OK(spx_device_zero(s, a, 2 * sizeof *a));        /* a: 0 0 3 4 */
            CHECK_OK(spx_download(s, host, a, sizeof pageable));
            CHECK_OK(spx_download(s, back, b, sizeof pageable));
            CHECK_OK(spx_event_record(to, s));
            CHECK_OK(spx_event_wait(to, s));
            CHECK_OK(spx_event_sync(to));
            assert_memory_equal(host, ((int32_t[]){0, 0, 3, 4}), sizeof pageable);
            assert_memory_equal(back, ((int32_t[]){0, 1, 2, 3}), sizeof pageable);
            CHECK_OK(spx_event_seconds(from, to, &seconds));
            assert_true(seconds >= 0);
            assert_int_equal(spx_stream_can_record(s), spx_stream_lanes(s) > 1);
            spx_event_destroy(from);
            spx_event_destroy(to);
            spx_device_free(s, a);
            spx_device_free(s, b);
            spx_pinned_free(s, host);
            spx_pinned_free(s, back);
            spx_stream_destroy(s);
        }
    }
}

SPX_TEST(the_cpu_describes_itself_computes_in_f32_and_records_nothing)
{
    spx_device_info info;
    spx_replay *r;
    spx_stream *s;
    SPX_UNUSED;
    CHECK_OK(spx_device_describe(SPX_DEVICE_CPU, 0, &info));
    assert_true(info.name[0] != '\0' && info.multiprocessors >= 1 && info.driver == 0);
    CHECK_FAILS(SPX_EINVAL, spx_device_describe(SPX_DEVICE_CPU, 1, &info));
    assert_string_equal(spx_device_name(SPX_DEVICE_CUDA), "cuda");
    assert_string_equal(spx_precision_name(SPX_PRECISION_BF16), "bf16");
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    assert_int_equal(spx_stream_precision(s), SPX_PRECISION_F32);
    assert_int_equal(spx_stream_lanes(s), 1);
    CHECK_FAILS(SPX_EUNSUPPORTED, spx_replay_begin(s));
    CHECK_FAILS(SPX_EINVAL, spx_replay_end(s, &r));
    assert_null(r);
    spx_stream_label(s, "a label costs nothing here");
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_stream_has_the_threads_asked_for),
        SPX_UNIT(unknown_devices_and_bad_thread_counts_are_refused),
        SPX_UNIT(a_stream_knows_how_much_memory_it_holds),
        SPX_UNIT(a_buffer_is_zero_and_given_back_to_where_it_came_from),
        SPX_UNIT(host_code_is_refused_memory_of_a_device_and_too_little_of_its_own),
        SPX_UNIT(a_library_is_opened_once_and_closed_with_its_stream),
        SPX_UNIT(memory_copies_and_events_work_alike_on_every_device),
        SPX_UNIT(the_cpu_describes_itself_computes_in_f32_and_records_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
