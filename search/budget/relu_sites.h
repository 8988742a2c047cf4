#ifndef SPX_RELU_SITES_H
#define SPX_RELU_SITES_H
/* The ReLUs of a graph as sites of search/budget/sites.h: one a node, in the order data flows. */
#include "host/graph/graph.h"
#include "search/budget/sites.h"

typedef struct spx_relu_sites {
    spx_sites_step *step; /* [n_steps] */
    int *node;            /* [n]: the node of site i */
    int n_steps, n;
} spx_relu_sites;

/**
 * Convolutions and linear layers are one step deeper, max pooling makes values anew, the rest is as
 * deep as the deepest activation it reads.
 * @param g       as built, before any pass
 * @param output  what is computed: nodes that it does not need are left out
 * @param out     to be cleared; zeroed on failure
 * @return SPX_OK; SPX_EINVAL (more than SPX_SITES_MAX ReLUs); SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_relu_sites_of(spx_relu_sites *out, const spx_graph *g,
                                            spx_tid output);
void spx_relu_sites_clear(spx_relu_sites *s); /* zeroed or filled */

#endif
