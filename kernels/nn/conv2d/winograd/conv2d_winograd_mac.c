/* Winograd forward and backward-data: the same thing, with the filter turned round. */
#include "kernels/nn/conv2d/winograd/conv2d_winograd_grid_private.h"

#include <assert.h>

/* Transformed input that a thread works on at a time: a part of a second-level cache. */
#define BLOCK_FLOATS ((int64_t)160 * 1024)

/* One call. Items are blocks of lines of a group of 8 images. */
typedef struct wino_pass {
    const spx_wino_isa *isa;
    spx_wino_grid g;
    spx_conv2d_cut k;           /* blocks of output channels */
    spx_conv2d_cut blocks;      /* of lines */
    int64_t ring;               /* padded rows kept of each channel */
    int64_t u_f, v_f, m_k, m_t; /* floats: see spx_wino_gemm */
    int64_t v_tb, y_k, pitch;   /* from block to block of tiles, channel to channel, row to row */
    spx_conv2d_input in;
    spx_conv2d_affine *affine; /* [ci] */
    const float *w;
    int64_t w_out, w_in; /* floats from filter to filter */
    bool flip;           /* the filter, in both directions */
    const float *bias;
    spx_operand out;
    bool accumulate;
    float *u;
    /* Per thread, thread_floats apart: */
    float *rows, *tmp, *v, *m, *y;
    int64_t thread_floats;
    spx_wino_tile *tile; /* [tiles of a block] */
    int64_t tiles;
} wino_pass;

/* --- Input ------------------------------------------------------------------------------------ */

/* What a thread has in hand. */
typedef struct wino_item {
    const wino_pass *pass;
    float *rows, *tmp, *v, *m, *y;
    spx_wino_tile *tile;
    int64_t group;     /* of the rows at hand */
    int64_t have;      /* rows before this one are there, as many as the ring holds */
    int64_t l0, l1;    /* lines */
    spx_conv2d_cut tb; /* blocks of tiles */
} wino_item;

static int images_of(const spx_wino_grid *g, int64_t group)
{
    const int64_t left = g->n - group * SPX_CONV2D_VECTOR;
    return left < SPX_CONV2D_VECTOR ? (int)left : SPX_CONV2D_VECTOR;
}

static void place_tiles(wino_item *it)
{
    const wino_pass *r = it->pass;
    const int64_t tiles = (it->l1 - it->l0) * r->g.line_tiles;
    it->tb = spx_conv2d_cut_in(tiles, spx_conv2d_ceil(tiles, r->isa->max_tb));
    for (int64_t b = 0; b < it->tb.parts; b++) {
        const int64_t t0 = spx_conv2d_cut_at(&it->tb, b), t1 = spx_conv2d_cut_at(&it->tb, b + 1);
        for (int64_t t = t0; t < t1; t++) {
            const int64_t in_line = t % r->g.line_tiles;
            const int64_t phase = in_line / r->g.tiles_x, col = in_line % r->g.tiles_x;
            it->tile[t] = (spx_wino_tile){
                .v = b * r->v_tb + (t - t0) * 8,
                .v_c = (t1 - t0) * 8,
                .y = t / r->g.line_tiles * SPX_WINO_TILE * r->pitch +
                     (col * SPX_WINO_TILE * r->g.dilation + phase) * 8,
            };
        }
    }
}

static void transform_input(wino_item *it)
{
    const wino_pass *r = it->pass;
    const spx_wino_grid *g = &r->g;
    const int64_t begin = spx_wino_line_row(g, it->l0);
    const int64_t end = spx_wino_line_row(g, it->l1 - 1) + g->alpha;
    const int64_t from = it->have > begin ? it->have : begin;
    spx_wino_line line = {.cols = g->cols,
                          .dilation = g->dilation,
                          .tiles = g->tiles_x,
                          .tmp = it->tmp,
                          .v_f = r->v_f,
                          .v = it->v};
    spx_wino_transpose move = {.stride = r->in.x.stride, .planes = images_of(g, it->group)};
    for (line.c = 0; line.c < g->ci; line.c++) {
        float *rows = it->rows + line.c * r->ring * g->cols * 8;
        move.src = spx_image(r->in.x, it->group * SPX_CONV2D_VECTOR) + line.c * g->ih * g->iw;
        move.f = r->affine + line.c;
        for (int64_t v = from; v < end; v++) {
            spx_wino_gather_row(r->isa, g, &move, v, rows + v % r->ring * g->cols * 8);
        }
        for (int64_t l = it->l0; l < it->l1; l++) {
            for (int i = 0; i < g->alpha; i++) {
                const int64_t at = (spx_wino_line_row(g, l) + i) % r->ring;
                line.row[i] = rows + at * g->cols * 8;
            }
            line.tile = it->tile + (l - it->l0) * g->line_tiles;
            r->isa->line[g->scheme](&line);
        }
    }
    it->have = end;
}

/* --- Output ----------------------------------------------------------------------------------- */

