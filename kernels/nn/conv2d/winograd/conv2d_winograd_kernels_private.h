/*
 * The Winograd kernels, compiled once per instruction set: the including file defines WINO_ISA (the
 * table to fill), WINO_PAIRS and WINO_DOTS (the register blocks that fit its registers),
 * WINO_MAX_KB and WINO_MAX_TB.
 *
 * The transforms are Toom-Cook's at the points 0, 1, -1, 1/2, -2, infinity for 3 taps and 0, 1, -1,
 * 2, -2, 1/2, -1/2, infinity for 5. Row f of the input's is the product of (x - p) over all finite
 * points p but the f-th (over all for infinity); row i of the output's is the i-th powers of the
 * points; what remains is divided into the filter's.
 */
#include "kernels/nn/conv2d/conv2d_simd_private.h"
#include "kernels/nn/conv2d/winograd/conv2d_winograd_private.h"

/* Products summed up before they are added to the sum of those before: with n products in runs of
 * RUN the rounding errors grow like sqrt(RUN + n / RUN) instead of sqrt(n). */
#define RUN 16

typedef __m256 vec;

INLINE vec add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

INLINE vec sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}

/* a * x + b */
INLINE vec mad(float a, vec x, vec b)
{
    return _mm256_fmadd_ps(_mm256_set1_ps(a), x, b);
}

/* --- Images to elements and back -------------------------------------------------------------- */

/* What happens to the pixels on their way: nothing, the same in all planes, or not. */
enum { PLAIN, SAME, OWN };

/* Pixels [j, j + count), count <= 8. */
INLINE void gather8(const spx_wino_transpose *a, int64_t j, int count, const int planes,
                    const int kind, const spx_conv2d_affine f)
{
    const __m256i mask = v8_first((size_t)count);
    const float *src = a->src + j;
    float *dst = a->dst + 8 * j;
    vec v[8];
    UNROLL
    for (int i = 0; i < 8; i++) {
        v[i] = _mm256_setzero_ps();
        if (i < planes) {
            const float *row = src + i * a->stride;
            v[i] = count == 8 ? _mm256_loadu_ps(row) : _mm256_maskload_ps(row, mask);
            if (kind != PLAIN) {
                const spx_conv2d_affine own = kind == OWN ? a->f[i] : f;
                v[i] = affine8(v[i], &own);
            }
        }
    }
    transpose8(v);
    UNROLL
    for (int i = 0; i < 8; i++) {
        if (i < count) {
            _mm256_storeu_ps(dst + 8 * i, v[i]);
        }
    }
}

INLINE void gather_planes(const spx_wino_transpose *p, const int planes, const int kind)
{
    const spx_wino_transpose a = *p;
    const spx_conv2d_affine f = *a.f;
    int64_t j = 0;
    for (; j + 8 <= a.count; j += 8) {
        gather8(&a, j, 8, planes, kind, f);
    }
    if (j < a.count) {
        gather8(&a, j, (int)(a.count - j), planes, kind, f);
    }
}

static void gather(const spx_wino_transpose *a)
{
    if (a->planes < 8) {
        gather_planes(a, a->planes, a->f_step == 0 ? SAME : OWN);
    } else if (!a->f->affine && !a->f->relu) { /* so are the others then */
        gather_planes(a, 8, PLAIN);
    } else if (a->f_step == 0) {
        gather_planes(a, 8, SAME);
    } else {
        gather_planes(a, 8, OWN);
    }
}

INLINE void scatter8(const spx_wino_transpose *a, int64_t j, int count, const int planes,
                     const bool onto)
{
    const __m256i mask = v8_first((size_t)count);
    const float *src = a->src + 8 * j;
    vec v[8];
    UNROLL
    for (int i = 0; i < 8; i++) {
        v[i] = i < count ? _mm256_loadu_ps(src + 8 * i) : _mm256_setzero_ps();
    }
    transpose8(v);
    UNROLL
    for (int i = 0; i < 8; i++) {
        float *dst = a->dst + j + i * a->stride;
        if (i < planes && count == 8) {
            _mm256_storeu_ps(dst, onto ? add(_mm256_loadu_ps(dst), v[i]) : v[i]);
        } else if (i < planes) {
            const vec old = onto ? _mm256_maskload_ps(dst, mask) : _mm256_setzero_ps();
            v8_store_part(dst, (size_t)count, onto ? add(old, v[i]) : v[i]);
        }
    }
}

