#ifndef SPX_NN_LINEAR_CUDA_PRIVATE_H
#define SPX_NN_LINEAR_CUDA_PRIVATE_H
/* What the parts of linear on CUDA share: one product of matrices; the arguments are checked. */
#include "kernels/nn/operand.h"

/** Element (i, j) lies at data + i*row + j*column. */
typedef struct spx_matrix {
    void *data;
    spx_type type;
    int64_t row, column;
} spx_matrix;

/** c (m, n) = (accumulate ? c : 0) + a (m, k) * b (k, n) + bias[n]. Of a, b and c one may be bf16.
 * Sums of k in f32, in order. */
typedef struct spx_product {
    int64_t m, n, k;
    spx_matrix a, b, c;
    const float *bias; /* or NULL */
    float *a_sums;     /* or NULL: [m], = or += the sums of a's rows, likewise */
    bool accumulate;
} spx_product;

/** Own kernel: the reference, and what runs where there is no library. n may be 0: then a_sums
 * alone are made. */
SPX_MUST_CHECK spx_status spx_product_tiled_cuda(spx_stream *s, const spx_product *p);

/** cuBLASLt, for f32 products that are large enough; a_sums is left to others. *done is false where
 * it does not run: the library is absent, or the product does not suit it. */
#ifdef SPX_HAVE_CUBLAS
SPX_MUST_CHECK spx_status spx_product_cublas_cuda(spx_stream *s, const spx_product *p, bool *done);
#else
static inline spx_status spx_product_cublas_cuda(spx_stream *s, const spx_product *p, bool *done)
{
    (void)s;
    (void)p;
    *done = false;
    return SPX_OK;
}
#endif

#endif
