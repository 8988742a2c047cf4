/* Algebra of linear expressions. */
#include "host/model/fold_private.h"
#include "kernels/nn/matmul_f64/matmul_f64.h"

#include <assert.h>
#include <string.h>

void spx_expr_clear(spx_expr *e)
{
    for (int i = 0; i < e->n; i++) {
        spx_free(e->term[i].w);
    }
    spx_free(e->term);
    spx_free(e->bias);
    memset(e, 0, sizeof *e);
}

spx_expr spx_expr_zero(int64_t c, int64_t h, int64_t w)
{
    return (spx_expr){.c = c, .h = h, .w = w};
}

static size_t map_count(const spx_expr *e)
{
    return (size_t)(e->c * e->h * e->w);
}

static bool same_taps(const spx_taps *a, const spx_taps *b)
{
    return a->size == b->size && a->stride == b->stride && a->pad == b->pad &&
           (a->dilation == b->dilation || a->size == 1);
}

static bool pointwise(const spx_taps *t)
{
    return t->size == 1 && t->stride == 1 && t->pad == 0;
}

bool spx_expr_is_pointwise(const spx_expr *e)
{
    for (int i = 0; i < e->n; i++) {
        if (!pointwise(&e->term[i].taps)) {
            return false;
        }
    }
    return true;
}

static spx_status add_zeros(double **w, size_t n)
{
    SPX_RETURN_IF(SPX_NEW(*w, n));
    return SPX_OK;
}

/* Index of e's term of that value and geometry; a new one of zeros where it has none. */
static spx_status find_term(spx_expr *e, int value, int64_t c, const spx_taps *taps, int *out)
{
    for (int i = 0; i < e->n; i++) {
        if (e->term[i].value == value && same_taps(&e->term[i].taps, taps)) {
            *out = i;
            return SPX_OK;
        }
    }
    SPX_RETURN_IF(SPX_GROW(e->term, (size_t)e->n, e->room));
    spx_term *t = &e->term[e->n];
    *t = (spx_term){.value = value, .taps = *taps, .c = c};
    SPX_RETURN_IF(add_zeros(&t->w, (size_t)(e->c * c * taps->size * taps->size)));
    *out = e->n++;
    return SPX_OK;
}

static spx_status need_bias(spx_expr *e)
{
    return e->bias != NULL ? SPX_OK : add_zeros(&e->bias, map_count(e));
}

spx_status spx_expr_identity(spx_expr *e, int v, int64_t c, int64_t h, int64_t w)
{
    const spx_taps taps = {1, 1, 1, 0};
    int t;
    *e = spx_expr_zero(c, h, w);
    SPX_RETURN_IF(find_term(e, v, c, &taps, &t));
    for (int64_t i = 0; i < c; i++) {
        e->term[t].w[i * c + i] = 1;
    }
    return SPX_OK;
}

spx_status spx_expr_add(spx_expr *e, const spx_expr *x, int64_t first, const double *scale,
                        const double *shift)
{
    for (int i = 0; i < x->n; i++) {
        const spx_term *from = &x->term[i];
        const int64_t row = from->c * from->taps.size * from->taps.size;
        int t;
        SPX_RETURN_IF(find_term(e, from->value, from->c, &from->taps, &t));
        double *to = e->term[t].w + first * row;
        for (int64_t k = 0; k < x->c; k++) {
            const double by = scale != NULL ? scale[k] : 1;
            for (int64_t j = 0; j < row; j++) {
                to[k * row + j] += by * from->w[k * row + j];
            }
        }
    }
    if (x->bias == NULL && shift == NULL) {
        return SPX_OK;
    }
    SPX_RETURN_IF(need_bias(e));
    const int64_t map = x->h * x->w;
    for (int64_t k = 0; k < x->c; k++) {
        const double by = scale != NULL ? scale[k] : 1, plus = shift != NULL ? shift[k] : 0;
        for (int64_t j = 0; j < map; j++) {
            const double own = x->bias != NULL ? x->bias[k * map + j] : 0;
            e->bias[(first + k) * map + j] += by * own + plus;
        }
    }
    return SPX_OK;
}

/* ---- some rows ---- */

/* to[row_to[k]] += from[row_from[k]], n rows of `size`; NULL: k. */
static void add_rows(double *to, const int *row_to, const double *from, const int *row_from,
                     int64_t n, int64_t size)
{
    for (int64_t k = 0; k < n; k++) {
        double *y = to + (row_to != NULL ? row_to[k] : k) * size;
        const double *x = from + (row_from != NULL ? row_from[k] : k) * size;
        for (int64_t j = 0; j < size; j++) {
            y[j] += x[j];
        }
    }
}

