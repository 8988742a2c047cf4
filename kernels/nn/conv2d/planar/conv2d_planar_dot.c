/*
 * Backward-weights: products of input and output gradient, summed in the elements of vectors, which
 * are pixels or images. Taps that read the image through the same outputs form a SET (a filter row
 * where elements are pixels, one tap where they are images); its products skip all outputs for
 * which it would read padding.
 */
#include "kernels/nn/conv2d/planar/conv2d_planar_block_private.h"

#include <assert.h>
#include <string.h>

/* Elements are summed up once per this many vectors or more; items are grouped to reach it. */
#define DOT_VECTORS 128
/* Largest plane (pixels) for elements = images: the planes of one register block must fit the first
 * cache. */
#define IMAGE_ELEMENTS_PIXELS 100

/* The outputs of one set of taps; tail < 8 where the last vector is not whole. */
typedef struct tap_set {
    const spx_planar_spot *spot;
    int64_t n;
    int tail;
} tap_set;

typedef struct dot_pass {
    spx_planar_block b;
    spx_conv2d_input in;
    spx_operand dy;
    int64_t batch;         /* items packed together */
    int64_t sets, entries; /* entries: taps of all channels in a set; cb_entries: of one block's */
    tap_set *set;
    spx_planar_spot *spot;
    int64_t spots;
    int64_t *off;    /* [entries of the largest block] from the set's spot */
    float *elements; /* per thread: dy with images as elements */
    int64_t elements_floats;
    bool by_item;   /* threads share out the items; else the k blocks */
    float *partial; /* per thread and group: dw [k][set][entry], then dbias [k] */
    int64_t partial_floats, weights;
    bool accumulate;
    float *dw, *dbias;
    int64_t parts;                /* partial sums that exist */
    int64_t groups, group_floats; /* of the convolution; of the partial sums of one */
} dot_pass;

/* --- Tables ----------------------------------------------------------------------------------- */

/* Elements = images: the rectangle of outputs whose tap (r, s) reads the image. */
static void fill_tap_set(dot_pass *d, int r, int s, spx_planar_spot **end)
{
    const spx_planar_grid *g = &d->b.g;
    int64_t p0, p1, q0, q1;
    spx_conv2d_reach(g->row[r], g->step, g->ih, g->oh, &p0, &p1);
    spx_conv2d_reach(g->col[s], g->step, g->iw, g->ow, &q0, &q1);
    tap_set *set = &d->set[r * g->ns + s];
    *set = (tap_set){*end, (p1 - p0) * (q1 - q0), SPX_CONV2D_VECTOR};
    for (int64_t p = p0; p < p1; p++) {
        for (int64_t q = q0; q < q1; q++) {
            const int64_t in = (p * g->step + g->row[r]) * g->iw + q * g->step + g->col[s];
            *(*end)++ =
                (spx_planar_spot){in * SPX_CONV2D_VECTOR, (p * g->ow + q) * SPX_CONV2D_VECTOR};
        }
    }
}

/* Elements = pixels: filter row r, of all vectors; where those are whole, of the rows it reads. */
static void fill_row_set(dot_pass *d, int r)
{
    const spx_planar_grid *g = &d->b.g;
    const spx_planar_layout *l = &d->b.l;
    int64_t v0 = 0, v1 = l->vectors;
    if (l->shared) {
        spx_conv2d_reach(g->row[r], g->step, g->ih, g->oh, &v0, &v1);
        v0 *= g->ow / SPX_CONV2D_VECTOR;
        v1 *= g->ow / SPX_CONV2D_VECTOR;
    }
    d->set[r] = (tap_set){d->spot + r * l->vectors, v1 - v0, l->tail};
    const int64_t per_row = l->shared ? g->ow / SPX_CONV2D_VECTOR : l->vectors;
    for (int64_t v = v0; v < v1; v++) {
        const int64_t at = v / per_row * l->pitch + v % per_row * SPX_CONV2D_VECTOR;
        d->spot[r * l->vectors + v - v0] =
            (spx_planar_spot){at + l->tap_line[r] * l->pitch, v * SPX_CONV2D_VECTOR};
    }
}

static void fill_tables(dot_pass *d)
{
    const spx_planar_grid *g = &d->b.g;
    const spx_planar_layout *l = &d->b.l;
    const int per_channel = l->images ? 1 : g->ns;
    spx_planar_spot *end = d->spot;
    for (int r = 0; r < g->nr; r++) {
        for (int s = 0; l->images && s < g->ns; s++) {
            fill_tap_set(d, r, s, &end);
        }
        if (!l->images) {
            fill_row_set(d, r);
        }
    }
    for (int64_t i = 0; i < spx_conv2d_cut_most(&d->b.c) * per_channel; i++) {
        d->off[i] = i / per_channel * l->plane + l->tap_col[l->images ? 0 : i % per_channel];
    }
}

