#ifndef SPX_NN_DISTILL_PRIVATE_H
#define SPX_NN_DISTILL_PRIVATE_H
/* What the parts of distill share; the arguments are checked already. */
#include "kernels/nn/distill/distill.h"

/* Logits beside a teacher's. */
typedef struct spx_distillation_args {
    int64_t n, classes;
    const float *logits, *target;
    float temperature;
    float weight; /* backward, as accumulate */
    bool accumulate;
    float *out; /* the loss, or dlogits */
} spx_distillation_args;

typedef struct spx_attention_args {
    int64_t n, c, hw;
    spx_operand x;
    float *map, *inverse; /* only read in the backward pass, where the rest counts */
    const float *dmap;
    bool accumulate;
    spx_operand dx;
} spx_attention_args;

typedef struct spx_difference_args {
    int64_t count;
    const float *x, *y;
    float weight; /* backward */
    bool accumulate;
    float *out; /* the loss, or dx */
} spx_difference_args;

/* What a device gives. */
typedef struct spx_distill_backend {
    spx_status (*distillation)(spx_stream *s, const spx_distillation_args *a);
    spx_status (*distillation_bwd)(spx_stream *s, const spx_distillation_args *a);
    spx_status (*attention)(spx_stream *s, const spx_attention_args *a);
    spx_status (*attention_bwd)(spx_stream *s, const spx_attention_args *a);
    spx_status (*difference)(spx_stream *s, const spx_difference_args *a);
    spx_status (*difference_bwd)(spx_stream *s, const spx_difference_args *a);
} spx_distill_backend;
extern const spx_distill_backend spx_distill_cuda;

/* Plain specification, in double throughout, of host memory. */
double spx_distillation_forward_ref(const spx_distillation_args *a);
void spx_distillation_backward_ref(const spx_distillation_args *a);
void spx_attention_map_forward_ref(const spx_attention_args *a);
void spx_attention_map_backward_ref(const spx_attention_args *a);
double spx_squared_difference_forward_ref(const spx_difference_args *a);
void spx_squared_difference_backward_ref(const spx_difference_args *a);

#endif
