/* The order of a selection: images set aside, pool, rungs, last trainings. */
#include "search/evidence/finalists.h"

#include "data/loader/loader.h"
#include "kernels/base/alloc.h"
#include "search/budget/budget.h"
#include "search/evidence/finalists_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const int part_of_rung[SPX_RUNGS] = {8, 4, 2};

int spx_halve(const double *loss, int n, int *keep)
{
    const int kept = (n + 1) / 2;
    for (int k = 0; k < kept; k++) {
        keep[k] = -1;
        for (int i = 0; i < n; i++) {
            bool taken = false;
            for (int m = 0; m < k; m++) {
                taken = taken || keep[m] == i;
            }
            if (!taken && (keep[k] < 0 || loss[i] < loss[keep[k]])) {
                keep[k] = i;
            }
        }
    }
    return kept;
}

/* ---- before anything is trained ---- */

static spx_status check(const spx_finalists_options *o)
{
    if (o->pool < 3 || o->pool + (o->extra < 0 ? 64 : o->extra) > SPX_FINALISTS_MAX) {
        return o->pool < 3 || o->extra < 0
                   ? SPX_FAIL(SPX_EINVAL, "finalists: %d cells, expected 3 to %d", o->pool,
                              SPX_FINALISTS_MAX - 64)
                   : SPX_FAIL(SPX_EINVAL,
                              "finalists: %d cells and %d further random ones, expected "
                              "at most %d together",
                              o->pool, o->extra, SPX_FINALISTS_MAX);
    }
    if (o->seeds < 2 || o->seeds > SPX_FINALISTS_SEEDS_MAX) {
        return SPX_FAIL(SPX_EINVAL, "finalists: %d seeds, expected 2 to %d", o->seeds,
                        SPX_FINALISTS_SEEDS_MAX);
    }
    return SPX_OK;
}

static spx_status set_aside(spx_finalists *x)
{
    const spx_finalists_options *o = x->o;
    const spx_pack *pack = o->search->pack;
    const spx_pack_split *all = &pack->split[SPX_SPLIT_TRAIN];
    const size_t sixth = all->count / 6;
    size_t n = (size_t)o->set_aside;
    if (n == 0) {
        n = sixth < 10000 ? sixth : 10000;
    }
    if (n < 2 || n > all->count / 2) {
        return SPX_FAIL(SPX_EINVAL,
                        "finalists: %zu of %zu training images set aside, expected 2 to %zu", n,
                        all->count, all->count / 2);
    }
    SPX_RETURN_IF(SPX_NEW(x->aside, n + 1));
    SPX_RETURN_IF(SPX_NEW(x->rest, all->count));
    SPX_RETURN_IF(spx_split_share(all->labels, all->count, pack->classes, o->search->run.seed,
                                  (double)n / (double)all->count, x->aside, &x->n_aside, x->rest,
                                  &x->n_rest));
    x->full_steps = (int64_t)x->n_rest / o->train->batch;
    if (o->train->epoch_steps > 0 && o->train->epoch_steps < x->full_steps) {
        x->full_steps = o->train->epoch_steps;
    }
    return x->full_steps >= part_of_rung[0]
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL,
                          "finalists: %zu images make %lld steps of %lld an epoch, expected %d or "
                          "more for a rung of an eighth: give a smaller --final-batch",
                          x->n_rest, (long long)x->full_steps, (long long)o->train->batch,
                          part_of_rung[0]);
}

/* One shape for all cells: their ReLUs do not depend on the primitives. */
static spx_status choose_shape(spx_finalists *x)
{
    const spx_finalists_options *o = x->o;
    const spx_plan_bounds bounds = {
        .relus = o->relus, .min_layers = 2, .max_layers = SPX_PLAN_MAX_LAYERS};
    spx_plan_choice c;
    spx_planner *p;
    x->spec = o->train->spec;
    SPX_RETURN_IF(spx_planner_create(&p, &spx_genotype_published, &x->spec.input, x->spec.classes));
    const spx_status st = spx_planner_best(p, &bounds, &c);
    spx_planner_destroy(p);
    SPX_RETURN_IF(st);
    x->spec.init_channels = c.init_channels;
    x->spec.layers = c.layers;
    x->spec.n_reduce = 2;
    memcpy(x->spec.reduce_at, c.reduce_at, sizeof c.reduce_at);
    x->relus = c.counts.relus;
    return SPX_OK;
}

