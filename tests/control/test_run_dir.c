#define _POSIX_C_SOURCE 200809L
#include "host/control/run_dir.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "host/control/build_info.h"
#include "tests/support/spx_scratch.h"

static spx_scratch temp;
static char folder[256];
static json_t *config, *inputs;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(spx_scratch_make(&temp), 0);
    (void)snprintf(folder, sizeof folder, "%s", spx_scratch_path(&temp, "deep/er/run"));
    config = json_pack("{s:i}", "epochs", 3);
    inputs = json_pack("{s:s}", "data", "1234");
    return config == NULL || inputs == NULL;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(config);
    json_decref(inputs);
    spx_scratch_remove(&temp);
    return 0;
}

static spx_status open_run(spx_run_dir **run, bool resume, const char *verb)
{
    spx_status st = spx_run_dir_open(run, folder, resume, verb);
    if (st == SPX_OK) {
        st = spx_run_dir_record(*run, "[train]\nepochs = 3\n", config, inputs, "abacus:0");
    }
    return st;
}

static void in_folder(const char *name, char path[300])
{
    (void)snprintf(path, 300, "%s/%s", folder, name);
}

SPX_TEST(a_new_run_records_its_options_and_its_commit)
{
    SPX_UNUSED;
    spx_run_dir *run;
    char path[300];
    json_t *record;
    const json_t *session;
    CHECK_OK(open_run(&run, false, "train"));
    assert_false(spx_run_dir_resumed(run));
    spx_run_dir_close(run);
    in_folder("config.ini", path);
    spx_scratch_check_text(path, "[train]\nepochs = 3\n");
    in_folder("run.json", path);
    record = json_load_file(path, 0, NULL);
    assert_non_null(record);
    assert_string_equal(json_string_value(json_object_get(record, "verb")), "train");
    assert_true(json_equal(json_object_get(record, "config"), config));
    session = json_array_get(json_object_get(record, "sessions"), 0);
    assert_string_equal(json_string_value(json_object_get(session, "commit")), spx_build_commit());
    assert_string_equal(json_string_value(json_object_get(session, "device")), "abacus:0");
    json_decref(record);
}

SPX_TEST(an_existing_run_is_not_overwritten_unless_resumed)
{
    SPX_UNUSED;
    spx_run_dir *run;
    CHECK_OK(open_run(&run, true, "train")); /* nothing to resume: begins */
    assert_false(spx_run_dir_resumed(run));
    spx_run_dir_close(run);
    CHECK_FAILS(SPX_EINVAL, open_run(&run, false, "train"));
    assert_null(run);
    CHECK_FAILS(SPX_EINVAL, open_run(&run, true, "search"));
    assert_null(run);
    CHECK_OK(open_run(&run, true, "train"));
    assert_true(spx_run_dir_resumed(run));
    spx_run_dir_close(run);
}

SPX_TEST(every_session_is_recorded_and_the_first_options_are_kept)
{
    SPX_UNUSED;
    spx_run_dir *run;
    char path[300];
    json_t *record;
    CHECK_OK(open_run(&run, false, "train"));
    spx_run_dir_close(run);
    json_object_set_new(config, "epochs", json_integer(5));
    CHECK_OK(open_run(&run, true, "train"));
    assert_int_equal(json_integer_value(json_object_get(spx_run_dir_first_config(run), "epochs")),
                     3);
    spx_run_dir_close(run);
    in_folder("run.json", path);
    record = json_load_file(path, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(record, "sessions")), 2);
    json_decref(record);
}

SPX_TEST(inputs_are_recorded_and_later_ones_are_added)
{
    SPX_UNUSED;
    spx_run_dir *run;
    const json_t *known;
    CHECK_OK(open_run(&run, false, "train"));
    spx_run_dir_close(run);
    (void)json_object_clear(inputs);
    (void)json_object_set_new(inputs, "genotype", json_string("56"));
    CHECK_OK(open_run(&run, true, "train"));
    spx_run_dir_close(run);
    CHECK_OK(spx_run_dir_open(&run, folder, true, "train"));
    known = spx_run_dir_inputs(run);
    assert_string_equal(json_string_value(json_object_get(known, "data")), "1234");
    assert_string_equal(json_string_value(json_object_get(known, "genotype")), "56");
    spx_run_dir_close(run);
}

