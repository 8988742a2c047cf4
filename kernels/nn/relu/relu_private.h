#ifndef SPX_NN_RELU_PRIVATE_H
#define SPX_NN_RELU_PRIVATE_H
/* What the parts of relu share; the arguments are checked already. */
#include "kernels/base/variant.h"
#include "kernels/nn/relu/relu.h"

typedef struct spx_relu_args {
    int64_t n, c, hw;
    spx_operand x; /* the backward pass's y */
    spx_operand dy;
    spx_operand out; /* y of the forward pass, dx */
    bool accumulate;
} spx_relu_args;

/* What a device gives. */
typedef struct spx_relu_backend {
    spx_status (*forward)(spx_stream *s, spx_relu_args *a);
    spx_status (*backward)(spx_stream *s, spx_relu_args *a);
} spx_relu_backend;
extern const spx_relu_backend spx_relu_cuda;

/* The CPU's: parts [begin, end), each of SPX_RELU_PART floats of an image. */
typedef struct spx_relu_kernels {
    spx_pool_fn forward, backward; /* ctx is a spx_relu_args */
} spx_relu_kernels;
SPX_DECLARE_VARIANTS(spx_relu_kernels, spx_relu_kernels);

#define SPX_RELU_PART ((size_t)4096)

void spx_relu_forward_ref(const spx_relu_args *a);
void spx_relu_backward_ref(const spx_relu_args *a);

#endif
