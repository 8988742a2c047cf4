#ifndef SPX_TEST_H
#define SPX_TEST_H
/* cmocka with the project's habits: SPX_TEST(name) {...}; spx_run(name, ...); CHECK_CLOSE(...). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if defined(SPX_WITHOUT_CMOCKA)
#include "tests/support/spx_cmocka.h"
#else
#include <cmocka.h>
#endif

#include "kernels/base/status.h"

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SPX_SANITIZED true
#else
#define SPX_SANITIZED false
#endif

#define SPX_TEST(name) static void name(void **spx_unused_state)
#define SPX_UNIT(name) cmocka_unit_test(name)
#define SPX_UNUSED (void)spx_unused_state

/* Whether tables of cases are to be gone through whole. Under a sanitizer, which looks at how
 * memory is used and not at numbers, one shape a code path will do, unless SPX_TEST_FULL is set. */
static inline bool spx_test_whole_tables(void)
{
    return !SPX_SANITIZED || getenv("SPX_TEST_FULL") != NULL;
}

/* Fails with the engine's message unless expr is SPX_OK. */
#define CHECK_OK(expr)                                                                             \
    do {                                                                                           \
        spx_status check_st_ = (expr);                                                             \
        if (check_st_ != SPX_OK) {                                                                 \
            fail_msg("%s: %s (%s; %s)", #expr, spx_status_text(check_st_), spx_error_message(),    \
                     spx_error_origin());                                                          \
        }                                                                                          \
    } while (0)

/* Fails unless expr returns status st with a non-empty message. */
#define CHECK_FAILS(st, expr)                                                                      \
    do {                                                                                           \
        spx_status check_st_ = (expr);                                                             \
        if (check_st_ != (st) || spx_error_message()[0] == '\0') {                                 \
            fail_msg("%s: %s, expected %s", #expr, spx_status_text(check_st_),                     \
                     spx_status_text(st));                                                         \
        }                                                                                          \
    } while (0)

/* ||a - b|| / ||b|| in double; NaN anywhere gives infinity; 0 where both are zero. */
static inline double spx_relative_error(const float *a, const float *b, size_t n)
{
    double diff = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (double)b[i];
        diff += d * d;
        norm += (double)b[i] * (double)b[i];
    }
    if (!(diff <= 1e300) || !(norm <= 1e300)) {
        return INFINITY;
    }
    return norm > 0 ? sqrt(diff / norm) : sqrt(diff);
}

/* Relative L2 distance at most tol, 0 for equal; prints the first element that differs most. */
#define CHECK_CLOSE(a, b, n, tol)                                                                  \
    do {                                                                                           \
        const double check_err_ = spx_relative_error((a), (b), (n));                               \
        if (!(check_err_ <= (tol))) {                                                              \
            size_t worst_ = 0;                                                                     \
            for (size_t i_ = 0; i_ < (size_t)(n); i_++) {                                          \
                if (!(fabs((double)(a)[i_] - (double)(b)[i_]) <=                                   \
                      fabs((double)(a)[worst_] - (double)(b)[worst_]))) {                          \
                    worst_ = i_;                                                                   \
                }                                                                                  \
            }                                                                                      \
            fail_msg("%s vs %s: relative error %.3g > %.3g; worst at %zu: %.9g, expected %.9g",    \
                     #a, #b, check_err_, (double)(tol), worst_, (double)(a)[worst_],               \
                     (double)(b)[worst_]);                                                         \
        }                                                                                          \
    } while (0)

#endif
