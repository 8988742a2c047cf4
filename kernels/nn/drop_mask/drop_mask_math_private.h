#ifndef SPX_NN_DROP_MASK_MATH_H
#define SPX_NN_DROP_MASK_MATH_H
/* The draws of a drop mask, for every device. */
#include "kernels/base/rng.h"

/**
 * Masks 4*block .. 4*block + 3: draw i is word i%4 of block (counter_hi = step, counter_lo = i/4).
 * The key is folded into the seed, by a bijection for each key, because the generator's counter is
 * spent on (step, i).
 */
static inline SPX_HOST_DEVICE void spx_drop_mask_block(uint64_t seed, uint64_t step, uint32_t key,
                                                       float p, uint32_t block, float mask[4])
{
    /* golden ratio: odd, so keys stay apart */
    const uint64_t keyed = seed ^ ((uint64_t)key * 0x9E3779B97F4A7C15u);
    uint32_t word[4];
    spx_rng_u32x4(keyed, SPX_RNG_DROP_PATH, step, block, word);
    for (int i = 0; i < 4; i++) {
        mask[i] = spx_rng_to_uniform(word[i]) >= p ? 1.0f / (1.0f - p) : 0.0f;
    }
}

#endif
