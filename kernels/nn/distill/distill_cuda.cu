/*
 * A warp a row of logits, as in loss; a block an image of an attention map. What a loss sums is one
 * block's work, so that it has one order and needs no scratch. The maps read each activation once:
 * a thread a pixel forward, a thread an element backward.
 */
#include "kernels/nn/nhwc_private.cuh"
#include "kernels/nn/warp_private.cuh"

extern "C" {
#include "kernels/nn/distill/distill_private.h"
}

using namespace spx;

namespace {

constexpr unsigned many_threads = 1024, many_warps = many_threads / warp_lanes;
constexpr unsigned threads = 256, rows_of_block = threads / warp_lanes;
static_assert(many_warps == warp_lanes, "one warp adds up what the warps found");

/* For all threads of a block of at most many_threads. part: [many_warps] in shared memory. */
__device__ inline double sum_block(double v, double *part)
{
    const unsigned lane = threadIdx.x % warp_lanes, warp = threadIdx.x / warp_lanes;
    v = sum_warp(v);
    __syncthreads(); /* an earlier sum has been read */
    if (lane == 0) {
        part[warp] = v;
    }
    __syncthreads();
    return sum_warp(lane < blockDim.x / warp_lanes ? part[lane] : 0.0);
}

/* exp((x[k] - max)/T) is the numerator of a softmax at a temperature, sum its denominator. */
struct row {
    const float *x;
    float max, over_t;
    double sum;

    __device__ float numerator(int64_t k) const
    {
        return expf((x[k] - max) * over_t);
    }
};

__device__ inline row row_of(int64_t classes, const float *x, float temperature, unsigned lane)
{
    row r = {x, -INFINITY, 1.0f / temperature, 0};
    float sum = 0;
    for (int64_t k = lane; k < classes; k += warp_lanes) {
        r.max = fmaxf(r.max, x[k]);
    }
    r.max = max_warp(r.max);
    for (int64_t k = lane; k < classes; k += warp_lanes) {
        sum += r.numerator(k);
    }
    r.sum = sum_warp((double)sum);
    return r;
}

/* KL(p || q) = sum of p[k] * (log p[k] - log q[k]) */
__global__ void __launch_bounds__(many_threads)
    distillation_kernel(int64_t n, int64_t classes, const float *logits, const float *target,
                        float temperature, float *loss)
{
    __shared__ double part[many_warps];
    const unsigned lane = threadIdx.x % warp_lanes, warp = threadIdx.x / warp_lanes;
    double all = 0;
    for (int64_t i = warp; i < n; i += many_warps) {
        const row p = row_of(classes, target + i * classes, temperature, lane);
        const row q = row_of(classes, logits + i * classes, temperature, lane);
        double sum = 0;
        for (int64_t k = lane; k < classes; k += warp_lanes) {
            const double up = ((double)p.x[k] - (double)p.max) - ((double)q.x[k] - (double)q.max);
            sum += (double)p.numerator(k) * up;
        }
        sum = sum_warp(sum) / p.sum / (double)temperature + log(q.sum) - log(p.sum);
        all += lane == 0 ? sum : 0; /* a row once */
    }
    all = sum_block(all, part);
    if (threadIdx.x == 0) {
        *loss = (float)((double)temperature * (double)temperature * all / (double)n);
    }
}

__global__ void __launch_bounds__(threads)
    distillation_bwd_kernel(int64_t n, int64_t classes, const float *logits, const float *target,
                            float temperature, float scale, bool accumulate, float *dlogits)
{
    const int64_t i = (int64_t)blockIdx.x * rows_of_block + threadIdx.x / warp_lanes;
    const unsigned lane = threadIdx.x % warp_lanes;
    if (i >= n) {
        return; /* the whole warp */
    }
    const row p = row_of(classes, target + i * classes, temperature, lane);
    const row q = row_of(classes, logits + i * classes, temperature, lane);
    const float of_p = (float)(1.0 / p.sum), of_q = (float)(1.0 / q.sum);
    for (int64_t k = lane; k < classes; k += warp_lanes) {
        const float old = accumulate ? dlogits[i * classes + k] : 0.0f;
        dlogits[i * classes + k] = old + scale * (q.numerator(k) * of_q - p.numerator(k) * of_p);
    }
}

template <class T, int V>
__global__ void __launch_bounds__(threads)
    attention_kernel(int64_t hw, unsigned c, rows_of<const T> x, float *map, float *inverse)
{
    __shared__ double part[many_warps];
    const int64_t first = (int64_t)blockIdx.x * hw;
    double square = 0;
    for (int64_t i = threadIdx.x; i < hw; i += threads) {
        float sum = 0;
        for (unsigned at = 0; at < c; at += V) {
            float v[V];
            load(x.at(first + i, at), v);
#pragma unroll
            for (int k = 0; k < V; k++) {
                sum = fmaf(v[k], v[k], sum);
            }
        }
        map[first + i] = sum;
        square += (double)sum * (double)sum;
    }
    square = sum_block(square, part);
    /* a NaN is at its pixel already */
    const double scale =
        square >= SPX_ATTENTION_MIN_NORM * SPX_ATTENTION_MIN_NORM ? 1 / sqrt(square) : 0;
    for (int64_t i = threadIdx.x; i < hw; i += threads) { /* its own pixels again */
        map[first + i] = (float)((double)map[first + i] * scale);
    }
    if (threadIdx.x == 0) {
        inverse[blockIdx.x] = (float)scale;
    }
}

template <class T, int V>
__global__ void __launch_bounds__(threads)
    attention_bwd_kernel(int64_t hw, unsigned c, rows_of<const T> x, const float *map,
                         const float *inverse, const float *dmap, bool accumulate, rows_of<T> dx)
{
    __shared__ double part[many_warps];
    const int64_t first = (int64_t)blockIdx.x * hw, vectors = c / V;
    double dot = 0;
    for (int64_t i = threadIdx.x; i < hw; i += threads) {
        dot += (double)map[first + i] * (double)dmap[first + i];
    }
    const float along = (float)sum_block(dot, part), twice = 2 * inverse[blockIdx.x];
    for (int64_t e = threadIdx.x; e < hw * vectors; e += threads) {
        const int64_t i = first + e / vectors;
        const unsigned at = (unsigned)(e % vectors) * V;
        const float factor = dmap[i] - map[i] * along;
        float v[V], sum[V] = {};
        if (accumulate) {
            load<T, V>(dx.at(i, at), sum);
        }
        load(x.at(i, at), v);
#pragma unroll
        for (int k = 0; k < V; k++) {
            sum[k] += twice * v[k] * factor;
        }
        store(dx.at(i, at), sum);
    }
}

__global__ void __launch_bounds__(many_threads)
    difference_kernel(int64_t count, const float *x, const float *y, bool accumulate, float *loss)
{
    __shared__ double part[many_warps];
    double sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += many_threads) {
        const double d = (double)x[i] - (double)y[i];
        sum += d * d;
    }
    sum = sum_block(sum, part) / (double)count;
    if (threadIdx.x == 0) {
        *loss = (float)((accumulate ? (double)*loss : 0.0) + sum);
    }
}

