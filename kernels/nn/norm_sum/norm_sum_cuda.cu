/*
 * The elementwise parts: forward and the backward pass's second half. Bound by memory. Forward
 * reads k tensors and writes 1; its loads do not depend on one another, R rows of all terms at a
 * time, so that 85-90 % of the memory's peak is to be expected of tensors beyond the L2 cache, and
 * a launch's few microseconds of those within. backward_apply reads dy, x (y, dx) and writes dx.
 */
#include "kernels/nn/norm_sum/norm_sum_private.cuh"

using namespace spx;

namespace {

struct term_arg {
    const void *x;
    int64_t pixel;
    const float *mean, *invstd, *gamma, *beta, *coef, *mask;
};

struct forward_args {
    unsigned rows, hw;    /* as cut */
    unsigned c, c_params; /* channels as cut; of the parameter vectors */
    int k;
    bool relu;
    void *y;
    int64_t y_pixel;
    term_arg term[SPX_NORM_SUM_MAX];
};
static_assert(sizeof(forward_args) <= 4096, "a kernel's parameters are at most 4 KiB");

/* The term without mask is scale*x + offset. */
__device__ inline void affine_of(const term_arg &t, unsigned c, float *scale, float *offset)
{
    const float coef = value_or(t.coef, 0, 1.0f);
    if (t.mean != NULL) {
        *scale = coef * (value_or(t.gamma, c, 1.0f) * t.invstd[c]);
        *offset = coef * value_or(t.beta, c, 0.0f) - *scale * t.mean[c];
    } else {
        *scale = coef;
        *offset = 0.0f;
    }
}

template <class T, int V, int R>
__device__ inline void add_term(const term_arg &t, unsigned hw, const float *affine, unsigned span,
                                unsigned c, unsigned row, unsigned step, unsigned rows,
                                float (&z)[R][V])
{
    const T *x = static_cast<const T *>(t.x) + c;
    float scale[V], offset[V];
    load(affine, scale);
    load(affine + span, offset);
#pragma unroll
    for (int r = 0; r < R; r++) {
        const unsigned at = row + (unsigned)r * step;
        const float m = at >= rows ? 0.0f : t.mask != NULL ? t.mask[at / hw] : 1.0f;
        if (m != 0.0f) { /* a dropped path is not read */
            float v[V];
            load(x + (int64_t)at * t.pixel, v);
#pragma unroll
            for (int i = 0; i < V; i++) {
                z[r][i] = fmaf(m, fmaf(scale[i], v[i], offset[i]), z[r][i]);
            }
        }
    }
}

/* Shared memory: [term][scale, offset][channel of the block]. */
template <class T, int V, int R>
__global__ void __launch_bounds__(block_threads) forward_kernel(forward_args a)
{
    SPX_DYNAMIC_SHARED(float, affine);
    const unsigned span = blockDim.x * V, first = blockIdx.y * span;
    const unsigned c = first + threadIdx.x * V, step = gridDim.x * blockDim.y;
    for (unsigned i = threadIdx.y * blockDim.x + threadIdx.x; i < (unsigned)a.k * span;
         i += blockDim.x * blockDim.y) {
        const unsigned j = i / span, at = i % span;
        if (first + at < a.c) {
            affine_of(a.term[j], (first + at) % a.c_params, &affine[2 * j * span + at],
                      &affine[(2 * j + 1) * span + at]);
        }
    }
    __syncthreads();
    if (c >= a.c) {
        return;
    }
    /* 64 bits: the last step may lead beyond 2^32 */
    for (int64_t row = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; row < a.rows;
         row += (int64_t)step * R) {
        float z[R][V] = {};
        for (int j = 0; j < a.k; j++) {
            add_term<T, V, R>(a.term[j], a.hw, affine + 2 * (unsigned)j * span + threadIdx.x * V,
                              span, c, (unsigned)row, step, a.rows, z);
        }
#pragma unroll
        for (int r = 0; r < R; r++) {
            const int64_t at = row + (int64_t)r * step;
            if (at < a.rows) {
#pragma unroll
                for (int i = 0; i < V; i++) {
                    z[r][i] = a.relu && 0.0f > z[r][i] ? 0.0f : z[r][i];
                }
                store(static_cast<T *>(a.y) + at * a.y_pixel + c, z[r]);
            }
        }
    }
}

/* Rows a thread takes at a time: more where there are enough threads without. */
template <class T, int V> spx_status forward(spx_stream *s, const shape &d, const forward_args &a)
{
    layout l;
    const bool large = d.rows * (d.c / V) > 1 << 18;
    constexpr int R = V == 8 ? 2 : 4;
    SPX_RETURN_IF(lay(&l, "norm sum", d, most_vectors(V), large ? R : 1));
    const size_t shared = (size_t)a.k * 2 * l.block.x * V * sizeof(float);
    return large ? SPX_LAUNCH(s, (forward_kernel<T, V, R>), l.grid, l.block, shared, a)
                 : SPX_LAUNCH(s, (forward_kernel<T, V, 1>), l.grid, l.block, shared, a);
}

struct apply_args {
    unsigned rows, hw, c, c_params;
    bool relu, accumulate;
    float inv_m; /* 1 over the values behind each statistic */
    const float *sum_dy, *sum_dy_xhat;
    const void *y, *dy;
    void *dx;
    int64_t y_pixel, dy_pixel, dx_pixel;
    term_arg term;
};

/* dx += scale * (mask*dz - centre - (x - mean) * slope) */
struct apply_factors {
    float scale, centre, mean, slope;
};

__device__ inline apply_factors factors_of(const apply_args &a, unsigned c)
{
    const float coef = value_or(a.term.coef, 0, 1.0f);
    if (a.term.mean == NULL) {
        return apply_factors{coef, 0.0f, 0.0f, 0.0f};
    }
    const float invstd = a.term.invstd[c];
    return apply_factors{coef * (value_or(a.term.gamma, c, 1.0f) * invstd), a.sum_dy[c] * a.inv_m,
                         a.term.mean[c], invstd * (a.sum_dy_xhat[c] * a.inv_m)};
}

template <class T, int V>
__global__ void __launch_bounds__(block_threads) apply_kernel(apply_args a)
{
    const unsigned c = (blockIdx.y * blockDim.x + threadIdx.x) * V;
    const int64_t step = (int64_t)gridDim.x * blockDim.y;
    const bool bn = a.term.mean != NULL;
    apply_factors f[V];
    if (c >= a.c) {
        return;
    }
#pragma unroll
    for (int i = 0; i < V; i++) {
        f[i] = factors_of(a, (c + (unsigned)i) % a.c_params);
    }
    for (int64_t r = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; r < a.rows; r += step) {
        T *dx = static_cast<T *>(a.dx) + r * a.dx_pixel + c;
        float g[V], x[V] = {}, old[V] = {};
        load(static_cast<const T *>(a.dy) + r * a.dy_pixel + c, g);
        if (bn) {
            load(static_cast<const T *>(a.term.x) + r * a.term.pixel + c, x);
        }
        if (a.accumulate) {
            load<T, V>(dx, old);
        }
        if (a.relu) {
            float y[V];
            load(static_cast<const T *>(a.y) + r * a.y_pixel + c, y);
#pragma unroll
            for (int i = 0; i < V; i++) {
                g[i] = y[i] > 0.0f ? g[i] : 0.0f;
            }
        }
        const float m = a.term.mask != NULL ? a.term.mask[(unsigned)r / a.hw] : 1.0f;
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float d = fmaf(m, g[i], -f[i].centre) - (x[i] - f[i].mean) * f[i].slope;
            g[i] = fmaf(f[i].scale, d, old[i]);
        }
        store(dx, g);
    }
}

