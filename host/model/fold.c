/* Walks a graph, keeping for each tensor the expression it is. */
#include "host/model/fold.h"

#include "host/model/fold_private.h"

#include <math.h>
#include <string.h>

#define BN_EPS 1e-5 /* as kernels/nn/norm_sum */

typedef struct walk {
    const spx_fold_input *s;
    const spx_graph *g;
    spx_fold *f;
    spx_expr *expr;     /* [n_tensors] */
    int *last_use;      /* [n_tensors] the last node that reads the tensor (or its parent) */
    int *convs;         /* [n_tensors] convolutions that read the tensor itself */
    bool *as_value;     /* [n_tensors] some node needs it pointwise */
    spx_keeping *keeps; /* [n_nodes] of ReLUs */
    bool *idle;         /* [n_nodes] the logits do not depend on it */
} walk;

/* ---- parameters ---- */

/* A filter with zeros where its outputs do not read: of groups, (k, c, r, s) from (k, c/groups, r,
 * s): as many times the multiply-adds as there are groups. */
static spx_status make_dense(double **w, const spx_tensor *t, int64_t groups)
{
    const int64_t k = t->dim[0], each = t->dim[1], taps = t->dim[2] * t->dim[3];
    double *dense;
    if (groups == 1) {
        return SPX_OK;
    }
    SPX_RETURN_IF(SPX_NEW(dense, (size_t)(k * each * groups * taps)));
    for (int64_t i = 0; i < k; i++) {
        const int64_t first = i / (k / groups) * each;
        memcpy(dense + (i * each * groups + first) * taps, *w + i * each * taps,
               (size_t)(each * taps) * sizeof *dense);
    }
    spx_free(*w);
    *w = dense;
    return SPX_OK;
}

/* The node that makes t, looking back from node i. */
static const spx_node *maker(const walk *w, spx_tid t, int i)
{
    while (i-- > 0) {
        const spx_node *nd = &w->g->node[i];
        for (int j = 0; j < nd->n_out; j++) {
            if (nd->out[j] == t) {
                return nd;
            }
        }
    }
    return NULL;
}

/* ---- operands ---- */

static spx_status unsupported(const spx_node *nd)
{
    return SPX_FAIL(SPX_EUNSUPPORTED, "folding: %s (%s) cannot be evaluated privately%s",
                    nd->name != NULL ? nd->name : "a node", spx_op_name(nd->op),
                    nd->op == SPX_OP_MAX_POOL ? "; average pools can (--network NAME,pool=avg)"
                                              : "");
}

static bool known(const walk *w, spx_tid t)
{
    return w->expr[t].c > 0;
}

typedef spx_status (*part_fn)(walk *w, void *ctx, spx_expr *part, int64_t first);

/* Calls fn on x, or on the parts it was concatenated of. */
static spx_status each_part(walk *w, spx_tid x, part_fn fn, void *ctx)
{
    const spx_graph *g = w->g;
    if (known(w, x)) {
        return fn(w, ctx, &w->expr[x], 0);
    }
    int64_t channels = 0;
    for (spx_tid t = 0; t < g->n_tensors; t++) {
        if (g->tensor[t].parent == x && known(w, t)) {
            SPX_RETURN_IF(fn(w, ctx, &w->expr[t], g->tensor[t].first));
            channels += g->tensor[t].dim[1];
        }
    }
    return channels == g->tensor[x].dim[1]
               ? SPX_OK
               : SPX_FAIL(SPX_EUNSUPPORTED, "folding: a tensor that nothing linear makes");
}

static spx_expr zero_like(const walk *w, spx_tid t)
{
    const spx_tensor *p = &w->g->tensor[t];
    return spx_expr_zero(p->dim[1], p->rank == 4 ? p->dim[2] : 1, p->rank == 4 ? p->dim[3] : 1);
}

/* ---- nodes ---- */

typedef struct conv_part {
    spx_expr *to;
    const double *w;
    int64_t channels;
    spx_taps taps;
} conv_part;

