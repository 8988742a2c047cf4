#include "kernels/nn/drop_mask/drop_mask.h"
#include "kernels/nn/drop_mask/drop_mask_math_private.h"
#include "kernels/nn/nn_check.h"

spx_status spx_drop_mask(spx_stream *s, int64_t n, float p, uint64_t seed, uint64_t step,
                         uint32_t key, float *mask)
{
    (void)s; /* one float an image: too small to share out */
    SPX_RETURN_IF(spx_check_size("drop mask", n, 1, 1));
    if (!(p >= 0.0f && p < 1.0f) || mask == NULL || n > (int64_t)UINT32_MAX) {
        return SPX_FAIL(SPX_EINVAL, "drop mask: p = %g, n = %lld", (double)p, (long long)n);
    }
    for (int64_t i = 0; i < n; i += 4) {
        float four[4];
        spx_drop_mask_block(seed, step, key, p, (uint32_t)(i / 4), four);
        for (int64_t j = 0; j < 4 && i + j < n; j++) {
            mask[i + j] = four[j];
        }
    }
    return SPX_OK;
}
