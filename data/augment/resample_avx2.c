/* The loops of resampling with AVX2 and FMA. */
#include "data/augment/resample_private.h"

#include <immintrin.h>
#include <string.h>

/* 16 columns of two rows: sums[k] += eight of wa * a + wb * b, weights in turn in w. */
static inline void add_two(__m128i a, __m128i b, __m256i w, __m256i sums[2])
{
    const __m256i low = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
    const __m256i high = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b));
    sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(low, w));
    sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(high, w));
}

static inline __m256i two_weights(const int16_t *weight, int left)
{
    return _mm256_set1_epi32((int)((uint32_t)(uint16_t)weight[0] |
                                   (left > 1 ? (uint32_t)(uint16_t)weight[1] << 16 : 0)));
}

/* All columns [at, at + 16): loads of rows that are not there are of the last row, times 0. */
static inline void sixteen(const uint8_t *src, ptrdiff_t row, const int16_t *weight, int taps,
                           double *out)
{
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int t = 0; t < taps; t += 2) {
        const uint8_t *const from = src + t * row;
        const __m128i a = _mm_loadu_si128((const __m128i *)from);
        const __m128i b = t + 1 < taps ? _mm_loadu_si128((const __m128i *)(from + row)) : a;
        add_two(a, b, two_weights(weight + t, taps - t), sums);
    }
    for (int k = 0; k < 2; k++) {
        _mm256_storeu_pd(out + 8 * k, _mm256_cvtepi32_pd(_mm256_castsi256_si128(sums[k])));
        _mm256_storeu_pd(out + 8 * k + 4, _mm256_cvtepi32_pd(_mm256_extracti128_si256(sums[k], 1)));
    }
}

static void rows(const uint8_t *src, ptrdiff_t row, const int16_t *weight, int taps, int n,
                 double *out)
{
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        sixteen(src + i, row, weight, taps, out + i);
    }
    if (i < n && n >= 16) { /* once more some that were: nothing beside them is read */
        sixteen(src + n - 16, row, weight, taps, out + n - 16);
    } else if (i < n) {
        spx_resample_portable.rows(src, row, weight, taps, n, out);
    }
}

/* A wanted pixel of three channels, as bytes 0 to 2. */
static inline int32_t three(const double *from, const double *weight, int taps, __m256d scale)
{
    const __m128i bytes =
        _mm_setr_epi8(0, 4, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    __m256d sum = _mm256_mul_pd(_mm256_loadu_pd(from), _mm256_broadcast_sd(weight));
    for (int t = 1; t < taps; t++) {
        sum = _mm256_fmadd_pd(_mm256_loadu_pd(from + 3 * t), _mm256_broadcast_sd(weight + t), sum);
    }
    sum = _mm256_fmadd_pd(sum, scale,
                          _mm256_fmadd_pd(scale, _mm256_set1_pd(0.25), _mm256_set1_pd(0.5)));
    return _mm_cvtsi128_si32(_mm_shuffle_epi8(_mm256_cvttpd_epi32(sum), bytes));
}

static inline void three_channels(const double *line, const spx_resample_columns *c, int taps,
                                  double inverse, uint8_t *out)
{
    const __m256d by_rows = _mm256_set1_pd(inverse);
    const int32_t *const first = c->first;
    const double *const weight = c->weight, *const inverses = c->inverse;
    const ptrdiff_t last = c->wanted - 1;
    for (ptrdiff_t x = 0; x <= last; x++) {
        const __m256d scale = _mm256_mul_pd(_mm256_broadcast_sd(inverses + x), by_rows);
        const int32_t pixel = three(line + 3 * (ptrdiff_t)first[x], weight + x * taps, taps, scale);
        memcpy(out + 3 * x, &pixel, x < last ? 4 : 3); /* the fourth is the next one's to write */
    }
}

static void columns(const double *line, int channels, const spx_resample_columns *c, double inverse,
                    uint8_t *out)
{
    if (channels != 3) {
        spx_resample_portable.columns(line, channels, c, inverse, out);
        return;
    }
    switch (c->taps) { /* known numbers of turns are unrolled: a box shrinks by less than two */
    case 3:
        three_channels(line, c, 3, inverse, out);
        break;
    case 4:
        three_channels(line, c, 4, inverse, out);
        break;
    case 5:
        three_channels(line, c, 5, inverse, out);
        break;
    default:
        three_channels(line, c, c->taps, inverse, out);
    }
}

const spx_resample_loops spx_resample_avx2 = {rows, columns};
