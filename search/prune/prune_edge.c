/* Whole ReLU layers: each one's value is measured, what keeping it costs comes from the budget's
 * kind, and search/budget/sites.h chooses. */
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "search/budget/relu_sites.h"
#include "search/prune/prune_private.h"

#include <math.h>
#include <string.h>

#define USUAL_DEPTH 4
/* Of a value: what seems worth nothing alone stays where there is room. */
#define LEAST 1e-6
#define TRIES 12 /* of shrinking a private budget */

typedef struct edges { /* of one round */
    spx_prune_bench *b;
    spx_prune_result *out;
    double loss; /* of the model as the round finds it */
    bool first;  /* of the rounds */
    spx_relu_sites graph;
    spx_site *site; /* [sites.n] */
    int *of;        /* [sites.n]: the bench's mask of a site */
    spx_sites sites;
    int depth; /* the limit */
} edges;

/* ---- sites ---- */

/* Leaves out ReLUs that the model has dropped whole: their steps pass depths on. */
static spx_status list_sites(edges *e)
{
    const spx_masks *masks = &e->b->masks;
    int n = 0;
    if (e->graph.n != masks->n) {
        return SPX_FAIL(SPX_EINVAL, "pruning: %d masks of %d ReLUs", masks->n, e->graph.n);
    }
    SPX_RETURN_IF(SPX_NEW(e->site, (size_t)masks->n));
    SPX_RETURN_IF(SPX_NEW(e->of, (size_t)masks->n));
    for (int i = 0; i < e->graph.n_steps; i++) {
        spx_sites_step *t = &e->graph.step[i];
        if (t->kind == SPX_SITES_RELU) { /* the i-th ReLU of the graph has the i-th mask */
            const int at = t->site;
            if (spx_mask_site_relus(&masks->site[at]) > 0) {
                e->of[n] = at;
                t->site = n++;
            } else {
                *t = (spx_sites_step){.kind = SPX_SITES_JOIN, .x = {t->x[0], -1}};
            }
        }
    }
    e->sites = (spx_sites){e->graph.step, e->site, e->graph.n_steps, n};
    return SPX_OK;
}

/* Cells of a kind share their mask: a group is the k-th ReLU of such a cell. */
static spx_status group_sites(edges *e)
{
    const spx_final_spec *f = &e->b->spec;
    const spx_masks *masks = &e->b->masks;
    int groups[3][SPX_SITES_MAX_GROUPS + 1], n = 0;
    memset(groups, -1, sizeof groups);
    if (f->reference[0] != '\0') {
        return SPX_FAIL(SPX_EINVAL, "one mask for all cells of a kind: %s has no cells",
                        f->reference);
    }
    for (int i = 0; i < e->sites.n; i++) {
        const spx_mask_site *m = &masks->site[e->of[i]];
        int kind = m->block < 0 ? 2 : 0, within = 0;
        while (e->of[i] > within && m[-within - 1].block == m->block) {
            within++;
        }
        for (int r = 0; r < f->n_reduce; r++) {
            kind = f->reduce_at[r] == m->block ? 1 : kind;
        }
        int *g = &groups[kind][within < SPX_SITES_MAX_GROUPS ? within : SPX_SITES_MAX_GROUPS];
        if (*g < 0) {
            *g = n++;
        }
        e->site[i].group = *g;
    }
    return SPX_OK;
}

/* ---- values ---- */

/* The loss with one layer alone linear, above that of the model. */
static spx_status measure_values(edges *e)
{
    spx_prune_bench *b = e->b;
    for (int i = 0; i < e->sites.n; i++) {
        const spx_mask_site *m = &b->masks.site[e->of[i]];
        const size_t bytes = sizeof(float) * (size_t)spx_mask_site_positions(m);
        spx_metrics alone;
        float *kept;
        spx_status st;
        SPX_RETURN_IF(SPX_NEW(kept, (size_t)spx_mask_site_positions(m)));
        memcpy(kept, m->keep, bytes);
        memset(m->keep, 0, bytes);
        st = spx_prune_bench_measure(b, &alone);
        memcpy(m->keep, kept, bytes);
        spx_free(kept);
        SPX_RETURN_IF(st);
        e->site[i].value = fmax(LEAST, spx_metrics_loss(&alone) - e->loss);
        e->out->layer[e->of[i]].value = e->site[i].value;
        if (b->o->show != NULL) {
            b->o->show(b->o->ctx, "measuring", i + 1, e->sites.n);
        }
    }
    return SPX_OK;
}

