/* Forward and backward-data: outputs of a grid, a block of channels and of vectors at a time. */
#include "kernels/nn/conv2d/planar/conv2d_planar_block_private.h"

#include <assert.h>
#include <string.h>

/* Smaller filters are repacked by the calling thread: starting the others would take longer. */
#define PARALLEL_WEIGHTS 16384

typedef struct grid_pass {
    spx_planar_block b;
    spx_planar_tables t;
    spx_conv2d_input in;     /* what is packed: x, or dy */
    const float *w;          /* the filter; element (k, c, r, s) of the grid at */
    int64_t w_out, w_in, ws; /* k * w_out + c * w_in + r * ws + s */
    float *weights;          /* repacked: [channel block][k block][c][tap][kb] */
    int64_t kgroups;         /* parts of the k blocks that are items of their own */
    int64_t groups,
        w_group;            /* of the convolution, each a grid of its own; floats of filter apart */
    int64_t weights_floats; /* repacked, of one group */
    const float *bias;
    spx_operand out;
    bool accumulate;
    int64_t i0, j0, out_step, out_h, out_w; /* where the grid lies in the output planes */
    float *scratch;                         /* per thread: planes of vectors, then dense planes */
    int64_t scratch_floats, elements_floats;
} grid_pass;

/* One thread's work on one item. */
typedef struct grid_item {
    const grid_pass *pass;
    int64_t n;  /* first image */
    int images; /* 1, or up to 8 */
    float *dst; /* where the kernels put output channel dst_k */
    int64_t dst_k;
    int64_t dst_plane; /* floats from channel to channel there */
    float *dense;      /* planes still to be interleaved */
    int64_t c0, c1;    /* input channels */
    const float *in;
    bool load, last; /* onto earlier blocks of channels; the last of them */
} grid_item;

static void repack_weights(void *ctx, int worker, size_t begin, size_t end)
{
    const grid_pass *r = ctx;
    const spx_planar_block *b = &r->b;
    (void)worker;
    for (int64_t kb = (int64_t)begin; kb < (int64_t)end; kb++) {
        const int64_t k0 = spx_conv2d_cut_at(&b->k, kb);
        const int64_t k1 = spx_conv2d_cut_at(&b->k, kb + 1);
        for (int64_t cb = 0; cb < b->c.parts; cb++) {
            const int64_t c0 = spx_conv2d_cut_at(&b->c, cb);
            const int64_t c1 = spx_conv2d_cut_at(&b->c, cb + 1);
            float *dst = r->weights + (b->g.ko * c0 + k0 * (c1 - c0)) * b->taps;
            for (int64_t i = c0 * b->taps; i < c1 * b->taps; i++) {
                const int64_t t = i % b->taps;
                const float *src = r->w + i / b->taps * r->w_in +
                                   b->g.filter_row[t / b->g.ns] * r->ws +
                                   b->g.filter_col[t % b->g.ns];
                for (int64_t k = k0; k < k1; k++) {
                    *dst++ = src[k * r->w_out];
                }
            }
        }
    }
}

static void mac_one(const grid_item *it, const spx_planar_class *cls, int64_t k0, int64_t k1,
                    int64_t v0, int64_t v1)
{
    const grid_pass *r = it->pass;
    const spx_planar_block *b = &r->b;
    const int64_t channels = it->c1 - it->c0;
    /* With one tap the list is of channels, as many as this block has. */
    const bool listed = b->taps == 1;
    const spx_planar_mac mac = {
        .in = it->in,
        .tap = cls->tap,
        .n = listed && cls->taps > 0 ? channels : cls->taps,
        .groups = listed ? 1 : channels,
        .in_step = b->l.plane,
        .w_step = b->taps * (k1 - k0),
        .voff = r->t.voff + v0,
        .w = r->weights + (b->g.ko * it->c0 + k0 * channels) * b->taps,
        .out = it->dst + (k0 - it->dst_k) * it->dst_plane + v0 * SPX_CONV2D_VECTOR,
        .out_stride = it->dst_plane,
        .bias = r->bias != NULL ? r->bias + k0 : NULL,
        .load = it->load,
        .tail = v1 == b->l.vectors ? b->l.tail : SPX_CONV2D_VECTOR,
    };
    assert(mac.tail >= 1 && mac.tail <= SPX_CONV2D_VECTOR && k1 - k0 <= b->isa->max_kb &&
           v1 - v0 <= b->isa->max_pb[k1 - k0]);
    b->isa->mac[k1 - k0][v1 - v0](&mac);
}