/* What lies ahead, in trainings and hours. Cells drawn stand for those not searched yet. */
static spx_status tell_plan(const spx_finalists *x)
{
    const spx_finalists_options *o = x->o;
    const int searched = (o->pool - 1) / 2, random = o->pool - 1 - searched;
    const spx_finalist cell = {.genotype = spx_genotype_published};
    spx_final_spec f = x->spec;
    spx_counts counts;
    double search, step, full, shares;
    char text[320];
    f.genotype = spx_genotype_published;
    SPX_RETURN_IF(spx_final_count(&f, false, &counts));
    SPX_RETURN_IF(spx_finalists_search_macs(x, &search));
    SPX_RETURN_IF(spx_finalists_probe(x, &cell, &step));
    full = spx_finalists_train_macs(x, counts.macs, 1);
    /* rungs of 3/8 a cell, and of 7/8 for the published one; the last trainings */
    shares = (searched + random + (o->extra > 0 ? o->extra : 0)) * 3.0 / 8 + 7.0 / 8 +
             SPX_CELL_KINDS * o->seeds + (o->extra < 0 ? searched * search / full : 0);
    const double hours = (searched * search + shares * full) / (3 * (double)counts.macs) /
                         (double)o->train->batch * step / 3600;
    (void)snprintf(text, sizeof text,
                   "%zu images set aside; %d searches, %d random cells%s and the published one, "
                   "%lld channels, %lld layers, %lld ReLUs; rungs of 1/8, 1/4 and 1/2 of %lld "
                   "steps of %lld images, then %d seeds of 3 cells: about %.1f hours here",
                   x->n_aside, searched, random + (o->extra > 0 ? o->extra : 0),
                   o->extra < 0 ? " (and as many more as the searches' multiply-adds buy)" : "",
                   (long long)x->spec.init_channels, (long long)x->spec.layers, (long long)x->relus,
                   (long long)(x->full_steps * o->train->run.schedule.epochs),
                   (long long)o->train->batch, o->seeds, hours);
    o->tell(o->ctx, text);
    return SPX_OK;
}

/* ---- rungs ---- */

/* The cell is out of the running. */
static void lose(const spx_finalists *x, const char *why, double *loss)
{
    spx_finalists_lost(x, why);
    for (size_t i = 0; i < x->n_aside; i++) {
        loss[i] = INFINITY;
    }
}

/* A cell's line; loss, best: of all images set aside, [n_aside]. JSON has no infinity: null. */
static spx_status describe(const spx_finalists *x, const spx_finalist *c, const double *loss,
                           const double *best, bool kept, json_t *cells)
{
    const bool lost = isinf(loss[0]);
    spx_difference d = {0};
    if (!lost) {
        SPX_RETURN_IF(spx_paired(loss, best, x->n_aside, 0.95, &d));
    }
    return json_array_append_new(
               cells, json_pack("{s:s, s:o, s:o, s:o, s:b, s:b}", "name", c->name, "loss",
                                lost ? json_null() : json_real(spx_mean(loss, x->n_aside)),
                                "behind", lost ? json_null() : json_real(d.difference),
                                "behind_error", lost ? json_null() : json_real(d.error), "kept",
                                kept, "diverged", lost)) == 0
               ? SPX_OK
               : SPX_FAIL(SPX_ENOMEM, "finalists: record");
}

/* Halves the cells of a kind, behind the last rung to the best; loss: [x->n][n_aside], of those
 * still in. A cell that is lost does not go on even where it is among the better half. */
