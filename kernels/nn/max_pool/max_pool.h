#ifndef SPX_NN_MAX_POOL_H
#define SPX_NN_MAX_POOL_H
/*
 * Max pooling as torch.nn.MaxPool2d has it, without dilation. Padding is minus infinity. Of equal
 * values the first in row-major order is the maximum. A NaN is larger than any number, and of
 * several the last is taken.
 */
#include "kernels/nn/operand.h"

typedef struct spx_max_pool_shape {
    int64_t n, c, h, w; /* input, each >= 1 */
    int64_t size[2];    /* window, rows and columns, 1..1024 */
    int64_t stride[2];  /* >= 1 */
    int64_t pad[2];     /* 0..size/2 */
    bool ceil_mode;     /* a last window that the input does not fill counts, too, where it begins
                           inside the input or in the padding before it */
    int64_t p, q;       /* output rows, columns: spx_max_pool_shape_init sets them */
} spx_max_pool_shape;

/** Sets p, q; SPX_EINVAL with the offending number, or if the output would be empty. */
SPX_MUST_CHECK spx_status spx_max_pool_shape_init(spx_max_pool_shape *d);

/**
 * y = the largest element of each window.
 * @param x (n, c, h, w)
 * @param y (n, c, p, q), overwritten; must not overlap x
 * @return SPX_OK, SPX_EINVAL (a shape that is not initialised, an operand), SPX_EUNSUPPORTED (too
 * many channels), SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_max_pool_forward(spx_stream *s, const spx_max_pool_shape *d,
                                               spx_operand x, spx_operand y);

/**
 * dx = (accumulate ? dx : 0) + each dy at the place of its window's maximum; windows are added in
 * row-major order, on every device. dx must overlap neither x nor dy.
 * @param x what the forward pass read: the places are found again
 * @return as spx_max_pool_forward
 */
SPX_MUST_CHECK spx_status spx_max_pool_backward(spx_stream *s, const spx_max_pool_shape *d,
                                                spx_operand x, spx_operand dy, bool accumulate,
                                                spx_operand dx);

#endif
