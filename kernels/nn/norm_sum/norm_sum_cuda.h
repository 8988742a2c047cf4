#ifndef SPX_NN_NORM_SUM_CUDA_H
#define SPX_NN_NORM_SUM_CUDA_H
/* norm_sum.h on CUDA: the same formulas over NHWC operands. Vectors and scalars are f32 device
 * memory. Every sum is added in an order fixed by the shape: bit-equal from call to call. */
#include "kernels/nn/norm_sum/norm_sum.h"
#include "kernels/nn/operand.h"

/** Bytes of scratch (aligned to 256, contents undefined) that the calls below may use. */
size_t spx_bn_stats_cuda_workspace(const spx_norm_dims *d);
size_t spx_norm_sum_reduce_cuda_workspace(const spx_norm_dims *d, int k);

SPX_MUST_CHECK spx_status spx_bn_stats_cuda(spx_stream *s, const spx_norm_dims *d, spx_operand x,
                                            float *mean, float *invstd, int updates,
                                            float *const running_mean[], float *const running_var[],
                                            void *workspace);
SPX_MUST_CHECK spx_status spx_bn_running_cuda(spx_stream *s, int64_t c, const float *running_mean,
                                              const float *running_var, float *mean, float *invstd);

typedef struct spx_norm_term_cuda {
    spx_operand x;
    const float *mean, *invstd, *gamma, *beta, *coef, *mask; /* as in spx_norm_term */
} spx_norm_term_cuda;

/** term: host array of k, copied during the call. */
SPX_MUST_CHECK spx_status spx_norm_sum_forward_cuda(spx_stream *s, const spx_norm_dims *d, int k,
                                                    const spx_norm_term_cuda *term, bool relu,
                                                    spx_operand y);
/** grad: as in norm_sum.h, device pointers. y.data NULL unless relu. */
SPX_MUST_CHECK spx_status spx_norm_sum_backward_reduce_cuda(
    spx_stream *s, const spx_norm_dims *d, int k, const spx_norm_term_cuda *term, bool relu,
    spx_operand y, spx_operand dy, const spx_norm_grad *grad, void *workspace);
SPX_MUST_CHECK spx_status spx_norm_sum_backward_apply_cuda(spx_stream *s, const spx_norm_dims *d,
                                                           const spx_norm_term_cuda *term,
                                                           const float *sum_dy,
                                                           const float *sum_dy_xhat, bool relu,
                                                           spx_operand y, spx_operand dy,
                                                           bool accumulate, spx_operand dx);

#endif
