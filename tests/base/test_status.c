#include "tests/support/spx_test.h"

#include "kernels/base/status.h"

#include <pthread.h>

SPX_TEST(every_status_has_a_text_and_unknown_ones_too)
{
    SPX_UNUSED;
    for (int i = 0; i < (int)SPX_STATUS_COUNT; i++) {
        assert_non_null(spx_status_text((spx_status)i));
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(spx_status_text((spx_status)i), spx_status_text((spx_status)j));
        }
    }
    assert_string_equal(spx_status_text(SPX_STATUS_COUNT), "unknown status");
    assert_int_equal(SPX_OK, 0);
}

SPX_TEST(a_failure_keeps_its_message_and_the_place_it_was_made)
{
    const int line = __LINE__ + 2;
    char want[64];
    const spx_status st = SPX_FAIL(SPX_EIO, "%s: %d bytes", "pack.h5", 3);
    SPX_UNUSED;
    assert_int_equal(st, SPX_EIO);
    assert_string_equal(spx_error_message(), "pack.h5: 3 bytes");
    (void)snprintf(want, sizeof want, "test_status.c:%d", line);
    assert_string_equal(spx_error_origin(), want);
}

SPX_TEST(context_goes_before_the_message_and_leaves_success_alone)
{
    SPX_UNUSED;
    (void)SPX_FAIL(SPX_EIO, "3 bytes");
    assert_int_equal(spx_fail_context(SPX_EIO, "pack %d", 7), SPX_EIO);
    assert_string_equal(spx_error_message(), "pack 7: 3 bytes");
    assert_int_equal(spx_fail_context(SPX_OK, "never"), SPX_OK);
    assert_string_equal(spx_error_message(), "pack 7: 3 bytes");
    (void)SPX_FAIL(SPX_EIO, "again: %s", spx_error_message()); /* the old message as an argument */
    assert_string_equal(spx_error_message(), "again: pack 7: 3 bytes");
}

#define LONGEST 4607 /* a path's 4096 and a sentence */

SPX_TEST(long_messages_are_cut_not_overrun)
{
    char text[9000];
    SPX_UNUSED;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)SPX_FAIL(SPX_EINVAL, "%s", text);
    assert_int_equal(strlen(spx_error_message()), LONGEST);
    (void)spx_fail_context(SPX_EINVAL, "file");
    assert_int_equal(strlen(spx_error_message()), LONGEST);
    assert_memory_equal(spx_error_message(), "file: xxx", 9);
    (void)spx_fail_context(SPX_EINVAL, "%s", text);
    assert_int_equal(strlen(spx_error_message()), LONGEST);
}

static void *fail_elsewhere(void *arg)
{
    (void)arg;
    (void)SPX_FAIL(SPX_ENOMEM, "the other thread's");
    return NULL;
}

SPX_TEST(messages_belong_to_their_thread)
{
    pthread_t t;
    SPX_UNUSED;
    (void)SPX_FAIL(SPX_EIO, "mine");
    assert_int_equal(pthread_create(&t, NULL, fail_elsewhere, NULL), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_string_equal(spx_error_message(), "mine");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(every_status_has_a_text_and_unknown_ones_too),
        SPX_UNIT(a_failure_keeps_its_message_and_the_place_it_was_made),
        SPX_UNIT(context_goes_before_the_message_and_leaves_success_alone),
        SPX_UNIT(long_messages_are_cut_not_overrun),
        SPX_UNIT(messages_belong_to_their_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
