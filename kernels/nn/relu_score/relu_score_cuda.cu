/*
 * Bandwidth-bound: a batch's x and g are read twice, for the maps by pixel and for the squares by
 * image; a thread has its position, or a block its image, so sums are in one order.
 */
#include "kernels/nn/nhwc_private.cuh"
#include "kernels/nn/warp_private.cuh"

extern "C" {
#include "kernels/nn/relu_score/relu_score_math_private.h"
#include "kernels/nn/relu_score/relu_score_private.h"
}

using namespace spx;

namespace {

constexpr unsigned warps = block_threads / warp_lanes;

/* A thread a position, neighbours along the channels; maps have the pixels innermost. */
template <class T>
__global__ void __launch_bounds__(block_threads)
    maps_kernel(int64_t n, int64_t c, int64_t hw, rows_of<const T> x, rows_of<const T> g,
                float *map)
{
    const int64_t at = (int64_t)blockIdx.x * block_threads + threadIdx.x, count = c * hw;
    if (at >= count) {
        return;
    }
    const int64_t pixel = at / c, channel = at % c;
    float *out = map + channel * hw + pixel;
    float product = 0, negative = 0, input = 0, gradient = 0;
    for (int64_t i = 0; i < n; i++) {
        const float v = to_f32(*x.at(i * hw + pixel, (unsigned)channel));
        const float d = to_f32(*g.at(i * hw + pixel, (unsigned)channel));
        product += fabsf(d * v);
        negative += v < 0.0f ? 1.0f : 0.0f;
        input += v * v;
        gradient += d * d;
    }
    out[SPX_SCORE_PRODUCT * count] = product;
    out[SPX_SCORE_NEGATIVE * count] = negative;
    out[SPX_SCORE_INPUT * count] = input;
    out[SPX_SCORE_GRADIENT * count] = gradient;
}

/* For all threads of a block. part: [warps] in shared memory. */
__device__ inline double sum_of_block(double v, double *part)
{
    double all = 0;
    v = sum_warp(v);
    if (threadIdx.x % warp_lanes == 0) {
        part[threadIdx.x / warp_lanes] = v;
    }
    __syncthreads();
    for (unsigned k = 0; k < warps; k++) {
        all += part[k];
    }
    __syncthreads();
    return all;
}

template <class T>
__global__ void __launch_bounds__(block_threads)
    squares_kernel(int64_t c, int64_t hw, rows_of<const T> g, float *square)
{
    __shared__ double part[warps];
    double sum = 0;
    for (int64_t at = threadIdx.x; at < c * hw; at += block_threads) {
        const float d = to_f32(*g.at((int64_t)blockIdx.x * hw + at / c, (unsigned)(at % c)));
        sum += (double)(d * d);
    }
    sum = sum_of_block(sum, part);
    if (threadIdx.x == 0) {
        square[blockIdx.x] = (float)sum;
    }
}

__global__ void __launch_bounds__(block_threads) add_kernel(spx_score_add_args a)
{
    const spx_score_factors f = spx_score_factors_of(a.n, *a.seen);
    const float weight = *a.seen > 0 ? a.table[SPX_SCORE_WEIGHT * a.layers + a.layer] : 1.0f;
    const int64_t at = (int64_t)blockIdx.x * block_threads + threadIdx.x;
    if (at < a.count) {
        const float *map = a.map + at;
        spx_score_position(&f, weight, map[SPX_SCORE_PRODUCT * a.count],
                           map[SPX_SCORE_NEGATIVE * a.count], map[SPX_SCORE_INPUT * a.count],
                           map[SPX_SCORE_GRADIENT * a.count], &a.out.importance[at],
                           &a.out.curvature[at], &a.out.negative[at]);
    }
}

/* One block: the layer's own numbers. */
__global__ void __launch_bounds__(block_threads) layer_kernel(spx_score_add_args a)
{
    __shared__ double part[warps];
    double norms = 0, squares = 0;
    for (int64_t i = threadIdx.x; i < a.n; i += block_threads) {
        norms += sqrt((double)a.square[i]);
        squares += (double)a.square[i];
    }
    norms = sum_of_block(norms, part);
    squares = sum_of_block(squares, part);
    if (threadIdx.x == 0) {
        spx_score_layer(a.n, a.count, norms, squares, &a.table[a.layer],
                        &a.table[a.layers + a.layer]);
    }
}

__global__ void weigh_kernel(int64_t layers, float *table, float *seen)
{
    if (threadIdx.x == 0) { /* some dozens of layers */
        spx_score_weights(layers, table);
        *seen += 1.0f;
    }
}

template <class T> spx_status score(spx_stream *s, const spx_score_args *a)
{
    const int64_t blocks = (a->c * a->hw + block_threads - 1) / block_threads;
    SPX_RETURN_IF(SPX_LAUNCH(s, (maps_kernel<T>), dim3((unsigned)blocks), dim3(block_threads), 0,
                             a->n, a->c, a->hw, typed<const T>(a->x), typed<const T>(a->g),
                             a->map));
    return SPX_LAUNCH(s, (squares_kernel<T>), dim3((unsigned)a->n), dim3(block_threads), 0, a->c,
                      a->hw, typed<const T>(a->g), a->square);
}

spx_status score_cuda(spx_stream *s, spx_score_args *a)
{
    return a->x.type == SPX_TYPE_F32 ? score<float>(s, a) : score<bf16>(s, a);
}

spx_status add_cuda(spx_stream *s, spx_score_add_args *a)
{
    const int64_t blocks = (a->count + block_threads - 1) / block_threads;
    SPX_RETURN_IF(SPX_LAUNCH(s, add_kernel, dim3((unsigned)blocks), dim3(block_threads), 0, *a));
    return SPX_LAUNCH(s, layer_kernel, dim3(1), dim3(block_threads), 0, *a);
}

spx_status weigh_cuda(spx_stream *s, int64_t layers, float *table, float *seen)
{
    return SPX_LAUNCH(s, weigh_kernel, dim3(1), dim3(warp_lanes), 0, layers, table, seen);
}

} // namespace

const spx_score_backend spx_score_cuda = {score_cuda, add_cuda, weigh_cuda};
