#ifndef SPX_NN_SOFTMAX_H
#define SPX_NN_SOFTMAX_H
/* Row-wise softmax of small matrices (architecture parameters): (rows, cols), dense, f32, memory of
 * the stream's device. */
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#include <stdbool.h>
#include <stdint.h>

/** y = softmax of each row of x.
 * @return SPX_OK, SPX_EINVAL, SPX_EUNSUPPORTED (CUDA: 2^31 rows), SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_softmax_forward(spx_stream *s, int64_t rows, int64_t cols,
                                              const float *x, float *y);

/** dx = (accumulate ? dx : 0) + y * (dy - sum over the row of y*dy); y is the forward result.
 * @return as spx_softmax_forward */
SPX_MUST_CHECK spx_status spx_softmax_backward(spx_stream *s, int64_t rows, int64_t cols,
                                               const float *y, const float *dy, bool accumulate,
                                               float *dx);

#endif
