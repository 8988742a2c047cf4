#ifndef SPX_BOUND_PRIVATE_H
#define SPX_BOUND_PRIVATE_H
/* Shared by the files that prove bounds. */
#include "host/model/bound.h"
#include "kernels/base/alloc.h"

/** Per channel of a value: interval, and the size of its elements if no terms cancelled. */
typedef struct spx_interval {
    double *low, *high, *size; /* one block, at low */
} spx_interval;

void spx_interval_clear(spx_interval *v);

/**
 * Narrows the bound of value v to that of its composed coefficients, if they take no more than
 * most_macs multiply-adds.
 * @param all  intervals of all values
 * @param estimate  *out becomes that of the middle element; no bound
 */
SPX_MUST_CHECK spx_status spx_bound_segment(const spx_deploy_draft *d, spx_pool *pool,
                                            const spx_interval *all, int v, double most_macs,
                                            bool estimate, spx_bound *out);

#endif
