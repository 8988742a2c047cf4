#include "kernels/nn/distill/distill.h"
#include "kernels/device/backend.h"
#include "kernels/nn/distill/distill_private.h"
#include "kernels/nn/nn_check.h"

#include <float.h>
#include <math.h>

/* ---- the CPU ---- */

/* Arguments, and what each worker found. */
typedef struct job {
    const void *args;
    double partial[SPX_POOL_MAX_THREADS];
} job;

/* Adds up what fn leaves in partial[worker] for its part of n items. */
static double sum_of(spx_stream *s, size_t n, spx_pool_fn fn, const void *args)
{
    job j = {.args = args}; /* a worker without items never writes its own */
    double sum = 0;
    spx_pool_run(spx_stream_pool(s), n, fn, &j);
    for (int t = 0; t < spx_stream_threads(s); t++) {
        sum += j.partial[t];
    }
    return sum;
}

/* Softmax of a row at a temperature: exp((x[k] - max)/T) is p's numerator, sum its denominator. */
typedef struct row {
    const float *x;
    float max, over_t;
    double sum;
} row;

static float numerator(const row *r, int64_t k)
{
    return expf((r->x[k] - r->max) * r->over_t);
}

static row row_of(int64_t classes, const float *x, float temperature)
{
    row r = {.x = x, .max = x[0], .over_t = 1.0f / temperature};
    for (int64_t k = 1; k < classes; k++) {
        r.max = x[k] > r.max ? x[k] : r.max;
    }
    for (int64_t k = 0; k < classes; k++) {
        r.sum += (double)numerator(&r, k);
    }
    return r;
}

/* Row i of the teacher's and of the student's. */
typedef struct rows {
    row p, q;
} rows;

static rows rows_of(const spx_distillation_args *a, size_t i)
{
    const size_t at = i * (size_t)a->classes;
    return (rows){row_of(a->classes, a->target + at, a->temperature),
                  row_of(a->classes, a->logits + at, a->temperature)};
}

/* KL(p || q) = sum of p[k] * (log p[k] - log q[k]) */
static void distill_rows(void *ctx, int worker, size_t begin, size_t end)
{
    job *j = ctx;
    const spx_distillation_args *a = j->args;
    double loss = 0;
    for (size_t i = begin; i < end; i++) {
        const rows r = rows_of(a, i);
        double sum = 0;
        for (int64_t k = 0; k < a->classes; k++) {
            sum += (double)numerator(&r.p, k) *
                   (((double)r.p.x[k] - (double)r.p.max) - ((double)r.q.x[k] - (double)r.q.max));
        }
        loss += sum / r.p.sum / (double)a->temperature + log(r.q.sum) - log(r.p.sum);
    }
    j->partial[worker] = loss;
}

static spx_status distillation_cpu(spx_stream *s, const spx_distillation_args *a)
{
    const double t = (double)a->temperature;
    *a->out = (float)(t * t * sum_of(s, (size_t)a->n, distill_rows, a) / (double)a->n);
    return SPX_OK;
}

static void distill_rows_bwd(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_distillation_args *a = ctx;
    const float scale = (float)((double)a->weight * (double)a->temperature / (double)a->n);
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        const rows r = rows_of(a, i);
        const float of_p = (float)(1.0 / r.p.sum), of_q = (float)(1.0 / r.q.sum);
        float *dx = a->out + i * (size_t)a->classes;
        for (int64_t k = 0; k < a->classes; k++) {
            const float d = scale * (numerator(&r.q, k) * of_q - numerator(&r.p, k) * of_p);
            dx[k] = a->accumulate ? dx[k] + d : d;
        }
    }
}

static spx_status distillation_bwd_cpu(spx_stream *s, const spx_distillation_args *a)
{
    spx_distillation_args args = *a;
    spx_pool_run(spx_stream_pool(s), (size_t)a->n, distill_rows_bwd, &args);
    return SPX_OK;
}

