/* Which shapes Winograd takes, their geometry, and the filter's transform. */
#include "kernels/base/cpu.h"
#include "kernels/nn/conv2d/winograd/conv2d_winograd_grid_private.h"

#include <assert.h>
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
    g->groups = spx_conv2d_ceil(d->n, SPX_CONV2D_VECTOR);
    g->dilation = d->dilation;
    g->taps = (int)d->r;
    g->alpha = SPX_WINO_TILE + g->taps - 1;
    g->scheme = g->taps == 3 ? 0 : 1;
    assert(spx_wino_fits(d) && g->alpha <= SPX_WINO_MAX_ALPHA && g->taps <= SPX_WINO_MAX_TAPS);
    g->tiles_y = spx_conv2d_ceil(g->oh, g->dilation * SPX_WINO_TILE);
    g->tiles_x = spx_conv2d_ceil(g->ow, g->dilation * SPX_WINO_TILE);
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

void spx_wino_affines(const spx_wino_grid *g, const spx_conv2d_input *in, spx_conv2d_affine *f)
{
    for (int64_t c = 0; c < g->ci; c++) {
        f[c] = spx_conv2d_affine_of(in, c);
    }
}

void spx_wino_gather_row(const spx_wino_isa *isa, const spx_wino_grid *g,
                         const spx_wino_transpose *of, int64_t v, float *dst)
{
    assert(of->planes >= 1 && of->planes <= SPX_CONV2D_VECTOR);
    const int64_t row = v % g->phase_rows * g->dilation + v / g->phase_rows - g->pad;
    const int64_t first = g->pad < 0 ? -g->pad : 0;
    const int64_t last = g->iw < g->cols - g->pad ? g->iw : g->cols - g->pad;
    if (row < 0 || row >= g->ih || first >= last) {
        memset(dst, 0, (size_t)(g->cols * 8) * sizeof *dst);
        return;
    }
    spx_wino_transpose t = *of;
    t.src += row * g->iw + first;
    t.dst = dst + (first + g->pad) * 8;
    t.count = last - first;
    memset(dst, 0, (size_t)((first + g->pad) * 8) * sizeof *dst);
    memset(dst + (last + g->pad) * 8, 0, (size_t)((g->cols - last - g->pad) * 8) * sizeof *dst);
    isa->gather(&t);
}
