#include "host/train/memory.h"

#include "kernels/base/alloc.h"

spx_status spx_memory_check(const spx_graph *g, int copies)
{
    const double have = (double)spx_memory_physical();
    double weights = 0, largest = 0;
    SPX_RETURN_IF(spx_graph_status(g));
    for (int i = 0; i < g->n_tensors; i++) {
        const spx_tensor *t = &g->tensor[i];
        const double bytes = 4.0 * (double)spx_tensor_count(t);
        if (t->parent != SPX_NO_TENSOR) {
            continue;
        }
        if (t->role == SPX_ROLE_WEIGHT) {
            weights += bytes * copies;
        } else if (bytes > largest) {
            largest = bytes;
        }
    }
    if (have > 0 && weights + largest > have) {
        return SPX_FAIL(SPX_ENOMEM,
                        "the network needs more than %.1f GiB, this machine has %.1f GiB",
                        (weights + largest) / 0x1p30, have / 0x1p30);
    }
    return SPX_OK;
}
