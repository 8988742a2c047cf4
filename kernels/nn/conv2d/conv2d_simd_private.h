#ifndef SPX_NN_CONV2D_SIMD_H
#define SPX_NN_CONV2D_SIMD_H
/* Private: vectors of 8 floats, as the kernels of this folder use them. Needs AVX2. */
#include "kernels/nn/conv2d/planar/conv2d_planar_private.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#define UNROLL_ROWS _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#define UNROLL_ROWS _Pragma("GCC unroll 12")
#endif

/* -1 in the first lanes lanes, 0 in the others. */
INLINE __m256i lane_mask(int lanes)
{
    static const int32_t table[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)(const void *)(table + 8 - lanes));
}

/* The first n < 8 lanes; masked stores are slow on some processors. */
INLINE void store_part(float *p, int n, __m256 a)
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

INLINE __m256 affine8(__m256 v, const spx_planar_affine *f)
{
    if (f->affine) {
        v = _mm256_fmadd_ps(_mm256_sub_ps(v, _mm256_set1_ps(f->mean)), _mm256_set1_ps(f->scale),
                            _mm256_set1_ps(f->shift));
    }
    /* The second operand wins where one is NaN, so divergence shows. */
    return f->relu ? _mm256_max_ps(_mm256_setzero_ps(), v) : v;
}

INLINE void transpose8(__m256 v[8])
{
    __m256 a[8];
    UNROLL
    for (int i = 0; i < 4; i++) {
        a[2 * i] = _mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]);
        a[2 * i + 1] = _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]);
    }
    __m256 b[8];
    UNROLL
    for (int i = 0; i < 2; i++) {
        b[4 * i] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0x44);
        b[4 * i + 1] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0xee);
        b[4 * i + 2] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
        b[4 * i + 3] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xee);
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        v[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

#endif
