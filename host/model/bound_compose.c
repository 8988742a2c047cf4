/* Composed coefficients: a segment run backwards from one output element of each kind. */
#include "host/model/bound_private.h"
#include "kernels/nn/matmul_f64/matmul_f64.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define BLOCK 64 /* output channels at a time */

/* The rows (or columns) of a value that one output row reads; empty: end < begin. */
typedef struct span {
    int64_t begin, end; /* both included */
} span;

typedef struct segment {
    const spx_deploy_draft *d;
    int v;
    bool *inside;      /* [n_values] */
    double **w;        /* [n_ops] CONV: [tap][k][c]; NULL elsewhere */
    double *bias;      /* [c][h][w] of v where all else is zero */
    span *window[2];   /* rows, columns: [side][n_values] */
    int64_t *kind[2];  /* [side] the first row (column) that is cut alike */
    int64_t *first[2]; /* the distinct ones */
    int n_kinds[2];
    const spx_interval *all;
} segment;

static int64_t side_of(const spx_deploy_value *v, int axis)
{
    return axis == 0 ? v->h : v->w;
}

static bool is_linear(const segment *s, int v)
{
    return s->d->value[v].kind == SPX_DEPLOY_LINEAR;
}

static bool takes_part(const segment *s, const spx_deploy_op *op)
{
    return op->kind != SPX_DEPLOY_RELU && op->kind != SPX_DEPLOY_BIAS && s->inside[op->out];
}

/* What of its operand an op reads for output position i: first and last, and how far apart. */
static void reach(const spx_deploy_op *op, int64_t i, int64_t *first, int64_t *last)
{
    const int64_t at = i * op->stride;
    switch (op->kind) {
    case SPX_DEPLOY_CONV:
        *first = at - op->pad;
        *last = *first + (op->size - 1) * op->dilation;
        break;
    case SPX_DEPLOY_POOL:
        *first = at - op->pad;
        *last = *first + op->size - 1;
        break;
    default:
        *first = *last = at + op->offset;
    }
}

/* ---- windows ---- */

/* Linear values are cut at their borders, as the ops cut them; what lies in front is not. */
static void find_windows(const segment *s, int axis, int64_t i, span *window)
{
    const spx_deploy_draft *d = s->d;
    for (int v = 0; v < d->n_values; v++) {
        window[v] = (span){0, -1};
    }
    window[s->v] = (span){i, i};
    for (int o = d->n_ops - 1; o >= 0; o--) {
        const spx_deploy_op *op = &d->op[o];
        if (!takes_part(s, op) || window[op->out].end < window[op->out].begin) {
            continue;
        }
        span *in = &window[op->in], now;
        int64_t unused;
        reach(op, window[op->out].begin, &now.begin, &unused);
        reach(op, window[op->out].end, &unused, &now.end);
        if (is_linear(s, op->in) || op->kind == SPX_DEPLOY_POOL) {
            const int64_t side = side_of(&d->value[op->in], axis);
            now.begin = now.begin < 0 ? 0 : now.begin;
            now.end = now.end >= side ? side - 1 : now.end;
        }
        if (now.end < now.begin) {
            continue;
        }
        const bool first = in->end < in->begin;
        in->begin = first || now.begin < in->begin ? now.begin : in->begin;
        in->end = first || now.end > in->end ? now.end : in->end;
    }
}

/* Whether a row's windows are another's, moved: then their coefficients are the same. */
static bool cut_alike(const segment *s, int axis, const span *a, int64_t at_a, const span *b,
                      int64_t at_b)
{
    const spx_deploy_draft *d = s->d;
    int64_t step[SPX_DEPLOY_MAX_VALUES] = {0};
    assert(d->n_values <= SPX_DEPLOY_MAX_VALUES);
    step[s->v] = 1;
    for (int o = d->n_ops - 1; o >= 0; o--) {
        const spx_deploy_op *op = &d->op[o];
        if (!takes_part(s, op) || step[op->out] == 0) {
            continue;
        }
        const int64_t steps = step[op->out] * op->stride;
        if (step[op->in] != 0 && step[op->in] != steps) {
            return false; /* read in two strides at once: no move brings one onto the other */
        }
        step[op->in] = steps;
        const span *x = &a[op->in], *y = &b[op->in];
        const int64_t move = (at_b - at_a) * step[op->in];
        if (x->begin + move != y->begin || x->end + move != y->end) {
            return false;
        }
        if (op->kind == SPX_DEPLOY_POOL) { /* its factors change at the border */
            const int64_t side = side_of(&d->value[op->out], axis);
            const span *p = &a[op->out], *q = &b[op->out];
            const int64_t near_p = p->begin < op->size ? p->begin : op->size;
            const int64_t near_q = q->begin < op->size ? q->begin : op->size;
            const int64_t far_p = side - p->end < op->size ? side - p->end : op->size;
            const int64_t far_q = side - q->end < op->size ? side - q->end : op->size;
            if (near_p != near_q || far_p != far_q) {
                return false;
            }
        }
    }
    return true;
}

