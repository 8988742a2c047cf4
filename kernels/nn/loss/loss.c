#include "kernels/nn/loss/loss.h"
#include "kernels/device/backend.h"
#include "kernels/nn/loss/loss_private.h"
#include "kernels/nn/nn_check.h"

#include <math.h>

typedef struct args {
    size_t n, classes;
    const float *logits;
    const int32_t *label;
    double smoothing, weight;
    bool accumulate;
    float *dlogits;
    double partial[SPX_POOL_MAX_THREADS]; /* sum of the losses of each worker's rows */
} args;

/* Returns the row's largest element in *max and the sum of exp(x[k] - max). */
static double exp_sum(size_t classes, const float *x, float *max)
{
    float m = x[0];
    double sum = 0;
    for (size_t k = 1; k < classes; k++) {
        m = x[k] > m ? x[k] : m;
    }
    for (size_t k = 0; k < classes; k++) {
        sum += (double)expf(x[k] - m);
    }
    *max = m;
    return sum;
}

/* -sum of t[k]*log p[k] = lse - (1-smoothing)*x[label] - smoothing*mean(x) */
static void forward(void *ctx, int worker, size_t begin, size_t end)
{
    args *a = ctx;
    double loss = 0;
    for (size_t i = begin; i < end; i++) {
        const float *x = a->logits + i * a->classes;
        float max;
        const double lse_less_max = log(exp_sum(a->classes, x, &max));
        double mean = 0; /* of x - max, so that large logits cancel exactly */
        for (size_t k = 0; k < a->classes; k++) {
            mean += (double)x[k] - (double)max;
        }
        mean /= (double)a->classes;
        loss += lse_less_max - (1.0 - a->smoothing) * ((double)x[a->label[i]] - (double)max) -
                a->smoothing * mean;
    }
    a->partial[worker] = loss;
}

static void backward(void *ctx, int worker, size_t begin, size_t end)
{
    const args *a = ctx;
    const float scale = (float)(a->weight / (double)a->n);
    const float off = (float)(a->smoothing / (double)a->classes);
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        const float *x = a->logits + i * a->classes;
        float *dx = a->dlogits + i * a->classes;
        float max;
        const float inv = (float)(1.0 / exp_sum(a->classes, x, &max));
        for (size_t k = 0; k < a->classes; k++) {
            const float d = scale * (expf(x[k] - max) * inv - off);
            dx[k] = a->accumulate ? dx[k] + d : d;
        }
        dx[a->label[i]] -= scale * (float)(1.0 - a->smoothing);
    }
}

static spx_status check_labels(int64_t n, int64_t classes, const int32_t *label)
{
    for (int64_t i = 0; i < n; i++) {
        if (label[i] < 0 || label[i] >= classes) {
            return SPX_FAIL(SPX_EINVAL, "cross entropy: label %d of image %lld, classes %lld",
                            (int)label[i], (long long)i, (long long)classes);
        }
    }
    return SPX_OK;
}

static spx_status forward_cpu(spx_stream *s, int64_t n, int64_t classes, const float *logits,
                              const int32_t *label, float smoothing, float *loss)
{
    args a;
    double sum = 0;
    SPX_RETURN_IF(check_labels(n, classes, label));
    a.n = (size_t)n;
    a.classes = (size_t)classes;
    a.logits = logits;
    a.label = label;
    a.smoothing = (double)smoothing;
    for (int t = 0; t < spx_stream_threads(s); t++) {
        a.partial[t] = 0; /* a worker without rows never writes its own */
    }
    spx_pool_run(spx_stream_pool(s), a.n, forward, &a);
    for (int t = 0; t < spx_stream_threads(s); t++) {
        sum += a.partial[t];
    }
    *loss = (float)(sum / (double)n);
    return SPX_OK;
}

static spx_status backward_cpu(spx_stream *s, int64_t n, int64_t classes, const float *logits,
                               const int32_t *label, float smoothing, float weight, bool accumulate,
                               float *dlogits)
{
    args a;
    SPX_RETURN_IF(check_labels(n, classes, label));
    a.n = (size_t)n;
    a.classes = (size_t)classes;
    a.logits = logits;
    a.label = label;
    a.smoothing = (double)smoothing;
    a.weight = (double)weight;
    a.accumulate = accumulate;
    a.dlogits = dlogits;
    spx_pool_run(spx_stream_pool(s), a.n, backward, &a);
    return SPX_OK;
}

static spx_status count_cpu(spx_stream *s, int64_t valid, int64_t classes, const float *logits,
                            const int32_t *label, spx_hits *hits)
{
    (void)s; /* beside a forward pass: nothing */
    spx_hits_add(hits, valid, classes, logits, label);
    return SPX_OK;
}

static const spx_loss_backend spx_loss_cpu = {forward_cpu, backward_cpu, count_cpu};

/* ---- validation ---- */

static spx_status check(int64_t n, int64_t classes, const float *logits, const int32_t *label,
                        float smoothing, const void *out)
{
    SPX_RETURN_IF(spx_check_size("cross entropy", n, classes, 1));
    if (logits == NULL || label == NULL || out == NULL || n > INT32_MAX || classes > INT32_MAX) {
        return SPX_FAIL(SPX_EINVAL, "cross entropy: an operand is missing, or %lld x %lld logits",
                        (long long)n, (long long)classes);
    }
    if (!(smoothing >= 0.0f && smoothing <= 1.0f)) {
        return SPX_FAIL(SPX_EINVAL, "cross entropy: smoothing %g is not in 0..1",
                        (double)smoothing);
    }
    return SPX_OK;
}

spx_status spx_cross_entropy_forward(spx_stream *s, int64_t n, int64_t classes, const float *logits,
                                     const int32_t *label, float smoothing, float *loss)
{
    SPX_RETURN_IF(check(n, classes, logits, label, smoothing, loss));
    return SPX_BACKEND(s, spx_loss_cpu, spx_loss_cuda)
        ->forward(s, n, classes, logits, label, smoothing, loss);
}

spx_status spx_cross_entropy_backward(spx_stream *s, int64_t n, int64_t classes,
                                      const float *logits, const int32_t *label, float smoothing,
                                      float weight, bool accumulate, float *dlogits)
{
    SPX_RETURN_IF(check(n, classes, logits, label, smoothing, dlogits));
    return SPX_BACKEND(s, spx_loss_cpu, spx_loss_cuda)
        ->backward(s, n, classes, logits, label, smoothing, weight, accumulate, dlogits);
}

spx_status spx_count_hits(spx_stream *s, int64_t n, int64_t valid, int64_t classes,
                          const float *logits, const int32_t *label, spx_hits *hits)
{
    SPX_RETURN_IF(check(n, classes, logits, label, 0, hits));
    if (valid < 0 || valid > n) {
        return SPX_FAIL(SPX_EINVAL, "hits: %lld of %lld rows", (long long)valid, (long long)n);
    }
    return SPX_BACKEND(s, spx_loss_cpu, spx_loss_cuda)
        ->count(s, valid, classes, logits, label, hits);
}
