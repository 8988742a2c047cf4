/* Geometry of the planar convolution: which input pixel each tap reads, and where it is packed. */
#include "kernels/nn/conv2d/planar/conv2d_planar_geometry_private.h"

#include <assert.h>
#include <string.h>

#define VECTOR SPX_CONV2D_VECTOR

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
            assert(n < SPX_PLANAR_MAX_TAPS);
            at[n] = reach / d->stride;
            filter[n++] = (int)t;
        }
    }
    return n;
}

void spx_planar_grid_backward(const spx_conv2d_shape *d, int64_t i0, int64_t j0, spx_planar_grid *g)
{
    assert(i0 < d->h && j0 < d->w && i0 < d->stride && j0 < d->stride);
    *g = (spx_planar_grid){.ci = d->k,
                           .ko = d->c,
                           .ih = d->p,
                           .iw = d->q,
                           .oh = spx_conv2d_ceil(d->h - i0, d->stride),
                           .ow = spx_conv2d_ceil(d->w - j0, d->stride),
                           .step = 1};
    g->nr = phase_taps(d, i0, d->r, g->row, g->filter_row);
    g->ns = phase_taps(d, j0, d->s, g->col, g->filter_col);
}

static int64_t floor_mod(int64_t a, int64_t b)
{
    const int64_t m = a % b;
    return m < 0 ? m + b : m;
}

static spx_planar_strip make_strip(int64_t first, int64_t count, int64_t place, int64_t step,
                                   int64_t inputs)
{
    spx_planar_strip r = {.first = first, .count = count, .place = place};
    spx_conv2d_reach(first, step, inputs, count, &r.begin, &r.end);
    return r;
}

/*
 * Taps whose positions are congruent modulo the step share a strip of inputs; place[t] is the input
 * of tap t for output 0 in the concatenation of the strips. Returns the number of strips, and their
 * total length.
 */
static int share_strips(const int64_t *at, int taps, int64_t step, int64_t inputs, int64_t outputs,
                        int64_t *place, spx_planar_strip *strip, int64_t *total)
{
    int n = 0;
    *total = 0;
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
                place[t] = *total + (at[t] - lo) / step;
            }
        }
        assert(n < SPX_PLANAR_MAX_TAPS);
        strip[n] = make_strip(lo, outputs + (hi - lo) / step, *total, step, inputs);
        *total += strip[n++].count;
    }
    return n;
}

static bool reads_in_place(const spx_planar_grid *g)
{
    return g->nr == 1 && g->ns == 1 && g->step == 1 && g->row[0] == 0 && g->col[0] == 0 &&
           g->oh == g->ih && g->ow == g->iw && g->ih * g->iw % VECTOR == 0;
}

/* Cuts outputs 0 .. outputs - 1 where the set of taps that reach inside the image changes. */
static int cut_spans(const int64_t *at, int taps, int64_t step, int64_t inputs, int64_t outputs,
                     spx_planar_span *span)
{
    int n = 0;
    for (int64_t o = 0; o < outputs; o++) {
        int t0 = taps, t1 = 0;
        for (int t = 0; t < taps; t++) {
            const int64_t i = at[t] + step * o;
            if (i >= 0 && i < inputs) {
                t0 = t < t0 ? t : t0;
                t1 = t + 1;
            }
        }
        t0 = t0 < t1 ? t0 : t1;
        if (n == 0 || span[n - 1].t0 != t0 || span[n - 1].t1 != t1) {
            assert(n < SPX_PLANAR_MAX_SPANS);
            span[n++] = (spx_planar_span){o, 0, t0, t1};
        }
        span[n - 1].count++;
    }
    return n;
}

int64_t spx_planar_products(const spx_planar_layout *l)
{
    int64_t rows = 0, cols = 0;
    for (int i = 0; i < l->row_spans; i++) {
        rows += l->rows[i].count * (l->rows[i].t1 - l->rows[i].t0);
    }
    for (int i = 0; i < l->col_spans; i++) {
        cols += l->cols[i].count * (l->cols[i].t1 - l->cols[i].t0);
    }
    return rows * cols;
}

