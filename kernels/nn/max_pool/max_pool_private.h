#ifndef SPX_NN_MAX_POOL_PRIVATE_H
#define SPX_NN_MAX_POOL_PRIVATE_H
/* What the parts of the max pool share; the arguments are checked already. */
#include "kernels/base/variant.h"
#include "kernels/nn/max_pool/max_pool.h"

typedef struct spx_max_pool_args {
    const spx_max_pool_shape *d;
    spx_operand x, dy; /* dy: of the backward pass */
    spx_operand out;   /* y, dx */
    bool accumulate;
} spx_max_pool_args;

/* What a device gives. */
typedef struct spx_max_pool_backend {
    spx_status (*forward)(spx_stream *s, spx_max_pool_args *a);
    spx_status (*backward)(spx_stream *s, spx_max_pool_args *a);
} spx_max_pool_backend;
extern const spx_max_pool_backend spx_max_pool_cuda;

/* The CPU's. */
typedef struct spx_max_pool_kernels {
    spx_pool_fn forward, backward; /* planes n*c; ctx is a spx_max_pool_args */
} spx_max_pool_kernels;
SPX_DECLARE_VARIANTS(spx_max_pool_kernels, spx_max_pool_kernels);

void spx_max_pool_forward_ref(const spx_max_pool_args *a);
void spx_max_pool_backward_ref(const spx_max_pool_args *a);

#endif
