/*
 * Own convolution kernels: tiles of the implicit matrices that convolutions are products of,
 * staged through shared memory. Sums are f32 and their order depends on the shape only.
 */
#include "kernels/nn/nhwc_private.cuh"

#include <assert.h>

extern "C" {
#include "kernels/nn/conv2d/cuda/conv2d_cuda_private.h"
}

#define DEPTH 16         /* terms of the sums that are staged at a time */
#define EACH 4           /* rows and columns that a thread sums */
#define MAX_BLOCKS 65536 /* more tiles than that take turns */
#define WIDE_FROM 24     /* columns from which tiles are 64 wide */
#define GOOD_BLOCKS 512  /* enough to fill a large device a few times */
#define MAX_PARTS 256    /* of a sum over pixels */
#define LEAST_PIXELS 128 /* of a part */
#define BIAS_CHANNELS 32 /* channels of a block of the bias's gradient */
#define BIAS_ROWS 8      /* pixels that it sums side by side */

typedef spx::bf16 bf16;

/* Output pixel (i, j) reads source row (i * mul + off + r * step) / div through tap row r, where
 * that divides and lies inside; columns likewise. Forward: div = 1; backward-data: mul = 1. */
struct gather {
    int64_t pixels; /* outputs of all images */
    int out_h, out_w;
    int src_h, src_w, src_c;
    int64_t src_pixel;
    int taps_w, depth; /* filter columns; r * s * src_c */
    int mul, off, step, div;
};

/* Where a pixel of the output starts reading. */
struct origin {
    int64_t image; /* first pixel of its image in the source; -1 beyond the last image */
    int row, col;
};

static __device__ origin origin_of(const gather &g, int64_t pixel)
{
    origin o = {-1, 0, 0};
    if (pixel < g.pixels) {
        const int64_t line = pixel / g.out_w, n = line / g.out_h;
        o.image = n * g.src_h * g.src_w;
        o.row = (int)(line - n * g.out_h) * g.mul + g.off;
        o.col = (int)(pixel - line * g.out_w) * g.mul + g.off;
    }
    return o;
}

/* Row or column of the source that a tap reads, or -1. */
static __device__ __forceinline__ int landing(const gather &g, int from, int tap, int size)
{
    int at = from + tap * g.step;
    if (g.div > 1) {
        if (at % g.div != 0) {
            return -1;
        }
        at /= g.div;
    }
    return (unsigned)at < (unsigned)size ? at : -1;
}

template <class T>
static __device__ __forceinline__ float source_at(const gather &g, const T *src, const origin &o,
                                                  int r, int s, int c)
{
    const int i = landing(g, o.row, r, g.src_h), j = landing(g, o.col, s, g.src_w);
    return o.image < 0 || i < 0 || j < 0
               ? 0.0F
               : spx::to_f32(src[(o.image + (int64_t)i * g.src_w + j) * g.src_pixel + c]);
}

/* sum[u][v] += row 4y+u of a times column 4x+v of b, over the staged terms. */
template <int A, int B>
static __device__ __forceinline__ void multiply(const float (&a)[DEPTH][A],
                                                const float (&b)[DEPTH][B], int y, int x,
                                                float (&sum)[EACH][EACH])
{
#pragma unroll
    for (int i = 0; i < DEPTH; i++) {
        const float4 p = *reinterpret_cast<const float4 *>(&a[i][EACH * y]);
        const float4 q = *reinterpret_cast<const float4 *>(&b[i][EACH * x]);
        const float rows[EACH] = {p.x, p.y, p.z, p.w}, cols[EACH] = {q.x, q.y, q.z, q.w};
#pragma unroll
        for (int u = 0; u < EACH; u++) {
#pragma unroll
            for (int v = 0; v < EACH; v++) {
                sum[u][v] += rows[u] * cols[v];
            }
        }
    }
}

/* Element (column, tap, source channel) of the weights of a group. */
struct filter {
    int columns;
    int64_t per_column, per_tap, per_channel, per_group;
};

/* out[pixel][column] (+)= bias[column] + sum over taps, channels of source * weight: the forward
 * pass, and backward-data with the roles of input and output swapped. Blocks y are groups. */
