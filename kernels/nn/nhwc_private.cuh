#ifndef SPX_NN_NHWC_PRIVATE_CUH
#define SPX_NN_NHWC_PRIVATE_CUH
/*
 * What the .cu files of the ops share: vectors of channels, and how threads lie over rows (pixels)
 * and channels.
 */
#include "kernels/device/launch_cuda.h"

#include <cuda_bf16.h>

#include <initializer_list>

extern "C" {
#include "kernels/nn/nn_check.h"
#include "kernels/nn/operand.h"
}

namespace spx {

typedef __nv_bfloat16 bf16;
constexpr unsigned block_threads = 256;

/* ---- V adjacent elements, read and written at once: 16 bytes at most ---- */

template <class T, int V> struct alignas(sizeof(T) * V < 16 ? sizeof(T) * V : 16) pack {
    T v[V];
};

__device__ inline float to_f32(float v)
{
    return v;
}

__device__ inline float to_f32(bf16 v)
{
    return __bfloat162float(v);
}

template <class T> __device__ inline T from_f32(float v);
template <> __device__ inline float from_f32<float>(float v)
{
    return v;
}
template <> __device__ inline bf16 from_f32<bf16>(float v)
{
    return __float2bfloat16_rn(v);
}

template <class T, int V> __device__ inline void load(const T *p, float (&out)[V])
{
    const pack<T, V> in = *reinterpret_cast<const pack<T, V> *>(p);
#pragma unroll
    for (int i = 0; i < V; i++) {
        out[i] = to_f32(in.v[i]);
    }
}

template <class T, int V> __device__ inline void store(T *p, const float (&v)[V])
{
    pack<T, V> out;
#pragma unroll
    for (int i = 0; i < V; i++) {
        out.v[i] = from_f32<T>(v[i]);
    }
    *reinterpret_cast<pack<T, V> *>(p) = out;
}

/* ---- an operand inside a kernel ---- */

template <class T> struct rows_of {
    T *data;
    int64_t pixel;

    __device__ T *at(int64_t row, unsigned c) const
    {
        return data + row * pixel + c;
    }
};

template <class T> static inline rows_of<T> typed(spx_operand x)
{
    return rows_of<T>{static_cast<T *>(x.data), x.stride};
}

/* ---- host: widths, launches ---- */

#define SPX_OPERANDS_MAX 64              /* of one op; norm_sum has up to 50 */
constexpr int64_t most_rows = INT32_MAX; /* so that kernels divide 32-bit numbers */

static inline bool aligned(const void *p, size_t bytes)
{
    return reinterpret_cast<uintptr_t>(p) % bytes == 0;
}

/* A list of operands; those without data do not count. */
struct operands {
    spx_operand x[SPX_OPERANDS_MAX];
    int n;

    operands(std::initializer_list<spx_operand> list) : n(0)
    {
        for (const spx_operand &one : list) {
            add(one);
        }
    }
    void add(const spx_operand &one)
    {
        if (one.data != NULL) {
            x[n++] = one;
        }
    }
    const spx_operand *begin() const
    {
        return x;
    }
    const spx_operand *end() const
    {
        return x + n;
    }
};

/* The widest vector of 8 (bf16 only), 4 or 1 elements, at most `most`, that divides `fold` times c
 * and every given operand's pixel, and to which all are aligned. */
static inline int widest(int64_t c, int64_t fold, const operands &list, int most)
{
    int v = most;
    for (const spx_operand &x : list) {
        v = x.type == SPX_TYPE_F32 && v > 4 ? 4 : v;
    }
    for (; v > 1; v = v == 8 ? 4 : 1) {
        bool fits = c * fold % v == 0;
        for (const spx_operand &x : list) {
            fits = fits && x.stride * fold % v == 0 &&
                   aligned(x.data, spx_type_bytes(x.type) * (size_t)v);
        }
        if (fits) {
            break;
        }
    }
    return v;
}

/*
 * Rows of channels as threads see them. Dense operands can be cut into other rows: `fold` pixels
 * make one row of fold*c channels, so that 5 channels, four pixels at a time, are five vectors
 * of 4.
 */
struct shape {
    int64_t rows, c; /* as cut */
    int fold;        /* channel i of a cut row is channel i % (c / fold) */
    int v;           /* elements of a vector */
};

static inline bool dense(int64_t c, const operands &list)
{
    for (const spx_operand &x : list) {
        if (x.stride != c) {
            return false;
        }
    }
    return true;
}

/* The smallest fold that lets the widest vectors in, where operands are dense, `run` pixels (an
 * image) are a multiple of it and a cut row has at most most_vectors. */
static inline shape cut(int64_t rows, int64_t run, int64_t c, const operands &list, int most,
                        int most_vectors)
{
    shape s = {rows, c, 1, widest(c, 1, list, most)};
    for (int fold = 2; fold <= 8 && dense(c, list); fold *= 2) {
        const int v = widest(c, fold, list, most);
        if (v > s.v && run % fold == 0 && c * fold / v <= most_vectors) {
            s = shape{rows / fold, c * fold, fold, v};
        }
    }
    return s;
}

/* Threads: x along vectors of channels, y along rows; blocks: x along rows, y along channels. */
struct layout {
    dim3 grid, block;
};

static inline spx_status lay(layout *out, const char *op, const shape &s, int most_vectors,
                             int rows_per_thread)
{
    const int64_t vectors = s.c / s.v;
    const int64_t x = vectors < most_vectors ? vectors : most_vectors;
    const int64_t y = block_threads / x, blocks_y = (vectors + x - 1) / x;
    int64_t blocks_x = (s.rows + y * rows_per_thread - 1) / (y * rows_per_thread);
    if (blocks_y > 65535) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "%s: %lld channels", op, (long long)s.c);
    }
    blocks_x = blocks_x < 4096 ? blocks_x : 4096; /* then each thread takes several turns */
    out->grid = dim3((unsigned)blocks_x, (unsigned)blocks_y);
    out->block = dim3((unsigned)x, (unsigned)y);
    return SPX_OK;
}

/* Elementwise ops care for no channels: dense operands become rows of one vector. */
static inline shape cut_flat(int64_t rows, int64_t c, const operands &list)
{
    if (dense(c, list)) {
        const int v = widest(c, rows, list, 8);
        return shape{rows * c / v, v, 1, v};
    }
    return shape{rows, c, 1, widest(c, 1, list, 8)};
}

static inline spx_operand flattened(spx_operand x, const shape &s, int64_t c)
{
    x.stride = x.stride == c ? s.c : x.stride;
    return x;
}

} // namespace spx

/* Calls launch<T, V>(...) for a type and a width, of at most 4 and of any. */
#define SPX_BY_WIDTH_4(type, v, launch, ...)                                                       \
    ((type) == SPX_TYPE_F32                                                                        \
         ? ((v) == 4 ? launch<float, 4>(__VA_ARGS__) : launch<float, 1>(__VA_ARGS__))              \
         : ((v) == 4 ? launch<spx::bf16, 4>(__VA_ARGS__) : launch<spx::bf16, 1>(__VA_ARGS__)))
#define SPX_BY_WIDTH(type, v, launch, ...)                                                         \
    ((v) == 8 ? launch<spx::bf16, 8>(__VA_ARGS__) : SPX_BY_WIDTH_4(type, v, launch, __VA_ARGS__))

#endif
