#include "kernels/nn/norm_sum/norm_sum.h"
#include "kernels/device/backend.h"
#include "kernels/nn/nn_check.h"
#include "kernels/nn/norm_sum/norm_sum_math_private.h"
#include "kernels/nn/norm_sum/norm_sum_private.h"

#include <string.h>

/* ---- the CPU's backend ---- */

static size_t stats_workspace_cpu(const spx_norm_dims *d)
{
    (void)d; /* a channel's sums are few: they lie on the stack */
    return 0;
}

static size_t reduce_workspace_cpu(const spx_norm_dims *d, int k)
{
    (void)d;
    (void)k;
    return 0;
}

void spx_bn_finish_channel(const spx_bn_stats_args *a, size_t c, double mean, double m2)
{
    const double m = (double)a->n * (double)a->hw;
    a->mean[c] = (float)mean;
    a->invstd[c] = spx_bn_invstd(m2 / m);
    for (int u = 0; u < a->updates; u++) {
        float *rm = &a->running_mean[u][c], *rv = &a->running_var[u][c];
        *rm = spx_bn_moved(*rm, mean);
        *rv = spx_bn_moved(*rv, spx_bn_unbiased(m2, m));
    }
}

/* The same for every channel of the batch, from the workers' sums, added in fixed order. */
static void finish_stats(const spx_bn_stats_args *a, size_t workers)
{
    const double m = (double)a->n * (double)a->hw;
    for (size_t i = 0; i < a->channels; i++) {
        const double shift = (double)a->mean[a->c0 + i];
        double sum = 0, sum2 = 0, m2;
        for (size_t w = 0; w < workers; w++) {
            sum += a->partial[w * a->channels + i][0];
            sum2 += a->partial[w * a->channels + i][1];
        }
        m2 = sum2 - sum * sum / m;
        spx_bn_finish_channel(a, a->c0 + i, shift + sum / m, m2 < 0 ? 0 : m2);
    }
}

static void run_stats(spx_stream *s, spx_bn_stats_args *a)
{
    double partial[SPX_NORM_SUM_PAIRS][2];
    const size_t workers = (size_t)spx_stream_threads(s);
    const size_t most = SPX_NORM_SUM_PAIRS / workers;
    a->partial = partial;
    for (a->c0 = 0; a->c0 < a->c; a->c0 += a->channels) {
        a->channels = a->c - a->c0 < most ? a->c - a->c0 : most;
        memset(partial, 0, workers * a->channels * sizeof partial[0]);
        spx_pool_run(spx_stream_pool(s), a->n, SPX_PICK_VARIANT(spx_norm_sum_kernels)->stats, a);
        finish_stats(a, workers);
    }
}

static spx_status stats_cpu(spx_stream *s, const spx_norm_dims *d, spx_operand x, float *mean,
                            float *invstd, int updates, float *const running_mean[],
                            float *const running_var[], void *workspace)
{
    spx_bn_stats_args a = {.n = (size_t)d->n,
                           .c = (size_t)d->c,
                           .hw = (size_t)d->hw,
                           .x = x.data,
                           .stride = (size_t)x.stride,
                           .mean = mean,
                           .invstd = invstd,
                           .updates = updates,
                           .running_mean = running_mean,
                           .running_var = running_var};
    (void)workspace;
    run_stats(s, &a);
    return SPX_OK;
}

static spx_status running_cpu(spx_stream *s, int64_t c, const float *running_mean,
                              const float *running_var, float *mean, float *invstd)
{
    (void)s; /* a few floats: too small to share out */
    for (int64_t i = 0; i < c; i++) {
        mean[i] = running_mean[i];
        invstd[i] = spx_bn_invstd((double)running_var[i]);
    }
    return SPX_OK;
}

