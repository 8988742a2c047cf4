#ifndef SPX_FINALISTS_H
#define SPX_FINALISTS_H
/*
 * Selection by evidence: is what a search finds better than chance? Images of the training split
 * are set aside, and no search or training sees them. Searched, random and published cells become
 * networks of one shape. They are trained for an eighth, a quarter and half of the steps, each time
 * anew with a whole schedule. Each time the better half of the searched ones, and of the random
 * ones, goes on: by cross-entropy on the images set aside. Then the best searched cell, the best
 * random one and the published one are trained in full with seeds that nothing used before. Only
 * then is the test split opened, and each of those networks is evaluated on it once.
 *
 * A search that diverges finds no cell, and a cell whose training diverges in a rung is lost. If
 * all searches do, or a last training, or those of all cells of a kind, the selection fails.
 *
 * In the folder: search-I, rung-R/CELL and final/CELL-S, each a run of its own, which goes on where
 * it was cut; finalists.json at the end. So all is a function of the options and of these folders.
 */
#include "search/bilevel/search_run.h"
#include "search/final/train_run.h"

#define SPX_FINALISTS_MAX 128 /* cells */
#define SPX_FINALISTS_SEEDS_MAX 64
#define SPX_RUNGS 3

/** Seeds beside the first: of a rung's trainings, and of the last ones. */
#define SPX_RUNG_SEED 100
#define SPX_FINAL_SEED 200

typedef struct spx_finalists_options {
    int pool;  /* cells: the published one, half of the rest searched, the others random */
    int extra; /* further random cells; below 0: as many as the searches' multiply-adds buy */
    int seeds; /* of the last trainings, 2..SPX_FINALISTS_SEEDS_MAX */
    int64_t set_aside; /* images; 0: 10,000, or a sixth of the split where that is less */
    int64_t relus;     /* budget of the networks */
    const char *data;  /* the pack, opened again at the end for its test split */
    const char *folder;
    const spx_search_options *search; /* its pack holds the training split alone; its seed is the
                                         first */
    const spx_train_options *train;   /* of all trainings; its spec needs input, classes, mean and
                                         std; parts, seed and evaluation are set here */
    spx_stream *stream;               /* to measure on */
    struct spx_tuning *tuning;
    /**
     * Opens the session of a run in the folder NAME of `folder`, going on with what is there.
     * @param verb    "search", "train"
     * @param inputs  released; NULL is SPX_ENOMEM
     */
    spx_status (*open)(void *ctx, const char *name, const char *verb, json_t *inputs,
                       spx_session *s);
    void (*tell)(void *ctx, const char *text); /* one line for people */
    void *ctx;
} spx_finalists_options;

/**
 * Runs it all, or goes on.
 * @param result  what finalists.json holds; the caller's; NULL on failure:
 *                {"network": {...}, "cells": [{"name", "kind", "seed", "macs", "genotype"}],
 *                "rungs": [{"steps", "seed", "cells": [{"name", "loss", "behind", "behind_error",
 *                "kept", "diverged"}]}], "seeds": [...], "test": {"images", "evaluations"},
 *                "finalists": [{"name", "kind", "top1": [...], "top1_mean", "top1_std"}],
 *                "contrasts": [{"name", "difference", "low", "high", "p", "p_holm",
 *                "bootstrap_low", "bootstrap_high"}], "verdict", "winner", "margin": {"over",
 *                "difference", "low", "high"}, "images_set_aside": {"count", "per_class",
 *                "images"}}
 * @return SPX_OK; SPX_EINVAL (a number out of range; too few images; no network of the budget);
 *         SPX_ENUMERIC (all searches diverged, or all cells of a kind in a rung, or a last
 *         training);
 *         SPX_EINTERRUPTED; what searches, trainings and files return
 */
SPX_MUST_CHECK spx_status spx_finalists_run(const spx_finalists_options *o, json_t **result);

/**
 * The rule of a rung: who goes on.
 * @param loss  [n], n >= 1
 * @param keep  receives the better half's indices, (n + 1) / 2 of them, best first; of equal ones
 *              the earlier
 * @return how many
 */
int spx_halve(const double *loss, int n, int *keep);

#endif
