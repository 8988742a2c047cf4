/* The last word: fresh seeds, the test split once, and how sure the answer is. */
#include "kernels/base/alloc.h"
#include "search/evidence/finalists_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LEVEL 0.95
#define ROUNDS 2000

/* One of the three that are left, and its results on the test split. */
typedef struct last {
    const spx_finalist *cell;
    double top1[SPX_FINALISTS_SEEDS_MAX];
    double *hit; /* [seeds][images] */
} last;

static void name_of(const last *l, uint64_t seed, char name[64])
{
    (void)snprintf(name, 64, "final/%s-%llu", l->cell->name, (unsigned long long)seed);
}

static uint64_t seed_of(const spx_finalists *x, int i)
{
    return x->o->search->run.seed + SPX_FINAL_SEED + (uint64_t)i;
}

static spx_status train_all(const spx_finalists *x, const last l[SPX_CELL_KINDS])
{
    char name[64];
    for (int i = 0; i < x->o->seeds; i++) {
        for (int k = 0; k < SPX_CELL_KINDS; k++) {
            name_of(&l[k], seed_of(x, i), name);
            const spx_status st = spx_finalists_train(x, l[k].cell, name, seed_of(x, i), 1);
            if (st == SPX_ENUMERIC) {
                return spx_fail_context(st, "a last training diverged, so nothing can be said of "
                                            "these cells: give a --final-recipe with a lower lr, "
                                            "and another --out");
            }
            SPX_RETURN_IF(st);
        }
    }
    return SPX_OK;
}

static spx_status test_all(spx_finalists *x, last l[SPX_CELL_KINDS], const spx_pack *pack)
{
    const size_t n = pack->split[SPX_SPLIT_TEST].count;
    char name[64];
    for (int k = 0; k < SPX_CELL_KINDS; k++) {
        SPX_RETURN_IF(SPX_NEW(l[k].hit, n * (size_t)x->o->seeds));
        for (int i = 0; i < x->o->seeds; i++) {
            double *hit = l[k].hit + (size_t)i * n;
            name_of(&l[k], seed_of(x, i), name);
            SPX_RETURN_IF(spx_finalists_measure(x, name, pack, SPX_SPLIT_TEST, NULL, n, NULL, hit));
            x->evaluations++;
            l[k].top1[i] = spx_mean(hit, n);
        }
    }
    return SPX_OK;
}

/* ---- what it says ---- */

static json_t *numbers(const double *v, int n)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++) {
        (void)json_array_append_new(a, json_real(v[i]));
    }
    return a;
}

static json_t *cell_json(const spx_finalist *c)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:o}", "name", c->name, "kind",
                     spx_cell_kind_name(c->kind), "seed", (json_int_t)c->seed, "macs",
                     (json_int_t)c->macs, "genotype", spx_genotype_value(&c->genotype));
}

static json_t *last_json(const last *l, int seeds)
{
    return json_pack("{s:s, s:s, s:o, s:f, s:f}", "name", l->cell->name, "kind",
                     spx_cell_kind_name(l->cell->kind), "top1", numbers(l->top1, seeds),
                     "top1_mean", spx_mean(l->top1, (size_t)seeds), "top1_std",
                     spx_deviation(l->top1, (size_t)seeds));
}

/* The searched cell against the two others, fixed beforehand. */
static spx_status contrasts(const spx_finalists *x, const last *l, size_t images,
                            spx_difference d[2], json_t *out)
{
    static const spx_cell_kind other[2] = {SPX_CELL_RANDOM, SPX_CELL_PUBLISHED};
    const size_t n = (size_t)x->o->seeds;
    double p[2];
    for (int i = 0; i < 2; i++) {
        SPX_RETURN_IF(spx_welch(l[SPX_CELL_SEARCHED].top1, n, l[other[i]].top1, n, LEVEL, &d[i]));
        p[i] = d[i].p;
    }
    SPX_RETURN_IF(spx_holm(p, 2, p));
    for (int i = 0; i < 2; i++) {
        const spx_unit_results a = {l[SPX_CELL_SEARCHED].hit, n}, b = {l[other[i]].hit, n};
        double low, high;
        char name[64];
        SPX_RETURN_IF(
            spx_bootstrap(&a, &b, images, ROUNDS, x->o->search->run.seed, LEVEL, &low, &high));
        (void)snprintf(name, sizeof name, "searched - %s", spx_cell_kind_name(other[i]));
        (void)json_array_append_new(
            out, json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "name", name, "difference",
                           d[i].difference, "low", d[i].low, "high", d[i].high, "p", d[i].p,
                           "p_holm", p[i], "bootstrap_low", low, "bootstrap_high", high));
    }
    return SPX_OK;
}

/* What the search added over the best random cell, in plain words. */
static void verdict(const spx_difference *d, char text[256])
{
    const double low = 100 * d->low, high = 100 * d->high, points = fabs(100 * d->difference);
    if (d->low > 0) {
        (void)snprintf(text, 256,
                       "the search wins: %.2f points above the best random cell (95 %% interval "
                       "%.2f to %.2f)",
                       points, low, high);
    } else if (d->high < 0) {
        (void)snprintf(text, 256,
                       "the search loses: %.2f points below the best random cell (95 %% interval "
                       "of the difference %.2f to %.2f)",
                       points, low, high);
    } else {
        (void)snprintf(text, 256,
                       "the searched cell is %.2f points %s the best random one, and they cannot "
                       "be told apart: the 95 %% interval %.2f to %.2f holds 0",
                       points, d->difference < 0 ? "below" : "above", low, high);
    }
}

