/*
 * The reductions: batch statistics (reads x once) and the backward pass's first half (reads dy, y
 * where a relu follows, and each x once). A block sums a run of rows; threads' sums of at most a
 * few hundred rows are in f32, those of a block's rows too, and those of blocks in double. Which
 * rows a block takes depends on the shape alone, so results are bit-equal from call to call.
 *
 * The block that is done last ends the reduction (statistics, and up to 2 terms): no second launch.
 * More terms are ended by a second kernel, a block each; one block ends terms that add to the same
 * gradients (a coefficient of several). Bound by memory: 80-85 % of its peak is to be expected
 * beyond the L2 cache; within, the tail of the last block costs about 2 us.
 */
#include "kernels/nn/norm_sum/block_sums_private.cuh"
#include "kernels/nn/norm_sum/norm_sum_private.cuh"

using namespace spx;

namespace {

constexpr int most_updates = 16;
constexpr int terms_ended_at_once = 2;

/* ---- how rows are shared out ---- */

struct sharing {
    shape cutting;
    dim3 block;
    unsigned blocks;   /* along rows */
    unsigned blocks_y; /* along channels */
    unsigned run;      /* rows of a block */
};

/* layers: of threads along z. Blocks of at least 4 rows a thread, at most 256: enough for every
 * multiprocessor, few enough to be summed by one block. */
sharing share(const shape &cutting, unsigned layers)
{
    const int64_t vectors = cutting.c / cutting.v;
    const int64_t x = vectors < 32 ? vectors : 32;
    const int64_t y = block_threads / layers / x > 0 ? block_threads / layers / x : 1;
    int64_t blocks = (cutting.rows + 4 * y - 1) / (4 * y), run;
    blocks = blocks < 256 ? blocks : 256;
    run = (cutting.rows + blocks - 1) / blocks;
    blocks = (cutting.rows + run - 1) / run;
    return sharing{cutting, dim3((unsigned)x, (unsigned)y, layers), (unsigned)blocks,
                   (unsigned)((vectors + x - 1) / x), (unsigned)run};
}

shape cut_reduced(const spx_norm_dims *d, const operands &list)
{
    return cut(d->n * d->hw, d->hw, d->c, list, 4, 32);
}

/* Pairs of partial sums of one term at most, whatever the operands' layout. */
size_t most_pairs(const spx_norm_dims *d, unsigned layers)
{
    const int64_t rows = d->n * d->hw;
    size_t most = 0;
    for (int fold = 1; fold <= 4; fold *= 2) {
        for (int v = 1; v <= 4; v += 3) {
            if (d->c * fold % v == 0 && d->hw % fold == 0) {
                const sharing k = share(shape{rows / fold, d->c * fold, fold, v}, layers);
                const size_t pairs = (size_t)k.blocks * (size_t)(d->c * fold);
                most = pairs > most ? pairs : most;
            }
        }
    }
    return most;
}

size_t pair_bytes(size_t pairs)
{
    return (pairs * sizeof(float2) + 255) / 256 * 256;
}

/* ---- statistics ---- */

struct stats_args {
    const void *x;
    int64_t pixel;
    unsigned rows, run, c; /* as cut */
    unsigned fold, c_params;
    float2 *partial;  /* [block][channel as cut]: mean, sum of squared deviations */
    unsigned *ticket; /* one for each block along channels */
    float *mean, *invstd;
    int updates;
    float *running_mean[most_updates], *running_var[most_updates];
};

__device__ inline void write_stats(const stats_args &a, unsigned c, double mean, double m2)
{
    const double m = (double)a.rows * (double)a.fold;
    a.mean[c] = (float)mean;
    a.invstd[c] = spx_bn_invstd(m2 / m);
    for (int u = 0; u < a.updates; u++) {
        float *rm = &a.running_mean[u][c], *rv = &a.running_var[u][c];
        *rm = spx_bn_moved(*rm, mean);
        *rv = spx_bn_moved(*rv, spx_bn_unbiased(m2, m));
    }
}

/* Channels [first, first + count) of the parameters: blocks' means and squared deviations joined,
 * in double, as Chan, Golub and LeVeque (1979) do. */
__device__ inline void end_stats(const stats_args &a, unsigned first, unsigned count, double *buf)
{
    const slicing k = slice_threads(count);
    const double m = (double)a.rows * (double)a.fold;
    for (unsigned c0 = 0; c0 < count; c0 += k.channels) {
        const bool live = k.slice < k.slices && c0 + k.channel < count;
        const unsigned c = first + c0 + k.channel;
        double sum = 0, m2 = 0, mean;
        for (unsigned b = k.slice; live && b < gridDim.x; b += k.slices) {
            const unsigned rows = a.rows - b * a.run < a.run ? a.rows - b * a.run : a.run;
            for (unsigned f = 0; f < a.fold; f++) {
                sum += (double)rows * (double)a.partial[(size_t)b * a.c + f * a.c_params + c].x;
            }
        }
        mean = sum_slices(sum, k, buf) / m;
        for (unsigned b = k.slice; live && b < gridDim.x; b += k.slices) {
            const unsigned rows = a.rows - b * a.run < a.run ? a.rows - b * a.run : a.run;
            for (unsigned f = 0; f < a.fold; f++) {
                const float2 p = a.partial[(size_t)b * a.c + f * a.c_params + c];
                const double away = (double)p.x - mean;
                m2 += (double)p.y + (double)rows * away * away;
            }
        }
        m2 = sum_slices(m2, k, buf);
        if (live && k.slice == 0) {
            write_stats(a, c, mean, m2);
        }
    }
}

/*
 * Each thread shifts by its first value, so what its sums lose is a factor of its few rows at most;
 * its mean and squared deviations are then joined with those of the block's other rows, relative to
 * the block's first value.
 */
template <class T, int V>
__global__ void __launch_bounds__(block_threads) stats_kernel(stats_args a)
{
    __shared__ __align__(16) float
        buf[block_threads / 2 * V > block_threads * 2 ? block_threads / 2 * V : block_threads * 2];
    const unsigned c = (blockIdx.y * blockDim.x + threadIdx.x) * V;
    const unsigned begin = blockIdx.x * a.run;
    const unsigned len = a.rows - begin < a.run ? a.rows - begin : a.run;
    const bool live = c < a.c && threadIdx.y < len;
    const T *x = static_cast<const T *>(a.x) + (int64_t)begin * a.pixel + c;
    const float n = live ? (float)((len - threadIdx.y - 1) / blockDim.y + 1) : 0.0f;
    float shift[V] = {}, sum[V] = {}, sum2[V] = {}, origin[V], mean[V];
    if (live) {
        load(x + (int64_t)threadIdx.y * a.pixel, shift);
    }
#pragma unroll 4
    for (unsigned r = threadIdx.y; live && r < len; r += blockDim.y) {
        float v[V];
        load(x + (int64_t)r * a.pixel, v);
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float d = v[i] - shift[i];
            sum[i] += d;
            sum2[i] = fmaf(d, d, sum2[i]);
        }
    }
#pragma unroll
    for (int i = 0; i < V; i++) {
        origin[i] = shift[i];
    }
    share_row(origin, buf);
#pragma unroll
    for (int i = 0; i < V; i++) {
        const float own = live ? sum[i] / n : 0.0f;
        const float m2 = fmaf(-sum[i], own, sum2[i]);
        sum2[i] = m2 > 0.0f ? m2 : 0.0f * m2;                /* a NaN stays one */
        sum[i] = live ? (shift[i] - origin[i]) + own : 0.0f; /* the thread's mean */
        mean[i] = n * sum[i];
    }
    sum_rows(mean, buf);
#pragma unroll
    for (int i = 0; i < V; i++) {
        mean[i] /= (float)len;
    }
    share_row(mean, buf);
#pragma unroll
    for (int i = 0; i < V; i++) {
        const float away = sum[i] - mean[i];
        sum2[i] = fmaf(n * away, away, sum2[i]);
    }
    sum_rows(sum2, buf);
    if (threadIdx.y == 0 && c < a.c) {
#pragma unroll
        for (int i = 0; i < V; i++) {
            a.partial[(size_t)blockIdx.x * a.c + c + (unsigned)i] =
                make_float2(origin[i] + mean[i], sum2[i]);
        }
    }
    if (is_last_block(&a.ticket[blockIdx.y], gridDim.x)) {
        const unsigned first = blockIdx.y * blockDim.x * V, left = a.c / a.fold - first;
        const unsigned span = blockDim.x * V;
        end_stats(a, first, left < span ? left : span, reinterpret_cast<double *>(buf));
    }
}