static spx_status add_conv_part(walk *w, void *ctx, spx_expr *part, int64_t first)
{
    const conv_part *c = ctx;
    if (c->taps.size > 1 || c->taps.pad > 0) {
        SPX_RETURN_IF(spx_fold_make_pointwise(w->f, part));
    }
    return spx_expr_add_conv(c->to, part, c->w, c->channels, first, &c->taps);
}

static void add_constant(spx_expr *e, const double *by)
{
    for (int64_t i = 0; i < e->c * e->h * e->w; i++) {
        e->bias[i] += by[i / (e->h * e->w)];
    }
}

/* y = taps * x + bias[channel] */
static spx_status affine(walk *w, spx_tid x, const spx_taps *taps, int64_t groups, spx_tid weight,
                         spx_tid bias, spx_tid y)
{
    double *k = NULL, *b = NULL;
    spx_expr *to = &w->expr[y];
    spx_status st;
    *to = zero_like(w, y);
    SPX_TRY(st, spx_fold_parameter(w->s, weight, &k), end);
    SPX_TRY(st, make_dense(&k, &w->g->tensor[weight], groups), end);
    SPX_TRY(st, spx_fold_parameter(w->s, bias, &b), end);
    {
        conv_part c = {.to = to, .w = k, .channels = w->g->tensor[x].dim[1], .taps = *taps};
        SPX_TRY(st, each_part(w, x, add_conv_part, &c), end);
    }
    if (b != NULL) {
        if (to->bias == NULL) {
            SPX_TRY(st, SPX_NEW(to->bias, (size_t)(to->c * to->h * to->w)), end);
        }
        add_constant(to, b);
    }
end:
    spx_free(k);
    spx_free(b);
    return st;
}

static spx_status walk_conv(walk *w, int i)
{
    const spx_node *nd = &w->g->node[i];
    const spx_conv2d_attr a = spx_conv2d_attr_of(nd);
    for (int k = SPX_CONV2D_MEAN; k < nd->n_in; k++) {
        if (nd->in[k] != SPX_NO_TENSOR || nd->relu) {
            return unsupported(nd); /* fused: not as a builder made it */
        }
    }
    const int64_t size = w->g->tensor[nd->in[SPX_CONV2D_W]].dim[2];
    if (size == 1 && a.pad_end > 0) {
        return unsupported(nd);
    }
    const spx_taps taps = {size, a.stride, size > 1 ? a.dilation : 1, a.pad_begin};
    return affine(w, nd->in[SPX_CONV2D_X], &taps, a.groups, nd->in[SPX_CONV2D_W],
                  nd->in[SPX_CONV2D_BIAS], nd->out[0]);
}

/* x (n, c, h, w) read as a vector: a filter of the map's size. */
static spx_status walk_linear(walk *w, int i)
{
    const spx_node *nd = &w->g->node[i];
    const spx_tensor *x = &w->g->tensor[nd->in[0]];
    const int64_t side = x->rank == 4 ? x->dim[2] : 1;
    if (x->rank == 4 && x->dim[3] != side) {
        return unsupported(nd);
    }
    const spx_taps taps = {side, 1, 1, 0};
    return affine(w, nd->in[SPX_LINEAR_X], &taps, 1, nd->in[SPX_LINEAR_W], nd->in[SPX_LINEAR_BIAS],
                  nd->out[0]);
}

typedef struct sum_part {
    spx_expr *to;
    const double *scale, *shift; /* of the whole term, or NULL */
} sum_part;

static spx_status add_sum_part(walk *w, void *ctx, spx_expr *part, int64_t first)
{
    const sum_part *s = ctx;
    (void)w;
    return spx_expr_add(s->to, part, first, s->scale != NULL ? s->scale + first : NULL,
                        s->shift != NULL ? s->shift + first : NULL);
}

