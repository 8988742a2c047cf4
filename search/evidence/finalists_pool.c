/* The cells that compete. */
#include "kernels/base/alloc.h"
#include "search/evidence/finalists_private.h"

#include <stdio.h>
#include <string.h>

#define EXTRA_MAX 64

const char *spx_cell_kind_name(spx_cell_kind k)
{
    static const char *const name[SPX_CELL_KINDS] = {"searched", "random", "published"};
    return name[k];
}

static spx_status add(spx_finalists *x, spx_cell_kind kind, int number, uint64_t seed,
                      const spx_genotype *g)
{
    spx_finalist *c = &x->cell[x->n];
    spx_final_spec f = x->spec;
    spx_counts counts;
    *c = (spx_finalist){.kind = kind, .seed = seed, .genotype = *g, .in = true};
    (void)snprintf(c->name, sizeof c->name, "%s%s%d", spx_cell_kind_name(kind),
                   kind == SPX_CELL_PUBLISHED ? "" : "-", number);
    if (kind == SPX_CELL_PUBLISHED) {
        (void)snprintf(c->name, sizeof c->name, "%s", spx_cell_kind_name(kind));
    }
    f.genotype = *g;
    SPX_RETURN_IF(spx_final_count(&f, false, &counts));
    if (counts.relus != x->relus) {
        return SPX_FAIL(SPX_EINVAL, "finalists: %s has %lld ReLUs, another cell %lld", c->name,
                        (long long)counts.relus, (long long)x->relus);
    }
    c->macs = counts.macs;
    x->n++;
    return SPX_OK;
}

/* ---- what things cost ---- */

/* Gradients cost twice the forward pass, so a step is three. A step of a search has so many passes:
 * one for the alphas and one for the weights; in second order five. */
static double passes(const spx_search_options *s)
{
    return s->bilevel.second_order ? 5 : 2;
}

static int64_t search_steps(const spx_finalists *x)
{
    const spx_search_options *s = x->o->search;
    const int64_t steps = (int64_t)(x->n_rest / 2) / s->net.batch * s->run.schedule.epochs;
    return s->run.max_steps > 0 && s->run.max_steps < steps ? s->run.max_steps : steps;
}

spx_status spx_finalists_search_macs(const spx_finalists *x, double *per_search)
{
    const spx_search_options *s = x->o->search;
    spx_network net;
    spx_counts counts;
    SPX_RETURN_IF(spx_build_supernet(&net, &s->net));
    spx_graph_count(net.graph, &counts);
    spx_network_clear(&net);
    *per_search =
        3 * passes(s) * (double)counts.macs * (double)s->net.batch * (double)search_steps(x);
    return SPX_OK;
}

double spx_finalists_train_macs(const spx_finalists *x, int64_t macs, double share)
{
    const spx_train_options *t = x->o->train;
    return 3 * (double)macs * (double)t->batch * (double)x->full_steps *
           (double)t->run.schedule.epochs * share;
}

/* ---- the cells ---- */

void spx_finalists_lost(const spx_finalists *x, const char *why)
{
    char text[640];
    (void)snprintf(text, sizeof text, "counted as lost: %s", why);
    x->o->tell(x->o->ctx, text);
}

/* A search in the folder NAME, where that is not done. SPX_ENUMERIC: it diverged, now or before. */
static spx_status search_into(const spx_finalists *x, const char *name, const spx_search_options *s)
{
    const spx_finalists_options *o = x->o;
    spx_search_result r;
    spx_session session;
    spx_status st;
    char text[96];
    if (spx_finalists_done(x, name)) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_fail_context(spx_finalists_diverged(x, name), "%s", name));
    (void)snprintf(text, sizeof text, "%s, seed %llu", name, (unsigned long long)s->run.seed);
    o->tell(o->ctx, text);
    SPX_RETURN_IF(
        o->open(o->ctx, name, "search",
                json_pack("{s:s, s:I}", "data", s->pack->hash, "seed", (json_int_t)s->run.seed),
                &session));
    st = spx_search_run(&session, s, &r);
    st = st == SPX_ENUMERIC ? spx_finalists_note(&session) : st;
    spx_session_close(&session, st);
    return spx_fail_context(st, "%s", name);
}

/* A search that diverges finds no cell: the others go on. */
static spx_status search_one(spx_finalists *x, int number)
{
    spx_search_options s = *x->o->search;
    spx_genotype g;
    char name[32], path[4096];
    s.run.seed += (uint64_t)(number - 1);
    s.subset = x->rest;
    s.subset_count = x->n_rest;
    (void)snprintf(name, sizeof name, "search-%d", number);
    const spx_status st = search_into(x, name, &s);
    if (st == SPX_ENUMERIC) {
        spx_finalists_lost(x, spx_error_message());
        return SPX_OK;
    }
    SPX_RETURN_IF(st);
    (void)snprintf(path, sizeof path, "%s/%s/genotype.json", x->o->folder, name);
    SPX_RETURN_IF(spx_genotype_load(&g, path));
    return add(x, SPX_CELL_SEARCHED, number, s.run.seed, &g);
}

static spx_status draw_one(spx_finalists *x, int number)
{
    const uint64_t seed = x->o->search->run.seed + (uint64_t)(number - 1);
    spx_genotype g;
    spx_genotype_random(seed, &g);
    g.space = x->o->search->net.space;
    return add(x, SPX_CELL_RANDOM, number, seed, &g);
}

/* As many as the searches' multiply-adds buy: each goes through the first rung, and half of what is
 * left through each of the next, which is an eighth three times. */
static spx_status draw_further(spx_finalists *x, int number, int searched)
{
    double left;
    SPX_RETURN_IF(spx_finalists_search_macs(x, &left));
    left *= searched;
    for (int i = 0; i < EXTRA_MAX; i++) {
        SPX_RETURN_IF(draw_one(x, number + i));
        left -= spx_finalists_train_macs(x, x->cell[x->n - 1].macs, 3.0 / 8);
        if (left < 0) {
            x->n--; /* it is not paid for */
            return SPX_OK;
        }
    }
    return SPX_OK;
}

spx_status spx_finalists_pool(spx_finalists *x)
{
    const spx_finalists_options *o = x->o;
    const int searched = (o->pool - 1) / 2, random = o->pool - 1 - searched;
    SPX_RETURN_IF(add(x, SPX_CELL_PUBLISHED, 0, 0, &spx_genotype_published));
    for (int i = 1; i <= searched; i++) {
        SPX_RETURN_IF(search_one(x, i));
    }
    if (x->n == 1) {
        return SPX_FAIL(SPX_ENUMERIC,
                        "all searches diverged: give a lower --lr, and another --out");
    }
    for (int i = 1; i <= random + (o->extra > 0 ? o->extra : 0); i++) {
        SPX_RETURN_IF(draw_one(x, i));
    }
    return o->extra < 0 ? draw_further(x, random + 1, searched) : SPX_OK;
}
