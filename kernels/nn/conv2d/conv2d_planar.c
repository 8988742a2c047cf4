/* The planar convolution: blocking, threads and workspaces around the kernels. */
#include "kernels/base/alloc.h"
#include "kernels/base/cpu.h"
#include "kernels/nn/conv2d/conv2d_planar_plan.h"

#include <assert.h>
#include <string.h>

/* Packed input that one thread works on at a time: a part of a second-level cache. */
#define PACK_FLOATS ((int64_t)64 * 1024)
/* A block of input channels brings at least this many products per output, or else loading and
 * storing the outputs once per block would show. */
#define MIN_PRODUCTS 128
/* Backward-weights sums lanes once per this many vectors of pixels or more (images are grouped). */
#define DOT_VECTORS 128
/* Smaller filters are repacked by the calling thread: starting the others would take longer. */
#define PARALLEL_WEIGHTS 16384

static const spx_planar_isa *planar_isa(void)
{
    switch (spx_cpu_isa()) {
    case SPX_ISA_AVX512VL:
        return &spx_planar_avx512vl;
    case SPX_ISA_AVX2:
        return &spx_planar_avx2;
    default:
        return NULL;
    }
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Hands out aligned parts of a workspace; with a NULL base it only counts. */
typedef struct arena {
    char *base;
    size_t used;
} arena;

static void *take(arena *a, int64_t count, size_t size)
{
    void *p = a->base != NULL ? a->base + a->used : NULL;
    const size_t bytes = (size_t)count * size;
    a->used += (bytes + SPX_ALIGN - 1) / SPX_ALIGN * SPX_ALIGN;
    return p;
}

/* What forward, backward-data and backward-weights share: the geometry and its blocking. */
typedef struct blocking {
    const spx_planar_isa *isa;
    spx_planar_grid g;
    spx_planar_layout l;
    int64_t taps;
    int64_t kblocks, kb_max;
    int64_t cblocks, cb_max; /* blocks of input channels; the first is the largest */
    int64_t images;          /* packed together */
    int64_t *off, *voff;
    float *pack; /* one buffer per thread, pack_floats apart */
    int64_t pack_floats;
} blocking;

static void blocking_init(blocking *b, bool plain, int64_t images)
{
    spx_planar_layout_init(&b->g, plain, &b->l);
    b->taps = (int64_t)b->g.nr * b->g.ns;
    b->kblocks = spx_planar_ceil(b->g.ko, b->isa->max_kb);
    b->kb_max = spx_planar_ceil(b->g.ko, b->kblocks);
    b->images = images;
    const int64_t fits = PACK_FLOATS / (images * b->l.plane);
    const int64_t channels = max64(fits, spx_planar_ceil(MIN_PRODUCTS, b->taps));
    b->cblocks = spx_planar_ceil(b->g.ci, channels);
    b->cb_max = spx_planar_ceil(b->g.ci, b->cblocks);
    b->pack_floats = b->l.direct ? 0 : images * b->cb_max * b->l.plane + SPX_PLANAR_SLACK;
}

static void blocking_take(blocking *b, arena *a, int threads)
{
    b->off = take(a, b->cb_max * b->taps, sizeof *b->off);
    b->voff = take(a, b->l.vectors, sizeof *b->voff);
    b->pack_floats = spx_planar_ceil(b->pack_floats, 16) * 16;
    b->pack = take(a, threads * b->pack_floats, sizeof *b->pack);
    if (a->base != NULL) {
        spx_planar_tap_offsets(&b->g, &b->l, b->cb_max, b->off);
        spx_planar_vector_offsets(&b->g, &b->l, b->voff);
    }
}

static spx_planar_affine affine_of(const spx_conv2d_input *in, int64_t c)
{
    spx_planar_affine f = {.relu = in->relu, .scale = 1};
    if (in->mean != NULL) {
        f.affine = true;
        f.mean = in->mean[c];
        f.scale = in->invstd[c] * (in->gamma != NULL ? in->gamma[c] : 1);
        f.shift = in->beta != NULL ? in->beta[c] : 0;
    }
    return f;
}

static bool is_plain(const spx_conv2d_input *in)
{
    return in->mean == NULL && !in->relu;
}

/* Channels [c0, c1) of images [n0, n1) in the form the kernels read; *image is their distance. */
static const float *packed_input(const blocking *b, int worker, const spx_conv2d_input *in,
                                 int64_t n0, int64_t n1, int64_t c0, int64_t c1, int64_t *image)
{
    const int64_t pixels = b->g.ih * b->g.iw;
    if (b->l.direct) {
        *image = in->stride_n;
        return in->x + n0 * in->stride_n + c0 * pixels;
    }
    float *const buffer = b->pack + worker * b->pack_floats;
    float *dst = buffer;
    *image = (c1 - c0) * b->l.plane;
    /* Past the last plane lanes are read, and multiplied by zero or dropped: they must be numbers.
     */
    memset(buffer + (n1 - n0) * *image, 0, SPX_PLANAR_SLACK * sizeof *buffer);
    for (int64_t n = n0; n < n1; n++) {
        for (int64_t c = c0; c < c1; c++, dst += b->l.plane) {
            spx_planar_pack_channel(b->isa, &b->g, &b->l, in->x + n * in->stride_n + c * pixels,
                                    affine_of(in, c), dst);
        }
    }
    return buffer;
}

/* --- Forward and backward-data ---------------------------------------------------------------- */

typedef struct grid_run {
    blocking b;
    spx_conv2d_input in;     /* what is packed: x, or dy */
    const float *w;          /* the filter; element (k, c, r, s) of the grid at */
    int64_t w_out, w_in, ws; /* k * w_out + c * w_in + r * ws + s */
    float *weights;          /* repacked: [channel block][k block][c][tap][kb] */
    int64_t kgroups;         /* parts of the k blocks that are items of their own */
    const float *bias;
    float *out;
    int64_t out_stride_n;
    bool accumulate;
    int64_t i0, j0, out_step, out_h, out_w; /* where the grid lies in the output planes */
    float *scratch;                         /* per thread [ko][oh * ow], where out_step > 1 */
    int64_t scratch_floats;
} grid_run;

/* One thread's work on one item. */
typedef struct grid_item {
    const grid_run *run;
    int64_t k_first, k_last; /* k blocks */
    float *dst;              /* output channel 0 */
    int64_t c0, c1;          /* input channels */
    const float *in;
    bool load;
} grid_item;

static void repack_weights(void *ctx, int worker, size_t begin, size_t end)
{
    const grid_run *r = ctx;
    const blocking *b = &r->b;
    (void)worker;
    for (int64_t kb = (int64_t)begin; kb < (int64_t)end; kb++) {
        const int64_t k0 = spx_planar_cut(b->g.ko, b->kblocks, kb);
        const int64_t k1 = spx_planar_cut(b->g.ko, b->kblocks, kb + 1);
        for (int64_t cb = 0; cb < b->cblocks; cb++) {
            const int64_t c0 = spx_planar_cut(b->g.ci, b->cblocks, cb);
            const int64_t c1 = spx_planar_cut(b->g.ci, b->cblocks, cb + 1);
            float *dst = r->weights + (b->g.ko * c0 + k0 * (c1 - c0)) * b->taps;
            for (int64_t c = c0; c < c1; c++) {
                for (int64_t t = 0; t < b->taps; t++) {
                    const float *src = r->w + c * r->w_in + b->g.filter_row[t / b->g.ns] * r->ws +
                                       b->g.filter_col[t % b->g.ns];
                    for (int64_t k = k0; k < k1; k++) {
                        *dst++ = src[k * r->w_out];
                    }
                }
            }
        }
    }
}

static void mac_one(const grid_item *it, int64_t kblock, int64_t v0, int64_t v1)
{
    const grid_run *r = it->run;
    const blocking *b = &r->b;
    const int64_t pixels = b->g.oh * b->g.ow, channels = it->c1 - it->c0;
    const int64_t k0 = spx_planar_cut(b->g.ko, b->kblocks, kblock);
    const int64_t k1 = spx_planar_cut(b->g.ko, b->kblocks, kblock + 1);
    const spx_planar_mac mac = {
        .in = it->in,
        .off = b->off,
        .voff = b->voff + v0,
        .w = r->weights + (b->g.ko * it->c0 + k0 * channels) * b->taps,
        .n = channels * b->taps,
        .out = it->dst + k0 * pixels + v0 * SPX_PLANAR_LANES,
        .out_stride = pixels,
        .bias = r->bias != NULL ? r->bias + k0 : NULL,
        .load = it->load,
        .tail = v1 == b->l.vectors ? b->l.tail : SPX_PLANAR_LANES,
    };
    b->isa->mac[k1 - k0][v1 - v0](&mac);
}

/* All outputs of one block of input channels. The smaller of filter and input stays in the
 * first-level cache while the other streams. */
static void mac_all(const grid_item *it)
{
    const blocking *b = &it->run->b;
    const int64_t vblocks = spx_planar_ceil(b->l.vectors, b->isa->max_pb[b->kb_max]);
    const int64_t kblocks = it->k_last - it->k_first;
    const bool k_inner = kblocks * b->kb_max * b->taps < b->l.plane;
    for (int64_t i = 0; i < kblocks * vblocks; i++) {
        const int64_t k = k_inner ? i % kblocks : i / vblocks;
        const int64_t v = k_inner ? i / kblocks : i % vblocks;
        mac_one(it, it->k_first + k, spx_planar_cut(b->l.vectors, vblocks, v),
                spx_planar_cut(b->l.vectors, vblocks, v + 1));
    }
}

/* Spreads a dense grid of outputs over every out_step-th pixel. */
static void interleave(const grid_item *it, float *image)
{
    const grid_run *r = it->run;
    const spx_planar_grid *g = &r->b.g;
    const int64_t k0 = spx_planar_cut(g->ko, r->b.kblocks, it->k_first);
    const int64_t k1 = spx_planar_cut(g->ko, r->b.kblocks, it->k_last);
    for (int64_t k = k0; k < k1; k++) {
        for (int64_t i = 0; i < g->oh; i++) {
            const float *src = it->dst + (k * g->oh + i) * g->ow;
            float *dst = image + (k * r->out_h + r->i0 + i * r->out_step) * r->out_w + r->j0;
            for (int64_t j = 0; j < g->ow; j++) {
                const float old = r->accumulate ? dst[j * r->out_step] : 0;
                dst[j * r->out_step] = old + src[j];
            }
        }
    }
}

static void grid_items(void *ctx, int worker, size_t begin, size_t end)
{
    const grid_run *r = ctx;
    const blocking *b = &r->b;
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        const int64_t n = i / r->kgroups, group = i % r->kgroups;
        float *image = r->out + n * r->out_stride_n;
        const bool dense = r->out_step == 1;
        grid_item it = {.run = r,
                        .k_first = spx_planar_cut(b->kblocks, r->kgroups, group),
                        .k_last = spx_planar_cut(b->kblocks, r->kgroups, group + 1),
                        .dst = dense ? image : r->scratch + worker * r->scratch_floats};
        for (int64_t cb = 0; cb < b->cblocks; cb++) {
            int64_t distance;
            it.c0 = spx_planar_cut(b->g.ci, b->cblocks, cb);
            it.c1 = spx_planar_cut(b->g.ci, b->cblocks, cb + 1);
            it.in = packed_input(b, worker, &r->in, n, n + 1, it.c0, it.c1, &distance);
            it.load = cb > 0 || (dense && r->accumulate);
            mac_all(&it);
        }
        if (!dense) {
            interleave(&it, image);
        }
    }
}

