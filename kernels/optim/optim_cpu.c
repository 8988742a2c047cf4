/*
 * Compiled once per instruction set: one pass over memory each, vectorised by the compiler. Two
 * arrays may be the same one (never shifted), which `omp simd` allows and `restrict` would not.
 */
#include "kernels/optim/optim_math_private.h"
#include "kernels/optim/optim_private.h"

static void norm2(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_optim_args *a = ctx;
    const float *g = a->g;
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = begin; i < end; i++) {
        sum += (double)g[i] * (double)g[i];
    }
    a->partial[worker] = sum;
}

static void sgd_alike(const spx_optim_args *a, float decay, size_t begin, size_t end)
{
    const float lr = *a->rate, momentum = a->momentum, clip = a->guard->clip;
    const bool nesterov = a->nesterov;
    const float *g = a->g;
    float *buf = a->m, *w = a->w;
#pragma omp simd
    for (size_t i = begin; i < end; i++) {
        const float d = spx_sgd_gradient(decay, clip, g[i], w[i]);
        buf[i] = spx_sgd_momentum(momentum, d, buf[i]);
        w[i] = spx_sgd_weight(lr, momentum, nesterov, d, buf[i], w[i]);
    }
}

static void sgd(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_optim_args *a = ctx;
    (void)worker;
    while (begin < end) { /* runs of blocks of one group */
        const int group = a->group != NULL ? a->group[begin / SPX_SGD_BLOCK] : SPX_SGD_DECAYED;
        size_t stop = a->group != NULL ? begin - begin % SPX_SGD_BLOCK : end;
        while (stop < end && a->group[stop / SPX_SGD_BLOCK] == group) {
            stop += SPX_SGD_BLOCK;
        }
        stop = stop < end ? stop : end;
        if (group != SPX_SGD_LEFT) {
            sgd_alike(a, group == SPX_SGD_DECAYED ? a->decay : 0, begin, stop);
        }
        begin = stop;
    }
}

static void lookahead(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_optim_args *a = ctx;
    const float xi = *a->rate, momentum = a->momentum, decay = a->decay;
    const float *g = a->g, *buf = a->x, *w = a->y;
    float *out = a->out; /* may be any of the operands, element by element */
    (void)worker;
#pragma omp simd
    for (size_t i = begin; i < end; i++) {
        out[i] = spx_lookahead_weight(xi, momentum, decay, g[i], buf[i], w[i]);
    }
}

/* Of weights with decay, or of masks with a penalty: a constant where it is called. */
static inline void adam_steps(const spx_optim_args *a, bool masks, size_t begin, size_t end)
{
    const spx_adam_factors f = spx_adam_factors_of(a->lr, a->b1, a->b2, *a->t);
    const float b1 = a->b1, b2 = a->b2, decay = a->decay, penalty = masks ? *a->rate : 0;
    const float *g = a->g;
    float *m = a->m, *v = a->v, *w = a->w;
#pragma omp simd
    for (size_t i = begin; i < end; i++) {
        const float d = masks ? spx_mask_gradient(penalty, g[i], w[i]) : g[i] + decay * w[i];
        m[i] = spx_adam_m(b1, d, m[i]);
        v[i] = spx_adam_v(b2, d, v[i]);
        const float stepped = spx_adam_weight(f, m[i], v[i], w[i]);
        w[i] = masks ? spx_mask_clamped(stepped) : stepped;
    }
}

static void adam(void *ctx, int worker, size_t begin, size_t end)
{
    (void)worker;
    adam_steps(ctx, false, begin, end);
}

static void masks(void *ctx, int worker, size_t begin, size_t end)
{
    (void)worker;
    adam_steps(ctx, true, begin, end);
}

static void axpy(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_optim_args *a = ctx;
    const float factor = a->scale * *a->rate;
    const float *x = a->x, *y = a->y;
    float *out = a->out; /* may be x or y, element by element */
    (void)worker;
#pragma omp simd
    for (size_t i = begin; i < end; i++) {
        out[i] = spx_axpy_at(factor, x[i], y[i]);
    }
}

static void difference(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_optim_args *a = ctx;
    const double scale = spx_difference_scale(*a->rate, a->published);
    const float *plus = a->x, *minus = a->y;
    float *out = a->out; /* may be either operand */
    (void)worker;
#pragma omp simd
    for (size_t i = begin; i < end; i++) {
        out[i] = spx_difference_at(scale, plus[i], minus[i]);
    }
}

static void ema(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_optim_args *a = ctx;
    const float decay = *a->rate;
    const float *w = a->x;
    float *e = a->w;
    (void)worker;
#pragma omp simd
    for (size_t i = begin; i < end; i++) {
        e[i] = spx_ema_at(decay, w[i], e[i]);
    }
}

const spx_optim_kernels SPX_VARIANT(spx_optim_kernels) = {
    .norm2 = norm2,
    .update = {[SPX_OPTIM_SGD] = sgd,
               [SPX_OPTIM_LOOKAHEAD] = lookahead,
               [SPX_OPTIM_ADAM] = adam,
               [SPX_OPTIM_MASKS] = masks,
               [SPX_OPTIM_AXPY] = axpy,
               [SPX_OPTIM_DIFFERENCE] = difference,
               [SPX_OPTIM_EMA] = ema},
};
