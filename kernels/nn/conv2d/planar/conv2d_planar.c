/* The planar convolution: choice of kernels, blocking and packing. */
#include "kernels/base/alloc.h"
#include "kernels/base/cpu.h"
#include "kernels/nn/conv2d/planar/conv2d_planar_block_private.h"

#include <assert.h>
#include <string.h>

/* Packed input that one thread works on at a time: a part of a second-level cache. */
#define PACK_FLOATS ((int64_t)64 * 1024)
/* A block of input channels brings at least this many products per output, or else loading and
 * storing the outputs once per block would show. */
#define MIN_PRODUCTS 128

const spx_planar_isa *spx_planar_isa_now(void)
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

void *spx_planar_take(spx_planar_arena *a, int64_t count, size_t size)
{
    void *p = a->base != NULL ? a->base + a->used : NULL;
    const size_t bytes = (size_t)count * size;
    a->used += (bytes + SPX_ALIGN - 1) / SPX_ALIGN * SPX_ALIGN;
    return p;
}

void spx_planar_block_init(spx_planar_block *b, int64_t items, int threads, spx_planar_arena *a)
{
    b->taps = (int64_t)b->g.nr * b->g.ns;
    b->items = b->l.images ? spx_planar_ceil(b->n, SPX_PLANAR_LANES) : b->n;
    b->k = spx_planar_cut_in(b->g.ko, spx_planar_ceil(b->g.ko, b->isa->max_kb));
    const int64_t fits = PACK_FLOATS / (items * b->l.plane);
    const int64_t least = spx_planar_ceil(MIN_PRODUCTS, b->taps);
    b->c = spx_planar_cut_in(b->g.ci, spx_planar_ceil(b->g.ci, fits > least ? fits : least));
    b->pack_floats =
        b->l.direct ? 0 : items * spx_planar_most(&b->c) * b->l.plane + SPX_PLANAR_SLACK;
    b->pack_floats = spx_planar_ceil(b->pack_floats, 16) * 16;
    b->pack = spx_planar_take(a, threads * b->pack_floats, sizeof *b->pack);
}

int spx_planar_images(const spx_planar_block *b, int64_t item, int64_t *first)
{
    *first = b->l.images ? item * SPX_PLANAR_LANES : item;
    const int64_t left = b->n - *first;
    return !b->l.images ? 1 : left < SPX_PLANAR_LANES ? (int)left : SPX_PLANAR_LANES;
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

static void pack_one(const spx_planar_block *b, const spx_conv2d_input *in, int64_t item, int64_t c,
                     float *dst)
{
    int64_t first;
    const int images = spx_planar_images(b, item, &first);
    const int64_t pixels = b->g.ih * b->g.iw;
    const float *src = in->x + first * in->stride_n + c * pixels;
    if (!b->l.images) {
        spx_planar_pack_channel(b->isa, &b->g, &b->l, src, affine_of(in, c), dst);
        return;
    }
    const spx_planar_turn turn = {.src = src,
                                  .dst = dst,
                                  .image_stride = in->stride_n,
                                  .images = images,
                                  .pixels = pixels,
                                  .f = affine_of(in, c)};
    b->isa->gather(&turn);
}

void spx_planar_clear_pack(const spx_planar_block *b, int worker)
{
    if (!b->l.images) {
        memset(b->pack + worker * b->pack_floats, 0, (size_t)b->pack_floats * sizeof *b->pack);
    }
}

const float *spx_planar_packed(const spx_planar_block *b, int worker, const spx_conv2d_input *in,
                               int64_t i0, int64_t i1, int64_t c0, int64_t c1, int64_t *distance)
{
    if (b->l.direct) {
        *distance = in->stride_n;
        return in->x + i0 * in->stride_n + c0 * b->g.ih * b->g.iw;
    }
    float *const buffer = b->pack + worker * b->pack_floats;
    float *dst = buffer;
    *distance = (c1 - c0) * b->l.plane;
    for (int64_t i = i0; i < i1; i++) {
        for (int64_t c = c0; c < c1; c++, dst += b->l.plane) {
            pack_one(b, in, i, c, dst);
        }
    }
    return buffer;
}

static bool planar_supports(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    (void)d;
    (void)pass;
    return spx_stream_device(s) == SPX_DEVICE_CPU && spx_planar_isa_now() != NULL;
}

static size_t planar_workspace(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    const int threads = spx_stream_threads(s);
    switch (pass) {
    case SPX_CONV2D_FORWARD:
        return spx_planar_forward_bytes(d, threads);
    case SPX_CONV2D_BACKWARD_DATA:
        return spx_planar_backward_data_bytes(d, threads);
    default:
        return spx_planar_backward_weights_bytes(d, threads);
    }
}

static spx_status planar_run(spx_stream *s, const spx_conv2d_call *call)
{
    assert(spx_planar_isa_now() != NULL);
    switch (call->pass) {
    case SPX_CONV2D_FORWARD:
        spx_planar_forward(s, call);
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        spx_planar_backward_data(s, call);
        break;
    default:
        spx_planar_backward_weights(s, call);
        break;
    }
    return SPX_OK;
}

const spx_conv2d_impl spx_conv2d_planar = {planar_supports, planar_workspace, planar_run};