INLINE void scatter_planes(const spx_wino_transpose *p, const int planes, const bool onto)
{
    const spx_wino_transpose a = *p;
    int64_t j = 0;
    for (; j + 8 <= a.count; j += 8) {
        scatter8(&a, j, 8, planes, onto);
    }
    if (j < a.count) {
        scatter8(&a, j, (int)(a.count - j), planes, onto);
    }
}

static void scatter(const spx_wino_transpose *a)
{
    if (a->planes < 8) {
        scatter_planes(a, a->planes, a->add);
    } else if (a->add) {
        scatter_planes(a, 8, true);
    } else {
        scatter_planes(a, 8, false);
    }
}

/* --- Transforms of one dimension -------------------------------------------------------------- */

INLINE void input3(const vec *x, vec *v)
{
    const vec a = sub(x[3], x[1]), b = sub(x[4], x[2]);
    v[0] = mad(1.5F, a, mad(-2, x[2], add(x[0], x[4])));
    v[1] = mad(2.5F, x[3], mad(0.5F, x[2], sub(x[4], x[1])));
    v[2] = mad(-2.5F, x[2], mad(0.5F, x[3], add(x[4], x[1])));
    v[3] = mad(2, a, b);
    v[4] = mad(-0.5F, a, b);
    v[5] = mad(1.5F, b, mad(-2, x[3], add(x[5], x[1])));
}

INLINE void output3(const vec *m, vec *y)
{
    const vec s = add(m[1], m[2]), d = sub(m[1], m[2]);
    y[0] = add(add(m[0], s), add(m[3], m[4]));
    y[1] = mad(-2, m[4], mad(0.5F, m[3], d));
    y[2] = mad(4, m[4], mad(0.25F, m[3], s));
    y[3] = mad(-8, m[4], mad(0.125F, m[3], add(d, m[5])));
}

INLINE void input5(const vec *x, vec *v)
{
    v[0] = mad(5.25F, sub(x[2], x[4]), sub(x[6], x[0]));
    v[7] = mad(5.25F, sub(x[3], x[5]), sub(x[7], x[1]));
    vec even = mad(-4.25F, x[4], add(x[2], x[6]));
    vec odd = mad(-4.25F, x[3], add(x[1], x[5]));
    v[1] = add(even, odd);
    v[2] = sub(even, odd);
    const vec mid = _mm256_mul_ps(_mm256_set1_ps(-2.5F), x[3]);
    even = mad(-1.25F, x[4], mad(0.25F, x[2], x[6]));
    odd = mad(2, x[5], mad(0.5F, x[1], mid));
    v[3] = add(even, odd);
    v[4] = sub(even, odd);
    even = mad(4, x[2], mad(-5, x[4], x[6]));
    odd = mad(2, x[1], mad(0.5F, x[5], mid));
    v[5] = add(even, odd);
    v[6] = sub(even, odd);
}

INLINE void output5(const vec *m, vec *y)
{
    const vec s1 = add(m[1], m[2]), d1 = sub(m[1], m[2]);
    const vec s2 = add(m[3], m[4]), d2 = sub(m[3], m[4]);
    const vec s3 = add(m[5], m[6]), d3 = sub(m[5], m[6]);
    y[0] = add(add(m[0], s1), add(s2, s3));
    y[1] = mad(2, d2, mad(0.5F, d3, d1));
    y[2] = mad(4, s2, mad(0.25F, s3, s1));
    y[3] = mad(8, d2, mad(0.125F, d3, add(d1, m[7])));
}

/* The transposes of the outputs'. */
INLINE void gradient3(const vec *y, vec *w)
{
    const vec even = add(y[0], y[2]), odd = add(y[1], y[3]);
    w[0] = y[0];
    w[1] = add(even, odd);
    w[2] = sub(even, odd);
    w[3] = mad(0.125F, y[3], mad(0.25F, y[2], mad(0.5F, y[1], y[0])));
    w[4] = mad(-8, y[3], mad(4, y[2], mad(-2, y[1], y[0])));
    w[5] = y[3];
}

