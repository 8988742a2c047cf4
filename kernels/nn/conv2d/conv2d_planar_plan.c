/* Geometry of the planar convolution: which input pixel each tap reads, and where it is packed. */
#include "kernels/nn/conv2d/conv2d_planar_plan.h"

#include <string.h>

#define LANES SPX_PLANAR_LANES

void spx_planar_grid_forward(const spx_conv2d_shape *d, spx_planar_grid *g)
{
    *g = (spx_planar_grid){.ci = d->c,
                           .ko = d->k,
                           .ih = d->h,
                           .iw = d->w,
                           .oh = d->p,
                           .ow = d->q,
                           .step = d->stride,
                           .nr = (int)d->r,
                           .ns = (int)d->s};
    for (int t = 0; t < SPX_PLANAR_MAX_TAPS; t++) {
        g->row[t] = g->col[t] = t * d->dilation - d->pad_begin;
        g->filter_row[t] = g->filter_col[t] = t;
    }
}

/* Taps through which inputs i0, i0 + stride, .. are read, and the output that reads the first. */
static int phase_taps(const spx_conv2d_shape *d, int64_t i0, int64_t taps, int64_t *at, int *filter)
{
    int n = 0;
    for (int64_t t = 0; t < taps; t++) {
        const int64_t reach = i0 + d->pad_begin - t * d->dilation;
        if (reach % d->stride == 0) {
            at[n] = reach / d->stride;
            filter[n++] = (int)t;
        }
    }
    return n;
}

void spx_planar_grid_backward(const spx_conv2d_shape *d, int64_t i0, int64_t j0, spx_planar_grid *g)
{
    *g = (spx_planar_grid){.ci = d->k,
                           .ko = d->c,
                           .ih = d->p,
                           .iw = d->q,
                           .oh = spx_planar_ceil(d->h - i0, d->stride),
                           .ow = spx_planar_ceil(d->w - j0, d->stride),
                           .step = 1};
    g->nr = phase_taps(d, i0, d->r, g->row, g->filter_row);
    g->ns = phase_taps(d, j0, d->s, g->col, g->filter_col);
}

static int64_t floor_mod(int64_t a, int64_t b)
{
    const int64_t m = a % b;
    return m < 0 ? m + b : m;
}

/*
 * Taps whose positions are congruent modulo the step share one run of inputs first, first + step,
 * ..; place[t] is tap t's start in the concatenation of the runs. Returns the number of runs.
 */
static int group_taps(const int64_t *at, int taps, int64_t step, int64_t extent, int64_t *place,
                      spx_planar_group *group)
{
    int n = 0;
    int64_t line = 0;
    for (int64_t m = 0; m < step; m++) {
        int64_t lo = INT64_MAX, hi = INT64_MIN;
        for (int t = 0; t < taps; t++) {
            if (floor_mod(at[t], step) == m) {
                lo = at[t] < lo ? at[t] : lo;
                hi = at[t] > hi ? at[t] : hi;
            }
        }
        if (lo > hi) {
            continue;
        }
        for (int t = 0; t < taps; t++) {
            if (floor_mod(at[t], step) == m) {
                place[t] = line + (at[t] - lo) / step;
            }
        }
        group[n] = (spx_planar_group){lo, extent + (hi - lo) / step, line};
        line += group[n++].lines;
    }
    return n;
}

static spx_planar_segment segment(const spx_planar_grid *g, int64_t dst, int64_t first,
                                  int64_t count)
{
    /* j exists where 0 <= first + step * j < iw */
    int64_t begin = first >= 0 ? 0 : spx_planar_ceil(-first, g->step);
    int64_t end = first >= g->iw ? 0 : spx_planar_ceil(g->iw - first, g->step);
    end = end < count ? end : count;
    begin = begin < end ? begin : end;
    return (spx_planar_segment){dst, first, count, begin, end};
}

static bool reads_in_place(const spx_planar_grid *g)
{
    return g->nr == 1 && g->ns == 1 && g->step == 1 && g->row[0] == 0 && g->col[0] == 0 &&
           g->oh == g->ih && g->ow == g->iw && g->ih * g->iw % LANES == 0;
}

void spx_planar_layout_init(const spx_planar_grid *g, bool plain, spx_planar_layout *l)
{
    memset(l, 0, sizeof *l);
    const int64_t pixels = g->oh * g->ow;
    l->vectors = spx_planar_ceil(pixels, LANES);
    l->tail = (int)(pixels - (l->vectors - 1) * LANES);
    l->shared = g->ow % LANES == 0;
    l->direct = plain && reads_in_place(g);
    if (l->direct) {
        l->shared = false;
        l->pitch = g->iw;
        l->plane = g->ih * g->iw;
        return;
    }
    l->groups = group_taps(g->row, g->nr, g->step, g->oh, l->tap_line, l->group);
    for (int i = 0; i < l->groups; i++) {
        l->lines += l->group[i].lines;
    }
    if (l->shared) {
        spx_planar_group cols[SPX_PLANAR_MAX_TAPS];
        l->segments = group_taps(g->col, g->ns, g->step, g->ow, l->tap_col, cols);
        for (int i = 0; i < l->segments; i++) {
            l->segment[i] = segment(g, cols[i].line, cols[i].first, cols[i].lines);
            l->pitch += cols[i].lines;
        }
        l->plane = l->lines * l->pitch;
        return;
    }
    l->pitch = g->ow;
    l->segments = g->ns;
    for (int i = 0; i < g->ns; i++) {
        l->segment[i] = segment(g, 0, g->col[i], g->ow);
        l->tap_col[i] = i * l->lines * l->pitch;
    }
    l->plane = g->ns * l->lines * l->pitch;
}

void spx_planar_tap_offsets(const spx_planar_grid *g, const spx_planar_layout *l, int64_t channels,
                            int64_t *off)
{
    for (int64_t c = 0; c < channels; c++) {
        for (int r = 0; r < g->nr; r++) {
            for (int s = 0; s < g->ns; s++) {
                *off++ = c * l->plane + l->tap_line[r] * l->pitch + l->tap_col[s];
            }
        }
    }
}

void spx_planar_vector_offsets(const spx_planar_grid *g, const spx_planar_layout *l, int64_t *voff)
{
    const int64_t per_row = l->shared ? g->ow / LANES : l->vectors;
    for (int64_t v = 0; v < l->vectors; v++) {
        voff[v] = v / per_row * l->pitch + v % per_row * LANES;
    }
}

void spx_planar_pack_channel(const spx_planar_isa *isa, const spx_planar_grid *g,
                             const spx_planar_layout *l, const float *src, spx_planar_affine f,
                             float *dst)
{
    /* Stores spill past a run's end, so runs are written in the order of their addresses. */
    const int sets = l->shared ? 1 : l->segments;
    for (int i = 0; i < sets; i++) {
        for (int j = 0; j < l->groups; j++) {
            const spx_planar_lines lines = {
                .src = src,
                .h = g->ih,
                .w = g->iw,
                .row = l->group[j].first,
                .step = g->step,
                .count = l->group[j].lines,
                .segment = &l->segment[i],
                .segments = l->shared ? l->segments : 1,
                .dst = dst + (i * l->lines + l->group[j].line) * l->pitch,
                .pitch = l->pitch,
                .f = f,
            };
            isa->pack(&lines);
        }
    }
}