template <class T, int V> spx_status stats(spx_stream *s, const sharing &k, const stats_args &a)
{
    return SPX_LAUNCH(s, (stats_kernel<T, V>), dim3(k.blocks, k.blocks_y), k.block, 0, a);
}

/* ---- gradients ---- */

struct reduce_term {
    const void *x; /* NULL where only sum_dy is wanted */
    int64_t pixel;
    const float *mean, *mask;
};

struct reduce_args {
    unsigned rows, run, hw, c; /* as cut */
    unsigned c_params;
    int k;
    bool relu;
    const void *y, *dy;
    int64_t y_pixel, dy_pixel;
    float2 *partial; /* [term][block][channel as cut]: sums of mask*dz, of mask*dz*(x - mean) */
    reduce_term term[SPX_NORM_SUM_MAX];
};

template <int K> struct end_args {
    unsigned blocks, c, fold, c_params;
    int k;
    const float2 *partial;
    unsigned *ticket; /* NULL: a kernel of its own ends the reduction */
    spx_norm_factors factors[K];
    spx_norm_grad grad[K];
    signed char leader[K]; /* the first of the terms that add to the same gradients */
};
static_assert(sizeof(reduce_args) + sizeof(end_args<terms_ended_at_once>) <= 4096,
              "a kernel's parameters are at most 4 KiB");

