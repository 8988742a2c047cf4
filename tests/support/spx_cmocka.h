#ifndef SPX_CMOCKA_H
#define SPX_CMOCKA_H
/* The part of cmocka's interface that the engine's tests use, where cmocka is not installed. One
 * test after another in one process; a failure ends its test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*test)(void **state);
    int (*setup)(void **state);
    int (*teardown)(void **state);
};
#define cmocka_unit_test(f)                                                                        \
    {                                                                                              \
        .name = #f, .test = (f), .setup = NULL, .teardown = NULL                                   \
    }
#define cmocka_unit_test_setup_teardown(f, before, after)                                          \
    {                                                                                              \
        .name = #f, .test = (f), .setup = (before), .teardown = (after)                            \
    }

static jmp_buf spx_cmocka_failed;

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4), noreturn))
#endif
static inline void
spx_cmocka_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)fprintf(stderr, "%s:%d: ", file, line);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    longjmp(spx_cmocka_failed, 1);
}

#define fail_msg(...) spx_cmocka_fail(__FILE__, __LINE__, __VA_ARGS__)
#define assert_true(c)                                                                             \
    do {                                                                                           \
        if (!(c)) {                                                                                \
            fail_msg("%s", #c);                                                                    \
        }                                                                                          \
    } while (0)
#define assert_false(c) assert_true(!(c))
#define assert_null(p) assert_true((p) == NULL)
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_ptr_equal(a, b) assert_true((const void *)(a) == (const void *)(b))
#define assert_int_equal(a, b)                                                                     \
    do {                                                                                           \
        const intmax_t spx_a_ = (intmax_t)(a), spx_b_ = (intmax_t)(b);                             \
        if (spx_a_ != spx_b_) {                                                                    \
            fail_msg("%s is %jd, expected %jd", #a, spx_a_, spx_b_);                               \
        }                                                                                          \
    } while (0)
static inline int spx_cmocka_in_range(uintmax_t v, uintmax_t least, uintmax_t most)
{
    return v >= least && v <= most;
}
#define assert_int_not_equal(a, b) assert_true((intmax_t)(a) != (intmax_t)(b))
#define assert_ptr_not_equal(a, b) assert_true((const void *)(a) != (const void *)(b))
#define assert_in_range(v, least, most)                                                            \
    assert_true(spx_cmocka_in_range((uintmax_t)(v), (uintmax_t)(least), (uintmax_t)(most)))
#define assert_string_equal(a, b) assert_true(strcmp((a), (b)) == 0)
#define assert_string_not_equal(a, b) assert_true(strcmp((a), (b)) != 0)
#define assert_memory_equal(a, b, n) assert_true(memcmp((a), (b), (n)) == 0)
#define assert_memory_not_equal(a, b, n) assert_true(memcmp((a), (b), (n)) != 0)

/* Number of tests that failed. */
static inline int spx_cmocka_run(const struct CMUnitTest *test, size_t n, int (*setup)(void **),
                                 int (*teardown)(void **))
{
    static void *group;
    static size_t i;
    static int failures;
    failures = 0;
    if (setup != NULL && setup(&group) != 0) {
        return (int)n;
    }
    for (i = 0; i < n; i++) {
        static void *state;
        state = group;
        if (setjmp(spx_cmocka_failed) != 0 ||
            (test[i].setup != NULL && test[i].setup(&state) != 0)) {
            (void)fprintf(stderr, "[  FAILED  ] %s\n", test[i].name);
            failures++;
            continue;
        }
        test[i].test(&state);
        if (test[i].teardown != NULL) {
            (void)test[i].teardown(&state);
        }
        (void)fprintf(stderr, "[       OK ] %s\n", test[i].name);
    }
    if (teardown != NULL) {
        (void)teardown(&group);
    }
    return failures;
}
#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    spx_cmocka_run((tests), sizeof(tests) / sizeof(tests)[0], (setup), (teardown))
#define cmocka_run_group_tests_name(name, tests, setup, teardown)                                  \
    cmocka_run_group_tests((tests), (setup), (teardown))

#endif
