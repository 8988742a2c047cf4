#define _POSIX_C_SOURCE 200809L
#include "host/control/jsonl.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/support/spx_scratch.h"

static spx_scratch temp;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(spx_scratch_make(&temp), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    spx_scratch_remove(&temp);
    return 0;
}

SPX_TEST(lines_are_appended_and_survive_reopening)
{
    SPX_UNUSED;
    spx_jsonl *log;
    const char *path = spx_scratch_path(&temp, "m.jsonl");
    CHECK_OK(spx_jsonl_open(&log, path, SPX_JSONL_KEEP_ALL));
    CHECK_OK(spx_jsonl_append(log, json_pack("{s:i, s:f}", "step", 1, "loss", 0.1)));
    CHECK_OK(spx_jsonl_sync(log));
    spx_jsonl_close(log);
    CHECK_OK(spx_jsonl_open(&log, path, SPX_JSONL_KEEP_ALL));
    CHECK_OK(spx_jsonl_append(log, json_pack("{s:i}", "step", 2)));
    spx_jsonl_close(log);
    spx_scratch_check_text(path, "{\"step\":1,\"loss\":0.1}\n{\"step\":2}\n");
}

SPX_TEST(a_torn_last_line_is_cut_off)
{
    SPX_UNUSED;
    /* around the block in which the end of a line is looked for, and a file of one torn line */
    static const size_t torn[] = {1, 4094, 4095, 4096, 4097, 9000};
    const char *path = spx_scratch_path(&temp, "m.jsonl");
    for (size_t i = 0; i < sizeof torn / sizeof torn[0]; i++) {
        for (int whole = 0; whole <= 1; whole++) {
            char text[9100] = "{\"a\":1}\n";
            spx_jsonl *log;
            const size_t used = whole ? strlen(text) : 0;
            memset(text + used, 'x', torn[i]);
            text[used + torn[i]] = '\0';
            spx_scratch_write_text(path, text);
            CHECK_OK(spx_jsonl_open(&log, path, SPX_JSONL_KEEP_ALL));
            assert_int_equal(spx_jsonl_size(log), used);
            CHECK_OK(spx_jsonl_append(log, json_pack("{s:i}", "b", 2)));
            spx_jsonl_close(log);
            spx_scratch_check_text(path, whole ? "{\"a\":1}\n{\"b\":2}\n" : "{\"b\":2}\n");
        }
    }
}

SPX_TEST(reopening_at_a_checkpoint_drops_later_lines)
{
    SPX_UNUSED;
    spx_jsonl *log;
    uint64_t kept;
    const char *path = spx_scratch_path(&temp, "m.jsonl");
    CHECK_OK(spx_jsonl_open(&log, path, SPX_JSONL_KEEP_ALL));
    CHECK_OK(spx_jsonl_append(log, json_pack("{s:i}", "step", 1)));
    kept = spx_jsonl_size(log);
    CHECK_OK(spx_jsonl_append(log, json_pack("{s:i}", "step", 2)));
    spx_jsonl_close(log);
    CHECK_OK(spx_jsonl_open(&log, path, kept));
    spx_jsonl_close(log);
    spx_scratch_check_text(path, "{\"step\":1}\n");
    CHECK_OK(spx_jsonl_open(&log, path, kept - 1)); /* inside the line */
    spx_jsonl_close(log);
    spx_scratch_check_text(path, "");
}

SPX_TEST(a_number_that_is_not_finite_is_refused_and_nothing_written)
{
    SPX_UNUSED;
    spx_jsonl *log;
    const char *path = spx_scratch_path(&temp, "m.jsonl");
    CHECK_OK(spx_jsonl_open(&log, path, SPX_JSONL_KEEP_ALL));
    CHECK_FAILS(SPX_EINVAL, spx_jsonl_append(log, json_pack("{s:f}", "loss", (double)NAN)));
    spx_jsonl_close(log);
    spx_scratch_check_text(path, "");
}

/* In a child, because the limit cannot be raised again: 0 if all held. */
static int append_beyond_limit(const char *path)
{
    struct rlimit limit;
    spx_jsonl *log;
    spx_status st;
    (void)signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0) {
        return 1;
    }
    limit.rlim_cur = 12; /* the second line ends at 16 */
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0 ||
        spx_jsonl_open(&log, path, SPX_JSONL_KEEP_ALL) != SPX_OK ||
        spx_jsonl_append(log, json_pack("{s:i}", "a", 1)) != SPX_OK) {
        return 2;
    }
    st = spx_jsonl_append(log, json_pack("{s:i}", "b", 2));
    if (st != SPX_EIO || spx_jsonl_size(log) != 8) {
        return 3;
    }
    spx_jsonl_close(log);
    return 0;
}

SPX_TEST(a_full_disk_leaves_only_whole_lines)
{
    SPX_UNUSED;
    int status;
    const char *path = spx_scratch_path(&temp, "m.jsonl");
    const pid_t child = fork();
    if (child == 0) {
        _exit(append_beyond_limit(path));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    spx_scratch_check_text(path, "{\"a\":1}\n");
}

SPX_TEST(what_is_not_a_regular_file_is_refused)
{
    SPX_UNUSED;
    spx_jsonl *log;
    CHECK_FAILS(SPX_EIO, spx_jsonl_open(&log, temp.folder, SPX_JSONL_KEEP_ALL));
    assert_null(log);
    CHECK_FAILS(SPX_EFORMAT, spx_jsonl_open(&log, "/dev/null", SPX_JSONL_KEEP_ALL));
    assert_null(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(lines_are_appended_and_survive_reopening),
        TEST(a_torn_last_line_is_cut_off),
        TEST(reopening_at_a_checkpoint_drops_later_lines),
        TEST(a_number_that_is_not_finite_is_refused_and_nothing_written),
        TEST(a_full_disk_leaves_only_whole_lines),
        TEST(what_is_not_a_regular_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
