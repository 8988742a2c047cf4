/* Bound by memory: a fill writes 1 tensor, the others read 1 and write 1. */
#include "kernels/nn/nhwc_private.cuh"

extern "C" {
#include "kernels/nn/copy/copy_private.h"
}

using namespace spx;

namespace {

template <class T, int V>
__global__ void __launch_bounds__(block_threads)
    fill_kernel(int64_t rows, unsigned c, float value, rows_of<T> y)
{
    const unsigned at = (blockIdx.y * blockDim.x + threadIdx.x) * V;
    const int64_t step = (int64_t)gridDim.x * blockDim.y;
    float v[V];
#pragma unroll
    for (int i = 0; i < V; i++) {
        v[i] = value;
    }
    if (at >= c) {
        return;
    }
    for (int64_t r = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; r < rows; r += step) {
        store(y.at(r, at), v);
    }
}

template <class T, int V>
spx_status fill(spx_stream *s, const shape &d, const layout &l, float value, spx_operand y)
{
    return SPX_LAUNCH(s, (fill_kernel<T, V>), l.grid, l.block, 0, d.rows, (unsigned)d.c, value,
                      typed<T>(y));
}

/*
 * A transpose by tiles of 32 pixels x 32 channels, so that both sides are touched in runs. A block
 * has 32 x 8 threads; tile t of the grid is (image, run of pixels, run of channels), channels
 * innermost.
 */
constexpr unsigned tile = 32, tile_rows = 8;

struct tiles {
    unsigned pixels, channels; /* tiles along each */
    int64_t count;             /* in all */
};

struct place {
    int64_t image, pixel, channel; /* of the tile's corner */
};

__device__ inline place place_of(int64_t t, const tiles &k)
{
    const int64_t rest = t / k.channels;
    return place{rest / k.pixels, rest % k.pixels * tile, t % k.channels * tile};
}

template <class T>
__global__ void __launch_bounds__(tile *tile_rows)
    from_nchw_kernel(tiles k, int64_t c, int64_t hw, const float *x, bool accumulate, rows_of<T> y)
{
    __shared__ float part[tile][tile + 1]; /* [channel][pixel]; one more: no bank conflicts */
    for (int64_t t = blockIdx.x; t < k.count; t += gridDim.x) {
        const place at = place_of(t, k);
        for (unsigned i = threadIdx.y; i < tile; i += tile_rows) {
            const int64_t channel = at.channel + i, pixel = at.pixel + threadIdx.x;
            if (channel < c && pixel < hw) {
                part[i][threadIdx.x] = x[(at.image * c + channel) * hw + pixel];
            }
        }
        __syncthreads();
        for (unsigned i = threadIdx.y; i < tile; i += tile_rows) {
            const int64_t channel = at.channel + threadIdx.x, pixel = at.pixel + i;
            if (channel < c && pixel < hw) {
                T *to = y.at(at.image * hw + pixel, (unsigned)channel);
                const float v = part[threadIdx.x][i];
                *to = from_f32<T>(accumulate ? to_f32(*to) + v : v);
            }
        }
        __syncthreads(); /* before the next tile is written over this one */
    }
}

template <class T>
__global__ void __launch_bounds__(block_threads)
    to_nchw_kernel(int64_t rows, int64_t c, int64_t hw, rows_of<const T> x, float *y)
{
    const int64_t at = (int64_t)blockIdx.x * block_threads + threadIdx.x;
    if (at >= rows * c) {
        return;
    }
    const int64_t row = at / c, channel = at % c;
    y[(row / hw * c + channel) * hw + row % hw] = to_f32(*x.at(row, (unsigned)channel));
}

tiles tiles_of(int64_t n, int64_t c, int64_t hw)
{
    tiles k = {(unsigned)((hw + tile - 1) / tile), (unsigned)((c + tile - 1) / tile), 0};
    k.count = n * k.pixels * k.channels;
    return k;
}

unsigned blocks_for(int64_t work)
{
    return (unsigned)(work < 65536 ? work : 65536);
}

__global__ void __launch_bounds__(block_threads)
    to_bf16_kernel(int64_t n, int64_t vectors, const float *x, bf16 *y)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    const int64_t first = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    for (int64_t i = first; i < vectors; i += step) {
        float a[4], b[4];
        load(x + 8 * i, a);
        load(x + 8 * i + 4, b);
        const float all[8] = {a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]};
        store(y + 8 * i, all);
    }
    for (int64_t i = 8 * vectors + first; i < n; i += step) {
        y[i] = from_f32<bf16>(x[i]);
    }
}

spx_status fill_cuda(spx_stream *s, int64_t n, int64_t c, int64_t hw, float value, spx_operand y)
{
    layout l;
    const shape d = cut_flat(n * hw, c, {y});
    SPX_RETURN_IF(lay(&l, "fill", d, block_threads, 1));
    return SPX_BY_WIDTH(y.type, d.v, fill, s, d, l, value, flattened(y, d, c));
}

spx_status from_nchw_cuda(spx_stream *s, int64_t n, int64_t c, int64_t hw, const float *x,
                          bool accumulate, spx_operand y)
{
    const tiles k = tiles_of(n, c, hw);
    const dim3 grid(blocks_for(k.count)), block(tile, tile_rows);
    return y.type == SPX_TYPE_F32 ? SPX_LAUNCH(s, from_nchw_kernel<float>, grid, block, 0, k, c, hw,
                                               x, accumulate, typed<float>(y))
                                  : SPX_LAUNCH(s, from_nchw_kernel<bf16>, grid, block, 0, k, c, hw,
                                               x, accumulate, typed<bf16>(y));
}

spx_status to_nchw_cuda(spx_stream *s, int64_t n, int64_t c, int64_t hw, spx_operand x, float *y)
{
    const int64_t rows = n * hw, blocks = (rows * c + block_threads - 1) / block_threads;
    const dim3 grid((unsigned)blocks), block(block_threads);
    return x.type == SPX_TYPE_F32 ? SPX_LAUNCH(s, to_nchw_kernel<float>, grid, block, 0, rows, c,
                                               hw, typed<const float>(x), y)
                                  : SPX_LAUNCH(s, to_nchw_kernel<bf16>, grid, block, 0, rows, c, hw,
                                               typed<const bf16>(x), y);
}

spx_status to_bf16_cuda(spx_stream *s, int64_t n, const float *x, void *y)
{
    const int64_t vectors = aligned(x, 16) && aligned(y, 16) ? n / 8 : 0;
    const int64_t blocks = ((vectors > 0 ? vectors : n) + block_threads - 1) / block_threads;
    return SPX_LAUNCH(s, to_bf16_kernel, dim3(blocks_for(blocks)), dim3(block_threads), 0, n,
                      vectors, x, static_cast<bf16 *>(y));
}

} // namespace

const spx_copy_backend spx_copy_cuda = {fill_cuda, from_nchw_cuda, to_nchw_cuda, to_bf16_cuda};
