#ifndef SPX_PLAN_H
#define SPX_PLAN_H

#include "host/graph/graph.h"

/**
 * Places every activation in one workspace so that tensors alive at the same time do not overlap.
 * Activations of keep stay readable to the end.
 * @param offset [n_tensors], floats, set for activations that are no views (multiples of a cache
 * line); -1 for tensors no node touches
 * @param floats size of the workspace
 */
SPX_MUST_CHECK spx_status spx_plan_memory(const spx_graph *g, const spx_tid *keep, int n_keep,
                                          int64_t *offset, int64_t *floats);

#endif
