/* Scales, integer weights and biases, value by value. */
#include "host/model/deploy_private.h"
#include "host/model/quantise_private.h"
#include "kernels/base/alloc.h"

#include <math.h>
#include <string.h>

#define MOST_SHIFT 62

typedef struct maker {
    spx_quantised *q;
    const spx_fold *f;
    const double *const *clip;
    const spx_quantise_options *o;
    const int *segment;
    const double *bits;
    bool *copied; /* [fold's ops] convolutions that become shifts */
    int relus;    /* so far */
} maker;

/* ---- growing ---- */

static spx_status add_value(spx_quantised *q, const spx_deploy_value *like, int64_t c, int *out)
{
    double *scale;
    if (q->n_values == SPX_DEPLOY_MAX_VALUES) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "quantisation: more than %d values",
                        SPX_DEPLOY_MAX_VALUES);
    }
    SPX_RETURN_IF(SPX_NEW(scale, (size_t)c));
    const int v = q->n_values++;
    q->scale[v] = scale;
    q->value[v] =
        (spx_deploy_value){.kind = like->kind, .c = c, .h = like->h, .w = like->w, .bits = 64};
    *out = v;
    return SPX_OK;
}

static spx_status add_op(spx_quantised *q, const spx_deploy_op *op)
{
    if (q->n_ops == SPX_DEPLOY_MAX_OPS) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "quantisation: more than %d ops", SPX_DEPLOY_MAX_OPS);
    }
    q->op[q->n_ops++] = *op;
    return SPX_OK;
}

/* ---- weights ---- */

static int64_t row_size(const spx_fold *f, const spx_deploy_op *d)
{
    return f->value[d->in].c * d->size * d->size;
}

/* Largest size in row k of an op's weights per unit of its operand. */
static double row_max(const maker *m, const spx_fold_op *op, int64_t k)
{
    const int64_t n = row_size(m->f, &op->d), taps = op->d.size * op->d.size;
    const double *scale = m->q->scale[m->q->map[op->d.in]];
    double max = 0;
    for (int64_t i = 0; i < n; i++) {
        max = fmax(max, fabs(op->w[k * n + i]) / scale[i / taps]);
    }
    return max;
}

/* Largest integer weight of an op under its output's scale. */
static double weight_max(const maker *m, const spx_fold_op *op, const double *scale)
{
    double max = 0;
    for (int64_t k = 0; k < m->f->value[op->d.out].c; k++) {
        max = fmax(max, row_max(m, op, k) * scale[k]);
    }
    return max;
}

static int width_of(double max)
{
    int bits = 2;
    while (ldexp(1, bits - 1) - 1 < nearbyint(max)) {
        bits++;
    }
    return bits;
}

/* CONV op with its weights under 2^-shift of the output's scale, into value `out`. */
static spx_status emit_conv(maker *m, const spx_fold_op *op, const double *scale, int shift,
                            int out)
{
    const int64_t n = row_size(m->f, &op->d), taps = op->d.size * op->d.size;
    const int64_t rows = m->f->value[op->d.out].c;
    const double *in_scale = m->q->scale[m->q->map[op->d.in]];
    spx_deploy_op d = op->d;
    int32_t *w;
    SPX_RETURN_IF(SPX_NEW(w, (size_t)(rows * n)));
    double max = 0, carried = 0;
    for (int64_t i = 0; i < rows * n; i++) {
        const double exact = ldexp(op->w[i] * scale[i / n] / in_scale[i % n / taps], -shift);
        double v = nearbyint(exact + carried);
        /* Shifted so far no width holds it, and the segment's weights will lose bits. */
        v = shift == MOST_SHIFT
                ? fmin(fmax(v, -SPX_CONV2D_RING_MAX_WEIGHT), SPX_CONV2D_RING_MAX_WEIGHT)
                : v;
        if (!(fabs(v) <= SPX_CONV2D_RING_MAX_WEIGHT)) {
            spx_free(w);
            return SPX_FAIL(SPX_ENUMERIC, "quantisation: a weight that fits no scale");
        }
        /* What rounding leaves goes to the next tap, which sees much the same. */
        carried = (i + 1) % n == 0 ? 0 : carried + exact - v;
        max = fmax(max, fabs(v));
        w[i] = (int32_t)v;
    }
    d.in = m->q->map[op->d.in];
    d.out = out;
    d.width = width_of(max);
    d.weights = w;
    m->q->depth[out] =
        m->q->depth[d.in] + 1 > m->q->depth[out] ? m->q->depth[d.in] + 1 : m->q->depth[out];
    const spx_status st = add_op(m->q, &d);
    if (st != SPX_OK) {
        spx_free(w);
    }
    return st;
}