static spx_norm_sum_args common_args(const spx_norm_dims *d, int k, const spx_norm_term *term,
                                     bool relu)
{
    return (spx_norm_sum_args){.n = (size_t)d->n,
                               .c = (size_t)d->c,
                               .hw = (size_t)d->hw,
                               .k = k,
                               .term = term,
                               .relu = relu};
}

static spx_status forward_cpu(spx_stream *s, const spx_norm_dims *d, int k,
                              const spx_norm_term *term, bool relu, spx_operand y)
{
    spx_norm_sum_args a = common_args(d, k, term, relu);
    a.out = y.data;
    a.out_stride = (size_t)y.stride;
    spx_pool_run(spx_stream_pool(s), a.n * a.c, SPX_PICK_VARIANT(spx_norm_sum_kernels)->forward,
                 &a);
    return SPX_OK;
}

void spx_norm_sum_finish_channel(const spx_norm_term *t, const spx_norm_grad *g, size_t c,
                                 double sum_dz, double sum_dz_x, double *dcoef)
{
    const spx_norm_factors f = {t->coef, t->invstd, t->gamma, t->beta};
    *dcoef += spx_norm_sum_finish(&f, g, c, sum_dz, sum_dz_x);
}

static void finish_reduce(const spx_norm_sum_args *a, size_t workers, double dcoef[])
{
    for (size_t i = 0; i < a->channels; i++) {
        for (int j = 0; j < a->k; j++) {
            double sum_dz = 0, sum_dz_x = 0;
            for (size_t w = 0; w < workers; w++) { /* in fixed order: the same bits each time */
                const double *p = a->partial[(w * a->channels + i) * (size_t)a->k + (size_t)j];
                sum_dz += p[0];
                sum_dz_x += p[1];
            }
            spx_norm_sum_finish_channel(&a->term[j], &a->grad[j], a->c0 + i, sum_dz, sum_dz_x,
                                        &dcoef[j]);
        }
    }
}

static void run_reduce(spx_stream *s, spx_norm_sum_args *a, double dcoef[])
{
    double partial[SPX_NORM_SUM_PAIRS][2];
    const size_t workers = (size_t)spx_stream_threads(s);
    const size_t most = SPX_NORM_SUM_PAIRS / workers / (size_t)a->k;
    a->partial = partial;
    for (a->c0 = 0; a->c0 < a->c; a->c0 += a->channels) {
        a->channels = a->c - a->c0 < most ? a->c - a->c0 : most;
        memset(partial, 0, workers * a->channels * (size_t)a->k * sizeof partial[0]);
        spx_pool_run(spx_stream_pool(s), a->n, SPX_PICK_VARIANT(spx_norm_sum_kernels)->reduce, a);
        finish_reduce(a, workers, dcoef);
    }
}

static spx_status reduce_cpu(spx_stream *s, const spx_norm_dims *d, int k,
                             const spx_norm_term *term, bool relu, spx_operand y, spx_operand dy,
                             const spx_norm_grad *grad, void *workspace)
{
    double dcoef[SPX_NORM_SUM_MAX] = {0};
    spx_norm_sum_args a = common_args(d, k, term, relu);
    (void)workspace;
    a.y = y.data;
    a.y_stride = (size_t)y.stride;
    a.dy = dy.data;
    a.dy_stride = (size_t)dy.stride;
    a.grad = grad;
    run_reduce(s, &a, dcoef);
    for (int j = 0; j < k; j++) {
        if (grad[j].dcoef != NULL) {
            const double old = grad[j].accumulate_coef ? (double)*grad[j].dcoef : 0.0;
            *grad[j].dcoef = (float)(old + dcoef[j]);
        }
    }
    return SPX_OK;
}