/* Blocking and workspace parts of r, whose grid, step and isa are set. */
static void grid_take(grid_run *r, bool plain, int64_t n, int threads, arena *a)
{
    blocking *b = &r->b;
    blocking_init(b, plain, 1);
    blocking_take(b, a, threads);
    r->weights = take(a, b->g.ko * b->g.ci * b->taps, sizeof *r->weights);
    r->scratch_floats = r->out_step > 1 ? spx_planar_ceil(b->g.ko * b->g.oh * b->g.ow, 16) * 16 : 0;
    r->scratch = take(a, threads * r->scratch_floats, sizeof *r->scratch);
    /* Few images do not divide evenly: cut each by output channels too. */
    r->kgroups = n % threads == 0 || n >= 4 * (int64_t)threads ? 1 : min64(b->kblocks, threads);
}

static void grid_execute(spx_stream *s, grid_run *r, int64_t n)
{
    const blocking *b = &r->b;
    if (b->g.ko * b->g.ci * b->taps < PARALLEL_WEIGHTS) {
        repack_weights(r, 0, 0, (size_t)b->kblocks);
    } else {
        spx_pool_run(spx_stream_pool(s), (size_t)b->kblocks, repack_weights, r);
    }
    spx_pool_run(spx_stream_pool(s), (size_t)(n * r->kgroups), grid_items, r);
}

