/* Updates on CUDA: one launch each over the whole arena, four elements a thread and turn where the
 * arrays allow it. Sums are in double and in an order that depends on the length alone. */
#include "kernels/optim/optim_sum_private.cuh"

extern "C" {
#include "kernels/optim/optim_math_private.h"
#include "kernels/optim/optim_private.h"
}

namespace {

constexpr unsigned THREADS = SPX_SUM_THREADS;
constexpr size_t MAX_BLOCKS = 2048; /* enough to fill any device; the rest is strides */

/* V floats side by side, loaded and stored as one. */
template <int V> struct alignas(4 * V) pack {
    float v[V];
};

template <int V> __device__ pack<V> load(const float *p, size_t i)
{
    return reinterpret_cast<const pack<V> *>(p)[i];
}

template <int V> __device__ void store(float *p, size_t i, const pack<V> &x)
{
    reinterpret_cast<pack<V> *>(p)[i] = x;
}

/* One struct an update: begin() reads the numbers, at<V>(i) does elements [V*i, V*i + V). Outputs
 * may be inputs: a thread reads all of its elements before it writes them. */

struct sgd {
    spx_optim_args a;
    float lr, clip;

    __device__ void begin()
    {
        lr = *a.rate;
        clip = a.guard->clip;
    }
    template <int V> __device__ void at(size_t i) const
    {
        const int group =
            a.group != nullptr ? a.group[i * V / SPX_SGD_BLOCK] : static_cast<int>(SPX_SGD_DECAYED);
        if (group == SPX_SGD_LEFT) {
            return;
        }
        const float decay = group == SPX_SGD_DECAYED ? a.decay : 0;
        const pack<V> g = load<V>(a.g, i);
        pack<V> m = load<V>(a.m, i), w = load<V>(a.w, i);
        for (int k = 0; k < V; k++) {
            const float d = spx_sgd_gradient(decay, clip, g.v[k], w.v[k]);
            m.v[k] = spx_sgd_momentum(a.momentum, d, m.v[k]);
            w.v[k] = spx_sgd_weight(lr, a.momentum, a.nesterov, d, m.v[k], w.v[k]);
        }
        store<V>(a.m, i, m);
        store<V>(a.w, i, w);
    }
};

struct lookahead {
    spx_optim_args a;
    float xi;

    __device__ void begin()
    {
        xi = *a.rate;
    }
    template <int V> __device__ void at(size_t i) const
    {
        const pack<V> g = load<V>(a.g, i), buf = load<V>(a.x, i), w = load<V>(a.y, i);
        pack<V> out;
        for (int k = 0; k < V; k++) {
            out.v[k] = spx_lookahead_weight(xi, a.momentum, a.decay, g.v[k], buf.v[k], w.v[k]);
        }
        store<V>(a.out, i, out);
    }
};

/* Adam of weights with decay, or of masks with a penalty. */
template <bool MASKS> struct adam {
    spx_optim_args a;
    spx_adam_factors f;
    float penalty;

    __device__ void begin() /* of all threads: the powers are worth computing once a block */
    {
        __shared__ spx_adam_factors shared;
        if (threadIdx.x == 0) {
            shared = spx_adam_factors_of(a.lr, a.b1, a.b2, *a.t);
        }
        __syncthreads();
        f = shared;
        penalty = MASKS ? *a.rate : 0;
    }
    template <int V> __device__ void at(size_t i) const
    {
        const pack<V> g = load<V>(a.g, i);
        pack<V> m = load<V>(a.m, i), v = load<V>(a.v, i), w = load<V>(a.w, i);
        for (int k = 0; k < V; k++) {
            const float d =
                MASKS ? spx_mask_gradient(penalty, g.v[k], w.v[k]) : g.v[k] + a.decay * w.v[k];
            m.v[k] = spx_adam_m(a.b1, d, m.v[k]);
            v.v[k] = spx_adam_v(a.b2, d, v.v[k]);
            w.v[k] = spx_adam_weight(f, m.v[k], v.v[k], w.v[k]);
            w.v[k] = MASKS ? spx_mask_clamped(w.v[k]) : w.v[k];
        }
        store<V>(a.m, i, m);
        store<V>(a.v, i, v);
        store<V>(a.w, i, w);
    }
};

struct axpy {
    spx_optim_args a;
    float factor;

    __device__ void begin()
    {
        factor = a.scale * *a.rate;
    }
    template <int V> __device__ void at(size_t i) const
    {
        const pack<V> x = load<V>(a.x, i), y = load<V>(a.y, i);
        pack<V> out;
        for (int k = 0; k < V; k++) {
            out.v[k] = spx_axpy_at(factor, x.v[k], y.v[k]);
        }
        store<V>(a.out, i, out);
    }
};

struct difference {
    spx_optim_args a;
    double scale;

    __device__ void begin()
    {
        scale = spx_difference_scale(*a.rate, a.published);
    }
    template <int V> __device__ void at(size_t i) const
    {
        const pack<V> plus = load<V>(a.x, i), minus = load<V>(a.y, i);
        pack<V> out;
        for (int k = 0; k < V; k++) {
            out.v[k] = spx_difference_at(scale, plus.v[k], minus.v[k]);
        }
        store<V>(a.out, i, out);
    }
};

struct ema {
    spx_optim_args a;
    float decay;

