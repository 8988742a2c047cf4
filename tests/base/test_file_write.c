#define _GNU_SOURCE /* syscall */
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static spx_scratch scratch;
static int sync_error;   /* what fsync fails with from now on; 0: it works */
static int rename_error; /* likewise */

/* Stand in for libc's, as file systems do that lack an ability. */
int fsync(int fd)
{
    if (sync_error == 0) {
        return (int)syscall(SYS_fsync, fd);
    }
    errno = sync_error;
    return -1;
}

int rename(const char *from, const char *to)
{
    if (rename_error == 0) {
        return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    }
    errno = rename_error;
    return -1;
}

static mode_t mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 07777;
}

static bool is_link(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
}

/* Entries, hidden ones too. */
static int entries(void)
{
    int n = 0;
    DIR *d = opendir(scratch.folder);
    while (readdir(d) != NULL) {
        n++;
    }
    (void)closedir(d);
    return n - 2;
}

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
    assert_int_equal(entries(), 1);
}

/* Writes n times "x", then fails if n is 3. */
static spx_status write_some(void *ctx, int fd, const char *path)
{
    const int n = *(const int *)ctx;
    for (int i = 0; i < n; i++) {
        assert_true(spx_write_fully(fd, "x", 1));
    }
    return n == 3 ? SPX_FAIL(SPX_EFORMAT, "%s: three", path) : SPX_OK;
}

SPX_TEST(a_file_is_replaced_by_what_a_function_writes_unless_that_fails)
{
    SPX_UNUSED;
    const char *path = spx_scratch_path(&scratch, "by");
    const int before = entries();
    int n = 2;
    CHECK_OK(spx_file_replace_by(path, write_some, &n));
    check_holds(path, "xx");
    n = 3;
    CHECK_FAILS(SPX_EFORMAT, spx_file_replace_by(path, write_some, &n));
    check_holds(path, "xx");
    assert_int_equal(entries(), before + 1);
    CHECK_OK(spx_file_sync_folder(path));
    assert_int_equal(remove(path), 0);
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
    assert_int_equal(entries(), 1);
}

SPX_TEST(a_folder_is_not_replaced)
{
    SPX_UNUSED;
    const spx_span part = {"x", 1};
    CHECK_FAILS(SPX_EIO, spx_file_replace(scratch.folder, &part, 1));
    assert_non_null(strstr(spx_error_message(), "a folder"));
}

SPX_TEST(a_pipe_and_a_device_are_written_straight)
{
    SPX_UNUSED;
    const char *fifo = spx_scratch_path(&scratch, "fifo");
    const spx_span part[] = {{"throu", 5}, {"gh", 2}};
    char got[8] = "", name[32];
    struct stat info;
    int ends[2], fd;
    CHECK_OK(spx_file_replace("/dev/null", part, 2));
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    fd = open(fifo, O_RDWR); /* so that neither end waits */
    assert_true(fd >= 0);
    CHECK_OK(spx_file_replace(fifo, part, 2));
    assert_int_equal(read(fd, got, sizeof got), 7);
    assert_string_equal(got, "through");
    (void)close(fd);
    assert_int_equal(unlink(fifo), 0);
    assert_int_equal(pipe(ends), 0); /* as bash's >(command) */
    (void)snprintf(name, sizeof name, "/dev/fd/%d", ends[1]);
    CHECK_OK(spx_file_replace(name, part, 1));
    assert_int_equal(read(ends[0], got, sizeof got), 5);
    (void)close(ends[0]);
    (void)close(ends[1]);
    CHECK_FAILS(SPX_EIO, spx_file_replace(name, part, 1));
}

SPX_TEST(an_own_descriptor_keeps_its_place_in_the_file)
{
    SPX_UNUSED;
    const char *path = spx_scratch_path(&scratch, "appended");
    const spx_span part = {" and more", 9};
    char name[32];
    int fd;
    spx_scratch_write_text(path, "text");
    fd = open(path, O_WRONLY | O_APPEND);
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    CHECK_OK(spx_file_replace(name, &part, 1));
    (void)close(fd);
    check_holds(path, "text and more");
    assert_int_equal(unlink(path), 0);
}

