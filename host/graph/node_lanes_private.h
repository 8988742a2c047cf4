#ifndef SPX_NODE_LANES_H
#define SPX_NODE_LANES_H
/*
 * Private to host/graph: which nodes may run at the same time, and on which lane each runs. Made
 * once per program from the bytes that nodes read and write; a run walks the list.
 */
#include "host/graph/exec_private.h"

/** One node on its lane. Waits come first, then the node, then its mark. */
typedef struct spx_launch {
    int node, lane;
    int first_wait, n_wait; /* of spx_node_lanes.wait: launches whose end it waits for */
    bool marked;            /* a later launch on another lane waits for it */
} spx_launch;

typedef struct spx_node_lanes {
    spx_launch *launch; /* [n_nodes], in the order of queueing */
    int *wait;          /* launches */
    int n, n_waits, lanes;
    int end
        [SPX_LANES_MAX]; /* the last launch of a lane, or -1; lane 0 waits for the others' last */
    double seconds;      /* by the costs, on lanes that do not slow each other down */
} spx_node_lanes;

/**
 * List scheduling (longest way to the end first, on the lane where a node can begin first) under
 * every read-after-write, write-after-read and write-after-write dependence of the order of nodes.
 * @param lanes 1..SPX_LANES_MAX
 */
SPX_MUST_CHECK spx_status spx_node_lanes_make(spx_node_lanes *out, const spx_exec *e, int lanes);
void spx_node_lanes_clear(spx_node_lanes *s);

/**
 * Reorders the launches to another order that lanes and waits allow, drawn from seed, so that
 * running them one after the other shows whether the waits suffice.
 */
SPX_MUST_CHECK spx_status spx_node_lanes_shuffle(spx_node_lanes *s, uint64_t seed);

#endif
