/* The growing model: values made of expressions, public ops of values. */
#include "host/model/fold_private.h"

#include <assert.h>
#include <string.h>

spx_status spx_fold_add_value(spx_fold *f, spx_deploy_kind kind, int64_t c, int64_t h, int64_t w,
                              int *out)
{
    SPX_RETURN_IF(SPX_GROW(f->value, (size_t)f->n_values, f->room_values));
    f->value[f->n_values] = (spx_deploy_value){.kind = kind, .c = c, .h = h, .w = w};
    *out = f->n_values++;
    return SPX_OK;
}

spx_status spx_fold_add_op(spx_fold *f, const spx_deploy_op *d, double *w, spx_tid relu)
{
    const spx_status st = SPX_GROW(f->op, (size_t)f->n_ops, f->room_ops);
    if (st != SPX_OK) {
        spx_free(w);
        return st;
    }
    f->op[f->n_ops++] = (spx_fold_op){.d = *d, .w = w, .relu = relu};
    return SPX_OK;
}

/* The value that e is, unchanged; or -1. */
static int as_value(const spx_fold *f, const spx_expr *e)
{
    if (e->n != 1 || e->bias != NULL || !spx_expr_is_pointwise(e) || e->term[0].c != e->c ||
        f->value[e->term[0].value].kind != SPX_DEPLOY_LINEAR) {
        return -1;
    }
    for (int64_t i = 0; i < e->c * e->c; i++) {
        if (e->term[0].w[i] != (i / e->c == i % e->c ? 1.0 : 0.0)) {
            return -1;
        }
    }
    return e->term[0].value;
}

spx_status spx_fold_materialise(spx_fold *f, spx_expr *e, int *out)
{
    spx_expr whole;
    int v = as_value(f, e);
    if (v >= 0) {
        *out = v;
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_expr_merge(e));
    SPX_RETURN_IF(spx_fold_add_value(f, SPX_DEPLOY_LINEAR, e->c, e->h, e->w, &v));
    for (int i = 0; i < e->n; i++) {
        spx_term *t = &e->term[i];
        const spx_deploy_op d = {.kind = SPX_DEPLOY_CONV,
                                 .in = t->value,
                                 .out = v,
                                 .size = t->taps.size,
                                 .stride = t->taps.stride,
                                 .dilation = t->taps.dilation,
                                 .pad = t->taps.pad};
        double *w = t->w;
        t->w = NULL;
        SPX_RETURN_IF(spx_fold_add_op(f, &d, w, SPX_NO_TENSOR));
    }
    if (e->bias != NULL) {
        const spx_deploy_op d = {.kind = SPX_DEPLOY_BIAS, .in = -1, .out = v};
        double *w = e->bias;
        e->bias = NULL;
        SPX_RETURN_IF(spx_fold_add_op(f, &d, w, SPX_NO_TENSOR));
    }
    SPX_RETURN_IF(spx_expr_identity(&whole, v, e->c, e->h, e->w));
    spx_expr_clear(e);
    *e = whole;
    *out = v;
    return SPX_OK;
}

/* ---- phases ---- */

/* A strided 1x1 term whose tap is one of the stride's phases, inside the map everywhere. */
static bool is_phase(const spx_fold *f, const spx_expr *e, const spx_term *t)
{
    const spx_deploy_value *v = &f->value[t->value];
    const int64_t offset = -t->taps.pad;
    return t->taps.size == 1 && t->taps.stride > 1 && offset >= 0 && offset < t->taps.stride &&
           (e->h - 1) * t->taps.stride + offset < v->h &&
           (e->w - 1) * t->taps.stride + offset < v->w;
}

/* The PICK op that makes a phase, or -1. */
static int find_phase(const spx_fold *f, int value, int64_t stride, int64_t offset)
{
    for (int i = 0; i < f->n_ops; i++) {
        const spx_deploy_op *d = &f->op[i].d;
        if (d->kind == SPX_DEPLOY_PICK && d->in == value && d->stride == stride &&
            d->offset == offset) {
            return i;
        }
    }
    return -1;
}

