/* Compiled once per instruction set; plain loops over rows of pixels that the compiler vectorises.
 */
#include "kernels/nn/norm_sum/norm_sum_impl.h"

/* Pixels taken at a time: the sums in single precision stay short, and a chunk of y or dz in L1. */
#define CHUNK ((size_t)1024)
#define GROUP 4 /* terms per pass over a chunk */

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- statistics ---- */

static float row_mean(const float *x, size_t hw)
{
    double sum = 0;
    for (size_t i = 0; i < hw; i += CHUNK) {
        const size_t len = min_size(CHUNK, hw - i);
        float part = 0;
#pragma omp simd reduction(+ : part)
        for (size_t j = 0; j < len; j++) {
            part += x[i + j];
        }
        sum += (double)part;
    }
    return (float)(sum / (double)hw);
}

/* Adds sum(x - shift) and sum((x - shift)^2) of a row. */
static void shifted_sums(const float *restrict x, size_t hw, float shift, double *sum, double *sum2)
{
    for (size_t i = 0; i < hw; i += CHUNK) {
        const size_t len = min_size(CHUNK, hw - i);
        float s1 = 0, s2 = 0;
#pragma omp simd reduction(+ : s1, s2)
        for (size_t j = 0; j < len; j++) {
            const float d = x[i + j] - shift;
            s1 += d;
            s2 += d * d;
        }
        *sum += (double)s1;
        *sum2 += (double)s2;
    }
}

/*
 * One pass with the mean of the first row as shift. Let that row's mean be off by D: it alone gives
 * the channel a variance of at least about D^2/n, so sum2/m - (sum/m)^2 loses at most a factor n of
 * its digits, whatever the mean.
 */
static void stats(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_bn_stats_args *a = ctx;
    const double m = (double)a->n * (double)a->hw;
    (void)worker;
    for (size_t c = begin; c < end; c++) {
        const float *x = a->x + c * a->hw;
        const float shift = row_mean(x, a->hw);
        double sum = 0, sum2 = 0, m2;
        for (size_t n = 0; n < a->n; n++) {
            shifted_sums(x + n * a->stride, a->hw, shift, &sum, &sum2);
        }
        m2 = sum2 - sum * sum / m;
        spx_bn_finish_channel(a, c, (double)shift + sum / m, m2 < 0 ? 0 : m2);
    }
}

/* ---- forward ---- */

/* y += sum of a[j] * x[j] over GROUP rows */
static void add_group(size_t len, const float *const x[GROUP], const float a[GROUP],
                      float *restrict y)
{
    const float *restrict x0 = x[0], *restrict x1 = x[1], *restrict x2 = x[2], *restrict x3 = x[3];
    const float a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
#pragma omp simd
    for (size_t i = 0; i < len; i++) {
        y[i] += a0 * x0[i] + a1 * x1[i] + a2 * x2[i] + a3 * x3[i];
    }
}

static void add_one(size_t len, const float *restrict x, float a, float *restrict y)
{
#pragma omp simd
    for (size_t i = 0; i < len; i++) {
        y[i] += a * x[i];
    }
}

/* y = shift + sum of a[j] * x[j] over k rows, then the ReLU */
static void combine_row(size_t hw, int k, const float *const x[], const float a[], float shift,
                        bool relu, float *restrict y)
{
    for (size_t at = 0; at < hw; at += CHUNK) {
        const size_t len = min_size(CHUNK, hw - at);
        int j = 0;
        for (size_t i = 0; i < len; i++) {
            y[at + i] = shift;
        }
        for (; j + GROUP <= k; j += GROUP) {
            const float *const group[GROUP] = {x[j] + at, x[j + 1] + at, x[j + 2] + at,
                                               x[j + 3] + at};
            add_group(len, group, a + j, y + at);
        }
        for (; j < k; j++) {
            add_one(len, x[j] + at, a[j], y + at);
        }
        for (size_t i = 0; relu && i < len; i++) {
            y[at + i] = 0.0f > y[at + i] ? 0.0f : y[at + i]; /* a NaN stays one */
        }
    }
}