/* ---- costs ---- */

/*
 * Bits of what a ReLU reads behind `depth` convolutions of 3x3 on `channels`, of Gaussian weights
 * of 8 bits: log2 of a sum of 9 * channels products, once for the first and, as composed weights
 * are wider but not larger, partly for each other one. Within what can be garbled.
 */
static spx_pi_width width_behind(int64_t channels, int depth)
{
    const double bits = 8.0, wide = log2((double)channels);
    const double l = 8.3 + bits + wide + (depth - 1) * (bits - 0.8 + wide / 2);
    const spx_pi_width usual = spx_pi_usual_width;
    spx_pi_width w = {.l = (int)ceil(fmin(fmax(l, 22.0), 58.0)), .a = usual.a};
    w.f = w.l - (usual.l - usual.f);
    return w;
}

/* What keeping a layer's n ReLUs costs, in whole units of the budget. */
static spx_status cost_of(const spx_prune_budget *budget, int64_t n, int64_t channels, int depth,
                          int64_t *out)
{
    spx_pi_price p;
    *out = n;
    if (budget->kind == SPX_BUDGET_RELUS) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_pi_relu_price(&p, &spx_pi_usual_rates, budget->link,
                                    width_behind(channels, depth > 1 ? depth : 1)));
    *out = (int64_t)ceil(budget->kind == SPX_BUDGET_BYTES
                             ? (double)n * (p.offline_bytes + p.online_bytes)
                             : 1000.0 * ((double)n * p.online_ms + p.layer_ms));
    return SPX_OK;
}

static spx_status fill_costs(edges *e)
{
    for (int i = 0; i < e->sites.n; i++) {
        const spx_mask_site *m = &e->b->masks.site[e->of[i]];
        const int64_t n = spx_mask_site_relus(m);
        for (int d = 0; d <= SPX_SITES_MAX_DEPTH; d++) {
            SPX_RETURN_IF(cost_of(&e->b->o->budget, n, m->c, d, &e->site[i].cost[d]));
        }
    }
    return SPX_OK;
}

/* ---- the choice ---- */

static spx_status solve(const edges *e, int64_t budget, spx_sites_choice *out)
{
    return e->b->o->per_kind ? spx_sites_solve_groups(&e->sites, budget, e->depth, out)
                             : spx_sites_solve(&e->sites, budget, e->depth, out);
}

static void apply(edges *e, const spx_sites_choice *c)
{
    for (int i = 0; i < e->sites.n; i++) {
        const spx_mask_site *m = &e->b->masks.site[e->of[i]];
        if (!c->keep[i]) {
            memset(m->keep, 0, sizeof(float) * (size_t)spx_mask_site_positions(m));
        }
    }
}

/* What a private query of the choice takes, in the budget's unit; the masks stay as they are. */
static spx_status private_cost(edges *e, const spx_sites_choice *c, double *out)
{
    const spx_buffer *state = &e->b->state;
    const bool bytes = e->b->o->budget.kind == SPX_BUDGET_BYTES;
    spx_prune_private query = {0};
    spx_metrics unused;
    void *kept;
    spx_status st;
    SPX_RETURN_IF(spx_alloc(&kept, state->bytes));
    memcpy(kept, state->data, state->bytes);
    apply(e, c);
    st = spx_prune_bench_measure(e->b, &unused); /* weights are proven with its statistics */
    if (st == SPX_OK) {
        st = spx_fail_context(spx_prune_private_cost(e->b, &query),
                              "a choice with %d convolutions between ReLUs", c->depth);
    }
    *out = bytes ? query.bytes : 1e6 * query.online;
    memcpy(state->data, kept, state->bytes);
    spx_free(kept);
    return st;
}

