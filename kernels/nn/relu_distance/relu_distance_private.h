#ifndef SPX_NN_RELU_DISTANCE_PRIVATE_H
#define SPX_NN_RELU_DISTANCE_PRIVATE_H
/* What the parts of relu_distance share; the arguments are checked already. */
#include "kernels/nn/relu_distance/relu_distance.h"

typedef struct spx_distance_args {
    int64_t n, c, hw;
    spx_operand y;
    const float *target;
    float *sum;
} spx_distance_args;

/* What a device gives. */
typedef struct spx_distance_backend {
    spx_status (*distance)(spx_stream *s, spx_distance_args *a);
} spx_distance_backend;
extern const spx_distance_backend spx_distance_cuda;

/* Plain specification of spx_relu_distance, in double, of host memory. */
void spx_relu_distance_ref(const spx_distance_args *a);

#endif
