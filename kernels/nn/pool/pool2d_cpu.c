/*
 * Compiled once per instruction set. A mean over a window is separable: rows are summed first, a
 * whole row of pixels at a time, then columns. The backward pass is the transpose. 3x3 with padding
 * 1, the networks' own pool, has vectorised column steps; other windows a loop over each.
 */
#include "kernels/base/lanes.h"
#include "kernels/nn/pool/pool2d_private.h"

/* Columns at a time; >= 2 * the largest window, so wide rows go in few tiles. */
#define TILE 2048
/* Floats of a strip: several rows are summed before their columns, or every column step would wait
 * for the row step's stores. */
#define STRIP 2048

static float inverse(spx_pool2d_span s)
{
    return 1.0f / (float)(s.end - s.begin);
}

/* ---- 3x3, padding 1, stride 1 or 2; `stride` is a constant in each call ---- */

/* What every plane shares. Strip rows have a zero before and zeros behind, so all
 * loads are whole. */
typedef struct plan3 {
    int64_t step;           /* floats from row to row of a strip */
    int64_t rows;           /* of a strip */
    float row_factor[TILE]; /* 1 / rows under output row p */
    float col_factor[TILE]; /* 1 / columns under output column q */
} plan3;

#define MARGIN 8 /* floats before a strip's row */
#define BEHIND 16

static bool plan3_fits(const spx_pool2d_shape *d)
{
    return d->size == 3 && d->pad == 1 && d->stride <= 2 && d->h + MARGIN <= TILE &&
           d->w + MARGIN + BEHIND <= TILE;
}

/* stored: pixels of a strip's row */
static void plan3_init(plan3 *k, const spx_pool2d_shape *d, int64_t stored, float *strip)
{
    k->step = MARGIN + stored + BEHIND;
    k->rows = STRIP / k->step > 0 ? STRIP / k->step : 1;
    for (int64_t p = 0; p < d->p; p++) {
        k->row_factor[p] = inverse(spx_pool2d_window(d, p, d->h));
    }
    for (int64_t q = 0; q < d->q + MARGIN; q++) {
        k->col_factor[q] = q < d->q ? inverse(spx_pool2d_window(d, q, d->w)) : 0.0f;
    }
    for (int64_t i = 0; i < STRIP + TILE; i++) {
        strip[i] = 0; /* the margins stay so */
    }
}

/* f[0] * row 0 + f[1] * row 1 + .., rows w apart, at pixel i; `left` pixels remain */
static inline v8 weigh_rows(const float *x, int64_t w, int rows, const float f[], int64_t left)
{
    v8 sum = v8_set(0);
    for (int r = 0; r < rows; r++) {
        const v8 row = left >= 8 ? v8_load(x + r * w) : v8_load_part(x + r * w, (size_t)left, sum);
        sum = v8_fma(v8_set(f[r]), row, sum);
    }
    return sum;
}

/* buf[i] = scale[i] (1 where NULL) * the weighted rows; rows is a constant in each call */
static inline void weigh_len(const float *x, int64_t w, int rows, const float f[],
                             const float *scale, int64_t len, float *buf)
{
    for (int64_t i = 0; i < len; i += 8) {
        v8 sum = weigh_rows(x + i, w, rows, f, len - i);
        sum = scale != NULL ? v8_mul(sum, v8_load(scale + i)) : sum;
        if (len - i >= 8) {
            v8_store(buf + i, sum);
        } else {
            v8_store_part(buf + i, (size_t)(len - i), sum);
        }
    }
}

static void weigh(const float *x, int64_t w, int64_t rows, const float f[], const float *scale,
                  int64_t len, float *buf)
{
    switch (rows) {
    case 0: /* a row that no window covers */
        weigh_len(x, w, 0, f, scale, len, buf);
        break;
    case 1:
        weigh_len(x, w, 1, f, scale, len, buf);
        break;
    case 2:
        weigh_len(x, w, 2, f, scale, len, buf);
        break;
    default:
        weigh_len(x, w, 3, f, scale, len, buf);
    }
}

static inline void store_some(float *p, int64_t left, v8 a)
{
    if (left >= 8) {
        v8_store(p, a);
    } else if (left > 0) {
        v8_store_part(p, (size_t)left, a);
    }
}

/* y[q] = factor[q] * (three columns of row); row[-1] is the padding */
static inline void columns_forward(int64_t stride, const float *factor, int64_t outs,
                                   const float *row, float *y)
{
    for (int64_t q = 0; q < outs; q += 8) {
        const float *p = row + stride * q;
        v8 left, middle, right;
        if (stride == 1) {
            left = v8_load(p - 1);
            middle = v8_load(p);
            right = v8_load(p + 1);
        } else {
            left = v8_even(v8_load(p - 1), v8_load(p + 7));
            middle = v8_odd(v8_load(p - 1), v8_load(p + 7));
            right = v8_odd(v8_load(p), v8_load(p + 8));
        }
        store_some(y + q, outs - q,
                   v8_mul(v8_load(factor + q), v8_add(v8_add(left, right), middle)));
    }
}

