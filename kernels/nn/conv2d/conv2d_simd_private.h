#ifndef SPX_NN_CONV2D_SIMD_H
#define SPX_NN_CONV2D_SIMD_H
/* Private: vectors of 8 floats, as the kernels of this folder use them. Needs AVX2. */
#include "kernels/base/lanes.h"
#include "kernels/nn/conv2d/conv2d_parts_private.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#define UNROLL_ROWS _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#define UNROLL_ROWS _Pragma("GCC unroll 12")
#endif

INLINE __m256 affine8(__m256 v, const spx_conv2d_affine *f)
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

/* Element i of the result is the sum of the elements of a[i]; i >= n give 0. */
INLINE __m256 element_sums(const __m256 *a, const int n)
{
    __m256 v[8];
    UNROLL
    for (int i = 0; i < 8; i++) {
        v[i] = i < n ? a[i] : _mm256_setzero_ps();
    }
    const __m256 s0 = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    const __m256 s1 = _mm256_hadd_ps(_mm256_hadd_ps(v[4], v[5]), _mm256_hadd_ps(v[6], v[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(s0, s1, 0x20),
                         _mm256_permute2f128_ps(s0, s1, 0x31));
}

static inline float sum_floats(const float *x, int64_t n)
{
    __m256 acc[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                     _mm256_setzero_ps()};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        acc[i / 8 % 4] = _mm256_add_ps(acc[i / 8 % 4], _mm256_loadu_ps(x + i));
    }
    if (i < n) {
        acc[0] = _mm256_add_ps(acc[0], _mm256_maskload_ps(x + i, v8_first((size_t)(n - i))));
    }
    acc[0] = _mm256_add_ps(_mm256_add_ps(acc[0], acc[1]), _mm256_add_ps(acc[2], acc[3]));
    return _mm256_cvtss_f32(element_sums(acc, 1));
}

#endif
