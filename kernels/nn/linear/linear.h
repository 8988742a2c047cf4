#ifndef SPX_NN_LINEAR_H
#define SPX_NN_LINEAR_H
/* Fully connected layer, f32, dense, row-major: y (n, o) = x (n, f) * w^T + b, w (o, f), b (o). */
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#include <stdbool.h>
#include <stdint.h>

/** b may be NULL. n, f, o >= 1. */
SPX_MUST_CHECK spx_status spx_linear_forward(spx_stream *s, int64_t n, int64_t f, int64_t o,
                                             const float *x, const float *w, const float *b,
                                             float *y);

/** dx (n, f) = (accumulate ? dx : 0) + dy * w. */
SPX_MUST_CHECK spx_status spx_linear_backward_data(spx_stream *s, int64_t n, int64_t f, int64_t o,
                                                   const float *dy, const float *w, bool accumulate,
                                                   float *dx);

/** dw (o, f) = (accumulate ? dw : 0) + dy^T * x; db (o), if not NULL, likewise the column sums. */
SPX_MUST_CHECK spx_status spx_linear_backward_weights(spx_stream *s, int64_t n, int64_t f,
                                                      int64_t o, const float *x, const float *dy,
                                                      bool accumulate, float *dw, float *db);

#endif
