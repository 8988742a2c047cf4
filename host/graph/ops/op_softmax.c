/* Softmax of rows: architecture parameters to weights of candidates. */
#include "host/graph/autodiff_private.h"
#include "host/graph/exec_private.h"
#include "kernels/nn/softmax/softmax.h"

enum { BWD_Y, BWD_DY, BWD_INPUTS };

spx_tid spx_g_softmax(spx_graph *g, spx_tid x, const char *name)
{
    return spx_g_append(g, SPX_OP_SOFTMAX, NULL, 1, &x, name);
}

static void gradient(spx_diff *d, int i, spx_tid dy)
{
    const spx_node *nd = &d->g->node[i];
    (void)spx_diff_emit_data(d, SPX_OP_SOFTMAX_BWD, i, BWD_INPUTS, (spx_tid[]){nd->out[0], dy},
                             nd->in[0]);
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->out[0]].dim;
    return spx_softmax_forward(e->stream, d[0], d[1], spx_exec_data(e, nd->in[0]),
                               spx_exec_data(e, nd->out[0]));
}

static spx_status run_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->out[0]].dim;
    return spx_softmax_backward(e->stream, d[0], d[1], spx_exec_data(e, nd->in[BWD_Y]),
                                spx_exec_data(e, nd->in[BWD_DY]), nd->accumulate[0],
                                spx_exec_data(e, nd->out[0]));
}

const spx_op_record spx_op_softmax = {
    .name = "softmax",
    .in = {{"x", 2}},
    .out = {{"y", 2}},
    .infer = spx_infer_as_input,
    .gradient = gradient,
    .run = run,
};

const spx_op_record spx_op_softmax_bwd = {
    .name = "softmax_backward",
    .in = {{"y", 2}, {"dy", 2}},
    .out = {{"dx", 2}},
    .run = run_bwd,
};
