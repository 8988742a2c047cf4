#include "host/model/dropped.h"

#include "host/model/fold_private.h"
#include "host/model/quantise_private.h"

#include <math.h>

/* Bytes of an interactive position, of each bit (tables, transfers, answers) and of what does not
 * grow. */
#define BIT_BYTES 52
#define POSITION_BYTES 232

/* What chains may come to where some are cut. */
static const int widest[SPX_CHOOSE_TRIES] = {50, 50, 37, 0};

typedef struct estimate {
    double bytes, widest;
    bool lacking; /* whether a chain leaves its weights fewer bits than wanted */
} estimate;

/* A fold's value: bits, and convolutions behind the nearest maskable one. */
typedef struct width {
    double bits;
    int depth;
} width;

/* What a convolution gives its output, in bits. */
static double conv_bits(const spx_fold *f, const spx_deploy_op *d, double in,
                        const spx_choose_options *o)
{
    const double n = log2((double)(f->value[d->in].c * d->size * d->size));
    return f->value[d->in].kind == SPX_DEPLOY_LINEAR ? in + o->weight_bits - 2.4 + n / 2
                                                     : in + o->weight_bits + n - 2.9;
}

/* [values] of a fold. Paths that meet are of like sizes: the widest decides. */
static void find_widths(const spx_fold *f, const spx_choose_options *o, width *w)
{
    spx_copy_run run[SPX_COPY_RUNS];
    w[0].bits = 8;
    for (int i = 0; i < f->n_ops; i++) {
        const spx_deploy_op *d = &f->op[i].d;
        const width in = w[d->in < 0 ? 0 : d->in];
        width now = {0}, *out = &w[d->out];
        if (d->kind == SPX_DEPLOY_RELU) {
            now.bits = o->activation_bits + (d->dropped > 0);
        } else if (d->kind == SPX_DEPLOY_POOL) {
            now = in;
            now.bits += 2 * log2((double)d->denominator);
        } else if (d->kind == SPX_DEPLOY_CONV && spx_copy_runs(f, &f->op[i], run) == 0) {
            now = (width){conv_bits(f, d, in.bits, o), in.depth + 1};
        } else if (d->kind != SPX_DEPLOY_BIAS) {
            now = in;
        }
        out->bits = fmax(out->bits, now.bits);
        out->depth = out->depth > now.depth ? out->depth : now.depth;
    }
}

/* A segment that ends in a value of that width. */
static void add_segment(const spx_choose_options *o, const width *w, estimate *e)
{
    const double over = fmax(ceil(w->bits) - o->limit, 0);
    const double left = o->weight_bits - over / (w->depth > 0 ? w->depth : 1);
    e->lacking = e->lacking || left < fmin(SPX_CHOOSE_WEIGHT_BITS, o->weight_bits);
    e->widest = fmax(e->widest, ceil(w->bits));
}

static spx_status weigh(const spx_fold_input *s, const spx_choose_options *o, estimate *e)
{
    spx_fold *f;
    width *w;
    SPX_RETURN_IF(spx_fold_create(&f, s));
    spx_status st = SPX_NEW(w, (size_t)f->n_values);
    *e = (estimate){0};
    if (st == SPX_OK) {
        find_widths(f, o, w);
        add_segment(o, &w[f->logits], e);
        for (int i = 0; i < f->n_ops; i++) {
            const spx_deploy_op *d = &f->op[i].d;
            if (d->kind == SPX_DEPLOY_RELU) {
                const double l = fmin(ceil(w[d->in].bits), o->limit);
                e->bytes += (double)spx_fold_count(f, d->out) * (BIT_BYTES * l + POSITION_BYTES);
                add_segment(o, &w[d->in], e);
            }
        }
    }
    spx_free(w);
    spx_fold_destroy(f);
    return st;
}

