#ifndef SPX_NN_CONV2D_PLANAR_BLOCK_H
#define SPX_NN_CONV2D_PLANAR_BLOCK_H
/* Private: how the planar passes are cut to fit registers, caches and threads. */
#include "kernels/nn/conv2d/planar/conv2d_planar_geometry_private.h"

/** One grid and its blocking. Items are images, or groups of 8 where elements are images. */
typedef struct spx_planar_block {
    const spx_planar_isa *isa;
    spx_planar_grid g;
    spx_planar_layout l;
    int64_t n, items;    /* of the batch */
    int64_t taps;        /* of one channel */
    spx_conv2d_cut k, c; /* blocks of output and of input channels */
    float *pack;         /* packed input: a buffer per thread, pack_floats apart */
    int64_t pack_floats;
} spx_planar_block;

/** The kernels that this processor runs; NULL if none. */
const spx_planar_isa *spx_planar_isa_now(void);

/**
 * Completes b, whose kernels, grid, layout and batch size are set.
 * @param items  packed together, >= 1
 */
void spx_planar_block_init(spx_planar_block *b, int64_t items, int threads, spx_conv2d_arena *a);

/** Images of an item, 1 or up to 8, from *first. */
int spx_planar_images(const spx_planar_block *b, int64_t item, int64_t *first);

/**
 * Zeroes the worker's pack buffer, before its first use in a call: the padding between the packed
 * pixels, and past the last plane, where elements are read but multiplied by zero or dropped.
 */
void spx_planar_clear_pack(const spx_planar_block *b, int worker);

/** Channels [c0, c1) of items [i0, i1) in the form the kernels read; *distance from
 * item to item. */
const float *spx_planar_packed(const spx_planar_block *b, int worker, const spx_conv2d_input *in,
                               int64_t i0, int64_t i1, int64_t c0, int64_t c1, int64_t *distance);

static inline bool spx_planar_plain(const spx_conv2d_input *in)
{
    return in->mean == NULL && !in->relu;
}

/** An input from channel c on, of planes of the given pixels. */
spx_conv2d_input spx_planar_slice(const spx_conv2d_input *in, int64_t c, int64_t pixels);

/** The passes, and the most workspace each may take. */
size_t spx_planar_forward_bytes(const spx_conv2d_shape *d, int threads);
size_t spx_planar_backward_data_bytes(const spx_conv2d_shape *d, int threads);
size_t spx_planar_backward_weights_bytes(const spx_conv2d_shape *d, int threads);
void spx_planar_forward(spx_stream *s, const spx_conv2d_call *call);
void spx_planar_backward_data(spx_stream *s, const spx_conv2d_call *call);
void spx_planar_backward_weights(spx_stream *s, const spx_conv2d_call *call);

#endif
