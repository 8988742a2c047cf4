/*
 * The planar kernels, compiled once per instruction set: the including file defines PLANAR_ISA (the
 * table to fill), PLANAR_PAIRS (the register blocks that fit its registers), PLANAR_MAX_KB and
 * PLANAR_MAX_PB. Vectors are 8 floats on both sets: with 32 registers they reach the peak of
 * processors that split 16-float operations, and short rows waste less.
 */
#include "kernels/nn/conv2d/conv2d_simd_private.h"
#include "kernels/nn/conv2d/planar/conv2d_planar_private.h"

INLINE void mac_block(const spx_planar_mac *a, const int kb, const int pb)
{
    __m256 acc[SPX_PLANAR_MAX_KB][SPX_PLANAR_MAX_PB];
    int64_t voff[SPX_PLANAR_MAX_PB];
    const __m256i mask = v8_first((size_t)a->tail);
    const bool whole = a->tail == SPX_CONV2D_VECTOR;
    UNROLL
    for (int v = 0; v < pb; v++) {
        voff[v] = a->voff[v];
    }
    float *const out = a->out;
    const int64_t out_stride = a->out_stride;
    if (a->load) {
        UNROLL
        for (int k = 0; k < kb; k++) {
            UNROLL
            for (int v = 0; v < pb - 1; v++) {
                acc[k][v] = _mm256_loadu_ps(out + k * out_stride + 8 * v);
            }
            acc[k][pb - 1] = _mm256_maskload_ps(out + k * out_stride + 8 * (pb - 1), mask);
        }
    } else {
        UNROLL
        for (int k = 0; k < kb; k++) {
            const __m256 start = a->bias != NULL ? _mm256_set1_ps(a->bias[k]) : _mm256_setzero_ps();
            UNROLL
            for (int v = 0; v < pb; v++) {
                acc[k][v] = start;
            }
        }
    }
    const float *w = a->w, *in = a->in;
    const spx_planar_tap *tap = a->tap, *const begin = tap, *const end = tap + a->n;
    const int64_t in_step = a->in_step, w_step = a->w_step;
    /* One loop over all groups: a loop of its own for a group's few taps costs more to enter and
     * leave. */
    for (int64_t left = a->n * a->groups; left > 0; left--) {
        const float *src = in + tap->in, *wt = w + tap->w * kb;
        __m256 x[SPX_PLANAR_MAX_PB];
        UNROLL
        for (int v = 0; v < pb; v++) {
            x[v] = _mm256_loadu_ps(src + voff[v]);
        }
        UNROLL
        for (int k = 0; k < kb; k++) {
            const __m256 wk = _mm256_broadcast_ss(wt + k);
            UNROLL
            for (int v = 0; v < pb; v++) {
                acc[k][v] = _mm256_fmadd_ps(wk, x[v], acc[k][v]);
            }
        }
        tap++;
        const bool wrap = tap == end;
        const float *const next_in = in + in_step, *const next_w = w + w_step;
        tap = wrap ? begin : tap;
        in = wrap ? next_in : in;
        w = wrap ? next_w : w;
    }
    UNROLL
    for (int k = 0; k < kb; k++) {
        UNROLL
        for (int v = 0; v < pb - 1; v++) {
            _mm256_storeu_ps(out + k * out_stride + 8 * v, acc[k][v]);
        }
    }
    UNROLL
    for (int k = 0; k < kb; k++) {
        float *last = out + k * out_stride + 8 * (pb - 1);
        if (whole) { /* a plain store is many times cheaper than a masked one */
            _mm256_storeu_ps(last, acc[k][pb - 1]);
        } else {
            _mm256_maskstore_ps(last, mask, acc[k][pb - 1]);
        }
    }
}

/* One vector of outputs into all kb * pb sums; the fewer operands wait in registers
 * for the others. */