static spx_status apply_cpu(spx_stream *s, const spx_norm_dims *d, const spx_norm_term *term,
                            const float *sum_dy, const float *sum_dy_xhat, bool relu, spx_operand y,
                            spx_operand dy, bool accumulate, spx_operand dx)
{
    spx_norm_sum_args a = common_args(d, 1, term, relu);
    a.y = y.data;
    a.y_stride = (size_t)y.stride;
    a.dy = dy.data;
    a.dy_stride = (size_t)dy.stride;
    a.sum_dy = sum_dy;
    a.sum_dy_xhat = sum_dy_xhat;
    a.accumulate = accumulate;
    a.out = dx.data;
    a.out_stride = (size_t)dx.stride;
    spx_pool_run(spx_stream_pool(s), a.n * a.c, SPX_PICK_VARIANT(spx_norm_sum_kernels)->apply, &a);
    return SPX_OK;
}

static const spx_norm_sum_backend spx_norm_sum_cpu = {
    .stats_workspace = stats_workspace_cpu,
    .reduce_workspace = reduce_workspace_cpu,
    .stats = stats_cpu,
    .running = running_cpu,
    .forward = forward_cpu,
    .reduce = reduce_cpu,
    .apply = apply_cpu,
};

static const spx_norm_sum_backend *backend(const spx_stream *s)
{
    return SPX_BACKEND(s, spx_norm_sum_cpu, spx_norm_sum_cuda);
}

/* ---- validation ---- */

static spx_status check_dims(const spx_norm_dims *d)
{
    if (d == NULL) {
        return SPX_FAIL(SPX_EINVAL, "norm sum: sizes are missing");
    }
    return spx_check_size("norm sum", d->n, d->c, d->hw);
}

static spx_status check_operand(const spx_stream *s, const spx_norm_dims *d, const char *what,
                                spx_operand x)
{
    return spx_check_operand(s, "norm sum", what, x, d->n, d->c, d->hw);
}

static spx_status check_term(const spx_stream *s, const spx_norm_dims *d, const spx_norm_term *t)
{
    SPX_RETURN_IF(check_operand(s, d, "x", t->x));
    if ((t->mean == NULL) != (t->invstd == NULL) || (t->gamma == NULL) != (t->beta == NULL)) {
        return SPX_FAIL(SPX_EINVAL, "norm sum: mean and invstd, gamma and beta come in pairs");
    }
    if (t->gamma != NULL && t->mean == NULL) {
        return SPX_FAIL(SPX_EINVAL, "norm sum: gamma without mean");
    }
    return SPX_OK;
}

static spx_status check_terms(const spx_stream *s, const spx_norm_dims *d, int k,
                              const spx_norm_term *term)
{
    SPX_RETURN_IF(check_dims(d));
    if (k < 1 || k > SPX_NORM_SUM_MAX || term == NULL) {
        return SPX_FAIL(SPX_EINVAL, "norm sum: %d terms, not 1..%d", k, SPX_NORM_SUM_MAX);
    }
    for (int j = 0; j < k; j++) {
        SPX_RETURN_IF(check_term(s, d, &term[j]));
    }
    return SPX_OK;
}

static spx_status check_grad(const spx_norm_term *t, const spx_norm_grad *g)
{
    if (t->mean != NULL ? (g->sum_dy == NULL || g->sum_dy_xhat == NULL) : g->sum_dy_xhat != NULL) {
        return SPX_FAIL(SPX_EINVAL, "norm sum: sum_dy and sum_dy_xhat go with mean");
    }
    if (t->gamma == NULL && (g->dgamma != NULL || g->dbeta != NULL)) {
        return SPX_FAIL(SPX_EINVAL, "norm sum: dgamma or dbeta of a term without gamma");
    }
    if (t->coef == NULL && g->dcoef != NULL) {
        return SPX_FAIL(SPX_EINVAL, "norm sum: dcoef of a term without coef");
    }
    return SPX_OK;
}

/* dy and, where a relu follows, y: operands of both backward halves. */
static spx_status check_dz(const spx_stream *s, const spx_norm_dims *d, bool relu, spx_operand y,
                           spx_operand dy)
{
    if (relu) {
        SPX_RETURN_IF(check_operand(s, d, "y", y));
    }
    return check_operand(s, d, "dy", dy);
}