static spx_status find_kinds(segment *s, int axis)
{
    const int64_t side = side_of(&s->d->value[s->v], axis);
    const size_t n = (size_t)s->d->n_values;
    SPX_RETURN_IF(SPX_NEW(s->window[axis], (size_t)side * n));
    SPX_RETURN_IF(SPX_NEW(s->kind[axis], (size_t)(2 * side)));
    s->first[axis] = s->kind[axis] + side;
    for (int64_t i = 0; i < side; i++) {
        span *own = s->window[axis] + (size_t)i * n;
        int k = 0;
        find_windows(s, axis, i, own);
        for (; k < s->n_kinds[axis]; k++) {
            const int64_t other = s->first[axis][k];
            if (cut_alike(s, axis, s->window[axis] + (size_t)other * n, other, own, i)) {
                break;
            }
        }
        if (k == s->n_kinds[axis]) {
            s->first[axis][s->n_kinds[axis]++] = i;
        }
        s->kind[axis][i] = k;
    }
    return SPX_OK;
}

/* Of all kinds, the one in the middle of the map. */
static void keep_middle(segment *s, int axis)
{
    const int64_t side = side_of(&s->d->value[s->v], axis), kind = s->kind[axis][side / 2];
    s->first[axis][0] = s->first[axis][kind];
    s->n_kinds[axis] = 1;
    for (int64_t i = 0; i < side; i++) {
        s->kind[axis][i] = s->kind[axis][i] == kind ? 0 : -1;
    }
}

static int64_t length(span w)
{
    return w.end - w.begin + 1;
}

static const span *windows(const segment *s, int axis, int kind)
{
    return s->window[axis] + (size_t)s->first[axis][kind] * (size_t)s->d->n_values;
}

static double macs(const segment *s)
{
    const spx_deploy_draft *d = s->d;
    double sum = 0;
    for (int r = 0; r < s->n_kinds[0]; r++) {
        for (int c = 0; c < s->n_kinds[1]; c++) {
            for (int o = 0; o < d->n_ops; o++) {
                const spx_deploy_op *op = &d->op[o];
                if (takes_part(s, op) && op->kind == SPX_DEPLOY_CONV) {
                    sum += (double)(length(windows(s, 0, r)[op->out]) *
                                    length(windows(s, 1, c)[op->out]) * op->size * op->size) *
                           (double)(d->value[s->v].c * d->value[op->out].c * d->value[op->in].c);
                }
            }
        }
    }
    return sum;
}

/* ---- what is the same for all elements ---- */

static void find_inside(segment *s)
{
    s->inside[s->v] = true;
    for (int o = s->d->n_ops - 1; o >= 0; o--) {
        const spx_deploy_op *op = &s->d->op[o];
        if (takes_part(s, op) && is_linear(s, op->in)) {
            s->inside[op->in] = true;
        }
    }
}

static spx_status transpose_weights(segment *s)
{
    for (int o = 0; o < s->d->n_ops; o++) {
        const spx_deploy_op *op = &s->d->op[o];
        if (op->kind != SPX_DEPLOY_CONV || !takes_part(s, op)) {
            continue;
        }
        const int64_t taps = op->size * op->size;
        const int64_t n = s->d->value[op->out].c * s->d->value[op->in].c;
        SPX_RETURN_IF(SPX_NEW(s->w[o], (size_t)(n * taps)));
        for (int64_t i = 0; i < n; i++) {
            for (int64_t t = 0; t < taps; t++) {
                s->w[o][t * n + i] = op->weights[i * taps + t];
            }
        }
    }
    return SPX_OK;
}

