/*
 * A thread gathers one vector of channels of one pixel. Bound by memory: both ways read one tensor
 * and write the other; the reads of overlapping windows hit the caches. 3x3 windows should run at
 * 70-80 % of the memory's peak beyond the L2 cache.
 */
#include "kernels/nn/nhwc_private.cuh"

extern "C" {
#include "kernels/nn/pool/pool2d_private.h"
}

using namespace spx;

namespace {

/* A pixel of a plane of w columns and h rows, from its number among all images' pixels. */
struct pixel {
    int64_t image, row, column;
};

__device__ inline pixel pixel_of(unsigned at, unsigned h, unsigned w)
{
    const unsigned line = at / w;
    return pixel{line / h, line % h, at % w};
}

template <class T, int V>
__global__ void __launch_bounds__(block_threads)
    forward_kernel(spx_pool2d_shape d, rows_of<const T> x, rows_of<T> y)
{
    const unsigned c = (blockIdx.y * blockDim.x + threadIdx.x) * V;
    const int64_t pixels = d.n * d.p * d.q, step = (int64_t)gridDim.x * blockDim.y;
    if (c >= d.c) {
        return;
    }
    for (int64_t at = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; at < pixels; at += step) {
        const pixel o = pixel_of((unsigned)at, (unsigned)d.p, (unsigned)d.q);
        const spx_pool2d_span rows = spx_pool2d_window(&d, o.row, d.h);
        const spx_pool2d_span columns = spx_pool2d_window(&d, o.column, d.w);
        const float count = (float)((rows.end - rows.begin) * (columns.end - columns.begin));
        float sum[V] = {};
        for (int64_t r = rows.begin; r < rows.end; r++) {
            float line[V] = {}; /* first along a row: shorter sums round less */
            for (int64_t k = columns.begin; k < columns.end; k++) {
                float v[V];
                load(x.at((o.image * d.h + r) * d.w + k, c), v);
#pragma unroll
                for (int i = 0; i < V; i++) {
                    line[i] += v[i];
                }
            }
#pragma unroll
            for (int i = 0; i < V; i++) {
                sum[i] += line[i];
            }
        }
#pragma unroll
        for (int i = 0; i < V; i++) {
            sum[i] /= count;
        }
        store(y.at(at, c), sum);
    }
}

template <class T, int V>
__global__ void __launch_bounds__(block_threads)
    backward_kernel(spx_pool2d_shape d, rows_of<const T> dy, bool accumulate, rows_of<T> dx)
{
    const unsigned c = (blockIdx.y * blockDim.x + threadIdx.x) * V;
    const int64_t pixels = d.n * d.h * d.w, step = (int64_t)gridDim.x * blockDim.y;
    if (c >= d.c) {
        return;
    }
    for (int64_t at = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; at < pixels; at += step) {
        const pixel in = pixel_of((unsigned)at, (unsigned)d.h, (unsigned)d.w);
        const spx_pool2d_span rows = spx_pool2d_cover(&d, in.row, d.p);
        const spx_pool2d_span columns = spx_pool2d_cover(&d, in.column, d.q);
        float sum[V] = {}, old[V] = {};
        for (int64_t p = rows.begin; p < rows.end; p++) {
            const spx_pool2d_span up = spx_pool2d_window(&d, p, d.h);
            float line[V] = {};
            for (int64_t q = columns.begin; q < columns.end; q++) {
                const spx_pool2d_span across = spx_pool2d_window(&d, q, d.w);
                const float share =
                    1.0f / (float)((up.end - up.begin) * (across.end - across.begin));
                float v[V];
                load(dy.at((in.image * d.p + p) * d.q + q, c), v);
#pragma unroll
                for (int i = 0; i < V; i++) {
                    line[i] = fmaf(share, v[i], line[i]);
                }
            }
#pragma unroll
            for (int i = 0; i < V; i++) {
                sum[i] += line[i];
            }
        }
        if (accumulate) {
            load<T, V>(dx.at(at, c), old);
        }
#pragma unroll
        for (int i = 0; i < V; i++) {
            sum[i] += old[i];
        }
        store(dx.at(at, c), sum);
    }
}

template <class T, int V>
spx_status forward(spx_stream *s, const layout &l, const spx_pool2d_shape &d, spx_operand x,
                   spx_operand y)
{
    return SPX_LAUNCH(s, (forward_kernel<T, V>), l.grid, l.block, 0, d, typed<const T>(x),
                      typed<T>(y));
}

template <class T, int V>
spx_status backward(spx_stream *s, const layout &l, const spx_pool2d_shape &d, spx_operand dy,
                    bool accumulate, spx_operand dx)
{
    return SPX_LAUNCH(s, (backward_kernel<T, V>), l.grid, l.block, 0, d, typed<const T>(dy),
                      accumulate, typed<T>(dx));
}

spx_status forward_cuda(spx_stream *s, spx_avg_pool_args *a)
{
    layout l;
    const spx_pool2d_shape &d = *a->d;
    const shape rows = {d.n * d.p * d.q, d.c, 1, widest(d.c, 1, operands({a->in, a->out}), 8)};
    SPX_RETURN_IF(lay(&l, "pool", rows, 32, 1));
    return SPX_BY_WIDTH(a->in.type, rows.v, forward, s, l, d, a->in, a->out);
}

spx_status backward_cuda(spx_stream *s, spx_avg_pool_args *a)
{
    layout l;
    const spx_pool2d_shape &d = *a->d;
    const shape rows = {d.n * d.h * d.w, d.c, 1, widest(d.c, 1, operands({a->in, a->out}), 8)};
    SPX_RETURN_IF(lay(&l, "pool", rows, 32, 1));
    return SPX_BY_WIDTH(a->in.type, rows.v, backward, s, l, d, a->in, a->accumulate, a->out);
}

} // namespace

const spx_avg_pool_backend spx_avg_pool_cuda = {forward_cuda, backward_cuda};
