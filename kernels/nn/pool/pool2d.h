#ifndef SPX_NN_POOL2D_H
#define SPX_NN_POOL2D_H
/*
 * Average pooling, f32, NCHW, images `stride_n` floats apart. Padding is not counted in the mean.
 * A global average pool is the case size = h = w, pad = 0.
 */
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct spx_pool2d_shape {
    int64_t n, c, h, w; /* input, each >= 1 */
    int64_t size;       /* window rows and columns, 1..1024 */
    int64_t stride;     /* >= 1 */
    int64_t pad;        /* 0..size/2 */
    int64_t p, q;       /* output rows, columns: spx_pool2d_shape_init sets them */
} spx_pool2d_shape;

/** Sets p, q (floor); SPX_EINVAL with the offending number, or if the output would be empty. */
SPX_MUST_CHECK spx_status spx_pool2d_shape_init(spx_pool2d_shape *d);

/** y (n, c, p, q), overwritten. */
SPX_MUST_CHECK spx_status spx_avg_pool_forward(spx_stream *s, const spx_pool2d_shape *d,
                                               const float *x, int64_t x_stride_n, float *y,
                                               int64_t y_stride_n);

/** dx = (accumulate ? dx : 0) + the pool's transpose applied to dy. */
SPX_MUST_CHECK spx_status spx_avg_pool_backward(spx_stream *s, const spx_pool2d_shape *d,
                                                const float *dy, int64_t dy_stride_n,
                                                bool accumulate, float *dx, int64_t dx_stride_n);

#endif