INLINE void gradient5(const vec *y, vec *w)
{
    vec even = add(y[0], y[2]), odd = add(y[1], y[3]);
    w[0] = y[0];
    w[1] = add(even, odd);
    w[2] = sub(even, odd);
    even = mad(4, y[2], y[0]);
    odd = mad(8, y[3], add(y[1], y[1]));
    w[3] = add(even, odd);
    w[4] = sub(even, odd);
    even = mad(0.25F, y[2], y[0]);
    odd = mad(0.125F, y[3], _mm256_mul_ps(_mm256_set1_ps(0.5F), y[1]));
    w[5] = add(even, odd);
    w[6] = sub(even, odd);
    w[7] = y[3];
}

/* --- Transforms of tiles ---------------------------------------------------------------------- */

typedef void (*transform)(const vec *in, vec *out);

/* Down all columns first, which tiles share; then along the rows of each tile. */
INLINE void line(const spx_wino_line *a, const int inputs, const int alpha, const transform t)
{
    vec x[SPX_WINO_MAX_ALPHA], v[SPX_WINO_MAX_ALPHA];
    const int64_t pitch = a->cols * 8;
    for (int64_t j = 0; j < pitch; j += 8) {
        UNROLL
        for (int i = 0; i < inputs; i++) {
            x[i] = _mm256_loadu_ps(a->row[i] + j);
        }
        t(x, v);
        UNROLL
        for (int i = 0; i < alpha; i++) {
            _mm256_storeu_ps(a->tmp + i * pitch + j, v[i]);
        }
    }
    const spx_wino_tile *tile = a->tile;
    const int64_t step = a->dilation * 8;
    for (int64_t b = 0; b < a->dilation; b++) {
        for (int64_t n = 0; n < a->tiles; n++, tile++) {
            const float *src = a->tmp + (4 * n * a->dilation + b) * 8;
            float *dst = a->v + tile->v + a->c * tile->v_c;
            for (int i = 0; i < alpha; i++, src += pitch) {
                UNROLL
                for (int j = 0; j < inputs; j++) {
                    x[j] = _mm256_loadu_ps(src + j * step);
                }
                t(x, v);
                UNROLL
                for (int j = 0; j < alpha; j++, dst += a->v_f) {
                    _mm256_storeu_ps(dst, v[j]);
                }
            }
        }
    }
}

static void line3(const spx_wino_line *a)
{
    line(a, 6, 6, input3);
}

static void line5(const spx_wino_line *a)
{
    line(a, 8, 8, input5);
}

static void gradient_line3(const spx_wino_line *a)
{
    line(a, SPX_WINO_TILE, 6, gradient3);
}

static void gradient_line5(const spx_wino_line *a)
{
    line(a, SPX_WINO_TILE, 8, gradient5);
}

INLINE void back_tile(const float *m, float bias, float *out, int64_t pitch, int64_t step,
                      const int alpha, const transform t)
{
    vec tmp[SPX_WINO_TILE][SPX_WINO_MAX_ALPHA], x[SPX_WINO_MAX_ALPHA], y[SPX_WINO_TILE];
    UNROLL
    for (int j = 0; j < alpha; j++) {
        UNROLL
        for (int i = 0; i < alpha; i++) {
            x[i] = _mm256_loadu_ps(m + 8 * (i * alpha + j));
        }
        t(x, y);
        UNROLL
        for (int i = 0; i < SPX_WINO_TILE; i++) {
            tmp[i][j] = y[i];
        }
    }
    UNROLL
    for (int i = 0; i < SPX_WINO_TILE; i++) {
        t(tmp[i], y);
        UNROLL
        for (int j = 0; j < SPX_WINO_TILE; j++) {
            _mm256_storeu_ps(out + i * pitch + j * step, add(y[j], _mm256_set1_ps(bias)));
        }
    }
}

INLINE void back(const spx_wino_back *a, const int alpha, const transform t)
{
    for (int64_t i = 0; i < a->tiles; i++) {
        back_tile(a->m + i * a->m_t, a->bias, a->y + a->tile[i].y, a->pitch, a->step, alpha, t);
    }
}

static void back3(const spx_wino_back *a)
{
    back(a, 6, output3);
}

static void back5(const spx_wino_back *a)
{
    back(a, 8, output5);
}

/* 8 doubles: the filter's transforms are done once per call, and their rounding reaches every
 * output. */
typedef struct wide {
    __m256d lo, hi;
} wide;

INLINE wide wide_load(const float *p)
{
    return (wide){_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p + 4))};
}

