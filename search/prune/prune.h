#ifndef SPX_PRUNE_H
#define SPX_PRUNE_H
/*
 * A trained model with fewer ReLUs, at once and without training: what each ReLU is worth is
 * measured or scored, the most valuable ones within a hard budget stay, the others become linear.
 * Training it further is `train --init-from`.
 */
#include "data/pack/pack.h"
#include "host/secure/infer/infer.h"
#include "search/budget/sites.h"
#include "search/final/model.h"

typedef enum spx_prune_granularity {
    SPX_PRUNE_EDGE,    /* a ReLU layer is kept or dropped whole, by measured values */
    SPX_PRUNE_CHANNEL, /* a channel of one, by first-order scores */
    SPX_PRUNE_PIXEL    /* a position of one, likewise */
} spx_prune_granularity;

typedef enum spx_budget_kind {
    SPX_BUDGET_RELUS,
    SPX_BUDGET_ONLINE, /* microseconds of a private query's online phase */
    SPX_BUDGET_BYTES   /* of a private query, prepared and answered, both ways */
} spx_budget_kind;

typedef struct spx_prune_budget {
    spx_budget_kind kind;
    int64_t value; /* >= 1 */
    spx_link link; /* the parties'; where the budget has none, what private queries are told for */
    char text[64]; /* as it was given, for people: "online-ms:250@wan" */
} spx_prune_budget;

typedef struct spx_prune_options {
    spx_prune_budget budget;
    spx_prune_granularity granularity;
    bool per_kind;   /* EDGE: the same ReLUs in all cells of a kind */
    int rounds;      /* EDGE, >= 1: each drops its share, by values measured anew */
    int max_depth;   /* EDGE: convolutions between kept ReLUs; 0: 4, or what the model has */
    int64_t batch;   /* images at a time, >= 1 */
    int64_t images;  /* of the training split, for statistics and scores, >= 1 */
    double held_out; /* share of the training split for losses; 0..1 exclusive */
    uint64_t seed;   /* which share that is: the training's own gives its held-out images */
    bool random;     /* keeps by random numbers in place of values and scores: what these must
                        beat */
    uint64_t random_seed;
    const spx_masks *like; /* PIXEL: as many of each layer as this one keeps, together the budget;
                              NULL: of all layers together. Borrowed */
    /** Told after each measurement; may be NULL. */
    void (*show)(void *ctx, const char *phase, int64_t done, int64_t total);
    void *ctx;
} spx_prune_options;

/** A ReLU layer of the model. */
typedef struct spx_pruned_layer {
    char relu[128];             /* the node's name, cut where it is longer */
    int64_t full, before, kept; /* positions */
    double value; /* EDGE: what the loss rises by with this layer linear, above 0; else the sum
                     of its positions' scores */
} spx_pruned_layer;

/** What a private query of a model takes, as `cost` predicts it by usual rates. */
typedef struct spx_prune_private {
    bool known;    /* false: it cannot be deployed */
    double bytes;  /* prepared and answered, both ways */
    double online; /* seconds */
} spx_prune_private;

/** What a round of EDGE found. */
typedef struct spx_prune_round {
    int64_t relus;          /* kept after it */
    double predicted, loss; /* after it: the loss before and the values of what it dropped; real */
} spx_prune_round;

typedef struct spx_prune_result {
    int64_t relus_before;      /* kept positions */
    spx_relu_count relus;      /* of what was written */
    int depth;                 /* EDGE: convolutions between kept ReLUs, at most */
    spx_metrics before, after; /* on the held-out images, statistics estimated anew in both */
    double predicted;          /* loss, by the last round */
    double private_cost;       /* of the budget's kind, as `cost` predicts it; RELUS: relus */
    spx_prune_private private_before, private_after; /* over the budget's link, or "lan" */
    spx_prune_round *round;                          /* [rounds]; NULL but for EDGE */
    spx_pruned_layer *layer;                         /* [n], owned */
    int n;
} spx_prune_result;

/**
 * @param m      a model, masked or not
 * @param pack   its training split is loaded; its images are taken as the model's
 * @param path   the model to write, whole or not at all
 * @param out    to be cleared; zeroed on failure
 * @return SPX_OK; SPX_EINVAL and SPX_ENOTFOUND (a budget that is none, or that nothing fits: the
 *         message has the largest or smallest possible one, of times and bytes the smallest of the
 *         choices that were tried); what programs, loaders and
 *         spx_model_save return
 */
SPX_MUST_CHECK spx_status spx_prune(spx_prune_result *out, const spx_model *m, const spx_pack *pack,
                                    spx_stream *stream, const spx_prune_options *o,
                                    const char *path);
void spx_prune_result_clear(spx_prune_result *r); /* zeroed or filled */

#endif
