#ifndef SPX_LINEARIZE_H
#define SPX_LINEARIZE_H
/*
 * Which ReLUs of a network are kept, position by position, while it is trained to do without the
 * others: the arithmetic of the published methods, of host memory alone. A position that is dropped
 * becomes the identity (search/final/mask.h).
 *
 * relupruner: scores of every batch (kernels/nn/relu_score). The best of all layers are kept, ever
 * fewer of them, down to the budget exactly. What was dropped is scored still, and may come back.
 * (AAAI 2026; its code)
 *
 * senet: a layer keeps a given share, of the budget exactly: the positions where the outputs of
 * student and teacher were farthest from each other in the epoch before. (ICLR 2023; its authors'
 * later code, rlnet)
 *
 * snl: masks are numbers that are trained, by Adam, with a penalty on their sum
 * (spx_adam_masks), which grows until few enough are above a threshold. Then the largest become 1,
 * the budget exactly, and the others 0. (ICML 2022; its code)
 */
#include "kernels/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum spx_linearize_method {
    SPX_LINEARIZE_NONE,
    SPX_LINEARIZE_RELUPRUNER,
    SPX_LINEARIZE_SENET,
    SPX_LINEARIZE_SNL
} spx_linearize_method;

/** When how many positions are kept. Published: 150 epochs, 5 before, 0.6 of the rest, every 100
 * steps. */
typedef struct spx_linear_schedule {
    int64_t epochs; /* of the first stage, >= 1 */
    int64_t before; /* of those, in which all are kept, 0 <= before < epochs */
    double falling; /* share of the others over which the number falls, 0..1 */
    int64_t every;  /* steps from choice to choice, >= 1; twice that once the budget is reached */
    int64_t full;   /* positions there are, >= 1 */
    int64_t budget; /* positions to keep, 1..full */
} spx_linear_schedule;

/** The first epoch whose choices keep the budget exactly: before + falling (epochs - before), down
 * to a whole epoch. */
int64_t spx_linear_budget_epoch(const spx_linear_schedule *s);

/**
 * Positions to keep in a choice of epoch e: all before `before`, the budget from its epoch on.
 * Between, down to a whole number, full * (r + (1 - r) (1 + cos(pi p^1.5)) / 2), with r = budget /
 * full and p from 0 to 1 at the budget's epoch.
 */
int64_t spx_linear_count(const spx_linear_schedule *s, int64_t e);

/**
 * Whether a choice is made behind a step: at multiples of `every`, once the epochs before are over.
 * And behind the first step of the budget's epoch: its end is then within the budget, however few
 * steps an epoch has.
 * @param e           the step's epoch
 * @param epoch_step  steps of that epoch before it
 * @param done        steps of all epochs, this one included
 */
bool spx_linear_due(const spx_linear_schedule *s, int64_t e, int64_t epoch_step, int64_t done);

/** A layer's positions. */
typedef struct spx_linear_layer {
    int64_t count;      /* >= 0 */
    const float *score; /* [count]; NaN is below all others */
    float *mask;        /* [count], overwritten with 0 and 1; may be score */
} spx_linear_layer;

/**
 * Keeps the positions of the highest scores over all layers; of equal ones those of the lower
 * layer, then of the lower index.
 * @param keep  0..sum of counts
 * @return SPX_OK; SPX_EINVAL: a number out of range; SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_linear_keep(const spx_linear_layer *layer, int n, int64_t keep);

/**
 * How many positions each layer keeps: in proportion to weight, none more than it has, and so many
 * in all. What falls off whole numbers goes to the largest fractions, of equal ones to the first.
 * @param weight  [n], >= 0
 * @param count   [n], >= 0
 * @param keep    [n], out
 * @return SPX_OK; SPX_EINVAL: a number out of range, or the layers of a weight above 0 have fewer
 *         than budget
 */
SPX_MUST_CHECK spx_status spx_linear_share(int n, const double *weight, const int64_t *count,
                                           int64_t budget, int64_t *keep);

#define SPX_SNL_THRESHOLD 0.01f /* a mask above it counts, as published */

/** snl: where its penalty stands. */
typedef struct spx_snl {
    double penalty, growth; /* of the sum of masks; >= 1, published: 1.1 */
    int64_t least;          /* that ever were above the threshold as an epoch ended; before the
                               first: all there are */
} spx_snl;

/**
 * snl: judges an epoch as it ends, one whose masks are still trained.
 * @param above   masks above the threshold
 * @param may     whether the penalty may grow: published, behind epochs 5 on
 * @return whether they are few enough: the masks are chosen now. Else, where they are no fewer than
 *         ever before, the penalty has grown.
 */
bool spx_snl_judge(spx_snl *s, int64_t above, int64_t budget, bool may);

#endif