    __device__ void begin()
    {
        decay = *a.rate;
    }
    template <int V> __device__ void at(size_t i) const
    {
        const pack<V> w = load<V>(a.x, i);
        pack<V> e = load<V>(a.w, i);
        for (int k = 0; k < V; k++) {
            e.v[k] = spx_ema_at(decay, w.v[k], e.v[k]);
        }
        store<V>(a.w, i, e);
    }
};

template <class Op, int V> __global__ void update(size_t n, spx_optim_args a)
{
    const size_t first = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const size_t stride = static_cast<size_t>(gridDim.x) * blockDim.x;
    Op op = {};
    if (a.guard != nullptr && a.guard->ok == 0) {
        return; /* the whole grid does */
    }
    op.a = a;
    op.begin();
    for (size_t i = first; i < n / V; i += stride) {
        op.template at<V>(i);
    }
    for (size_t i = n / V * V + first; i < n; i += stride) {
        op.template at<1>(i);
    }
}

/* Whether all arrays there are may be read four floats at a time. */
bool aligned(const spx_optim_args *a)
{
    const void *const array[] = {a->g, a->x, a->y, a->m, a->v, a->w, a->out};
    for (const void *p : array) {
        if (reinterpret_cast<uintptr_t>(p) % 16 != 0) {
            return false;
        }
    }
    return true;
}

unsigned blocks_for(size_t turns)
{
    const size_t blocks = (turns + THREADS - 1) / THREADS;
    return static_cast<unsigned>(blocks < 1 ? 1 : blocks < MAX_BLOCKS ? blocks : MAX_BLOCKS);
}

template <class Op> spx_status launch(spx_stream *s, size_t n, const spx_optim_args *a)
{
    return aligned(a) ? SPX_LAUNCH(s, (update<Op, 4>), blocks_for((n + 3) / 4), THREADS, 0, n, *a)
                      : SPX_LAUNCH(s, (update<Op, 1>), blocks_for(n), THREADS, 0, n, *a);
}

spx_status update_cuda(spx_stream *s, spx_optim_op op, size_t n, spx_optim_args *a)
{
    switch (op) {
    case SPX_OPTIM_SGD:
        return launch<sgd>(s, n, a);
    case SPX_OPTIM_LOOKAHEAD:
        return launch<lookahead>(s, n, a);
    case SPX_OPTIM_ADAM:
        return launch<adam<false>>(s, n, a);
    case SPX_OPTIM_MASKS:
        return launch<adam<true>>(s, n, a);
    case SPX_OPTIM_AXPY:
        return launch<axpy>(s, n, a);
    case SPX_OPTIM_DIFFERENCE:
        return launch<difference>(s, n, a);
    case SPX_OPTIM_EMA:
        return launch<ema>(s, n, a);
    default:
        return SPX_FAIL(SPX_EINVAL, "update %d", static_cast<int>(op));
    }
}

/* ---- the norm: blocks' sums, then their sum by the block that is done last ---- */

constexpr size_t NORM_BLOCKS = 512;
constexpr size_t NORM_PER_BLOCK = 4096; /* elements, at least */

typedef struct norm_space {
    double partial[NORM_BLOCKS];
    unsigned done; /* blocks; 0 between calls */
} norm_space;

__global__ void norm2(size_t n, const float *g, norm_space *space, double *norm)
{
    __shared__ double part[THREADS];
    __shared__ bool last;
    const size_t stride = static_cast<size_t>(gridDim.x) * THREADS;
    double sum = 0;
    for (size_t i = static_cast<size_t>(blockIdx.x) * THREADS + threadIdx.x; i < n; i += stride) {
        sum += static_cast<double>(g[i]) * static_cast<double>(g[i]);
    }
    sum = spx_block_sum(sum, part);
    if (threadIdx.x == 0) {
        space->partial[blockIdx.x] = sum;
        __threadfence(); /* the sum is seen before the count that tells of it */
        last = atomicAdd(&space->done, 1u) == gridDim.x - 1;
        __threadfence(); /* and other blocks' sums after theirs */
    }
    __syncthreads();
    if (!last) {
        return;
    }
    sum = 0;
    for (unsigned b = threadIdx.x; b < gridDim.x; b += THREADS) {
        sum += static_cast<volatile double *>(space->partial)[b];
    }
    sum = spx_block_sum(sum, part);
    if (threadIdx.x == 0) {
        *norm = sqrt(sum);
        space->done = 0;
    }
}

size_t norm2_workspace_cuda(const spx_stream *s, size_t n)
{
    (void)s;
    (void)n;
    return sizeof(norm_space);
}

spx_status norm2_cuda(spx_stream *s, size_t n, const float *g, double *norm, void *workspace)
{
    size_t blocks = (n + NORM_PER_BLOCK - 1) / NORM_PER_BLOCK;
    blocks = blocks < 1 ? 1 : blocks < NORM_BLOCKS ? blocks : NORM_BLOCKS;
    return SPX_LAUNCH(s, norm2, static_cast<unsigned>(blocks), THREADS, 0, n, g,
                      static_cast<norm_space *>(workspace), norm);
}

/* ---- single numbers ---- */

__global__ void next_guard(const double *norm, const float *loss, double max_norm, spx_guard *guard)
{
    *guard =
        spx_guard_next(*guard, *norm, loss != nullptr ? static_cast<double>(*loss) : 0.0, max_norm);
}

spx_status guard_cuda(spx_stream *s, const double *norm, const float *loss, double max_norm,
                      spx_guard *guard)
{
    return SPX_LAUNCH(s, next_guard, 1, 1, 0, norm, loss, max_norm, guard);
}

__global__ void difference_eps(const double *norm, float *eps)
{
    *eps = spx_difference_eps(*norm);
}

spx_status difference_step_cuda(spx_stream *s, const double *norm, float *eps)
{
    return SPX_LAUNCH(s, difference_eps, 1, 1, 0, norm, eps);
}

} // namespace

const spx_optim_backend spx_optim_cuda = {update_cuda, norm2_workspace_cuda, norm2_cuda, guard_cuda,
                                          difference_step_cuda};
