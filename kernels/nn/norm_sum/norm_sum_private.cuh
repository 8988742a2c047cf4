#ifndef SPX_NN_NORM_SUM_PRIVATE_CUH
#define SPX_NN_NORM_SUM_PRIVATE_CUH
/* What the parts of norm_sum on CUDA share. */
#include "kernels/nn/nhwc_private.cuh"

extern "C" {
#include "kernels/nn/norm_sum/norm_sum_math_private.h"
#include "kernels/nn/norm_sum/norm_sum_private.h"
}

namespace spx {

/* Vectors of channels a block spans at most: the coefficients of 48 terms fit 48 KiB. */
static inline int most_vectors(int v)
{
    return v == 8 ? 16 : 32;
}

__device__ inline float value_or(const float *p, unsigned i, float absent)
{
    return p != NULL ? p[i] : absent;
}

/* The reductions, for the table of norm_sum_cuda.cu. */
size_t norm_stats_workspace(const spx_norm_dims *d);
size_t norm_reduce_workspace(const spx_norm_dims *d, int k);
spx_status norm_stats(spx_stream *s, const spx_norm_dims *d, spx_operand x, float *mean,
                      float *invstd, int updates, float *const running_mean[],
                      float *const running_var[], void *workspace);
spx_status norm_reduce(spx_stream *s, const spx_norm_dims *d, int k, const spx_norm_term *all,
                       bool relu, spx_operand y, spx_operand dy, const spx_norm_grad *all_grads,
                       void *workspace);

} // namespace spx

#endif
