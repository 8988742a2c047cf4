/* Winograd kernels for AVX2 and FMA: 16 registers, so kb * tb sums + tb inputs + 1 weight <= 16. */
#define WINO_ISA spx_wino_avx2
#define WINO_MAX_KB 4
#define WINO_MAX_TB 3
#define WINO_PAIRS(X)                                                                              \
    X(1, 1) X(1, 2) X(1, 3) X(2, 1) X(2, 2) X(2, 3) X(3, 1) X(3, 2) X(3, 3) X(4, 1) X(4, 2) X(4, 3)
#define WINO_MAX_ROWS                                                                              \
    {                                                                                              \
        0, 8, 6, 3, 2                                                                              \
    }
#define WINO_DOTS(X)                                                                               \
    X(1, 1)                                                                                        \
    X(2, 1)                                                                                        \
    X(3, 1)                                                                                        \
    X(4, 1)                                                                                        \
    X(5, 1)                                                                                        \
    X(6, 1)                                                                                        \
    X(7, 1)                                                                                        \
    X(8, 1) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(1, 3) X(2, 3) X(3, 3) X(1, 4) X(2, 4)
#include "kernels/nn/conv2d/winograd/conv2d_winograd_kernels_private.h"
