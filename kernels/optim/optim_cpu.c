/*
 * Compiled once per instruction set: one pass over memory each, vectorised by the compiler. Two
 * arrays may be the same one (never shifted), which `omp simd` allows and `restrict` would not.
 */
#include "kernels/optim/optim_impl.h"

#include <math.h>

#define ADAM_EPS 1e-8f

static void norm2(void *ctx, int worker, size_t begin, size_t end)
{
    spx_optim_args *a = ctx;
    const float *g = a->g;
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = begin; i < end; i++) {
        sum += (double)g[i] * (double)g[i];
    }
    a->partial[worker] = sum;
}

static void sgd(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_optim_args *a = ctx;
    const float lr = a->a, momentum = a->momentum, decay = a->decay, clip = a->clip;
    const float *g = a->g;
    float *buf = a->m, *w = a->w;
    (void)worker;
#pragma omp simd
    for (size_t i = begin; i < end; i++) {
        const float d = clip * g[i] + decay * w[i];
        buf[i] = momentum * buf[i] + d;
        w[i] -= lr * buf[i];
    }
}

static void lookahead(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_optim_args *a = ctx;
    const float xi = a->a, momentum = a->momentum, decay = a->decay;
    const float *g = a->g, *buf = a->x, *w = a->y;
    float *out = a->out; /* may be any of the operands, element by element */
    (void)worker;
#pragma omp simd
    for (size_t i = begin; i < end; i++) {
        out[i] = w[i] - xi * (momentum * buf[i] + g[i] + decay * w[i]);
    }
}

static void adam(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_optim_args *a = ctx;
    const float step = a->a * a->bias1, decay = a->decay, root = a->bias2;
    const float b1 = a->b1, b2 = a->b2;
    const float *g = a->g;
    float *m = a->m, *v = a->v, *w = a->w;
    (void)worker;
#pragma omp simd
    for (size_t i = begin; i < end; i++) {
        const float d = g[i] + decay * w[i];
        m[i] = b1 * m[i] + (1.0f - b1) * d;
        v[i] = b2 * v[i] + (1.0f - b2) * d * d;
        w[i] -= step * m[i] / (sqrtf(v[i]) * root + ADAM_EPS);
    }
}

static void axpy(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_optim_args *a = ctx;
    const float factor = a->a;
    const float *x = a->x, *y = a->y;
    float *out = a->out; /* may be x or y, element by element */
    (void)worker;
#pragma omp simd
    for (size_t i = begin; i < end; i++) {
        out[i] = x[i] + factor * y[i];
    }
}

static void ema(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_optim_args *a = ctx;
    const float decay = a->a;
    const float *w = a->x;
    float *e = a->w;
    (void)worker;
#pragma omp simd
    for (size_t i = begin; i < end; i++) {
        e[i] = decay * e[i] + (1.0f - decay) * w[i];
    }
}

const spx_optim_kernels SPX_VARIANT(spx_optim_kernels) = {norm2, sgd, lookahead, adam, axpy, ema};
