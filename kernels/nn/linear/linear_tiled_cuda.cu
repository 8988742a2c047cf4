/*
 * Products by tiles of 32 x 32 results, 16 summands at a time, 2 x 2 results a thread; f32
 * throughout. About a quarter of a device's f32 peak, and the small layers of these networks (a
 * dozen tiles) take a launch's few microseconds either way.
 */
#include "kernels/nn/nhwc_private.cuh"

extern "C" {
#include "kernels/nn/linear/linear_cuda_private.h"
}

using namespace spx;

namespace {

constexpr unsigned tile = 32, depth = 16, side = 16; /* side: threads along each */

template <class T> __device__ inline float element(const spx_matrix &x, int64_t i, int64_t j)
{
    return to_f32(static_cast<const T *>(x.data)[i * x.row + j * x.column]);
}

/* Shared rows are one longer than a tile, so that columns lie in different banks. */
struct tiles {
    float a[depth][tile + 1], b[depth][tile + 1];
};

/* Fills both tiles from summand k0 on; zeros beyond the matrices. Neighbouring threads read along
 * whichever way elements are adjacent. */
template <class A, class B>
__device__ inline void fill(tiles &t, const spx_product &p, int64_t m0, int64_t n0, int64_t k0)
{
    for (unsigned i = threadIdx.y * side + threadIdx.x; i < tile * depth; i += side * side) {
        const bool a_along = p.a.column == 1, b_along = p.b.row == 1; /* along k */
        const unsigned ak = a_along ? i % depth : i / tile, am = a_along ? i / depth : i % tile;
        const unsigned bk = b_along ? i % depth : i / tile, bn = b_along ? i / depth : i % tile;
        t.a[ak][am] = m0 + am < p.m && k0 + ak < p.k ? element<A>(p.a, m0 + am, k0 + ak) : 0.0f;
        t.b[bk][bn] = n0 + bn < p.n && k0 + bk < p.k ? element<B>(p.b, k0 + bk, n0 + bn) : 0.0f;
    }
}

template <class A, class B, class C>
__global__ void __launch_bounds__(side *side) product_kernel(spx_product p)
{
    __shared__ tiles t;
    const int64_t m0 = (int64_t)blockIdx.y * tile, n0 = (int64_t)blockIdx.x * tile;
    const bool sums = p.a_sums != NULL && blockIdx.x == 0 && threadIdx.x < 2;
    float c[2][2] = {}, a_sum = 0;
    for (int64_t k0 = 0; k0 < p.k; k0 += depth) {
        fill<A, B>(t, p, m0, n0, k0);
        __syncthreads();
#pragma unroll
        for (unsigned k = 0; k < depth; k++) {
            const float a0 = t.a[k][threadIdx.y], a1 = t.a[k][threadIdx.y + side];
            const float b0 = t.b[k][threadIdx.x], b1 = t.b[k][threadIdx.x + side];
            c[0][0] = fmaf(a0, b0, c[0][0]);
            c[0][1] = fmaf(a0, b1, c[0][1]);
            c[1][0] = fmaf(a1, b0, c[1][0]);
            c[1][1] = fmaf(a1, b1, c[1][1]);
            a_sum += threadIdx.x == 0 ? a0 : a1;
        }
        __syncthreads(); /* before the tiles are filled again */
    }
#pragma unroll
    for (unsigned i = 0; i < 2; i++) {
#pragma unroll
        for (unsigned j = 0; j < 2; j++) {
            const int64_t m = m0 + threadIdx.y + i * side, n = n0 + threadIdx.x + j * side;
            if (m < p.m && n < p.n) {
                C *out = static_cast<C *>(p.c.data) + m * p.c.row + n * p.c.column;
                const float bias = p.bias != NULL ? p.bias[n] : 0.0f;
                *out = from_f32<C>((p.accumulate ? to_f32(*out) : 0.0f) + (c[i][j] + bias));
            }
        }
    }
    const int64_t m = m0 + threadIdx.y + threadIdx.x * side;
    if (sums && m < p.m) {
        p.a_sums[m] = (p.accumulate ? p.a_sums[m] : 0.0f) + a_sum;
    }
}

} // namespace

spx_status spx_product_tiled_cuda(spx_stream *s, const spx_product *p)
{
    const int64_t rows = (p->m + tile - 1) / tile, columns = (p->n + tile - 1) / tile;
    if (rows > 65535 || columns > INT32_MAX) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "linear: %lld x %lld results", (long long)p->m,
                        (long long)p->n);
    }
    const dim3 grid(columns > 0 ? (unsigned)columns : 1, (unsigned)rows), block(side, side);
    if (p->a.type == SPX_TYPE_BF16) {
        return SPX_LAUNCH(s, (product_kernel<bf16, float, float>), grid, block, 0, *p);
    }
    if (p->b.type == SPX_TYPE_BF16) {
        return SPX_LAUNCH(s, (product_kernel<float, bf16, float>), grid, block, 0, *p);
    }
    if (p->c.type == SPX_TYPE_BF16) {
        return SPX_LAUNCH(s, (product_kernel<float, float, bf16>), grid, block, 0, *p);
    }
    return SPX_LAUNCH(s, (product_kernel<float, float, float>), grid, block, 0, *p);
}
