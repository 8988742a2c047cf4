#ifndef SPX_NN_NORM_SUM_PRIVATE_CUH
#define SPX_NN_NORM_SUM_PRIVATE_CUH
/* What the parts of norm_sum on CUDA share. */
#include "kernels/nn/nhwc_private.cuh"

extern "C" {
#include "kernels/nn/norm_sum/norm_sum_cuda.h"
#include "kernels/nn/norm_sum/norm_sum_math_private.h"
}

namespace spx {

/* Vectors of channels a block spans at most: the coefficients of 48 terms fit 48 KiB. */
static inline int most_vectors(int v)
{
    return v == 8 ? 16 : 32;
}

static inline spx_status check_norm_dims(const spx_norm_dims *d)
{
    if (d == NULL) {
        return SPX_FAIL(SPX_EINVAL, "norm sum: sizes are missing");
    }
    SPX_RETURN_IF(spx_check_size("norm sum", d->n, d->c, d->hw));
    if (d->n * d->hw > most_rows) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "norm sum: %lld pixels", (long long)(d->n * d->hw));
    }
    return SPX_OK;
}

static inline spx_status check_norm_terms(const spx_norm_dims *d, int k,
                                          const spx_norm_term_cuda *term)
{
    SPX_RETURN_IF(check_norm_dims(d));
    if (k < 1 || k > SPX_NORM_SUM_MAX || term == NULL) {
        return SPX_FAIL(SPX_EINVAL, "norm sum: %d terms, not 1..%d", k, SPX_NORM_SUM_MAX);
    }
    for (int j = 0; j < k; j++) {
        const spx_norm_term_cuda *t = &term[j];
        SPX_RETURN_IF(check_operand("norm sum", "x", t->x, term[0].x.type, d->n * d->hw, d->c));
        if ((t->mean == NULL) != (t->invstd == NULL) || (t->gamma == NULL) != (t->beta == NULL) ||
            (t->gamma != NULL && t->mean == NULL)) {
            return SPX_FAIL(SPX_EINVAL,
                            "norm sum: mean and invstd, gamma and beta come in pairs, and gamma "
                            "with mean");
        }
    }
    return SPX_OK;
}

/* dy and, where a relu follows, y: operands of both backward halves. */
static inline spx_status check_dz(const spx_norm_dims *d, spx_type type, bool relu, spx_operand y,
                                  spx_operand dy)
{
    if (relu) {
        SPX_RETURN_IF(check_operand("norm sum", "y", y, type, d->n * d->hw, d->c));
    }
    return check_operand("norm sum", "dy", dy, type, d->n * d->hw, d->c);
}

__device__ inline float value_or(const float *p, unsigned i, float absent)
{
    return p != NULL ? p[i] : absent;
}

} // namespace spx

#endif
