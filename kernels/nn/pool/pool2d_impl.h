#ifndef SPX_NN_POOL2D_IMPL_H
#define SPX_NN_POOL2D_IMPL_H
/* What the parts of the pool share; the arguments are checked already. */
#include "kernels/base/variant.h"
#include "kernels/nn/pool/pool2d.h"

#include <stddef.h>

typedef struct spx_avg_pool_args {
    const spx_pool2d_shape *d;
    const float *in; /* x of the forward pass, dy of the backward */
    size_t in_stride;
    float *out; /* y, dx */
    size_t out_stride;
    bool accumulate;
} spx_avg_pool_args;

typedef struct spx_avg_pool_kernels {
    spx_pool_fn forward, backward; /* planes n*c; ctx is a spx_avg_pool_args */
} spx_avg_pool_kernels;
SPX_DECLARE_VARIANTS(spx_avg_pool_kernels, spx_avg_pool_kernels);

void spx_avg_pool_forward_ref(const spx_avg_pool_args *a);
void spx_avg_pool_backward_ref(const spx_avg_pool_args *a);

/* A half-open run of rows or columns. */
typedef struct spx_pool2d_span {
    int64_t begin, end;
} spx_pool2d_span;

/** Inputs of output o along an axis of `in` inputs: never empty. */
static inline spx_pool2d_span spx_pool2d_window(const spx_pool2d_shape *d, int64_t o, int64_t in)
{
    const int64_t first = o * d->stride - d->pad, last = first + d->size;
    return (spx_pool2d_span){first > 0 ? first : 0, last < in ? last : in};
}

/** Outputs (of `out`) whose window holds input i; may be empty (stride > size, or a cut-off rest).
 */
static inline spx_pool2d_span spx_pool2d_cover(const spx_pool2d_shape *d, int64_t i, int64_t out)
{
    const int64_t low = i + d->pad - d->size; /* the last start too early to reach i */
    const int64_t begin = low < 0 ? 0 : low / d->stride + 1;
    const int64_t end = (i + d->pad) / d->stride + 1;
    return (spx_pool2d_span){begin, end < out ? end : out};
}

#endif
