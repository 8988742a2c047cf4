#ifndef SPX_NN_NORM_SUM_PRIVATE_H
#define SPX_NN_NORM_SUM_PRIVATE_H
/* What the parts of norm_sum share; the arguments are checked already. */
#include "kernels/base/pool.h"
#include "kernels/base/variant.h"
#include "kernels/nn/norm_sum/norm_sum.h"

#include <stddef.h>

/* What a device gives: the functions of norm_sum.h. */
typedef struct spx_norm_sum_backend {
    size_t (*stats_workspace)(const spx_norm_dims *d);
    size_t (*reduce_workspace)(const spx_norm_dims *d, int k);
    spx_status (*stats)(spx_stream *s, const spx_norm_dims *d, spx_operand x, float *mean,
                        float *invstd, int updates, float *const running_mean[],
                        float *const running_var[], void *workspace);
    spx_status (*running)(spx_stream *s, int64_t c, const float *running_mean,
                          const float *running_var, float *mean, float *invstd);
    spx_status (*forward)(spx_stream *s, const spx_norm_dims *d, int k, const spx_norm_term *term,
                          bool relu, spx_operand y);
    spx_status (*reduce)(spx_stream *s, const spx_norm_dims *d, int k, const spx_norm_term *term,
                         bool relu, spx_operand y, spx_operand dy, const spx_norm_grad *grad,
                         void *workspace);
    spx_status (*apply)(spx_stream *s, const spx_norm_dims *d, const spx_norm_term *term,
                        const float *sum_dy, const float *sum_dy_xhat, bool relu, spx_operand y,
                        spx_operand dy, bool accumulate, spx_operand dx);
} spx_norm_sum_backend;
extern const spx_norm_sum_backend spx_norm_sum_cuda;

/* ---- the CPU's ---- */

/* Pairs of partial sums a reduction keeps on its caller's stack: one channel of all terms from
 * every worker there may be. More channels go in batches. */
#define SPX_NORM_SUM_PAIRS ((size_t)SPX_POOL_MAX_THREADS * SPX_NORM_SUM_MAX)

typedef struct spx_bn_stats_args {
    size_t n, c, hw;
    const float *x;
    size_t stride;
    float *mean, *invstd;
    int updates;
    float *const *running_mean, *const *running_var;
    size_t c0, channels;  /* the batch of channels */
    double (*partial)[2]; /* [worker][channel of the batch]: sums of x - shift and of its square */
} spx_bn_stats_args;

typedef struct spx_norm_sum_args {
    size_t n, c, hw;
    int k;
    const spx_norm_term *term;
    bool relu, accumulate;
    const float *y, *dy; /* y: read by the backward passes where relu */
    size_t y_stride, dy_stride;
    float *out; /* y of the forward pass, dx of backward_apply */
    size_t out_stride;
    const float *sum_dy, *sum_dy_xhat; /* of backward_apply */
    const spx_norm_grad *grad;         /* of backward_reduce */
    size_t c0, channels;               /* of backward_reduce: the batch of channels */
    double (*partial)[2];              /* [worker][channel of the batch][term]: sums of mask*dz and
                                          of mask*dz*(x - mean) */
} spx_norm_sum_args;

typedef struct spx_norm_sum_kernels {
    spx_pool_fn stats;   /* images; ctx is a spx_bn_stats_args; leaves the shift in mean[] */
    spx_pool_fn forward; /* rows n*c; ctx is a spx_norm_sum_args */
    spx_pool_fn reduce;  /* images */
    spx_pool_fn apply;   /* rows n*c */
} spx_norm_sum_kernels;
SPX_DECLARE_VARIANTS(spx_norm_sum_kernels, spx_norm_sum_kernels);

/** Writes mean, invstd and the running statistics of channel c from its mean and sum of squared
 * deviations. */
void spx_bn_finish_channel(const spx_bn_stats_args *a, size_t c, double mean, double m2);

/** Writes what grad asks for of channel c from sum(mask*dz) and sum(mask*dz*(x - mean)). */
void spx_norm_sum_finish_channel(const spx_norm_term *t, const spx_norm_grad *g, size_t c,
                                 double sum_dz, double sum_dz_x, double *dcoef);

void spx_bn_stats_ref(const spx_bn_stats_args *a);
void spx_norm_sum_forward_ref(const spx_norm_sum_args *a);
/** dcoef: [k], added to. */
void spx_norm_sum_reduce_ref(const spx_norm_sum_args *a, double dcoef[]);
void spx_norm_sum_apply_ref(const spx_norm_sum_args *a);

#endif