template <class T, int V> spx_status apply(spx_stream *s, const layout &l, const apply_args &a)
{
    return SPX_LAUNCH(s, (apply_kernel<T, V>), l.grid, l.block, 0, a);
}

__global__ void running_kernel(int64_t c, const float *running_mean, const float *running_var,
                               float *mean, float *invstd)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < c) {
        mean[i] = running_mean[i];
        invstd[i] = spx_bn_invstd((double)running_var[i]);
    }
}

term_arg arg_of(const spx_norm_term &t, const shape &d)
{
    return term_arg{t.x.data, t.x.stride * d.fold, t.mean, t.invstd, t.gamma, t.beta, t.coef,
                    t.mask};
}

spx_status running_cuda(spx_stream *s, int64_t c, const float *running_mean,
                        const float *running_var, float *mean, float *invstd)
{
    if (c > most_rows) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "bn running: %lld channels", (long long)c);
    }
    return SPX_LAUNCH(s, running_kernel, dim3((unsigned)((c + 127) / 128)), dim3(128), 0, c,
                      running_mean, running_var, mean, invstd);
}

spx_status forward_cuda(spx_stream *s, const spx_norm_dims *d, int k, const spx_norm_term *term,
                        bool relu, spx_operand y)
{
    operands all({y});
    for (int j = 0; j < k; j++) {
        all.add(term[j].x);
    }
    const shape cutting = cut(d->n * d->hw, d->hw, d->c, all, 8, most_vectors(8));
    forward_args a = {(unsigned)cutting.rows,
                      (unsigned)(d->hw / cutting.fold),
                      (unsigned)cutting.c,
                      (unsigned)d->c,
                      k,
                      relu,
                      y.data,
                      y.stride * cutting.fold,
                      {}};
    for (int j = 0; j < k; j++) {
        a.term[j] = arg_of(term[j], cutting);
    }
    return SPX_BY_WIDTH(y.type, cutting.v, forward, s, cutting, a);
}

spx_status apply_cuda(spx_stream *s, const spx_norm_dims *d, const spx_norm_term *term,
                      const float *sum_dy, const float *sum_dy_xhat, bool relu, spx_operand y,
                      spx_operand dy, bool accumulate, spx_operand dx)
{
    layout l;
    y.data = relu ? y.data : NULL;
    const shape cutting = cut(d->n * d->hw, d->hw, d->c,
                              {term->mean != NULL ? term->x : dy, y, dy, dx}, 8, most_vectors(8));
    SPX_RETURN_IF(lay(&l, "norm sum", cutting, most_vectors(cutting.v), 1));
    const apply_args a = {(unsigned)cutting.rows,
                          (unsigned)(d->hw / cutting.fold),
                          (unsigned)cutting.c,
                          (unsigned)d->c,
                          relu,
                          accumulate,
                          (float)(1.0 / ((double)d->n * (double)d->hw)),
                          sum_dy,
                          sum_dy_xhat,
                          y.data,
                          dy.data,
                          dx.data,
                          y.stride * cutting.fold,
                          dy.stride * cutting.fold,
                          dx.stride * cutting.fold,
                          arg_of(*term, cutting)};
    return SPX_BY_WIDTH(dy.type, cutting.v, apply, s, l, a);
}

} // namespace

const spx_norm_sum_backend spx_norm_sum_cuda = {
    norm_stats_workspace, norm_reduce_workspace, norm_stats, running_cuda,
    forward_cuda,         norm_reduce,           apply_cuda};