SPX_TEST(a_link_stays_and_the_file_it_means_is_written)
{
    SPX_UNUSED;
    const char *folder = spx_scratch_path(&scratch, "store");
    const char *real = spx_scratch_path(&scratch, "store/real");
    const char *link = spx_scratch_path(&scratch, "link"), *way = spx_scratch_path(&scratch, "way");
    const spx_span part = {"new", 3};
    assert_int_equal(mkdir(folder, 0777), 0);
    assert_int_equal(symlink("link", way), 0);
    assert_int_equal(symlink("store/real", link), 0); /* which is not there yet */
    for (int round = 0; round < 2; round++) {
        CHECK_OK(spx_file_replace(way, &part, 1));
        assert_true(is_link(way) && is_link(link) && !is_link(real));
        check_holds(real, "new");
        assert_int_equal(chmod(real, 0640), 0);
    }
    assert_int_equal(mode_of(real), 0640);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("way", link), 0); /* a circle */
    CHECK_FAILS(SPX_EIO, spx_file_replace(way, &part, 1));
    assert_int_equal(unlink(real) + rmdir(folder) + unlink(link) + unlink(way), 0);
}

SPX_TEST(modes_are_kept_and_secrets_are_their_owners)
{
    SPX_UNUSED;
    static const mode_t before[] = {0666, 0664, 0600, 0444, 0700};
    const char *path = spx_scratch_path(&scratch, "modes");
    const spx_span part = {"key", 3};
    const mode_t mask = umask(027);
    CHECK_OK(spx_file_replace(path, &part, 1));
    assert_int_equal(mode_of(path), 0640);
    assert_int_equal(unlink(path), 0);
    CHECK_OK(spx_file_replace_secret(path, &part, 1));
    assert_int_equal(mode_of(path), 0600);
    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
        assert_int_equal(chmod(path, before[i]), 0);
        CHECK_OK(spx_file_replace(path, &part, 1));
        assert_int_equal(mode_of(path), before[i]);
        CHECK_OK(spx_file_replace_secret(path, &part, 1));
        assert_int_equal(mode_of(path), before[i] & 0700);
    }
    (void)umask(mask);
    assert_int_equal(unlink(path), 0);
}

SPX_TEST(what_a_file_system_cannot_sync_is_written_all_the_same)
{
    SPX_UNUSED;
    static const int lacking[] = {EINVAL, ENOSYS, ENOTSUP, EOPNOTSUPP};
    const char *path = spx_scratch_path(&scratch, "a");
    const spx_span part = {"new", 3};
    for (size_t i = 0; i < sizeof lacking / sizeof lacking[0]; i++) {
        sync_error = lacking[i];
        CHECK_OK(spx_file_replace(path, &part, 1));
    }
    sync_error = EIO;
    CHECK_FAILS(SPX_EIO, spx_file_replace(path, &part, 1));
    sync_error = 0;
    assert_int_equal(entries(), 1);
}

SPX_TEST(a_mount_point_is_named_as_one)
{
    SPX_UNUSED;
    const char *path = spx_scratch_path(&scratch, "a");
    const spx_span part = {"other", 5};
    rename_error = EBUSY;
    CHECK_FAILS(SPX_EIO, spx_file_replace(path, &part, 1));
    rename_error = 0;
    assert_non_null(strstr(spx_error_message(), "mount point"));
    check_holds(path, "new");
    assert_int_equal(entries(), 1);
}

SPX_TEST(leftovers_of_the_same_file_go_once_they_are_old)
{
    SPX_UNUSED;
    static const struct {
        const char *name;
        bool old, goes;
    } cases[] = {{".a.0123456789abcdef.tmp", true, true},
                 {".a.0123456789abcdee.tmp", false, false}, /* a writer may be at it */
                 {".b.0123456789abcdef.tmp", true, false},
                 {".a.notes.tmp", true, false}};
    const struct timespec long_ago[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    const spx_span part = {"new", 3};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *left = spx_scratch_path(&scratch, cases[i].name);
        spx_scratch_write_text(left, "left");
        assert_int_equal(cases[i].old ? utimensat(AT_FDCWD, left, long_ago, 0) : 0, 0);
        assert_int_equal(spx_file_is_leftover(cases[i].name), i < 3);
    }
    CHECK_OK(spx_file_replace(spx_scratch_path(&scratch, "a"), &part, 1));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *left = spx_scratch_path(&scratch, cases[i].name);
        assert_int_equal(access(left, F_OK) == 0, !cases[i].goes);
        (void)unlink(left);
    }
}

