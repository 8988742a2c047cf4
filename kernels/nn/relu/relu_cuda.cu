/*
 * Bandwidth-bound: forward moves 2 tensors, backward 3 (4 where it accumulates); a thread's loads
 * are independent, so large tensors should reach 85-90 % of the memory's peak.
 */
#include "kernels/nn/nhwc_private.cuh"

extern "C" {
#include "kernels/nn/relu/relu_private.h"
}

using namespace spx;

namespace {

template <class T, int V>
__global__ void __launch_bounds__(block_threads)
    forward_kernel(int64_t rows, unsigned c, rows_of<const T> x, rows_of<T> y)
{
    const unsigned at = (blockIdx.y * blockDim.x + threadIdx.x) * V;
    const int64_t step = (int64_t)gridDim.x * blockDim.y;
    if (at >= c) {
        return;
    }
    for (int64_t r = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; r < rows; r += step) {
        float v[V];
        load(x.at(r, at), v);
#pragma unroll
        for (int i = 0; i < V; i++) {
            v[i] = 0.0f > v[i] ? 0.0f : v[i]; /* so written, a NaN stays one */
        }
        store(y.at(r, at), v);
    }
}

template <class T, int V>
__global__ void __launch_bounds__(block_threads)
    backward_kernel(int64_t rows, unsigned c, rows_of<const T> y, rows_of<const T> dy,
                    bool accumulate, rows_of<T> dx)
{
    const unsigned at = (blockIdx.y * blockDim.x + threadIdx.x) * V;
    const int64_t step = (int64_t)gridDim.x * blockDim.y;
    if (at >= c) {
        return;
    }
    for (int64_t r = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; r < rows; r += step) {
        float on[V], g[V], old[V] = {};
        load(y.at(r, at), on);
        load(dy.at(r, at), g);
        if (accumulate) {
            load<T, V>(dx.at(r, at), old);
        }
#pragma unroll
        for (int i = 0; i < V; i++) {
            g[i] = old[i] + (on[i] > 0.0f ? g[i] : 0.0f);
        }
        store(dx.at(r, at), g);
    }
}

template <class T, int V>
spx_status forward(spx_stream *s, const shape &d, const layout &l, spx_operand x, spx_operand y)
{
    return SPX_LAUNCH(s, (forward_kernel<T, V>), l.grid, l.block, 0, d.rows, (unsigned)d.c,
                      typed<const T>(x), typed<T>(y));
}

template <class T, int V>
spx_status backward(spx_stream *s, const shape &d, const layout &l, spx_operand y, spx_operand dy,
                    bool accumulate, spx_operand dx)
{
    return SPX_LAUNCH(s, (backward_kernel<T, V>), l.grid, l.block, 0, d.rows, (unsigned)d.c,
                      typed<const T>(y), typed<const T>(dy), accumulate, typed<T>(dx));
}

spx_status forward_cuda(spx_stream *s, spx_relu_args *a)
{
    layout l;
    const shape d = cut_flat(a->n * a->hw, a->c, {a->x, a->out});
    SPX_RETURN_IF(lay(&l, "relu", d, block_threads, 1));
    return SPX_BY_WIDTH(a->x.type, d.v, forward, s, d, l, flattened(a->x, d, a->c),
                        flattened(a->out, d, a->c));
}

spx_status backward_cuda(spx_stream *s, spx_relu_args *a)
{
    layout l;
    const shape d = cut_flat(a->n * a->hw, a->c, {a->x, a->dy, a->out});
    SPX_RETURN_IF(lay(&l, "relu", d, block_threads, 1));
    return SPX_BY_WIDTH(a->x.type, d.v, backward, s, d, l, flattened(a->x, d, a->c),
                        flattened(a->dy, d, a->c), a->accumulate, flattened(a->out, d, a->c));
}

} // namespace

const spx_relu_backend spx_relu_cuda = {forward_cuda, backward_cuda};
