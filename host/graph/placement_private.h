#ifndef SPX_PLACEMENT_H
#define SPX_PLACEMENT_H

#include "host/graph/graph.h"

typedef struct spx_placement_options {
    const size_t *size;  /* [n_tensors] bytes; of views not read */
    int64_t align;       /* bytes, of every place */
    int slack;           /* nodes for which a place stays as it is after its last reader */
    const spx_tid *keep; /* activations that stay readable to the end */
    int n_keep;
} spx_placement_options;

/**
 * Places every activation in one workspace so that tensors alive at the same time do not overlap.
 * @param offset [n_tensors], bytes, set for activations that are no views (multiples of align); -1
 *               for tensors no node touches
 * @param bytes size of the workspace
 */
SPX_MUST_CHECK spx_status spx_place_memory(const spx_graph *g, const spx_placement_options *o,
                                           int64_t *offset, int64_t *bytes);

#endif