static void forward_prepare(const spx_conv2d_shape *d, bool plain, int threads, arena *a,
                            grid_run *r)
{
    r->b.isa = planar_isa();
    r->out_step = 1;
    spx_planar_grid_forward(d, &r->b.g);
    grid_take(r, plain, d->n, threads, a);
}

static void forward_run(spx_stream *s, const spx_conv2d_call *call)
{
    const spx_conv2d_shape *d = call->d;
    arena a = {call->workspace, 0};
    grid_run r = {.in = *call->in,
                  .w = call->w,
                  .w_out = d->c * d->r * d->s,
                  .w_in = d->r * d->s,
                  .ws = d->s,
                  .bias = call->bias,
                  .out = call->y,
                  .out_stride_n = call->y_stride_n};
    forward_prepare(d, is_plain(call->in), spx_stream_threads(s), &a, &r);
    grid_execute(s, &r, d->n);
}

/* One residue class of dx's rows and columns; false where no tap reaches it. */
static bool backward_prepare(const spx_conv2d_shape *d, int64_t phase, int threads, arena *a,
                             grid_run *r)
{
    r->b.isa = planar_isa();
    r->out_step = d->stride;
    r->i0 = phase / d->stride;
    r->j0 = phase % d->stride;
    r->out_h = d->h;
    r->out_w = d->w;
    if (r->i0 >= d->h || r->j0 >= d->w) {
        return true; /* empty */
    }
    spx_planar_grid_backward(d, r->i0, r->j0, &r->b.g);
    if (r->b.g.nr == 0 || r->b.g.ns == 0) {
        return false;
    }
    grid_take(r, true, d->n, threads, a);
    return true;
}

