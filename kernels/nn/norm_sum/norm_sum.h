#ifndef SPX_NN_NORM_SUM_H
#define SPX_NN_NORM_SUM_H
/*
 * The weighted sum of normalised branches: batch norm, residual sums, the supernet's mixed edges
 * and drop-path are all cases of it. Vectors and scalars are f32, memory of the stream's device.
 *
 *   x^_j[n,c,i] = (x_j[n,c,i] - mean_j[c]) * invstd_j[c]
 *   z[n,c,i] = sum over j of coef_j * mask_j[n] * (gamma_j[c] * x^_j[n,c,i] + beta_j[c])
 *   y = relu ? max(0, z) : z
 *
 * Absent parts drop out (coef, mask, gamma = 1; beta = 0; without mean the term is x_j itself).
 * Every sum is added in an order fixed by the shape (on the CPU by the number of threads, too):
 * bit-equal from call to call. Each call returns SPX_OK, SPX_EINVAL, SPX_EUNSUPPORTED (CUDA: too
 * many channels) or SPX_EDEVICE.
 */
#include "kernels/nn/operand.h"

#define SPX_NORM_SUM_MAX 48 /* terms: 5 edges of up to 7 candidates, and room */

typedef struct spx_norm_dims {
    int64_t n, c, hw; /* images, channels, pixels, each >= 1 */
} spx_norm_dims;

typedef struct spx_norm_term {
    spx_operand x;              /* (n, c, hw) */
    const float *mean, *invstd; /* [c], both or neither */
    const float *gamma, *beta;  /* [c], both or neither; only with mean */
    const float *coef;          /* one float, or NULL */
    const float *mask;          /* [n], already divided by the keep probability; or NULL */
} spx_norm_term;

/** Bytes of scratch (aligned to 256, contents undefined) that spx_bn_stats needs. */
size_t spx_bn_stats_workspace(const spx_stream *s, const spx_norm_dims *d);

/**
 * Batch statistics of x over (n, hw): mean[c], and invstd[c] = 1/sqrt(biased variance + 1e-5).
 * Sums are carried in double (or shifted), so a large mean does not eat the variance.
 * For each u < updates: running_mean[u][c] = 0.9*old + 0.1*mean, running_var[u][c] = 0.9*old +
 * 0.1*unbiased variance. The unbiased variance of a single value is taken as the biased one.
 * @param updates 0 leaves the running statistics alone; CUDA: at most 16
 */
SPX_MUST_CHECK spx_status spx_bn_stats(spx_stream *s, const spx_norm_dims *d, spx_operand x,
                                       float *mean, float *invstd, int updates,
                                       float *const running_mean[], float *const running_var[],
                                       void *workspace);

/** mean = running_mean, invstd = 1/sqrt(running_var + 1e-5), [c] each: what evaluation uses. */
SPX_MUST_CHECK spx_status spx_bn_running(spx_stream *s, int64_t c, const float *running_mean,
                                         const float *running_var, float *mean, float *invstd);

/** y as above. y may not overlap any x_j.
 * @param term host array of k in 1..SPX_NORM_SUM_MAX, copied during the call */
SPX_MUST_CHECK spx_status spx_norm_sum_forward(spx_stream *s, const spx_norm_dims *d, int k,
                                               const spx_norm_term *term, bool relu, spx_operand y);

/** Where the reductions of the backward pass go; [c] each, NULL where not wanted. Terms may have
 * dgamma, dbeta and dcoef in common: they are taken in order, so that later ones add to earlier. */
typedef struct spx_norm_grad {
    float *sum_dy;      /* sum over n,i of mask[n]*dz           (needs no coef, no gamma) */
    float *sum_dy_xhat; /* sum over n,i of mask[n]*dz*x^, x^ = (x-mean)*invstd; only with mean */
    float *dgamma;      /* += or = coef * sum_dy_xhat, by `accumulate_affine` */
    float *dbeta;       /* likewise coef * sum_dy */
    float *dcoef;       /* one float: += or = d loss / d coef, by `accumulate_coef` */
    bool accumulate_affine, accumulate_coef;
} spx_norm_grad;

/** Bytes of scratch (as above) that spx_norm_sum_backward_reduce needs for k terms. */
size_t spx_norm_sum_reduce_workspace(const spx_stream *s, const spx_norm_dims *d, int k);

/**
 * First half of the backward pass. dz = relu ? (y > 0 ? dy : 0) : dy.
 * dcoef = sum over n,c,i of mask[n]*dz*(the term without coef and mask).
 * For terms with mean, sum_dy and sum_dy_xhat must both be given: the second half reads them.
 * @param y forward result, read only where relu is true
 */
SPX_MUST_CHECK spx_status spx_norm_sum_backward_reduce(spx_stream *s, const spx_norm_dims *d, int k,
                                                       const spx_norm_term *term, bool relu,
                                                       spx_operand y, spx_operand dy,
                                                       const spx_norm_grad *grad, void *workspace);

/**
 * Second half, for one term, the batch-norm gradient through its statistics:
 *   dx = (accumulate ? dx : 0) +
 *        coef*gamma*invstd * (mask[n]*dz - sum_dy/M - x^ * sum_dy_xhat/M), M = n*hw;
 * without mean, coef*mask[n]*dz is added. dx may be dy.
 * @param sum_dy, sum_dy_xhat [c] from spx_norm_sum_backward_reduce; NULL where the term has no mean
 */
SPX_MUST_CHECK spx_status spx_norm_sum_backward_apply(spx_stream *s, const spx_norm_dims *d,
                                                      const spx_norm_term *term,
                                                      const float *sum_dy, const float *sum_dy_xhat,
                                                      bool relu, spx_operand y, spx_operand dy,
                                                      bool accumulate, spx_operand dx);

#endif