__global__ void __launch_bounds__(threads)
    difference_bwd_kernel(int64_t count, const float *x, const float *y, float scale,
                          bool accumulate, float *dx)
{
    const int64_t step = (int64_t)gridDim.x * threads;
    for (int64_t i = (int64_t)blockIdx.x * threads + threadIdx.x; i < count; i += step) {
        dx[i] = (accumulate ? dx[i] : 0.0f) + scale * (x[i] - y[i]);
    }
}

spx_status distillation_cuda(spx_stream *s, const spx_distillation_args *a)
{
    return SPX_LAUNCH(s, distillation_kernel, dim3(1), dim3(many_threads), 0, a->n, a->classes,
                      a->logits, a->target, a->temperature, a->out);
}

spx_status distillation_bwd_cuda(spx_stream *s, const spx_distillation_args *a)
{
    const dim3 grid((unsigned)((a->n + rows_of_block - 1) / rows_of_block));
    const double scale = (double)a->weight * (double)a->temperature / (double)a->n;
    return SPX_LAUNCH(s, distillation_bwd_kernel, grid, dim3(threads), 0, a->n, a->classes,
                      a->logits, a->target, a->temperature, (float)scale, a->accumulate, a->out);
}

template <class T, int V> spx_status attention(spx_stream *s, const spx_attention_args *a)
{
    return SPX_LAUNCH(s, (attention_kernel<T, V>), dim3((unsigned)a->n), dim3(threads), 0, a->hw,
                      (unsigned)a->c, typed<const T>(a->x), a->map, a->inverse);
}

template <class T, int V> spx_status attention_bwd(spx_stream *s, const spx_attention_args *a)
{
    return SPX_LAUNCH(s, (attention_bwd_kernel<T, V>), dim3((unsigned)a->n), dim3(threads), 0,
                      a->hw, (unsigned)a->c, typed<const T>(a->x), a->map, a->inverse, a->dmap,
                      a->accumulate, typed<T>(a->dx));
}

spx_status attention_cuda(spx_stream *s, const spx_attention_args *a)
{
    return SPX_BY_WIDTH(a->x.type, widest(a->c, 1, operands({a->x}), 8), attention, s, a);
}

spx_status attention_bwd_cuda(spx_stream *s, const spx_attention_args *a)
{
    return SPX_BY_WIDTH(a->x.type, widest(a->c, 1, operands({a->x, a->dx}), 8), attention_bwd, s,
                        a);
}

spx_status difference_cuda(spx_stream *s, const spx_difference_args *a)
{
    return SPX_LAUNCH(s, difference_kernel, dim3(1), dim3(many_threads), 0, a->count, a->x, a->y,
                      a->accumulate, a->out);
}

spx_status difference_bwd_cuda(spx_stream *s, const spx_difference_args *a)
{
    const int64_t blocks = (a->count + threads - 1) / threads;
    return SPX_LAUNCH(s, difference_bwd_kernel, dim3((unsigned)(blocks < 4096 ? blocks : 4096)),
                      dim3(threads), 0, a->count, a->x, a->y,
                      (float)(2 * (double)a->weight / (double)a->count), a->accumulate, a->out);
}

} // namespace

const spx_distill_backend spx_distill_cuda = {distillation_cuda, distillation_bwd_cuda,
                                              attention_cuda,    attention_bwd_cuda,
                                              difference_cuda,   difference_bwd_cuda};
