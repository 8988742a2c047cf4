/*
 * Compiled once per instruction set. A mean over a window is separable: rows are summed first, a
 * whole row of pixels at a time (vectors along the row), then columns. The backward pass is the
 * transpose. 3x3 with padding 1, the networks' own pool, has a column step without inner loops.
 */
#include "kernels/nn/pool/pool2d_impl.h"

/* Columns summed at a time; >= 2 * the largest window, so wide rows go in few tiles. */
#define TILE 2048

static bool is_3x3(const spx_pool2d_shape *d)
{
    return d->size == 3 && d->pad == 1 && d->stride <= 2;
}

static float span_inverse(spx_span s)
{
    return 1.0f / (float)(s.end - s.begin);
}

/* buf[i] = sum over rows of x[row][begin + i], scaled by f */
static void sum_rows(const float *restrict x, int64_t w, spx_span rows, spx_span cols, float f,
                     float *restrict buf)
{
    const int64_t len = cols.end - cols.begin;
    const float *restrict r0 = x + rows.begin * w + cols.begin;
    if (rows.end - rows.begin == 3) {
        const float *restrict r1 = r0 + w, *restrict r2 = r1 + w;
#pragma omp simd
        for (int64_t i = 0; i < len; i++) {
            buf[i] = f * (r0[i] + r1[i] + r2[i]);
        }
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < len; i++) {
        buf[i] = f * r0[i];
    }
    for (int64_t r = rows.begin + 1; r < rows.end; r++) {
        const float *restrict row = x + r * w + cols.begin;
#pragma omp simd
        for (int64_t i = 0; i < len; i++) {
            buf[i] += f * row[i];
        }
    }
}

static float sum_range(const float *restrict x, int64_t len)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < len; i++) {
        sum += x[i];
    }
    return sum;
}

/* y[q] for q in [q0, q1) from the summed rows; buf[0] is column c0 */
static void sum_columns(const spx_pool2d_shape *d, const float *restrict buf, int64_t c0,
                        spx_span outs, float *restrict y)
{
    for (int64_t q = outs.begin; q < outs.end; q++) {
        const spx_span cols = spx_pool_window(d, q, d->w);
        y[q] = span_inverse(cols) * sum_range(buf + (cols.begin - c0), cols.end - cols.begin);
    }
}

/* The same for 3x3, padding 1: columns 0 .. w-1 in buf, inner outputs see three of them. */
static void sum_columns_3(const spx_pool2d_shape *d, const float *restrict buf, float *restrict y)
{
    const int64_t inner = d->stride == 1 ? d->w - 1 : d->w / 2; /* outputs [1, inner) are whole */
    const float third = 1.0f / 3.0f;
    sum_columns(d, buf, 0, (spx_span){0, 1}, y);
    if (d->stride == 1) {
#pragma omp simd
        for (int64_t q = 1; q < inner; q++) {
            y[q] = third * (buf[q - 1] + buf[q] + buf[q + 1]);
        }
    } else {
#pragma omp simd
        for (int64_t q = 1; q < inner; q++) {
            y[q] = third * (buf[2 * q - 1] + buf[2 * q] + buf[2 * q + 1]);
        }
    }
    sum_columns(d, buf, 0, (spx_span){inner > 1 ? inner : 1, d->q}, y);
}

static void forward_plane(const spx_pool2d_shape *d, const float *x, float *y)
{
    const int64_t per_tile = (TILE - d->size) / d->stride + 1;
    float buf[TILE];
    for (int64_t p = 0; p < d->p; p++, y += d->q) {
        const spx_span rows = spx_pool_window(d, p, d->h);
        if (is_3x3(d) && d->w <= TILE) {
            sum_rows(x, d->w, rows, (spx_span){0, d->w}, span_inverse(rows), buf);
            sum_columns_3(d, buf, y);
            continue;
        }
        for (int64_t q = 0; q < d->q; q += per_tile) {
            const int64_t last = q + per_tile < d->q ? q + per_tile : d->q;
            const spx_span cols = {spx_pool_window(d, q, d->w).begin,
                                   spx_pool_window(d, last - 1, d->w).end};
            sum_rows(x, d->w, rows, cols, span_inverse(rows), buf);
            sum_columns(d, buf, cols.begin, (spx_span){q, last}, y);
        }
    }
}

static void forward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_avg_pool_args *a = ctx;
    const spx_pool2d_shape *d = a->d;
    const size_t c = (size_t)d->c;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        forward_plane(d, a->in + i / c * a->in_stride + i % c * (size_t)(d->h * d->w),
                      a->out + i / c * a->out_stride + i % c * (size_t)(d->p * d->q));
    }
}

