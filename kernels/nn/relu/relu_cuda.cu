/*
 * Bandwidth-bound: forward moves 2 tensors, backward 3 (4 where it accumulates); a thread's loads
 * are independent, so large tensors should reach 85-90 % of the memory's peak. Masked, a thread
 * has its positions' mask in registers and goes from image to image, summing the mask's gradient.
 */
#include "kernels/nn/nhwc_private.cuh"

extern "C" {
#include "kernels/nn/relu/relu_private.h"
}

using namespace spx;

namespace {

template <class T, int V>
__global__ void __launch_bounds__(block_threads)
    forward_kernel(int64_t rows, unsigned c, float clip, rows_of<const T> x, rows_of<T> y)
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
            v[i] = spx_relu_of(v[i], clip);
        }
        store(y.at(r, at), v);
    }
}

template <class T, int V>
__global__ void __launch_bounds__(block_threads)
    backward_kernel(int64_t rows, unsigned c, float clip, rows_of<const T> y, rows_of<const T> dy,
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
            g[i] = old[i] + (spx_relu_open(on[i], clip) ? g[i] : 0.0f);
        }
        store(dx.at(r, at), g);
    }
}

template <class T, int V>
spx_status forward(spx_stream *s, const shape &d, const layout &l, float clip, spx_operand x,
                   spx_operand y)
{
    return SPX_LAUNCH(s, (forward_kernel<T, V>), l.grid, l.block, 0, d.rows, (unsigned)d.c, clip,
                      typed<const T>(x), typed<T>(y));
}

template <class T, int V>
spx_status backward(spx_stream *s, const shape &d, const layout &l, float clip, spx_operand y,
                    spx_operand dy, bool accumulate, spx_operand dx)
{
    return SPX_LAUNCH(s, (backward_kernel<T, V>), l.grid, l.block, 0, d.rows, (unsigned)d.c, clip,
                      typed<const T>(y), typed<const T>(dy), accumulate, typed<T>(dx));
}

spx_status forward_cuda(spx_stream *s, spx_relu_args *a)
{
    layout l;
    const shape d = cut_flat(a->n * a->hw, a->c, {a->x, a->out});
    SPX_RETURN_IF(lay(&l, "relu", d, block_threads, 1));
    return SPX_BY_WIDTH(a->x.type, d.v, forward, s, d, l, a->clip, flattened(a->x, d, a->c),
                        flattened(a->out, d, a->c));
}

spx_status backward_cuda(spx_stream *s, spx_relu_args *a)
{
    layout l;
    const shape d = cut_flat(a->n * a->hw, a->c, {a->x, a->dy, a->out});
    SPX_RETURN_IF(lay(&l, "relu", d, block_threads, 1));
    return SPX_BY_WIDTH(a->x.type, d.v, backward, s, d, l, a->clip, flattened(a->x, d, a->c),
                        flattened(a->dy, d, a->c), a->accumulate, flattened(a->out, d, a->c));
}

/* ---- masked ---- */

/* Images as the masked kernels see them: positions are vectors of v channels of `pixels` pixels;
 * dense operands are cut as if an image were one pixel of all its elements. */
struct images {
    int64_t n;
    unsigned positions, vectors; /* of an image, of a pixel */
    int v;
};

/* How an operand lies: where a position is, and how far it is to the next image. */
template <class T> struct image_of {
    T *data;
    int64_t pixel, image;

    __device__ T *at(int64_t n, int64_t row, unsigned c) const
    {
        return data + n * image + row * pixel + c;
    }
};

template <class T> image_of<T> laid(spx_operand x, const spx_relu_args *a, const images &d)
{
    const bool whole = d.positions == d.vectors; /* then no row but 0 is asked for */
    return image_of<T>{static_cast<T *>(x.data), whole ? 0 : x.stride, x.stride * a->hw};
}

spx_status cut_images(images *out, const spx_relu_args *a, operands list)
{
    const bool whole = dense(a->c, list);
    const int64_t c = whole ? a->c * a->hw : a->c;
    for (int i = 0; whole && i < list.n; i++) {
        list.x[i].stride = c;
    }
    const int v = aligned(a->mask, 16) && aligned(a->dmask, 16) ? widest(c, 1, list, 8) : 1;
    const int64_t vectors = c / v, positions = whole ? vectors : vectors * a->hw;
    if (positions > INT32_MAX) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "relu: a mask of %lld x %lld", (long long)a->c,
                        (long long)a->hw);
    }
    *out = images{a->n, (unsigned)positions, (unsigned)vectors, v};
    return SPX_OK;
}

template <class T, int V>
__global__ void __launch_bounds__(block_threads)
    masked_forward_kernel(images d, float clip, const float *__restrict__ mask, image_of<const T> x,
                          image_of<T> y)
{
    const unsigned p = blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t step = (int64_t)gridDim.y * blockDim.y;
    if (p >= d.positions) {
        return;
    }
    const unsigned row = p / d.vectors, c = p % d.vectors * V;
    float m[V];
    load<float, V>(mask + (int64_t)p * V, m);
    for (int64_t n = (int64_t)blockIdx.y * blockDim.y + threadIdx.y; n < d.n; n += step) {
        float v[V];
        load(x.at(n, row, c), v);
#pragma unroll
        for (int i = 0; i < V; i++) {
            v[i] = spx_relu_masked(v[i], 1.0f - m[i], clip);
        }
        store(y.at(n, row, c), v);
    }
}