template <class T, int ROWS, int COLS>
__global__ void __launch_bounds__(ROWS *COLS / (EACH * EACH))
    product_kernel(gather g, filter f, const T *src, const T *w, const float *bias, bool accumulate,
                   T *out, int64_t out_pixel)
{
    constexpr int THREADS = ROWS * COLS / (EACH * EACH);
    __shared__ __align__(16) float a[DEPTH][ROWS + 4], b[DEPTH][COLS + 4];
    __shared__ origin from[ROWS];
    const int t = (int)threadIdx.x, x = t % (COLS / EACH), y = t / (COLS / EACH);
    const int64_t wide = (f.columns + COLS - 1) / COLS;
    src += blockIdx.y * g.src_c;
    w += blockIdx.y * f.per_group;
    out += blockIdx.y * f.columns;
    bias += bias != NULL ? blockIdx.y * f.columns : 0;
    const int64_t tiles = (g.pixels + ROWS - 1) / ROWS * wide;
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const int64_t row0 = tile / wide * ROWS;
        const int col0 = (int)(tile % wide) * COLS;
        float sum[EACH][EACH] = {};
        for (int i = t; i < ROWS; i += THREADS) {
            from[i] = origin_of(g, row0 + i);
        }
        __syncthreads();
        for (int k0 = 0; k0 < g.depth; k0 += DEPTH) {
            const int k = k0 + t % DEPTH, tap = k / g.src_c, c = k % g.src_c;
            const int r = tap / g.taps_w, s = tap % g.taps_w;
#pragma unroll 4
            for (int i = t / DEPTH; i < ROWS; i += THREADS / DEPTH) {
                a[t % DEPTH][i] = k < g.depth ? source_at(g, src, from[i], r, s, c) : 0.0F;
            }
            for (int i = t; i < DEPTH * COLS; i += THREADS) {
                /* along what is contiguous */
                const int column = f.per_channel == 1 ? i / DEPTH : i % COLS;
                const int term = f.per_channel == 1 ? i % DEPTH : i / COLS;
                const bool in = k0 + term < g.depth && col0 + column < f.columns;
                const int wt = (k0 + term) / g.src_c, wc = (k0 + term) % g.src_c;
                b[term][column] = in ? spx::to_f32(w[(col0 + column) * f.per_column +
                                                     wt * f.per_tap + wc * f.per_channel])
                                     : 0.0F;
            }
            __syncthreads();
            multiply(a, b, y, x, sum);
            __syncthreads();
        }
#pragma unroll
        for (int u = 0; u < EACH; u++) {
#pragma unroll
            for (int v = 0; v < EACH; v++) {
                const int64_t row = row0 + EACH * y + u;
                const int col = col0 + EACH * x + v;
                if (row < g.pixels && col < f.columns) {
                    T *p = out + row * out_pixel + col;
                    const float more = bias != NULL ? bias[col] : 0.0F;
                    *p = spx::from_f32<T>((accumulate ? spx::to_f32(*p) : 0.0F) +
                                          (sum[u][v] + more));
                }
            }
        }
    }
}

/* part[j][k][tap, c] = sum over the j-th part of the pixels of dy[pixel][k] * source(pixel, tap,
 * c). Blocks y are groups, of k filters each. */
