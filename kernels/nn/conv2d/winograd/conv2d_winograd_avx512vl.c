/* Winograd kernels for AVX-512VL: 32 registers, so kb * tb sums + tb inputs + 1 weight <= 32. */
#define WINO_ISA spx_wino_avx512vl
#define WINO_MAX_KB 6
#define WINO_MAX_TB 4
#define WINO_PAIRS(X)                                                                              \
    X(1, 1)                                                                                        \
    X(1, 2)                                                                                        \
    X(1, 3)                                                                                        \
    X(1, 4)                                                                                        \
    X(2, 1)                                                                                        \
    X(2, 2)                                                                                        \
    X(2, 3)                                                                                        \
    X(2, 4)                                                                                        \
    X(3, 1)                                                                                        \
    X(3, 2) X(3, 3) X(3, 4) X(4, 1) X(4, 2) X(4, 3) X(4, 4) X(5, 1) X(5, 2) X(5, 3) X(5, 4)        \
        X(6, 1) X(6, 2) X(6, 3) X(6, 4)
#define WINO_MAX_ROWS                                                                              \
    {                                                                                              \
        0, 12, 12, 8, 6                                                                            \
    }
#define WINO_DOTS(X)                                                                               \
    X(1, 1)                                                                                        \
    X(2, 1)                                                                                        \
    X(3, 1)                                                                                        \
    X(4, 1)                                                                                        \
    X(5, 1)                                                                                        \
    X(6, 1)                                                                                        \
    X(7, 1)                                                                                        \
    X(8, 1) X(9, 1) X(10, 1) X(11, 1) X(12, 1) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2)     \
        X(7, 2) X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2) X(1, 3) X(2, 3) X(3, 3) X(4, 3) X(5, 3) \
            X(6, 3) X(7, 3) X(8, 3) X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 4) X(6, 4)
#include "kernels/nn/conv2d/winograd/conv2d_winograd_kernels_private.h"
