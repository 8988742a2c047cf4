#ifndef SPX_BASE_RNG_H
#define SPX_BASE_RNG_H
/*
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011). A draw is a pure function
 * of (seed, stream, counter), so order, threads and resumption cannot change it. Not for secrets:
 * cryptographic randomness lives in kernels/crypto.
 */
#include <stdint.h>

/** Named streams, so that two uses of one seed never share draws. */
typedef enum spx_rng_stream {
    SPX_RNG_WEIGHTS = 1,
    SPX_RNG_ALPHAS,
    SPX_RNG_SPLIT,
    SPX_RNG_ORDER,
    SPX_RNG_AUGMENT,
    SPX_RNG_DROP_PATH,
    SPX_RNG_RANDOM_SEARCH,
    SPX_RNG_TEST,
    SPX_RNG_BENCH
} spx_rng_stream;

/** Four uniform 32-bit words for (seed, stream, counter_hi, counter_lo). */
void spx_rng_u32x4(uint64_t seed, uint32_t stream, uint64_t counter_hi, uint32_t counter_lo,
                   uint32_t out[4]);

/** A sequential view: draws in order under one (seed, stream, key). Plain data, copy to fork. */
typedef struct spx_rng {
    uint64_t seed;
    uint64_t key; /* counter_hi */
    uint32_t stream;
    uint32_t counter;
    uint32_t have; /* words left in word[] */
    uint32_t word[4];
} spx_rng;

void spx_rng_init(spx_rng *r, uint64_t seed, uint32_t stream, uint64_t key);
uint32_t spx_rng_u32(spx_rng *r);
/** Uniform integer in [0, bound), without modulo bias; bound >= 1. */
uint32_t spx_rng_below(spx_rng *r, uint32_t bound);
/** Uniform in [0, 1), 24 bits. */
float spx_rng_uniform(spx_rng *r);
/** Standard normal, Box-Muller; one draw of two words per call. */
float spx_rng_normal(spx_rng *r);

#endif