/* Whether a node is a ReLU that drops whole channels. */
static spx_status find_dropped(const spx_fold_input *s, int i, bool *site)
{
    const spx_node *nd = &s->graph->node[i];
    spx_fold_input plain = *s;
    spx_keeping keeps = SPX_KEEPS_ALL;
    plain.clamp = NULL;
    if (nd->op == SPX_OP_RELU && !nd->auxiliary) {
        SPX_RETURN_IF(spx_fold_find_keeping(&plain, i, &keeps));
    }
    *site = keeps == SPX_KEEPS_NONE || keeps == SPX_KEEPS_CHANNELS;
    return SPX_OK;
}

/* Whether another node gives what a convolution reads. */
static bool is_convolved(const spx_graph *g, int i)
{
    const spx_node *nd = &g->node[i];
    const spx_tid y = nd->n_out > 0 ? nd->out[0] : SPX_NO_TENSOR;
    if (y == SPX_NO_TENSOR || nd->op == SPX_OP_RELU || nd->auxiliary || g->tensor[y].rank != 4) {
        return false;
    }
    for (int j = i + 1; j < g->n_nodes; j++) {
        const spx_node *by = &g->node[j];
        const bool convolves = by->op == SPX_OP_CONV2D || by->op == SPX_OP_LINEAR;
        if (convolves && !by->auxiliary && (by->in[0] == y || by->in[0] == g->tensor[y].parent)) {
            return true;
        }
    }
    return false;
}

/* ---- choosing ---- */

typedef struct chooser {
    spx_fold_input s; /* with clamp */
    const spx_choose_options *o;
    bool *clamp;
    estimate best;
    int linear; /* sites that are */
} chooser;

/* Leaves sites linear, one after another, where that is cheaper. */
static spx_status leave_linear(chooser *c)
{
    const spx_graph *g = c->s.graph;
    for (int i = 0; i < g->n_nodes; i++) {
        estimate trial;
        const bool dropped = g->node[i].op == SPX_OP_RELU;
        const int most = dropped && c->o->most_bits < widest[c->o->tried] ? c->o->most_bits
                                                                          : widest[c->o->tried];
        if (!c->clamp[i]) {
            continue;
        }
        c->clamp[i] = false;
        SPX_RETURN_IF(weigh(&c->s, c->o, &trial));
        const bool better =
            trial.bytes < c->best.bytes && trial.widest <= fmax(most, c->best.widest);
        c->clamp[i] = !better;
        c->best = better ? trial : c->best;
        c->linear += better;
    }
    return SPX_OK;
}

static spx_status choose(chooser *c)
{
    const spx_graph *g = c->s.graph;
    bool cut = c->o->tried > 0, dropped = false;
    for (int i = 0; i < g->n_nodes; i++) {
        SPX_RETURN_IF(find_dropped(&c->s, i, &c->clamp[i]));
        dropped = dropped || c->clamp[i];
    }
    if (!cut) {
        SPX_RETURN_IF(weigh(&c->s, c->o, &c->best));
        cut = c->best.lacking;
    }
    for (int i = 0; i < g->n_nodes; i++) {
        const bool site = is_convolved(g, i);
        c->clamp[i] = c->clamp[i] || (site && cut);
        c->linear += site && !cut;
    }
    if (c->o->tried == SPX_CHOOSE_TRIES - 1 || !(cut || dropped)) {
        return SPX_OK;
    }
    SPX_RETURN_IF(cut ? weigh(&c->s, c->o, &c->best) : SPX_OK);
    return leave_linear(c);
}

spx_status spx_fold_choose(bool *clamp, bool *any, const spx_fold_input *s,
                           const spx_choose_options *options)
{
    spx_choose_options o = *options;
    chooser c = {.s = *s, .o = &o, .clamp = clamp};
    o.weight_bits = o.weight_bits > 0 ? o.weight_bits : 8;
    o.activation_bits = o.activation_bits > 0 ? o.activation_bits : 8;
    o.most_bits = o.most_bits > 0 ? o.most_bits : 37;
    o.limit = o.limit > 0 ? o.limit : 58;
    c.s.clamp = clamp;
    SPX_RETURN_IF(choose(&c));
    if (any != NULL) {
        *any = c.linear > 0;
    }
    return SPX_OK;
}
