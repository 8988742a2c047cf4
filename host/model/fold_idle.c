/* Which nodes of a graph the logits do not depend on. */
#include "host/model/fold_private.h"
#include "kernels/base/alloc.h"

spx_status spx_fold_find_idle(const spx_graph *g, spx_tid logits, int end, bool *idle)
{
    bool *made, *read; /* [n_tensors] */
    SPX_RETURN_IF(SPX_NEW(made, 2 * (size_t)g->n_tensors));
    read = made + g->n_tensors;
    for (int i = 0; i <= end; i++) {
        for (int j = 0; j < g->node[i].n_out; j++) {
            made[g->node[i].out[j]] = true;
        }
    }
    read[logits] = true;
    for (int i = end; i >= 0; i--) {
        const spx_node *nd = &g->node[i];
        idle[i] = true;
        for (int j = 0; j < nd->n_out; j++) { /* also as a part of what is read */
            const spx_tid t = nd->out[j], p = g->tensor[t].parent;
            idle[i] = idle[i] && !read[t] && (p == SPX_NO_TENSOR || !read[p]);
        }
        idle[i] = idle[i] || nd->auxiliary;
        for (int j = 0; j < nd->n_in && !idle[i]; j++) {
            const spx_tid t = nd->in[j], p = t != SPX_NO_TENSOR ? g->tensor[t].parent : t;
            if (t != SPX_NO_TENSOR) {
                read[t] = true;
            }
            if (p != SPX_NO_TENSOR && made[p]) { /* a part of what one node makes */
                read[p] = true;
            }
        }
    }
    spx_free(made);
    return SPX_OK;
}