/* y += op applied to x, one element of x at a time. */
static void spread(const segment *s, int o, const double *x, double *y)
{
    const spx_deploy_op *op = &s->d->op[o];
    const spx_deploy_value *in = &s->d->value[op->in], *out = &s->d->value[op->out];
    const int64_t n = op->kind == SPX_DEPLOY_PICK ? 1 : op->size * op->size;
    const int64_t dilation = op->kind == SPX_DEPLOY_CONV ? op->dilation : 1;
    const int64_t size = op->kind == SPX_DEPLOY_PICK ? 1 : op->size;
    for (int64_t pixel = 0; pixel < out->h * out->w; pixel++) {
        for (int64_t t = 0; t < n; t++) {
            int64_t row, column, unused;
            reach(op, pixel / out->w, &row, &unused);
            reach(op, pixel % out->w, &column, &unused);
            row += t / size * dilation;
            column += t % size * dilation;
            if (row < 0 || row >= in->h || column < 0 || column >= in->w) {
                continue;
            }
            const double *from = x + row * in->w + column;
            double *to = y + pixel;
            if (op->kind == SPX_DEPLOY_CONV) {
                const double *w = s->w[o] + t * out->c * in->c;
                for (int64_t k = 0; k < out->c * in->c; k++) {
                    to[k / in->c * out->h * out->w] += w[k] * from[k % in->c * in->h * in->w];
                }
                continue;
            }
            const bool pool = op->kind == SPX_DEPLOY_POOL;
            const double by = pool ? (double)(op->denominator /
                                              spx_deploy_pool_window(op, in->h, pixel / out->w)) *
                                         (double)(op->denominator /
                                                  spx_deploy_pool_window(op, in->w, pixel % out->w))
                                   : ldexp(1, op->shift);
            for (int64_t k = 0; k < (pool ? in->c : op->channels); k++) {
                to[(op->out_first + k) * out->h * out->w] +=
                    by * from[(op->in_first + k) * in->h * in->w];
            }
        }
    }
}

/* The segment's output where image and activations are zero. */
static spx_status find_bias(segment *s)
{
    const spx_deploy_draft *d = s->d;
    double **value = NULL;
    spx_status st;
    SPX_RETURN_IF(SPX_NEW(value, (size_t)d->n_values));
    for (int v = 0; v < d->n_values; v++) {
        if (s->inside[v]) {
            SPX_TRY(st, SPX_NEW(value[v], (size_t)(d->value[v].c * d->value[v].h * d->value[v].w)),
                    end);
        }
    }
    for (int o = 0; o < d->n_ops; o++) {
        const spx_deploy_op *op = &d->op[o];
        if (op->kind == SPX_DEPLOY_BIAS && s->inside[op->out]) {
            const int64_t n = d->value[op->out].c * d->value[op->out].h * d->value[op->out].w;
            for (int64_t i = 0; i < n; i++) {
                value[op->out][i] += (double)op->bias[i];
            }
        } else if (takes_part(s, op) && is_linear(s, op->in)) {
            spread(s, o, value[op->in], value[op->out]);
        }
    }
    s->bias = value[s->v];
    value[s->v] = NULL;
    st = SPX_OK;
end:
    for (int v = 0; v < d->n_values; v++) {
        spx_free(value[v]);
    }
    spx_free(value);
    return st;
}

/* ---- backwards ---- */

typedef struct walk {
    const segment *s;
    const span *rows, *columns;
    int64_t first, n; /* output channels */
    double **g;       /* [n_values] [row][column][n][c]: coefficients */
} walk;

static double *coefficients(const walk *w, int v, int64_t row, int64_t column)
{
    const int64_t at =
        (row - w->rows[v].begin) * length(w->columns[v]) + column - w->columns[v].begin;
    return w->g[v] + at * w->n * w->s->d->value[v].c;
}

static bool in_window(const walk *w, int v, int64_t row, int64_t column)
{
    return row >= w->rows[v].begin && row <= w->rows[v].end && column >= w->columns[v].begin &&
           column <= w->columns[v].end;
}

static void back_conv(const walk *w, int o, const double *from, int64_t row, int64_t column)
{
    const spx_deploy_op *op = &w->s->d->op[o];
    const int64_t k = w->s->d->value[op->out].c, c = w->s->d->value[op->in].c;
    for (int64_t t = 0; t < op->size * op->size; t++) {
        const int64_t y = row * op->stride - op->pad + t / op->size * op->dilation;
        const int64_t x = column * op->stride - op->pad + t % op->size * op->dilation;
        if (in_window(w, op->in, y, x)) {
            spx_matmul_f64((size_t)w->n, (size_t)c, (size_t)k, from, (size_t)k,
                           w->s->w[o] + t * k * c, (size_t)c, coefficients(w, op->in, y, x),
                           (size_t)c);
        }
    }
}