template <class T> struct masked_grad {
    float clip;
    const float *mask;
    image_of<const T> x, dy;
    image_of<T> dx; /* no data: not asked for */
    float *dmask;   /* likewise */
    bool accumulate, accumulate_mask;
};

/* Where the mask's gradient is asked for, a block sees all images (gridDim.y is 1): threads of one
 * position are added up in their order. */
template <class T, int V>
__global__ void __launch_bounds__(block_threads) masked_backward_kernel(images d, masked_grad<T> a)
{
    __shared__ float part[block_threads * V];
    const unsigned p = blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t step = (int64_t)gridDim.y * blockDim.y;
    const bool inside = p < d.positions;
    const unsigned row = inside ? p / d.vectors : 0, c = inside ? p % d.vectors * V : 0;
    float m[V] = {}, sum[V] = {};
    if (inside) {
        load<float, V>(a.mask + (int64_t)p * V, m);
    }
    for (int64_t n = (int64_t)blockIdx.y * blockDim.y + threadIdx.y; inside && n < d.n; n += step) {
        float x[V], g[V], old[V] = {};
        load(a.x.at(n, row, c), x);
        load(a.dy.at(n, row, c), g);
        if (a.accumulate) {
            load<T, V>(a.dx.at(n, row, c), old);
        }
#pragma unroll
        for (int i = 0; i < V; i++) {
            sum[i] += spx_relu_masked_dm(x[i], a.clip, g[i]);
            g[i] = old[i] + spx_relu_masked_dx(x[i], 1.0f - m[i], a.clip, g[i]);
        }
        if (a.dx.data != NULL) {
            store(a.dx.at(n, row, c), g);
        }
    }
    if (a.dmask == NULL) {
        return; /* all threads do */
    }
#pragma unroll
    for (int i = 0; i < V; i++) {
        part[(threadIdx.y * blockDim.x + threadIdx.x) * V + i] = sum[i];
    }
    __syncthreads();
    if (threadIdx.y == 0 && inside) {
#pragma unroll
        for (int i = 0; i < V; i++) {
            float all = a.accumulate_mask ? a.dmask[(int64_t)p * V + i] : 0.0f;
            for (unsigned y = 0; y < blockDim.y; y++) {
                all += part[(y * blockDim.x + threadIdx.x) * V + i];
            }
            a.dmask[(int64_t)p * V + i] = all;
        }
    }
}

/* Threads: x along positions, y along images; `summed`: one block has all images of a position. */
layout lay_images(const images &d, bool summed)
{
    const unsigned x = 32, y = block_threads / x;
    const int64_t across = (d.n + y - 1) / y, most = 4096 / ((d.positions + x - 1) / x) + 1;
    layout l;
    l.block = dim3(x, y);
    l.grid =
        dim3((d.positions + x - 1) / x, summed ? 1 : (unsigned)(across < most ? across : most));
    return l;
}

template <class T, int V>
spx_status masked_forward(spx_stream *s, const images &d, const layout &l, const spx_relu_args *a)
{
    return SPX_LAUNCH(s, (masked_forward_kernel<T, V>), l.grid, l.block, 0, d, a->clip, a->mask,
                      laid<const T>(a->x, a, d), laid<T>(a->out, a, d));
}

template <class T, int V>
spx_status masked_backward(spx_stream *s, const images &d, const layout &l, const spx_relu_args *a)
{
    const masked_grad<T> g = {a->clip,
                              a->mask,
                              laid<const T>(a->x, a, d),
                              laid<const T>(a->dy, a, d),
                              laid<T>(a->out, a, d),
                              a->dmask,
                              a->accumulate && a->out.data != NULL,
                              a->accumulate_mask};
    return SPX_LAUNCH(s, (masked_backward_kernel<T, V>), l.grid, l.block, 0, d, g);
}

spx_status masked_forward_cuda(spx_stream *s, spx_relu_args *a)
{
    images d;
    SPX_RETURN_IF(cut_images(&d, a, {a->x, a->out}));
    return SPX_BY_WIDTH(a->x.type, d.v, masked_forward, s, d, lay_images(d, false), a);
}

spx_status masked_backward_cuda(spx_stream *s, spx_relu_args *a)
{
    images d;
    SPX_RETURN_IF(cut_images(&d, a, {a->x, a->dy, a->out}));
    return SPX_BY_WIDTH(a->x.type, d.v, masked_backward, s, d, lay_images(d, a->dmask != NULL), a);
}

} // namespace

const spx_relu_backend spx_relu_cuda = {forward_cuda, backward_cuda, masked_forward_cuda,
                                        masked_backward_cuda};
