#include "kernels/crypto/sampler.h"

#include "kernels/crypto/modq.h"

void spx_sample_ternary(int8_t *out, const uint64_t *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (int8_t)((int)spx_mul_wide(words[i], 3).hi - 1);
    }
}

/* The number of ones among 21 bits; instructions for it are not on every machine. */
static int ones(uint32_t x)
{
    x = x - (x >> 1 & 0x55555555U);
    x = (x & 0x33333333U) + (x >> 2 & 0x33333333U);
    x = (x + (x >> 4)) & 0x0f0f0f0fU;
    return (int)((x * 0x01010101U) >> 24);
}

void spx_sample_cbd(int8_t *out, const uint64_t *words, size_t n)
{
    const uint32_t mask = ((uint32_t)1 << SPX_CBD_ETA) - 1;
    for (size_t i = 0; i < n; i++) {
        const uint32_t a = (uint32_t)words[i] & mask;
        const uint32_t b = (uint32_t)(words[i] >> SPX_CBD_ETA) & mask;
        out[i] = (int8_t)(ones(a) - ones(b));
    }
}

size_t spx_sample_uniform(uint64_t *out, size_t n, uint64_t q, int bits, const uint64_t *words,
                          size_t words_n, size_t *used)
{
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    size_t written = 0, i = 0;
    for (; i < words_n && written < n; i++) {
        const uint64_t x = words[i] & mask;
        out[written] = x;
        written += x < q;
    }
    *used = i;
    return written;
}

void spx_sample_flood(spx_i128 *out, size_t n, int width, const uint64_t *words)
{
    const uint64_t high = width > 64 ? ((uint64_t)1 << (width - 64)) - 1 : 0;
    const uint64_t low = width >= 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1;
    const int half = width - 1;
    const spx_u128 centre = {half < 64 ? (half == 63 ? 1 : 0) : (uint64_t)3 << (half - 64),
                             half < 64 ? (uint64_t)3 << half : 0};
    for (size_t i = 0; i < n; i++, words += SPX_FLOOD_WORDS) {
        spx_u128 s = {~centre.hi, ~centre.lo}; /* -centre - 1 */
        s = spx_u128_add(s, (spx_u128){0, 1});
        for (int j = 0; j < 3; j++) {
            s = spx_u128_add(s, (spx_u128){words[2 * j] & high, words[2 * j + 1] & low});
        }
        out[i] = (spx_i128){s.hi, s.lo};
    }
}