/* --- Products --------------------------------------------------------------------------------- */

/* The part of one thread: items [i0, i1), output channels [k0, k1) in blocks [kfirst, klast). */
typedef struct dot_part {
    const dot_pass *pass;
    int worker;
    int64_t i0, i1, kfirst, klast, k0, k1;
    const float *dy; /* of item i0, channel k0 */
    int64_t dy_item, dy_plane;
    float *dw;
} dot_part;

/* dy of the part's items and channels, with images as elements where the input has them there. */
static void prepare_dy(dot_part *t)
{
    const dot_pass *d = t->pass;
    const spx_planar_block *b = &d->b;
    const int64_t pixels = b->g.oh * b->g.ow;
    if (!b->l.images) {
        t->dy = spx_image(d->dy, t->i0) + t->k0 * pixels;
        t->dy_item = d->dy.stride;
        t->dy_plane = pixels;
        return;
    }
    float *dst = d->elements + t->worker * d->elements_floats;
    t->dy = dst;
    t->dy_plane = spx_planar_elements_plane(pixels);
    t->dy_item = (t->k1 - t->k0) * t->dy_plane;
    for (int64_t i = t->i0; i < t->i1; i++) {
        for (int64_t k = t->k0; k < t->k1; k++, dst += t->dy_plane) {
            spx_planar_transpose move = {
                .image_stride = d->dy.stride, .pixels = pixels, .dst = dst};
            int64_t n;
            move.images = spx_planar_images(b, i, &n);
            move.src = spx_image(d->dy, n) + k * pixels;
            b->isa->gather(&move);
        }
    }
}

/* Sums of one k block over one block of input channels, which begins at channel c0. */
static void dot_kblock(const dot_part *t, int64_t kblock, const float *in, int64_t in_item,
                       int64_t c0, int64_t c1)
{
    const dot_pass *d = t->pass;
    const spx_planar_block *b = &d->b;
    const int64_t k = spx_conv2d_cut_at(&b->k, kblock);
    const int64_t kb = spx_conv2d_cut_at(&b->k, kblock + 1) - k;
    const int64_t per_channel = d->entries / b->g.ci, entries = (c1 - c0) * per_channel;
    const spx_conv2d_cut blocks =
        spx_conv2d_cut_in(entries, spx_conv2d_ceil(entries, b->isa->max_pb[kb]));
    for (int64_t i = 0; i < blocks.parts; i++) {
        const int64_t e0 = spx_conv2d_cut_at(&blocks, i), e1 = spx_conv2d_cut_at(&blocks, i + 1);
        for (int64_t set = 0; set < d->sets; set++) {
            const spx_planar_dot dot = {
                .in = in,
                .in_image = in_item,
                .off = d->off + e0,
                .dy = t->dy + (k - t->k0) * t->dy_plane,
                .dy_image = t->dy_item,
                .dy_plane = t->dy_plane,
                .images = t->i1 - t->i0,
                .spot = d->set[set].spot,
                .n = d->set[set].n,
                .tail = d->set[set].tail,
                .dw = t->dw + (k * d->sets + set) * d->entries + c0 * per_channel + e0,
                .dw_stride = d->sets * d->entries,
            };
            assert(dot.tail >= 1 && dot.tail <= SPX_CONV2D_VECTOR && kb <= b->isa->max_kb &&
                   e1 - e0 <= b->isa->max_pb[kb]);
            if (dot.n > 0) {
                b->isa->dot[kb][e1 - e0](&dot);
            }
        }
    }
}

static void bias_gradient(const dot_part *t)
{
    const dot_pass *d = t->pass;
    const int64_t pixels = d->b.g.oh * d->b.g.ow;
    for (int64_t i = t->i0; i < t->i1; i++) {
        int64_t n;
        const int images = spx_planar_images(&d->b, i, &n);
        for (int64_t j = 0; j < images * (t->k1 - t->k0); j++) {
            const int64_t k = t->k0 + j / images;
            const float *dy = spx_image(d->dy, n + j % images) + k * pixels;
            t->dw[d->weights + k] += d->b.isa->sum(dy, pixels);
        }
    }
}

