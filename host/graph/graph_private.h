#ifndef SPX_GRAPH_PRIVATE_H
#define SPX_GRAPH_PRIVATE_H
/* Private to host/graph. */
#include "host/graph/graph.h"
#include "kernels/base/alloc.h"

#include <assert.h>

#define SPX_MAX_ELEMENTS ((int64_t)1 << 40) /* of one tensor: refuses absurd shapes early */

/** False, with an error kept, unless t is a tensor of that rank (0: any). */
bool spx_g_valid(spx_graph *g, spx_tid t, int rank, const char *what);
/** Keeps the calling thread's message as the graph's error. */
void spx_g_fail_from(spx_graph *g, spx_status st, const char *name);
/** Frees what a node owns, not the node. */
void spx_g_clear_node(spx_node *nd);

/** The tensor that holds t's storage: t or its parent. */
static inline spx_tid spx_root(const spx_graph *g, spx_tid t)
{
    const spx_tid root = g->tensor[t].parent != SPX_NO_TENSOR ? g->tensor[t].parent : t;
    assert(g->tensor[root].parent == SPX_NO_TENSOR); /* no view is of a view */
    return root;
}

#endif