template <class T, int ROWS, int COLS>
__global__ void __launch_bounds__(ROWS *COLS / (EACH * EACH))
    weights_kernel(gather g, const T *src, const T *dy, int64_t dy_pixel, int k, int64_t parts,
                   int64_t each, float *part)
{
    constexpr int THREADS = ROWS * COLS / (EACH * EACH);
    static_assert(THREADS % COLS == 0, "a thread stages one column");
    __shared__ __align__(16) float a[DEPTH][ROWS + 4], b[DEPTH][COLS + 4];
    __shared__ origin from[DEPTH];
    const int t = (int)threadIdx.x, x = t % (COLS / EACH), y = t / (COLS / EACH);
    const int64_t wide = (g.depth + COLS - 1) / COLS, high = (k + ROWS - 1) / ROWS;
    const int64_t first = (int64_t)blockIdx.y * k, all = (int64_t)gridDim.y * k;
    src += blockIdx.y * g.src_c;
    dy += first;
    for (int64_t tile = blockIdx.x; tile < wide * high * parts; tile += gridDim.x) {
        const int64_t j = tile / (wide * high);
        const int row0 = (int)(tile / wide % high) * ROWS, col0 = (int)(tile % wide) * COLS;
        const int64_t end = (j + 1) * each < g.pixels ? (j + 1) * each : g.pixels;
        const int mine = col0 + t % COLS, tap = mine / g.src_c, c = mine % g.src_c;
        const int r = tap / g.taps_w, s = tap % g.taps_w;
        float sum[EACH][EACH] = {};
        for (int64_t l0 = j * each; l0 < end; l0 += DEPTH) {
            if (t < DEPTH) {
                from[t] = origin_of(g, l0 + t < end ? l0 + t : g.pixels);
            }
            __syncthreads();
            for (int i = t; i < DEPTH * ROWS; i += THREADS) {
                const int row = i % ROWS, l = i / ROWS;
                a[l][row] = l0 + l < end && row0 + row < k
                                ? spx::to_f32(dy[(l0 + l) * dy_pixel + row0 + row])
                                : 0.0F;
            }
            for (int l = t / COLS; l < DEPTH; l += THREADS / COLS) {
                b[l][t % COLS] = mine < g.depth ? source_at(g, src, from[l], r, s, c) : 0.0F;
            }
            __syncthreads();
            multiply(a, b, y, x, sum);
        }
#pragma unroll
        for (int u = 0; u < EACH; u++) {
#pragma unroll
            for (int v = 0; v < EACH; v++) {
                const int row = row0 + EACH * y + u, col = col0 + EACH * x + v;
                if (row < k && col < g.depth) {
                    part[(j * all + first + row) * g.depth + col] = sum[u][v];
                }
            }
        }
    }
}

/* part[j][c] = sum over the j-th part of the pixels of dy[pixel][c]. */
template <class T>
__global__ void __launch_bounds__(BIAS_CHANNELS *BIAS_ROWS)
    channel_sums_kernel(int64_t pixels, int64_t channels, int64_t parts, int64_t each, const T *dy,
                        int64_t dy_pixel, float *part)
{
    __shared__ float sums[BIAS_ROWS][BIAS_CHANNELS];
    const int64_t wide = (channels + BIAS_CHANNELS - 1) / BIAS_CHANNELS;
    for (int64_t tile = blockIdx.x; tile < wide * parts; tile += gridDim.x) {
        const int64_t j = tile / wide, c = tile % wide * BIAS_CHANNELS + threadIdx.x;
        const int64_t end = (j + 1) * each < pixels ? (j + 1) * each : pixels;
        float sum = 0;
        for (int64_t i = j * each + threadIdx.y; i < end && c < channels; i += BIAS_ROWS) {
            sum += spx::to_f32(dy[i * dy_pixel + c]);
        }
        sums[threadIdx.y][threadIdx.x] = sum;
        __syncthreads();
        if (threadIdx.y == 0 && c < channels) {
            for (int i = 1; i < BIAS_ROWS; i++) {
                sum += sums[i][threadIdx.x];
            }
            part[j * channels + c] = sum;
        }
        __syncthreads();
    }
}

/* out[i] (+)= sum over j of part[j][i], in that order. */
static __global__ void fold_kernel(int64_t n, int64_t parts, const float *part, bool accumulate,
                                   float *out)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        float sum = 0;
        for (int64_t j = 0; j < parts; j++) {
            sum += part[j * n + i];
        }
        out[i] = (accumulate ? out[i] : 0.0F) + sum;
    }
}

static int64_t blocks_of(int64_t items, int64_t each)
{
    return (items + each - 1) / each;
}

static dim3 grid_of(int64_t tiles, int64_t groups)
{
    return dim3((unsigned)(tiles < MAX_BLOCKS ? tiles : MAX_BLOCKS), (unsigned)groups);
}

static spx_status fold(spx_stream *s, int64_t n, int64_t parts, const float *part, bool accumulate,
                       float *out)
{
    return SPX_LAUNCH(s, fold_kernel, grid_of(blocks_of(n, 256), 1), dim3(256), 0, n, parts, part,
                      accumulate, out);
}

/* How a sum over all output pixels is shared out; by the shape alone. */
struct sharing {
    int64_t parts, each; /* each: pixels of a part, a multiple of DEPTH */
};

