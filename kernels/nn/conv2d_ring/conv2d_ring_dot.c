/* The inner loop; compiled once per instruction set. */
#include "kernels/nn/conv2d_ring/conv2d_ring_private.h"

#include <string.h>

enum { PIXELS = SPX_RING_PIXELS, FILTERS = SPX_RING_FILTERS };

#if defined(__AVX2__)
#include <immintrin.h>

/* sum[0..7] += acc << shift */
static inline void widen(int64_t *sum, __m256i acc, __m128i shift)
{
    __m256i *out = (__m256i *)(void *)sum;
    const __m256i low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(acc));
    const __m256i high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256(acc, 1));
    _mm256_storeu_si256(out,
                        _mm256_add_epi64(_mm256_loadu_si256(out), _mm256_sll_epi64(low, shift)));
    _mm256_storeu_si256(
        out + 1, _mm256_add_epi64(_mm256_loadu_si256(out + 1), _mm256_sll_epi64(high, shift)));
}

static void dot(const int16_t *w, const int16_t (*x)[2], const int32_t *pixel, const int32_t *step,
                size_t steps, size_t chunk, int shift, int64_t sum[PIXELS][FILTERS])
{
    const __m128i by = _mm_cvtsi32_si128(shift);
    const int16_t(*at[PIXELS])[2];
    for (int u = 0; u < PIXELS; u++) {
        at[u] = x + pixel[u];
    }
    for (size_t s = 0; s < steps;) {
        const size_t end = steps - s < chunk ? steps : s + chunk;
        __m256i acc[PIXELS][2];
        for (int u = 0; u < PIXELS; u++) {
            acc[u][0] = acc[u][1] = _mm256_setzero_si256();
        }
        for (; s < end; s++, w += 2 * FILTERS) {
            const __m256i w0 = _mm256_loadu_si256((const __m256i *)(const void *)w);
            const __m256i w1 = _mm256_loadu_si256((const __m256i *)(const void *)(w + FILTERS));
            const ptrdiff_t offset = step[s];
            for (int u = 0; u < PIXELS; u++) {
                int32_t pair;
                memcpy(&pair, at[u] + offset, sizeof pair);
                const __m256i v = _mm256_set1_epi32(pair);
                acc[u][0] = _mm256_add_epi32(acc[u][0], _mm256_madd_epi16(v, w0));
                acc[u][1] = _mm256_add_epi32(acc[u][1], _mm256_madd_epi16(v, w1));
            }
        }
        for (int u = 0; u < PIXELS; u++) {
            widen(sum[u], acc[u][0], by);
            widen(sum[u] + FILTERS / 2, acc[u][1], by);
        }
    }
}

#else

static void dot(const int16_t *w, const int16_t (*x)[2], const int32_t *pixel, const int32_t *step,
                size_t steps, size_t chunk, int shift, int64_t sum[PIXELS][FILTERS])
{
    for (size_t s = 0; s < steps;) {
        const size_t end = steps - s < chunk ? steps : s + chunk;
        int32_t acc[PIXELS][FILTERS] = {{0}};
        for (; s < end; s++, w += 2 * FILTERS) {
            for (int u = 0; u < PIXELS; u++) {
                const int16_t *v = x[pixel[u] + step[s]];
                for (int f = 0; f < FILTERS; f++) {
                    acc[u][f] += w[2 * f] * v[0] + w[2 * f + 1] * v[1];
                }
            }
        }
        for (int u = 0; u < PIXELS; u++) {
            for (int f = 0; f < FILTERS; f++) {
                const uint64_t term = (uint64_t)(int64_t)acc[u][f] << shift;
                sum[u][f] = (int64_t)((uint64_t)sum[u][f] + term);
            }
        }
    }
}

#endif

const spx_ring_table SPX_VARIANT(spx_ring_table) = {.dot = dot};
