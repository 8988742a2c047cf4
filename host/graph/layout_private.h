#ifndef SPX_LAYOUT_PRIVATE_H
#define SPX_LAYOUT_PRIVATE_H
/* Private to host/graph. */
#include "host/graph/layout.h"

/** The layout of a graph after spx_graph_layout. */
SPX_MUST_CHECK spx_status spx_layout_make(spx_layout *l, const spx_graph *g);
void spx_layout_clear(spx_layout *l);

#endif
