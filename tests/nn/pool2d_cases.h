#ifndef SPX_POOL2D_CASES_H
#define SPX_POOL2D_CASES_H
#include "kernels/nn/pool/pool2d.h"
#include "tests/support/spx_fixture.h"

/* n, c, h, w, size, stride, pad; gap: floats between images */
typedef struct pool_case {
    spx_pool2d_shape d;
    size_t gap;
} pool_case;

static const pool_case pool_cases[] = {
    {{2, 3, 32, 32, 3, 1, 1, 0, 0}, 0},         {{2, 3, 32, 32, 3, 2, 1, 0, 0}, 5},
    {{1, 2, 7, 9, 3, 1, 1, 0, 0}, 0},           {{3, 1, 9, 7, 3, 2, 1, 0, 0}, 1},
    {{1, 2, 1, 1, 3, 1, 1, 0, 0}, 0},           {{1, 1, 2, 1, 3, 2, 1, 0, 0}, 0},
    {{1, 1, 1, 2, 3, 1, 1, 0, 0}, 0},           {{2, 1, 2, 3, 3, 2, 1, 0, 0}, 3},
    {{2, 2, 8, 8, 5, 3, 0, 0, 0}, 0},           {{1, 3, 14, 14, 5, 2, 0, 0, 0}, 2},
    {{3, 4, 8, 8, 8, 1, 0, 0, 0}, 0},           {{2, 5, 7, 7, 7, 1, 0, 0, 0}, 0},
    {{1, 2, 9, 9, 2, 4, 1, 0, 0}, 0},           {{1, 1, 6, 5, 4, 1, 2, 0, 0}, 0},
    {{1, 1, 3, 4000, 3, 1, 1, 0, 0}, 0},        {{1, 1, 2, 5000, 2, 2, 0, 0, 0}, 0},
    {{1, 1, 1030, 4, 1024, 300, 512, 0, 0}, 0}, {{1, 2, 2, 2100, 2, 1, 1, 0, 0}, 0},
    {{1, 1, 5, 5, 1, 1, 0, 0, 0}, 0},           {{1, 1, 4, 4, 3, 3, 1, 0, 0}, 0},
};
#define POOL_CASES (sizeof pool_cases / sizeof pool_cases[0])

/*
 * A window's rows are summed one after the other and then its columns, all in single precision:
 * with operands of similar size, rounding errors of random sign stay below 4*sqrt(2*size) u of the
 * mean (Higham and Mary 2019); six more roundings for the factors.
 */
static inline double pool_tolerance(const spx_pool2d_shape *d)
{
    return (4 * sqrt(2.0 * (double)d->size) + 6) * SPX_U;
}

#endif