INLINE void dot_step(__m256 acc[][SPX_PLANAR_MAX_PB], const float *dy, int64_t plane, __m256i mask,
                     const bool whole, const float *const *in, int64_t at, const int kb,
                     const int pb)
{
    __m256 x[SPX_PLANAR_MAX_PB], g[SPX_PLANAR_MAX_KB];
    if (pb < kb) {
        UNROLL
        for (int t = 0; t < pb; t++) {
            x[t] = _mm256_loadu_ps(in[t] + at);
        }
        UNROLL
        for (int k = 0; k < kb; k++) {
            g[0] =
                whole ? _mm256_loadu_ps(dy + k * plane) : _mm256_maskload_ps(dy + k * plane, mask);
            UNROLL
            for (int t = 0; t < pb; t++) {
                acc[k][t] = _mm256_fmadd_ps(g[0], x[t], acc[k][t]);
            }
        }
        return;
    }
    UNROLL
    for (int k = 0; k < kb; k++) {
        g[k] = whole ? _mm256_loadu_ps(dy + k * plane) : _mm256_maskload_ps(dy + k * plane, mask);
    }
    UNROLL
    for (int t = 0; t < pb; t++) {
        x[0] = _mm256_loadu_ps(in[t] + at);
        UNROLL
        for (int k = 0; k < kb; k++) {
            acc[k][t] = _mm256_fmadd_ps(g[k], x[0], acc[k][t]);
        }
    }
}

INLINE void dot_block(const spx_planar_dot *a, const int kb, const int pb)
{
    __m256 acc[SPX_PLANAR_MAX_KB][SPX_PLANAR_MAX_PB];
    const float *in[SPX_PLANAR_MAX_PB];
    const spx_planar_spot *const whole = a->spot + (a->tail == 8 ? a->n : a->n - 1);
    const int64_t plane = a->dy_plane;
    const __m256i mask = v8_first((size_t)a->tail);
    UNROLL
    for (int k = 0; k < kb; k++) {
        UNROLL
        for (int t = 0; t < pb; t++) {
            acc[k][t] = _mm256_setzero_ps();
        }
    }
    UNROLL
    for (int t = 0; t < pb; t++) {
        in[t] = a->in + a->off[t];
    }
    for (int64_t i = 0; i < a->images; i++) {
        const float *dy = a->dy + i * a->dy_image;
        const int64_t base = i * a->in_image;
        const spx_planar_spot *spot = a->spot;
        for (; spot < whole; spot++) {
            dot_step(acc, dy + spot->dy, plane, mask, true, in, base + spot->in, kb, pb);
        }
        if (a->tail < SPX_CONV2D_VECTOR) {
            dot_step(acc, dy + spot->dy, plane, mask, false, in, base + spot->in, kb, pb);
        }
    }
    const __m256i taps = v8_first((size_t)pb);
    UNROLL
    for (int k = 0; k < kb; k++) {
        float *dw = a->dw + k * a->dw_stride;
        const __m256 sum = element_sums(acc[k], pb);
        _mm256_maskstore_ps(dw, taps, _mm256_add_ps(_mm256_maskload_ps(dw, taps), sum));
    }
}

/* Eight floats, 2 apart; reads 15. */
INLINE __m256 load_even(const float *src)
{
    const __m256 lo = _mm256_loadu_ps(src), hi = _mm256_loadu_ps(src + 7);
    const __m256d even = _mm256_castps_pd(_mm256_shuffle_ps(lo, hi, 0xd8));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(even, 0xd8));
}

/* Whole vectors; the last one overlaps the one before where count is no multiple of 8. */
INLINE void copy_row(float *dst, const float *src, int64_t count, int64_t step,
                     const spx_conv2d_affine *f)
{
    for (int64_t j = 0; j < count; j += 8) {
        const int64_t at = j + 8 <= count ? j : count - 8;
        const __m256 v = step == 1 ? _mm256_loadu_ps(src + at) : load_even(src + 2 * at);
        _mm256_storeu_ps(dst + at, affine8(v, f));
    }
}

INLINE void pack_rows(const spx_planar_rows *a, const spx_conv2d_affine f)
{
    const int64_t count = a->count, step = a->step;
    const float *src = a->src;
    float *dst = a->dst, *const end = dst + a->rows * a->pitch;
    if (count >= 8 && step <= 2) {
        for (; dst < end; dst += a->pitch, src += a->src_row) {
            if (step == 1 && count == 32) { /* the sizes of the usual maps, unrolled */
                copy_row(dst, src, 32, 1, &f);
            } else if (step == 1 && count == 16) {
                copy_row(dst, src, 16, 1, &f);
            } else if (step == 1) {
                copy_row(dst, src, count, 1, &f);
            } else {
                copy_row(dst, src, count, 2, &f);
            }
        }
        return;
    }
    for (; dst < end; dst += a->pitch, src += a->src_row) {
        for (int64_t j = 0; j < count; j++) {
            const __m256 v = affine8(_mm256_castps128_ps256(_mm_load_ss(src + step * j)), &f);
            _mm_store_ss(dst + j, _mm256_castps256_ps128(v));
        }
    }
}