/* Term j: the blocks' sums joined, and what is wanted of them written. */
template <int K> __device__ inline void end_term(const end_args<K> &a, int j, double *buf)
{
    const slicing k = slice_threads(a.c_params);
    const spx_norm_grad &g = a.grad[j];
    const float2 *partial = a.partial + (size_t)j * a.blocks * a.c;
    double dcoef = 0;
    for (unsigned c0 = 0; c0 < a.c_params; c0 += k.channels) {
        const unsigned c = c0 + k.channel;
        const bool live = k.slice < k.slices && c < a.c_params;
        double sum_dz = 0, sum_dz_x = 0;
#pragma unroll 4
        for (unsigned b = k.slice; live && b < a.blocks; b += k.slices) {
            for (unsigned f = 0; f < a.fold; f++) {
                const float2 p = partial[(size_t)b * a.c + f * a.c_params + c];
                sum_dz += (double)p.x;
                sum_dz_x += (double)p.y;
            }
        }
        sum_dz = sum_slices(sum_dz, k, buf);
        sum_dz_x = sum_slices(sum_dz_x, k, buf);
        if (live && k.slice == 0) {
            dcoef += spx_norm_sum_finish(&a.factors[j], &g, c, sum_dz, sum_dz_x);
        }
    }
    if (g.dcoef != NULL) { /* the same for all threads */
        dcoef = sum_block(dcoef, buf);
        if (thread_index() == 0) {
            *g.dcoef = (float)((g.accumulate_coef ? (double)*g.dcoef : 0.0) + dcoef);
        }
    }
}

/* Threads z take G terms each of the same rows, so that dy comes from memory once and then from the
 * cache next to the multiprocessor. */