/* @param least  whether the budget is below cost, the least found, and not above it, the model's */
static spx_status refuse(const edges *e, bool least, double cost)
{
    const spx_prune_budget *b = &e->b->o->budget;
    const bool online = b->kind == SPX_BUDGET_ONLINE;
    const double number = online ? ceil(cost / 100) / 10 : cost;
    const char *unit = online ? "ms" : "bytes";
    return least ? SPX_FAIL(SPX_ENOTFOUND,
                            "a budget of %s: with at most %d convolutions between ReLUs the "
                            "smallest found is %.*f %s (a larger --max-depth may allow less)",
                            b->text, e->depth, online, number, unit)
                 : SPX_FAIL(SPX_ENOTFOUND, "a budget of %s: the model as it is takes less: %.*f %s",
                            b->text, online, number, unit);
}

/* A choice of the table is made real, and what it takes above the budget is taken from the table's
 * until it fits. What the table has no price for, convolutions above all, the first of them finds
 * out: the model as it is. */
static spx_status shrink(edges *e, spx_sites_choice *c)
{
    const double budget = (double)e->b->o->budget.value;
    double cost, least;
    SPX_RETURN_IF(private_cost(e, c, &cost));
    if (cost <= budget && e->first) {
        return refuse(e, false, cost);
    }
    least = cost;
    for (int i = 0; cost > budget; i++) {
        const int64_t room = i < TRIES ? c->cost - (int64_t)ceil(cost - budget) : -1;
        const spx_status st = solve(e, room, c);
        SPX_RETURN_IF(st == SPX_ENOTFOUND && c->cost >= 0 ? SPX_OK : st);
        SPX_RETURN_IF(private_cost(e, c, &cost));
        least = fmin(least, cost);
        if (st == SPX_ENOTFOUND && cost > budget) { /* of the table, the cheapest there is */
            return refuse(e, true, least);
        }
    }
    e->out->private_cost = cost;
    return SPX_OK;
}

/* Asked first while nothing has a value: what cannot be is refused before anything is measured. */
static spx_status within_relus(const edges *e, spx_sites_choice *c)
{
    const spx_prune_budget *b = &e->b->o->budget;
    const spx_status st = solve(e, b->value, c);
    return st == SPX_ENOTFOUND && c->cost >= 0
               ? SPX_FAIL(st,
                          "a budget of %s: with at most %d convolutions between ReLUs the smallest "
                          "possible is %lld (a larger --max-depth allows fewer)",
                          b->text, e->depth, (long long)c->cost)
               : st;
}

/* What is told of the layers stays what was measured. */
static void randomise(edges *e)
{
    spx_rng r;
    spx_rng_init(&r, e->b->o->random_seed, SPX_RNG_PRUNE, 0);
    for (int i = 0; i < e->sites.n; i++) {
        e->site[i].value = LEAST + (double)spx_rng_uniform(&r);
    }
}

static spx_status choose(edges *e, spx_sites_choice *c)
{
    const bool relus = e->b->o->budget.kind == SPX_BUDGET_RELUS;
    if (relus) {
        spx_sites_choice any;
        SPX_RETURN_IF(within_relus(e, &any));
    }
    SPX_RETURN_IF(measure_values(e));
    if (e->b->o->random) {
        randomise(e);
    }
    memset(c, 0, sizeof *c);
    memset(c->keep, true, sizeof c->keep);
    SPX_RETURN_IF(spx_sites_measure(&e->sites, c));
    return relus ? within_relus(e, c) : shrink(e, c);
}

/* ---- rounds ---- */

/* As it was measured, whatever the choice went by. */
static double dropped_value(const edges *e, const spx_sites_choice *c)
{
    double sum = 0;
    for (int i = 0; i < e->sites.n; i++) {
        sum += c->keep[i] ? 0.0 : e->out->layer[e->of[i]].value;
    }
    return sum;
}

/* Keeps some of what a choice drops for a later round: the parts that are worth most, until at most
 * `most` ReLUs are dropped, but for one part. What is left of the choice stays possible. */