static sharing share(int64_t pixels, int64_t tiles)
{
    int64_t parts = blocks_of(GOOD_BLOCKS, tiles);
    const int64_t most = blocks_of(pixels, LEAST_PIXELS);
    parts = parts < most ? parts : most;
    parts = parts < MAX_PARTS ? parts : MAX_PARTS;
    sharing h;
    h.each = blocks_of(blocks_of(pixels, parts), DEPTH) * DEPTH;
    h.parts = blocks_of(pixels, h.each);
    return h;
}

static int64_t outputs(const spx_conv2d_shape *d)
{
    return d->n * d->p * d->q;
}

static int weights_rows(const spx_conv2d_shape *d)
{
    return d->k / d->groups < WIDE_FROM ? 16 : 64;
}

static sharing share_weights(const spx_conv2d_shape *d)
{
    const int64_t k = d->k / d->groups, depth = d->r * d->s * (d->c / d->groups);
    return share(outputs(d), d->groups * blocks_of(k, weights_rows(d)) * blocks_of(depth, 64));
}

static sharing share_bias(const spx_conv2d_shape *d)
{
    return share(outputs(d), blocks_of(d->k, BIAS_CHANNELS));
}

static gather forward_gather(const spx_conv2d_shape *d, int64_t src_pixel)
{
    gather g;
    assert(spx_conv2d_direct_fits(d));
    g.pixels = outputs(d);
    g.out_h = (int)d->p;
    g.out_w = (int)d->q;
    g.src_h = (int)d->h;
    g.src_w = (int)d->w;
    g.src_c = (int)(d->c / d->groups);
    g.src_pixel = src_pixel;
    g.taps_w = (int)d->s;
    g.depth = (int)d->r * g.taps_w * g.src_c;
    g.mul = (int)d->stride;
    g.off = (int)-d->pad_begin;
    g.step = (int)d->dilation;
    g.div = 1;
    return g;
}

static gather backward_gather(const spx_conv2d_shape *d, int64_t src_pixel)
{
    gather g;
    assert(spx_conv2d_direct_fits(d));
    g.pixels = d->n * d->h * d->w;
    g.out_h = (int)d->h;
    g.out_w = (int)d->w;
    g.src_h = (int)d->p;
    g.src_w = (int)d->q;
    g.src_c = (int)(d->k / d->groups);
    g.src_pixel = src_pixel;
    g.taps_w = (int)d->s;
    g.depth = (int)d->r * g.taps_w * g.src_c;
    g.mul = 1;
    g.off = (int)d->pad_begin;
    g.step = (int)-d->dilation;
    g.div = (int)d->stride;
    return g;
}

template <class T, int ROWS, int COLS>
static spx_status product_tiles(spx_stream *s, const gather &g, const filter &f, int64_t groups,
                                spx_operand src, const void *w, const float *bias, bool accumulate,
                                spx_operand out)
{
    const int64_t tiles = blocks_of(g.pixels, ROWS) * blocks_of(f.columns, COLS);
    return SPX_LAUNCH(s, (product_kernel<T, ROWS, COLS>), grid_of(tiles, groups),
                      dim3(ROWS * COLS / (EACH * EACH)), 0, g, f, (const T *)src.data, (const T *)w,
                      bias, accumulate, (T *)out.data, out.stride);
}

static spx_status product(spx_stream *s, const gather &g, const filter &f, int64_t groups,
                          spx_operand src, const void *w, const float *bias, bool accumulate,
                          spx_operand out)
{
    const bool wide = f.columns >= WIDE_FROM;
    if (src.type == SPX_TYPE_BF16) {
        return wide ? product_tiles<bf16, 64, 64>(s, g, f, groups, src, w, bias, accumulate, out)
                    : product_tiles<bf16, 128, 16>(s, g, f, groups, src, w, bias, accumulate, out);
    }
    return wide ? product_tiles<float, 64, 64>(s, g, f, groups, src, w, bias, accumulate, out)
                : product_tiles<float, 128, 16>(s, g, f, groups, src, w, bias, accumulate, out);
}