static void map_images(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_attention_args *a = ctx;
    (void)worker;
    for (int64_t n = (int64_t)begin; n < (int64_t)end; n++) {
        float *map = a->map + n * a->hw;
        double square = 0;
        for (int64_t i = 0; i < a->hw; i++) {
            map[i] = 0;
        }
        for (int64_t c = 0; c < a->c; c++) {
            const float *x = spx_image(a->x, n) + c * a->hw;
            for (int64_t i = 0; i < a->hw; i++) {
                map[i] += x[i] * x[i];
            }
        }
        for (int64_t i = 0; i < a->hw; i++) {
            square += (double)map[i] * (double)map[i];
        }
        /* a NaN is at its pixel already */
        const double inverse =
            square >= SPX_ATTENTION_MIN_NORM * SPX_ATTENTION_MIN_NORM ? 1 / sqrt(square) : 0;
        a->inverse[n] = (float)inverse;
        for (int64_t i = 0; i < a->hw; i++) {
            map[i] = (float)((double)map[i] * inverse);
        }
    }
}

static spx_status attention_cpu(spx_stream *s, const spx_attention_args *a)
{
    spx_attention_args args = *a;
    spx_pool_run(spx_stream_pool(s), (size_t)a->n, map_images, &args);
    return SPX_OK;
}

static void map_images_bwd(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_attention_args *a = ctx;
    (void)worker;
    for (int64_t n = (int64_t)begin; n < (int64_t)end; n++) {
        const float *map = a->map + n * a->hw, *dmap = a->dmap + n * a->hw;
        const float twice = 2 * a->inverse[n];
        double dot = 0;
        for (int64_t i = 0; i < a->hw; i++) {
            dot += (double)map[i] * (double)dmap[i];
        }
        const float along = (float)dot;
        for (int64_t c = 0; c < a->c; c++) {
            const float *x = spx_image(a->x, n) + c * a->hw;
            float *dx = spx_image(a->dx, n) + c * a->hw;
            for (int64_t i = 0; i < a->hw; i++) {
                const float d = twice * x[i] * (dmap[i] - map[i] * along);
                dx[i] = a->accumulate ? dx[i] + d : d;
            }
        }
    }
}

static spx_status attention_bwd_cpu(spx_stream *s, const spx_attention_args *a)
{
    spx_attention_args args = *a;
    spx_pool_run(spx_stream_pool(s), (size_t)a->n, map_images_bwd, &args);
    return SPX_OK;
}

static void square_differences(void *ctx, int worker, size_t begin, size_t end)
{
    job *j = ctx;
    const spx_difference_args *a = j->args;
    double sum = 0;
    for (size_t i = begin; i < end; i++) {
        const double d = (double)a->x[i] - (double)a->y[i];
        sum += d * d;
    }
    j->partial[worker] = sum;
}

static spx_status difference_cpu(spx_stream *s, const spx_difference_args *a)
{
    const double mean = sum_of(s, (size_t)a->count, square_differences, a) / (double)a->count;
    *a->out = (float)((a->accumulate ? (double)*a->out : 0.0) + mean);
    return SPX_OK;
}

static spx_status difference_bwd_cpu(spx_stream *s, const spx_difference_args *a)
{
    const float scale = (float)(2 * (double)a->weight / (double)a->count);
    (void)s; /* maps of one channel: beside a forward pass nothing */
    for (int64_t i = 0; i < a->count; i++) {
        const float d = scale * (a->x[i] - a->y[i]);
        a->out[i] = a->accumulate ? a->out[i] + d : d;
    }
    return SPX_OK;
}

static const spx_distill_backend spx_distill_cpu = {distillation_cpu, distillation_bwd_cpu,
                                                    attention_cpu,    attention_bwd_cpu,
                                                    difference_cpu,   difference_bwd_cpu};

/* ---- validation ---- */

static spx_status check_distillation(const spx_distillation_args *a)
{
    SPX_RETURN_IF(spx_check_size("distillation", a->n, a->classes, 1));
    if (a->logits == NULL || a->target == NULL || a->out == NULL || a->n > INT32_MAX ||
        a->classes > INT32_MAX) {
        return SPX_FAIL(SPX_EINVAL, "distillation: an operand is missing, or %lld x %lld logits",
                        (long long)a->n, (long long)a->classes);
    }
    if (!(a->temperature > 0 && a->temperature <= FLT_MAX)) {
        return SPX_FAIL(SPX_EINVAL, "distillation: temperature %g, expected more than 0",
                        (double)a->temperature);
    }
    return SPX_OK;
}