/* The best of the three, and by how much over the next. */
static spx_status win(const spx_finalists *x, const last *l, json_t *j)
{
    const size_t n = (size_t)x->o->seeds;
    int order[SPX_CELL_KINDS];
    double worse[SPX_CELL_KINDS];
    spx_difference d;
    for (int k = 0; k < SPX_CELL_KINDS; k++) {
        worse[k] = -spx_mean(l[k].top1, n);
    }
    (void)spx_halve(worse, SPX_CELL_KINDS, order); /* the better two of three, best first */
    SPX_RETURN_IF(spx_welch(l[order[0]].top1, n, l[order[1]].top1, n, LEVEL, &d));
    (void)json_object_set_new(j, "winner", json_string(l[order[0]].cell->name));
    return json_object_set_new(j, "margin",
                               json_pack("{s:s, s:f, s:f, s:f}", "over", l[order[1]].cell->name,
                                         "difference", d.difference, "low", d.low, "high",
                                         d.high)) == 0
               ? SPX_OK
               : SPX_FAIL(SPX_ENOMEM, "finalists: result");
}

static json_t *aside_json(const spx_finalists *x)
{
    const spx_pack *pack = x->o->search->pack;
    json_t *per_class = json_array(), *images = json_array();
    for (int c = 0; c < pack->classes; c++) {
        json_int_t n = 0;
        for (size_t i = 0; i < x->n_aside; i++) {
            n += pack->split[SPX_SPLIT_TRAIN].labels[x->aside[i]] == c;
        }
        (void)json_array_append_new(per_class, json_integer(n));
    }
    for (size_t i = 0; i < x->n_aside; i++) {
        (void)json_array_append_new(images, json_integer((json_int_t)x->aside[i]));
    }
    return json_pack("{s:I, s:o, s:o}", "count", (json_int_t)x->n_aside, "per_class", per_class,
                     "images", images);
}

static spx_status report(const spx_finalists *x, const last *l, size_t images, json_t **result)
{
    json_t *seeds = json_array(), *list = json_array(), *cells = json_array(),
           *finalists = json_array();
    spx_difference d[2];
    char text[256];
    spx_status st;
    for (int i = 0; i < x->o->seeds; i++) {
        (void)json_array_append_new(seeds, json_integer((json_int_t)seed_of(x, i)));
    }
    for (int i = 0; i < x->n; i++) {
        (void)json_array_append_new(cells, cell_json(&x->cell[i]));
    }
    for (int k = 0; k < SPX_CELL_KINDS; k++) {
        (void)json_array_append_new(finalists, last_json(&l[k], x->o->seeds));
    }
    SPX_TRY(st, contrasts(x, l, images, d, list), end);
    verdict(&d[0], text);
    *result = json_pack(
        "{s:{s:I, s:I, s:o, s:I}, s:O, s:O, s:O, s:{s:I, s:I}, s:O, s:O, s:s}", "network",
        "init_channels", (json_int_t)x->spec.init_channels, "layers", (json_int_t)x->spec.layers,
        "reduce_at", spx_reduce_at_json(x->spec.reduce_at, x->spec.n_reduce), "relus",
        (json_int_t)x->relus, "cells", cells, "rungs", x->rungs, "seeds", seeds, "test", "images",
        (json_int_t)images, "evaluations", (json_int_t)x->evaluations, "finalists", finalists,
        "contrasts", list, "verdict", text);
    st = *result != NULL ? win(x, l, *result) : SPX_FAIL(SPX_ENOMEM, "finalists: result");
    if (st == SPX_OK) { /* long, so last */
        (void)json_object_set_new(*result, "images_set_aside", aside_json(x));
    }
end:
    json_decref(seeds);
    json_decref(list);
    json_decref(cells);
    json_decref(finalists);
    if (st != SPX_OK) {
        json_decref(*result);
        *result = NULL;
    }
    return st;
}

spx_status spx_finalists_final(spx_finalists *x, json_t **result)
{
    last l[SPX_CELL_KINDS] = {{NULL}};
    spx_pack *pack = NULL;
    spx_status st;
    for (int i = 0; i < x->n; i++) {
        if (x->cell[i].in) {
            l[x->cell[i].kind].cell = &x->cell[i];
        }
    }
    SPX_RETURN_IF(train_all(x, l));
    SPX_RETURN_IF(spx_pack_open(&pack, x->o->data, SPX_PACK_NEED(SPX_SPLIT_TEST)));
    if (strcmp(pack->hash, x->o->search->pack->hash) != 0) {
        SPX_TRY(st, SPX_FAIL(SPX_EINVAL, "%s: it changed while networks were trained", x->o->data),
                end);
    }
    SPX_TRY(st, test_all(x, l, pack), end);
    st = report(x, l, pack->split[SPX_SPLIT_TEST].count, result);
end:
    for (int k = 0; k < SPX_CELL_KINDS; k++) {
        spx_free(l[k].hit);
    }
    spx_pack_close(pack);
    return st;
}