template <class T, int V, int G>
__global__ void __launch_bounds__(block_threads, 2)
    reduce_kernel(reduce_args a, end_args<terms_ended_at_once> end)
{
    SPX_DYNAMIC_SHARED(float, buf);
    const unsigned c = (blockIdx.y * blockDim.x + threadIdx.x) * V;
    const unsigned begin = blockIdx.x * a.run;
    const unsigned stop = a.rows - begin < a.run ? a.rows : begin + a.run;
    const int first = (int)(blockIdx.z * blockDim.z + threadIdx.z) * G;
    float sums[2 * G * V] = {}, mean[G * V] = {};
    if (c < a.c) {
#pragma unroll
        for (int g = 0; g < G; g++) {
            if (first + g < a.k && a.term[first + g].mean != NULL) {
#pragma unroll
                for (int i = 0; i < V; i++) {
                    mean[g * V + i] = a.term[first + g].mean[(c + (unsigned)i) % a.c_params];
                }
            }
        }
    }
    for (unsigned r = begin + threadIdx.y; c < a.c && r < stop; r += blockDim.y) {
        float dz[V];
        load(static_cast<const T *>(a.dy) + (int64_t)r * a.dy_pixel + c, dz);
        if (a.relu) {
            float y[V];
            load(static_cast<const T *>(a.y) + (int64_t)r * a.y_pixel + c, y);
#pragma unroll
            for (int i = 0; i < V; i++) {
                dz[i] = y[i] > 0.0f ? dz[i] : 0.0f;
            }
        }
#pragma unroll
        for (int g = 0; g < G; g++) {
            if (first + g < a.k) {
                const reduce_term &t = a.term[first + g];
                const float m = t.mask != NULL ? t.mask[r / a.hw] : 1.0f;
                float x[V] = {};
                if (m == 0.0f) { /* a dropped path is not read */
                    continue;
                }
                if (t.x != NULL) {
                    load(static_cast<const T *>(t.x) + (int64_t)r * t.pixel + c, x);
                }
#pragma unroll
                for (int i = 0; i < V; i++) {
                    const float d = m * dz[i];
                    sums[2 * (g * V + i)] += d;
                    sums[2 * (g * V + i) + 1] =
                        fmaf(d, x[i] - mean[g * V + i], sums[2 * (g * V + i) + 1]);
                }
            }
        }
    }
    sum_rows(sums, buf);
    if (threadIdx.y == 0 && c < a.c) {
#pragma unroll
        for (int g = 0; g < G; g++) {
            if (first + g < a.k) {
                float2 *p = a.partial + ((size_t)(first + g) * gridDim.x + blockIdx.x) * a.c + c;
#pragma unroll
                for (int i = 0; i < V; i++) {
                    p[i] = make_float2(sums[2 * (g * V + i)], sums[2 * (g * V + i) + 1]);
                }
            }
        }
    }
    if (end.ticket != NULL && is_last_block(end.ticket, gridDim.x * gridDim.y * gridDim.z)) {
        for (int j = 0; j < end.k; j++) {
            end_term(end, j, reinterpret_cast<double *>(buf));
        }
    }
}

typedef end_args<SPX_NORM_SUM_MAX> end_all_args;
static_assert(sizeof(end_all_args) <= 4096, "a kernel's parameters are at most 4 KiB");

__global__ void __launch_bounds__(block_threads) end_kernel(end_all_args a)
{
    __shared__ double buf[block_threads];
    for (int j = (int)blockIdx.x; j < a.k; j++) {
        if (a.leader[j] == (int)blockIdx.x) {
            end_term(a, j, buf);
        }
    }
}

/* Terms a thread carries at a time, and layers of threads. */
struct grouping {
    int terms;
    unsigned layers, blocks_z;
};

