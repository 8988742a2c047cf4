#ifndef SPX_BASE_RNG_H
#define SPX_BASE_RNG_H
/*
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011). A draw is a pure function
 * of (seed, sequence, counter), so order, threads and resumption cannot change it. Not for secrets:
 * cryptographic randomness lives in kernels/crypto. All but the normal draws is inline, so that
 * kernels on other devices draw the same bits.
 */
#include "kernels/base/host_device.h"

#include <stdint.h>

/** Named sequences, so that two uses of one seed never share draws. */
typedef enum spx_rng_sequence {
    SPX_RNG_WEIGHTS = 1,
    SPX_RNG_ALPHAS,
    SPX_RNG_SPLIT,
    SPX_RNG_ORDER,
    SPX_RNG_AUGMENT,
    SPX_RNG_DROP_PATH,
    SPX_RNG_RANDOM_SEARCH,
    SPX_RNG_TEST,
    SPX_RNG_BENCH,
    SPX_RNG_FLIP, /* of an image in every epoch */
    SPX_RNG_BOOTSTRAP,
    SPX_RNG_LOCATION, /* which reductions a step of the location search tries */
    SPX_RNG_PRUNE     /* ReLUs kept by chance */
} spx_rng_sequence;

/** Four uniform 32-bit words for (seed, sequence, counter_hi, counter_lo). */
static inline SPX_HOST_DEVICE void spx_rng_u32x4(uint64_t seed, uint32_t sequence,
                                                 uint64_t counter_hi, uint32_t counter_lo,
                                                 uint32_t out[4])
{
    uint32_t c0 = counter_lo, c1 = (uint32_t)counter_hi, c2 = (uint32_t)(counter_hi >> 32),
             c3 = sequence;
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

/** The float in [0, 1) that a word's upper 24 bits make. */
static inline SPX_HOST_DEVICE float spx_rng_to_uniform(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

/** Draws in order under one (seed, sequence, key). Plain data, copy to fork. */
typedef struct spx_rng {
    uint64_t seed;
    uint64_t key; /* counter_hi */
    uint32_t sequence;
    uint32_t counter;
    uint32_t have; /* words left in word[] */
    uint32_t word[4];
} spx_rng;

static inline SPX_HOST_DEVICE void spx_rng_init(spx_rng *r, uint64_t seed, uint32_t sequence,
                                                uint64_t key)
{
    r->seed = seed;
    r->key = key;
    r->sequence = sequence;
    r->counter = r->have = 0;
    r->word[0] = r->word[1] = r->word[2] = r->word[3] = 0;
}

static inline SPX_HOST_DEVICE uint32_t spx_rng_u32(spx_rng *r)
{
    if (r->have == 0) {
        spx_rng_u32x4(r->seed, r->sequence, r->key, r->counter++, r->word);
        r->have = 4;
    }
    return r->word[4 - r->have--];
}

/** Uniform integer in [0, bound), without modulo bias; bound >= 1. */
static inline SPX_HOST_DEVICE uint32_t spx_rng_below(spx_rng *r, uint32_t bound)
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

/** Uniform in [0, 1), 24 bits. */
static inline SPX_HOST_DEVICE float spx_rng_uniform(spx_rng *r)
{
    return spx_rng_to_uniform(spx_rng_u32(r));
}

/** Standard normal, Box-Muller; one draw of two words per call. */
float spx_rng_normal(spx_rng *r);

#endif
