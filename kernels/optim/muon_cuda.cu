/* Muon on CUDA: every launch does one thing for all matrices, over lists of tiles or pieces that
 * the plan has made. X is (r, c) with r <= c: what is higher than wide is transposed on its way in
 * and out. Sums are in an order that depends on the matrix alone. */
#include "kernels/optim/optim_sum_private.cuh"

extern "C" {
#include "kernels/base/alloc.h"
#include "kernels/optim/muon_private.h"
#include "kernels/optim/optim_math_private.h"
}

namespace {

constexpr int THREADS = SPX_SUM_THREADS;
constexpr int TILE = 64;        /* rows and columns of a block's part of a product */
constexpr int DEPTH = 16;       /* of what is in shared memory at a time */
constexpr int OWN = 4;          /* rows and columns of a thread's part: OWN*OWN*THREADS = TILE^2 */
constexpr size_t PIECE = 16384; /* elements of a block of a pass over memory */

struct shape {
    size_t offset; /* in g, buf, w */
    size_t x, a;   /* in the scratch of X and of the squares */
    int rows, columns, r, c;
    int first_piece, pieces;
};

struct part {
    int matrix, i, j; /* tile: first row and column; piece: i is its number within the matrix */
};

/* All in device memory, but the counts. */
struct plan {
    shape *matrix;
    part *piece, *square, *wide;
    int matrices, pieces, squares, wides;
    float *x[2], *a, *b;
    double *partial; /* [2][pieces]: squares of X, of W */
    float *factor;   /* [2][matrices]: of X, of W */
    void *block;     /* that holds all of these */
};

/* Where element `at` of a matrix is in its X. */
__device__ size_t place(const shape &m, size_t at)
{
    const size_t columns = static_cast<size_t>(m.columns), rows = static_cast<size_t>(m.rows);
    return m.rows <= m.columns ? at : at % columns * rows + at / columns;
}

__device__ size_t piece_end(const shape &m, size_t first)
{
    const size_t n = static_cast<size_t>(m.rows) * static_cast<size_t>(m.columns);
    return first + PIECE < n ? first + PIECE : n;
}

__global__ void prepare(plan p, spx_muon_args a)
{
    __shared__ double sums[THREADS];
    const part own = p.piece[blockIdx.x];
    const shape m = p.matrix[own.matrix];
    const size_t first = static_cast<size_t>(own.i) * PIECE, end = piece_end(m, first);
    double of_x = 0, of_w = 0;
    if (a.guard->ok == 0) {
        return; /* the whole grid does, here and below */
    }
    for (size_t i = first + threadIdx.x; i < end; i += THREADS) {
        const size_t at = m.offset + i;
        const float d = a.guard->clip * a.g[at], w = a.w[at];
        const float moved = spx_sgd_momentum(a.momentum, d, a.buf[at]);
        const float u = d + a.momentum * moved;
        a.buf[at] = moved;
        p.x[0][m.x + place(m, i)] = u;
        of_x += static_cast<double>(u) * static_cast<double>(u);
        of_w += static_cast<double>(w) * static_cast<double>(w);
    }
    of_x = spx_block_sum(of_x, sums);
    of_w = spx_block_sum(of_w, sums);
    if (threadIdx.x == 0) {
        p.partial[blockIdx.x] = of_x;
        p.partial[p.pieces + static_cast<int>(blockIdx.x)] = of_w;
    }
}

__global__ void norms(plan p, spx_muon_args a)
{
    __shared__ double sums[THREADS];
    const shape m = p.matrix[blockIdx.x];
    double of_x = 0, of_w = 0;
    if (a.guard->ok == 0) {
        return;
    }
    for (int i = static_cast<int>(threadIdx.x); i < m.pieces; i += THREADS) {
        of_x += p.partial[m.first_piece + i];
        of_w += p.partial[p.pieces + m.first_piece + i];
    }
    of_x = spx_block_sum(of_x, sums);
    of_w = spx_block_sum(of_w, sums);
    if (threadIdx.x == 0) {
        const double rows = static_cast<double>(m.rows);
        p.factor[blockIdx.x] = static_cast<float>(1 / (sqrt(of_x) + SPX_MUON_EPS));
        p.factor[p.matrices + static_cast<int>(blockIdx.x)] =
            of_w > 0 ? static_cast<float>(sqrt(rows) / sqrt(of_w)) : 1.0f;
    }
}

/* A tile of x times y, x (n, k): y is (m, k) and taken transposed, or (k, m). */
template <bool TRANSPOSED>
__device__ void multiply(const float *x, const float *y, int n, int m, int k, int row, int column,
                         float sum[OWN][OWN])
{
    __shared__ float xs[DEPTH][TILE + 1], ys[DEPTH][TILE + 1];
    const int t = static_cast<int>(threadIdx.x), own_row = t / 16 * OWN, own_column = t % 16 * OWN;
    for (int i = 0; i < OWN * OWN; i++) {
        sum[i / OWN][i % OWN] = 0;
    }
    for (int deep = 0; deep < k; deep += DEPTH) {
        __syncthreads();
        for (int e = t; e < TILE * DEPTH; e += THREADS) {
            const int i = e / DEPTH, l = e % DEPTH, j = TRANSPOSED ? i : e % TILE;
            const int yl = TRANSPOSED ? l : e / TILE;
            const size_t wide = static_cast<size_t>(TRANSPOSED ? k : m);
            xs[l][i] = row + i < n && deep + l < k
                           ? x[static_cast<size_t>(row + i) * static_cast<size_t>(k) +
                               static_cast<size_t>(deep + l)]
                           : 0.0f;
            ys[yl][j] = column + j < m && deep + yl < k
                            ? y[static_cast<size_t>(TRANSPOSED ? column + j : deep + yl) * wide +
                                static_cast<size_t>(TRANSPOSED ? deep + yl : column + j)]
                            : 0.0f;
        }
        __syncthreads();
        for (int l = 0; l < DEPTH; l++) {
            for (int i = 0; i < OWN * OWN; i++) {
                sum[i / OWN][i % OWN] += xs[l][own_row + i / OWN] * ys[l][own_column + i % OWN];
            }
        }
    }
}

/* Calls out(index within the (n, m) array, sum) for the thread's elements of a tile. */
template <class Out>
__device__ void store(int n, int m, int row, int column, const float sum[OWN][OWN], Out out)
{
    const int t = static_cast<int>(threadIdx.x);
    const int own_row = row + t / 16 * OWN, own_column = column + t % 16 * OWN;
    for (int i = 0; i < OWN * OWN; i++) {
        if (own_row + i / OWN < n && own_column + i % OWN < m) {
            out(static_cast<size_t>(own_row + i / OWN) * static_cast<size_t>(m) +
                    static_cast<size_t>(own_column + i % OWN),
                sum[i / OWN][i % OWN]);
        }
    }
}

/* a = x x'; the first x is scaled on the fly */
__global__ void gram(plan p, const spx_guard *guard, const float *x, bool first)
{
    const part own = p.square[blockIdx.x];
    const shape m = p.matrix[own.matrix];
    float sum[OWN][OWN], *a = p.a + m.a;
    if (guard->ok == 0) {
        return;
    }
    const float factor = first ? p.factor[own.matrix] : 1.0f;
    multiply<true>(x + m.x, x + m.x, m.r, m.r, m.c, own.i, own.j, sum);
    store(m.r, m.r, own.i, own.j, sum, [=](size_t at, float v) { a[at] = v * factor * factor; });
}

/* b = SPX_MUON_B a + SPX_MUON_C a a */
__global__ void square(plan p, const spx_guard *guard)
{
    const part own = p.square[blockIdx.x];
    const shape m = p.matrix[own.matrix];
    const float *a = p.a + m.a;
    float sum[OWN][OWN], *b = p.b + m.a;
    if (guard->ok == 0) {
        return;
    }
    multiply<true>(a, a, m.r, m.r, m.r, own.i, own.j, sum); /* a is its own transpose */
    store(m.r, m.r, own.i, own.j, sum, [=](size_t at, float v) {
        b[at] = static_cast<float>(SPX_MUON_B) * a[at] + static_cast<float>(SPX_MUON_C) * v;
    });
}

/* y = SPX_MUON_A x + b x */
__global__ void improve(plan p, const spx_guard *guard, const float *from, float *to, bool first)
{
    const part own = p.wide[blockIdx.x];
    const shape m = p.matrix[own.matrix];
    const float *x = from + m.x;
    float sum[OWN][OWN], *y = to + m.x;
    if (guard->ok == 0) {
        return;
    }
    const float factor = first ? p.factor[own.matrix] : 1.0f;
    multiply<false>(p.b + m.a, x, m.r, m.c, m.r, own.i, own.j, sum);
    store(m.r, m.c, own.i, own.j, sum, [=](size_t at, float v) {
        y[at] = factor * (static_cast<float>(SPX_MUON_A) * x[at] + v);
    });
}

__global__ void apply(plan p, spx_muon_args a, const float *x)
{
    const part own = p.piece[blockIdx.x];
    const shape m = p.matrix[own.matrix];
    const size_t first = static_cast<size_t>(own.i) * PIECE, end = piece_end(m, first);
    if (a.guard->ok == 0) {
        return;
    }
    const float factor = p.factor[p.matrices + own.matrix], lr = a.scale * *a.rate;
    for (size_t i = first + threadIdx.x; i < end; i += THREADS) {
        float *w = a.w + m.offset + i;
        *w = factor * *w - lr * x[m.x + place(m, i)];
    }
}

/* ---- the plan ---- */

struct counts {
    size_t pieces, squares, wides, x, a;
};

int tiles(int n)
{
    return (n + TILE - 1) / TILE;
}

shape shape_of(const spx_muon_matrix *m, const counts *before)
{
    const size_t n = static_cast<size_t>(m->rows) * static_cast<size_t>(m->columns);
    shape s = {};
    s.offset = m->offset;
    s.x = before->x;
    s.a = before->a;
    s.rows = m->rows;
    s.columns = m->columns;
    s.r = m->rows < m->columns ? m->rows : m->columns;
    s.c = m->rows < m->columns ? m->columns : m->rows;
    s.first_piece = static_cast<int>(before->pieces);
    s.pieces = static_cast<int>((n + PIECE - 1) / PIECE);
    return s;
}

/* Adds a matrix's parts to the lists, where there are any, and to the counts. */
void add(int matrix, const shape &s, part *piece, part *square_tile, part *wide, counts *n)
{
    for (int i = 0; i < s.pieces; i++, n->pieces++) {
        if (piece != nullptr) {
            piece[n->pieces] = {matrix, i, 0};
        }
    }
    for (int i = 0; i < tiles(s.r); i++) {
        for (int j = 0; j < tiles(s.r); j++, n->squares++) {
            if (square_tile != nullptr) {
                square_tile[n->squares] = {matrix, i * TILE, j * TILE};
            }
        }
        for (int j = 0; j < tiles(s.c); j++, n->wides++) {
            if (wide != nullptr) {
                wide[n->wides] = {matrix, i * TILE, j * TILE};
            }
        }
    }
    n->x += static_cast<size_t>(s.r) * static_cast<size_t>(s.c);
    n->a += static_cast<size_t>(s.r) * static_cast<size_t>(s.r);
}

/* The next `bytes` of a block, on 256; NULL counts only. */
void *take(char *block, size_t *used, size_t bytes)
{
    void *at = block != nullptr ? block + *used : nullptr;
    *used += (bytes + 255) / 256 * 256;
    return at;
}

/* Where all lies in the block; returns its size. *lists is what the host fills in. */
size_t lay_out(plan *p, char *block, const counts *n, size_t matrices, size_t *lists)
{
    size_t used = 0;
    p->matrix = static_cast<shape *>(take(block, &used, matrices * sizeof(shape)));
    p->piece = static_cast<part *>(take(block, &used, n->pieces * sizeof(part)));
    p->square = static_cast<part *>(take(block, &used, n->squares * sizeof(part)));
    p->wide = static_cast<part *>(take(block, &used, n->wides * sizeof(part)));
    *lists = used;
    p->partial = static_cast<double *>(take(block, &used, 2 * n->pieces * sizeof(double)));
    p->factor = static_cast<float *>(take(block, &used, 2 * matrices * sizeof(float)));
    p->x[0] = static_cast<float *>(take(block, &used, n->x * sizeof(float)));
    p->x[1] = static_cast<float *>(take(block, &used, n->x * sizeof(float)));
    p->a = static_cast<float *>(take(block, &used, n->a * sizeof(float)));
    p->b = static_cast<float *>(take(block, &used, n->a * sizeof(float)));
    p->matrices = static_cast<int>(matrices);
    p->pieces = static_cast<int>(n->pieces);
    p->squares = static_cast<int>(n->squares);
    p->wides = static_cast<int>(n->wides);
    return used;
}

void destroy_cuda(void *plan_of, spx_stream *s)
{
    plan *p = static_cast<plan *>(plan_of);
    if (p != nullptr) {
        spx_device_free(s, p->block);
        spx_free(p);
    }
}

spx_status create_cuda(void **out, spx_stream *s, const spx_muon_matrix *matrix, size_t n)
{
    counts all = {}, so_far = {};
    plan *p, host = {};
    void *lists = nullptr;
    size_t list_bytes, bytes;
    spx_status st;
    for (size_t i = 0; i < n; i++) {
        add(0, shape_of(&matrix[i], &all), nullptr, nullptr, nullptr, &all);
    }
    SPX_RETURN_IF(spx_calloc(reinterpret_cast<void **>(&p), 1, sizeof *p));
    bytes = lay_out(p, nullptr, &all, n, &list_bytes);
    SPX_TRY(st, spx_device_alloc(s, &p->block, bytes), fail);
    (void)lay_out(p, static_cast<char *>(p->block), &all, n, &list_bytes);
    SPX_TRY(st, spx_calloc(&lists, 1, list_bytes), fail);
    (void)lay_out(&host, static_cast<char *>(lists), &all, n, &list_bytes);
    for (size_t i = 0; i < n; i++) {
        host.matrix[i] = shape_of(&matrix[i], &so_far);
        add(static_cast<int>(i), host.matrix[i], host.piece, host.square, host.wide, &so_far);
    }
    SPX_TRY(st, spx_upload(s, p->block, lists, list_bytes), fail);
    spx_free(lists);
    *out = p;
    return SPX_OK;
fail:
    spx_free(lists);
    destroy_cuda(p, s);
    return st;
}

spx_status step_cuda(void *plan_of, spx_stream *s, const spx_muon_args *a)
{
    const plan *p = static_cast<const plan *>(plan_of);
    const spx_guard *guard = a->guard;
    const unsigned pieces = static_cast<unsigned>(p->pieces);
    const unsigned squares = static_cast<unsigned>(p->squares);
    if (p->matrices == 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(SPX_LAUNCH(s, prepare, pieces, THREADS, 0, *p, *a));
    SPX_RETURN_IF(SPX_LAUNCH(s, norms, static_cast<unsigned>(p->matrices), THREADS, 0, *p, *a));
    for (int i = 0; i < SPX_MUON_STEPS; i++) {
        const float *x = p->x[i % 2];
        const bool first = i == 0;
        SPX_RETURN_IF(SPX_LAUNCH(s, gram, squares, THREADS, 0, *p, guard, x, first));
        SPX_RETURN_IF(SPX_LAUNCH(s, square, squares, THREADS, 0, *p, guard));
        SPX_RETURN_IF(SPX_LAUNCH(s, improve, static_cast<unsigned>(p->wides), THREADS, 0, *p, guard,
                                 x, p->x[(i + 1) % 2], first));
    }
    return SPX_LAUNCH(s, apply, pieces, THREADS, 0, *p, *a, p->x[SPX_MUON_STEPS % 2]);
}

} // namespace

const spx_muon_backend spx_muon_cuda = {create_cuda, destroy_cuda, step_cuda};
