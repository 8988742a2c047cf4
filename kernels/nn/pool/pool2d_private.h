#ifndef SPX_NN_POOL2D_PRIVATE_H
#define SPX_NN_POOL2D_PRIVATE_H
/* What the parts of the pool share; the arguments are checked already. */
#include "kernels/base/variant.h"
#include "kernels/nn/pool/pool2d.h"
#include "kernels/nn/pool/pool2d_math_private.h"

typedef struct spx_avg_pool_args {
    const spx_pool2d_shape *d;
    spx_operand in;  /* x of the forward pass, dy of the backward */
    spx_operand out; /* y, dx */
    bool accumulate;
} spx_avg_pool_args;

/* What a device gives. */
typedef struct spx_avg_pool_backend {
    spx_status (*forward)(spx_stream *s, spx_avg_pool_args *a);
    spx_status (*backward)(spx_stream *s, spx_avg_pool_args *a);
} spx_avg_pool_backend;
extern const spx_avg_pool_backend spx_avg_pool_cuda;

/* The CPU's. */
typedef struct spx_avg_pool_kernels {
    spx_pool_fn forward, backward; /* planes n*c; ctx is a spx_avg_pool_args */
} spx_avg_pool_kernels;
SPX_DECLARE_VARIANTS(spx_avg_pool_kernels, spx_avg_pool_kernels);

void spx_avg_pool_forward_ref(const spx_avg_pool_args *a);
void spx_avg_pool_backward_ref(const spx_avg_pool_args *a);

#endif
