/* Choice of kernels, blocking and packing, which the planar passes share. */
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

void spx_planar_block_init(spx_planar_block *b, int64_t items, int threads, spx_conv2d_arena *a)
{
    assert(items >= 1 && threads >= 1);
    b->taps = (int64_t)b->g.nr * b->g.ns;
    b->items = b->l.images ? spx_conv2d_ceil(b->n, SPX_CONV2D_VECTOR) : b->n;
    b->k = spx_conv2d_cut_in(b->g.ko, spx_conv2d_ceil(b->g.ko, b->isa->max_kb));
    const int64_t fits = PACK_FLOATS / (items * b->l.plane);
    const int64_t least = spx_conv2d_ceil(MIN_PRODUCTS, b->taps);
    b->c = spx_conv2d_cut_in(b->g.ci, spx_conv2d_ceil(b->g.ci, fits > least ? fits : least));
    b->pack_floats =
        b->l.direct ? 0 : items * spx_conv2d_cut_most(&b->c) * b->l.plane + SPX_PLANAR_SLACK;
    b->pack_floats = spx_conv2d_ceil(b->pack_floats, 16) * 16;
    b->pack = spx_conv2d_take(a, threads * b->pack_floats, sizeof *b->pack);
}

int spx_planar_images(const spx_planar_block *b, int64_t item, int64_t *first)
{
    *first = b->l.images ? item * SPX_CONV2D_VECTOR : item;
    const int64_t left = b->n - *first;
    return !b->l.images ? 1 : left < SPX_CONV2D_VECTOR ? (int)left : SPX_CONV2D_VECTOR;
}

static void pack_one(const spx_planar_block *b, const spx_conv2d_input *in, int64_t item, int64_t c,
                     float *dst)
{
    int64_t first;
    const int images = spx_planar_images(b, item, &first);
    const int64_t pixels = b->g.ih * b->g.iw;
    const float *src = spx_image(in->x, first) + c * pixels;
    if (!b->l.images) {
        spx_planar_pack_channel(b->isa, &b->g, &b->l, src, spx_conv2d_affine_of(in, c), dst);
        return;
    }
    const spx_planar_transpose move = {.src = src,
                                       .dst = dst,
                                       .image_stride = in->x.stride,
                                       .images = images,
                                       .pixels = pixels,
                                       .f = spx_conv2d_affine_of(in, c)};
    b->isa->gather(&move);
}

void spx_planar_clear_pack(const spx_planar_block *b, int worker)
{
    if (!b->l.images) {
        memset(b->pack + worker * b->pack_floats, 0, (size_t)b->pack_floats * sizeof *b->pack);
    }
}

spx_conv2d_input spx_planar_slice(const spx_conv2d_input *in, int64_t c, int64_t pixels)
{
    spx_conv2d_input part = *in;
    part.x.data = spx_image(in->x, 0) + c * pixels;
    part.mean = in->mean != NULL ? in->mean + c : NULL;
    part.invstd = in->invstd != NULL ? in->invstd + c : NULL;
    part.gamma = in->gamma != NULL ? in->gamma + c : NULL;
    part.beta = in->beta != NULL ? in->beta + c : NULL;
    return part;
}

const float *spx_planar_packed(const spx_planar_block *b, int worker, const spx_conv2d_input *in,
                               int64_t i0, int64_t i1, int64_t c0, int64_t c1, int64_t *distance)
{
    if (b->l.direct) {
        *distance = in->x.stride;
        return spx_image(in->x, i0) + c0 * b->g.ih * b->g.iw;
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