/* Writers of one file, each of its own length and letter; no reader sees a mixture. */
SPX_TEST(several_writers_do_not_disturb_each_other_or_their_readers)
{
    SPX_UNUSED;
    enum { WRITERS = 3, ROUNDS = 40 };
    static char text[WRITERS][1 << 14];
    const char *path = spx_scratch_path(&scratch, "shared");
    pid_t child[WRITERS];
    for (int w = 0; w < WRITERS; w++) {
        const spx_span part = {text[w], 1000 + 5000 * (size_t)w};
        memset(text[w], 'a' + w, sizeof text[w]);
        CHECK_OK(spx_file_replace(path, &part, 1));
        child[w] = fork();
        if (child[w] == 0) {
            for (int i = 0; i < ROUNDS; i++) {
                if (spx_file_replace(path, &part, 1) != SPX_OK) {
                    _exit(1);
                }
            }
            _exit(0);
        }
    }
    for (int i = 0; i < ROUNDS; i++) {
        void *data;
        size_t size, writer;
        CHECK_OK(spx_file_read(path, 1 << 20, &data, &size));
        writer = (size_t)(*(char *)data - 'a');
        assert_true(writer < WRITERS && size == 1000 + 5000 * writer);
        assert_memory_equal(data, text[writer], size);
        spx_free(data);
    }
    for (int w = 0; w < WRITERS; w++) {
        int status = 0;
        assert_int_equal(waitpid(child[w], &status, 0), child[w]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(entries(), 1);
}

SPX_TEST(a_missing_folder_is_named)
{
    SPX_UNUSED;
    const char *path = spx_scratch_path(&scratch, "no/such/file");
    const spx_span part = {"x", 1};
    CHECK_FAILS(SPX_EIO, spx_file_replace(path, &part, 1));
    assert_non_null(strstr(spx_error_message(), path));
}

SPX_TEST(temporary_folders_are_where_the_environment_says)
{
    SPX_UNUSED;
    const char *const before = getenv("TMPDIR");
    char was[512] = "", path[SPX_TEMP_FOLDER], other[SPX_TEMP_FOLDER], longest[SPX_TEMP_FOLDER + 1];
    struct stat info;
    (void)snprintf(was, sizeof was, "%s", before != NULL ? before : "");
    assert_int_equal(setenv("TMPDIR", scratch.folder, 1), 0);
    CHECK_OK(spx_temp_folder(path, "word"));
    CHECK_OK(spx_temp_folder(other, "word"));
    assert_int_equal(strncmp(path, scratch.folder, strlen(scratch.folder)), 0);
    assert_non_null(strstr(path, "/sphynx-word-"));
    assert_string_not_equal(path, other);
    assert_int_equal(stat(path, &info), 0);
    assert_true(S_ISDIR(info.st_mode) && (info.st_mode & 077) == 0);
    assert_int_equal(rmdir(path) | rmdir(other), 0);
    assert_int_equal(setenv("TMPDIR", "", 1), 0);
    CHECK_OK(spx_temp_folder(path, "word"));
    assert_int_equal(strncmp(path, "/tmp/sphynx-word-", 17), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(setenv("TMPDIR", spx_scratch_path(&scratch, "absent"), 1), 0);
    CHECK_FAILS(SPX_EIO, spx_temp_folder(path, "word"));
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(setenv("TMPDIR", longest, 1), 0);
    CHECK_FAILS(SPX_EINVAL, spx_temp_folder(path, "word"));
    assert_int_equal(was[0] != '\0' ? setenv("TMPDIR", was, 1) : unsetenv("TMPDIR"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_replaced_file_holds_the_parts_in_order),
        SPX_UNIT(a_file_is_replaced_by_what_a_function_writes_unless_that_fails),
        SPX_UNIT(a_full_disk_leaves_the_old_file_and_nothing_else),
        SPX_UNIT(a_folder_is_not_replaced),
        SPX_UNIT(a_pipe_and_a_device_are_written_straight),
        SPX_UNIT(an_own_descriptor_keeps_its_place_in_the_file),
        SPX_UNIT(a_link_stays_and_the_file_it_means_is_written),
        SPX_UNIT(modes_are_kept_and_secrets_are_their_owners),
        SPX_UNIT(what_a_file_system_cannot_sync_is_written_all_the_same),
        SPX_UNIT(a_mount_point_is_named_as_one),
        SPX_UNIT(leftovers_of_the_same_file_go_once_they_are_old),
        SPX_UNIT(several_writers_do_not_disturb_each_other_or_their_readers),
        SPX_UNIT(a_missing_folder_is_named),
        SPX_UNIT(temporary_folders_are_where_the_environment_says),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