INLINE vec wide_round(wide a)
{
    return _mm256_set_m128(_mm256_cvtpd_ps(a.hi), _mm256_cvtpd_ps(a.lo));
}

/* sum over i < n of a[i * step] * x[i] */
INLINE wide wide_sum(const double *a, const int step, const wide *x, const int n)
{
    wide sum = {_mm256_setzero_pd(), _mm256_setzero_pd()};
    UNROLL
    for (int i = 0; i < n; i++) {
        const __m256d f = _mm256_set1_pd(a[i * step]);
        sum.lo = _mm256_fmadd_pd(f, x[i].lo, sum.lo);
        sum.hi = _mm256_fmadd_pd(f, x[i].hi, sum.hi);
    }
    return sum;
}

INLINE void filter(const spx_wino_filter *a, const int taps, const int alpha)
{
    float w[SPX_WINO_MAX_TAPS * SPX_WINO_MAX_TAPS][8] = {{0}};
    wide half[SPX_WINO_MAX_ALPHA][SPX_WINO_MAX_TAPS], x[SPX_WINO_MAX_TAPS];
    for (int k = 0; k < a->kb; k++) {
        const float *src = a->w + k * a->w_k;
        for (int i = 0; i < taps * taps; i++) {
            w[i][k] = src[i * a->step];
        }
    }
    for (int s = 0; s < taps; s++) {
        UNROLL
        for (int r = 0; r < taps; r++) {
            x[r] = wide_load(w[r * taps + s]);
        }
        for (int i = 0; i < alpha; i++) {
            half[i][s] = wide_sum(a->g[i], 1, x, taps);
        }
    }
    float *dst = a->u;
    for (int i = 0; i < alpha; i++) {
        UNROLL
        for (int s = 0; s < taps; s++) {
            x[s] = half[i][s];
        }
        for (int j = 0; j < alpha; j++, dst += a->u_f) {
            v8_store_part(dst, (size_t)a->kb, wide_round(wide_sum(a->g[j], 1, x, taps)));
        }
    }
}

static void filter3(const spx_wino_filter *a)
{
    filter(a, 3, 6);
}

static void filter5(const spx_wino_filter *a)
{
    filter(a, 5, 8);
}

INLINE void unfilter(const spx_wino_unfilter *a, const int taps, const int alpha)
{
    wide half[SPX_WINO_MAX_TAPS][SPX_WINO_MAX_ALPHA], x[SPX_WINO_MAX_ALPHA];
    for (int j = 0; j < alpha; j++) {
        for (int i = 0; i < alpha; i++) {
            const float *u = a->u + (i * alpha + j) * a->u_f;
            x[i] = wide_load(u);
            for (int64_t n = 1; n < a->parts; n++) {
                const wide more = wide_load(u + n * a->part);
                x[i].lo = _mm256_add_pd(x[i].lo, more.lo);
                x[i].hi = _mm256_add_pd(x[i].hi, more.hi);
            }
        }
        for (int r = 0; r < taps; r++) {
            half[r][j] = wide_sum(&a->g[0][r], SPX_WINO_MAX_TAPS, x, alpha);
        }
    }
    for (int r = 0; r < taps; r++) {
        for (int s = 0; s < taps; s++) {
            float w[8], *dst = a->dw + r * taps + s;
            _mm256_storeu_ps(w,
                             wide_round(wide_sum(&a->g[0][s], SPX_WINO_MAX_TAPS, half[r], alpha)));
            for (int l = 0; l < a->elements; l++, dst += a->step) {
                *dst = (a->add ? *dst : 0) + w[l];
            }
        }
    }
}

static void unfilter3(const spx_wino_unfilter *a)
{
    unfilter(a, 3, 6);
}

static void unfilter5(const spx_wino_unfilter *a)
{
    unfilter(a, 5, 8);
}

/* --- Products --------------------------------------------------------------------------------- */