/* Products of output channels [k0, k1) and a block of tiles, and back to outputs. */
static void transform_output(const wino_item *it, int64_t k0, int64_t k1, int64_t block)
{
    const wino_pass *r = it->pass;
    const int64_t t0 = spx_conv2d_cut_at(&it->tb, block),
                  t1 = spx_conv2d_cut_at(&it->tb, block + 1);
    const spx_wino_gemm gemm = {.u = r->u + k0 * r->u_f,
                                .v = it->v + block * r->v_tb,
                                .u_f = (k1 - k0) * r->g.ci,
                                .v_f = r->v_f,
                                .points = r->g.alpha * r->g.alpha,
                                .channels = r->g.ci,
                                .m = it->m,
                                .m_k = r->m_k,
                                .m_t = r->m_t};
    assert(k1 - k0 <= r->isa->max_kb && t1 - t0 <= r->isa->max_tb);
    r->isa->gemm[k1 - k0][t1 - t0](&gemm);
    spx_wino_back back = {.m_t = r->m_t,
                          .tiles = t1 - t0,
                          .tile = it->tile + t0,
                          .pitch = r->pitch,
                          .step = r->g.dilation * 8};
    for (int64_t k = k0; k < k1; k++) {
        back.m = it->m + (k - k0) * r->m_k;
        back.bias = r->bias != NULL ? r->bias[k] : 0;
        back.y = it->y + (k - k0) * r->y_k;
        r->isa->back[r->g.scheme](&back);
    }
}

/* Rows of outputs of channel k, which lie at y, to their images. */
static void deliver(const wino_item *it, int64_t k, const float *y)
{
    const wino_pass *r = it->pass;
    const spx_wino_grid *g = &r->g;
    spx_wino_transpose move = {.stride = r->out.stride,
                               .planes = images_of(g, it->group),
                               .count = g->ow,
                               .add = r->accumulate};
    float *out = spx_image(r->out, it->group * SPX_CONV2D_VECTOR) + k * g->oh * g->ow;
    for (int64_t l = it->l0; l < it->l1; l++) {
        for (int i = 0; i < SPX_WINO_TILE; i++, y += r->pitch) {
            const int64_t row = (l % g->tiles_y * SPX_WINO_TILE + i) * g->dilation + l / g->tiles_y;
            move.src = y;
            move.dst = out + row * g->ow;
            if (row < g->oh) {
                r->isa->scatter(&move);
            }
        }
    }
}

static void run_block(wino_item *it, int64_t group, int64_t block)
{
    const wino_pass *r = it->pass;
    it->l0 = spx_conv2d_cut_at(&r->blocks, block);
    it->l1 = spx_conv2d_cut_at(&r->blocks, block + 1);
    if (group != it->group) {
        it->group = group;
        it->have = 0;
    }
    place_tiles(it);
    transform_input(it);
    for (int64_t b = 0; b < r->k.parts; b++) {
        const int64_t k0 = spx_conv2d_cut_at(&r->k, b), k1 = spx_conv2d_cut_at(&r->k, b + 1);
        for (int64_t t = 0; t < it->tb.parts; t++) {
            transform_output(it, k0, k1, t);
        }
        for (int64_t k = k0; k < k1; k++) {
            deliver(it, k, it->y + (k - k0) * r->y_k);
        }
    }
}

static void run_items(void *ctx, int worker, size_t begin, size_t end)
{
    const wino_pass *r = ctx;
    const int64_t at = worker * r->thread_floats;
    wino_item it = {.pass = r,
                    .rows = r->rows + at,
                    .tmp = r->tmp + at,
                    .v = r->v + at,
                    .m = r->m + at,
                    .y = r->y + at,
                    .tile = r->tile + worker * r->tiles,
                    .group = -1};
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        run_block(&it, i / r->blocks.parts, i % r->blocks.parts);
    }
}

/* --- Filter ----------------------------------------------------------------------------------- */

/* Blocks of output channels [begin, end). */
static void transform_filter(void *ctx, int worker, size_t begin, size_t end)
{
    const wino_pass *r = ctx;
    const spx_wino_grid *g = &r->g;
    double m[SPX_WINO_MAX_ALPHA][SPX_WINO_MAX_TAPS];
    spx_wino_filter_matrix(g, m);
    const int64_t last = r->flip ? g->taps * g->taps - 1 : 0, step = r->flip ? -1 : 1;
    (void)worker;
    for (int64_t b = (int64_t)begin; b < (int64_t)end; b++) {
        const int64_t k0 = spx_conv2d_cut_at(&r->k, b), kb = spx_conv2d_cut_at(&r->k, b + 1) - k0;
        spx_wino_filter f = {.g = (const double(*)[SPX_WINO_MAX_TAPS])m,
                             .w_k = r->w_out,
                             .step = step,
                             .kb = (int)kb,
                             .u_f = kb * g->ci};
        for (int64_t c = 0; c < g->ci; c++) {
            f.w = r->w + k0 * r->w_out + c * r->w_in + last;
            f.u = r->u + k0 * r->u_f + c * kb;
            r->isa->filter[g->scheme](&f);
        }
    }
}

/* --- The passes ------------------------------------------------------------------------------- */