static spx_status halve(spx_finalists *x, spx_cell_kind kind, bool last, const double *loss,
                        json_t *cells)
{
    int at[SPX_FINALISTS_MAX], keep[SPX_FINALISTS_MAX], n = 0;
    double mean[SPX_FINALISTS_MAX];
    bool kept[SPX_FINALISTS_MAX] = {false};
    for (int i = 0; i < x->n; i++) {
        if (x->cell[i].in && x->cell[i].kind == kind) {
            mean[n] = spx_mean(loss + (size_t)i * x->n_aside, x->n_aside);
            at[n++] = i;
        }
    }
    const int left = spx_halve(mean, n, keep);
    for (int k = 0; k < (last ? 1 : left); k++) {
        kept[keep[k]] = isfinite(mean[keep[k]]);
    }
    if (!kept[keep[0]]) {
        return SPX_FAIL(SPX_ENUMERIC,
                        "all %s cells diverged: give a --final-recipe with a lower lr, and another "
                        "--out",
                        spx_cell_kind_name(kind));
    }
    for (int k = 0; k < n; k++) {
        x->cell[at[k]].in = kept[k];
        SPX_RETURN_IF(describe(x, &x->cell[at[k]], loss + (size_t)at[k] * x->n_aside,
                               loss + (size_t)at[keep[0]] * x->n_aside, kept[k], cells));
    }
    return SPX_OK;
}

static spx_status train_and_measure(spx_finalists *x, int rung, uint64_t seed, double *loss)
{
    const spx_pack *pack = x->o->search->pack;
    char name[64];
    for (int i = 0; i < x->n; i++) {
        spx_status st = SPX_OK;
        if (x->cell[i].in) {
            (void)snprintf(name, sizeof name, "rung-%d/%s", rung + 1, x->cell[i].name);
            st = spx_finalists_train(x, &x->cell[i], name, seed, part_of_rung[rung]);
        }
        if (st == SPX_ENUMERIC) {
            lose(x, spx_error_message(), loss + (size_t)i * x->n_aside);
        } else {
            SPX_RETURN_IF(st);
        }
    }
    for (int i = 0; i < x->n; i++) {
        double *mine = loss + (size_t)i * x->n_aside;
        if (!x->cell[i].in || isinf(mine[0])) {
            continue;
        }
        (void)snprintf(name, sizeof name, "rung-%d/%s", rung + 1, x->cell[i].name);
        SPX_RETURN_IF(spx_finalists_measure(x, name, pack, SPX_SPLIT_TRAIN, x->aside, x->n_aside,
                                            mine, NULL));
        if (!isfinite(spx_mean(mine, x->n_aside))) {
            char why[160];
            (void)snprintf(why, sizeof why, "%s: a loss on the images set aside is not finite",
                           name);
            lose(x, why, mine);
        }
    }
    return SPX_OK;
}

static spx_status run_rung(spx_finalists *x, int rung)
{
    const uint64_t seed = x->o->search->run.seed + SPX_RUNG_SEED + (uint64_t)rung;
    const int64_t steps = x->full_steps / part_of_rung[rung] * x->o->train->run.schedule.epochs;
    json_t *cells = json_array();
    double *loss = NULL;
    spx_status st;
    SPX_TRY(st, SPX_NEW(loss, (size_t)x->n * x->n_aside), end);
    SPX_TRY(st, train_and_measure(x, rung, seed, loss), end);
    for (int kind = 0; kind < SPX_CELL_KINDS; kind++) {
        SPX_TRY(st, halve(x, (spx_cell_kind)kind, rung == SPX_RUNGS - 1, loss, cells), end);
    }
    (void)json_array_append_new(x->rungs, json_pack("{s:I, s:I, s:O}", "steps", (json_int_t)steps,
                                                    "seed", (json_int_t)seed, "cells", cells));
end:
    spx_free(loss);
    json_decref(cells);
    return st;
}

spx_status spx_finalists_run(const spx_finalists_options *o, json_t **result)
{
    spx_finalists *x = NULL;
    spx_status st;
    *result = NULL;
    SPX_RETURN_IF(check(o));
    SPX_RETURN_IF(SPX_NEW(x, 1));
    x->o = o;
    x->rungs = json_array();
    SPX_TRY(st, set_aside(x), end);
    SPX_TRY(st, choose_shape(x), end);
    SPX_TRY(st, tell_plan(x), end);
    SPX_TRY(st, spx_finalists_pool(x), end);
    for (int rung = 0; rung < SPX_RUNGS; rung++) {
        SPX_TRY(st, run_rung(x, rung), end);
    }
    st = spx_finalists_final(x, result);
end:
    spx_free(x->aside);
    spx_free(x->rest);
    json_decref(x->rungs);
    spx_free(x);
    return st;
}
