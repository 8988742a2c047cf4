#define _POSIX_C_SOURCE 200809L
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

#include <sys/stat.h>

static spx_scratch scratch;

static void check_holds(const char *path, const char *text)
{
    void *data;
    size_t size;
    CHECK_OK(spx_file_read(path, 1 << 20, &data, &size));
    assert_int_equal(size, strlen(text));
    assert_string_equal(data, text); /* the terminating zero is part of the contract */
    spx_free(data);
}

SPX_TEST(a_replaced_file_holds_the_parts_in_order)
{
    SPX_UNUSED;
    const char *path = spx_scratch_path(&scratch, "a");
    const spx_span first[] = {{"old contents", 12}}, second[] = {{"ne", 2}, {NULL, 0}, {"w", 1}};
    CHECK_OK(spx_file_replace(path, first, 1));
    CHECK_OK(spx_file_replace(path, second, 3));
    check_holds(path, "new");
    assert_int_equal(spx_scratch_files(&scratch), 1);
}

SPX_TEST(a_full_disk_leaves_the_old_file_and_nothing_else)
{
    SPX_UNUSED;
    static char big[1 << 16];
    const char *path = spx_scratch_path(&scratch, "a");
    const spx_span part = {big, sizeof big};
    spx_status st;
    assert_int_equal(spx_scratch_limit(1000), 0);
    st = spx_file_replace(path, &part, 1);
    assert_int_equal(spx_scratch_limit(RLIM_INFINITY), 0);
    assert_int_equal(st, SPX_EIO);
    assert_non_null(strstr(spx_error_message(), path));
    check_holds(path, "new");
    assert_int_equal(spx_scratch_files(&scratch), 1);
}

SPX_TEST(what_is_no_regular_file_is_neither_read_nor_replaced)
{
    SPX_UNUSED;
    const char *fifo = spx_scratch_path(&scratch, "fifo");
    const spx_span part = {"x", 1};
    void *data;
    size_t size;
    assert_int_equal(mkfifo(fifo, 0600), 0);
    CHECK_FAILS(SPX_EIO, spx_file_replace(fifo, &part, 1));
    CHECK_FAILS(SPX_EFORMAT, spx_file_read(fifo, 100, &data, &size));
    CHECK_FAILS(SPX_EFORMAT, spx_file_read(scratch.folder, 100, &data, &size));
    CHECK_FAILS(SPX_EIO, spx_file_replace(scratch.folder, &part, 1));
}

SPX_TEST(reading_refuses_absent_and_large_files)
{
    SPX_UNUSED;
    const char *path = spx_scratch_path(&scratch, "a");
    void *data;
    size_t size;
    CHECK_FAILS(SPX_ENOTFOUND,
                spx_file_read(spx_scratch_path(&scratch, "absent"), 100, &data, &size));
    CHECK_FAILS(SPX_EFORMAT, spx_file_read(path, 2, &data, &size));
    assert_null(data);
    CHECK_OK(spx_file_read(path, 3, &data, &size));
    spx_free(data);
}

SPX_TEST(a_missing_folder_is_named)
{
    SPX_UNUSED;
    const char *path = spx_scratch_path(&scratch, "no/such/file");
    const spx_span part = {"x", 1};
    CHECK_FAILS(SPX_EIO, spx_file_replace(path, &part, 1));
    assert_non_null(strstr(spx_error_message(), path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_replaced_file_holds_the_parts_in_order),
        SPX_UNIT(a_full_disk_leaves_the_old_file_and_nothing_else),
        SPX_UNIT(what_is_no_regular_file_is_neither_read_nor_replaced),
        SPX_UNIT(reading_refuses_absent_and_large_files),
        SPX_UNIT(a_missing_folder_is_named),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