static void layout_pixels(const spx_planar_grid *g, bool plain, spx_planar_layout *l)
{
    const int64_t pixels = g->oh * g->ow;
    l->vectors = spx_conv2d_ceil(pixels, VECTOR);
    l->tail = (int)(pixels - (l->vectors - 1) * VECTOR);
    l->shared = g->ow % VECTOR == 0;
    l->direct = plain && reads_in_place(g);
    if (l->direct) {
        l->shared = false;
        l->pitch = g->iw;
        l->plane = g->ih * g->iw;
        return;
    }
    l->row_strips =
        share_strips(g->row, g->nr, g->step, g->ih, g->oh, l->tap_line, l->row_strip, &l->lines);
    if (l->shared) {
        l->col_strips =
            share_strips(g->col, g->ns, g->step, g->iw, g->ow, l->tap_col, l->col_strip, &l->pitch);
        l->plane = l->lines * l->pitch;
        return;
    }
    l->pitch = g->ow;
    l->plane = g->ns * l->lines * l->pitch;
    l->col_strips = g->ns;
    for (int i = 0; i < g->ns; i++) {
        l->tap_col[i] = i * l->lines * l->pitch;
        l->col_strip[i] = make_strip(g->col[i], g->ow, l->tap_col[i], g->step, g->iw);
    }
}

static void layout_images(const spx_planar_grid *g, spx_planar_layout *l)
{
    l->images = true;
    l->vectors = g->oh * g->ow;
    l->tail = VECTOR;
    l->plane = spx_planar_elements_plane(g->ih * g->iw);
}

void spx_planar_layout_init(const spx_planar_grid *g, int64_t images, bool plain,
                            spx_planar_layout *l)
{
    memset(l, 0, sizeof *l);
    l->row_spans = cut_spans(g->row, g->nr, g->step, g->ih, g->oh, l->rows);
    l->col_spans = cut_spans(g->col, g->ns, g->step, g->iw, g->ow, l->cols);
    layout_pixels(g, plain, l);
    /* Cycles per image: a vector of products takes half a cycle, one of packing about 0.7, one of
     * turning images into elements, or back, about 3. */
    const double products = 0.5 * (double)(g->ci * g->ko);
    const double by_pixel = products * (double)(l->vectors * g->nr * g->ns) +
                            (l->direct ? 0 : 0.7 / VECTOR * (double)(g->ci * l->plane));
    const int64_t groups = spx_conv2d_ceil(images, VECTOR);
    const double by_image = (products * (double)spx_planar_products(l) +
                             3.0 * (double)(g->ci * g->ih * g->iw + g->ko * g->oh * g->ow)) /
                            (double)(images > 0 ? images : 1) * (double)groups;
    if (images > 0 && by_image < by_pixel) {
        layout_images(g, l);
    }
}

int64_t spx_planar_tap_offset(const spx_planar_grid *g, const spx_planar_layout *l, int r, int s)
{
    return l->images ? (g->row[r] * g->iw + g->col[s]) * VECTOR
                     : l->tap_line[r] * l->pitch + l->tap_col[s];
}

static bool lists_channels(const spx_planar_grid *g)
{
    return g->nr * g->ns == 1;
}

void spx_planar_tables_count(const spx_planar_grid *g, const spx_planar_layout *l, int64_t channels,
                             spx_planar_tables *t)
{
    int64_t rows = 0, cols = 0;
    for (int i = 0; i < l->row_spans; i++) {
        rows += l->rows[i].t1 - l->rows[i].t0;
    }
    for (int i = 0; i < l->col_spans; i++) {
        cols += l->cols[i].t1 - l->cols[i].t0;
    }
    t->vectors = l->vectors;
    t->classes = l->images ? (int64_t)l->row_spans * l->col_spans : 1;
    t->taps = l->images ? rows * cols : (int64_t)g->nr * g->ns;
    t->taps = lists_channels(g) ? t->taps * channels : t->taps;
}