/* A term of channel c is scale * x + shift, before its mask. */
static void term_affine(const spx_norm_term *t, size_t c, float *scale, float *shift)
{
    const double coef = t->coef != NULL ? (double)*t->coef : 1.0;
    if (t->mean == NULL) {
        *scale = (float)coef;
        *shift = 0;
    } else {
        const double gamma = t->gamma != NULL ? (double)t->gamma[c] : 1.0;
        const double beta = t->beta != NULL ? (double)t->beta[c] : 0.0;
        const double g = gamma * (double)t->invstd[c];
        *scale = (float)(coef * g);
        *shift = (float)(coef * (beta - g * (double)t->mean[c]));
    }
}

static void forward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_norm_sum_args *a = ctx;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        const size_t n = r / a->c, c = r % a->c;
        const float *x[SPX_NORM_SUM_MAX];
        float scale[SPX_NORM_SUM_MAX], shift = 0;
        int k = 0;
        for (int j = 0; j < a->k; j++) {
            const spx_norm_term *t = &a->term[j];
            const float mask = t->mask != NULL ? t->mask[n] : 1.0f;
            float one;
            term_affine(t, c, &scale[k], &one);
            scale[k] *= mask;
            shift += mask * one;
            x[k] = t->x + n * (size_t)t->stride_n + c * a->hw;
            k += scale[k] != 0.0f; /* a dropped path is not read */
        }
        combine_row(a->hw, k, x, scale, shift, a->relu, a->out + n * a->out_stride + c * a->hw);
    }
}

/* ---- backward ---- */

/* dz of a chunk: dy itself, or dy behind the ReLU, written to buf */
static const float *chunk_dz(const spx_norm_sum_args *a, size_t n, size_t offset, size_t len,
                             float *restrict buf)
{
    const float *restrict dy = a->dy + n * a->dy_stride + offset;
    const float *restrict y;
    if (!a->relu) {
        return dy;
    }
    y = a->y + n * a->y_stride + offset;
#pragma omp simd
    for (size_t i = 0; i < len; i++) {
        buf[i] = y[i] > 0.0f ? dy[i] : 0.0f;
    }
    return buf;
}

static float sum_of(size_t len, const float *restrict x)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < len; i++) {
        sum += x[i];
    }
    return sum;
}

/* sum of dz * (x[j] - mean[j]) for GROUP rows; the mean goes first, so that a large one cancels
 * nothing */
static void dot_group(size_t len, const float *restrict dz, const float *const x[GROUP],
                      const float mean[GROUP], float out[GROUP])
{
    const float *restrict x0 = x[0], *restrict x1 = x[1], *restrict x2 = x[2], *restrict x3 = x[3];
    const float m0 = mean[0], m1 = mean[1], m2 = mean[2], m3 = mean[3];
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (size_t i = 0; i < len; i++) {
        s0 += dz[i] * (x0[i] - m0);
        s1 += dz[i] * (x1[i] - m1);
        s2 += dz[i] * (x2[i] - m2);
        s3 += dz[i] * (x3[i] - m3);
    }
    out[0] = s0;
    out[1] = s1;
    out[2] = s2;
    out[3] = s3;
}

static float dot_one(size_t len, const float *restrict dz, const float *restrict x, float mean)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < len; i++) {
        sum += dz[i] * (x[i] - mean);
    }
    return sum;
}

/* The terms whose product with dz somebody wants. */
typedef struct wanted {
    int count;
    int term[SPX_NORM_SUM_MAX];
} wanted;

static wanted find_wanted(const spx_norm_sum_args *a)
{
    wanted w;
    w.count = 0;
    for (int j = 0; j < a->k; j++) {
        if (a->term[j].mean != NULL || a->grad[j].dcoef != NULL) {
            w.term[w.count++] = j;
        }
    }
    return w;
}

/* dots[j] = sum of dz * (x_j - mean_j) over a chunk, for every wanted term */
static void chunk_dots(const spx_norm_sum_args *a, const wanted *w, size_t n, size_t c,
                       size_t offset, size_t len, const float *dz, float dots[])
{
    const float *x[SPX_NORM_SUM_MAX];
    float mean[SPX_NORM_SUM_MAX];
    int i = 0;
    for (int v = 0; v < w->count; v++) {
        const spx_norm_term *t = &a->term[w->term[v]];
        x[v] = t->x + n * (size_t)t->stride_n + offset;
        mean[v] = t->mean != NULL ? t->mean[c] : 0.0f;
    }
    for (; i + GROUP <= w->count; i += GROUP) {
        dot_group(len, dz, x + i, mean + i, dots + i);
    }
    for (; i < w->count; i++) {
        dots[i] = dot_one(len, dz, x[i], mean[i]);
    }
}

