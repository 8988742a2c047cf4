#include "kernels/base/log.h"
#include "tests/support/spx_test.h"

static char line[2048];

/* Runs spec and one line of each level of each part; what was written is in `line`. */
static void written_with(const char *spec, const char *text)
{
    FILE *f = tmpfile();
    size_t n;
    assert_non_null(f);
    CHECK_OK(spx_log_setup(spec, f));
    SPX_LOG(GRAPH, INFO, "%s", text);
    SPX_LOG(GRAPH, DEBUG, "%s", text);
    SPX_LOG(PI, INFO, "%s", text);
    SPX_LOG(PI, DEBUG, "%s", text);
    CHECK_OK(spx_log_setup(NULL, NULL));
    rewind(f);
    n = fread(line, 1, sizeof line - 1, f);
    line[n] = '\0';
    (void)fclose(f);
}

SPX_TEST(only_what_is_asked_for_is_written)
{
    SPX_UNUSED;
    written_with(NULL, "x");
    assert_string_equal(line, "");
    written_with("", "x");
    assert_string_equal(line, "");
    written_with("graph:debug,pi:info", "x");
    assert_string_equal(line, "graph info: x\ngraph debug: x\npi info: x\n");
    written_with("graph:debug,graph:off", "x");
    assert_string_equal(line, "");
}

SPX_TEST(what_is_off_evaluates_no_argument)
{
    SPX_UNUSED;
    int evaluated = 0;
    CHECK_OK(spx_log_setup("graph:info", stderr));
    SPX_LOG(GRAPH, DEBUG, "%d", ++evaluated);
    assert_int_equal(evaluated, 0);
    CHECK_OK(spx_log_setup(NULL, NULL));
}

SPX_TEST(lines_of_json_are_escaped_whole_and_cut)
{
    SPX_UNUSED;
    static char text[4000];
    written_with("json,pi:info", "a \"b\"\\\n");
    assert_non_null(strstr(line, "\"part\": \"pi\", \"level\": \"info\", \"seconds\": "));
    assert_non_null(strstr(line, "\"text\": \"a \\\"b\\\"\\\\\\u000a\"}\n"));
    memset(text, '"', sizeof text - 1);
    written_with("json,pi:info", text);
    assert_int_equal(line[strlen(line) - 2], '}');
    written_with("pi:info", text);
    assert_int_equal(strlen(line), strlen("pi info: ") + 511 + 1);
}

SPX_TEST(a_word_that_is_none_is_refused_and_turns_nothing_on)
{
    SPX_UNUSED;
    static const char *const bad[] = {
        "graph", "graph:",       "graph:loud",          "all:info",
        ":info", "graph:info,,", "graph:debug pi:info", "pi:info,jsonl"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(spx_log_setup(bad[i], stderr), SPX_EINVAL);
        assert_non_null(strstr(spx_error_message(), "SPHYNX_LOG"));
        assert_int_equal(spx_log_levels[SPX_LOG_GRAPH], SPX_LOG_OFF);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(only_what_is_asked_for_is_written),
        SPX_UNIT(what_is_off_evaluates_no_argument),
        SPX_UNIT(lines_of_json_are_escaped_whole_and_cut),
        SPX_UNIT(a_word_that_is_none_is_refused_and_turns_nothing_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