static void zero_images(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_conv2d_call *call = ctx;
    const spx_conv2d_shape *d = call->d;
    (void)worker;
    for (size_t n = begin; n < end; n++) {
        memset(call->dx + (int64_t)n * call->dx_stride_n, 0,
               (size_t)(d->c * d->h * d->w) * sizeof *call->dx);
    }
}

static void backward_data_run(spx_stream *s, const spx_conv2d_call *call)
{
    const spx_conv2d_shape *d = call->d;
    const int threads = spx_stream_threads(s);
    const int64_t phases = d->stride * d->stride;
    bool accumulate = call->accumulate;
    for (int64_t i = 0; i < phases && !accumulate; i++) {
        arena count = {NULL, 0};
        grid_run r = {0};
        if (!backward_prepare(d, i, threads, &count, &r)) {
            spx_conv2d_call whole = *call;
            spx_pool_run(spx_stream_pool(s), (size_t)d->n, zero_images, &whole);
            accumulate = true;
        }
    }
    for (int64_t i = 0; i < phases; i++) {
        arena a = {call->workspace, 0};
        grid_run r = {.in = {.x = call->dy, .stride_n = call->y_stride_n},
                      .w = call->w,
                      .w_out = d->r * d->s,
                      .w_in = d->c * d->r * d->s,
                      .ws = d->s,
                      .out = call->dx,
                      .out_stride_n = call->dx_stride_n,
                      .accumulate = accumulate};
        if (backward_prepare(d, i, threads, &a, &r) && r.b.taps > 0) {
            grid_execute(s, &r, d->n);
        }
    }
}

