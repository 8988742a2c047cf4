#define _POSIX_C_SOURCE 200809L
#include "host/cli/cli.h"

#include "tests/support/spx_scratch.h"

typedef struct values {
    bool flag;
    int64_t number, bounded;
    double real, seconds;
    uint64_t bytes;
    const char *text, *file;
    spx_int_list list, shape;
    int choice;
} values;

static const spx_option options[] = {
    SPX_OPT(FLAG, values, flag, "flag", NULL, NULL, "a flag", .letter = 'f'),
    SPX_OPT(INT, values, number, "number", "N", "7", "a number", .letter = 'n'),
    SPX_OPT(INT, values, bounded, "bounded", "N", "2", "in 1..3", .min = 1, .max = 3,
            .old = "limited"),
    SPX_OPT(FLOAT, values, real, "real", "X", "0.1", "a real"),
    SPX_OPT(TIME, values, seconds, "time", "T", "0", "a time"),
    SPX_OPT(SIZE, values, bytes, "size", "B", "4K", "a size"),
    SPX_OPT(STRING, values, text, "text", "S", NULL, "a text", .letter = 'o'),
    SPX_OPT(STRING, values, file, "file", "F", "none", "a file, or none", .flags = SPX_OPT_PATH),
    SPX_OPT(LIST, values, list, "list", "I,J", NULL, "a list", .min = 0, .max = 100),
    SPX_OPT(SHAPE, values, shape, "shape", "CxHxW", "3x32x32", "a shape"),
    SPX_OPT(ENUM, values, choice, "choice", "red|green|blue", "green", "a choice"),
    {0}};

/* What the fake command saw, copied while it ran. */
static struct {
    int runs;
    values v;
    char text[64], operand[64];
    int64_t last_of_list, columns;
    size_t operands;
    int64_t threads, seed;
    bool json, given_number;
    char *ini;
    json_t *resolved, *defaults;
    spx_stream_options stream;
} seen;

static spx_status record(spx_cli *cli, const void *v)
{
    seen.runs++;
    seen.v = *(const values *)v;
    (void)snprintf(seen.text, sizeof seen.text, "%s", seen.v.text != NULL ? seen.v.text : "NULL");
    if (seen.v.list.n > 0) {
        seen.last_of_list = seen.v.list.v[seen.v.list.n - 1];
    }
    seen.columns = seen.v.shape.n > 1 ? seen.v.shape.v[1] : 0;
    seen.operands = cli->arg_count;
    (void)snprintf(seen.operand, sizeof seen.operand, "%s", cli->arg_count > 0 ? cli->args[0] : "");
    seen.threads = cli->threads;
    seen.seed = cli->seed;
    seen.json = cli->json;
    seen.given_number = spx_cli_given(cli, "number");
    seen.resolved = spx_cli_resolved_json(cli);
    seen.defaults = spx_cli_default_json(cli);
    return spx_cli_resolved_ini(cli, &seen.ini);
}

static spx_status interrupted(spx_cli *cli, const void *v)
{
    (void)cli;
    (void)v;
    return SPX_FAIL(SPX_EINTERRUPTED, "saved at step 3");
}

static spx_status failing(spx_cli *cli, const void *v)
{
    (void)cli;
    (void)v;
    return SPX_FAIL(SPX_EFORMAT, "x.h5: truncated");
}

static spx_status stream_options(spx_cli *cli, const void *v)
{
    (void)v;
    return spx_cli_stream_options(cli, &seen.stream);
}

static const spx_command stream_command = {.name = "stream", .summary = "s", .run = stream_options};
static const spx_command probe = {.name = "probe",
                                  .summary = "s",
                                  .args = "[FILE]",
                                  .options = options,
                                  .values_size = sizeof(values),
                                  .max_args = 1,
                                  .run = record};