/* Appends the taps of rows [r0, r1) and columns [s0, s1); returns the end. */
static spx_planar_tap *list_taps(const spx_planar_grid *g, const spx_planar_layout *l,
                                 int64_t channels, const int rows[2], const int cols[2],
                                 spx_planar_tap *tap)
{
    const int64_t listed = lists_channels(g) ? channels : 1;
    for (int64_t c = 0; c < listed; c++) {
        for (int r = rows[0]; r < rows[1]; r++) {
            for (int s = cols[0]; s < cols[1]; s++) {
                *tap++ = (spx_planar_tap){c * l->plane + spx_planar_tap_offset(g, l, r, s),
                                          lists_channels(g) ? c : (int64_t)r * g->ns + s};
            }
        }
    }
    return tap;
}

static void fill_pixels(const spx_planar_grid *g, const spx_planar_layout *l, int64_t channels,
                        spx_planar_tables *t)
{
    const int64_t per_row = l->shared ? g->ow / VECTOR : l->vectors;
    const int rows[2] = {0, g->nr}, cols[2] = {0, g->ns};
    const spx_planar_tap *end = list_taps(g, l, channels, rows, cols, t->tap);
    t->cls[0] = (spx_planar_class){0, l->vectors, t->tap, end - t->tap};
    for (int64_t v = 0; v < l->vectors; v++) {
        t->voff[v] = v / per_row * l->pitch + v % per_row * VECTOR;
    }
}

static void fill_images(const spx_planar_grid *g, const spx_planar_layout *l, int64_t channels,
                        spx_planar_tables *t)
{
    spx_planar_tap *tap = t->tap;
    spx_planar_class *cls = t->cls;
    int64_t v = 0;
    for (int i = 0; i < l->row_spans * l->col_spans; i++) {
        const spx_planar_span *y = &l->rows[i / l->col_spans], *x = &l->cols[i % l->col_spans];
        const int rows[2] = {y->t0, y->t1}, cols[2] = {x->t0, x->t1};
        spx_planar_tap *end = list_taps(g, l, channels, rows, cols, tap);
        *cls++ = (spx_planar_class){v, y->count * x->count, tap, end - tap};
        tap = end;
        for (int64_t p = y->first; p < y->first + y->count; p++) {
            for (int64_t q = x->first; q < x->first + x->count; q++, v++) {
                t->voff[v] = (p * g->iw + q) * g->step * VECTOR;
                t->pos[p * g->ow + q] = v;
            }
        }
    }
}

void spx_planar_tables_fill(const spx_planar_grid *g, const spx_planar_layout *l, int64_t channels,
                            spx_planar_tables *t)
{
    if (l->images) {
        fill_images(g, l, channels, t);
    } else {
        fill_pixels(g, l, channels, t);
    }
}

void spx_planar_pack_channel(const spx_planar_isa *isa, const spx_planar_grid *g,
                             const spx_planar_layout *l, const float *src, spx_conv2d_affine f,
                             float *dst)
{
    for (int i = 0; i < l->row_strips * l->col_strips; i++) {
        const spx_planar_strip *y = &l->row_strip[i / l->col_strips],
                               *x = &l->col_strip[i % l->col_strips];
        const int64_t row = y->first + y->begin * g->step, col = x->first + x->begin * g->step;
        const spx_planar_rows rows = {
            .src = src + row * g->iw + col,
            .src_row = g->step * g->iw,
            .step = g->step,
            .dst = dst + (y->place + y->begin) * l->pitch + x->place + x->begin,
            .pitch = l->pitch,
            .rows = y->end - y->begin,
            .count = x->end - x->begin,
            .f = f,
        };
        if (rows.rows > 0 && rows.count > 0) {
            isa->pack(&rows);
        }
    }
}
