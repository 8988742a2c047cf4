#ifndef SPX_NN_NORM_SUM_MATH_H
#define SPX_NN_NORM_SUM_MATH_H
/* The formulas of norm_sum.h that end a reduction, for every device. */
#include "kernels/base/host_device.h"
#include "kernels/nn/norm_sum/norm_sum.h"

#include <math.h>

#define SPX_BN_EPS 1e-5
#define SPX_BN_MOMENTUM 0.1

static inline SPX_HOST_DEVICE float spx_bn_invstd(double variance)
{
    return (float)(1.0 / sqrt(variance + SPX_BN_EPS));
}

/** A running statistic after one more batch. */
static inline SPX_HOST_DEVICE float spx_bn_moved(float old, double batch)
{
    return (float)((1 - SPX_BN_MOMENTUM) * (double)old + SPX_BN_MOMENTUM * batch);
}

/** m2: sum of squared deviations of m values. */
static inline SPX_HOST_DEVICE double spx_bn_unbiased(double m2, double m)
{
    return m > 1 ? m2 / (m - 1) : m2 / m;
}

/** What of a term the end of its reduction needs: one float, [c] each; NULL where absent. */
typedef struct spx_norm_factors {
    const float *coef, *invstd, *gamma, *beta;
} spx_norm_factors;

/** Writes what grad asks for of channel c from sum(mask*dz) and sum(mask*dz*(x - mean)); the result
 * is the channel's part of dcoef. */
static inline SPX_HOST_DEVICE double spx_norm_sum_finish(const spx_norm_factors *t,
                                                         const spx_norm_grad *g, size_t c,
                                                         double sum_dz, double sum_dz_x)
{
    const double coef = t->coef != NULL ? (double)*t->coef : 1.0;
    const double xhat = t->invstd != NULL ? (double)t->invstd[c] * sum_dz_x : sum_dz_x;
    if (g->sum_dy != NULL) {
        g->sum_dy[c] = (float)sum_dz;
    }
    if (g->sum_dy_xhat != NULL) {
        g->sum_dy_xhat[c] = (float)xhat;
    }
    if (g->dgamma != NULL) {
        g->dgamma[c] = (float)((g->accumulate_affine ? (double)g->dgamma[c] : 0.0) + coef * xhat);
    }
    if (g->dbeta != NULL) {
        g->dbeta[c] = (float)((g->accumulate_affine ? (double)g->dbeta[c] : 0.0) + coef * sum_dz);
    }
    return t->gamma != NULL ? (double)t->gamma[c] * xhat + (double)t->beta[c] * sum_dz : xhat;
}

#endif
