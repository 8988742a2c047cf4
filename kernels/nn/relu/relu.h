#ifndef SPX_NN_RELU_H
#define SPX_NN_RELU_H
/* y = max(0, x), f32, (n, chw), images `stride_n` floats apart. */
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#include <stdbool.h>
#include <stdint.h>

/** y may be x itself (same stride). */
SPX_MUST_CHECK spx_status spx_relu_forward(spx_stream *s, int64_t n, int64_t chw, const float *x,
                                           int64_t x_stride_n, float *y, int64_t y_stride_n);

/** dx = (accumulate ? dx : 0) + (y > 0 ? dy : 0); y may be the input or the output of the ReLU. */
SPX_MUST_CHECK spx_status spx_relu_backward(spx_stream *s, int64_t n, int64_t chw, const float *y,
                                            int64_t y_stride_n, const float *dy,
                                            int64_t dy_stride_n, bool accumulate, float *dx,
                                            int64_t dx_stride_n);

#endif
