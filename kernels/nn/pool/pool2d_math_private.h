#ifndef SPX_NN_POOL2D_MATH_H
#define SPX_NN_POOL2D_MATH_H
/* Where windows lie, for every device. */
#include "kernels/base/host_device.h"
#include "kernels/nn/pool/pool2d.h"

/* A half-open run of rows or columns. */
typedef struct spx_pool2d_span {
    int64_t begin, end;
} spx_pool2d_span;

/** Inputs of output o along an axis of `in` inputs: never empty. */
static inline SPX_HOST_DEVICE spx_pool2d_span spx_pool2d_window(const spx_pool2d_shape *d,
                                                                int64_t o, int64_t in)
{
    const int64_t first = o * d->stride - d->pad, last = first + d->size;
    const spx_pool2d_span s = {first > 0 ? first : 0, last < in ? last : in};
    return s;
}

/** Outputs (of `out`) whose window holds input i; may be empty (stride > size, or
 * a cut-off rest). */
static inline SPX_HOST_DEVICE spx_pool2d_span spx_pool2d_cover(const spx_pool2d_shape *d, int64_t i,
                                                               int64_t out)
{
    const int64_t low = i + d->pad - d->size; /* the last start too early to reach i */
    const int64_t begin = low < 0 ? 0 : low / d->stride + 1;
    const int64_t end = (i + d->pad) / d->stride + 1;
    const spx_pool2d_span s = {begin, end < out ? end : out};
    return s;
}

#endif
