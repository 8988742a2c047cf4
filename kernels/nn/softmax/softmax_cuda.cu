/* A warp a row, in double as on the CPU: the matrices are a few rows, the launch is what takes
 * time. */
#include "kernels/nn/warp_private.cuh"

extern "C" {
#include "kernels/nn/softmax/softmax_private.h"
}

using namespace spx;

namespace {

constexpr unsigned threads = 128, rows_of_block = threads / warp_lanes;

__global__ void __launch_bounds__(threads)
    forward_kernel(int64_t rows, int64_t cols, const float *x, float *y)
{
    const int64_t row = (int64_t)blockIdx.x * rows_of_block + threadIdx.x / warp_lanes;
    const unsigned lane = threadIdx.x % warp_lanes;
    float max = -INFINITY;
    double sum = 0;
    if (row >= rows) {
        return; /* the whole warp */
    }
    x += row * cols;
    y += row * cols;
    for (int64_t k = lane; k < cols; k += warp_lanes) {
        max = fmaxf(max, x[k]);
    }
    max = max_warp(max);
    for (int64_t k = lane; k < cols; k += warp_lanes) {
        sum += exp((double)x[k] - (double)max);
    }
    sum = sum_warp(sum);
    for (int64_t k = lane; k < cols; k += warp_lanes) {
        y[k] = (float)(exp((double)x[k] - (double)max) / sum);
    }
}

__global__ void __launch_bounds__(threads)
    backward_kernel(int64_t rows, int64_t cols, const float *y, const float *dy, bool accumulate,
                    float *dx)
{
    const int64_t row = (int64_t)blockIdx.x * rows_of_block + threadIdx.x / warp_lanes;
    const unsigned lane = threadIdx.x % warp_lanes;
    double dot = 0;
    if (row >= rows) {
        return;
    }
    y += row * cols;
    dy += row * cols;
    dx += row * cols;
    for (int64_t k = lane; k < cols; k += warp_lanes) {
        dot += (double)y[k] * (double)dy[k];
    }
    dot = sum_warp(dot);
    for (int64_t k = lane; k < cols; k += warp_lanes) {
        const double g = (double)y[k] * ((double)dy[k] - dot);
        dx[k] = (float)((accumulate ? (double)dx[k] : 0.0) + g);
    }
}

spx_status blocks_for(int64_t rows, unsigned *blocks)
{
    if (rows > INT32_MAX) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "softmax: %lld rows", (long long)rows);
    }
    *blocks = (unsigned)((rows + rows_of_block - 1) / rows_of_block);
    return SPX_OK;
}

spx_status forward_cuda(spx_stream *s, int64_t rows, int64_t cols, const float *x, float *y)
{
    unsigned blocks = 0;
    SPX_RETURN_IF(blocks_for(rows, &blocks));
    return SPX_LAUNCH(s, forward_kernel, dim3(blocks), dim3(threads), 0, rows, cols, x, y);
}

spx_status backward_cuda(spx_stream *s, int64_t rows, int64_t cols, const float *y, const float *dy,
                         bool accumulate, float *dx)
{
    unsigned blocks = 0;
    SPX_RETURN_IF(blocks_for(rows, &blocks));
    return SPX_LAUNCH(s, backward_kernel, dim3(blocks), dim3(threads), 0, rows, cols, y, dy,
                      accumulate, dx);
}

} // namespace

const spx_softmax_backend spx_softmax_cuda = {forward_cuda, backward_cuda};