static const spx_command stop = {.name = "stop", .summary = "s", .run = interrupted};
static const spx_command fail_command = {.name = "fail", .summary = "s", .run = failing};
static const spx_command *const subs[] = {&probe, &stop, NULL};
static const spx_command group = {.name = "group", .summary = "s", .sub = subs};
static const spx_command *const commands[] = {&probe, &stop,           &fail_command,
                                              &group, &stream_command, NULL};

static spx_scratch temp;

static int setup(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    assert_int_equal(spx_scratch_make(&temp), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(seen.ini);
    json_decref(seen.resolved);
    json_decref(seen.defaults);
    spx_scratch_remove(&temp);
    return 0;
}

static char program[] = "sphynx";

static void forget(void)
{
    free(seen.ini);
    json_decref(seen.resolved);
    json_decref(seen.defaults);
    memset(&seen, 0, sizeof seen);
}

/* Runs "sphynx probe --text TEXT". */
static int run_text(const char *text)
{
    char copy[2048], verb[] = "probe", option[] = "--text";
    char *argv[] = {program, verb, option, copy};
    (void)snprintf(copy, sizeof copy, "%s", text);
    forget();
    return spx_cli_main(4, argv, commands);
}

/* Splits line at blanks and runs it as "sphynx line". */
static int run_line(const char *line)
{
    char copy[1024];
    char *argv[32] = {program};
    int argc = 1;
    (void)snprintf(copy, sizeof copy, "%s", line);
    forget();
    for (char *p = strtok(copy, " "); p != NULL; p = strtok(NULL, " ")) {
        argv[argc++] = p;
    }
    return spx_cli_main(argc, argv, commands);
}

SPX_TEST(defaults_fill_what_is_not_given)
{
    SPX_UNUSED;
    assert_int_equal(run_line("probe"), 0);
    assert_false(seen.v.flag);
    assert_int_equal(seen.v.number, 7);
    assert_int_equal(seen.v.bytes, 4096);
    assert_string_equal(seen.text, "NULL");
    assert_int_equal(seen.v.list.n, 0);
    assert_int_equal(seen.v.shape.n, 3);
    assert_int_equal(seen.v.choice, 1);
    assert_int_equal(seen.threads, 0);
    assert_int_equal(seen.seed, 1);
    assert_false(seen.given_number);
}

SPX_TEST(defaults_are_what_a_command_without_options_resolves_to)
{
    json_t *defaults;
    SPX_UNUSED;
    assert_int_equal(run_line("probe"), 0);
    assert_true(json_object_size(seen.defaults) > 10);
    assert_true(json_equal(seen.defaults, seen.resolved));
    defaults = json_incref(seen.defaults);
    assert_int_equal(run_line("probe -f -n 5 --list 0,5 --text x --choice blue --device cpu"), 0);
    assert_true(json_equal(seen.defaults, defaults));
    assert_false(json_equal(seen.defaults, seen.resolved));
    json_decref(defaults);
}

SPX_TEST(every_type_and_every_way_of_writing_it_is_read)
{
    SPX_UNUSED;
    assert_int_equal(run_line("probe -f -n 5 --real=-2.5e-3 --time 2h --size 3M -oX.h5 file "
                              "--list 0,5 --shape=1x28x28 --choice blue --bounded 3 --seed "
                              "9223372036854775807 --threads 2 --json"),
                     0);
    assert_true(seen.v.flag);
    assert_int_equal(seen.v.number, 5);
    assert_true(seen.given_number);
    assert_true(seen.v.real == -2.5e-3);
    assert_true(seen.v.seconds == 7200);
    assert_int_equal(seen.v.bytes, 3 << 20);
    assert_string_equal(seen.text, "X.h5");
    assert_string_equal(seen.operand, "file");
    assert_int_equal(seen.v.list.n, 2);
    assert_int_equal(seen.last_of_list, 5);
    assert_int_equal(seen.columns, 28);
    assert_int_equal(seen.v.choice, 2);
    assert_int_equal(seen.seed, INT64_MAX);
    assert_int_equal(seen.threads, 2);
    assert_true(seen.json);
}

SPX_TEST(an_option_is_taken_by_its_old_name_too)
{
    SPX_UNUSED;
    assert_int_equal(run_line("probe --limited 3"), 0);
    assert_int_equal(seen.v.bounded, 3);
    assert_int_equal(run_line("probe --limited 4"), 2);
    assert_int_equal(run_line("probe --bounded 1 --limited 3"), 0); /* the last counts */
    assert_int_equal(seen.v.bounded, 3);
}

SPX_TEST(lists_are_as_long_as_what_is_given)
{
    SPX_UNUSED;
    enum { N = 20000 };
    char *line = malloc(16 + 4 * N), *at = line + sprintf(line, "--list=");
    char verb[] = "probe", *argv[] = {program, verb, line};
    assert_non_null(line);
    for (int i = 0; i < N; i++) {
        at += sprintf(at, "%s%d", i > 0 ? "," : "", i % 97);
    }
    assert_int_equal(spx_cli_main(3, argv, commands), 0);
    assert_int_equal(seen.v.list.n, N);
    assert_int_equal(seen.last_of_list, (N - 1) % 97);
    free(line);
}

SPX_TEST(a_list_may_be_spaced_or_come_from_a_file)
{
    SPX_UNUSED;
    static const struct {
        const char *text;
        size_t n; /* 0: refused */
    } cases[] = {{"--list=0, 5,\t7", 3}, {"--list=0\n5\n7\n", 3}, {"--list=0,5\r\n7\r\n", 3},
                 {"--list=0 5", 0},      {"--list= 0", 0},        {"--list=0, ", 0},
                 {"--list=0,\n", 0},     {"--list=\n", 0},        {"--shape=1x 2x3", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char verb[] = "probe", text[40], *argv[] = {program, verb, text};
        int code;
        (void)snprintf(text, sizeof text, "%s", cases[i].text);
        free(seen.ini);
        json_decref(seen.resolved);
        json_decref(seen.defaults);
        memset(&seen, 0, sizeof seen);
        code = spx_cli_main(3, argv, commands);
        if (code != (cases[i].n > 0 ? 0 : SPX_EXIT_USAGE) || seen.v.list.n != cases[i].n) {
            fail_msg("case %zu: exit code %d, %zu numbers", i, code, seen.v.list.n);
        }
    }
}

SPX_TEST(the_last_of_repeated_options_counts_and_no_undoes_a_flag)
{
    SPX_UNUSED;
    assert_int_equal(run_line("probe --number 1 --flag --number 2 --no-flag"), 0);
    assert_int_equal(seen.v.number, 2);
    assert_false(seen.v.flag);
}

SPX_TEST(times_are_read_as_schedulers_write_them)
{
    SPX_UNUSED;
    static const struct {
        const char *text;
        double seconds;
    } cases[] = {{"90", 90},       {"1.5h", 5400},        {"90m", 5400},
                 {"2d", 172800},   {"01:30:00", 5400},    {"100:00:01", 360001},
                 {"90:00", 5400},  {"1-00:00:00", 86400}, {"2-03:04:05", 183845},
                 {"1-12", 129600}, {"0-00:30", 1800}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "probe --time %s", cases[i].text);
        assert_int_equal(run_line(line), 0);
        assert_true(seen.v.seconds == cases[i].seconds);
    }
}

SPX_TEST(two_dashes_end_the_options)
{
    SPX_UNUSED;
    assert_int_equal(run_line("probe -- --flag"), 0);
    assert_string_equal(seen.operand, "--flag");
    assert_false(seen.v.flag);
}

SPX_TEST(bad_usage_exits_2_and_runs_nothing)
{
    SPX_UNUSED;
    static const char *const lines[] = {
        "",
        "nothing",
        "group",
        "group nothing",
        "probe --nothing",
        "probe --flagg",
        "probe --num 3", /* no abbreviations */
        "probe -z",
        "probe a b",
        "stop operand",
        "probe --number",
        "probe --number x",
        "probe --number 1x",
        "probe --number 1.5",
        "probe --number +1",
        "probe --number=",
        "probe --number 9223372036854775808",
        "probe --bounded 0",
        "probe --bounded 4",
        "probe --seed -1",
        "probe --threads 257",
        "probe --device gpu",
        "probe --device cuda:",
        "probe --device cuda:-1",
        "probe --device cuda:1024",
        "probe --device cudax",
        "probe --precision f16",
        "probe --real nan",
        "probe --real inf",
        "probe --real 1e999",
        "probe --real 1x",
        "probe --time -1",
        "probe --time 1w",
        "probe --time 1hh",
        "probe --time 1:60",
        "probe --time 1:2:3:4",
        "probe --time 1-",
        "probe --time 1-2-3",
        "probe --time :5",
        "probe --time 1:5s",
        "probe --time 1:+5",
        "probe --size 1.5",
        "probe --size -1K",
        "probe --size 99999999999999999999",
        "probe --list 1,",
        "probe --list ,1",
        "probe --list 1,,2",
        "probe --list 1x2",
        "probe --list 1,101",
        "probe --shape 3,32,32",
        "probe --choice re",
        "probe --choice redd",
        "probe --flag=maybe",
        "probe --no-number",
        "probe --no-flag=true",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (run_line(lines[i]) != SPX_EXIT_USAGE || seen.runs != 0) {
            fail_msg("accepted: sphynx %s", lines[i]);
        }
    }
}

SPX_TEST(exit_codes_tell_failure_from_requeue)
{
    SPX_UNUSED;
    assert_int_equal(run_line("fail"), SPX_EXIT_FAILED);
    assert_int_equal(run_line("stop"), SPX_EXIT_REQUEUE);
    assert_int_equal(run_line("group stop"), SPX_EXIT_REQUEUE);
    assert_int_equal(run_line("group probe --number 4"), SPX_EXIT_DONE);
    assert_int_equal(seen.v.number, 4);
}

SPX_TEST(help_is_data_and_runs_nothing)
{
    SPX_UNUSED;
    static const char *const lines[] = {"--help",
                                        "help",
                                        "-h",
                                        "probe --help",
                                        "help probe",
                                        "group --help",
                                        "help group",
                                        "help group probe",
                                        "probe -h --number 1"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_int_equal(run_line(lines[i]), 0);
        assert_int_equal(seen.runs, 0);
    }
}

static int run_with_config(const char *text, const char *arguments)
{
    char line[512];
    const char *path = spx_scratch_path(&temp, "c.ini");
    spx_scratch_write_text(path, text);
    (void)snprintf(line, sizeof line, "probe --config %s %s", path, arguments);
    return run_line(line);
}

SPX_TEST(the_command_line_wins_over_the_file_and_the_file_over_defaults)
{
    SPX_UNUSED;
    assert_int_equal(
        run_with_config("# comment\nnumber = 3\n  flag = yes\n\n[probe]\n\ttext = a b\n"
                        "seed = 9\r\n[stop]\nnumber = 1000\n",
                        "--seed 4"),
        0);
    assert_int_equal(seen.v.number, 3);
    assert_true(seen.v.flag); /* indented: no continuation of the line above */
    assert_string_equal(seen.text, "a b");
    assert_int_equal(seen.seed, 4);
    assert_true(seen.given_number);
}

SPX_TEST(a_bad_configuration_names_file_and_line)
{
    SPX_UNUSED;
    static const struct {
        const char *text, *where;
    } cases[] = {
        {"number = 1\nnothing = 2\n", "c.ini:2: "},
        {"\n\nnumber = x\n", "c.ini:3: "},
        {"number = 1\n[nothing]\nnumber = 2\n", "c.ini:2: "},
        {"[group]\nnumber = 2\n", "c.ini:1: "}, /* cannot be run: whose keys would these be? */
        {"[group stop]\nx = 1\n[group nothing]\nx = 2\n", "c.ini:3: "},
        {"[probe nothing]\nnumber = 2\n", "c.ini:1: "},
        {"number\n", "c.ini:1: "},
        {"[probe\nnumber = 1\n", "c.ini:1: "},
        {"config = other.ini\n", "c.ini:1: "},
        {"bounded = 2\nbounded = 4\n", "c.ini:2: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(run_with_config(cases[i].text, ""), SPX_EXIT_USAGE);
        assert_int_equal(seen.runs, 0);
        if (strstr(spx_error_message(), cases[i].where) == NULL) {
            fail_msg("'%s' does not name '%s'", spx_error_message(), cases[i].where);
        }
    }
}

SPX_TEST(a_binary_file_is_no_configuration)
{
    SPX_UNUSED;
    assert_int_equal(run_line("probe --config /nonexistent"), SPX_EXIT_FAILED);
    assert_int_equal(run_line("probe --config /proc/self/exe"), SPX_EXIT_FAILED);
    assert_int_equal(seen.runs, 0);
}

/* The comments, blanks and quotes of an INI file. */
SPX_TEST(lines_are_read_as_they_are_meant)
{
    SPX_UNUSED;
    static const struct {
        const char *text, *value;
    } cases[] = {
        {"text = a b ; comment\n", "a b"},
        {"text: a;b\n", "a;b"}, /* no blank before it */
        {"text=#5\n", "#5"},
        {"\xEF\xBB\xBFtext = a\r\n", "a"},
        {"text = \"a ;b\" ; comment\n", "a ;b"},
        {"text = \" \\\"\\n\\u00e4 \"", " \"\n\xc3\xa4 "},
        {"text = a=b:c\n", "a=b:c"},
    };
    static const char *const bad[] = {"text = \"a", "text = \"a\" b", "text = \"\\x\""};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(run_with_config(cases[i].text, ""), 0);
        assert_string_equal(seen.text, cases[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(run_with_config(bad[i], ""), SPX_EXIT_USAGE);
        assert_non_null(strstr(spx_error_message(), "c.ini:1: "));
    }
}

SPX_TEST(the_resolved_configuration_reads_back_to_the_same)
{
    SPX_UNUSED;
    char ini[2048];
    json_t *first;
    assert_int_equal(run_line("probe --flag --real 0.3 --list 1,2 --shape 1x2x3 --text a#b "
                              "--choice blue --time 90 --size 1G --seed 5"),
                     0);
    (void)snprintf(ini, sizeof ini, "%s", seen.ini);
    first = json_incref(seen.resolved);
    assert_null(json_object_get(first, "json"));
    assert_null(json_object_get(first, "config"));
    assert_string_equal(json_string_value(json_object_get(first, "choice")), "blue");
    assert_int_equal(run_with_config(ini, ""), 0);
    assert_true(json_equal(first, seen.resolved));
    assert_string_equal(ini, seen.ini);
    json_decref(first);
}

SPX_TEST(every_text_is_kept_in_the_configuration)
{
    SPX_UNUSED;
    static const char *const texts[] = {"a;b",     "a ;b",    "#a",        "\"a\"",
                                        " a ",     "a\nb",    "\t[probe]", "\xc3\xa4 = \\",
                                        "a \"b\"", "a = b:c", ""};
    char ini[4096], longest[1500];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    for (size_t i = 0; i <= sizeof texts / sizeof texts[0]; i++) {
        const char *text = i < sizeof texts / sizeof texts[0] ? texts[i] : longest;
        json_t *first;
        assert_int_equal(run_text(text), 0);
        (void)snprintf(ini, sizeof ini, "%s", seen.ini);
        first = json_incref(seen.resolved);
        assert_string_equal(json_string_value(json_object_get(first, "text")), text);
        assert_int_equal(run_with_config(ini, ""), 0);
        assert_true(json_equal(first, seen.resolved));
        json_decref(first);
    }
    assert_int_equal(run_text("\xff"), SPX_EXIT_FAILED); /* not UTF-8 */
}

SPX_TEST(files_are_recorded_from_the_root)
{
    SPX_UNUSED;
    char here[1024], want[1100];
    assert_non_null(getcwd(here, sizeof here));
    (void)snprintf(want, sizeof want, "%s/a/b.h5", here);
    assert_int_equal(run_line("probe --file a/b.h5"), 0);
    assert_string_equal(json_string_value(json_object_get(seen.resolved, "file")), want);
    assert_non_null(strstr(seen.ini, want));
    assert_int_equal(run_line("probe --file /a/b.h5"), 0);
    assert_string_equal(json_string_value(json_object_get(seen.resolved, "file")), "/a/b.h5");
    assert_int_equal(run_line("probe --file -"), 0);
    assert_string_equal(json_string_value(json_object_get(seen.resolved, "file")), "-");
    assert_int_equal(run_line("probe"), 0); /* a default is a name */
    assert_string_equal(json_string_value(json_object_get(seen.resolved, "file")), "none");
}

SPX_TEST(a_device_is_read_and_written_back)
{
    static const char *const texts[] = {"auto", "cpu", "cuda", "cuda:7"};
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "probe --device %s --precision bf16", texts[i]);
        assert_int_equal(run_line(line), 0);
        assert_string_equal(json_string_value(json_object_get(seen.resolved, "device")), texts[i]);
        assert_string_equal(json_string_value(json_object_get(seen.resolved, "precision")), "bf16");
        assert_false(json_is_true(json_object_get(seen.resolved, "deterministic")));
    }
}

SPX_TEST(stream_options_follow_the_command_line_and_refuse_absent_devices)
{
    SPX_UNUSED;
    assert_int_equal(run_line("stream --device cpu --threads 2 --precision f32"), 0);
    assert_int_equal(seen.stream.device, SPX_DEVICE_CPU);
    assert_int_equal(seen.stream.threads, 2);
    assert_int_equal(seen.stream.precision, SPX_PRECISION_F32);
    assert_int_equal(run_line("stream --device cpu --precision bf16"), 2);
    assert_int_equal(run_line("stream --device cpu:1"), 1);
    assert_int_equal(run_line("stream --device cuda:1000"), 1);
    if (spx_device_count(SPX_DEVICE_CUDA) > 0) {
        assert_int_equal(run_line("stream --device cuda --deterministic --precision bf16"), 0);
        assert_int_equal(seen.stream.device, SPX_DEVICE_CUDA);
        assert_int_equal(seen.stream.precision, SPX_PRECISION_BF16);
        assert_true(seen.stream.deterministic);
    } else {
        assert_int_equal(run_line("stream --device cuda"), 1);
        assert_int_equal(run_line("stream"), 0);
        assert_int_equal(seen.stream.device, SPX_DEVICE_CPU);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(defaults_fill_what_is_not_given),
        TEST(defaults_are_what_a_command_without_options_resolves_to),
        TEST(every_type_and_every_way_of_writing_it_is_read),
        TEST(an_option_is_taken_by_its_old_name_too),
        TEST(lists_are_as_long_as_what_is_given),
        TEST(a_list_may_be_spaced_or_come_from_a_file),
        TEST(the_last_of_repeated_options_counts_and_no_undoes_a_flag),
        TEST(times_are_read_as_schedulers_write_them),
        TEST(two_dashes_end_the_options),
        TEST(bad_usage_exits_2_and_runs_nothing),
        TEST(exit_codes_tell_failure_from_requeue),
        TEST(help_is_data_and_runs_nothing),
        TEST(the_command_line_wins_over_the_file_and_the_file_over_defaults),
        TEST(a_bad_configuration_names_file_and_line),
        TEST(a_binary_file_is_no_configuration),
        TEST(lines_are_read_as_they_are_meant),
        TEST(every_text_is_kept_in_the_configuration),
        TEST(files_are_recorded_from_the_root),
        TEST(the_resolved_configuration_reads_back_to_the_same),
        TEST(a_device_is_read_and_written_back),
        TEST(stream_options_follow_the_command_line_and_refuse_absent_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