grouping group(int k)
{
    const int g = k <= 2 ? k : k <= 8 ? 2 : 4, groups = (k + g - 1) / g;
    return groups <= 8 ? grouping{g, (unsigned)groups, 1}
                       : grouping{g, 8, (unsigned)(groups + 7) / 8};
}

template <class T, int V>
spx_status reduce(spx_stream *s, const sharing &k, const grouping &g, const reduce_args &a,
                  const end_args<terms_ended_at_once> &end)
{
    const dim3 grid(k.blocks, k.blocks_y, g.blocks_z);
    const size_t doubles = block_threads * sizeof(double);
    size_t shared =
        (size_t)(k.block.x * k.block.z * (k.block.y / 2)) * 2 * (size_t)g.terms * V * sizeof(float);
    shared = shared > doubles ? shared : doubles;
    switch (g.terms) {
    case 1:
        return SPX_LAUNCH(s, (reduce_kernel<T, V, 1>), grid, k.block, shared, a, end);
    case 2:
        return SPX_LAUNCH(s, (reduce_kernel<T, V, 2>), grid, k.block, shared, a, end);
    default:
        return SPX_LAUNCH(s, (reduce_kernel<T, V, 4>), grid, k.block, shared, a, end);
    }
}

bool share_gradients(const spx_norm_grad &a, const spx_norm_grad &b)
{
    return (a.dgamma != NULL && a.dgamma == b.dgamma) || (a.dbeta != NULL && a.dbeta == b.dbeta) ||
           (a.dcoef != NULL && a.dcoef == b.dcoef);
}

/* Terms that add to the same gradients do so one after the other, in one block. */
template <int K> void find_leaders(end_args<K> *e)
{
    for (int j = 0; j < e->k; j++) {
        e->leader[j] = (signed char)j;
        for (int i = 0; i < j; i++) {
            const signed char one = e->leader[i], other = e->leader[j];
            for (int m = 0; m <= j && share_gradients(e->grad[i], e->grad[j]); m++) {
                if (e->leader[m] == one || e->leader[m] == other) {
                    e->leader[m] = one < other ? one : other;
                }
            }
        }
    }
}

template <int K>
end_args<K> end_of(const reduce_args &a, const sharing &k, const spx_norm_term *term,
                   const spx_norm_grad *grad)
{
    end_args<K> e = {};
    e.blocks = k.blocks;
    e.c = a.c;
    e.fold = (unsigned)k.cutting.fold;
    e.c_params = a.c_params;
    e.partial = a.partial;
    e.k = a.k < K ? a.k : K;
    for (int j = 0; j < e.k; j++) {
        e.factors[j] = spx_norm_factors{term[j].coef, term[j].invstd, term[j].gamma, term[j].beta};
        e.grad[j] = grad[j];
    }
    find_leaders(&e);
    return e;
}

bool wants_any(const spx_norm_grad *g)
{
    return g->sum_dy != NULL || g->sum_dy_xhat != NULL || g->dgamma != NULL || g->dbeta != NULL ||
           g->dcoef != NULL;
}

/* Terms of which nothing is wanted are left out: their x need not be read. */
int pick_wanted(int k, const spx_norm_term *term, const spx_norm_grad *grad,
                spx_norm_term *term_out, spx_norm_grad *grad_out)
{
    int n = 0;
    for (int j = 0; j < k; j++) {
        if (wants_any(&grad[j])) {
            term_out[n] = term[j];
            grad_out[n++] = grad[j];
        }
    }
    return n;
}

} // namespace

size_t spx::norm_stats_workspace(const spx_norm_dims *d)
{
    return pair_bytes(most_pairs(d, 1));
}

