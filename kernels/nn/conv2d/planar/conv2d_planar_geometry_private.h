#ifndef SPX_NN_CONV2D_PLANAR_GEOMETRY_H
#define SPX_NN_CONV2D_PLANAR_GEOMETRY_H
/*
 * Private: the geometry of the planar passes. Forward, and backward-data for each phase of its
 * stride, are the same thing, a GRID: a dense (oh, ow) plane of outputs per output channel, where
 * output (i, j) reads input (row[r] + step * i, col[s] + step * j) through tap (r, s); outside the
 * image there are zeros. Backward-weights reads its input through the same grid as forward.
 */
#include "kernels/nn/conv2d/conv2d_private.h"
#include "kernels/nn/conv2d/planar/conv2d_planar_private.h"

#define SPX_PLANAR_MAX_TAPS SPX_CONV2D_MAX_FILTER

typedef struct spx_planar_grid {
    int64_t ci, ko; /* input and output channels */
    int64_t ih, iw, oh, ow, step;
    int nr, ns; /* taps; 0 where no tap reaches this phase */
    int64_t row[SPX_PLANAR_MAX_TAPS], col[SPX_PLANAR_MAX_TAPS];
    int filter_row[SPX_PLANAR_MAX_TAPS], filter_col[SPX_PLANAR_MAX_TAPS];
} spx_planar_grid;

/**
 * Inputs first, first + step, .. that serve the taps of one residue of the step, side by side from
 * place; only the j in [begin, end) lie in the image.
 */
typedef struct spx_planar_strip {
    int64_t first, count, place, begin, end;
} spx_planar_strip;

/** Outputs first .. first + count - 1 of a row or column, which read the image through taps t0 ..
 * t1 - 1 only. */
typedef struct spx_planar_span {
    int64_t first, count;
    int t0, t1;
} spx_planar_span;

#define SPX_PLANAR_MAX_SPANS (2 * SPX_PLANAR_MAX_TAPS + 1)

/** Outputs that share a list of taps. */
typedef struct spx_planar_class {
    int64_t first, count; /* vectors */
    const spx_planar_tap *tap;
    int64_t taps;
} spx_planar_class;

/*
 * How one input channel lies in the packed buffer.
 * Elements = pixels: padded with zeros. Where rows of output are whole vectors, all taps share one
 * set of lines, a few floats wider than the output. Otherwise each tap column gets lines of its
 * own, exactly as wide as the output: output pixels can be taken 8 at a time across row ends.
 * Elements = images: the plane with 8 images side by side in each pixel. Outputs are sorted into
 * classes that reach the same taps inside the image, so nothing is padded and no product with a
 * padding zero is made.
 */
typedef struct spx_planar_layout {
    bool images;   /* elements are images */
    bool direct;   /* 1x1 on whole vectors of pixels: the image itself, nothing is packed */
    bool shared;   /* taps share lines */
    int64_t plane; /* floats per channel */
    int64_t pitch, lines;
    int64_t tap_line[SPX_PLANAR_MAX_TAPS], tap_col[SPX_PLANAR_MAX_TAPS];
    spx_planar_strip row_strip[SPX_PLANAR_MAX_TAPS], col_strip[SPX_PLANAR_MAX_TAPS];
    int row_strips, col_strips;
    spx_planar_span rows[SPX_PLANAR_MAX_SPANS], cols[SPX_PLANAR_MAX_SPANS];
    int row_spans, col_spans;
    int64_t vectors; /* of outputs */
    int tail;        /* elements of the last one, 1..8 */
} spx_planar_layout;

/** What the kernels read, in caller's memory of the counts below. */
typedef struct spx_planar_tables {
    int64_t classes, taps, vectors; /* counts */
    spx_planar_class *cls;
    spx_planar_tap *tap;
    int64_t *voff; /* [vectors] from a channel's start */
    int64_t *pos;  /* [vectors] elements = images: the vector of each output pixel */
} spx_planar_tables;

/** The grid of the forward pass. */
void spx_planar_grid_forward(const spx_conv2d_shape *d, spx_planar_grid *g);

/** The grid of input rows i0, i0 + stride, .. and columns j0, ..; i0 < h, j0 < w, both < stride. */
void spx_planar_grid_backward(const spx_conv2d_shape *d, int64_t i0, int64_t j0,
                              spx_planar_grid *g);

/** Products of one output and one input plane, without those with padding. */
int64_t spx_planar_products(const spx_planar_layout *l);

/**
 * Chooses the elements by counting cycles, and lays out the input.
 * @param images of the batch; 0 rules out elements = images
 * @param plain the input carries neither normalisation nor ReLU
 */
void spx_planar_layout_init(const spx_planar_grid *g, int64_t images, bool plain,
                            spx_planar_layout *l);

/** The sizes of the tables for blocks of up to channels input channels. */
void spx_planar_tables_count(const spx_planar_grid *g, const spx_planar_layout *l, int64_t channels,
                             spx_planar_tables *t);

/** Fills them. With one tap in all, a class lists the block's channels; else the taps of one
 * channel. */
void spx_planar_tables_fill(const spx_planar_grid *g, const spx_planar_layout *l, int64_t channels,
                            spx_planar_tables *t);

/** Offset of tap (r, s) from an output's vector. */
int64_t spx_planar_tap_offset(const spx_planar_grid *g, const spx_planar_layout *l, int r, int s);

/** Packs one channel, src (ih, iw), into dst [plane], whose padding is zero and stays so. */
void spx_planar_pack_channel(const spx_planar_isa *isa, const spx_planar_grid *g,
                             const spx_planar_layout *l, const float *src, spx_conv2d_affine f,
                             float *dst);

/**
 * Floats from plane to plane where the elements are 8 images: an odd number of cache lines, so that
 * the same pixel of many channels does not fall into a few sets of the cache.
 */
static inline int64_t spx_planar_elements_plane(int64_t pixels)
{
    return (spx_conv2d_ceil(pixels, 2) | 1) * 2 * SPX_CONV2D_VECTOR;
}

#endif
