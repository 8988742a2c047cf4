#include "host/train/memory.h"

spx_status spx_memory_check(const spx_graph *g, const spx_stream *s, int copies)
{
    double weights = 0, largest = 0, have;
    spx_device_info device;
    SPX_RETURN_IF(spx_graph_status(g));
    SPX_RETURN_IF(spx_device_describe(spx_stream_device(s), spx_stream_index(s), &device));
    have = (double)device.memory_bytes;
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
        return SPX_FAIL(SPX_ENOMEM, "the network needs more than %.1f GiB, %s has %.1f GiB",
                        (weights + largest) / 0x1p30,
                        spx_stream_device(s) == SPX_DEVICE_CPU ? "this machine" : device.name,
                        have / 0x1p30);
    }
    return SPX_OK;
}