static void back_public(const walk *w, int o, const double *from, int64_t row, int64_t column)
{
    const spx_deploy_op *op = &w->s->d->op[o];
    const spx_deploy_value *in = &w->s->d->value[op->in], *out = &w->s->d->value[op->out];
    const bool pool = op->kind == SPX_DEPLOY_POOL;
    const double by =
        pool ? (double)(op->denominator / spx_deploy_pool_window(op, in->h, row)) *
                   (double)(op->denominator / spx_deploy_pool_window(op, in->w, column))
             : ldexp(1, op->shift);
    int64_t top, bottom, left, right;
    reach(op, row, &top, &bottom);
    reach(op, column, &left, &right);
    for (int64_t y = top; y <= bottom; y++) {
        for (int64_t x = left; x <= right; x++) {
            if (!in_window(w, op->in, y, x)) {
                continue;
            }
            double *to = coefficients(w, op->in, y, x);
            for (int64_t k = 0; k < w->n; k++) {
                for (int64_t i = 0; i < (pool ? in->c : op->channels); i++) {
                    to[k * in->c + op->in_first + i] += by * from[k * out->c + op->out_first + i];
                }
            }
        }
    }
}

static void back_op(const walk *w, int o)
{
    const spx_deploy_op *op = &w->s->d->op[o];
    const span rows = w->rows[op->out], columns = w->columns[op->out];
    for (int64_t row = rows.begin; row <= rows.end; row++) {
        for (int64_t column = columns.begin; column <= columns.end; column++) {
            const double *from = coefficients(w, op->out, row, column);
            if (op->kind == SPX_DEPLOY_CONV) {
                back_conv(w, o, from, row, column);
            } else {
                back_public(w, o, from, row, column);
            }
        }
    }
}

static spx_status walk_begin(walk *w)
{
    const spx_deploy_draft *d = w->s->d;
    void *memory = NULL;
    SPX_RETURN_IF(SPX_NEW(w->g, (size_t)d->n_values));
    for (int v = 0; v < d->n_values; v++) {
        if (w->rows[v].end >= w->rows[v].begin && w->columns[v].end >= w->columns[v].begin) {
            SPX_RETURN_IF(spx_calloc(&memory, (size_t)(length(w->rows[v]) * length(w->columns[v])),
                                     (size_t)(w->n * d->value[v].c) * sizeof(double)));
            w->g[v] = memory;
        }
    }
    for (int64_t k = 0; k < w->n; k++) {
        w->g[w->s->v][k * d->value[w->s->v].c + w->first + k] = 1;
    }
    return SPX_OK;
}

/* Sums of positive and negative coefficients times the largest elements they meet. */
static void sum_parts(const walk *w, int64_t k, double *low, double *high)
{
    const spx_deploy_draft *d = w->s->d;
    for (int v = 0; v < d->n_values; v++) {
        const int64_t c = d->value[v].c;
        if (w->g[v] == NULL || d->value[v].kind == SPX_DEPLOY_LINEAR) {
            continue;
        }
        const double *least = w->s->all[v].low; /* of a channel: 0, or below where it is signed */
        double positive = 0, negative = 0, up = 0, down = 0;
        for (int64_t i = 0; i < length(w->rows[v]) * length(w->columns[v]); i++) {
            const double *g = w->g[v] + (i * w->n + k) * c;
            for (int64_t j = 0; j < c; j++) {
                positive += fmax(g[j], 0);
                negative += fmin(g[j], 0);
                up += fmin(g[j], 0) * least[j];
                down += fmax(g[j], 0) * least[j];
            }
        }
        const double most = ldexp(1, d->value[v].bits) - 1;
        *high += positive * most + up;
        *low += negative * most + down;
    }
}

/* The element's coefficients meet the biases of all elements that are cut alike. */
static void add_biases(const segment *s, int row_kind, int column_kind, int64_t k, double *low,
                       double *high)
{
    const spx_deploy_value *v = &s->d->value[s->v];
    double least = INFINITY, most = -INFINITY;
    for (int64_t i = 0; i < v->h * v->w; i++) {
        if (s->kind[0][i / v->w] == row_kind && s->kind[1][i % v->w] == column_kind) {
            least = fmin(least, s->bias[k * v->h * v->w + i]);
            most = fmax(most, s->bias[k * v->h * v->w + i]);
        }
    }
    *low += least;
    *high += most;
}

