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
static void add_segment(const spx_choose_options *o, const width *w, spx_choice_estimate *e)
{
    const double over = fmax(ceil(w->bits) - o->limit, 0);
    const double left = o->weight_bits - over / (w->depth > 0 ? w->depth : 1);
    e->lacking = e->lacking || left < fmin(SPX_CHOOSE_WEIGHT_BITS, o->weight_bits);
    e->widest = fmax(e->widest, ceil(w->bits));
}

static spx_status weigh(const spx_fold_input *s, const spx_choose_options *o,
                        spx_choice_estimate *e)
{
    spx_fold *f;
    width *w;
    SPX_RETURN_IF(spx_fold_create(&f, s));
    spx_status st = SPX_NEW(w, (size_t)f->n_values);
    *e = (spx_choice_estimate){0};
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

static spx_choose_options filled(const spx_choose_options *options)
{
    spx_choose_options o = *options;
    o.weight_bits = o.weight_bits > 0 ? o.weight_bits : 8;
    o.activation_bits = o.activation_bits > 0 ? o.activation_bits : 8;
    o.most_bits = o.most_bits > 0 ? o.most_bits : 37;
    o.limit = o.limit > 0 ? o.limit : 58;
    return o;
}

spx_status spx_fold_estimate(spx_choice_estimate *out, const spx_fold_input *s,
                             const spx_choose_options *o)
{
    const spx_choose_options all = filled(o);
    return weigh(s, &all, out);
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

#define NEAR 3   /* sites that far apart, in the order of the graph, are tried together */
#define WORK 2e9 /* weights folded for estimates: some seconds */

typedef struct chooser {
    spx_fold_input s; /* with clamp */
    const spx_choose_options *o;
    bool *clamp;
    int *site, n; /* nodes that may be clamped or linear */
    double most;  /* bits that no choice goes beyond */
    double left;  /* estimates to make */
    spx_choice_estimate best;
} chooser;

/* Takes another state of site i, and of j where that is another one, if it is cheaper. */
static spx_status try_other(chooser *c, int i, int j, bool *changed)
{
    bool *a = &c->clamp[c->site[i]], *b = &c->clamp[c->site[j]];
    spx_choice_estimate trial;
    if (c->left-- <= 0) {
        return SPX_OK;
    }
    *a = !*a;
    *b = i != j ? !*b : *b;
    SPX_RETURN_IF(weigh(&c->s, c->o, &trial));
    if (trial.bytes < c->best.bytes && trial.widest <= c->most) {
        c->best = trial;
        *changed = true;
        return SPX_OK;
    }
    *a = !*a;
    *b = i != j ? !*b : *b;
    return SPX_OK;
}

/* From all clamped: each site by itself, from the image on, then with those near it, until nothing
 * is cheaper any more. Each change makes it cheaper, so that there is an end. */
static spx_status search(chooser *c)
{
    const double weights = (double)c->s.weights.bytes / sizeof(float);
    bool changed = true;
    SPX_RETURN_IF(weigh(&c->s, c->o, &c->best));
    c->left = fmax(c->n, WORK / weights);
    c->most = fmax(c->most, c->best.widest);
    for (int pass = 0; changed; pass++) {
        changed = false;
        for (int apart = 0; apart <= (pass > 0 ? NEAR : 0); apart++) {
            for (int i = 0; i + apart < c->n; i++) {
                SPX_RETURN_IF(try_other(c, i, i + apart, &changed));
            }
        }
        changed = changed || pass == 0;
    }
    return SPX_OK;
}

static spx_status find_sites(chooser *c, bool cut)
{
    for (int i = 0; i < c->s.graph->n_nodes; i++) {
        SPX_RETURN_IF(find_dropped(&c->s, i, &c->clamp[i]));
        c->clamp[i] = c->clamp[i] || (cut && is_convolved(c->s.graph, i));
        if (c->clamp[i]) {
            c->site[c->n++] = i;
        }
    }
    return SPX_OK;
}

static spx_status choose(chooser *c)
{
    const int tried = c->o->tried;
    SPX_RETURN_IF(find_sites(c, tried > 0));
    c->most = tried > 0 ? widest[tried] : c->o->most_bits;
    if (tried == 0) {
        SPX_RETURN_IF(weigh(&c->s, c->o, &c->best));
        if (c->best.lacking) {
            c->n = 0;
            c->most = widest[0];
            SPX_RETURN_IF(find_sites(c, true));
        }
    }
    return c->n > 0 && tried < SPX_CHOOSE_TRIES - 1 ? search(c) : SPX_OK;
}

/* Whether something that could be clamped is not. */
static bool is_any_linear(const chooser *c)
{
    bool any = false;
    for (int i = 0; i < c->n; i++) {
        any = any || !c->clamp[c->site[i]];
    }
    for (int i = 0; i < c->s.graph->n_nodes; i++) {
        any = any || (!c->clamp[i] && is_convolved(c->s.graph, i));
    }
    return any;
}

spx_status spx_fold_choose(bool *clamp, bool *any, const spx_fold_input *s,
                           const spx_choose_options *options)
{
    const spx_choose_options o = filled(options);
    chooser c = {.s = *s, .o = &o, .clamp = clamp};
    c.s.clamp = clamp;
    SPX_RETURN_IF(SPX_NEW(c.site, (size_t)s->graph->n_nodes));
    const spx_status st = choose(&c);
    if (any != NULL) {
        *any = is_any_linear(&c);
    }
    spx_free(c.site);
    return st;
}