static inline void forward_plane_3(const spx_pool2d_shape *d, int64_t stride, const plan3 *k,
                                   const float *x, float *y, float *strip)
{
    for (int64_t p0 = 0; p0 < d->p; p0 += k->rows) {
        const int64_t p1 = p0 + k->rows < d->p ? p0 + k->rows : d->p;
        for (int64_t p = p0; p < p1; p++) {
            const int64_t begin = p > 0 ? p * stride - 1 : 0;
            const int64_t end = p * stride + 2 < d->h ? p * stride + 2 : d->h;
            const float f = k->row_factor[p], fs[3] = {f, f, f};
            weigh(x + begin * d->w, d->w, end - begin, fs, NULL, d->w,
                  strip + (p - p0) * k->step + MARGIN);
        }
        for (int64_t p = p0; p < p1; p++) {
            columns_forward(stride, k->col_factor, d->q, strip + (p - p0) * k->step + MARGIN,
                            y + p * d->q);
        }
    }
}

static inline void store_or_add(float *p, int64_t left, bool accumulate, v8 a)
{
    if (left <= 0) {
        return;
    }
    if (accumulate) {
        a = v8_add(a, left >= 8 ? v8_load(p) : v8_load_part(p, (size_t)left, v8_set(0)));
    }
    store_some(p, left, a);
}

/* dx = (dx) + what the outputs in row feed; row is scaled by all factors already */
static inline void columns_backward(int64_t stride, int64_t w, const float *row, bool accumulate,
                                    float *dx)
{
    for (int64_t c = 0; c < w; c += 8 * stride) {
        if (stride == 1) {
            const v8 sum = v8_add(v8_load(row + c - 1), v8_load(row + c + 1));
            store_or_add(dx + c, w - c, accumulate, v8_add(sum, v8_load(row + c)));
        } else { /* an even column feeds its own output, an odd one the next too */
            const v8 own = v8_load(row + c / 2), next = v8_load(row + c / 2 + 1);
            v8 low, high;
            v8_interleave(own, v8_add(own, next), &low, &high);
            store_or_add(dx + c, w - c, accumulate, low);
            store_or_add(dx + c + 8, w - c - 8, accumulate, high);
        }
    }
}

static inline void backward_plane_3(const spx_pool2d_shape *d, int64_t stride, const plan3 *k,
                                    const float *dy, bool accumulate, float *dx, float *strip)
{
    for (int64_t r0 = 0; r0 < d->h; r0 += k->rows) {
        const int64_t r1 = r0 + k->rows < d->h ? r0 + k->rows : d->h;
        for (int64_t r = r0; r < r1; r++) {
            const int64_t begin = r >= 2 ? (r - 2) / stride + 1 : 0;
            const int64_t last = (r + 1) / stride + 1, end = last < d->p ? last : d->p;
            weigh(dy + begin * d->q, d->q, end - begin, k->row_factor + begin, k->col_factor, d->q,
                  strip + (r - r0) * k->step + MARGIN);
        }
        for (int64_t r = r0; r < r1; r++) {
            columns_backward(stride, d->w, strip + (r - r0) * k->step + MARGIN, accumulate,
                             dx + r * d->w);
        }
    }
}

/* ---- any window ---- */

static float sum_range(const float *x, int64_t len)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < len; i++) {
        sum += x[i];
    }
    return sum;
}

/* buf[i] = sum of the rows of x from column c on, the rows added one after the other */
static void add_rows(const float *x, int64_t w, spx_pool2d_span rows, int64_t c, int64_t len,
                     float *buf)
{
    for (int64_t i = 0; i < len; i++) {
        buf[i] = 0;
    }
    for (int64_t r = rows.begin; r < rows.end; r++) {
        const float *row = x + r * w + c;
#pragma omp simd
        for (int64_t i = 0; i < len; i++) {
            buf[i] += row[i];
        }
    }
}

static void forward_plane(const spx_pool2d_shape *d, const float *x, float *y, float *buf)
{
    const int64_t per_tile = (TILE - d->size) / d->stride + 1;
    for (int64_t p = 0; p < d->p; p++, y += d->q) {
        const spx_pool2d_span rows = spx_pool2d_window(d, p, d->h);
        for (int64_t q0 = 0; q0 < d->q; q0 += per_tile) {
            const int64_t q1 = q0 + per_tile < d->q ? q0 + per_tile : d->q;
            const int64_t c0 = spx_pool2d_window(d, q0, d->w).begin;
            add_rows(x, d->w, rows, c0, spx_pool2d_window(d, q1 - 1, d->w).end - c0, buf);
            for (int64_t q = q0; q < q1; q++) {
                const spx_pool2d_span cols = spx_pool2d_window(d, q, d->w);
                const int64_t len = cols.end - cols.begin;
                y[q] = inverse(rows) * inverse(cols) * sum_range(buf + (cols.begin - c0), len);
            }
        }
    }
}

