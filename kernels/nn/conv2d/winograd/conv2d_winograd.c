/* The Winograd convolution: which shapes it takes, their geometry, and the filter's transform. */
#include "kernels/base/cpu.h"
#include "kernels/nn/conv2d/winograd/conv2d_winograd_grid_private.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* The finite points of the kernels' transforms; one more lies at infinity. */
static const double points3[] = {0, 1, -1, 0.5, -2};
static const double points5[] = {0, 1, -1, 2, -2, 0.5, -0.5};

const spx_wino_isa *spx_wino_isa_now(void)
{
    switch (spx_cpu_isa()) {
    case SPX_ISA_AVX512VL:
        return &spx_wino_avx512vl;
    case SPX_ISA_AVX2:
        return &spx_wino_avx2;
    default:
        return NULL;
    }
}

bool spx_wino_fits(const spx_conv2d_shape *d)
{
    return d->r == d->s && (d->r == 3 || d->r == 5) && d->stride == 1 && d->dilation <= 2;
}

static void complete(const spx_conv2d_shape *d, spx_wino_grid *g)
{
    g->n = d->n;
    g->groups = spx_planar_ceil(d->n, SPX_WINO_LANES);
    g->dilation = d->dilation;
    g->taps = (int)d->r;
    g->alpha = SPX_WINO_TILE + g->taps - 1;
    g->scheme = g->taps == 3 ? 0 : 1;
    g->tiles_y = spx_planar_ceil(g->oh, g->dilation * SPX_WINO_TILE);
    g->tiles_x = spx_planar_ceil(g->ow, g->dilation * SPX_WINO_TILE);
    g->lines = g->dilation * g->tiles_y;
    g->line_tiles = g->dilation * g->tiles_x;
    g->phase_rows = SPX_WINO_TILE * g->tiles_y + g->taps - 1;
    g->cols = g->dilation * (SPX_WINO_TILE * g->tiles_x + g->taps - 1);
}

void spx_wino_grid_forward(const spx_conv2d_shape *d, spx_wino_grid *g)
{
    *g = (spx_wino_grid){.ci = d->c,
                         .ih = d->h,
                         .iw = d->w,
                         .ko = d->k,
                         .oh = d->p,
                         .ow = d->q,
                         .pad = d->pad_begin};
    complete(d, g);
}

void spx_wino_grid_backward(const spx_conv2d_shape *d, spx_wino_grid *g)
{
    *g = (spx_wino_grid){.ci = d->k,
                         .ih = d->p,
                         .iw = d->q,
                         .ko = d->c,
                         .oh = d->h,
                         .ow = d->w,
                         .pad = d->dilation * (d->r - 1) - d->pad_begin};
    complete(d, g);
}

void spx_wino_filter_matrix(const spx_wino_grid *g, double m[][SPX_WINO_MAX_TAPS])
{
    const double *p = g->taps == 3 ? points3 : points5;
    const int finite = g->alpha - 1;
    for (int i = 0; i < finite; i++) {
        double term = 1;
        for (int j = 0; j < finite; j++) {
            term /= j == i ? 1 : p[i] - p[j];
        }
        for (int j = 0; j < g->taps; j++, term *= p[i]) {
            m[i][j] = term;
        }
    }
    for (int j = 0; j < g->taps; j++) {
        m[finite][j] = j == g->taps - 1 ? 1 : 0;
    }
}

void spx_wino_affines(const spx_wino_grid *g, const spx_conv2d_input *in, spx_planar_affine *f)
{
    for (int64_t c = 0; c < g->ci; c++) {
        f[c] = (spx_planar_affine){.relu = in->relu, .scale = 1};
        if (in->mean != NULL) {
            f[c].affine = true;
            f[c].mean = in->mean[c];
            f[c].scale = in->invstd[c] * (in->gamma != NULL ? in->gamma[c] : 1);
            f[c].shift = in->beta != NULL ? in->beta[c] : 0;
        }
    }
}

