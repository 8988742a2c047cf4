#include "kernels/nn/drop_mask/drop_mask.h"
#include "kernels/device/backend.h"
#include "kernels/nn/drop_mask/drop_mask_math_private.h"
#include "kernels/nn/drop_mask/drop_mask_private.h"
#include "kernels/nn/nn_check.h"

static spx_status draw_cpu(spx_stream *s, int64_t n, const float *p, const uint64_t *seed,
                           const uint64_t *step, uint32_t key, float *mask)
{
    (void)s; /* one float an image: too small to share out */
    if (!(*p >= 0.0f && *p < 1.0f)) {
        return SPX_FAIL(SPX_EINVAL, "drop mask: p = %g", (double)*p);
    }
    for (int64_t i = 0; i < n; i += 4) {
        float four[4];
        spx_drop_mask_block(*seed, *step, key, *p, (uint32_t)(i / 4), four);
        for (int64_t j = 0; j < 4 && i + j < n; j++) {
            mask[i + j] = four[j];
        }
    }
    return SPX_OK;
}

static const spx_drop_mask_backend spx_drop_mask_cpu = {draw_cpu};

spx_status spx_drop_mask(spx_stream *s, int64_t n, const float *p, const uint64_t *seed,
                         const uint64_t *step, uint32_t key, float *mask)
{
    SPX_RETURN_IF(spx_check_size("drop mask", n, 1, 1));
    if (p == NULL || seed == NULL || step == NULL || mask == NULL || n > (int64_t)UINT32_MAX) {
        return SPX_FAIL(SPX_EINVAL, "drop mask: an operand is missing, or n = %lld", (long long)n);
    }
    return SPX_BACKEND(s, spx_drop_mask_cpu, spx_drop_mask_cuda)
        ->draw(s, n, p, seed, step, key, mask);
}
