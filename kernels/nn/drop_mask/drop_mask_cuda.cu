/* One float an image: a launch's time. */
#include "kernels/device/launch_cuda.h"

extern "C" {
#include "kernels/nn/drop_mask/drop_mask_math_private.h"
#include "kernels/nn/drop_mask/drop_mask_private.h"
}

static __global__ void mask_kernel(int64_t n, const float *p, const uint64_t *seed,
                                   const uint64_t *step, uint32_t key, float *mask)
{
    const int64_t block = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    float four[4];
    if (4 * block >= n) {
        return;
    }
    spx_drop_mask_block(*seed, *step, key, *p, (uint32_t)block, four);
    for (int64_t i = 4 * block; i < n && i < 4 * block + 4; i++) {
        mask[i] = four[i - 4 * block];
    }
}

static spx_status draw_cuda(spx_stream *s, int64_t n, const float *p, const uint64_t *seed,
                            const uint64_t *step, uint32_t key, float *mask)
{
    return SPX_LAUNCH(s, mask_kernel, dim3((unsigned)((n + 511) / 512)), dim3(128), 0, n, p, seed,
                      step, key, mask);
}

const spx_drop_mask_backend spx_drop_mask_cuda = {draw_cuda};
