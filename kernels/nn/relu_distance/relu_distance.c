#include "kernels/nn/relu_distance/relu_distance.h"

#include "kernels/device/backend.h"
#include "kernels/nn/nn_check.h"
#include "kernels/nn/relu_distance/relu_distance_private.h"

#include <math.h>
#include <string.h>

/* ---- the CPU ---- */

/* Positions in blocks that stay in the cache while images pass. */
#define BLOCK ((size_t)1024)

static void add_positions(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_distance_args *a = ctx;
    const size_t chw = (size_t)(a->c * a->hw);
    (void)worker;
    for (size_t block = begin; block < end; block++) {
        const size_t at = block * BLOCK, len = chw - at < BLOCK ? chw - at : BLOCK;
        float *restrict sum = a->sum + at;
        memset(sum, 0, len * sizeof *sum);
        for (int64_t n = 0; n < a->n; n++) {
            const float *y = spx_image(a->y, n) + at;
            const float *target = a->target + (size_t)n * chw + at;
            for (size_t i = 0; i < len; i++) {
                sum[i] += fabsf(y[i] - target[i]);
            }
        }
    }
}

static spx_status distance_cpu(spx_stream *s, spx_distance_args *a)
{
    const size_t blocks = ((size_t)(a->c * a->hw) + BLOCK - 1) / BLOCK;
    spx_pool_run(spx_stream_pool(s), blocks, add_positions, a);
    return SPX_OK;
}

static const spx_distance_backend spx_distance_cpu = {distance_cpu};

/* ---- validation ---- */

static spx_status check(const spx_stream *s, const spx_distance_args *a)
{
    SPX_RETURN_IF(spx_check_size("relu distance", a->n, a->c, a->hw));
    SPX_RETURN_IF(spx_check_operand(s, "relu distance", "y", a->y, a->n, a->c, a->hw));
    return a->sum != NULL && a->n * a->c * a->hw <= INT32_MAX
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "relu distance: an operand is missing, or %lld elements",
                          (long long)(a->n * a->c * a->hw));
}

spx_status spx_relu_distance(spx_stream *s, int64_t n, int64_t c, int64_t hw, spx_operand y,
                             const float *target, float *sum)
{
    spx_distance_args a = {.n = n, .c = c, .hw = hw, .y = y, .target = target, .sum = sum};
    SPX_RETURN_IF(check(s, &a));
    if (target == NULL) {
        return SPX_FAIL(SPX_EINVAL, "relu distance: the target is missing");
    }
    return SPX_BACKEND(s, spx_distance_cpu, spx_distance_cuda)->distance(s, &a);
}