/* The part's items [i0, i1). */
static void dot_batch(dot_part *t)
{
    const dot_pass *d = t->pass;
    const spx_planar_block *b = &d->b;
    prepare_dy(t);
    for (int64_t cb = 0; cb < b->c.parts; cb++) {
        const int64_t c0 = spx_conv2d_cut_at(&b->c, cb);
        const int64_t c1 = spx_conv2d_cut_at(&b->c, cb + 1);
        int64_t in_item;
        const float *in = spx_planar_packed(b, t->worker, &d->in, t->i0, t->i1, c0, c1, &in_item);
        for (int64_t k = t->kfirst; k < t->klast; k++) {
            dot_kblock(t, k, in, in_item, c0, c1);
        }
    }
    if (d->dbias != NULL) {
        bias_gradient(t);
    }
}

static void dot_items(void *ctx, int worker, size_t begin, size_t end)
{
    const dot_pass *d = ctx;
    const spx_planar_block *b = &d->b;
    const int64_t first = d->by_item ? (int64_t)begin : 0;
    const int64_t last = d->by_item ? (int64_t)end : b->items;
    dot_part t = {.pass = d,
                  .worker = worker,
                  .kfirst = d->by_item ? 0 : (int64_t)begin,
                  .klast = d->by_item ? b->k.parts : (int64_t)end,
                  .dw = d->partial + (d->by_item ? worker * d->partial_floats : 0)};
    t.k0 = spx_conv2d_cut_at(&b->k, t.kfirst);
    t.k1 = spx_conv2d_cut_at(&b->k, t.klast);
    const int64_t row = d->sets * d->entries;
    memset(t.dw + t.k0 * row, 0, (size_t)((t.k1 - t.k0) * row) * sizeof *t.dw);
    memset(t.dw + d->weights + t.k0, 0, (size_t)(t.k1 - t.k0) * sizeof *t.dw);
    spx_planar_clear_pack(b, worker);
    for (t.i0 = first; t.i0 < last; t.i0 = t.i1) {
        t.i1 = t.i0 + d->batch < last ? t.i0 + d->batch : last;
        dot_batch(&t);
    }
}

/* --- Totals ----------------------------------------------------------------------------------- */

/* Partial sums of all threads, in their order. */
static float total(const dot_pass *d, int64_t at, float start)
{
    float sum = d->accumulate ? start : 0;
    for (int64_t i = 0; i < d->parts; i++) {
        sum += d->partial[i * d->partial_floats + at];
    }
    return sum;
}

/* dw rows of output channels [begin, end), from [set][entry] to [c][r][s]. */
static void total_items(void *ctx, int worker, size_t begin, size_t end)
{
    const dot_pass *d = ctx;
    const int64_t taps = d->b.taps, row = d->b.g.ci * taps;
    const int64_t per_channel = d->entries / d->b.g.ci;
    (void)worker;
    for (int64_t k = (int64_t)begin; k < (int64_t)end; k++) {
        float *dw = d->dw + k * row;
        for (int64_t c = 0; c < d->b.g.ci; c++) {
            for (int64_t t = 0; t < taps; t++, dw++) {
                const int64_t set = t / per_channel, entry = c * per_channel + t % per_channel;
                *dw = total(d, k * row + set * d->entries + entry, *dw);
            }
        }
        if (d->dbias != NULL) {
            d->dbias[k] = total(d, d->weights + k, d->dbias[k]);
        }
    }
}

/* --- The pass --------------------------------------------------------------------------------- */

static void dot_prepare(const spx_conv2d_shape *shape, bool plain, int threads, spx_conv2d_arena *a,
                        dot_pass *d)
{
    spx_planar_block *b = &d->b;
    b->isa = spx_planar_isa_now();
    const spx_conv2d_shape one = spx_conv2d_group(shape);
    const bool grouped = shape->groups > 1;
    b->n = shape->n;
    d->groups = shape->groups;
    spx_planar_grid_forward(&one, &b->g);
    const bool small = !grouped && shape->h * shape->w <= IMAGE_ELEMENTS_PIXELS;
    spx_planar_layout_init(&b->g, small ? b->n : 0, plain, &b->l);
    const int64_t items = b->l.images ? spx_conv2d_ceil(b->n, SPX_CONV2D_VECTOR) : b->n;
    d->by_item = items >= threads;
    d->parts = d->by_item ? threads : 1;
    const int64_t share = d->by_item ? spx_conv2d_ceil(items, threads) : items;
    d->batch = spx_conv2d_ceil(DOT_VECTORS, b->l.vectors);
    d->batch = d->batch < share ? d->batch : share;
    spx_planar_block_init(b, d->batch, threads, a);
    d->sets = b->l.images ? b->taps : b->g.nr;
    d->entries = b->g.ci * b->taps / d->sets;
    d->spots = b->l.images ? spx_planar_products(&b->l) : d->sets * b->l.vectors;
    d->set = spx_conv2d_take(a, d->sets, sizeof *d->set);
    d->spot = spx_conv2d_take(a, d->spots, sizeof *d->spot);
    d->off = spx_conv2d_take(a, spx_conv2d_cut_most(&b->c) * b->taps / d->sets, sizeof *d->off);
    d->elements_floats =
        b->l.images ? d->batch * b->g.ko * spx_planar_elements_plane(b->g.oh * b->g.ow) : 0;
    d->elements_floats = spx_conv2d_ceil(d->elements_floats, 16) * 16;
    d->elements = spx_conv2d_take(a, threads * d->elements_floats, sizeof *d->elements);
    d->weights = b->g.ko * b->g.ci * b->taps;
    d->group_floats = d->weights + b->g.ko;
    d->partial_floats = spx_conv2d_ceil(d->groups * d->group_floats, 16) * 16;
    d->partial = spx_conv2d_take(a, d->parts * d->partial_floats, sizeof *d->partial);
}