/* The bias map; what a ReLU reads gets the rounding offset too. */
static spx_status emit_bias(maker *m, int v, const double *bias, int round_shift)
{
    const int out = m->q->map[v];
    const spx_deploy_value *value = &m->q->value[out];
    const int64_t map = value->h * value->w;
    const int64_t offset =
        round_shift > 0 ? (int64_t)1 << ((round_shift < MOST_SHIFT ? round_shift : MOST_SHIFT) - 1)
                        : 0;
    int64_t *b;
    if (bias == NULL && offset == 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(SPX_NEW(b, (size_t)(value->c * map)));
    for (int64_t i = 0; i < value->c * map; i++) {
        /* Beyond 2^62 no width will hold it, and the segment's weights will lose bits. */
        const double exact = bias != NULL ? nearbyint(bias[i] * m->q->scale[out][i / map]) : 0;
        const double x = fmin(fmax(exact, -0x1p62), 0x1p62);
        if (isnan(exact)) {
            spx_free(b);
            return SPX_FAIL(SPX_ENUMERIC, "quantisation: a bias that is no number");
        }
        b[i] = (int64_t)x + offset;
    }
    const spx_deploy_op d = {.kind = SPX_DEPLOY_BIAS, .in = -1, .out = out, .bias = b};
    const spx_status st = add_op(m->q, &d);
    if (st != SPX_OK) {
        spx_free(b);
    }
    return st;
}

/* ---- scales ---- */

/* The ops that make one value: [begin, end) of the fold's. */
typedef struct group {
    int begin, end;
    int relu;        /* the first RELU op that reads it, or -1 */
    int deepest;     /* depth of the deepest operand of its convolutions */
    int least_shift; /* of that RELU: what is copied can be shifted left only */
} group;

/* Whether fold op i has secret weights. */
static bool is_conv(const maker *m, int i)
{
    return m->f->op[i].d.kind == SPX_DEPLOY_CONV && !m->copied[i];
}

/* The depth of what fold op i convolves; -1 of another op. */
static int conv_depth(const maker *m, int i)
{
    return is_conv(m, i) ? m->q->depth[m->q->map[m->f->op[i].d.in]] : -1;
}

static bool is_deep(const maker *m, const group *g, int i)
{
    return is_conv(m, i) && conv_depth(m, i) == g->deepest;
}

/* Largest weights of row k per unit of their operands, of deep and of shallower convolutions. */
static void row_parts(const maker *m, const group *g, int64_t k, double *deep, double *shallow)
{
    *deep = *shallow = 0;
    for (int i = g->begin; i < g->end; i++) {
        if (is_conv(m, i)) {
            double *max = is_deep(m, g, i) ? deep : shallow;
            *max = fmax(*max, row_max(m, &m->f->op[i], k));
        }
    }
}

/*
 * Each channel so that its deepest weights use all bits. A channel whose deep weights are far
 * smaller, beside its shallow ones, than the value's are need not be as fine: it would only make
 * the shallow ones wide.
 */
static void scale_linear(const maker *m, const group *g, double most, double *scale, int64_t c)
{
    const double lag = 1.0 / 4;
    double all_deep = 0, all_shallow = 0, deep, shallow;
    for (int64_t k = 0; k < c; k++) {
        row_parts(m, g, k, &deep, &shallow);
        all_deep = fmax(all_deep, deep);
        all_shallow = fmax(all_shallow, shallow);
    }
    const double ratio = all_shallow > 0 ? lag * all_deep / all_shallow : 0;
    for (int64_t k = 0; k < c; k++) {
        row_parts(m, g, k, &deep, &shallow);
        deep = fmax(deep, shallow * ratio);
        scale[k] = deep > 0 ? most / deep : shallow > 0 ? most / shallow : 1;
    }
}

/* One scale for all logits. */
static void scale_logits(const maker *m, const group *g, double most, double *scale, int64_t c)
{
    double least = INFINITY;
    scale_linear(m, g, most, scale, c);
    for (int64_t k = 0; k < c; k++) {
        least = fmin(least, scale[k]);
    }
    for (int64_t k = 0; k < c; k++) {
        scale[k] = least;
    }
}

static int relu_number(const maker *m, int op)
{
    int n = 0;
    for (int i = 0; i < op; i++) {
        n += m->f->op[i].d.kind == SPX_DEPLOY_RELU;
    }
    return n;
}

static void scale_activation(const maker *m, int relu, double *scale, int64_t c)
{
    for (int64_t k = 0; k < c; k++) {
        scale[k] = (ldexp(1, m->o->activation_bits) - 1) / m->clip[relu][k];
    }
}

/* From an activation's scale to 2^f times as much; *shift receives f. */
static void scale_relu(const maker *m, const group *g, double most, double *scale, int64_t c,
                       int *shift)
{
    double max = 0;
    for (int i = g->begin; i < g->end; i++) {
        if (is_deep(m, g, i)) {
            max = fmax(max, weight_max(m, &m->f->op[i], scale));
        }
    }
    *shift = 0;
    while (*shift < 1000 && max > 0 && ldexp(max, *shift + 1) <= most) {
        ++*shift;
    }
    *shift = *shift < g->least_shift ? g->least_shift : *shift;
    for (int64_t k = 0; k < c; k++) {
        scale[k] = ldexp(scale[k], *shift);
    }
}

/* ---- values ---- */

/* The widest integer weight of fold op i under the value's scale, where it is not emitted yet and
 * its operand is of that depth; 0: it is none of these. */
static int shallow_width(const maker *m, const group *g, int i, int depth, const double *scale,
                         const bool *emitted)
{
    return conv_depth(m, i) == depth && !emitted[i - g->begin]
               ? width_of(weight_max(m, &m->f->op[i], scale))
               : 0;
}

/* Those of a depth that are too wide and of like widths, into a value of their own. *more: whether
 * there were any. */
static spx_status emit_part(maker *m, const group *g, int v, int depth, const double *scale,
                            int bits, bool *emitted, bool *more)
{
    const int out = m->q->map[v];
    const spx_deploy_value like = m->q->value[out];
    int least = 0, part;
    for (int i = g->begin; i < g->end; i++) {
        const int width = shallow_width(m, g, i, depth, scale, emitted);
        least = width > SPX_QUANTISE_WIDE && (least == 0 || width < least) ? width : least;
    }
    *more = least > 0;
    if (least == 0) {
        return SPX_OK;
    }
    const int shift = least - bits < MOST_SHIFT ? least - bits : MOST_SHIFT;
    SPX_RETURN_IF(add_value(m->q, &like, like.c, &part));
    for (int i = g->begin; i < g->end; i++) {
        const int width = shallow_width(m, g, i, depth, scale, emitted);
        if (width > SPX_QUANTISE_WIDE &&
            (width - shift <= SPX_QUANTISE_WIDE || shift == MOST_SHIFT)) {
            SPX_RETURN_IF(emit_conv(m, &m->f->op[i], scale, shift, part));
            emitted[i - g->begin] = true;
        }
    }
    for (int64_t k = 0; k < like.c; k++) {
        m->q->scale[part][k] = ldexp(scale[k], -shift);
    }
    return add_op(m->q, &(spx_deploy_op){.kind = SPX_DEPLOY_PICK,
                                         .in = part,
                                         .out = out,
                                         .channels = like.c,
                                         .stride = 1,
                                         .shift = shift});
}

/*
 * Convolutions too wide for their value go, by depth, into values of their own, which are shifted
 * in public: so wide a weight would only add zeros and noise.
 */
static spx_status emit_shifted(maker *m, const group *g, int v, const double *scale, int bits,
                               bool *emitted)
{
    for (int depth = 0; depth < g->deepest; depth++) {
        for (bool more = true; more;) {
            SPX_RETURN_IF(emit_part(m, g, v, depth, scale, bits, emitted, &more));
        }
    }
    return SPX_OK;
}

/* ---- copies ---- */

/* By how much channels of fold op i's output are finer than those of its input that it copies, a
 * power of two; false: it is another for each, or the op does more than copy. */
static bool copy_ratio(const maker *m, int i, const double *scale, int *ratio)
{
    const spx_fold_op *op = &m->f->op[i];
    spx_copy_run run[SPX_COPY_RUNS];
    const int runs = spx_copy_runs(m->f, op, run);
    const double *in;
    double by = 0;
    if (runs == 0) { /* a bias has no input */
        return false;
    }
    in = m->q->scale[m->q->map[op->d.in]];
    for (int r = 0; r < runs; r++) {
        for (int64_t k = 0; k < run[r].channels; k++) {
            const double now = scale[run[r].out_first + k] / in[run[r].in_first + k];
            if (frexp(now, ratio) != 0.5 || (by != 0 && now != by)) {
                return false;
            }
            by = now;
        }
    }
    --*ratio; /* frexp's mantissa of a power of two is one half */
    return true;
}

/* Which convolutions into what a RELU reads are shifts, and how far it has to shift for that.
 * @param scale  the activation's */
static void find_copies(maker *m, group *g, const double *scale)
{
    for (int i = g->begin; i < g->end; i++) {
        int ratio;
        if (copy_ratio(m, i, scale, &ratio) && -ratio <= SPX_DEPLOY_MAX_ACTIVATION_BITS) {
            m->copied[i] = true;
            g->least_shift = -ratio > g->least_shift ? -ratio : g->least_shift;
        }
    }
}

static void find_deepest(const maker *m, group *g)
{
    g->deepest = 0;
    for (int i = g->begin; i < g->end; i++) {
        const int depth = conv_depth(m, i);
        g->deepest = depth > g->deepest ? depth : g->deepest;
    }
}

/* The same channels by PICK, under the output's scale. */
static spx_status emit_copy(maker *m, int i, const double *scale, int out)
{
    const spx_fold_op *op = &m->f->op[i];
    const int in = m->q->map[op->d.in];
    spx_copy_run run[SPX_COPY_RUNS];
    const int runs = spx_copy_runs(m->f, op, run);
    int shift;
    (void)copy_ratio(m, i, scale, &shift);
    for (int r = 0; r < runs; r++) {
        SPX_RETURN_IF(add_op(m->q, &(spx_deploy_op){.kind = SPX_DEPLOY_PICK,
                                                    .in = in,
                                                    .out = out,
                                                    .in_first = run[r].in_first,
                                                    .out_first = run[r].out_first,
                                                    .channels = run[r].channels,
                                                    .stride = 1,
                                                    .shift = shift}));
    }
    m->q->depth[out] = m->q->depth[in] > m->q->depth[out] ? m->q->depth[in] : m->q->depth[out];
    return SPX_OK;
}

static spx_status make_secret(maker *m, group *g, int v)
{
    const int out = m->q->map[v];
    const double most = exp2(m->bits[m->segment[v]] - 1) - 1; /* of the deepest weights */
    const int64_t c = m->f->value[v].c;
    double *scale = m->q->scale[out];
    bool emitted[256] = {0};
    const double *bias = NULL;
    int shift = 0;
    if (g->end - g->begin > 256) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "quantisation: a value of more than 256 ops");
    }
    if (g->relu >= 0) {
        scale_activation(m, relu_number(m, g->relu), scale, c);
        find_copies(m, g, scale);
    }
    find_deepest(m, g);
    if (g->relu >= 0) {
        scale_relu(m, g, most, scale, c, &shift);
    } else if (v == m->f->logits) {
        scale_logits(m, g, most, scale, c);
    } else {
        scale_linear(m, g, most, scale, c);
    }
    SPX_RETURN_IF(emit_shifted(m, g, v, scale, width_of(most), emitted));
    for (int i = g->begin; i < g->end; i++) {
        if (m->f->op[i].d.kind == SPX_DEPLOY_BIAS) {
            bias = m->f->op[i].w;
        } else if (m->copied[i]) {
            SPX_RETURN_IF(emit_copy(m, i, scale, out));
        } else if (!emitted[i - g->begin]) {
            SPX_RETURN_IF(emit_conv(m, &m->f->op[i], scale, 0, out));
        }
    }
    return emit_bias(m, v, bias, shift);
}

