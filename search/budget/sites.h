#ifndef SPX_SITES_H
#define SPX_SITES_H
/*
 * Which ReLUs of a network to keep within a hard budget: exactly, for given values. Pure: knows
 * neither graphs nor weights.
 *
 * A network is a list of steps in the order data flows, each making one value of earlier ones. A
 * site is a ReLU, or several that are kept and dropped as one. The depth of a value is the longest
 * path of convolutions to it from kept sites and from fresh values: a fresh value's and a kept
 * site's is 0, a dropped site passes its operand's on. So what a kept site costs, by the depth of
 * its operand, and whether a choice is possible at all, depend on the sites before it.
 *
 * Chosen is what drops the least value subject to cost <= budget and depth <= max_depth. Of equal
 * ones the cheapest wins.
 */
#include "kernels/base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define SPX_SITES_MAX 512      /* sites of a network */
#define SPX_SITES_LIVE 32      /* values that are still to be read, at any one time */
#define SPX_SITES_MAX_DEPTH 63 /* largest depth a cost is told for, and largest limit */
#define SPX_SITES_MAX_GROUPS 16

typedef enum spx_sites_kind {
    SPX_SITES_FRESH, /* of depth 0: the image; or of what x[0] has, made anew (max pooling); x[0]
                        may be -1 */
    SPX_SITES_CONV,  /* one convolution, or product with weights, deeper than x[0] */
    SPX_SITES_JOIN,  /* as deep as the deeper of x[0] and x[1]; x[1] may be -1 */
    SPX_SITES_RELU   /* site `site` on x[0] */
} spx_sites_kind;

typedef struct spx_sites_step {
    spx_sites_kind kind;
    int x[2]; /* earlier steps */
    int site; /* RELU: each site has exactly one step */
} spx_sites_step;

typedef struct spx_site {
    double value;                          /* >= 0: what dropping it loses */
    int64_t cost[SPX_SITES_MAX_DEPTH + 1]; /* >= 0, of keeping it, by its operand's depth; never
                                              falling: ReLUs, bytes, microseconds */
    int group; /* spx_sites_solve_groups alone: sites of a group are kept and dropped together */
} spx_site;

typedef struct spx_sites {
    const spx_sites_step *step; /* [n_steps]; every one but the last is read by a later one */
    const spx_site *site;       /* [n] */
    int n_steps, n;
} spx_sites;

typedef struct spx_sites_choice {
    bool keep[SPX_SITES_MAX];
    int64_t cost;   /* of the kept ones */
    double dropped; /* value of the others, summed in order */
    int depth;      /* the deepest value: at most max_depth */
} spx_sites_choice;

/**
 * What a choice costs: fills cost, dropped and depth from keep.
 * @param c  keep is read, [n]
 * @return SPX_OK; SPX_EINVAL (sites that break the rules above)
 */
SPX_MUST_CHECK spx_status spx_sites_measure(const spx_sites *s, spx_sites_choice *c);

/**
 * The best choice, by dynamic programming over the steps: partial choices that leave equal depths
 * differ in cost and value alone, and of these only the Pareto front goes on.
 * @param max_depth  0..SPX_SITES_MAX_DEPTH
 * @param out  where no choice fits the budget, the cheapest one of that depth
 * @return SPX_OK; SPX_ENOTFOUND (nothing fits: the message names the smallest possible depth, and
 *         out->cost is -1, or the smallest budget possible at this one); SPX_EINVAL; SPX_ENOMEM
 *         (more partial choices than SPX_SITES_LABELS)
 */
SPX_MUST_CHECK spx_status spx_sites_solve(const spx_sites *s, int64_t budget, int max_depth,
                                          spx_sites_choice *out);
#define SPX_SITES_LABELS 2000000

/**
 * The same where sites of a group share their fate (a mask per kind of cell): by trying all
 * 2^groups.
 * Of equal ones the cheapest, then the one that drops groups of lower numbers.
 */
SPX_MUST_CHECK spx_status spx_sites_solve_groups(const spx_sites *s, int64_t budget, int max_depth,
                                                 spx_sites_choice *out);

#endif