/* buf[i] = sum over output rows of dy[p][outs.begin + i] / (inputs under the window) */
static void spread_rows(const spx_pool2d_shape *d, const float *dy, spx_pool2d_span rows,
                        spx_pool2d_span outs, float *buf)
{
    const int64_t len = outs.end - outs.begin;
    for (int64_t i = 0; i < len; i++) {
        buf[i] = 0;
    }
    for (int64_t p = rows.begin; p < rows.end; p++) {
        const float f = inverse(spx_pool2d_window(d, p, d->h));
        const float *row = dy + p * d->q + outs.begin;
#pragma omp simd
        for (int64_t i = 0; i < len; i++) {
            buf[i] += f * row[i];
        }
    }
    for (int64_t i = 0; i < len; i++) {
        buf[i] *= inverse(spx_pool2d_window(d, outs.begin + i, d->w));
    }
}

/* dx[c] += the outputs of buf (first: q0) that column c feeds, for c in cols */
static void gather_columns(const spx_pool2d_shape *d, const float *buf, int64_t q0,
                           spx_pool2d_span cols, float *dx)
{
    for (int64_t c = cols.begin; c < cols.end; c++) {
        const spx_pool2d_span outs = spx_pool2d_cover(d, c, d->q);
        for (int64_t q = outs.begin; q < outs.end; q++) {
            dx[c] += buf[q - q0];
        }
    }
}

static void backward_plane(const spx_pool2d_shape *d, const float *dy, bool accumulate, float *dx,
                           float *buf)
{
    for (int64_t r = 0; r < d->h; r++, dx += d->w) {
        const spx_pool2d_span rows = spx_pool2d_cover(d, r, d->p);
        for (int64_t i = 0; !accumulate && i < d->w; i++) {
            dx[i] = 0;
        }
        for (int64_t c = 0; c < d->w; c += TILE / 2) { /* c columns feed fewer than c + size */
            const int64_t last = c + TILE / 2 < d->w ? c + TILE / 2 : d->w;
            const spx_pool2d_span outs = {spx_pool2d_cover(d, c, d->q).begin,
                                          spx_pool2d_cover(d, last - 1, d->q).end};
            if (outs.begin < outs.end) {
                spread_rows(d, dy, rows, outs, buf);
                gather_columns(d, buf, outs.begin, (spx_pool2d_span){c, last}, dx);
            }
        }
    }
}

/* ---- planes ---- */

static void forward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_avg_pool_args *a = ctx;
    const spx_pool2d_shape *d = a->d;
    const size_t c = (size_t)d->c;
    float buf[STRIP + TILE];
    plan3 k;
    (void)worker;
    if (plan3_fits(d)) {
        plan3_init(&k, d, d->w, buf);
    }
    for (size_t i = begin; i < end; i++) {
        const float *x = spx_image(a->in, (int64_t)(i / c)) + i % c * (size_t)(d->h * d->w);
        float *y = spx_image(a->out, (int64_t)(i / c)) + i % c * (size_t)(d->p * d->q);
        if (plan3_fits(d)) {
            if (d->stride == 1) {
                forward_plane_3(d, 1, &k, x, y, buf);
            } else {
                forward_plane_3(d, 2, &k, x, y, buf);
            }
        } else {
            forward_plane(d, x, y, buf);
        }
    }
}

static void backward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_avg_pool_args *a = ctx;
    const spx_pool2d_shape *d = a->d;
    const size_t c = (size_t)d->c;
    float buf[STRIP + TILE];
    plan3 k;
    (void)worker;
    if (plan3_fits(d)) {
        plan3_init(&k, d, d->q, buf);
    }
    for (size_t i = begin; i < end; i++) {
        const float *dy = spx_image(a->in, (int64_t)(i / c)) + i % c * (size_t)(d->p * d->q);
        float *dx = spx_image(a->out, (int64_t)(i / c)) + i % c * (size_t)(d->h * d->w);
        if (plan3_fits(d)) {
            if (d->stride == 1) {
                backward_plane_3(d, 1, &k, dy, a->accumulate, dx, buf);
            } else {
                backward_plane_3(d, 2, &k, dy, a->accumulate, dx, buf);
            }
        } else {
            backward_plane(d, dy, a->accumulate, dx, buf);
        }
    }
}

const spx_avg_pool_kernels SPX_VARIANT(spx_avg_pool_kernels) = {forward, backward};