/* scale = gamma / sqrt(var + eps), shift = beta - scale * mean; NULL where the term has no norm. */
static spx_status norm_of(const walk *w, const spx_tid *in, int64_t channels, int node,
                          double **scale, double **shift)
{
    double *mean = NULL, *var = NULL, *gamma = NULL, *beta = NULL;
    const spx_node *bn;
    spx_status st = SPX_OK;
    *scale = *shift = NULL;
    if (in[SPX_TERM_MEAN] == SPX_NO_TENSOR) {
        return SPX_OK;
    }
    bn = maker(w, in[SPX_TERM_MEAN], node);
    if (bn == NULL || bn->op != SPX_OP_BN_RUNNING) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "folding: a norm without running statistics");
    }
    SPX_TRY(st, spx_fold_parameter(w->s, bn->in[0], &mean), end);
    SPX_TRY(st, spx_fold_parameter(w->s, bn->in[1], &var), end);
    SPX_TRY(st, spx_fold_parameter(w->s, in[SPX_TERM_GAMMA], &gamma), end);
    SPX_TRY(st, spx_fold_parameter(w->s, in[SPX_TERM_BETA], &beta), end);
    SPX_TRY(st, SPX_NEW(*scale, (size_t)channels), end);
    SPX_TRY(st, SPX_NEW(*shift, (size_t)channels), end);
    for (int64_t c = 0; c < channels; c++) {
        (*scale)[c] = (gamma != NULL ? gamma[c] : 1) / sqrt(var[c] + BN_EPS);
        (*shift)[c] = (beta != NULL ? beta[c] : 0) - (*scale)[c] * mean[c];
    }
end:
    spx_free(mean);
    spx_free(var);
    spx_free(gamma);
    spx_free(beta);
    return st;
}

static spx_status walk_sum(walk *w, int i)
{
    const spx_node *nd = &w->g->node[i];
    spx_expr *to = &w->expr[nd->out[0]];
    *to = zero_like(w, nd->out[0]);
    if (nd->relu) {
        return unsupported(nd);
    }
    for (int j = 0; j < nd->n_in; j += SPX_TERM_FIELDS) {
        const spx_tid *in = nd->in + j;
        double *scale, *shift;
        if (in[SPX_TERM_COEF] != SPX_NO_TENSOR || in[SPX_TERM_MASK] != SPX_NO_TENSOR) {
            return unsupported(nd);
        }
        spx_status st = norm_of(w, in, to->c, i, &scale, &shift);
        if (st == SPX_OK) {
            sum_part s = {.to = to, .scale = scale, .shift = shift};
            st = each_part(w, in[SPX_TERM_X], add_sum_part, &s);
        }
        spx_free(scale);
        spx_free(shift);
        SPX_RETURN_IF(st);
    }
    return SPX_OK;
}

/* ---- ReLUs ---- */

/* A RELU of all of x, which node nd reads or, where it is another op, gives; x becomes a value. *op
 * receives where it is. */
static spx_status add_relu(walk *w, spx_expr *x, const spx_node *nd, spx_expr *to, spx_fold_op **op)
{
    spx_deploy_op d = {.kind = SPX_DEPLOY_RELU};
    const int64_t c = x->c, h = x->h, width = x->w;
    SPX_RETURN_IF(spx_fold_materialise(w->f, x, &d.in));
    SPX_RETURN_IF(spx_fold_add_value(w->f, SPX_DEPLOY_ACTIVATION, c, h, width, &d.out));
    SPX_RETURN_IF(spx_fold_add_op(w->f, &d, NULL, nd->out[0]));
    *op = &w->f->op[w->f->n_ops - 1];
    (*op)->most = nd->op == SPX_OP_RELU ? (double)spx_relu_clip_of(nd) : 0;
    return spx_expr_identity(to, d.out, c, h, width);
}

/* Kept channels become an activation; the others stay what they are, as a value where y must be
 * one. `kept` and `dropped` have room for all channels. */