/* One value for all phases of v that e reads with that stride. */
static spx_status make_phases(spx_fold *f, const spx_expr *e, int value, int64_t stride)
{
    const int64_t c = f->value[value].c;
    int64_t n = 0;
    int out;
    for (int i = 0; i < e->n; i++) {
        n += e->term[i].value == value && e->term[i].taps.stride == stride &&
             find_phase(f, value, stride, -e->term[i].taps.pad) < 0;
    }
    if (n == 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_fold_add_value(f, SPX_DEPLOY_LINEAR, n * c, e->h, e->w, &out));
    n = 0;
    for (int i = 0; i < e->n; i++) {
        const spx_term *t = &e->term[i];
        if (t->value == value && t->taps.stride == stride &&
            find_phase(f, value, stride, -t->taps.pad) < 0) {
            const spx_deploy_op d = {.kind = SPX_DEPLOY_PICK,
                                     .in = value,
                                     .out = out,
                                     .out_first = n,
                                     .channels = c,
                                     .stride = stride,
                                     .offset = -t->taps.pad};
            SPX_RETURN_IF(spx_fold_add_op(f, &d, NULL, SPX_NO_TENSOR));
            n += c;
        }
    }
    return SPX_OK;
}

/* to += term t of e, as a pointwise term over its phase. */
static spx_status add_phase(spx_fold *f, const spx_expr *e, const spx_term *t, spx_expr *to)
{
    const spx_deploy_op *d = &f->op[find_phase(f, t->value, t->taps.stride, -t->taps.pad)].d;
    const int64_t c = f->value[d->out].c;
    const spx_taps taps = {1, 1, 1, 0};
    double *w;
    spx_expr one = spx_expr_zero(e->c, e->h, e->w);
    spx_term wide = {.value = d->out, .taps = taps, .c = c};
    SPX_RETURN_IF(SPX_NEW(w, (size_t)(e->c * c)));
    for (int64_t k = 0; k < e->c; k++) {
        memcpy(w + k * c + d->out_first, t->w + k * t->c, (size_t)t->c * sizeof *w);
    }
    wide.w = w;
    one.term = &wide;
    one.n = 1;
    const spx_status st = spx_expr_add(to, &one, 0, NULL, NULL);
    spx_free(w);
    return st;
}

spx_status spx_fold_make_pointwise(spx_fold *f, spx_expr *e)
{
    const spx_taps here = {1, 1, 1, 0};
    spx_expr made = spx_expr_zero(e->c, e->h, e->w);
    spx_status st = SPX_OK;
    int v;
    if (spx_expr_is_pointwise(e)) {
        return SPX_OK;
    }
    for (int i = 0; i < e->n; i++) {
        const spx_term *t = &e->term[i];
        if (!is_phase(f, e, t) && memcmp(&t->taps, &here, sizeof here) != 0) {
            return spx_fold_materialise(f, e, &v);
        }
    }
    for (int i = 0; i < e->n && st == SPX_OK; i++) {
        const spx_term *t = &e->term[i];
        if (t->taps.stride == 1) {
            const spx_expr one = {.c = e->c, .h = e->h, .w = e->w, .term = e->term + i, .n = 1};
            st = spx_expr_add(&made, &one, 0, NULL, NULL);
        } else {
            st = make_phases(f, e, t->value, t->taps.stride);
            st = st == SPX_OK ? add_phase(f, e, t, &made) : st;
        }
    }
    made.bias = e->bias;
    e->bias = NULL;
    spx_expr_clear(e);
    *e = made;
    return st;
}

/* ---- pools ---- */

static int find_pool(const spx_fold *f, const spx_deploy_op *p)
{
    for (int i = 0; i < f->n_ops; i++) {
        const spx_deploy_op *d = &f->op[i].d;
        if (d->kind == SPX_DEPLOY_POOL && d->in == p->in && d->size == p->size &&
            d->stride == p->stride && d->pad == p->pad) {
            return d->out;
        }
    }
    return -1;
}

/* Least common multiple of the windows' rows and columns: the factors are integers. */
static int64_t denominator(const spx_deploy_op *p, int64_t h, int64_t w)
{
    int64_t all = 1;
    for (int axis = 0; axis < 2; axis++) {
        const int64_t side = axis == 0 ? h : w, n = spx_deploy_pool_side(p, side);
        for (int64_t i = 0; i < n; i++) {
            const int64_t window = spx_deploy_pool_window(p, side, i);
            assert(window > 0); /* padding is narrower than a window */
            int64_t a = all, b = window;
            while (b != 0) {
                const int64_t r = a % b;
                a = b;
                b = r;
            }
            all = all / a * window;
        }
    }
    return all;
}

