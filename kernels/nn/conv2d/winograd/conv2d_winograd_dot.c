/*
 * Winograd backward-weights: with both operands transformed, the gradient of the transformed filter
 * is a product of matrices in every point, summed over all tiles; it is turned back once at the
 * end. Elements are channels here, because sums over elements would cost more than they save.
 */
#include "kernels/nn/conv2d/winograd/conv2d_winograd_grid_private.h"

#include <string.h>

/* Transformed operands that a thread works on at a time: about a second-level cache, or as much as
 * the sums that they are added to, up to a part of a third-level cache. */
#define BLOCK_FLOATS ((int64_t)96 * 1024)
#define MOST_FLOATS ((int64_t)1024 * 1024)

/* One operand: its planes, 8 in the elements of a vector. */
typedef struct side {
    spx_wino_grid g; /* how its lines are read */
    const float *src;
    int64_t stride_n, planes, vecs;
    const spx_conv2d_affine *affine; /* [planes], or one for all if affine_step = 0 */
    int64_t affine_step;
    int inputs; /* rows of a line */
    void (*line)(const spx_wino_line *a);
    int64_t ring_floats, f; /* floats of the ring, from point to point */
    /* Per thread, thread_floats apart: */
    float *ring, *out;
} side;

/* One call. Items are the lines of all images. */
typedef struct dot_pass {
    const spx_wino_isa *isa;
    side x, dy;
    bool swap;             /* vectors are of dy's channels, rows of x's; else the other way round */
    int64_t points, block; /* lines that are worked on together */
    spx_conv2d_cut rows, vecs;
    float *tmp; /* per thread, thread_floats apart */
    int64_t thread_floats;
    spx_wino_tile *tile; /* [2][tiles of a block]: of x, of dy */
    int64_t tiles;
    spx_conv2d_affine *affine, plain;
    float *partial; /* per thread: sums [point][row][vector], then of dy [k] */
    int64_t partial_floats, pitch, sum_f, sums;
    int parts;
    bool accumulate;
    float *dw, *dbias;
} dot_pass;

/* --- Operands --------------------------------------------------------------------------------- */

/* Transforms line l of image n of one side into the tiles from tile on; padded rows before *have
 * are there. */
static void transform_line(const dot_pass *r, const side *s, int64_t at, int64_t n, int64_t l,
                           int64_t have, const spx_wino_tile *tile)
{
    const spx_wino_grid *g = &s->g;
    const int64_t begin = spx_wino_line_row(g, l), plane = g->ih * g->iw;
    spx_wino_line line = {.cols = g->cols,
                          .dilation = g->dilation,
                          .tiles = g->tiles_x,
                          .tmp = r->tmp + at,
                          .tile = tile,
                          .v_f = s->f,
                          .v = s->out + at};
    spx_wino_transpose move = {.stride = plane, .f_step = s->affine_step};
    for (line.c = 0; line.c < s->vecs; line.c++) {
        const int64_t c = line.c * SPX_CONV2D_VECTOR;
        float *ring = s->ring + at + line.c * s->inputs * g->cols * 8;
        move.src = s->src + n * s->stride_n + c * plane;
        move.planes = s->planes - c < SPX_CONV2D_VECTOR ? (int)(s->planes - c) : SPX_CONV2D_VECTOR;
        move.f = s->affine + c * s->affine_step;
        for (int64_t v = have > begin ? have : begin; v < begin + s->inputs; v++) {
            spx_wino_gather_row(r->isa, g, &move, v, ring + v % s->inputs * g->cols * 8);
        }
        for (int i = 0; i < s->inputs; i++) {
            line.row[i] = ring + (begin + i) % s->inputs * g->cols * 8;
        }
        s->line(&line);
    }
}

static void add_bias_gradient(const dot_pass *r, int64_t n, float *sum)
{
    const int64_t pixels = r->dy.g.ih * r->dy.g.iw;
    for (int64_t k = 0; k < r->dy.planes; k++) {
        sum[k] += r->isa->sum(r->dy.src + n * r->dy.stride_n + k * pixels, pixels);
    }
}

/* --- Products --------------------------------------------------------------------------------- */

static void add_products(const dot_pass *r, int64_t at, int64_t tiles, float *sum)
{
    const side *rows = r->swap ? &r->x : &r->dy, *vecs = r->swap ? &r->dy : &r->x;
    for (int64_t f = 0; f < r->points; f++) {
        for (int64_t v = 0; v < r->vecs.parts; v++) {
            const int64_t v0 = spx_conv2d_cut_at(&r->vecs, v),
                          v1 = spx_conv2d_cut_at(&r->vecs, v + 1);
            for (int64_t i = 0; i < r->rows.parts; i++) {
                const int64_t i0 = spx_conv2d_cut_at(&r->rows, i),
                              i1 = spx_conv2d_cut_at(&r->rows, i + 1);
                const spx_wino_dot dot = {.row = rows->out + at + f * rows->f + i0,
                                          .vec = vecs->out + at + f * vecs->f + v0 * 8,
                                          .row_t = rows->vecs * 8,
                                          .vec_t = vecs->vecs * 8,
                                          .tiles = tiles,
                                          .out = sum + f * r->sum_f + i0 * r->pitch + v0 * 8,
                                          .pitch = r->pitch};
                r->isa->dot[i1 - i0][v1 - v0](&dot);
            }
        }
    }
}