static spx_status relu_channels(walk *w, int i, const double *mask, int *kept, int *dropped)
{
    const spx_node *nd = &w->g->node[i];
    const spx_tid y = nd->out[0];
    const spx_expr *x = &w->expr[nd->in[0]];
    spx_expr parts[2] = {{0}}, made = {0};
    spx_fold_op *op;
    int n[2] = {0};
    spx_status st;
    for (int64_t c = 0; c < x->c; c++) {
        if (mask[c * x->h * x->w] == 1) {
            kept[n[0]++] = (int)c;
        } else {
            dropped[n[1]++] = (int)c;
        }
    }
    w->expr[y] = zero_like(w, y);
    SPX_TRY(st, spx_expr_take(&parts[0], x, kept, n[0]), end);
    SPX_TRY(st, spx_expr_take(&parts[1], x, dropped, n[1]), end);
    SPX_TRY(st, add_relu(w, &parts[0], nd, &made, &op), end);
    SPX_TRY(st, SPX_NEW(op->channel, (size_t)n[0]), end);
    memcpy(op->channel, kept, (size_t)n[0] * sizeof *kept);
    SPX_TRY(st, spx_expr_put(&w->expr[y], &made, kept), end);
    if (w->as_value[y] || w->convs[y] > 1) {
        SPX_TRY(st, spx_fold_make_pointwise(w->f, &parts[1]), end);
    }
    st = spx_expr_put(&w->expr[y], &parts[1], dropped);
end:
    spx_expr_clear(&parts[0]);
    spx_expr_clear(&parts[1]);
    spx_expr_clear(&made);
    return st;
}

static spx_status walk_relu(walk *w, int i)
{
    const spx_node *nd = &w->g->node[i];
    const spx_tid y = nd->out[0];
    spx_expr *to = &w->expr[y];
    spx_fold_op *op;
    double *mask = NULL;
    int *channels = NULL;
    spx_status st = SPX_OK;
    if (w->keeps[i] == SPX_KEEPS_NONE) {
        sum_part s = {.to = to};
        *to = zero_like(w, y);
        return each_part(w, nd->in[0], add_sum_part, &s);
    }
    if (!known(w, nd->in[0])) {
        return unsupported(nd);
    }
    const spx_expr like = zero_like(w, y);
    SPX_RETURN_IF(spx_fold_parameter(w->s, nd->in[SPX_RELU_MASK], &mask));
    if (w->keeps[i] == SPX_KEEPS_CHANNELS) {
        SPX_TRY(st, SPX_NEW(channels, (size_t)(2 * like.c)), end);
        SPX_TRY(st, relu_channels(w, i, mask, channels, channels + like.c), end);
    } else {
        SPX_TRY(st, add_relu(w, &w->expr[nd->in[0]], nd, to, &op), end);
    }
    if (w->keeps[i] == SPX_KEEPS_ELEMENTS) {
        st = spx_fold_keep_elements(mask, (size_t)(like.c * like.h * like.w), op);
    }
end:
    spx_free(mask);
    spx_free(channels);
    return st;
}

/* Clamps what node i gives, as a ReLU that keeps nothing would. */
static spx_status separate(walk *w, int i)
{
    const spx_node *nd = &w->g->node[i];
    spx_expr *e = &w->expr[nd->out[0]], made = {0};
    spx_fold_op *op;
    if (e->c == 0) {
        return unsupported(nd);
    }
    SPX_RETURN_IF(add_relu(w, e, nd, &made, &op));
    spx_expr_clear(e);
    *e = made;
    return spx_fold_keep_elements(NULL, (size_t)(e->c * e->h * e->w), op);
}

/* What was concatenated as one expression. */
static spx_status join_parts(walk *w, spx_tid x)
{
    spx_expr whole = zero_like(w, x);
    sum_part s = {.to = &whole};
    const spx_status st = known(w, x) ? SPX_OK : each_part(w, x, add_sum_part, &s);
    if (st != SPX_OK || known(w, x)) {
        spx_expr_clear(&whole);
        return st;
    }
    w->expr[x] = whole;
    return SPX_OK;
}

static spx_status walk_pool(walk *w, int i)
{
    const spx_node *nd = &w->g->node[i];
    spx_expr *x = &w->expr[nd->in[0]];
    SPX_RETURN_IF(join_parts(w, nd->in[0]));
    SPX_RETURN_IF(spx_fold_make_pointwise(w->f, x));
    const spx_avg_pool_attr a = spx_avg_pool_attr_of(nd);
    return spx_fold_pool(w->f, x, a.size, a.stride, a.pad, &w->expr[nd->out[0]]);
}