spx_status spx_distillation_forward(spx_stream *s, int64_t n, int64_t classes, const float *logits,
                                    const float *target, float temperature, float *loss)
{
    const spx_distillation_args a = {.n = n,
                                     .classes = classes,
                                     .logits = logits,
                                     .target = target,
                                     .temperature = temperature,
                                     .out = loss};
    SPX_RETURN_IF(check_distillation(&a));
    return SPX_BACKEND(s, spx_distill_cpu, spx_distill_cuda)->distillation(s, &a);
}

spx_status spx_distillation_backward(spx_stream *s, int64_t n, int64_t classes, const float *logits,
                                     const float *target, float temperature, float weight,
                                     bool accumulate, float *dlogits)
{
    const spx_distillation_args a = {.n = n,
                                     .classes = classes,
                                     .logits = logits,
                                     .target = target,
                                     .temperature = temperature,
                                     .weight = weight,
                                     .accumulate = accumulate,
                                     .out = dlogits};
    SPX_RETURN_IF(check_distillation(&a));
    return SPX_BACKEND(s, spx_distill_cpu, spx_distill_cuda)->distillation_bwd(s, &a);
}

static spx_status check_attention(const spx_stream *s, const spx_attention_args *a)
{
    SPX_RETURN_IF(spx_check_size("attention map", a->n, a->c, a->hw));
    SPX_RETURN_IF(spx_check_operand(s, "attention map", "x", a->x, a->n, a->c, a->hw));
    return a->map != NULL && a->inverse != NULL && a->n <= INT32_MAX
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "attention map: an operand is missing, or %lld images",
                          (long long)a->n);
}

spx_status spx_attention_map_forward(spx_stream *s, int64_t n, int64_t c, int64_t hw, spx_operand x,
                                     float *map, float *inverse)
{
    const spx_attention_args a = {.n = n, .c = c, .hw = hw, .x = x, .map = map, .inverse = inverse};
    SPX_RETURN_IF(check_attention(s, &a));
    return SPX_BACKEND(s, spx_distill_cpu, spx_distill_cuda)->attention(s, &a);
}

spx_status spx_attention_map_backward(spx_stream *s, int64_t n, int64_t c, int64_t hw,
                                      spx_operand x, const float *map, const float *inverse,
                                      const float *dmap, bool accumulate, spx_operand dx)
{
    const spx_attention_args a = {.n = n,
                                  .c = c,
                                  .hw = hw,
                                  .x = x,
                                  .map = (float *)(uintptr_t)map, /* only read */
                                  .inverse = (float *)(uintptr_t)inverse,
                                  .dmap = dmap,
                                  .accumulate = accumulate,
                                  .dx = dx};
    SPX_RETURN_IF(check_attention(s, &a));
    SPX_RETURN_IF(spx_check_operand(s, "attention map", "dx", dx, n, c, hw));
    if (dmap == NULL) {
        return SPX_FAIL(SPX_EINVAL, "attention map: its gradient is missing");
    }
    return SPX_BACKEND(s, spx_distill_cpu, spx_distill_cuda)->attention_bwd(s, &a);
}

static spx_status check_difference(const spx_difference_args *a)
{
    SPX_RETURN_IF(spx_check_size("squared difference", a->count, 1, 1));
    return a->x != NULL && a->y != NULL && a->out != NULL
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "squared difference: an operand is missing");
}

spx_status spx_squared_difference_forward(spx_stream *s, int64_t count, const float *x,
                                          const float *y, bool accumulate, float *loss)
{
    const spx_difference_args a = {
        .count = count, .x = x, .y = y, .accumulate = accumulate, .out = loss};
    SPX_RETURN_IF(check_difference(&a));
    return SPX_BACKEND(s, spx_distill_cpu, spx_distill_cuda)->difference(s, &a);
}

spx_status spx_squared_difference_backward(spx_stream *s, int64_t count, const float *x,
                                           const float *y, float weight, bool accumulate, float *dx)
{
    const spx_difference_args a = {
        .count = count, .x = x, .y = y, .weight = weight, .accumulate = accumulate, .out = dx};
    SPX_RETURN_IF(check_difference(&a));
    return SPX_BACKEND(s, spx_distill_cpu, spx_distill_cuda)->difference_bwd(s, &a);
}
