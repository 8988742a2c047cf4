#define _POSIX_C_SOURCE 200809L
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

#include <fcntl.h>
#include <sys/wait.h>

static spx_scratch scratch;

/* A child that writes n bytes, 0, 1, 2, ..., to the write end of a pipe, a thousand at a time. */
static pid_t feed(int fd, size_t n)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        unsigned char bytes[1000];
        for (size_t at = 0; at < n; at += sizeof bytes) {
            for (size_t i = 0; i < sizeof bytes; i++) {
                bytes[i] = (unsigned char)(at + i);
            }
            if (write(fd, bytes, n - at < sizeof bytes ? n - at : sizeof bytes) < 0) {
                break;
            }
        }
        _exit(0);
    }
    (void)close(fd);
    return child;
}

static spx_status read_pipe(size_t n, size_t most, void **data, size_t *size)
{
    char path[32];
    int end[2], code;
    spx_status st;
    pid_t child;
    assert_int_equal(pipe(end), 0);
    child = feed(end[1], n);
    (void)snprintf(path, sizeof path, "/dev/fd/%d", end[0]);
    st = spx_file_read(path, most, data, size);
    (void)close(end[0]);
    assert_int_equal(waitpid(child, &code, 0), child);
    return st;
}

SPX_TEST(a_pipe_is_read_to_its_end_up_to_the_limit)
{
    SPX_UNUSED;
    static const size_t lengths[] = {0, 1, 999, 65535, 65536, 65537, 300000};
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        void *data;
        size_t size;
        CHECK_OK(read_pipe(lengths[k], lengths[k], &data, &size));
        assert_int_equal(size, lengths[k]);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(((unsigned char *)data)[i], i & 0xff);
        }
        assert_int_equal(((char *)data)[size], 0);
        spx_free(data);
    }
    for (size_t k = 1; k < sizeof lengths / sizeof *lengths; k++) {
        void *data;
        size_t size;
        CHECK_FAILS(SPX_EFORMAT, read_pipe(lengths[k], lengths[k] - 1, &data, &size));
        assert_null(data);
    }
}

SPX_TEST(folders_and_devices_are_refused)
{
    SPX_UNUSED;
    void *data;
    size_t size;
    CHECK_FAILS(SPX_EFORMAT, spx_file_read(scratch.folder, 100, &data, &size));
    assert_non_null(strstr(spx_error_message(), "a folder"));
    CHECK_FAILS(SPX_EFORMAT, spx_file_read("/dev/zero", 100, &data, &size));
    assert_non_null(strstr(spx_error_message(), "a device"));
}

SPX_TEST(reading_refuses_absent_and_large_files)
{
    SPX_UNUSED;
    const char *path = spx_scratch_path(&scratch, "a");
    void *data;
    size_t size;
    spx_scratch_write_text(path, "new");
    CHECK_FAILS(SPX_ENOTFOUND,
                spx_file_read(spx_scratch_path(&scratch, "absent"), 100, &data, &size));
    CHECK_FAILS(SPX_EFORMAT, spx_file_read(path, 2, &data, &size));
    assert_null(data);
    CHECK_OK(spx_file_read(path, 3, &data, &size));
    assert_string_equal(data, "new"); /* the terminating zero is part of the contract */
    spx_free(data);
}

SPX_TEST(reading_at_an_offset_reads_all_or_fails)
{
    SPX_UNUSED;
    const char *path = spx_scratch_path(&scratch, "a");
    char got[8] = {0};
    int fd;
    spx_scratch_write_text(path, "0123456789");
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    CHECK_OK(spx_file_read_at(fd, path, 4, got, 6));
    assert_string_equal(got, "456789");
    CHECK_OK(spx_file_read_at(fd, path, 0, got, 2)); /* without a place of its own */
    assert_string_equal(got, "016789");
    CHECK_OK(spx_file_read_at(fd, path, 99, got, 0));
    CHECK_FAILS(SPX_EIO, spx_file_read_at(fd, path, 4, got, 7));
    assert_non_null(strstr(spx_error_message(), "offset 10"));
    (void)close(fd);
    CHECK_FAILS(SPX_EIO, spx_file_read_at(fd, path, 0, got, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_pipe_is_read_to_its_end_up_to_the_limit),
        SPX_UNIT(folders_and_devices_are_refused),
        SPX_UNIT(reading_refuses_absent_and_large_files),
        SPX_UNIT(reading_at_an_offset_reads_all_or_fails),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
