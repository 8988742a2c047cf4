/* Rectifier. */
#include "host/graph/autodiff_private.h"
#include "host/graph/exec_private.h"
#include "kernels/nn/relu/relu.h"

enum { BWD_Y, BWD_DY, BWD_INPUTS };

spx_tid spx_g_relu(spx_graph *g, spx_tid x, const char *name)
{
    return spx_g_append(g, SPX_OP_RELU, NULL, 1, &x, name);
}

static void gradient(spx_diff *d, int i, spx_tid dy)
{
    const spx_node *nd = &d->g->node[i];
    (void)spx_diff_emit_data(d, SPX_OP_RELU_BWD, i, BWD_INPUTS, (spx_tid[]){nd->out[0], dy},
                             nd->in[0]);
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->out[0]].dim;
    return spx_relu_forward(e->stream, d[0], d[1], d[2] * d[3], spx_exec_operand(e, nd->in[0]),
                            spx_exec_operand(e, nd->out[0]));
}

static spx_status run_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->out[0]].dim;
    return spx_relu_backward(e->stream, d[0], d[1], d[2] * d[3], spx_exec_operand(e, nd->in[BWD_Y]),
                             spx_exec_operand(e, nd->in[BWD_DY]), nd->accumulate[0],
                             spx_exec_operand(e, nd->out[0]));
}

const spx_op_record spx_op_relu = {
    .name = "relu",
    .in = {{"x", 4}},
    .out = {{"y", 4}},
    .infer = spx_infer_as_input,
    .gradient = gradient,
    .rectifier = true,
    .run = run,
};

const spx_op_record spx_op_relu_bwd = {
    .name = "relu_backward",
    .in = {{"y", 4}, {"dy", 4}},
    .out = {{"dx", 4}},
    .run = run_bwd,
};
