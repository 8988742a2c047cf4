#include "kernels/nn/drop_mask/drop_mask.h"
#include "kernels/base/rng.h"
#include "kernels/nn/nn_check.h"

/*
 * Draw i is word i%4 of block (counter_hi = step, counter_lo = i/4) under the seed below. The key
 * is folded into the seed, by a bijection for each key, because the generator's counter is spent on
 * (step, i).
 */
static uint64_t keyed_seed(uint64_t seed, uint32_t key)
{
    return seed ^ ((uint64_t)key * 0x9E3779B97F4A7C15u); /* golden ratio: odd, so keys stay apart */
}

spx_status spx_drop_mask(spx_stream *s, int64_t n, float p, uint64_t seed, uint64_t step,
                         uint32_t key, float *mask)
{
    (void)s; /* one float an image: too small to share out */
    SPX_RETURN_IF(spx_check_size("drop mask", n, 1, 1));
    if (!(p >= 0.0f && p < 1.0f) || mask == NULL || n > (int64_t)UINT32_MAX) {
        return SPX_FAIL(SPX_EINVAL, "drop mask: p = %g, n = %lld", (double)p, (long long)n);
    }
    for (int64_t i = 0; i < n; i += 4) {
        uint32_t word[4];
        spx_rng_u32x4(keyed_seed(seed, key), SPX_RNG_DROP_PATH, step, (uint32_t)(i / 4), word);
        for (int64_t j = 0; j < 4 && i + j < n; j++) {
            const float u = (float)(word[j] >> 8) * 0x1p-24f; /* [0, 1) */
            mask[i + j] = u >= p ? 1.0f / (1.0f - p) : 0.0f;
        }
    }
    return SPX_OK;
}
