#ifndef SPX_NN_POOL2D_PRIVATE_H
#define SPX_NN_POOL2D_PRIVATE_H
/* What the parts of the pool share; the arguments are checked already. */
#include "kernels/base/variant.h"
#include "kernels/nn/pool/pool2d.h"
#include "kernels/nn/pool/pool2d_math_private.h"

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

/** SPX_EINVAL unless spx_pool2d_shape_init made it. */
SPX_MUST_CHECK spx_status spx_pool2d_check(const spx_pool2d_shape *d);

void spx_avg_pool_forward_ref(const spx_avg_pool_args *a);
void spx_avg_pool_backward_ref(const spx_avg_pool_args *a);

#endif