spx_status spx::norm_stats(spx_stream *s, const spx_norm_dims *d, spx_operand x, float *mean,
                           float *invstd, int updates, float *const running_mean[],
                           float *const running_var[], void *workspace)
{
    if (workspace == NULL || updates > most_updates) {
        return SPX_FAIL(SPX_EINVAL, "bn stats: no scratch, or %d updates, not 0..%d", updates,
                        most_updates);
    }
    const sharing k = share(cut_reduced(d, {x}), 1);
    if (k.blocks_y > SPX_CUDA_TICKETS) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "bn stats: %lld channels", (long long)d->c);
    }
    stats_args a = {x.data,
                    x.stride * k.cutting.fold,
                    (unsigned)k.cutting.rows,
                    k.run,
                    (unsigned)k.cutting.c,
                    (unsigned)k.cutting.fold,
                    (unsigned)d->c,
                    static_cast<float2 *>(workspace),
                    spx_cuda_tickets(s),
                    mean,
                    invstd,
                    updates,
                    {},
                    {}};
    for (int u = 0; u < updates; u++) {
        a.running_mean[u] = running_mean[u];
        a.running_var[u] = running_var[u];
    }
    return SPX_BY_WIDTH_4(x.type, k.cutting.v, stats, s, k, a);
}

size_t spx::norm_reduce_workspace(const spx_norm_dims *d, int k)
{
    size_t most = 0; /* terms of which nothing is wanted are left out, so fewer may run */
    for (int terms = 1; terms <= k; terms++) {
        const size_t bytes = pair_bytes((size_t)terms * most_pairs(d, group(terms).layers));
        most = bytes > most ? bytes : most;
    }
    return most;
}

spx_status spx::norm_reduce(spx_stream *s, const spx_norm_dims *d, int k, const spx_norm_term *all,
                            bool relu, spx_operand y, spx_operand dy,
                            const spx_norm_grad *all_grads, void *workspace)
{
    spx_norm_term term[SPX_NORM_SUM_MAX];
    spx_norm_grad grad[SPX_NORM_SUM_MAX];
    reduce_args a = {};
    if (workspace == NULL) {
        return SPX_FAIL(SPX_EINVAL, "norm sum: the scratch is missing");
    }
    k = pick_wanted(k, all, all_grads, term, grad);
    if (k == 0) {
        return SPX_OK;
    }
    y.data = relu ? y.data : NULL;
    operands list({y, dy});
    for (int j = 0; j < k; j++) {
        list.add(term[j].x);
    }
    const grouping g = group(k);
    const sharing h = share(cut_reduced(d, list), g.layers);
    if (h.blocks_y > 65535) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "norm sum: %lld channels", (long long)d->c);
    }
    const int fold = h.cutting.fold;
    a.rows = (unsigned)h.cutting.rows;
    a.run = h.run;
    a.hw = (unsigned)(d->hw / fold);
    a.c = (unsigned)h.cutting.c;
    a.c_params = (unsigned)d->c;
    a.k = k;
    a.relu = relu;
    a.y = y.data;
    a.dy = dy.data;
    a.y_pixel = y.stride * fold;
    a.dy_pixel = dy.stride * fold;
    a.partial = static_cast<float2 *>(workspace);
    for (int j = 0; j < k; j++) {
        const bool x =
            grad[j].sum_dy_xhat != NULL || grad[j].dgamma != NULL || grad[j].dcoef != NULL;
        a.term[j] = reduce_term{x ? term[j].x.data : NULL, term[j].x.stride * fold, term[j].mean,
                                term[j].mask};
    }
    end_args<terms_ended_at_once> end = end_of<terms_ended_at_once>(a, h, term, grad);
    end.ticket = k <= terms_ended_at_once ? spx_cuda_tickets(s) : NULL;
    SPX_RETURN_IF(SPX_BY_WIDTH_4(dy.type, h.cutting.v, reduce, s, h, g, a, end));
    if (end.ticket != NULL) {
        return SPX_OK;
    }
    const end_all_args rest = end_of<SPX_NORM_SUM_MAX>(a, h, term, grad);
    return SPX_LAUNCH(s, end_kernel, dim3((unsigned)k), dim3(block_threads), 0, rest);
}