static void dot_items(void *ctx, int worker, size_t begin, size_t end)
{
    const dot_pass *r = ctx;
    const spx_wino_grid *g = &r->x.g;
    const int64_t at = worker * r->thread_floats, last = (int64_t)end;
    float *sum = r->partial + worker * r->partial_floats;
    int64_t have = 0, tiles = 0;
    memset(sum, 0, (size_t)r->partial_floats * sizeof *sum);
    for (int64_t i = (int64_t)begin; i < last; i++) {
        const int64_t n = i / g->lines, l = i % g->lines;
        have = l == 0 ? 0 : have;
        transform_line(r, &r->x, at, n, l, have, r->tile + tiles);
        transform_line(r, &r->dy, at, n, l, 0, r->tile + r->tiles + tiles);
        have = spx_wino_line_row(g, l) + g->alpha;
        tiles += g->line_tiles;
        if (tiles == r->tiles || i + 1 == last) {
            add_products(r, at, tiles, sum);
            tiles = 0;
        }
        if (l == 0 && r->dbias != NULL) {
            add_bias_gradient(r, n, sum + r->sums);
        }
    }
}

/* --- Totals ----------------------------------------------------------------------------------- */

/* Rows [begin, end) of the sums. */
static void total_items(void *ctx, int worker, size_t begin, size_t end)
{
    const dot_pass *r = ctx;
    const spx_wino_grid *g = &r->x.g;
    const int64_t taps = g->taps * g->taps, elements = r->swap ? g->ko : g->ci;
    double m[SPX_WINO_MAX_ALPHA][SPX_WINO_MAX_TAPS];
    spx_wino_filter_matrix(g, m);
    spx_wino_unfilter u = {.g = (const double(*)[SPX_WINO_MAX_TAPS])m,
                           .u_f = r->sum_f,
                           .parts = r->parts,
                           .part = r->partial_floats,
                           .step = r->swap ? g->ci * taps : taps,
                           .add = r->accumulate};
    (void)worker;
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        for (int64_t v = 0; v < elements; v += SPX_CONV2D_VECTOR) {
            u.u = r->partial + i * r->pitch + v;
            u.dw = r->dw + (r->swap ? v * g->ci + i : i * g->ci + v) * taps;
            u.elements = elements - v < SPX_CONV2D_VECTOR ? (int)(elements - v) : SPX_CONV2D_VECTOR;
            r->isa->unfilter[g->scheme](&u);
        }
    }
}

static void total_bias(const dot_pass *r)
{
    for (int64_t k = 0; k < r->dy.planes; k++) {
        float sum = r->accumulate ? r->dbias[k] : 0;
        for (int i = 0; i < r->parts; i++) {
            sum += r->partial[i * r->partial_floats + r->sums + k];
        }
        r->dbias[k] = sum;
    }
}

/* --- The pass --------------------------------------------------------------------------------- */

/* Lines of tiles of outputs, without overlap. */
static void gradient_grid(const spx_wino_grid *x, spx_wino_grid *dy)
{
    *dy = *x;
    dy->ih = x->oh;
    dy->iw = x->ow;
    dy->pad = 0;
    dy->phase_rows = SPX_WINO_TILE * x->tiles_y;
    dy->cols = x->dilation * SPX_WINO_TILE * x->tiles_x;
}

/* How many lines to take together. */
static int64_t lines_of_block(const dot_pass *r, int64_t items)
{
    const int64_t width = (r->x.vecs + r->dy.vecs) * 8 * r->points;
    const int64_t sums = r->pitch * (r->swap ? r->x.planes : r->dy.planes) * r->points;
    int64_t floats = sums > BLOCK_FLOATS ? sums : BLOCK_FLOATS;
    floats = floats < MOST_FLOATS ? floats : MOST_FLOATS;
    const int64_t lines = floats / (width * r->x.g.line_tiles);
    return lines < 1 ? 1 : lines < items ? lines : items;
}