/* One channel belongs to one worker, so no partial sums need a home. */
static void reduce_channel(const spx_norm_sum_args *a, const wanted *w, size_t c, double dcoef[])
{
    double sum_dz[SPX_NORM_SUM_MAX] = {0}, sum_dz_x[SPX_NORM_SUM_MAX] = {0};
    for (size_t n = 0; n < a->n; n++) {
        for (size_t at = 0; at < a->hw; at += CHUNK) {
            const size_t len = min_size(CHUNK, a->hw - at), offset = c * a->hw + at;
            float buf[CHUNK], dots[SPX_NORM_SUM_MAX];
            const float *dz = chunk_dz(a, n, offset, len, buf);
            const double sum = (double)sum_of(len, dz);
            chunk_dots(a, w, n, c, offset, len, dz, dots);
            for (int j = 0; j < a->k; j++) {
                sum_dz[j] += (a->term[j].mask != NULL ? (double)a->term[j].mask[n] : 1.0) * sum;
            }
            for (int v = 0; v < w->count; v++) {
                const float *mask = a->term[w->term[v]].mask;
                sum_dz_x[w->term[v]] += (mask != NULL ? (double)mask[n] : 1.0) * (double)dots[v];
            }
        }
    }
    for (int j = 0; j < a->k; j++) {
        spx_norm_sum_finish_channel(&a->term[j], &a->grad[j], c, sum_dz[j], sum_dz_x[j], &dcoef[j]);
    }
}

static void reduce(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_norm_sum_args *a = ctx;
    const wanted w = find_wanted(a);
    for (size_t c = begin; c < end; c++) {
        reduce_channel(a, &w, c, a->dcoef[worker]);
    }
}

/* dx = (dx) + A*dz + B*(x - mean) + C over a row */
typedef struct row_affine {
    float a, b, c, mean;
} row_affine;

static row_affine apply_factors(const spx_norm_sum_args *a, size_t n, size_t c)
{
    const spx_norm_term *t = a->term;
    const double m = (double)a->n * (double)a->hw;
    const double mask = t->mask != NULL ? (double)t->mask[n] : 1.0;
    double g = t->coef != NULL ? (double)*t->coef : 1.0;
    if (t->mean == NULL) {
        return (row_affine){(float)(g * mask), 0, 0, 0};
    }
    g *= (double)t->invstd[c] * (t->gamma != NULL ? (double)t->gamma[c] : 1.0);
    return (row_affine){(float)(g * mask),
                        (float)(-g * (double)t->invstd[c] * (double)a->sum_dy_xhat[c] / m),
                        (float)(-g * (double)a->sum_dy[c] / m), t->mean[c]};
}

static void apply_chunk(size_t len, const float *restrict dz, const float *restrict x, row_affine f,
                        bool normalised, bool accumulate, float *restrict dx)
{
    if (!accumulate) {
        for (size_t i = 0; i < len; i++) {
            dx[i] = 0;
        }
    }
    if (normalised) {
#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            dx[i] += f.a * dz[i] + (f.b * (x[i] - f.mean) + f.c);
        }
    } else {
#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            dx[i] += f.a * dz[i];
        }
    }
}

static void apply(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_norm_sum_args *a = ctx;
    const spx_norm_term *t = a->term;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        const size_t n = r / a->c, c = r % a->c;
        const row_affine f = apply_factors(a, n, c);
        for (size_t at = 0; at < a->hw; at += CHUNK) {
            const size_t len = min_size(CHUNK, a->hw - at), offset = c * a->hw + at;
            float buf[CHUNK];
            apply_chunk(len, chunk_dz(a, n, offset, len, buf),
                        t->x + n * (size_t)t->stride_n + offset, f, t->mean != NULL, a->accumulate,
                        a->out + n * a->out_stride + offset);
        }
    }
}

const spx_norm_sum_kernels SPX_VARIANT(spx_norm_sum_kernels) = {stats, forward, reduce, apply};