/* Outputs of k blocks [kfirst, klast). The smaller of filter and input stays in the first-level
 * cache while the other streams. */
static void mac_class(const grid_item *it, const spx_planar_class *cls, int64_t kfirst,
                      int64_t klast)
{
    const spx_planar_block *b = &it->pass->b;
    const int64_t most = spx_conv2d_cut_most(&b->k);
    const spx_conv2d_cut v =
        spx_conv2d_cut_in(cls->count, spx_conv2d_ceil(cls->count, b->isa->max_pb[most]));
    const bool k_inner = (klast - kfirst) * most * b->taps < b->l.plane;
    const int64_t outer = k_inner ? v.parts : klast - kfirst;
    const int64_t inner = k_inner ? klast - kfirst : v.parts;
    for (int64_t i = 0; i < outer; i++) {
        for (int64_t j = 0; j < inner; j++) {
            const int64_t kb = kfirst + (k_inner ? j : i), vb = k_inner ? i : j;
            mac_one(it, cls, spx_conv2d_cut_at(&b->k, kb), spx_conv2d_cut_at(&b->k, kb + 1),
                    cls->first + spx_conv2d_cut_at(&v, vb),
                    cls->first + spx_conv2d_cut_at(&v, vb + 1));
        }
    }
}

/* Spreads a dense plane of outputs over every out_step-th pixel of an output plane. */
static void interleave(const grid_pass *r, const float *restrict src, float *restrict plane)
{
    const spx_planar_grid *g = &r->b.g;
    const int64_t step = r->out_step, width = g->ow;
    for (int64_t i = 0; i < g->oh; i++, src += width) {
        float *restrict dst = plane + (r->i0 + i * step) * r->out_w + r->j0;
        if (r->accumulate) {
            for (int64_t j = 0; j < width; j++) {
                dst[j * step] += src[j];
            }
        } else {
            for (int64_t j = 0; j < width; j++) {
                dst[j * step] = src[j];
            }
        }
    }
}

/* Brings channels [k0, k1) from where the kernels left them to the outputs. */
static void deliver(const grid_item *it, int64_t k0, int64_t k1)
{
    const grid_pass *r = it->pass;
    const spx_planar_block *b = &r->b;
    const int64_t pixels = b->g.oh * b->g.ow, out_pixels = r->out_h * r->out_w;
    const bool dense = r->out_step == 1;
    float *image = spx_image(r->out, it->n);
    for (int64_t k = k0; k < k1; k++) {
        const float *src = it->dst + (k - it->dst_k) * it->dst_plane;
        if (b->l.images) {
            const spx_planar_transpose move = {.src = src,
                                               .dst = dense ? image + k * pixels : it->dense,
                                               .image_stride = dense ? r->out.stride : pixels,
                                               .images = it->images,
                                               .pixels = pixels,
                                               .pos = r->t.pos,
                                               .add = dense && r->accumulate};
            b->isa->scatter(&move);
            src = it->dense;
        }
        for (int i = 0; !dense && i < it->images; i++) {
            interleave(r, src + i * pixels, image + i * r->out.stride + k * out_pixels);
        }
    }
}

