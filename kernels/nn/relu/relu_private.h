#ifndef SPX_NN_RELU_PRIVATE_H
#define SPX_NN_RELU_PRIVATE_H
/* What the parts of relu share; the arguments are checked already. */
#include "kernels/base/variant.h"
#include "kernels/nn/relu/relu.h"

#include <stddef.h>

typedef struct spx_relu_args {
    size_t n, chw;
    const float *x, *dy;
    size_t x_stride, dy_stride, out_stride;
    bool accumulate;
    float *out;
} spx_relu_args;

/* out rows [begin, end), each a part of SPX_RELU_PART floats of an image */
typedef struct spx_relu_kernels {
    spx_pool_fn forward, backward; /* ctx is a spx_relu_args */
} spx_relu_kernels;
SPX_DECLARE_VARIANTS(spx_relu_kernels, spx_relu_kernels);

#define SPX_RELU_PART ((size_t)4096)

void spx_relu_forward_ref(const spx_relu_args *a);
void spx_relu_backward_ref(const spx_relu_args *a);

#endif