/* The flags as constants, so that each variant's inner loop is free of branches. */
static void pack(const spx_planar_rows *a)
{
    spx_conv2d_affine f = a->f;
    if (!f.affine && !f.relu) {
        pack_rows(a, (spx_conv2d_affine){0});
    } else if (!f.affine) {
        pack_rows(a, (spx_conv2d_affine){.relu = true});
    } else {
        f.affine = true;
        pack_rows(a, f);
    }
}

/* Pixels [j, j + count), count <= 8, of all images. */
INLINE void gather8(const spx_planar_transpose *a, int64_t j, int count, const spx_conv2d_affine f)
{
    const __m256i mask = v8_first((size_t)count);
    __m256 v[8];
    UNROLL
    for (int i = 0; i < 8; i++) {
        const float *src = a->src + i * a->image_stride + j;
        v[i] = i >= a->images ? _mm256_setzero_ps()
               : count == 8   ? _mm256_loadu_ps(src)
                              : _mm256_maskload_ps(src, mask);
        v[i] = affine8(v[i], &f);
    }
    transpose8(v);
    UNROLL
    for (int i = 0; i < 8; i++) {
        if (i < count) {
            _mm256_storeu_ps(a->dst + 8 * (j + i), v[i]);
        }
    }
}

static void gather(const spx_planar_transpose *a)
{
    int64_t j = 0;
    for (; j + 8 <= a->pixels; j += 8) {
        gather8(a, j, 8, a->f);
    }
    if (j < a->pixels) {
        gather8(a, j, (int)(a->pixels - j), a->f);
    }
}

INLINE void scatter8(const spx_planar_transpose *a, int64_t j, int count)
{
    const __m256i mask = v8_first((size_t)count);
    __m256 v[8];
    UNROLL
    for (int i = 0; i < 8; i++) {
        v[i] = i < count ? _mm256_loadu_ps(a->src + 8 * a->pos[j + i]) : _mm256_setzero_ps();
    }
    transpose8(v);
    UNROLL
    for (int i = 0; i < 8; i++) {
        float *dst = a->dst + i * a->image_stride + j;
        if (i < a->images && count == 8) {
            _mm256_storeu_ps(dst, a->add ? _mm256_add_ps(_mm256_loadu_ps(dst), v[i]) : v[i]);
        } else if (i < a->images) {
            const __m256 old = a->add ? _mm256_maskload_ps(dst, mask) : _mm256_setzero_ps();
            _mm256_maskstore_ps(dst, mask, _mm256_add_ps(old, v[i]));
        }
    }
}

static void scatter(const spx_planar_transpose *a)
{
    int64_t j = 0;
    for (; j + 8 <= a->pixels; j += 8) {
        scatter8(a, j, 8);
    }
    if (j < a->pixels) {
        scatter8(a, j, (int)(a->pixels - j));
    }
}

#define DEFINE(K, P)                                                                               \
    static void mac_##K##_##P(const spx_planar_mac *a)                                             \
    {                                                                                              \
        mac_block(a, K, P);                                                                        \
    }                                                                                              \
    static void dot_##K##_##P(const spx_planar_dot *a)                                             \
    {                                                                                              \
        dot_block(a, K, P);                                                                        \
    }
#define MAC_ENTRY(K, P) .mac[K][P] = mac_##K##_##P,
#define DOT_ENTRY(K, P) .dot[K][P] = dot_##K##_##P,

PLANAR_PAIRS(DEFINE)

const spx_planar_isa PLANAR_ISA = {.max_kb = PLANAR_MAX_KB,
                                   .max_pb = PLANAR_MAX_PB,
                                   PLANAR_PAIRS(MAC_ENTRY) PLANAR_PAIRS(DOT_ENTRY).pack = pack,
                                   .gather = gather,
                                   .scatter = scatter,
                                   .sum = sum_floats};
