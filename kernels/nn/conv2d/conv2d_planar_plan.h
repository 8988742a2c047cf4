#ifndef SPX_NN_CONV2D_PLANAR_PLAN_H
#define SPX_NN_CONV2D_PLANAR_PLAN_H
/*
 * Private: the geometry of the planar passes. Forward, and backward-data for each phase of its
 * stride, are the same thing, a GRID: a dense (oh, ow) plane of outputs per output channel, where
 * output (i, j) reads input (row[r] + step * i, col[s] + step * j) through tap (r, s); outside the
 * image there are zeros. Backward-weights reads its input through the same grid as forward.
 */
#include "kernels/nn/conv2d/conv2d_impl.h"
#include "kernels/nn/conv2d/conv2d_planar.h"

#define SPX_PLANAR_MAX_TAPS SPX_CONV2D_MAX_FILTER

typedef struct spx_planar_grid {
    int64_t ci, ko; /* input and output channels */
    int64_t ih, iw, oh, ow, step;
    int nr, ns; /* taps; 0 where no tap reaches this phase */
    int64_t row[SPX_PLANAR_MAX_TAPS], col[SPX_PLANAR_MAX_TAPS];
    int filter_row[SPX_PLANAR_MAX_TAPS], filter_col[SPX_PLANAR_MAX_TAPS];
} spx_planar_grid;

/** Rows packed for the taps of one residue of the step. */
typedef struct spx_planar_group {
    int64_t first; /* input row of the first line */
    int64_t lines, line;
} spx_planar_group;

/*
 * How one input channel lies in the packed buffer. Where rows of output are whole vectors, all taps
 * share one set of lines, a few floats wider than the output. Otherwise each tap column gets lines
 * of its own, exactly as wide as the output, so that output pixels can be taken 8 at a time across
 * row ends.
 */
typedef struct spx_planar_layout {
    bool direct;   /* 1x1 on whole vectors: the image itself, nothing is packed */
    bool shared;   /* taps share lines */
    int64_t plane; /* floats per channel */
    int64_t pitch, lines;
    int64_t tap_line[SPX_PLANAR_MAX_TAPS], tap_col[SPX_PLANAR_MAX_TAPS];
    spx_planar_group group[SPX_PLANAR_MAX_TAPS];
    spx_planar_segment segment[SPX_PLANAR_MAX_TAPS];
    int groups, segments;
    int64_t vectors; /* of output pixels */
    int tail;        /* lanes of the last one, 1..8 */
} spx_planar_layout;

/** The grid of the forward pass. */
void spx_planar_grid_forward(const spx_conv2d_shape *d, spx_planar_grid *g);

/** The grid of input rows i0, i0 + stride, .. and columns j0, ..; i0 < h, j0 < w, both < stride. */
void spx_planar_grid_backward(const spx_conv2d_shape *d, int64_t i0, int64_t j0,
                              spx_planar_grid *g);

/** @param plain the input carries neither normalisation nor ReLU */
void spx_planar_layout_init(const spx_planar_grid *g, bool plain, spx_planar_layout *l);

/** off[c * taps + t] for channels 0..channels of a block: tap t of channel c from the block's
 * start. */
void spx_planar_tap_offsets(const spx_planar_grid *g, const spx_planar_layout *l, int64_t channels,
                            int64_t *off);

/** voff[v]: pixel 8 * v from an output plane's first pixel. */
void spx_planar_vector_offsets(const spx_planar_grid *g, const spx_planar_layout *l, int64_t *voff);

/** Packs one channel, src (ih, iw), to dst [plane]; up to 7 floats past its end are overwritten. */
void spx_planar_pack_channel(const spx_planar_isa *isa, const spx_planar_grid *g,
                             const spx_planar_layout *l, const float *src, spx_planar_affine f,
                             float *dst);

/** First of part i when n things are cut into parts that differ by at most one. */
static inline int64_t spx_planar_cut(int64_t n, int64_t parts, int64_t i)
{
    const int64_t q = n / parts, r = n % parts;
    return i * q + (i < r ? i : r);
}

static inline int64_t spx_planar_ceil(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

#endif