/* x (n, c, 1, 1) as (n, c): another shape of the same; no larger map is a row of channels. */
static spx_status walk_flatten(walk *w, int i)
{
    const spx_node *nd = &w->g->node[i];
    const spx_tensor *x = &w->g->tensor[nd->in[0]];
    sum_part s = {.to = &w->expr[nd->out[0]]};
    if (x->dim[2] != 1 || x->dim[3] != 1) {
        return unsupported(nd);
    }
    *s.to = zero_like(w, nd->out[0]);
    return each_part(w, nd->in[0], add_sum_part, &s);
}

static spx_status walk_running(walk *w, int i)
{
    (void)w;
    (void)i;
    return SPX_OK; /* read by the sum that normalises */
}

/* How an op folds; none: it does not. */
typedef struct fold_rule {
    spx_status (*walk)(walk *w, int i);
    int step; /* inputs from one operand that is an activation to the next; 0: there is one */
    bool conv;
    bool pointwise; /* needs its operand as a value */
} fold_rule;

static const fold_rule rules[SPX_OP_COUNT] = {
    [SPX_OP_CONV2D] = {.walk = walk_conv, .conv = true},
    [SPX_OP_BN_RUNNING] = {.walk = walk_running},
    [SPX_OP_NORM_SUM] = {.walk = walk_sum, .step = SPX_TERM_FIELDS},
    [SPX_OP_RELU] = {.walk = walk_relu, .pointwise = true}, /* but for what its mask drops */
    [SPX_OP_AVG_POOL] = {.walk = walk_pool, .pointwise = true},
    [SPX_OP_LINEAR] = {.walk = walk_linear},
    [SPX_OP_FLATTEN] = {.walk = walk_flatten},
};

static spx_status walk_node(walk *w, int i)
{
    const spx_node *nd = &w->g->node[i];
    return rules[nd->op].walk != NULL ? rules[nd->op].walk(w, i) : unsupported(nd);
}

/* ---- the whole ---- */

/* The image: pixels to what the network was trained on. */
static spx_status begin_image(walk *w)
{
    const spx_tensor *t = &w->g->tensor[w->s->image];
    double scale[16], shift[16];
    spx_expr pixels;
    int v;
    if (t->rank != 4 || t->dim[1] > 16) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "folding: images of %lld channels", (long long)t->dim[1]);
    }
    for (int64_t c = 0; c < t->dim[1]; c++) {
        scale[c] = 1 / (255 * w->s->std[c]);
        shift[c] = -w->s->mean[c] / w->s->std[c];
    }
    SPX_RETURN_IF(spx_fold_add_value(w->f, SPX_DEPLOY_IMAGE, t->dim[1], t->dim[2], t->dim[3], &v));
    spx_status st = spx_expr_identity(&pixels, v, t->dim[1], t->dim[2], t->dim[3]);
    if (st == SPX_OK) {
        w->expr[w->s->image] = zero_like(w, w->s->image);
        st = spx_expr_add(&w->expr[w->s->image], &pixels, 0, scale, shift);
    }
    spx_expr_clear(&pixels);
    return st;
}

/* Who reads what. */
static void look_ahead(walk *w, int end)
{
    const spx_graph *g = w->g;
    for (int i = 0; i <= end; i++) {
        const spx_node *nd = &g->node[i];
        const fold_rule *r = &rules[nd->op];
        const int step = r->step > 0 ? r->step : nd->n_in;
        for (int j = 0; j < nd->n_in && !w->idle[i]; j += step > 0 ? step : 1) {
            const spx_tid x = nd->in[j];
            w->last_use[x] = i;
            w->convs[x] += r->conv;
            const bool whole = w->keeps[i] == SPX_KEEPS_ALL || w->keeps[i] == SPX_KEEPS_ELEMENTS;
            w->as_value[x] = w->as_value[x] || (r->pointwise && whole) ||
                             (r->conv && g->tensor[nd->in[SPX_CONV2D_W]].dim[2] > 1);
        }
    }
    for (spx_tid t = 0; t < g->n_tensors; t++) {
        const spx_tid p = g->tensor[t].parent;
        if (p != SPX_NO_TENSOR && w->last_use[t] < w->last_use[p]) {
            w->last_use[t] = w->last_use[p];
        }
    }
}