size_t spx_bn_stats_workspace(const spx_stream *s, const spx_norm_dims *d)
{
    return backend(s)->stats_workspace(d);
}

spx_status spx_bn_stats(spx_stream *s, const spx_norm_dims *d, spx_operand x, float *mean,
                        float *invstd, int updates, float *const running_mean[],
                        float *const running_var[], void *workspace)
{
    SPX_RETURN_IF(check_dims(d));
    SPX_RETURN_IF(spx_check_operand(s, "bn stats", "x", x, d->n, d->c, d->hw));
    if (mean == NULL || invstd == NULL || updates < 0 ||
        (updates > 0 && (running_mean == NULL || running_var == NULL))) {
        return SPX_FAIL(SPX_EINVAL, "bn stats: a result is missing, or %d updates", updates);
    }
    for (int u = 0; u < updates; u++) {
        if (running_mean[u] == NULL || running_var[u] == NULL) {
            return SPX_FAIL(SPX_EINVAL, "bn stats: running statistics %d are missing", u);
        }
    }
    return backend(s)->stats(s, d, x, mean, invstd, updates, running_mean, running_var, workspace);
}

spx_status spx_bn_running(spx_stream *s, int64_t c, const float *running_mean,
                          const float *running_var, float *mean, float *invstd)
{
    SPX_RETURN_IF(spx_check_size("bn running", c, 1, 1));
    if (running_mean == NULL || running_var == NULL || mean == NULL || invstd == NULL) {
        return SPX_FAIL(SPX_EINVAL, "bn running: an array is missing");
    }
    return backend(s)->running(s, c, running_mean, running_var, mean, invstd);
}

spx_status spx_norm_sum_forward(spx_stream *s, const spx_norm_dims *d, int k,
                                const spx_norm_term *term, bool relu, spx_operand y)
{
    SPX_RETURN_IF(check_terms(s, d, k, term));
    SPX_RETURN_IF(check_operand(s, d, "y", y));
    return backend(s)->forward(s, d, k, term, relu, y);
}

size_t spx_norm_sum_reduce_workspace(const spx_stream *s, const spx_norm_dims *d, int k)
{
    return backend(s)->reduce_workspace(d, k);
}

spx_status spx_norm_sum_backward_reduce(spx_stream *s, const spx_norm_dims *d, int k,
                                        const spx_norm_term *term, bool relu, spx_operand y,
                                        spx_operand dy, const spx_norm_grad *grad, void *workspace)
{
    SPX_RETURN_IF(check_terms(s, d, k, term));
    SPX_RETURN_IF(check_dz(s, d, relu, y, dy));
    if (grad == NULL) {
        return SPX_FAIL(SPX_EINVAL, "norm sum: the gradients are missing");
    }
    for (int j = 0; j < k; j++) {
        SPX_RETURN_IF(check_grad(&term[j], &grad[j]));
    }
    return backend(s)->reduce(s, d, k, term, relu, y, dy, grad, workspace);
}

spx_status spx_norm_sum_backward_apply(spx_stream *s, const spx_norm_dims *d,
                                       const spx_norm_term *term, const float *sum_dy,
                                       const float *sum_dy_xhat, bool relu, spx_operand y,
                                       spx_operand dy, bool accumulate, spx_operand dx)
{
    SPX_RETURN_IF(check_terms(s, d, 1, term));
    SPX_RETURN_IF(check_dz(s, d, relu, y, dy));
    SPX_RETURN_IF(check_operand(s, d, "dx", dx));
    if (term->mean != NULL && (sum_dy == NULL || sum_dy_xhat == NULL)) {
        return SPX_FAIL(SPX_EINVAL, "norm sum: the sums of the first half are missing");
    }
    return backend(s)->apply(s, d, term, sum_dy, sum_dy_xhat, relu, y, dy, accumulate, dx);
}