/* buf[i] = sum over output rows of dy[p][outs.begin + i] / (inputs under the window) */
static void spread_rows(const spx_pool2d_shape *d, const float *dy, spx_span rows, spx_span outs,
                        float *restrict buf)
{
    const int64_t len = outs.end - outs.begin;
    for (int64_t i = 0; i < len; i++) {
        buf[i] = 0;
    }
    for (int64_t p = rows.begin; p < rows.end; p++) {
        const float f = span_inverse(spx_pool_window(d, p, d->h));
        const float *restrict row = dy + p * d->q + outs.begin;
#pragma omp simd
        for (int64_t i = 0; i < len; i++) {
            buf[i] += f * row[i];
        }
    }
    if (is_3x3(d)) { /* only the outermost windows differ from three columns */
        const float third = 1.0f / 3.0f;
#pragma omp simd
        for (int64_t i = 0; i < len; i++) {
            buf[i] *= third;
        }
        for (int64_t q = outs.begin; q < outs.end; q = q + 1 < d->q - 1 ? d->q - 1 : q + 1) {
            buf[q - outs.begin] *= 3.0f * span_inverse(spx_pool_window(d, q, d->w));
        }
        return;
    }
    for (int64_t i = 0; i < len; i++) {
        buf[i] *= span_inverse(spx_pool_window(d, outs.begin + i, d->w));
    }
}

/* dx[c] += the outputs of buf (first: q0) that column c feeds, for c in cols */
static void gather_columns(const spx_pool2d_shape *d, const float *restrict buf, int64_t q0,
                           spx_span cols, float *restrict dx)
{
    for (int64_t c = cols.begin; c < cols.end; c++) {
        const spx_span outs = spx_pool_cover(d, c, d->q);
        for (int64_t q = outs.begin; q < outs.end; q++) {
            dx[c] += buf[q - q0];
        }
    }
}

static void gather_columns_3(const spx_pool2d_shape *d, const float *restrict buf,
                             float *restrict dx)
{
    int64_t c = 1;
    gather_columns(d, buf, 0, (spx_span){0, 1}, dx);
    if (d->stride == 1) {
#pragma omp simd
        for (int64_t i = 1; i < d->w - 1; i++) {
            dx[i] += buf[i - 1] + buf[i] + buf[i + 1];
        }
        c = d->w - 1 > 1 ? d->w - 1 : 1;
    } else { /* an odd column feeds two windows, an even one its own */
        for (int64_t q = 0; q + 1 < d->q; q++) {
            dx[2 * q + 1] += buf[q] + buf[q + 1];
            dx[2 * q + 2] += buf[q + 1];
        }
        c = 2 * (d->q - 1) + 1;
    }
    gather_columns(d, buf, 0, (spx_span){c, d->w}, dx);
}

static void backward_plane(const spx_pool2d_shape *d, const float *dy, bool accumulate, float *dx)
{
    float buf[TILE];
    for (int64_t r = 0; r < d->h; r++, dx += d->w) {
        const spx_span rows = spx_pool_cover(d, r, d->p);
        for (int64_t i = 0; !accumulate && i < d->w; i++) {
            dx[i] = 0;
        }
        if (is_3x3(d) && d->q <= TILE) {
            spread_rows(d, dy, rows, (spx_span){0, d->q}, buf);
            gather_columns_3(d, buf, dx);
            continue;
        }
        for (int64_t c = 0; c < d->w;
             c += TILE / 2) { /* half: a run of c columns feeds <= c + size */
            const int64_t last = c + TILE / 2 < d->w ? c + TILE / 2 : d->w;
            const spx_span outs = {spx_pool_cover(d, c, d->q).begin,
                                   spx_pool_cover(d, last - 1, d->q).end};
            if (outs.begin < outs.end) {
                spread_rows(d, dy, rows, outs, buf);
                gather_columns(d, buf, outs.begin, (spx_span){c, last}, dx);
            }
        }
    }
}

static void backward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_avg_pool_args *a = ctx;
    const spx_pool2d_shape *d = a->d;
    const size_t c = (size_t)d->c;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        backward_plane(d, a->in + i / c * a->in_stride + i % c * (size_t)(d->p * d->q),
                       a->accumulate,
                       a->out + i / c * a->out_stride + i % c * (size_t)(d->h * d->w));
    }
}

const spx_avg_pool_kernels SPX_VARIANT(spx_avg_pool_kernels) = {forward, backward};
