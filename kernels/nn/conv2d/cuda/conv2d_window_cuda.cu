/* Copies between layouts: padding channels with zeros and back, cropping, widening, adding a bias;
 * all of them one kernel. */
#include "kernels/nn/nhwc_private.cuh"

extern "C" {
#include "kernels/nn/conv2d/cuda/conv2d_cuda_private.h"
}

#define THREADS 256
#define MAX_BLOCKS 4096

typedef spx::bf16 bf16;

/* Index of the source's pixel for a pixel of dst, or -1. */
static __device__ int64_t source_of(const spx_conv2d_window &g, int64_t pixel)
{
    const int64_t line = pixel / g.dst_w, n = line / g.dst_h;
    const int64_t i = line - n * g.dst_h + g.top, j = pixel - line * g.dst_w + g.left;
    return i >= 0 && i < g.src_h && j >= 0 && j < g.src_w ? (n * g.src_h + i) * g.src_w + j : -1;
}

/* Threads x of a block take runs of V channels, threads y pixels. `same`: pixels correspond. */
template <class S, class D, int V>
__global__ void __launch_bounds__(THREADS)
    window_kernel(spx_conv2d_window g, bool same, const S *src, int64_t src_pixel,
                  const float *bias, bool accumulate, D *dst, int64_t dst_pixel)
{
    const int64_t pixels = g.n * g.dst_h * g.dst_w, step = (int64_t)gridDim.x * blockDim.y;
    for (int64_t p = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; p < pixels; p += step) {
        const int64_t from = same ? p : source_of(g, p);
        for (int64_t c = (int64_t)threadIdx.x * V; c < g.dst_c; c += (int64_t)blockDim.x * V) {
            D *to = dst + p * dst_pixel + c;
            float in[V] = {}, out[V] = {};
            if (from >= 0 && c < g.src_c) {
                spx::load<S, V>(src + from * src_pixel + c, in);
            }
            if (accumulate) {
                spx::load<D, V>(to, out);
            }
#pragma unroll
            for (int i = 0; i < V; i++) {
                out[i] += in[i] + (bias != NULL ? bias[c + i] : 0.0F);
            }
            spx::store<D, V>(to, out);
        }
    }
}

template <class S, class D, int V>
static spx_status copy(spx_stream *s, const spx_conv2d_window *g, spx_operand src,
                       const float *bias, bool accumulate, spx_operand dst)
{
    const int64_t runs = (g->dst_c + V - 1) / V;
    unsigned lanes = 1;
    while (lanes < THREADS && lanes < runs) {
        lanes *= 2;
    }
    const dim3 block(lanes, THREADS / lanes);
    const int64_t blocks = (g->n * g->dst_h * g->dst_w + block.y - 1) / block.y;
    const bool same = g->top == 0 && g->left == 0 && g->src_h == g->dst_h && g->src_w == g->dst_w;
    return SPX_LAUNCH(s, (window_kernel<S, D, V>),
                      dim3((unsigned)(blocks < MAX_BLOCKS ? blocks : MAX_BLOCKS)), block, 0, *g,
                      same, (const S *)src.data, src.stride, bias, accumulate, (D *)dst.data,
                      dst.stride);
}

template <class S, class D>
static spx_status copy_by_width(spx_stream *s, const spx_conv2d_window *g, spx_operand src,
                                const float *bias, bool accumulate, spx_operand dst)
{
    const bool four = g->src_c % 4 == 0 && spx::widest(g->dst_c, 1, {src, dst}, 4) == 4;
    return four ? copy<S, D, 4>(s, g, src, bias, accumulate, dst)
                : copy<S, D, 1>(s, g, src, bias, accumulate, dst);
}

spx_status spx_conv2d_window_copy(spx_stream *s, const spx_conv2d_window *g, spx_operand src,
                                  const float *bias, bool accumulate, spx_operand dst)
{
    if (src.type == SPX_TYPE_F32 && dst.type == SPX_TYPE_F32) {
        return copy_by_width<float, float>(s, g, src, bias, accumulate, dst);
    }
    if (src.type == SPX_TYPE_BF16 && dst.type == SPX_TYPE_BF16) {
        return copy_by_width<bf16, bf16>(s, g, src, bias, accumulate, dst);
    }
    if (src.type == SPX_TYPE_BF16) {
        return copy_by_width<bf16, float>(s, g, src, bias, accumulate, dst);
    }
    return SPX_FAIL(SPX_EUNSUPPORTED, "conv2d: no copy from f32 to bf16");
}
