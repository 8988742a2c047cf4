#define _POSIX_C_SOURCE 200809L
#include "kernels/base/alloc.h"
#include "kernels/base/text.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

static spx_scratch scratch;

SPX_TEST(marks_and_line_ends_of_other_systems_are_dropped)
{
    SPX_UNUSED;
    static const struct {
        const char *bytes, *text;
    } cases[] = {{"", ""},
                 {"a\nb\n", "a\nb\n"},
                 {"\xef\xbb\xbf", ""},
                 {"\xef\xbb\xbf{}\r\n", "{}\n"},
                 {"a\r\n\r\nb", "a\n\nb"},
                 {"a\rb\r", "a\rb\r"},
                 {"\xef\xbb", "\xef\xbb"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = spx_scratch_path(&scratch, "a.txt");
        char *text;
        size_t size;
        assert_int_equal(spx_scratch_write(path, cases[i].bytes, strlen(cases[i].bytes)), 0);
        CHECK_OK(spx_text_read(path, 100, &text, &size));
        assert_string_equal(text, cases[i].text);
        assert_int_equal(size, strlen(cases[i].text));
        spx_free(text);
    }
}

SPX_TEST(what_is_no_utf8_text_is_refused_by_name)
{
    SPX_UNUSED;
    static const struct {
        const char *bytes;
        size_t n;
        const char *expect;
    } cases[] = {{"\xff\xfe{\0}\0", 6, "UTF-16"},
                 {"\xfe\xff\0{\0}", 6, "UTF-16"},
                 {"{\0}\0", 4, "not a text file"},
                 {"abc\0", 4, "not a text file"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = spx_scratch_path(&scratch, "a.txt");
        char *text;
        size_t size;
        assert_int_equal(spx_scratch_write(path, cases[i].bytes, cases[i].n), 0);
        CHECK_FAILS(SPX_EFORMAT, spx_text_read(path, 100, &text, &size));
        assert_null(text);
        assert_non_null(strstr(spx_error_message(), cases[i].expect));
        assert_non_null(strstr(spx_error_message(), path));
    }
}

SPX_TEST(numbers_are_printed_as_short_as_they_can_be)
{
    static const struct {
        double v;
        const char *text;
    } cases[] = {{0.1, "0.1"},
                 {0.025, "0.025"},
                 {-3e-4, "-0.0003"},
                 {1e-40, "1e-40"},
                 {1000, "1000"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {0.1234567890123456, "0.1234567890123456"},
                 {1.7976931348623157e308, "1.7976931348623157e+308"},
                 {0, "0"}};
    char out[SPX_REAL_CHARS];
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(spx_real_text(cases[i].v, out), cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(marks_and_line_ends_of_other_systems_are_dropped),
        SPX_UNIT(what_is_no_utf8_text_is_refused_by_name),
        SPX_UNIT(numbers_are_printed_as_short_as_they_can_be),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