/* The most padded rows that a block of lines reads. */
static int64_t rows_of_blocks(const wino_pass *r)
{
    int64_t most = 0;
    for (int64_t b = 0; b < r->blocks.parts; b++) {
        const int64_t begin = spx_wino_line_row(&r->g, spx_conv2d_cut_at(&r->blocks, b));
        const int64_t end = spx_wino_line_row(&r->g, spx_conv2d_cut_at(&r->blocks, b + 1) - 1);
        most = end + r->g.alpha - begin > most ? end + r->g.alpha - begin : most;
    }
    return most;
}

/* Completes r, whose grid is set; counts where the arena has no base. */
static void take(wino_pass *r, int threads, spx_conv2d_arena *a)
{
    const spx_wino_grid *g = &r->g;
    const int64_t points = g->alpha * g->alpha;
    r->isa = spx_wino_isa_now();
    r->k = spx_conv2d_cut_in(g->ko, spx_conv2d_ceil(g->ko, r->isa->max_kb));
    const int64_t fits = BLOCK_FLOATS / (g->line_tiles * points * g->ci * 8);
    r->blocks = spx_conv2d_cut_in(g->lines, spx_conv2d_ceil(g->lines, fits > 1 ? fits : 1));
    r->ring = rows_of_blocks(r);
    r->tiles = spx_conv2d_cut_most(&r->blocks) * g->line_tiles;
    r->u_f = g->ci * points;
    r->v_f = spx_wino_odd_lines(g->ci * r->isa->max_tb * 8);
    r->v_tb = points * r->v_f;
    r->m_t = spx_wino_odd_lines(points * 8);
    r->m_k = r->isa->max_tb * r->m_t;
    r->pitch = g->line_tiles * SPX_WINO_TILE * 8;
    r->y_k = spx_conv2d_cut_most(&r->blocks) * SPX_WINO_TILE * r->pitch;
    r->u = spx_conv2d_take(a, g->ko * r->u_f + SPX_CONV2D_VECTOR, sizeof *r->u);
    const int64_t sizes[] = {
        g->ci * r->ring * g->cols * 8,
        g->alpha * g->cols * 8,
        spx_conv2d_ceil(r->tiles, r->isa->max_tb) * r->v_tb,
        spx_conv2d_cut_most(&r->k) * r->m_k,
        spx_conv2d_cut_most(&r->k) * r->y_k,
    };
    float **const parts[] = {&r->rows, &r->tmp, &r->v, &r->m, &r->y};
    r->thread_floats = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        r->thread_floats += spx_wino_odd_lines(sizes[i]);
    }
    float *base = spx_conv2d_take(a, threads * r->thread_floats, sizeof *base);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && base != NULL; i++) {
        *parts[i] = base;
        base += spx_wino_odd_lines(sizes[i]);
    }
    r->affine = spx_conv2d_take(a, g->ci, sizeof *r->affine);
    r->tile = spx_conv2d_take(a, threads * r->tiles, sizeof *r->tile);
}

static void execute(spx_stream *s, wino_pass *r)
{
    spx_wino_affines(&r->g, &r->in, r->affine);
    spx_pool_run(spx_stream_pool(s), (size_t)r->k.parts, transform_filter, r);
    spx_pool_run(spx_stream_pool(s), (size_t)(r->g.groups * r->blocks.parts), run_items, r);
}

size_t spx_wino_forward_bytes(const spx_conv2d_shape *d, int threads)
{
    spx_conv2d_arena a = {0};
    wino_pass r = {0};
    spx_wino_grid_forward(d, &r.g);
    take(&r, threads, &a);
    return a.used;
}

void spx_wino_forward(spx_stream *s, const spx_conv2d_call *call)
{
    const spx_conv2d_shape *d = call->d;
    spx_conv2d_arena a = {call->workspace, 0};
    wino_pass r = {.in = call->in,
                   .w = call->w,
                   .w_out = d->c * d->r * d->s,
                   .w_in = d->r * d->s,
                   .bias = call->bias,
                   .out = call->y};
    spx_wino_grid_forward(d, &r.g);
    take(&r, spx_stream_threads(s), &a);
    execute(s, &r);
}

size_t spx_wino_backward_data_bytes(const spx_conv2d_shape *d, int threads)
{
    spx_conv2d_arena a = {0};
    wino_pass r = {0};
    spx_wino_grid_backward(d, &r.g);
    take(&r, threads, &a);
    return a.used;
}

void spx_wino_backward_data(spx_stream *s, const spx_conv2d_call *call)
{
    const spx_conv2d_shape *d = call->d;
    spx_conv2d_arena a = {call->workspace, 0};
    wino_pass r = {.in = {.x = call->y},
                   .w = call->w,
                   .w_out = d->r * d->s,
                   .w_in = d->c * d->r * d->s,
                   .flip = true,
                   .out = call->in.x,
                   .accumulate = call->accumulate};
    spx_wino_grid_backward(d, &r.g);
    take(&r, spx_stream_threads(s), &a);
    execute(s, &r);
}