/* POOL and PICK keep the scale. */
static spx_status make_public(maker *m, const group *g, int v)
{
    const int out = m->q->map[v];
    for (int i = g->begin; i < g->end; i++) {
        spx_deploy_op d = m->f->op[i].d;
        d.in = m->q->map[d.in];
        d.out = out;
        const int64_t n = d.kind == SPX_DEPLOY_POOL ? m->q->value[out].c : d.channels;
        for (int64_t k = 0; k < n; k++) {
            m->q->scale[out][d.out_first + k] = m->q->scale[d.in][d.in_first + k];
        }
        m->q->depth[out] =
            m->q->depth[d.in] > m->q->depth[out] ? m->q->depth[d.in] : m->q->depth[out];
        SPX_RETURN_IF(add_op(m->q, &d));
    }
    return SPX_OK;
}

/* The value is an activation: one RELU op. */
static spx_status make_activation(maker *m, const spx_deploy_op *relu)
{
    uint8_t *keep = NULL;
    spx_quantised *q = m->q;
    const int in = q->map[relu->in], out = q->map[relu->out];
    scale_activation(m, m->relus++, q->scale[out], q->value[out].c);
    const int shift = (int)lround(log2(q->scale[in][0] / q->scale[out][0]));
    q->value[out].bits = m->o->activation_bits;
    q->output[q->n_outputs++] = in;
    if (relu->dropped > 0) {
        const size_t bytes = spx_deploy_mask_bytes(m->f->value, relu);
        SPX_RETURN_IF(SPX_NEW(keep, bytes));
        memcpy(keep, relu->keep, bytes);
    }
    const spx_status st = add_op(q, &(spx_deploy_op){.kind = SPX_DEPLOY_RELU,
                                                     .in = in,
                                                     .out = out,
                                                     .shift = shift,
                                                     .bits = m->o->activation_bits,
                                                     .dropped = relu->dropped,
                                                     .keep = keep});
    if (st != SPX_OK) {
        spx_free(keep);
    }
    return st;
}

