#include "kernels/optim/optim.h"
#include "kernels/optim/optim_impl.h"

#include <math.h>

#define KERNELS SPX_PICK_VARIANT(spx_optim_kernels)

/* An empty arena needs no arrays. */
static spx_status check(const char *op, size_t n, const void *p0, const void *p1, const void *p2,
                        const void *p3)
{
    if (n > 0 && (p0 == NULL || p1 == NULL || p2 == NULL || p3 == NULL)) {
        return SPX_FAIL(SPX_EINVAL, "%s: an array is missing", op);
    }
    return SPX_OK;
}

/* Sum of every worker's partial, in fixed order. */
static double run_sum(spx_stream *s, size_t n, spx_pool_fn fn, spx_optim_args *a)
{
    double sum = 0;
    for (int t = 0; t < spx_stream_threads(s); t++) {
        a->partial[t] = 0; /* a worker without elements never writes its own */
    }
    spx_pool_run(spx_stream_pool(s), n, fn, a);
    for (int t = 0; t < spx_stream_threads(s); t++) {
        sum += a->partial[t];
    }
    return sum;
}

spx_status spx_norm2(spx_stream *s, size_t n, const float *g, double *norm)
{
    spx_optim_args a;
    SPX_RETURN_IF(check("norm2", n, g, g, g, g));
    if (norm == NULL) {
        return SPX_FAIL(SPX_EINVAL, "norm2: nowhere to put it");
    }
    a.g = g;
    *norm = sqrt(run_sum(s, n, KERNELS->norm2, &a));
    return SPX_OK;
}

float spx_clip_factor(double norm, double max_norm)
{
    const double factor = max_norm / (norm + 1e-6);
    return max_norm <= 0 || factor >= 1 ? 1.0f : (float)factor; /* a NaN norm gives NaN */
}

spx_status spx_sgd(spx_stream *s, size_t n, float lr, float momentum, float decay, float clip,
                   const float *g, float *buf, float *w)
{
    spx_optim_args a;
    SPX_RETURN_IF(check("sgd", n, g, buf, w, w));
    a.a = lr;
    a.momentum = momentum;
    a.decay = decay;
    a.clip = clip;
    a.g = g;
    a.m = buf;
    a.w = w;
    spx_pool_run(spx_stream_pool(s), n, KERNELS->sgd, &a);
    return SPX_OK;
}

spx_status spx_sgd_lookahead(spx_stream *s, size_t n, float xi, float momentum, float decay,
                             const float *g, const float *buf, const float *w, float *out)
{
    spx_optim_args a;
    SPX_RETURN_IF(check("sgd look-ahead", n, g, buf, w, out));
    a.a = xi;
    a.momentum = momentum;
    a.decay = decay;
    a.g = g;
    a.x = buf;
    a.y = w;
    a.out = out;
    spx_pool_run(spx_stream_pool(s), n, KERNELS->lookahead, &a);
    return SPX_OK;
}

spx_status spx_adam(spx_stream *s, size_t n, float lr, float b1, float b2, float decay, uint64_t t,
                    const float *g, float *m, float *v, float *w)
{
    spx_optim_args a;
    SPX_RETURN_IF(check("adam", n, g, m, v, w));
    if (t < 1 || !(b1 >= 0 && b1 < 1) || !(b2 >= 0 && b2 < 1)) {
        return SPX_FAIL(SPX_EINVAL, "adam: b1 = %g, b2 = %g, t = %llu", (double)b1, (double)b2,
                        (unsigned long long)t);
    }
    a.a = lr;
    a.b1 = b1;
    a.b2 = b2;
    a.decay = decay;
    a.bias1 = (float)(1.0 / (1.0 - pow((double)b1, (double)t)));
    a.bias2 = (float)(1.0 / sqrt(1.0 - pow((double)b2, (double)t)));
    a.g = g;
    a.m = m;
    a.v = v;
    a.w = w;
    spx_pool_run(spx_stream_pool(s), n, KERNELS->adam, &a);
    return SPX_OK;
}

spx_status spx_axpy(spx_stream *s, size_t n, float factor, const float *x, const float *y,
                    float *out)
{
    spx_optim_args a;
    SPX_RETURN_IF(check("axpy", n, x, y, out, out));
    a.a = factor;
    a.x = x;
    a.y = y;
    a.out = out;
    spx_pool_run(spx_stream_pool(s), n, KERNELS->axpy, &a);
    return SPX_OK;
}

spx_status spx_ema(spx_stream *s, size_t n, float decay, const float *w, float *ema)
{
    spx_optim_args a;
    SPX_RETURN_IF(check("ema", n, w, ema, ema, ema));
    a.a = decay;
    a.x = w;
    a.w = ema;
    spx_pool_run(spx_stream_pool(s), n, KERNELS->ema, &a);
    return SPX_OK;
}