/* All outputs of one block of input channels. */
static void mac_all(grid_item *it, int64_t kfirst, int64_t klast)
{
    const grid_pass *r = it->pass;
    const spx_planar_block *b = &r->b;
    if (!b->l.images) {
        mac_class(it, &r->t.cls[0], kfirst, klast);
        if (it->last && r->out_step > 1) {
            deliver(it, spx_conv2d_cut_at(&b->k, kfirst), spx_conv2d_cut_at(&b->k, klast));
        }
        return;
    }
    for (int64_t k = kfirst; k < klast; k++) {
        const int64_t k0 = spx_conv2d_cut_at(&b->k, k);
        const int64_t k1 = spx_conv2d_cut_at(&b->k, k + 1);
        /* Complete after one block of input channels: all k blocks use
         * one small buffer. */
        it->dst_k = b->c.parts == 1 ? k0 : 0;
        for (int64_t c = 0; c < r->t.classes; c++) {
            mac_class(it, &r->t.cls[c], k, k + 1);
        }
        if (it->last) {
            deliver(it, k0, k1);
        }
    }
}

/* Items [begin, end); the padding of the pack buffer is zero. */
static void grid_run(const grid_pass *r, int worker, size_t begin, size_t end)
{
    const spx_planar_block *b = &r->b;
    float *scratch = r->scratch + worker * r->scratch_floats;
    const bool in_place = !b->l.images && r->out_step == 1;
    const spx_conv2d_cut groups = spx_conv2d_cut_in(b->k.parts, r->kgroups);
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        const int64_t item = i / r->kgroups, group = i % r->kgroups;
        grid_item it = {.pass = r, .dense = scratch + r->elements_floats};
        it.images = spx_planar_images(b, item, &it.n);
        it.dst = in_place ? spx_image(r->out, it.n) : scratch;
        it.dst_plane = b->g.oh * b->g.ow;
        if (b->l.images) {
            it.dst_plane = spx_planar_elements_plane(it.dst_plane);
        }
        for (int64_t cb = 0; cb < b->c.parts; cb++) {
            int64_t distance;
            it.c0 = spx_conv2d_cut_at(&b->c, cb);
            it.c1 = spx_conv2d_cut_at(&b->c, cb + 1);
            it.in = spx_planar_packed(b, worker, &r->in, item, item + 1, it.c0, it.c1, &distance);
            it.load = cb > 0 || (in_place && r->accumulate);
            it.last = cb == b->c.parts - 1;
            mac_all(&it, spx_conv2d_cut_at(&groups, group), spx_conv2d_cut_at(&groups, group + 1));
        }
    }
}

static void grid_items(void *ctx, int worker, size_t begin, size_t end)
{
    const grid_pass *r = ctx;
    spx_planar_clear_pack(&r->b, worker);
    grid_run(r, worker, begin, end);
}

/* Blocking and workspace parts of r, whose grid, batch size and step are set. */
static void grid_take(grid_pass *r, bool plain, int threads, spx_conv2d_arena *a)
{
    spx_planar_block *b = &r->b;
    b->isa = spx_planar_isa_now();
    /* A group has too few products to pay for turning images into elements. */
    spx_planar_layout_init(&b->g, r->groups > 1 ? 0 : b->n, plain, &b->l);
    spx_planar_block_init(b, 1, threads, a);
    spx_planar_tables_count(&b->g, &b->l, spx_conv2d_cut_most(&b->c), &r->t);
    r->t.cls = spx_conv2d_take(a, r->t.classes, sizeof *r->t.cls);
    r->t.tap = spx_conv2d_take(a, r->t.taps, sizeof *r->t.tap);
    r->t.voff = spx_conv2d_take(a, r->t.vectors, sizeof *r->t.voff);
    r->t.pos = spx_conv2d_take(a, b->l.images ? r->t.vectors : 0, sizeof *r->t.pos);
    r->weights_floats = b->g.ko * b->g.ci * b->taps;
    r->weights = spx_conv2d_take(a, r->groups * r->weights_floats, sizeof *r->weights);
    const int64_t pixels = b->g.oh * b->g.ow;
    r->elements_floats = 0;
    if (b->l.images) {
        r->elements_floats = (b->c.parts == 1 ? spx_conv2d_cut_most(&b->k) : b->g.ko) *
                             spx_planar_elements_plane(pixels);
    }
    r->scratch_floats = r->elements_floats;
    if (r->out_step > 1) {
        r->scratch_floats += (b->l.images ? SPX_CONV2D_VECTOR : b->g.ko) * pixels;
    }
    r->scratch_floats = spx_conv2d_ceil(r->scratch_floats, 16) * 16;
    r->scratch = spx_conv2d_take(a, threads * r->scratch_floats, sizeof *r->scratch);
    /* Few items do not divide evenly: cut each by output channels too. */
    const bool even = r->groups > 1 || b->items % threads == 0 || b->items >= 4 * (int64_t)threads;
    r->kgroups = even ? 1 : b->k.parts < threads ? b->k.parts : threads;
}