static void take_sides(dot_pass *r, int threads, spx_conv2d_arena *a)
{
    const spx_wino_grid *g = &r->x.g;
    side *const sides[] = {&r->x, &r->dy};
    r->tiles = r->block * g->line_tiles;
    const int64_t tmp = spx_wino_odd_lines(g->alpha * g->cols * 8);
    r->thread_floats = tmp;
    for (int i = 0; i < 2; i++) {
        side *s = sides[i];
        s->ring_floats = spx_wino_odd_lines(s->vecs * s->inputs * s->g.cols * 8);
        s->f = spx_wino_odd_lines(r->tiles * s->vecs * 8);
        r->thread_floats += s->ring_floats + r->points * s->f;
    }
    float *base = spx_conv2d_take(a, threads * r->thread_floats, sizeof *base);
    r->tmp = base;
    base = base != NULL ? base + tmp : NULL;
    for (int i = 0; i < 2 && base != NULL; i++) {
        sides[i]->ring = base;
        sides[i]->out = base + sides[i]->ring_floats;
        base = sides[i]->out + r->points * sides[i]->f;
    }
}

/* Completes r, whose sides' grids are set; counts where the arena has no base. */
static void take(dot_pass *r, int threads, spx_conv2d_arena *a)
{
    const spx_wino_grid *g = &r->x.g;
    const int64_t items = g->n * g->lines;
    r->isa = spx_wino_isa_now();
    r->points = g->alpha * g->alpha;
    r->x.planes = g->ci;
    r->x.vecs = spx_conv2d_ceil(g->ci, SPX_CONV2D_VECTOR);
    r->x.inputs = g->alpha;
    r->x.line = r->isa->line[g->scheme];
    r->dy.planes = g->ko;
    r->dy.vecs = spx_conv2d_ceil(g->ko, SPX_CONV2D_VECTOR);
    r->dy.inputs = SPX_WINO_TILE;
    r->dy.line = r->isa->gradient[g->scheme];
    /* Elements where they waste less. */
    r->swap = r->dy.vecs * g->ci < r->x.vecs * g->ko;
    const int64_t rows = r->swap ? g->ci : g->ko, vecs = r->swap ? r->dy.vecs : r->x.vecs;
    r->vecs = spx_conv2d_cut_in(vecs, spx_conv2d_ceil(vecs, SPX_WINO_MAX_DV));
    const int64_t max_rows = r->isa->max_rows[spx_conv2d_cut_most(&r->vecs)];
    r->rows = spx_conv2d_cut_in(rows, spx_conv2d_ceil(rows, max_rows));
    r->pitch = vecs * 8;
    r->sum_f = spx_wino_odd_lines(rows * r->pitch);
    r->sums = r->points * r->sum_f;
    r->partial_floats = spx_conv2d_ceil(r->sums + g->ko, 16) * 16;
    r->parts = items < threads ? (int)items : threads;
    r->partial = spx_conv2d_take(a, r->parts * r->partial_floats, sizeof *r->partial);
    r->block = lines_of_block(r, spx_conv2d_ceil(items, threads));
    take_sides(r, threads, a);
    r->affine = spx_conv2d_take(a, g->ci, sizeof *r->affine);
    r->tile = spx_conv2d_take(a, 2 * r->tiles, sizeof *r->tile);
}

static void prepare(const spx_conv2d_shape *d, int threads, spx_conv2d_arena *a, dot_pass *r)
{
    spx_wino_grid_forward(d, &r->x.g);
    gradient_grid(&r->x.g, &r->dy.g);
    take(r, threads, a);
}

size_t spx_wino_backward_weights_bytes(const spx_conv2d_shape *d, int threads)
{
    spx_conv2d_arena a = {0};
    dot_pass r = {0};
    prepare(d, threads, &a, &r);
    return a.used;
}

void spx_wino_backward_weights(spx_stream *s, const spx_conv2d_call *call)
{
    spx_conv2d_arena a = {call->workspace, 0};
    dot_pass r = {.accumulate = call->accumulate, .dw = call->dw, .dbias = call->dbias};
    prepare(call->d, spx_stream_threads(s), &a, &r);
    r.x.src = call->in.x.data;
    r.x.stride_n = call->in.x.stride;
    r.x.affine = r.affine;
    r.x.affine_step = 1;
    r.dy.src = call->y.data;
    r.dy.stride_n = call->y.stride;
    r.dy.affine = &r.plain;
    spx_wino_affines(&r.x.g, &call->in, r.affine);
    for (int64_t t = 0; t < r.tiles; t++) {
        r.tile[t] = (spx_wino_tile){.v = t * r.x.vecs * 8, .v_c = 8};
        r.tile[r.tiles + t] = (spx_wino_tile){.v = t * r.dy.vecs * 8, .v_c = 8};
    }
    const int64_t rows = r.swap ? r.x.planes : r.dy.planes;
    spx_pool_run(spx_stream_pool(s), (size_t)(r.x.g.n * r.x.g.lines), dot_items, &r);
    spx_pool_run(spx_stream_pool(s), (size_t)rows, total_items, &r);
    if (r.dbias != NULL) {
        total_bias(&r);
    }
}
