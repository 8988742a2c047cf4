#ifndef SPX_LINEAR_CASES_H
#define SPX_LINEAR_CASES_H
#include "tests/support/spx_fixture.h"

static const size_t linear_cases[][3] = {
    /* n, f, o */
    {1, 1, 1},    {2, 3, 4},   {5, 80, 10}, {7, 33, 9},
    {3, 16, 130}, {1, 512, 7}, {130, 5, 3}, {66, 67, 100},
};
#define LINEAR_CASES (sizeof linear_cases / sizeof linear_cases[0])

/*
 * A sum of `terms` products in single precision: roundings of random sign stay below 4*sqrt(terms)
 * u of the sum's own spread, sqrt(terms) (Higham and Mary 2019), and two more for the product and
 * the end.
 */
static inline double linear_tolerance(size_t terms)
{
    return (4 * sqrt((double)terms) + 2) * SPX_U;
}

#endif