static void describe(const maker *m, group *g)
{
    const int v = m->f->op[g->begin].d.out;
    g->relu = -1;
    g->least_shift = 0;
    for (int i = g->end; i < m->f->n_ops && g->relu < 0; i++) {
        const spx_deploy_op *d = &m->f->op[i].d;
        g->relu = d->kind == SPX_DEPLOY_RELU && d->in == v ? i : -1;
    }
}

static spx_status make_value(maker *m, group *g)
{
    const spx_deploy_op *first = &m->f->op[g->begin].d;
    SPX_RETURN_IF(add_value(m->q, &m->f->value[first->out], m->f->value[first->out].c,
                            &m->q->map[first->out]));
    describe(m, g);
    switch (first->kind) {
    case SPX_DEPLOY_CONV:
    case SPX_DEPLOY_BIAS:
        return make_secret(m, g, first->out);
    case SPX_DEPLOY_RELU:
        return make_activation(m, first);
    default:
        return make_public(m, g, first->out);
    }
}

/* ---- the whole ---- */

static spx_status alloc(spx_quantised *q, const spx_fold *f)
{
    SPX_RETURN_IF(SPX_NEW(q->value, SPX_DEPLOY_MAX_VALUES));
    SPX_RETURN_IF(SPX_NEW(q->scale, SPX_DEPLOY_MAX_VALUES));
    SPX_RETURN_IF(SPX_NEW(q->depth, SPX_DEPLOY_MAX_VALUES));
    SPX_RETURN_IF(SPX_NEW(q->op, SPX_DEPLOY_MAX_OPS + 1));
    SPX_RETURN_IF(SPX_NEW(q->output, SPX_DEPLOY_MAX_VALUES));
    SPX_RETURN_IF(SPX_NEW(q->map, (size_t)f->n_values));
    return SPX_OK;
}

