#ifndef SPX_NN_SOFTMAX_PRIVATE_H
#define SPX_NN_SOFTMAX_PRIVATE_H
#include "kernels/nn/softmax/softmax.h"

#include <stddef.h>

/* What a device gives; the arguments are checked already. */
typedef struct spx_softmax_backend {
    spx_status (*forward)(spx_stream *s, int64_t rows, int64_t cols, const float *x, float *y);
    spx_status (*backward)(spx_stream *s, int64_t rows, int64_t cols, const float *y,
                           const float *dy, bool accumulate, float *dx);
} spx_softmax_backend;
extern const spx_softmax_backend spx_softmax_cuda;

/* The matrices are a few rows of architecture parameters: on the CPU the specification
 * is the implementation. */
void spx_softmax_forward_ref(size_t rows, size_t cols, const float *x, float *y);
void spx_softmax_backward_ref(size_t rows, size_t cols, const float *y, const float *dy,
                              bool accumulate, float *dx);

#endif