/* --- Backward-weights ------------------------------------------------------------------------- */

typedef struct dot_run {
    blocking b;
    spx_conv2d_input in;
    int64_t n;
    const float *dy;
    int64_t dy_stride_n;
    bool by_image;  /* threads share out the images; else the k blocks */
    float *partial; /* per thread: dw (k, c, taps), then dbias [k] */
    int64_t partial_floats, weights;
    bool accumulate;
    float *dw, *dbias;
    int64_t parts; /* partial sums that exist */
} dot_run;

/* dw rows of k blocks [kfirst, klast) += their products over one packed block. */
static void dot_all(const dot_run *r, spx_planar_dot *a, int64_t n0, int64_t kfirst, int64_t klast,
                    int64_t entries, float *dw)
{
    const blocking *b = &r->b;
    for (int64_t kblock = kfirst; kblock < klast; kblock++) {
        const int64_t k0 = spx_planar_cut(b->g.ko, b->kblocks, kblock);
        const int64_t kb = spx_planar_cut(b->g.ko, b->kblocks, kblock + 1) - k0;
        const int64_t blocks = spx_planar_ceil(entries, b->isa->max_pb[kb]);
        a->dy = r->dy + n0 * r->dy_stride_n + k0 * a->dy_plane;
        for (int64_t i = 0; i < blocks; i++) {
            const int64_t t0 = spx_planar_cut(entries, blocks, i);
            const int64_t t1 = spx_planar_cut(entries, blocks, i + 1);
            a->off = b->off + t0;
            a->dw = dw + k0 * a->dw_stride + t0;
            b->isa->dot[kb][t1 - t0](a);
        }
    }
}

static void bias_gradient(const dot_run *r, int64_t n0, int64_t n1, int64_t k0, int64_t k1,
                          float *dbias)
{
    const int64_t pixels = r->b.g.oh * r->b.g.ow;
    for (int64_t n = n0; n < n1; n++) {
        for (int64_t k = k0; k < k1; k++) {
            dbias[k] += r->b.isa->sum(r->dy + n * r->dy_stride_n + k * pixels, pixels);
        }
    }
}

static void dot_items(void *ctx, int worker, size_t begin, size_t end)
{
    const dot_run *r = ctx;
    const blocking *b = &r->b;
    const int64_t first = (int64_t)begin, last = (int64_t)end;
    const int64_t n_end = r->by_image ? last : r->n;
    const int64_t kfirst = r->by_image ? 0 : first, klast = r->by_image ? b->kblocks : last;
    const int64_t k0 = spx_planar_cut(b->g.ko, b->kblocks, kfirst);
    const int64_t k1 = spx_planar_cut(b->g.ko, b->kblocks, klast);
    float *dw = r->partial + (r->by_image ? worker * r->partial_floats : 0);
    const int64_t row = b->g.ci * b->taps;
    spx_planar_dot a = {.voff = b->voff,
                        .vectors = b->l.vectors,
                        .tail = b->l.tail,
                        .dy_plane = b->g.oh * b->g.ow,
                        .dy_image = r->dy_stride_n,
                        .dw_stride = row};
    memset(dw + k0 * row, 0, (size_t)((k1 - k0) * row) * sizeof *dw);
    memset(dw + r->weights + k0, 0, (size_t)(k1 - k0) * sizeof *dw);
    for (int64_t n0 = r->by_image ? first : 0; n0 < n_end; n0 += b->images) {
        const int64_t n1 = min64(n0 + b->images, n_end);
        a.images = n1 - n0;
        for (int64_t cb = 0; cb < b->cblocks; cb++) {
            const int64_t c0 = spx_planar_cut(b->g.ci, b->cblocks, cb);
            const int64_t c1 = spx_planar_cut(b->g.ci, b->cblocks, cb + 1);
            a.in = packed_input(b, worker, &r->in, n0, n1, c0, c1, &a.in_image);
            dot_all(r, &a, n0, kfirst, klast, (c1 - c0) * b->taps, dw + c0 * b->taps);
        }
        if (r->dbias != NULL) {
            bias_gradient(r, n0, n1, k0, k1, dw + r->weights);
        }
    }
}