static spx_status pooled_value(spx_fold *f, int value, const spx_deploy_op *like, int *out,
                               double *scale)
{
    const spx_deploy_value v = f->value[value];
    spx_deploy_op d = *like;
    d.in = value;
    d.denominator = denominator(like, v.h, v.w);
    *scale = 1.0 / ((double)d.denominator * (double)d.denominator);
    *out = find_pool(f, &d);
    if (*out >= 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_fold_add_value(f, SPX_DEPLOY_LINEAR, v.c, spx_deploy_pool_side(like, v.h),
                                     spx_deploy_pool_side(like, v.w), out));
    d.out = *out;
    return spx_fold_add_op(f, &d, NULL, SPX_NO_TENSOR);
}

/* The mean of x's bias map. */
static spx_status pool_bias(const spx_expr *x, const spx_deploy_op *p, spx_expr *e)
{
    SPX_RETURN_IF(SPX_NEW(e->bias, (size_t)(e->c * e->h * e->w)));
    for (int64_t n = 0; n < e->c * e->h * e->w; n++) {
        const int64_t c = n / (e->h * e->w), i = n / e->w % e->h, j = n % e->w;
        double sum = 0;
        int64_t count = 0;
        for (int64_t a = 0; a < p->size * p->size; a++) {
            const int64_t y = i * p->stride + a / p->size - p->pad;
            const int64_t z = j * p->stride + a % p->size - p->pad;
            if (y >= 0 && y < x->h && z >= 0 && z < x->w) {
                sum += x->bias[(c * x->h + y) * x->w + z];
                count++;
            }
        }
        assert(count > 0);
        e->bias[n] = sum / (double)count;
    }
    return SPX_OK;
}

spx_status spx_fold_pool(spx_fold *f, const spx_expr *x, int64_t size, int64_t stride, int64_t pad,
                         spx_expr *e)
{
    const spx_deploy_op like = {
        .kind = SPX_DEPLOY_POOL, .size = size, .stride = stride, .pad = pad};
    *e = spx_expr_zero(x->c, spx_deploy_pool_side(&like, x->h), spx_deploy_pool_side(&like, x->w));
    for (int i = 0; i < x->n; i++) {
        spx_term t = x->term[i];
        const spx_expr one = {.c = x->c, .h = e->h, .w = e->w, .term = &t, .n = 1};
        double scale;
        void *memory = NULL;
        SPX_RETURN_IF(pooled_value(f, t.value, &like, &t.value, &scale));
        SPX_RETURN_IF(spx_calloc(&memory, (size_t)x->c, sizeof(double)));
        double *scales = memory;
        for (int64_t k = 0; k < x->c; k++) {
            scales[k] = scale;
        }
        const spx_status st = spx_expr_add(e, &one, 0, scales, NULL);
        spx_free(scales);
        SPX_RETURN_IF(st);
    }
    return x->bias != NULL ? pool_bias(x, &like, e) : SPX_OK;
}

/* ---- the whole ---- */

void spx_fold_destroy(spx_fold *f)
{
    if (f == NULL) {
        return;
    }
    for (int i = 0; i < f->n_ops; i++) {
        spx_free(f->op[i].w);
        spx_free(f->op[i].channel);
        spx_free((void *)(uintptr_t)f->op[i].d.keep);
    }
    spx_free(f->op);
    spx_free(f->value);
    spx_free(f);
}

size_t spx_fold_count(const spx_fold *f, int v)
{
    return (size_t)(f->value[v].c * f->value[v].h * f->value[v].w);
}

int64_t spx_fold_relus(const spx_fold *f)
{
    int64_t n = 0;
    for (int v = 0; v < f->n_values; v++) {
        n += f->value[v].kind == SPX_DEPLOY_ACTIVATION ? (int64_t)spx_fold_count(f, v) : 0;
    }
    for (int i = 0; i < f->n_ops; i++) {
        n -= f->op[i].d.dropped;
    }
    return n;
}
