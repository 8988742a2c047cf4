/* The Winograd convolution: where it pays, and what it offers to the dispatch. */
#include "kernels/nn/conv2d/winograd/conv2d_winograd_grid_private.h"

#include <assert.h>
#include <math.h>

/* Pairs of outputs and taps along one axis that meet a pixel. */
static double meetings(const spx_conv2d_shape *d, int64_t inputs, int64_t outputs)
{
    int64_t sum = 0;
    for (int64_t t = 0; t < d->r; t++) {
        int64_t first, last;
        spx_conv2d_reach(t * d->dilation - d->pad_begin, 1, inputs, outputs, &first, &last);
        sum += last - first;
    }
    return (double)sum;
}

/*
 * Cycles per 8 images of both, as measured on one core with 32 registers. PLANAR: 0.55 per vector
 * of products, without those with padding where its elements are images. Here: 0.6 per product, of
 * which there are fewer; 170 (3 taps) or 270 (5) to transform a tile of a channel in or out; and
 * once per call 80 or 170 per filter.
 */
static bool pays(const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    spx_wino_grid g;
    (pass == SPX_CONV2D_BACKWARD_DATA ? spx_wino_grid_backward : spx_wino_grid_forward)(d, &g);
    const double n = (double)d->n / SPX_CONV2D_VECTOR, groups = (double)g.groups;
    const double c = (double)g.ci, k = (double)g.ko, tiles = (double)(g.lines * g.line_tiles);
    const double points = g.alpha * g.alpha, taps = g.taps * g.taps;
    const double by_pixel = n * taps * (double)(g.oh * g.ow);
    const double by_image = groups * meetings(d, d->h, d->p) * meetings(d, d->w, d->q);
    const double direct = 0.55 * c * k * (by_pixel < by_image ? by_pixel : by_image);
    const double transform = g.taps == 3 ? 170 : 270, filter = g.taps == 3 ? 80 : 170;
    if (pass != SPX_CONV2D_BACKWARD_WEIGHTS) {
        return groups * tiles * (0.6 * points * c * k + transform * (c + k)) + filter * c * k <
               direct;
    }
    const double c_up = ceil(c / SPX_CONV2D_VECTOR) * SPX_CONV2D_VECTOR;
    const double k_up = ceil(k / SPX_CONV2D_VECTOR) * SPX_CONV2D_VECTOR;
    const double pairs = c_up * k < k_up * c ? c_up * k : k_up * c;
    return n * tiles * (0.6 * points * pairs + transform * (c_up + k_up)) + filter * pairs < direct;
}

static bool supports(const spx_conv2d_shape *d)
{
    return d->groups == 1 && spx_wino_isa_now() != NULL && spx_wino_fits(d);
}

/* Rounding averages out over channels: with fewer than these it reached 3e-5 in a gradient, against
 * 1e-5 asked of the engine, for little or no gain in time. */
#define LEAST_CHANNELS 4

static bool worth(const spx_conv2d_shape *d)
{
    return d->c >= LEAST_CHANNELS && d->k >= LEAST_CHANNELS;
}

static size_t workspace(const spx_conv2d_shape *d, spx_conv2d_pass pass, int threads)
{
    switch (pass) {
    case SPX_CONV2D_FORWARD:
        return spx_wino_forward_bytes(d, threads);
    case SPX_CONV2D_BACKWARD_DATA:
        return spx_wino_backward_data_bytes(d, threads);
    default:
        return spx_wino_backward_weights_bytes(d, threads);
    }
}

static void run(spx_stream *s, const spx_conv2d_call *call)
{
    assert(supports(call->d));
    switch (call->pass) {
    case SPX_CONV2D_FORWARD:
        spx_wino_forward(s, call);
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        spx_wino_backward_data(s, call);
        break;
    default:
        spx_wino_backward_weights(s, call);
        break;
    }
}

const spx_conv2d_algorithm spx_conv2d_winograd = {.name = "winograd",
                                                  .supports = supports,
                                                  .pays = pays,
                                                  .worth = worth,
                                                  .workspace = workspace,
                                                  .run = run};
