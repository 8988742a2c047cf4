#ifndef SPX_BASE_LANES_H
#define SPX_BASE_LANES_H
/*
 * Eight floats that are worked on together: AVX registers where the file is compiled for them,
 * plain loops elsewhere. For files compiled once per instruction set (variant.h); everything is
 * inline.
 */
#include <stddef.h>
#include <stdint.h>

#define SPX_LANES ((size_t)8)

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

typedef __m256 v8;

static inline v8 v8_set(float x)
{
    return _mm256_set1_ps(x);
}

static inline v8 v8_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline void v8_store(float *p, v8 a)
{
    _mm256_storeu_ps(p, a);
}

static inline __m256i v8_first(size_t n)
{
    static const int32_t mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(mask + 8 - n));
}

/* The first n <= 8 floats at p, then `fill`; reads nothing beyond them. */
static inline v8 v8_load_part(const float *p, size_t n, v8 fill)
{
    const __m256i m = v8_first(n);
    return _mm256_blendv_ps(fill, _mm256_maskload_ps(p, m), _mm256_castsi256_ps(m));
}

/* Writes the first n < 8 lanes; masked stores are slow on some processors. */
static inline void v8_store_part(float *p, size_t n, v8 a)
{
    __m128 half = _mm256_castps256_ps128(a);
    if (n & 4) {
        _mm_storeu_ps(p, half);
        half = _mm256_extractf128_ps(a, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_epi64((__m128i *)(void *)p, _mm_castps_si128(half));
        half = _mm_movehl_ps(half, half);
        p += 2;
    }
    if (n & 1) {
        _mm_store_ss(p, half);
    }
}

static inline v8 v8_add(v8 a, v8 b)
{
    return _mm256_add_ps(a, b);
}

static inline v8 v8_sub(v8 a, v8 b)
{
    return _mm256_sub_ps(a, b);
}

static inline v8 v8_mul(v8 a, v8 b)
{
    return _mm256_mul_ps(a, b);
}

/* a * b + c */
static inline v8 v8_fma(v8 a, v8 b, v8 c)
{
    return _mm256_fmadd_ps(a, b, c);
}

/* max(0, a); a NaN stays one */
static inline v8 v8_relu(v8 a)
{
    return _mm256_max_ps(_mm256_setzero_ps(), a);
}

/* y > 0 ? a : 0 */
static inline v8 v8_where_positive(v8 y, v8 a)
{
    return _mm256_and_ps(_mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_GT_OQ), a);
}

/* Elements 0, 2, .. 14 of a followed by b. */
static inline v8 v8_even(v8 a, v8 b)
{
    const __m256 mixed = _mm256_shuffle_ps(a, b, 0x88);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xD8));
}

/* Elements 1, 3, .. 15. */
static inline v8 v8_odd(v8 a, v8 b)
{
    const __m256 mixed = _mm256_shuffle_ps(a, b, 0xDD);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xD8));
}

/* low, high = e0 o0 e1 o1 .. e7 o7 */
static inline void v8_interleave(v8 even, v8 odd, v8 *low, v8 *high)
{
    const __m256 a = _mm256_unpacklo_ps(even, odd), b = _mm256_unpackhi_ps(even, odd);
    *low = _mm256_permute2f128_ps(a, b, 0x20);
    *high = _mm256_permute2f128_ps(a, b, 0x31);
}

#else

typedef struct v8 {
    float lane[8];
} v8;

#define V8_EACH(expr)                                                                              \
    do {                                                                                           \
        v8 r_;                                                                                     \
        for (size_t l = 0; l < SPX_LANES; l++) {                                                   \
            r_.lane[l] = (expr);                                                                   \
        }                                                                                          \
        return r_;                                                                                 \
    } while (0)

static inline v8 v8_set(float x)
{
    V8_EACH(x);
}

static inline v8 v8_load(const float *p)
{
    V8_EACH(p[l]);
}

static inline void v8_store(float *p, v8 a)
{
    for (size_t l = 0; l < SPX_LANES; l++) {
        p[l] = a.lane[l];
    }
}

static inline v8 v8_load_part(const float *p, size_t n, v8 fill)
{
    V8_EACH(l < n ? p[l] : fill.lane[l]);
}

static inline void v8_store_part(float *p, size_t n, v8 a)
{
    for (size_t l = 0; l < n; l++) {
        p[l] = a.lane[l];
    }
}

static inline v8 v8_add(v8 a, v8 b)
{
    V8_EACH(a.lane[l] + b.lane[l]);
}

static inline v8 v8_sub(v8 a, v8 b)
{
    V8_EACH(a.lane[l] - b.lane[l]);
}

static inline v8 v8_mul(v8 a, v8 b)
{
    V8_EACH(a.lane[l] * b.lane[l]);
}

static inline v8 v8_fma(v8 a, v8 b, v8 c)
{
    V8_EACH(a.lane[l] * b.lane[l] + c.lane[l]);
}

static inline v8 v8_relu(v8 a)
{
    V8_EACH(0.0f > a.lane[l] ? 0.0f : a.lane[l]);
}

static inline v8 v8_where_positive(v8 y, v8 a)
{
    V8_EACH(y.lane[l] > 0.0f ? a.lane[l] : 0.0f);
}

static inline v8 v8_even(v8 a, v8 b)
{
    V8_EACH(l < 4 ? a.lane[2 * l] : b.lane[2 * l - 8]);
}

static inline v8 v8_odd(v8 a, v8 b)
{
    V8_EACH(l < 4 ? a.lane[2 * l + 1] : b.lane[2 * l - 7]);
}

static inline void v8_interleave(v8 even, v8 odd, v8 *low, v8 *high)
{
    for (size_t l = 0; l < 4; l++) {
        low->lane[2 * l] = even.lane[l];
        low->lane[2 * l + 1] = odd.lane[l];
        high->lane[2 * l] = even.lane[l + 4];
        high->lane[2 * l + 1] = odd.lane[l + 4];
    }
}

#undef V8_EACH
#endif

/* The sum of the lanes, added in double. */
static inline double v8_sum(v8 a)
{
    float lane[SPX_LANES];
    double sum = 0;
    v8_store(lane, a);
    for (size_t l = 0; l < SPX_LANES; l++) {
        sum += (double)lane[l];
    }
    return sum;
}

#endif