static spx_status thin(const edges *e, spx_sites_choice *c, int64_t most)
{
    const bool grouped = e->b->o->per_kind;
    for (;;) {
        double value[SPX_SITES_MAX] = {0}; /* of a part: a site, or a group of them */
        int64_t dropped = 0;
        int parts = 0, best = -1;
        for (int i = 0; i < e->sites.n; i++) {
            const int part = grouped ? e->site[i].group : i;
            if (!c->keep[i]) {
                parts += value[part] == 0.0;
                value[part] += e->site[i].value;
                dropped += spx_mask_site_relus(&e->b->masks.site[e->of[i]]);
                best = best < 0 || value[part] > value[best] ? part : best;
            }
        }
        if (dropped <= most || parts <= 1) {
            return spx_sites_measure(&e->sites, c);
        }
        for (int i = 0; i < e->sites.n; i++) {
            c->keep[i] = c->keep[i] || (grouped ? e->site[i].group : i) == best;
        }
    }
}

static spx_status begin(edges *e)
{
    const spx_final_config config = spx_spec_config(&e->b->spec, 1);
    spx_sites_choice all = {0};
    spx_network net;
    SPX_RETURN_IF(spx_build_spec(&net, &e->b->spec, &config));
    const spx_status st = spx_relu_sites_of(&e->graph, net.graph, net.logits);
    spx_network_clear(&net);
    SPX_RETURN_IF(st);
    SPX_RETURN_IF(list_sites(e));
    if (e->b->o->per_kind) {
        SPX_RETURN_IF(group_sites(e));
    }
    SPX_RETURN_IF(fill_costs(e));
    memset(all.keep, true, sizeof all.keep);
    SPX_RETURN_IF(spx_sites_measure(&e->sites, &all));
    if (e->depth == 0) {
        e->depth = all.depth > USUAL_DEPTH ? all.depth : USUAL_DEPTH;
    }
    return SPX_OK;
}

/* Drops in round r of o->rounds its share of what the first one found superfluous: *excess. */
static spx_status prune_round(edges *e, int r, int64_t *excess, spx_prune_round *said)
{
    const int rounds = e->b->o->rounds;
    const int64_t before = spx_masks_relus(&e->b->masks);
    spx_sites_choice c;
    spx_metrics after;
    SPX_RETURN_IF(begin(e));
    SPX_RETURN_IF(choose(e, &c));
    if (e->first) {
        *excess = before;
        for (int i = 0; i < e->sites.n; i++) {
            *excess -= c.keep[i] ? spx_mask_site_relus(&e->b->masks.site[e->of[i]]) : 0;
        }
    }
    if (r + 1 < rounds) {
        SPX_RETURN_IF(thin(e, &c, *excess * (r + 1) / rounds - (e->out->relus_before - before)));
    }
    apply(e, &c);
    SPX_RETURN_IF(spx_prune_bench_measure(e->b, &after));
    *said = (spx_prune_round){.relus = spx_masks_relus(&e->b->masks),
                              .predicted = e->loss + dropped_value(e, &c),
                              .loss = spx_metrics_loss(&after)};
    e->out->depth = c.depth;
    return SPX_OK;
}

spx_status spx_prune_edges(spx_prune_bench *b, spx_prune_result *out)
{
    double loss = spx_metrics_loss(&out->before);
    int64_t excess = 0;
    int depth = b->o->max_depth;
    SPX_RETURN_IF(SPX_NEW(out->round, (size_t)b->o->rounds));
    for (int r = 0; r < b->o->rounds; r++) {
        edges e = {.b = b, .out = out, .loss = loss, .first = r == 0, .depth = depth};
        const spx_status st = prune_round(&e, r, &excess, &out->round[r]);
        spx_relu_sites_clear(&e.graph);
        spx_free(e.site);
        spx_free(e.of);
        SPX_RETURN_IF(st);
        loss = out->round[r].loss;
        depth = e.depth;
        out->predicted = out->round[r].predicted;
    }
    return SPX_OK;
}