size_t spx_planar_backward_weights_bytes(const spx_conv2d_shape *shape, int threads)
{
    spx_conv2d_arena plain = {0}, packed = {0};
    dot_pass d = {0};
    dot_prepare(shape, true, threads, &plain, &d);
    dot_prepare(shape, false, threads, &packed, &d);
    return plain.used > packed.used ? plain.used : packed.used;
}

/* Where group i of all begins. */
static void take_group(const dot_pass *all, int64_t i, dot_pass *d)
{
    const spx_planar_grid *g = &all->b.g;
    d->in = spx_planar_slice(&all->in, i * g->ci, g->ih * g->iw);
    d->dy.data = spx_image(all->dy, 0) + i * g->ko * g->oh * g->ow;
    d->dw = all->dw + i * all->weights;
    d->dbias = all->dbias != NULL ? all->dbias + i * g->ko : NULL;
    d->partial = all->partial + i * all->group_floats;
}

/* Items [begin, end) of every group, a batch of them at a time; or groups [begin, end). */
static void group_items(void *ctx, int worker, size_t begin, size_t end)
{
    const dot_pass *all = ctx;
    dot_pass d = *all;
    const int64_t first = d.by_item ? (int64_t)begin : 0;
    const int64_t last = d.by_item ? (int64_t)end : d.b.items;
    const int64_t g0 = d.by_item ? 0 : (int64_t)begin, g1 = d.by_item ? d.groups : (int64_t)end;
    dot_part t = {.pass = &d, .worker = worker, .klast = d.b.k.parts, .k1 = d.b.g.ko};
    spx_planar_clear_pack(&d.b, worker);
    for (t.i0 = first; t.i0 < last; t.i0 = t.i1) {
        t.i1 = t.i0 + d.batch < last ? t.i0 + d.batch : last;
        for (int64_t i = g0; i < g1; i++) {
            take_group(all, i, &d);
            t.dw = d.partial + (d.by_item ? worker * d.partial_floats : 0);
            if (t.i0 == first) {
                memset(t.dw, 0, (size_t)d.group_floats * sizeof *t.dw);
            }
            dot_batch(&t);
        }
    }
}

static void total_groups(void *ctx, int worker, size_t begin, size_t end)
{
    dot_pass d = *(const dot_pass *)ctx;
    for (size_t i = begin; i < end; i++) {
        take_group(ctx, (int64_t)i, &d);
        total_items(&d, worker, 0, (size_t)d.b.g.ko);
    }
}

void spx_planar_backward_weights(spx_stream *s, const spx_conv2d_call *call)
{
    spx_conv2d_arena a = {call->workspace, 0};
    dot_pass d = {.in = call->in,
                  .dy = call->y,
                  .accumulate = call->accumulate,
                  .dw = call->dw,
                  .dbias = call->dbias};
    dot_prepare(call->d, spx_planar_plain(&call->in), spx_stream_threads(s), &a, &d);
    fill_tables(&d);
    if (d.groups > 1) {
        spx_pool_run(spx_stream_pool(s), (size_t)(d.by_item ? d.b.items : d.groups), group_items,
                     &d);
        spx_pool_run(spx_stream_pool(s), (size_t)d.groups, total_groups, &d);
        return;
    }
    spx_pool_run(spx_stream_pool(s), (size_t)(d.by_item ? d.b.items : d.b.k.parts), dot_items, &d);
    spx_pool_run(spx_stream_pool(s), (size_t)d.b.g.ko, total_items, &d);
}
