/* Planar kernels for AVX2 and FMA: 16 registers, so kb * pb sums + pb inputs + 1 weight <= 16. */
/* A row per kb, which the formatter would run together. */
/* clang-format off */
#define PLANAR_ISA spx_planar_avx2
#define PLANAR_MAX_KB 4
#define PLANAR_MAX_PB {0, 6, 5, 3, 3}
#define PLANAR_PAIRS(X)                                                                            \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6)                                                \
    X(2, 1) X(2, 2) X(2, 3) X(2, 4) X(2, 5)                                                        \
    X(3, 1) X(3, 2) X(3, 3)                                                                        \
    X(4, 1) X(4, 2) X(4, 3)
/* clang-format on */
#include "kernels/nn/conv2d/planar/conv2d_planar_kernels_private.h"