spx_status spx_quantised_make(spx_quantised *q, const spx_fold *f, const double *const *clip,
                              const spx_quantise_options *o, const int *segment, const double *bits)
{
    maker m = {.q = q, .f = f, .clip = clip, .o = o, .segment = segment, .bits = bits};
    spx_status st;
    memset(q, 0, sizeof *q);
    SPX_TRY(st, alloc(q, f), fail);
    SPX_TRY(st, SPX_NEW(m.copied, (size_t)f->n_ops), fail);
    SPX_TRY(st, add_value(q, &f->value[0], f->value[0].c, &q->map[0]), fail);
    q->value[0].bits = 8;
    for (int64_t c = 0; c < f->value[0].c; c++) {
        q->scale[0][c] = 1;
    }
    for (group g = {0}; g.begin < f->n_ops; g.begin = g.end) {
        g.end = g.begin + 1;
        while (g.end < f->n_ops && f->op[g.end].d.out == f->op[g.begin].d.out) {
            g.end++;
        }
        SPX_TRY(st, make_value(&m, &g), fail);
    }
    q->logits = q->map[f->logits];
    q->logit_scale = 1 / q->scale[q->logits][0];
    q->output[q->n_outputs++] = q->logits;
    spx_free(m.copied);
    return SPX_OK;
fail:
    spx_free(m.copied);
    spx_quantised_clear(q);
    return st;
}

void spx_quantised_clear(spx_quantised *q)
{
    for (int v = 0; v < q->n_values; v++) {
        spx_free(q->scale[v]);
    }
    spx_deploy_ops_free(q->op, q->n_ops);
    spx_free(q->value);
    spx_free(q->scale);
    spx_free(q->depth);
    spx_free(q->output);
    spx_free(q->map);
    memset(q, 0, sizeof *q);
}

spx_deploy_draft spx_quantised_draft(const spx_quantised *q)
{
    return (spx_deploy_draft){.value = q->value,
                              .op = q->op,
                              .n_values = q->n_values,
                              .n_ops = q->n_ops,
                              .logits = q->logits,
                              .logit_scale = q->logit_scale};
}