bool spx_conv2d_direct_fits(const spx_conv2d_shape *d)
{
    const int64_t side = (int64_t)1 << 28, depth = (int64_t)1 << 30;
    return d->h <= side && d->w <= side && d->p <= side && d->q <= side &&
           d->c <= depth / (d->r * d->s) && d->k <= depth / (d->r * d->s);
}

spx_status spx_conv2d_direct_forward(spx_stream *s, const spx_conv2d_shape *d, spx_operand x,
                                     const void *w, const float *bias, bool accumulate,
                                     spx_operand y)
{
    const int64_t c = d->c / d->groups;
    const filter f = {(int)(d->k / d->groups), d->r * d->s * c, c, 1,
                      spx_conv2d_weights(d) / d->groups};
    return product(s, forward_gather(d, x.stride), f, d->groups, x, w, bias, accumulate, y);
}

spx_status spx_conv2d_direct_backward_data(spx_stream *s, const spx_conv2d_shape *d, spx_operand dy,
                                           const void *w, bool accumulate, spx_operand dx)
{
    const int64_t c = d->c / d->groups;
    const filter f = {(int)c, 1, c, d->r * d->s * c, spx_conv2d_weights(d) / d->groups};
    return product(s, backward_gather(d, dy.stride), f, d->groups, dy, w, NULL, accumulate, dx);
}

template <class T, int ROWS>
static spx_status weights_tiles(spx_stream *s, const spx_conv2d_shape *d, spx_operand x,
                                spx_operand dy, float *parts)
{
    const gather g = forward_gather(d, x.stride);
    const sharing h = share_weights(d);
    const int k = (int)(d->k / d->groups);
    const int64_t tiles = blocks_of(k, ROWS) * blocks_of(g.depth, 64) * h.parts;
    return SPX_LAUNCH(s, (weights_kernel<T, ROWS, 64>), grid_of(tiles, d->groups),
                      dim3(ROWS * 64 / (EACH * EACH)), 0, g, (const T *)x.data, (const T *)dy.data,
                      dy.stride, k, h.parts, h.each, parts);
}

spx_status spx_conv2d_direct_backward_weights(spx_stream *s, const spx_conv2d_shape *d,
                                              spx_operand x, spx_operand dy, bool accumulate,
                                              float *dw, float *parts)
{
    const bool narrow = weights_rows(d) == 16;
    if (x.type == SPX_TYPE_BF16) {
        SPX_RETURN_IF(narrow ? (weights_tiles<bf16, 16>(s, d, x, dy, parts))
                             : (weights_tiles<bf16, 64>(s, d, x, dy, parts)));
    } else {
        SPX_RETURN_IF(narrow ? (weights_tiles<float, 16>(s, d, x, dy, parts))
                             : (weights_tiles<float, 64>(s, d, x, dy, parts)));
    }
    return fold(s, spx_conv2d_weights(d), share_weights(d).parts, parts, accumulate, dw);
}

size_t spx_conv2d_direct_weights_bytes(const spx_conv2d_shape *d)
{
    return (size_t)(share_weights(d).parts * spx_conv2d_weights(d)) * sizeof(float);
}

spx_status spx_conv2d_bias_gradient(spx_stream *s, const spx_conv2d_shape *d, spx_operand dy,
                                    bool accumulate, float *dbias, float *parts)
{
    const sharing h = share_bias(d);
    const dim3 grid = grid_of(blocks_of(d->k, BIAS_CHANNELS) * h.parts, 1);
    const dim3 block(BIAS_CHANNELS, BIAS_ROWS);
    if (dy.type == SPX_TYPE_BF16) {
        SPX_RETURN_IF(SPX_LAUNCH(s, channel_sums_kernel<bf16>, grid, block, 0, outputs(d), d->k,
                                 h.parts, h.each, (const bf16 *)dy.data, dy.stride, parts));
    } else {
        SPX_RETURN_IF(SPX_LAUNCH(s, channel_sums_kernel<float>, grid, block, 0, outputs(d), d->k,
                                 h.parts, h.each, (const float *)dy.data, dy.stride, parts));
    }
    return fold(s, d->k, h.parts, parts, accumulate, dbias);
}

size_t spx_conv2d_bias_bytes(const spx_conv2d_shape *d)
{
    return (size_t)(share_bias(d).parts * d->k) * sizeof(float);
}
