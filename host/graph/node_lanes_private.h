#ifndef SPX_NODE_LANES_H
#define SPX_NODE_LANES_H
/*
 * Private to host/graph: which nodes may run at the same time, and on which lane each runs. Made
 * once per program from the bytes that nodes read and write; a run walks the list.
 */
#include "host/graph/exec_private.h"

/** One node's turn. Waits come first, then the node, then its mark. */
typedef struct spx_turn {
    int node, lane;
    int first_wait, n_wait; /* of spx_schedule.wait: turns whose end it waits for */
    bool marked;            /* a later turn on another lane waits for it */
} spx_turn;

typedef struct spx_schedule {
    spx_turn *turn; /* [n_nodes], in the order of queueing */
    int *wait;      /* turns */
    int n, n_waits, lanes;
    int end[SPX_LANES_MAX]; /* the last turn of a lane, or -1; lane 0 waits for the others' last */
    double seconds;         /* by the costs, on lanes that do not slow each other down */
} spx_schedule;

/**
 * List scheduling (longest way to the end first, on the lane where a node can begin first) under
 * every read-after-write, write-after-read and write-after-write dependence of the order of nodes.
 * @param lanes 1..SPX_LANES_MAX
 */
SPX_MUST_CHECK spx_status spx_schedule_make(spx_schedule *out, const spx_exec *e, int lanes);
void spx_schedule_clear(spx_schedule *s);

/**
 * Reorders the turns to another order that lanes and waits allow, drawn from seed, so that running
 * them one after the other shows whether the waits suffice.
 */
SPX_MUST_CHECK spx_status spx_schedule_shuffle(spx_schedule *s, uint64_t seed);

#endif
