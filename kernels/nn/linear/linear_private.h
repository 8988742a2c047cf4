#ifndef SPX_NN_LINEAR_PRIVATE_H
#define SPX_NN_LINEAR_PRIVATE_H
/* What the parts of linear share; the arguments are checked already. */
#include "kernels/base/variant.h"
#include "kernels/nn/linear/linear.h"

#include <stddef.h>

/* What a device gives. */
typedef struct spx_linear_backend {
    spx_status (*forward)(spx_stream *s, int64_t n, int64_t f, int64_t o, spx_operand x,
                          const float *w, const float *b, float *y);
    spx_status (*backward_data)(spx_stream *s, int64_t n, int64_t f, int64_t o, const float *dy,
                                const float *w, bool accumulate, spx_operand dx);
    spx_status (*backward_weights)(spx_stream *s, int64_t n, int64_t f, int64_t o, spx_operand x,
                                   const float *dy, bool accumulate, float *dw, float *db);
} spx_linear_backend;
extern const spx_linear_backend spx_linear_cuda;

/* The CPU's. */
typedef struct spx_linear_args {
    size_t n, f, o;
    const float *x, *w, *b, *dy; /* (n, f), (o, f), [o], (n, o) */
    bool accumulate;
    float *out; /* y (n, o), dx (n, f) or dw (o, f) */
    float *db;  /* [o] */
} spx_linear_args;

typedef struct spx_linear_kernels {
    spx_pool_fn forward;          /* rows n of y; ctx is a spx_linear_args */
    spx_pool_fn backward_data;    /* rows n of dx */
    spx_pool_fn backward_weights; /* rows o of dw, and of db */
} spx_linear_kernels;
SPX_DECLARE_VARIANTS(spx_linear_kernels, spx_linear_kernels);

void spx_linear_forward_ref(const spx_linear_args *a);
void spx_linear_backward_data_ref(const spx_linear_args *a);
void spx_linear_backward_weights_ref(const spx_linear_args *a);

#endif