/* Where group i of all begins. */
static void take_group(const grid_pass *all, int64_t i, grid_pass *r)
{
    const spx_planar_grid *g = &all->b.g;
    r->in = spx_planar_slice(&all->in, i * g->ci, g->ih * g->iw);
    r->w = all->w + i * all->w_group;
    r->weights = all->weights + i * all->weights_floats;
    r->bias = all->bias != NULL ? all->bias + i * g->ko : NULL;
    r->out.data = spx_image(all->out, 0) + i * g->ko * all->out_h * all->out_w;
}

static void repack_groups(void *ctx, int worker, size_t begin, size_t end)
{
    grid_pass r = *(const grid_pass *)ctx;
    for (size_t i = begin; i < end; i++) {
        take_group(ctx, (int64_t)i, &r);
        repack_weights(&r, worker, 0, (size_t)r.b.k.parts);
    }
}

/* Pairs of image and group, the groups of an image side by side. */
static void group_items(void *ctx, int worker, size_t begin, size_t end)
{
    grid_pass r = *(const grid_pass *)ctx;
    const size_t groups = (size_t)r.groups;
    spx_planar_clear_pack(&r.b, worker);
    for (size_t i = begin; i < end; i++) {
        take_group(ctx, (int64_t)(i % groups), &r);
        grid_run(&r, worker, i / groups, i / groups + 1);
    }
}

static void grid_execute(spx_stream *s, grid_pass *r)
{
    const spx_planar_block *b = &r->b;
    spx_planar_tables_fill(&b->g, &b->l, spx_conv2d_cut_most(&b->c), &r->t);
    if (r->groups > 1) {
        spx_pool_run(spx_stream_pool(s), (size_t)r->groups, repack_groups, r);
        spx_pool_run(spx_stream_pool(s), (size_t)(b->items * r->groups), group_items, r);
        return;
    }
    if (b->g.ko * b->g.ci * b->taps < PARALLEL_WEIGHTS) {
        repack_weights(r, 0, 0, (size_t)b->k.parts);
    } else {
        spx_pool_run(spx_stream_pool(s), (size_t)b->k.parts, repack_weights, r);
    }
    spx_pool_run(spx_stream_pool(s), (size_t)(b->items * r->kgroups), grid_items, r);
}

static void forward_prepare(const spx_conv2d_shape *d, bool plain, int threads, spx_conv2d_arena *a,
                            grid_pass *r)
{
    const spx_conv2d_shape one = spx_conv2d_group(d);
    r->b.n = d->n;
    r->groups = d->groups;
    r->out_step = 1;
    r->out_h = d->p;
    r->out_w = d->q;
    spx_planar_grid_forward(&one, &r->b.g);
    grid_take(r, plain, threads, a);
}