/*
 * What a convolution will need pointwise, and what several convolutions read, becomes a value once,
 * before anybody reads it.
 */
static spx_status settle(walk *w, spx_tid t)
{
    spx_expr *e = &w->expr[t];
    return e->c > 0 && (w->as_value[t] || w->convs[t] > 1) && t != w->s->image
               ? spx_fold_make_pointwise(w->f, e)
               : SPX_OK;
}

static void drop_read(walk *w, int i)
{
    for (spx_tid t = 0; t < w->g->n_tensors; t++) {
        if (w->last_use[t] == i && t != w->s->logits) {
            spx_expr_clear(&w->expr[t]);
        }
    }
}

static spx_status walk_graph(walk *w)
{
    int end = w->g->n_nodes - 1;
    while (end >= 0 && w->g->node[end].out[0] != w->s->logits) {
        end--;
    }
    if (end < 0) {
        return SPX_FAIL(SPX_EINVAL, "folding: no logits");
    }
    for (int i = 0; i <= end; i++) {
        if (w->g->node[i].op == SPX_OP_RELU && !w->g->node[i].auxiliary) {
            SPX_RETURN_IF(spx_fold_find_keeping(w->s, i, &w->keeps[i]));
        }
    }
    SPX_RETURN_IF(spx_fold_find_idle(w->g, w->s->logits, end, w->idle));
    look_ahead(w, end);
    SPX_RETURN_IF(begin_image(w));
    for (int i = 0; i <= end; i++) {
        if (w->idle[i]) {
            continue;
        }
        SPX_RETURN_IF(walk_node(w, i));
        if (w->s->clamp != NULL && w->s->clamp[i] && w->g->node[i].op != SPX_OP_RELU) {
            SPX_RETURN_IF(separate(w, i));
        }
        SPX_RETURN_IF(settle(w, w->g->node[i].out[0]));
        drop_read(w, i);
    }
    return spx_fold_materialise(w->f, &w->expr[w->s->logits], &w->f->logits);
}

static spx_status walk_alloc(walk *w)
{
    const size_t n = (size_t)w->g->n_tensors;
    SPX_RETURN_IF(SPX_NEW(w->expr, n));
    SPX_RETURN_IF(SPX_NEW(w->last_use, n));
    SPX_RETURN_IF(SPX_NEW(w->convs, n));
    SPX_RETURN_IF(SPX_NEW(w->as_value, n));
    SPX_RETURN_IF(SPX_NEW(w->keeps, (size_t)w->g->n_nodes));
    SPX_RETURN_IF(SPX_NEW(w->idle, (size_t)w->g->n_nodes));
    memset(w->last_use, -1, n * sizeof *w->last_use);
    return SPX_OK;
}

spx_status spx_fold_create(spx_fold **out, const spx_fold_input *s)
{
    walk w = {.s = s, .g = s->graph};
    spx_status st;
    *out = NULL;
    if (s->graph->training) {
        return SPX_FAIL(SPX_EINVAL, "folding: a training graph");
    }
    SPX_RETURN_IF(spx_layout_check_host(s->layout, &s->weights, &s->state, "folding"));
    SPX_TRY(st, SPX_NEW(w.f, 1), end);
    SPX_TRY(st, walk_alloc(&w), end);
    SPX_TRY(st, walk_graph(&w), end);
    *out = w.f;
    w.f = NULL;
end:
    for (int t = 0; w.expr != NULL && t < s->graph->n_tensors; t++) {
        spx_expr_clear(&w.expr[t]);
    }
    spx_free(w.expr);
    spx_free(w.last_use);
    spx_free(w.convs);
    spx_free(w.as_value);
    spx_free(w.keeps);
    spx_free(w.idle);
    spx_fold_destroy(w.f);
    return st;
}
