/* Softmax of rows: architecture parameters to weights of candidates. */
#include "host/graph/autodiff_private.h"

enum { BWD_Y, BWD_DY, BWD_INPUTS };

spx_tid spx_g_softmax(spx_graph *g, spx_tid x, const char *name)
{
    return spx_g_append(g, SPX_OP_SOFTMAX, NULL, 1, &x, name);
}

static spx_status infer(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    *out = spx_shape_of(g, nd->in[0]);
    return SPX_OK;
}

static void gradient(spx_diff *d, int i, spx_tid dy)
{
    const spx_node *nd = &d->g->node[i];
    (void)spx_diff_emit_data(d, SPX_OP_SOFTMAX_BWD, i, BWD_INPUTS, (spx_tid[]){nd->out[0], dy},
                             nd->in[0]);
}

const spx_op_record spx_op_softmax = {
    .name = "softmax",
    .in = {{"x", 2}},
    .out = {{"y", 2}},
    .infer = infer,
    .gradient = gradient,
};

const spx_op_record spx_op_softmax_bwd = {
    .name = "softmax_backward",
    .in = {{"y", 2}, {"dy", 2}},
    .out = {{"dx", 2}},
};