size_t spx_planar_forward_bytes(const spx_conv2d_shape *d, int threads)
{
    spx_conv2d_arena plain = {0}, packed = {0};
    grid_pass r = {0};
    forward_prepare(d, true, threads, &plain, &r);
    forward_prepare(d, false, threads, &packed, &r);
    return plain.used > packed.used ? plain.used : packed.used;
}

void spx_planar_forward(spx_stream *s, const spx_conv2d_call *call)
{
    const spx_conv2d_shape *d = call->d;
    spx_conv2d_arena a = {call->workspace, 0};
    grid_pass r = {.in = call->in,
                   .w = call->w,
                   .w_out = d->c / d->groups * d->r * d->s,
                   .w_in = d->r * d->s,
                   .ws = d->s,
                   .w_group = spx_conv2d_weights(d) / d->groups,
                   .bias = call->bias,
                   .out = call->y};
    forward_prepare(d, spx_planar_plain(&call->in), spx_stream_threads(s), &a, &r);
    grid_execute(s, &r);
}

/* One residue class of dx's rows and columns; false where no tap reaches it. */
static bool backward_prepare(const spx_conv2d_shape *d, int64_t phase, int threads,
                             spx_conv2d_arena *a, grid_pass *r)
{
    const spx_conv2d_shape one = spx_conv2d_group(d);
    r->b.n = d->n;
    r->groups = d->groups;
    r->out_step = d->stride;
    r->i0 = phase / d->stride;
    r->j0 = phase % d->stride;
    r->out_h = d->h;
    r->out_w = d->w;
    if (r->i0 >= d->h || r->j0 >= d->w) {
        return true; /* empty */
    }
    spx_planar_grid_backward(&one, r->i0, r->j0, &r->b.g);
    if (r->b.g.nr == 0 || r->b.g.ns == 0) {
        return false;
    }
    grid_take(r, true, threads, a);
    return true;
}

size_t spx_planar_backward_data_bytes(const spx_conv2d_shape *d, int threads)
{
    size_t most = 0;
    for (int64_t i = 0; i < d->stride * d->stride; i++) {
        spx_conv2d_arena a = {0};
        grid_pass r = {0};
        (void)backward_prepare(d, i, threads, &a, &r);
        most = a.used > most ? a.used : most;
    }
    return most;
}

static void zero_images(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_conv2d_call *call = ctx;
    const spx_conv2d_shape *d = call->d;
    (void)worker;
    for (size_t n = begin; n < end; n++) {
        memset(spx_image(call->in.x, (int64_t)n), 0, (size_t)(d->c * d->h * d->w) * sizeof(float));
    }
}

void spx_planar_backward_data(spx_stream *s, const spx_conv2d_call *call)
{
    const spx_conv2d_shape *d = call->d;
    const int threads = spx_stream_threads(s);
    bool accumulate = call->accumulate;
    for (int64_t i = 0; i < d->stride * d->stride && !accumulate; i++) {
        spx_conv2d_arena count = {0};
        grid_pass r = {0};
        if (!backward_prepare(d, i, threads, &count, &r)) {
            spx_conv2d_call zero = *call;
            spx_pool_run(spx_stream_pool(s), (size_t)d->n, zero_images, &zero);
            accumulate = true; /* onto the zeros that pixels without a tap keep */
        }
    }
    for (int64_t i = 0; i < d->stride * d->stride; i++) {
        spx_conv2d_arena a = {call->workspace, 0};
        grid_pass r = {.in = {.x = call->y},
                       .w = call->w,
                       .w_out = d->r * d->s,
                       .w_in = d->c / d->groups * d->r * d->s,
                       .ws = d->s,
                       .w_group = spx_conv2d_weights(d) / d->groups,
                       .out = call->in.x,
                       .accumulate = accumulate};
        if (backward_prepare(d, i, threads, &a, &r) && r.b.taps > 0) {
            grid_execute(s, &r);
        }
    }
}
