#ifndef SPX_NN_POOL2D_H
#define SPX_NN_POOL2D_H
/*
 * Average pooling. Padding is not counted in the mean. A global average pool is the case
 * size = h = w, pad = 0.
 */
#include "kernels/nn/operand.h"

typedef struct spx_pool2d_shape {
    int64_t n, c, h, w; /* input, each >= 1 */
    int64_t size;       /* window rows and columns, 1..1024 */
    int64_t stride;     /* >= 1 */
    int64_t pad;        /* 0..size/2 */
    int64_t p, q;       /* output rows, columns: spx_pool2d_shape_init sets them */
} spx_pool2d_shape;

/** Sets p, q (floor); SPX_EINVAL with the offending number, or if the output would be empty. */
SPX_MUST_CHECK spx_status spx_pool2d_shape_init(spx_pool2d_shape *d);

/**
 * y = the mean of each window.
 * @param x (n, c, h, w)
 * @param y (n, c, p, q), overwritten; must not overlap x
 * @return SPX_OK, SPX_EINVAL (a shape that is not initialised, an operand), SPX_EUNSUPPORTED (too
 * many channels), SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_avg_pool_forward(spx_stream *s, const spx_pool2d_shape *d,
                                               spx_operand x, spx_operand y);

/** dx = (accumulate ? dx : 0) + the pool's transpose applied to dy, which it must not overlap. No
 * atomics: a gather.
 * @return as spx_avg_pool_forward */
SPX_MUST_CHECK spx_status spx_avg_pool_backward(spx_stream *s, const spx_pool2d_shape *d,
                                                spx_operand dy, bool accumulate, spx_operand dx);

#endif