SPX_TEST(what_is_not_recorded_leaves_the_run_as_it_was)
{
    SPX_UNUSED;
    spx_run_dir *run;
    char path[300];
    json_t *before, *after;
    CHECK_OK(open_run(&run, false, "train"));
    spx_run_dir_close(run);
    in_folder("run.json", path);
    before = json_load_file(path, 0, NULL);
    CHECK_OK(spx_run_dir_open(&run, folder, true, "train")); /* and then the options are refused */
    spx_run_dir_close(run);
    after = json_load_file(path, 0, NULL);
    assert_true(json_equal(before, after));
    json_decref(before);
    json_decref(after);
}

SPX_TEST(a_foreign_folder_is_refused_and_left_as_it_was)
{
    SPX_UNUSED;
    spx_run_dir *run;
    char path[300];
    const char *home = spx_scratch_path(&temp, "home");
    assert_int_equal(mkdir(home, 0777), 0);
    (void)snprintf(folder, sizeof folder, "%s", home);
    in_folder("thesis.txt", path);
    spx_scratch_write_text(path, "years of work");
    CHECK_FAILS(SPX_EINVAL, open_run(&run, true, "train"));
    assert_null(run);
    in_folder("lock", path);
    assert_int_not_equal(access(path, F_OK), 0);
}

SPX_TEST(what_a_killed_creation_left_does_not_block_a_new_run)
{
    SPX_UNUSED;
    spx_run_dir *run;
    char path[300];
    CHECK_OK(open_run(&run, false, "train"));
    spx_run_dir_close(run);
    in_folder("run.json", path);
    assert_int_equal(unlink(path), 0); /* written last: as if killed before it */
    CHECK_OK(open_run(&run, false, "train"));
    assert_false(spx_run_dir_resumed(run));
    spx_run_dir_close(run);
}

SPX_TEST(a_second_process_is_told_who_holds_the_run)
{
    SPX_UNUSED;
    spx_run_dir *run;
    char expected[32];
    int status;
    pid_t child;
    CHECK_OK(open_run(&run, false, "train"));
    (void)snprintf(expected, sizeof expected, "process %ld", (long)getpid());
    child = fork();
    if (child == 0) {
        spx_run_dir *other;
        const spx_status st = open_run(&other, true, "train");
        _exit(st == SPX_EDEVICE && strstr(spx_error_message(), expected) != NULL ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    spx_run_dir_close(run);
    CHECK_OK(open_run(&run, true, "train")); /* closing freed it */
    spx_run_dir_close(run);
}

SPX_TEST(a_damaged_record_is_refused)
{
    SPX_UNUSED;
    static const char *const damaged[] = {"", "{", "[]", "{\"verb\":\"train\"}",
                                          "{\"verb\":1,\"config\":{},\"sessions\":[]}"};
    spx_run_dir *run;
    char path[300];
    CHECK_OK(open_run(&run, false, "train"));
    spx_run_dir_close(run);
    in_folder("run.json", path);
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        spx_scratch_write_text(path, damaged[i]);
        CHECK_FAILS(SPX_EFORMAT, open_run(&run, true, "train"));
        assert_null(run);
        spx_scratch_check_text(path, damaged[i]);
    }
}

SPX_TEST(metrics_lie_in_the_folder)
{
    SPX_UNUSED;
    spx_run_dir *run;
    spx_jsonl *log;
    char path[300];
    CHECK_OK(open_run(&run, false, "train"));
    CHECK_OK(spx_run_dir_metrics(run, SPX_JSONL_KEEP_ALL, &log));
    CHECK_OK(spx_jsonl_append(log, json_pack("{s:i}", "step", 1)));
    spx_jsonl_close(log);
    spx_run_dir_close(run);
    in_folder("metrics.jsonl", path);
    spx_scratch_check_text(path, "{\"step\":1}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(a_new_run_records_its_options_and_its_commit),
        TEST(an_existing_run_is_not_overwritten_unless_resumed),
        TEST(every_session_is_recorded_and_the_first_options_are_kept),
        TEST(inputs_are_recorded_and_later_ones_are_added),
        TEST(what_is_not_recorded_leaves_the_run_as_it_was),
        TEST(a_foreign_folder_is_refused_and_left_as_it_was),
        TEST(what_a_killed_creation_left_does_not_block_a_new_run),
        TEST(a_second_process_is_told_who_holds_the_run),
        TEST(a_damaged_record_is_refused),
        TEST(metrics_lie_in_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
