/*
 * A warp a row of logits. Forward and the counts are one block, so that the rows' sum has one order
 * and needs no scratch: 256 rows of 1000 classes are a megabyte, some 10 us. Exponentials and a
 * lane's sums (classes/32 of them) are f32, what follows is double.
 */
#include "kernels/nn/warp_private.cuh"

extern "C" {
#include "kernels/nn/loss/loss_private.h"
}

using namespace spx;

namespace {

constexpr unsigned many_threads = 1024, many_warps = many_threads / warp_lanes;
constexpr unsigned threads = 256, rows_of_block = threads / warp_lanes;

/* The row's largest element and the sum of exp(x[k] - max), for all lanes. */
__device__ inline double exp_sum(int64_t classes, const float *x, unsigned lane, float *max)
{
    float m = -INFINITY, sum = 0;
    for (int64_t k = lane; k < classes; k += warp_lanes) {
        m = fmaxf(m, x[k]);
    }
    m = max_warp(m);
    for (int64_t k = lane; k < classes; k += warp_lanes) {
        sum += expf(x[k] - m);
    }
    *max = m;
    return sum_warp((double)sum);
}

/* -sum of t[k]*log p[k] = lse - (1-smoothing)*x[label] - smoothing*mean(x) */
__device__ inline double row_loss(int64_t classes, const float *x, int32_t label, float smoothing,
                                  unsigned lane)
{
    float max, mean = 0; /* of x - max, so that large logits cancel exactly */
    const double lse_less_max = log(exp_sum(classes, x, lane, &max));
    if (smoothing > 0.0f) {
        for (int64_t k = lane; k < classes; k += warp_lanes) {
            mean += x[k] - max;
        }
    }
    const double all = sum_warp((double)mean) / (double)classes;
    if (label < 0 || label >= classes) {
        return NAN;
    }
    return lse_less_max - (1.0 - (double)smoothing) * ((double)x[label] - (double)max) -
           (double)smoothing * all;
}

__global__ void __launch_bounds__(many_threads)
    forward_kernel(int64_t n, int64_t classes, const float *logits, const int32_t *label,
                   float smoothing, float *loss)
{
    __shared__ double part[many_warps];
    const unsigned lane = threadIdx.x % warp_lanes, warp = threadIdx.x / warp_lanes;
    double sum = 0;
    for (int64_t i = warp; i < n; i += many_warps) {
        sum += row_loss(classes, logits + i * classes, label[i], smoothing, lane);
    }
    if (lane == 0) {
        part[warp] = sum;
    }
    __syncthreads();
    if (warp == 0) {
        sum = sum_warp(part[lane]);
        if (lane == 0) {
            *loss = (float)(sum / (double)n);
        }
    }
}

__global__ void __launch_bounds__(threads)
    backward_kernel(int64_t n, int64_t classes, const float *logits, const int32_t *label,
                    float smoothing, float scale, bool accumulate, float *dlogits)
{
    const int64_t i = (int64_t)blockIdx.x * rows_of_block + threadIdx.x / warp_lanes;
    const unsigned lane = threadIdx.x % warp_lanes;
    float max;
    if (i >= n) {
        return; /* the whole warp */
    }
    const float *x = logits + i * classes;
    const float inv = (float)(1.0 / exp_sum(classes, x, lane, &max));
    const float off = smoothing / (float)classes, on = scale * (1.0f - smoothing);
    for (int64_t k = lane; k < classes; k += warp_lanes) {
        const float d = scale * (expf(x[k] - max) * inv - off);
        const float old = accumulate ? dlogits[i * classes + k] : 0.0f;
        dlogits[i * classes + k] = old + (k == label[i] ? d - on : d);
    }
}

static_assert(many_warps == warp_lanes, "one warp adds up what the warps found");

__global__ void __launch_bounds__(many_threads)
    count_kernel(int64_t valid, int64_t classes, const float *logits, const int32_t *label,
                 spx_hits *hits)
{
    __shared__ int64_t first[many_warps], five[many_warps];
    __shared__ double part[many_warps];
    const unsigned lane = threadIdx.x % warp_lanes, warp = threadIdx.x / warp_lanes;
    int64_t top1 = 0, top5 = 0;
    double loss = 0;
    for (int64_t i = warp; i < valid; i += many_warps) {
        const float *x = logits + i * classes;
        const int32_t own = label[i];
        loss += row_loss(classes, x, own, 0.0f, lane);
        if (own >= 0 && own < classes) { /* the same for the whole warp */
            const float mine = x[own];
            int64_t before = 0;
            double nothing = 0; /* NaN where a logit is not finite: no accuracy then */
            for (int64_t k = lane; k < classes; k += warp_lanes) { /* NaN ranks before */
                nothing += 0.0 * (double)x[k];
                before += k != own && !(x[k] < mine || (x[k] == mine && k > own));
            }
            before = isnan(mine) ? classes : sum_warp((long long)before);
            loss += sum_warp(nothing);
            top1 += before < 1;
            top5 += before < 5;
        }
    }
    if (lane == 0) {
        first[warp] = top1;
        five[warp] = top5;
        part[warp] = loss;
    }
    __syncthreads();
    if (warp == 0) {
        loss = sum_warp(part[lane]);
        top1 = sum_warp((long long)first[lane]);
        top5 = sum_warp((long long)five[lane]);
        if (lane == 0) {
            hits->images += valid;
            hits->top1 += top1;
            hits->top5 += top5;
            hits->loss += loss;
        }
    }
}

spx_status forward_cuda(spx_stream *s, int64_t n, int64_t classes, const float *logits,
                        const int32_t *label, float smoothing, float *loss)
{
    return SPX_LAUNCH(s, forward_kernel, dim3(1), dim3(many_threads), 0, n, classes, logits, label,
                      smoothing, loss);
}

spx_status backward_cuda(spx_stream *s, int64_t n, int64_t classes, const float *logits,
                         const int32_t *label, float smoothing, float weight, bool accumulate,
                         float *dlogits)
{
    const dim3 grid((unsigned)((n + rows_of_block - 1) / rows_of_block));
    return SPX_LAUNCH(s, backward_kernel, grid, dim3(threads), 0, n, classes, logits, label,
                      smoothing, (float)((double)weight / (double)n), accumulate, dlogits);
}

spx_status count_cuda(spx_stream *s, int64_t valid, int64_t classes, const float *logits,
                      const int32_t *label, spx_hits *hits)
{
    return SPX_LAUNCH(s, count_kernel, dim3(1), dim3(many_threads), 0, valid, classes, logits,
                      label, hits);
}

} // namespace

const spx_loss_backend spx_loss_cuda = {forward_cuda, backward_cuda, count_cuda};
