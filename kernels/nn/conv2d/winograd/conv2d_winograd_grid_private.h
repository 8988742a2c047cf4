#ifndef SPX_NN_CONV2D_WINOGRAD_GRID_H
#define SPX_NN_CONV2D_WINOGRAD_GRID_H
/*
 * Private: the geometry of the Winograd passes. Output (i, j) reads padded inputs (i + dilation *
 * r, j + dilation * s), r, s < taps; rows of dilation-many residues are PHASES, each a dense
 * convolution of its own. A LINE is a row of tiles of one row phase and all column phases.
 */
#include "kernels/nn/conv2d/conv2d_private.h"
#include "kernels/nn/conv2d/winograd/conv2d_winograd_private.h"

typedef struct spx_wino_grid {
    int64_t n, groups; /* images; groups of 8 */
    int64_t ci, ih, iw, ko, oh, ow;
    int64_t dilation, pad;    /* zero rows above and columns left */
    int taps, alpha, scheme;  /* scheme: index of the kernels' transforms */
    int64_t tiles_y, tiles_x; /* of one phase */
    int64_t lines, line_tiles;
    int64_t phase_rows, cols; /* padded rows of one phase; padded columns of all */
} spx_wino_grid;

/** The kernels that this processor runs; NULL if none. */
const spx_wino_isa *spx_wino_isa_now(void);

bool spx_wino_fits(const spx_conv2d_shape *d);
void spx_wino_grid_forward(const spx_conv2d_shape *d, spx_wino_grid *g);
void spx_wino_grid_backward(const spx_conv2d_shape *d, spx_wino_grid *g);

/** The filter's transform, [alpha][taps], which completes those of the kernels. */
void spx_wino_filter_matrix(const spx_wino_grid *g, double m[][SPX_WINO_MAX_TAPS]);

/** First of the alpha padded rows of a line; rows of all phases are counted one after another. */
static inline int64_t spx_wino_line_row(const spx_wino_grid *g, int64_t line)
{
    return line / g->tiles_y * g->phase_rows + line % g->tiles_y * SPX_WINO_TILE;
}

/** Normalisation and ReLU of all channels, f [ci]. */
void spx_wino_affines(const spx_wino_grid *g, const spx_conv2d_input *in, spx_conv2d_affine *f);

/**
 * Padded row v (counted as by spx_wino_line_row) to dst [cols] vectors.
 * @param of  src (row 0 of the planes), stride, planes and f; the rest is overwritten
 */
void spx_wino_gather_row(const spx_wino_isa *isa, const spx_wino_grid *g,
                         const spx_wino_transpose *of, int64_t v, float *dst);

/** Floats that are an odd number of cache lines, so that a run of such steps reaches all sets. */
static inline int64_t spx_wino_odd_lines(int64_t floats)
{
    return (spx_conv2d_ceil(floats, 16) | 1) * 16;
}

/** The passes. */
size_t spx_wino_forward_bytes(const spx_conv2d_shape *d, int threads);
size_t spx_wino_backward_data_bytes(const spx_conv2d_shape *d, int threads);
size_t spx_wino_backward_weights_bytes(const spx_conv2d_shape *d, int threads);
void spx_wino_forward(spx_stream *s, const spx_conv2d_call *call);
void spx_wino_backward_data(spx_stream *s, const spx_conv2d_call *call);
void spx_wino_backward_weights(spx_stream *s, const spx_conv2d_call *call);

#endif
