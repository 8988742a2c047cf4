#ifndef SPX_NN_SOFTMAX_PRIVATE_H
#define SPX_NN_SOFTMAX_PRIVATE_H
#include "kernels/nn/softmax/softmax.h"

#include <stddef.h>

/* The matrices are a few rows of architecture parameters: the specification
 * is the implementation. */
void spx_softmax_forward_ref(size_t rows, size_t cols, const float *x, float *y);
void spx_softmax_backward_ref(size_t rows, size_t cols, const float *y, const float *dy,
                              bool accumulate, float *dx);

#endif
