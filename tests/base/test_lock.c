#define _DEFAULT_SOURCE /* syscall */
#include "kernels/base/lock.h"
#include "tests/support/spx_scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

static spx_scratch scratch;
static int lock_error; /* what flock fails with from now on; 0: it works */

/* Stands in for libc's, as a file system does that has no locks. */
int flock(int fd, int operation);
int flock(int fd, int operation)
{
    if (lock_error == 0) {
        return (int)syscall(SYS_flock, fd, operation);
    }
    errno = lock_error;
    return -1;
}

static int open_file(void)
{
    const int fd = open(spx_scratch_path(&scratch, "lock"), O_RDWR | O_CREAT, 0666);
    assert_true(fd >= 0);
    return fd;
}

SPX_TEST(one_holds_a_lock_until_it_closes_the_file)
{
    SPX_UNUSED;
    const int first = open_file(), second = open_file();
    spx_lock got;
    CHECK_OK(spx_lock_take(first, "lock", &got));
    assert_int_equal(got, SPX_LOCK_HELD);
    CHECK_OK(spx_lock_take(second, "lock", &got));
    assert_int_equal(got, SPX_LOCK_IN_USE);
    (void)close(first);
    CHECK_OK(spx_lock_take(second, "lock", &got));
    assert_int_equal(got, SPX_LOCK_HELD);
    (void)close(second);
}

SPX_TEST(a_file_system_without_locks_is_told_apart_from_a_failure)
{
    SPX_UNUSED;
    static const int lacking[] = {ENOSYS, ENOLCK, ENOTSUP, EOPNOTSUPP};
    const int fd = open_file();
    spx_lock got;
    for (size_t i = 0; i < sizeof lacking / sizeof lacking[0]; i++) {
        lock_error = lacking[i];
        CHECK_OK(spx_lock_take(fd, "lock", &got));
        assert_int_equal(got, SPX_LOCK_LACKING);
    }
    lock_error = EIO;
    CHECK_FAILS(SPX_EIO, spx_lock_take(fd, "lock", &got));
    lock_error = 0;
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(one_holds_a_lock_until_it_closes_the_file),
        SPX_UNIT(a_file_system_without_locks_is_told_apart_from_a_failure),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
