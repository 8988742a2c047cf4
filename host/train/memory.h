#ifndef SPX_MEMORY_H
#define SPX_MEMORY_H
/* Refusing absurd sizes before hours, or the machine, are spent on them. */
#include "host/graph/graph.h"
#include "kernels/device/stream.h"

/**
 * Whether a network can at all run here: its weights (copies times over) and its largest activation
 * together must not exceed the memory of the stream's device. A lower bound of what it needs, no
 * promise.
 * @param copies  arenas of the weights' size that will be held
 * @return SPX_OK; SPX_ENOMEM naming both sizes; the graph's builder error
 */
SPX_MUST_CHECK spx_status spx_memory_check(const spx_graph *g, const spx_stream *s, int copies);

#endif
