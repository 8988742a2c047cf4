#include "kernels/base/rng.h"

#include <math.h>

void spx_rng_u32x4(uint64_t seed, uint32_t stream, uint64_t counter_hi, uint32_t counter_lo,
                   uint32_t out[4])
{
    uint32_t c0 = counter_lo, c1 = (uint32_t)counter_hi, c2 = (uint32_t)(counter_hi >> 32),
             c3 = stream;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        const uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void spx_rng_init(spx_rng *r, uint64_t seed, uint32_t stream, uint64_t key)
{
    *r = (spx_rng){.seed = seed, .key = key, .stream = stream};
}

uint32_t spx_rng_u32(spx_rng *r)
{
    if (r->have == 0) {
        spx_rng_u32x4(r->seed, r->stream, r->key, r->counter++, r->word);
        r->have = 4;
    }
    return r->word[4 - r->have--];
}

uint32_t spx_rng_below(spx_rng *r, uint32_t bound)
{
    /* Lemire's multiply-and-reject (arXiv 1805.10941): exact, rarely draws twice. */
    uint64_t m = (uint64_t)spx_rng_u32(r) * bound;
    if ((uint32_t)m < bound) {
        const uint32_t threshold = (0u - bound) % bound;
        while ((uint32_t)m < threshold) {
            m = (uint64_t)spx_rng_u32(r) * bound;
        }
    }
    return (uint32_t)(m >> 32);
}

float spx_rng_uniform(spx_rng *r)
{
    return (float)(spx_rng_u32(r) >> 8) * 0x1p-24f;
}

float spx_rng_normal(spx_rng *r)
{
    const float u = ((float)(spx_rng_u32(r) >> 8) + 1.0f) * 0x1p-24f; /* (0, 1]: log is finite */
    const float v = spx_rng_uniform(r);
    return sqrtf(-2.0f * logf(u)) * cosf(6.28318530717958647692f * v);
}
