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
typedef struct spx_planar_run {
    int64_t first, count, place, begin, end;
} spx_planar_run;

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
 * Lanes = pixels: padded with zeros. Where rows of output are whole vectors, all taps share one set
 * of lines, a few floats wider than the output. Otherwise each tap column gets lines of its own,
 * exactly as wide as the output, so that output pixels can be taken 8 at a time across row ends.
 * Lanes = images: the plane with 8 images side by side in each pixel. Outputs are sorted into
 * classes that reach the same taps inside the image, so nothing is padded and no product with a
 * padding zero is made.
 */
typedef struct spx_planar_layout {
    bool images;   /* lanes are images */
    bool direct;   /* 1x1 on whole vectors of pixels: the image itself, nothing is packed */
    bool shared;   /* taps share lines */
    int64_t plane; /* floats per channel */
    int64_t pitch, lines;
    int64_t tap_line[SPX_PLANAR_MAX_TAPS], tap_col[SPX_PLANAR_MAX_TAPS];
    spx_planar_run row_run[SPX_PLANAR_MAX_TAPS], col_run[SPX_PLANAR_MAX_TAPS];
    int row_runs, col_runs;
    spx_planar_span rows[SPX_PLANAR_MAX_SPANS], cols[SPX_PLANAR_MAX_SPANS];
    int row_spans, col_spans;
    int64_t vectors; /* of outputs */
    int tail;        /* lanes of the last one, 1..8 */
} spx_planar_layout;

/** What the kernels read, in caller's memory of the counts below. */
typedef struct spx_planar_tables {
    int64_t classes, taps, vectors; /* counts */
    spx_planar_class *cls;
    spx_planar_tap *tap;
    int64_t *voff; /* [vectors] from a channel's start */
    int64_t *pos;  /* [vectors] lanes = images: the vector of each output pixel */
} spx_planar_tables;

/** The grid of the forward pass. */
void spx_planar_grid_forward(const spx_conv2d_shape *d, spx_planar_grid *g);

/** The grid of input rows i0, i0 + stride, .. and columns j0, ..; i0 < h, j0 < w, both < stride. */
void spx_planar_grid_backward(const spx_conv2d_shape *d, int64_t i0, int64_t j0,
                              spx_planar_grid *g);

/** Outputs along one axis, [*first, *last), whose input through a tap at position at lies in the
 * image. */
void spx_planar_reach(int64_t at, int64_t step, int64_t inputs, int64_t outputs, int64_t *first,
                      int64_t *last);

/** Products of one output and one input plane, without those with padding. */
int64_t spx_planar_products(const spx_planar_layout *l);

/**
 * Chooses the lanes by counting cycles, and lays out the input.
 * @param images of the batch; 0 rules out lanes = images
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
                             const spx_planar_layout *l, const float *src, spx_planar_affine f,
                             float *dst);

/** n things cut into parts that differ by at most one, the larger ones first. */
typedef struct spx_planar_cut {
    int64_t parts, size, larger; /* the first larger parts have size + 1 */
} spx_planar_cut;

static inline spx_planar_cut spx_planar_cut_in(int64_t n, int64_t parts)
{
    return (spx_planar_cut){parts, n / parts, n % parts};
}

/** First thing of part i; of part parts: n. */
static inline int64_t spx_planar_at(const spx_planar_cut *c, int64_t i)
{
    return i * c->size + (i < c->larger ? i : c->larger);
}

/** Things in the largest part. */
static inline int64_t spx_planar_most(const spx_planar_cut *c)
{
    return c->size + (c->larger > 0);
}

static inline int64_t spx_planar_ceil(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/**
 * Floats from plane to plane where 8 images lie in the lanes: an odd number of cache lines, so that
 * the same pixel of many channels does not fall into a few sets of the cache.
 */
static inline int64_t spx_planar_lanes_plane(int64_t pixels)
{
    return (spx_planar_ceil(pixels, 2) | 1) * 2 * SPX_PLANAR_LANES;
}

#endif
