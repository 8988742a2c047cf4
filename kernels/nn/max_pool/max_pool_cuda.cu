/*
 * A thread gathers one vector of channels of one pixel, both ways: no atomics. Bound by memory
 * where windows are small; backward finds the place of each window that holds its pixel anew, from
 * the caches.
 */
#include "kernels/nn/nhwc_private.cuh"

extern "C" {
#include "kernels/nn/max_pool/max_pool_math_private.h"
#include "kernels/nn/max_pool/max_pool_private.h"
}

using namespace spx;

namespace {

/* The maxima of a window of image n, V channels from c on, and which element each is. */
template <class T, int V>
__device__ inline void find(const spx_max_pool_shape &d, const rows_of<const T> &x, int64_t n,
                            unsigned c, spx_max_pool_span rows, spx_max_pool_span columns,
                            float (&largest)[V], int64_t (&place)[V])
{
#pragma unroll
    for (int i = 0; i < V; i++) {
        largest[i] = -INFINITY;
        place[i] = rows.begin * d.w + columns.begin;
    }
    for (int64_t r = rows.begin; r < rows.end; r++) {
        for (int64_t k = columns.begin; k < columns.end; k++) {
            float v[V];
            load(x.at((n * d.h + r) * d.w + k, c), v);
#pragma unroll
            for (int i = 0; i < V; i++) {
                if (spx_max_pool_larger(v[i], largest[i])) {
                    largest[i] = v[i];
                    place[i] = r * d.w + k;
                }
            }
        }
    }
}

template <class T, int V>
__global__ void __launch_bounds__(block_threads)
    forward_kernel(spx_max_pool_shape d, rows_of<const T> x, rows_of<T> y)
{
    const unsigned c = (blockIdx.y * blockDim.x + threadIdx.x) * V;
    const int64_t pixels = d.n * d.p * d.q, step = (int64_t)gridDim.x * blockDim.y;
    if (c >= d.c) {
        return;
    }
    for (int64_t at = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; at < pixels; at += step) {
        const unsigned line = (unsigned)at / (unsigned)d.q;
        float largest[V];
        int64_t place[V];
        find<T, V>(d, x, line / (unsigned)d.p, c, spx_max_pool_window(&d, 0, line % (unsigned)d.p),
                   spx_max_pool_window(&d, 1, (unsigned)at % (unsigned)d.q), largest, place);
        store(y.at(at, c), largest);
    }
}

template <class T, int V>
__global__ void __launch_bounds__(block_threads)
    backward_kernel(spx_max_pool_shape d, rows_of<const T> x, rows_of<const T> dy, bool accumulate,
                    rows_of<T> dx)
{
    const unsigned c = (blockIdx.y * blockDim.x + threadIdx.x) * V;
    const int64_t pixels = d.n * d.h * d.w, step = (int64_t)gridDim.x * blockDim.y;
    if (c >= d.c) {
        return;
    }
    for (int64_t at = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; at < pixels; at += step) {
        const unsigned line = (unsigned)at / (unsigned)d.w;
        const int64_t n = line / (unsigned)d.h, row = line % (unsigned)d.h;
        const int64_t column = (unsigned)at % (unsigned)d.w;
        const spx_max_pool_span down = spx_max_pool_cover(&d, 0, row);
        const spx_max_pool_span across = spx_max_pool_cover(&d, 1, column);
        float sum[V] = {};
        if (accumulate) {
            load<T, V>(dx.at(at, c), sum);
        }
        for (int64_t p = down.begin; p < down.end; p++) {
            for (int64_t q = across.begin; q < across.end; q++) {
                float largest[V], g[V];
                int64_t place[V];
                find<T, V>(d, x, n, c, spx_max_pool_window(&d, 0, p), spx_max_pool_window(&d, 1, q),
                           largest, place);
                load(dy.at((n * d.p + p) * d.q + q, c), g);
#pragma unroll
                for (int i = 0; i < V; i++) {
                    sum[i] = place[i] == row * d.w + column ? sum[i] + g[i] : sum[i];
                }
            }
        }
        store(dx.at(at, c), sum);
    }
}

template <class T, int V>
spx_status forward(spx_stream *s, const layout &l, const spx_max_pool_args &a)
{
    return SPX_LAUNCH(s, (forward_kernel<T, V>), l.grid, l.block, 0, *a.d, typed<const T>(a.x),
                      typed<T>(a.out));
}

template <class T, int V>
spx_status backward(spx_stream *s, const layout &l, const spx_max_pool_args &a)
{
    return SPX_LAUNCH(s, (backward_kernel<T, V>), l.grid, l.block, 0, *a.d, typed<const T>(a.x),
                      typed<const T>(a.dy), a.accumulate, typed<T>(a.out));
}

spx_status forward_cuda(spx_stream *s, spx_max_pool_args *a)
{
    layout l;
    const spx_max_pool_shape &d = *a->d;
    const shape rows = {d.n * d.p * d.q, d.c, 1, widest(d.c, 1, operands({a->x, a->out}), 8)};
    SPX_RETURN_IF(lay(&l, "max pool", rows, 32, 1));
    return SPX_BY_WIDTH(a->x.type, rows.v, forward, s, l, *a);
}

spx_status backward_cuda(spx_stream *s, spx_max_pool_args *a)
{
    layout l;
    const spx_max_pool_shape &d = *a->d;
    const shape rows = {d.n * d.h * d.w, d.c, 1,
                        widest(d.c, 1, operands({a->x, a->dy, a->out}), 8)};
    SPX_RETURN_IF(lay(&l, "max pool", rows, 32, 1));
    return SPX_BY_WIDTH(a->x.type, rows.v, backward, s, l, *a);
}

} // namespace

const spx_max_pool_backend spx_max_pool_cuda = {forward_cuda, backward_cuda};