/* ---- all kinds of elements ---- */

typedef struct job {
    const segment *s;
    spx_bound found[SPX_POOL_MAX_THREADS]; /* per worker */
    spx_status st[SPX_POOL_MAX_THREADS];
} job;

static int64_t blocks_of(const segment *s)
{
    return (s->d->value[s->v].c + BLOCK - 1) / BLOCK;
}

static spx_status compose(const segment *s, int row_kind, int column_kind, int64_t block,
                          spx_bound *found)
{
    const int64_t c = s->d->value[s->v].c, left = c - block * BLOCK;
    walk w = {.s = s,
              .rows = windows(s, 0, row_kind),
              .columns = windows(s, 1, column_kind),
              .first = block * BLOCK,
              .n = left < BLOCK ? left : BLOCK};
    spx_status st;
    SPX_TRY(st, walk_begin(&w), end);
    for (int o = s->d->n_ops - 1; o >= 0; o--) {
        const spx_deploy_op *op = &s->d->op[o];
        if (takes_part(s, op) && w.g[op->out] != NULL && w.g[op->in] != NULL) {
            back_op(&w, o);
        }
    }
    for (int64_t k = 0; k < w.n; k++) {
        double low = 0, high = 0;
        const double rounding = ldexp(s->all[s->v].size[w.first + k], -28) + 1;
        sum_parts(&w, k, &low, &high);
        add_biases(s, row_kind, column_kind, w.first + k, &low, &high);
        found->low = fmin(found->low, low - rounding);
        found->high = fmax(found->high, high + rounding);
    }
end:
    for (int v = 0; w.g != NULL && v < s->d->n_values; v++) {
        spx_free(w.g[v]);
    }
    spx_free(w.g);
    return st;
}

static void compose_range(void *ctx, int worker, size_t begin, size_t end)
{
    job *j = ctx;
    const size_t blocks = (size_t)blocks_of(j->s), columns = (size_t)j->s->n_kinds[1];
    for (size_t i = begin; i < end && j->st[worker] == SPX_OK; i++) {
        j->st[worker] = compose(j->s, (int)(i / blocks / columns), (int)(i / blocks % columns),
                                (int64_t)(i % blocks), &j->found[worker]);
    }
}

static spx_status compose_all(const segment *s, spx_pool *pool, spx_bound *out)
{
    job j = {.s = s};
    const size_t n = (size_t)(s->n_kinds[0] * s->n_kinds[1]) * (size_t)blocks_of(s);
    if (pool != NULL) {
        spx_pool_run(pool, n, compose_range, &j);
    } else {
        compose_range(&j, 0, 0, n);
    }
    spx_bound all = {.composed = true};
    for (int i = 0; i < (pool != NULL ? spx_pool_threads(pool) : 1); i++) {
        if (j.st[i] != SPX_OK) {
            return SPX_FAIL(j.st[i], "bounds: out of memory");
        }
        all.low = fmin(all.low, j.found[i].low);
        all.high = fmax(all.high, j.found[i].high);
    }
    all.low = fmax(all.low, out->low); /* both are proven */
    all.high = fmin(all.high, out->high);
    *out = all;
    return SPX_OK;
}

spx_status spx_bound_segment(const spx_deploy_draft *d, spx_pool *pool, const spx_interval *all,
                             int v, double most_macs, bool estimate, spx_bound *out)
{
    segment s = {.d = d, .v = v, .all = all};
    spx_status st;
    SPX_TRY(st, SPX_NEW(s.inside, (size_t)d->n_values), end);
    SPX_TRY(st, SPX_NEW(s.w, (size_t)d->n_ops), end);
    find_inside(&s);
    SPX_TRY(st, find_kinds(&s, 0), end);
    SPX_TRY(st, find_kinds(&s, 1), end);
    if (macs(&s) > most_macs) {
        goto end;
    }
    if (estimate) {
        keep_middle(&s, 0);
        keep_middle(&s, 1);
    }
    SPX_TRY(st, transpose_weights(&s), end);
    SPX_TRY(st, find_bias(&s), end);
    st = compose_all(&s, pool, out);
end:
    for (int o = 0; s.w != NULL && o < d->n_ops; o++) {
        spx_free(s.w[o]);
    }
    for (int axis = 0; axis < 2; axis++) {
        spx_free(s.window[axis]);
        spx_free(s.kind[axis]);
    }
    spx_free(s.w);
    spx_free(s.inside);
    spx_free(s.bias);
    return st;
}
