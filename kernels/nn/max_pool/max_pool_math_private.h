#ifndef SPX_NN_MAX_POOL_MATH_H
#define SPX_NN_MAX_POOL_MATH_H
/* Where windows lie and what is larger, for every device. Axis 0: rows, 1: columns. */
#include "kernels/base/host_device.h"
#include "kernels/nn/max_pool/max_pool.h"

/* A half-open run of rows or columns. */
typedef struct spx_max_pool_span {
    int64_t begin, end;
} spx_max_pool_span;

/** Inputs of output o: never empty. */
static inline SPX_HOST_DEVICE spx_max_pool_span spx_max_pool_window(const spx_max_pool_shape *d,
                                                                    int axis, int64_t o)
{
    const int64_t in = axis == 0 ? d->h : d->w, first = o * d->stride[axis] - d->pad[axis];
    const int64_t last = first + d->size[axis];
    const spx_max_pool_span s = {first > 0 ? first : 0, last < in ? last : in};
    return s;
}

/** Outputs whose window holds input i; may be empty. */
static inline SPX_HOST_DEVICE spx_max_pool_span spx_max_pool_cover(const spx_max_pool_shape *d,
                                                                   int axis, int64_t i)
{
    const int64_t out = axis == 0 ? d->p : d->q, at = i + d->pad[axis];
    const int64_t low = at - d->size[axis]; /* the last start too early to reach i */
    const int64_t end = at / d->stride[axis] + 1;
    const spx_max_pool_span s = {low < 0 ? 0 : low / d->stride[axis] + 1, end < out ? end : out};
    return s;
}

/** Whether v takes the place of the largest value so far. */
static inline SPX_HOST_DEVICE bool spx_max_pool_larger(float v, float largest)
{
    return v > largest || v != v;
}

#endif