void spx_wino_gather_row(const spx_wino_isa *isa, const spx_wino_grid *g, const spx_wino_turn *turn,
                         int64_t v, float *dst)
{
    const int64_t row = v % g->phase_rows * g->dilation + v / g->phase_rows - g->pad;
    const int64_t first = g->pad < 0 ? -g->pad : 0;
    const int64_t last = g->iw < g->cols - g->pad ? g->iw : g->cols - g->pad;
    if (row < 0 || row >= g->ih || first >= last) {
        memset(dst, 0, (size_t)(g->cols * 8) * sizeof *dst);
        return;
    }
    spx_wino_turn t = *turn;
    t.src += row * g->iw + first;
    t.dst = dst + (first + g->pad) * 8;
    t.count = last - first;
    memset(dst, 0, (size_t)((first + g->pad) * 8) * sizeof *dst);
    memset(dst + (last + g->pad) * 8, 0, (size_t)((g->cols - last - g->pad) * 8) * sizeof *dst);
    isa->gather(&t);
}

/* Pairs of outputs and taps along one axis that meet a pixel. */
static double meetings(const spx_conv2d_shape *d, int64_t inputs, int64_t outputs)
{
    int64_t sum = 0;
    for (int64_t t = 0; t < d->r; t++) {
        int64_t first, last;
        spx_planar_reach(t * d->dilation - d->pad_begin, 1, inputs, outputs, &first, &last);
        sum += last - first;
    }
    return (double)sum;
}

/*
 * Cycles per 8 images of both, as measured on one core with 32 registers. PLANAR: 0.55 per vector
 * of products, those with padding left out where its lanes are images. Here: 0.6 per product, which
 * are fewer; 170 (3 taps) or 270 (5) to transform a tile of a channel in or out; and once per call
 * 80 or 170 per filter.
 */
bool spx_conv2d_winograd_pays(const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    spx_wino_grid g;
    (pass == SPX_CONV2D_BACKWARD_DATA ? spx_wino_grid_backward : spx_wino_grid_forward)(d, &g);
    const double n = (double)d->n / SPX_WINO_LANES, groups = (double)g.groups;
    const double c = (double)g.ci, k = (double)g.ko, tiles = (double)(g.lines * g.line_tiles);
    const double points = g.alpha * g.alpha, taps = g.taps * g.taps;
    const double by_pixel = n * taps * (double)(g.oh * g.ow);
    const double by_image = groups * meetings(d, d->h, d->p) * meetings(d, d->w, d->q);
    const double direct = 0.55 * c * k * (by_pixel < by_image ? by_pixel : by_image);
    const double turn = g.taps == 3 ? 170 : 270, filter = g.taps == 3 ? 80 : 170;
    if (pass != SPX_CONV2D_BACKWARD_WEIGHTS) {
        return groups * tiles * (0.6 * points * c * k + turn * (c + k)) + filter * c * k < direct;
    }
    const double c_up = ceil(c / SPX_WINO_LANES) * SPX_WINO_LANES;
    const double k_up = ceil(k / SPX_WINO_LANES) * SPX_WINO_LANES;
    const double pairs = c_up * k < k_up * c ? c_up * k : k_up * c;
    return n * tiles * (0.6 * points * pairs + turn * (c_up + k_up)) + filter * pairs < direct;
}

static bool wino_supports(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    (void)pass;
    return spx_stream_device(s) == SPX_DEVICE_CPU && spx_wino_isa_now() != NULL && spx_wino_fits(d);
}

static size_t wino_workspace(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    const int threads = spx_stream_threads(s);
    switch (pass) {
    case SPX_CONV2D_FORWARD:
        return spx_wino_forward_bytes(d, threads);
    case SPX_CONV2D_BACKWARD_DATA:
        return spx_wino_backward_data_bytes(d, threads);
    default:
        return spx_wino_backward_weights_bytes(d, threads);
    }
}

static spx_status wino_run(spx_stream *s, const spx_conv2d_call *call)
{
    assert(spx_wino_isa_now() != NULL && spx_wino_fits(call->d));
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
    return SPX_OK;
}

const spx_conv2d_impl spx_conv2d_winograd = {wino_supports, wino_workspace, wino_run};