INLINE void gemm_run(const float *u, const float *v, int64_t channels, vec acc[][SPX_WINO_MAX_TB],
                     const int kb, const int tb)
{
    UNROLL
    for (int k = 0; k < kb; k++) {
        UNROLL
        for (int t = 0; t < tb; t++) {
            acc[k][t] = _mm256_setzero_ps();
        }
    }
    for (int64_t c = 0; c < channels; c++, u += kb, v += 8 * tb) {
        vec x[SPX_WINO_MAX_TB];
        UNROLL
        for (int t = 0; t < tb; t++) {
            x[t] = _mm256_loadu_ps(v + 8 * t);
        }
        UNROLL
        for (int k = 0; k < kb; k++) {
            const vec w = _mm256_broadcast_ss(u + k);
            UNROLL
            for (int t = 0; t < tb; t++) {
                acc[k][t] = _mm256_fmadd_ps(w, x[t], acc[k][t]);
            }
        }
    }
}

INLINE void gemm_block(const spx_wino_gemm *a, const int kb, const int tb)
{
    const int64_t m_k = a->m_k, m_t = a->m_t;
    for (int64_t f = 0; f < a->points; f++) {
        const float *u = a->u + f * a->u_f, *v = a->v + f * a->v_f;
        float *m = a->m + 8 * f;
        for (int64_t c = 0; c < a->channels; c += RUN) {
            const int64_t n = a->channels - c < RUN ? a->channels - c : RUN;
            vec acc[SPX_WINO_MAX_KB][SPX_WINO_MAX_TB];
            gemm_run(u + c * kb, v + c * 8 * tb, n, acc, kb, tb);
            if (c > 0) {
                UNROLL
                for (int k = 0; k < kb; k++) {
                    UNROLL
                    for (int t = 0; t < tb; t++) {
                        acc[k][t] = add(acc[k][t], _mm256_loadu_ps(m + k * m_k + t * m_t));
                    }
                }
            }
            UNROLL
            for (int k = 0; k < kb; k++) {
                UNROLL
                for (int t = 0; t < tb; t++) {
                    _mm256_storeu_ps(m + k * m_k + t * m_t, acc[k][t]);
                }
            }
        }
    }
}

INLINE void dot_block(const spx_wino_dot *a, const int rows, const int vecs)
{
    vec acc[SPX_WINO_MAX_DOT][SPX_WINO_MAX_DV];
    UNROLL_ROWS
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int v = 0; v < vecs; v++) {
            acc[i][v] = _mm256_setzero_ps();
        }
    }
    const float *row = a->row, *src = a->vec;
    const int64_t row_t = a->row_t, vec_t = a->vec_t;
    for (int64_t t = a->tiles; t > 0; t--, row += row_t, src += vec_t) {
        vec x[SPX_WINO_MAX_DV];
        UNROLL
        for (int v = 0; v < vecs; v++) {
            x[v] = _mm256_loadu_ps(src + 8 * v);
        }
        UNROLL_ROWS
        for (int i = 0; i < rows; i++) {
            const vec w = _mm256_broadcast_ss(row + i);
            UNROLL
            for (int v = 0; v < vecs; v++) {
                acc[i][v] = _mm256_fmadd_ps(w, x[v], acc[i][v]);
            }
        }
    }
    UNROLL_ROWS
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int v = 0; v < vecs; v++) {
            float *out = a->out + i * a->pitch + 8 * v;
            _mm256_storeu_ps(out, add(_mm256_loadu_ps(out), acc[i][v]));
        }
    }
}

#define DEFINE_DOT(R, V)                                                                           \
    static void dot_##R##_##V(const spx_wino_dot *a)                                               \
    {                                                                                              \
        dot_block(a, R, V);                                                                        \
    }
#define DOT_ENTRY(R, V) .dot[R][V] = dot_##R##_##V,

WINO_DOTS(DEFINE_DOT)

#define DEFINE(K, T)                                                                               \
    static void gemm_##K##_##T(const spx_wino_gemm *a)                                             \
    {                                                                                              \
        gemm_block(a, K, T);                                                                       \
    }
#define ENTRY(K, T) .gemm[K][T] = gemm_##K##_##T,

WINO_PAIRS(DEFINE)

const spx_wino_isa WINO_ISA = {WINO_PAIRS(ENTRY) WINO_DOTS(DOT_ENTRY).max_kb = WINO_MAX_KB,
                               .max_tb = WINO_MAX_TB,
                               .max_rows = WINO_MAX_ROWS,
                               .gather = gather,
                               .scatter = scatter,
                               .filter = {filter3, filter5},
                               .unfilter = {unfilter3, unfilter5},
                               .line = {line3, line5},
                               .gradient = {gradient_line3, gradient_line5},
                               .back = {back3, back5},
                               .sum = sum_floats};
