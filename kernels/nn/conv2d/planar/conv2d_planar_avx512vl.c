/* Planar kernels for AVX-512VL: 32 registers, so kb * pb sums + pb inputs + 1 weight <= 32. */
/* A row per kb, which the formatter would run together. */
/* clang-format off */
#define PLANAR_ISA spx_planar_avx512vl
#define PLANAR_MAX_KB 5
#define PLANAR_MAX_PB {0, 8, 8, 7, 6, 5}
#define PLANAR_PAIRS(X)                                                                            \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8)                                \
    X(2, 1) X(2, 2) X(2, 3) X(2, 4) X(2, 5) X(2, 6) X(2, 7) X(2, 8)                                \
    X(3, 1) X(3, 2) X(3, 3) X(3, 4) X(3, 5) X(3, 6) X(3, 7)                                        \
    X(4, 1) X(4, 2) X(4, 3) X(4, 4) X(4, 5) X(4, 6)                                                \
    X(5, 1) X(5, 2) X(5, 3) X(5, 4) X(5, 5)
/* clang-format on */
#include "kernels/nn/conv2d/planar/conv2d_planar_kernels_private.h"
