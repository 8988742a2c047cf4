#include "host/model/dropped.h"

#include "host/model/fold_private.h"
#include "host/model/quantise_private.h"

#include <math.h>

/* Bytes of an interactive position, of each bit (tables, transfers, answers) and of what does not
 * grow. */
#define BIT_BYTES 52
#define POSITION_BYTES 232

typedef struct estimate {
    double bytes, widest;
} estimate;

/* What a convolution gives its output, in bits. */
static double conv_bits(const spx_fold *f, const spx_deploy_op *d, const double *bits,
                        const spx_choose_options *o)
{
    const double n = log2((double)(f->value[d->in].c * d->size * d->size));
    return f->value[d->in].kind == SPX_DEPLOY_LINEAR ? bits[d->in] + o->weight_bits - 2.4 + n / 2
                                                     : bits[d->in] + o->weight_bits + n - 2.9;
}

/* [values] of a fold. Paths that meet are of like sizes: the widest decides. */
static void find_bits(const spx_fold *f, const spx_choose_options *o, double *bits)
{
    spx_copy_run run[SPX_COPY_RUNS];
    bits[0] = 8;
    for (int i = 0; i < f->n_ops; i++) {
        const spx_deploy_op *d = &f->op[i].d;
        double now = 0;
        if (d->kind == SPX_DEPLOY_RELU) {
            now = o->activation_bits + (d->dropped > 0);
        } else if (d->kind == SPX_DEPLOY_POOL) {
            now = bits[d->in] + 2 * log2((double)d->denominator);
        } else if (d->kind == SPX_DEPLOY_PICK) {
            now = bits[d->in];
        } else if (d->kind == SPX_DEPLOY_CONV && spx_copy_runs(f, &f->op[i], run) == 0) {
            now = conv_bits(f, d, bits, o);
        }
        bits[d->out] = fmax(bits[d->out], now);
    }
}

static spx_status weigh(const spx_fold_input *s, const spx_choose_options *o, estimate *e)
{
    spx_fold *f;
    double *bits;
    SPX_RETURN_IF(spx_fold_create(&f, s));
    spx_status st = SPX_NEW(bits, (size_t)f->n_values);
    *e = (estimate){0};
    if (st == SPX_OK) {
        find_bits(f, o, bits);
        e->widest = ceil(bits[f->logits]);
        for (int i = 0; i < f->n_ops; i++) {
            const spx_deploy_op *d = &f->op[i].d;
            if (d->kind == SPX_DEPLOY_RELU) {
                const double l = ceil(bits[d->in]);
                e->bytes += (double)spx_fold_count(f, d->out) * (BIT_BYTES * l + POSITION_BYTES);
                e->widest = fmax(e->widest, l);
            }
        }
    }
    spx_free(bits);
    spx_fold_destroy(f);
    return st;
}

/* Whether a node is a ReLU that drops whole channels. */
static spx_status find_site(const spx_fold_input *s, int i, bool *site)
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

spx_status spx_fold_choose(bool *clamp, bool *any, const spx_fold_input *s,
                           const spx_choose_options *options)
{
    spx_choose_options o = *options;
    spx_fold_input now = *s;
    estimate best, trial;
    int sites = 0, linear = 0;
    o.weight_bits = o.weight_bits > 0 ? o.weight_bits : 8;
    o.activation_bits = o.activation_bits > 0 ? o.activation_bits : 8;
    o.most_bits = o.most_bits > 0 ? o.most_bits : 37;
    now.clamp = clamp;
    for (int i = 0; i < s->graph->n_nodes; i++) {
        SPX_RETURN_IF(find_site(s, i, &clamp[i]));
        sites += clamp[i];
    }
    if (sites > 0) {
        SPX_RETURN_IF(weigh(&now, &o, &best));
    }
    for (int i = 0; i < s->graph->n_nodes && sites > 0; i++) {
        if (!clamp[i]) {
            continue;
        }
        clamp[i] = false;
        SPX_RETURN_IF(weigh(&now, &o, &trial));
        const bool better =
            trial.bytes < best.bytes && trial.widest <= fmax(o.most_bits, best.widest);
        clamp[i] = !better;
        best = better ? trial : best;
        linear += better;
    }
    if (any != NULL) {
        *any = linear > 0;
    }
    return SPX_OK;
}
