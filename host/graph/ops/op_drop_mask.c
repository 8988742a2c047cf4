/* Masks of drop-path, drawn from the run's seed and step. */
#include "host/graph/op_private.h"

spx_tid spx_g_drop_mask(spx_graph *g, int64_t n, uint32_t key, const char *name)
{
    return spx_g_append(g, SPX_OP_DROP_MASK, &(spx_attr){.size = n, .key = key}, 0, NULL, name);
}

static spx_status infer(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    (void)g;
    *out = (spx_shape){1, {nd->attr.size}};
    return SPX_OK;
}

const spx_op_record spx_op_drop_mask = {
    .name = "drop_mask",
    .out = {{"mask", 1}},
    .infer = infer,
    .ends_gradient = true,
};