/* The same rows of the expressions; terms whose rows are all zero are left out. */
static spx_status add_expr_rows(spx_expr *e, const int *row_to, const spx_expr *x,
                                const int *row_from, int64_t n)
{
    const int64_t map = x->h * x->w;
    for (int i = 0; i < x->n; i++) {
        const spx_term *from = &x->term[i];
        const int64_t size = from->c * from->taps.size * from->taps.size;
        bool any = false;
        int t;
        for (int64_t k = 0; k < n && !any; k++) {
            const double *w = from->w + (row_from != NULL ? row_from[k] : k) * size;
            for (int64_t j = 0; j < size && !any; j++) {
                any = w[j] != 0;
            }
        }
        if (any) {
            SPX_RETURN_IF(find_term(e, from->value, from->c, &from->taps, &t));
            add_rows(e->term[t].w, row_to, from->w, row_from, n, size);
        }
    }
    if (x->bias != NULL) {
        SPX_RETURN_IF(need_bias(e));
        add_rows(e->bias, row_to, x->bias, row_from, n, map);
    }
    return SPX_OK;
}

spx_status spx_expr_take(spx_expr *e, const spx_expr *x, const int *row, int64_t n)
{
    *e = spx_expr_zero(n, x->h, x->w);
    return add_expr_rows(e, NULL, x, row, n);
}

spx_status spx_expr_put(spx_expr *e, const spx_expr *x, const int *row)
{
    return add_expr_rows(e, row, x, NULL, x->c);
}

/* ---- convolutions ---- */

/* A convolution's columns that read x. */
typedef struct columns {
    const double *w;
    int64_t channels, first;
    const spx_taps *taps;
} columns;

static double column(const columns *k, int64_t row, int64_t c, int64_t tap)
{
    const int64_t taps = k->taps->size * k->taps->size;
    return k->w[(row * k->channels + k->first + c) * taps + tap];
}

/* The bias map of x goes through the convolution, zero outside the map. */
static void add_bias(spx_expr *e, const spx_expr *x, const columns *k)
{
    const spx_taps *t = k->taps;
    for (int64_t row = 0; row < e->c; row++) {
        for (int64_t c = 0; c < x->c; c++) {
            for (int64_t tap = 0; tap < t->size * t->size; tap++) {
                const double by = column(k, row, c, tap);
                const int64_t down = tap / t->size * t->dilation - t->pad;
                const int64_t right = tap % t->size * t->dilation - t->pad;
                for (int64_t i = 0; i < e->h; i++) {
                    const int64_t y = i * t->stride + down;
                    for (int64_t j = 0; j < e->w && y >= 0 && y < x->h; j++) {
                        const int64_t z = j * t->stride + right;
                        if (z >= 0 && z < x->w) {
                            e->bias[(row * e->h + i) * e->w + j] +=
                                by * x->bias[(c * x->h + y) * x->w + z];
                        }
                    }
                }
            }
        }
    }
}

/* A 1x1 convolution of a term: the same taps, further apart where it strides. */
static spx_status add_mixed(spx_expr *e, const spx_expr *x, const spx_term *from, const columns *k)
{
    const spx_taps taps = {from->taps.size, from->taps.stride * k->taps->stride,
                           from->taps.dilation, from->taps.pad + from->taps.stride * k->taps->pad};
    const size_t n = (size_t)(from->c * taps.size * taps.size);
    int t;
    assert(k->taps->size == 1);
    SPX_RETURN_IF(find_term(e, from->value, from->c, &taps, &t));
    spx_matmul_f64((size_t)e->c, n, (size_t)x->c, k->w + k->first, (size_t)k->channels, from->w, n,
                   e->term[t].w, n);
    return SPX_OK;
}

/* The column that each of a pointwise term's n rows reads, -1: none. False: one reads several. */
static bool find_columns(const spx_term *from, int64_t n, int64_t *of)
{
    for (int64_t k = 0; k < n; k++) {
        of[k] = -1;
        for (int64_t j = 0; j < from->c; j++) {
            if (from->w[k * from->c + j] != 0) {
                if (of[k] >= 0) {
                    return false;
                }
                of[k] = j;
            }
        }
    }
    return true;
}

/* add_spread where a product is not worth its time: of values as they are, or some of their
 * channels. */
static spx_status add_columns(spx_expr *e, const spx_expr *x, const spx_term *from,
                              const columns *k, bool *done)
{
    const int64_t taps = k->taps->size * k->taps->size;
    int64_t *of;
    int t;
    SPX_RETURN_IF(SPX_NEW(of, (size_t)x->c));
    *done = find_columns(from, x->c, of);
    const spx_status st = *done ? find_term(e, from->value, from->c, k->taps, &t) : SPX_OK;
    for (int64_t i = 0; st == SPX_OK && *done && i < e->c * x->c; i++) {
        const int64_t row = i / x->c, c = i % x->c;
        if (of[c] >= 0) {
            const double by = from->w[c * from->c + of[c]];
            double *to = e->term[t].w + (row * from->c + of[c]) * taps;
            for (int64_t tap = 0; tap < taps; tap++) {
                to[tap] += by * column(k, row, c, tap);
            }
        }
    }
    spx_free(of);
    return st;
}