/* The partial sums of all threads, in their order. */
static void reduce(const dot_run *r, int64_t at, int64_t count, float *dst)
{
    for (int64_t i = 0; i < count; i++) {
        float total = r->accumulate ? dst[i] : 0;
        for (int64_t t = 0; t < r->parts; t++) {
            total += r->partial[t * r->partial_floats + at + i];
        }
        dst[i] = total;
    }
}

static void reduce_items(void *ctx, int worker, size_t begin, size_t end)
{
    const dot_run *r = ctx;
    (void)worker;
    reduce(r, (int64_t)begin, (int64_t)(end - begin), r->dw + begin);
}

static void dot_prepare(const spx_conv2d_shape *d, bool plain, int threads, arena *a, dot_run *r)
{
    blocking *b = &r->b;
    b->isa = planar_isa();
    r->n = d->n;
    r->by_image = d->n >= threads;
    r->parts = r->by_image ? threads : 1;
    spx_planar_grid_forward(d, &b->g);
    const int64_t share = r->by_image ? spx_planar_ceil(d->n, threads) : d->n;
    const int64_t vectors = spx_planar_ceil(d->p * d->q, SPX_PLANAR_LANES);
    blocking_init(b, plain, min64(share, spx_planar_ceil(DOT_VECTORS, vectors)));
    blocking_take(b, a, threads);
    r->weights = d->k * d->c * b->taps;
    r->partial_floats = spx_planar_ceil(r->weights + d->k, 16) * 16;
    r->partial = take(a, r->parts * r->partial_floats, sizeof *r->partial);
}

static void backward_weights_run(spx_stream *s, const spx_conv2d_call *call)
{
    arena a = {call->workspace, 0};
    dot_run r = {.in = *call->in,
                 .dy = call->dy,
                 .dy_stride_n = call->y_stride_n,
                 .accumulate = call->accumulate,
                 .dw = call->dw,
                 .dbias = call->dbias};
    dot_prepare(call->d, is_plain(call->in), spx_stream_threads(s), &a, &r);
    spx_pool_run(spx_stream_pool(s), (size_t)(r.by_image ? r.n : r.b.kblocks), dot_items, &r);
    spx_pool_run(spx_stream_pool(s), (size_t)r.weights, reduce_items, &r);
    if (r.dbias != NULL) {
        reduce(&r, r.weights, call->d->k, r.dbias);
    }
}

/* --- The implementation's table --------------------------------------------------------------- */

static bool planar_supports(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    (void)d;
    (void)pass;
    return spx_stream_device(s) == SPX_DEVICE_CPU && planar_isa() != NULL;
}

/* The largest need over the phases, and over plain and normalised inputs. */
static size_t planar_workspace(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    const int threads = spx_stream_threads(s);
    size_t most = 0;
    const int64_t variants = pass == SPX_CONV2D_BACKWARD_DATA ? d->stride * d->stride : 2;
    for (int64_t i = 0; i < variants; i++) {
        arena count = {NULL, 0};
        grid_run grid = {0};
        dot_run dot = {0};
        if (pass == SPX_CONV2D_FORWARD) {
            forward_prepare(d, i == 0, threads, &count, &grid);
        } else if (pass == SPX_CONV2D_BACKWARD_WEIGHTS) {
            dot_prepare(d, i == 0, threads, &count, &dot);
        } else {
            (void)backward_prepare(d, i, threads, &count, &grid);
        }
        most = count.used > most ? count.used : most;
    }
    return most;
}

static spx_status planar_run(spx_stream *s, const spx_conv2d_call *call)
{
    assert(planar_isa() != NULL);
    switch (call->pass) {
    case SPX_CONV2D_FORWARD:
        forward_run(s, call);
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        backward_data_run(s, call);
        break;
    default:
        backward_weights_run(s, call);
        break;
    }
    return SPX_OK;
}

const spx_conv2d_impl spx_conv2d_planar = {planar_supports, planar_workspace, planar_run};
