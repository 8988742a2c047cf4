#ifndef SPX_NN_SOFTMAX_H
#define SPX_NN_SOFTMAX_H
/* Row-wise softmax of small matrices (architecture parameters): x (rows, cols), dense. */
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#include <stdbool.h>
#include <stdint.h>

SPX_MUST_CHECK spx_status spx_softmax_forward(spx_stream *s, int64_t rows, int64_t cols,
                                              const float *x, float *y);

/** dx = (accumulate ? dx : 0) + y * (dy - sum over the row of y*dy); y is the forward result. */
SPX_MUST_CHECK spx_status spx_softmax_backward(spx_stream *s, int64_t rows, int64_t cols,
                                               const float *y, const float *dy, bool accumulate,
                                               float *dx);

#endif