/* Any convolution of a pointwise term: tap by tap a product, put where the tap's weights lie. */
static spx_status add_spread(spx_expr *e, const spx_expr *x, const spx_term *from, const columns *k)
{
    const int64_t taps = k->taps->size * k->taps->size;
    const int64_t n_columns = e->c * x->c, n_product = e->c * from->c;
    double *own, *product;
    bool done;
    int t;
    assert(pointwise(&from->taps));
    SPX_RETURN_IF(add_columns(e, x, from, k, &done));
    if (done) {
        return SPX_OK;
    }
    SPX_RETURN_IF(find_term(e, from->value, from->c, k->taps, &t));
    SPX_RETURN_IF(add_zeros(&own, (size_t)(n_columns + n_product)));
    product = own + n_columns;
    for (int64_t tap = 0; tap < taps; tap++) {
        for (int64_t i = 0; i < n_columns; i++) {
            own[i] = column(k, i / x->c, i % x->c, tap);
        }
        memset(product, 0, (size_t)n_product * sizeof *product);
        spx_matmul_f64((size_t)e->c, (size_t)from->c, (size_t)x->c, own, (size_t)x->c, from->w,
                       (size_t)from->c, product, (size_t)from->c);
        for (int64_t i = 0; i < n_product; i++) {
            e->term[t].w[i * taps + tap] += product[i];
        }
    }
    spx_free(own);
    return SPX_OK;
}

spx_status spx_expr_add_conv(spx_expr *e, const spx_expr *x, const double *w, int64_t channels,
                             int64_t first, const spx_taps *taps)
{
    const columns k = {w, channels, first, taps};
    for (int i = 0; i < x->n; i++) {
        const bool spread = pointwise(&x->term[i].taps);
        SPX_RETURN_IF(spread ? add_spread(e, x, &x->term[i], &k)
                             : add_mixed(e, x, &x->term[i], &k));
    }
    if (x->bias != NULL) {
        SPX_RETURN_IF(need_bias(e));
        add_bias(e, x, &k);
    }
    return SPX_OK;
}

/* ---- merging ---- */

static int64_t gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* The smallest lattice of taps that holds both. */
static spx_taps join(const spx_taps *a, const spx_taps *b)
{
    const int64_t low = -(a->pad > b->pad ? a->pad : b->pad);
    const int64_t end_a = (a->size - 1) * a->dilation - a->pad;
    const int64_t end_b = (b->size - 1) * b->dilation - b->pad;
    const int64_t high = end_a > end_b ? end_a : end_b;
    int64_t step = a->pad > b->pad ? a->pad - b->pad : b->pad - a->pad;
    step = gcd(step, a->size > 1 ? a->dilation : 0);
    step = gcd(step, b->size > 1 ? b->dilation : 0);
    return (spx_taps){.size = step == 0 ? 1 : (high - low) / step + 1,
                      .stride = a->stride,
                      .dilation = step == 0 ? 1 : step,
                      .pad = -low};
}

static bool worth_joining(const spx_term *a, const spx_term *b, spx_taps *out)
{
    if (a->value != b->value || a->taps.stride != b->taps.stride) {
        return false;
    }
    *out = join(&a->taps, &b->taps);
    const int64_t larger = a->taps.size > b->taps.size ? a->taps.size : b->taps.size;
    return out->size <= (larger > 2 ? larger : 2);
}

/* Moves term's taps into the lattice. */
static spx_status relattice(spx_term *t, int64_t rows, const spx_taps *taps)
{
    double *w;
    const int64_t size = t->taps.size;
    SPX_RETURN_IF(add_zeros(&w, (size_t)(rows * t->c * taps->size * taps->size)));
    for (int64_t k = 0; k < rows * t->c; k++) {
        for (int64_t a = 0; a < size * size; a++) {
            const int64_t shift = taps->pad - t->taps.pad;
            const int64_t i = (a / size * t->taps.dilation + shift) / taps->dilation;
            const int64_t j = (a % size * t->taps.dilation + shift) / taps->dilation;
            w[(k * taps->size + i) * taps->size + j] = t->w[k * size * size + a];
        }
    }
    spx_free(t->w);
    t->w = w;
    t->taps = *taps;
    return SPX_OK;
}

static spx_status join_terms(spx_expr *e, int a, int b, const spx_taps *taps)
{
    SPX_RETURN_IF(relattice(&e->term[a], e->c, taps));
    SPX_RETURN_IF(relattice(&e->term[b], e->c, taps));
    const int64_t n = e->c * e->term[a].c * taps->size * taps->size;
    for (int64_t i = 0; i < n; i++) {
        e->term[a].w[i] += e->term[b].w[i];
    }
    spx_free(e->term[b].w);
    e->term[b] = e->term[--e->n];
    return SPX_OK;
}

spx_status spx_expr_merge(spx_expr *e)
{
    for (bool joined = true; joined;) {
        joined = false;
        for (int a = 0; a < e->n; a++) {
            for (int b = a + 1; b < e->n; b++) {
                spx_taps taps;
                if (worth_joining(&e->term[a], &e->term[b], &taps)) {
                    SPX_RETURN_IF(join_terms(e, a, b, &taps));
                    joined = true;
                    b = a;
                }
            }
        }
    }
    return SPX_OK;
}
