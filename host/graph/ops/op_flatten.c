/* An activation as a matrix in one order on every device (kernels/nn/copy). */
#include "host/graph/autodiff_private.h"
#include "host/graph/exec_private.h"
#include "kernels/nn/copy/copy.h"

spx_tid spx_g_flatten(spx_graph *g, spx_tid x, const char *name)
{
    return spx_g_append(g, SPX_OP_FLATTEN, NULL, 1, &x, name);
}

static spx_status infer(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    const int64_t *d = g->tensor[nd->in[0]].dim;
    *out = (spx_shape){2, {d[0], d[1] * d[2] * d[3]}};
    return SPX_OK;
}

static void gradient(spx_diff *d, int i, spx_tid dy)
{
    (void)spx_diff_emit_data(d, SPX_OP_FLATTEN_BWD, i, 1, &dy, d->g->node[i].in[0]);
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->in[0]].dim;
    return spx_to_nchw(e->stream, d[0], d[1], d[2] * d[3], spx_exec_operand(e, nd->in[0]),
                       spx_exec_data(e, nd->out[0]));
}

static spx_status run_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->out[0]].dim;
    return spx_from_nchw(e->stream, d[0], d[1], d[2] * d[3], spx_exec_data(e, nd->in[0]),
                         nd->accumulate[0], spx_exec_operand(e, nd->out[0]));
}

const spx_op_record spx_op_flatten = {
    .name = "flatten",
    .in = {{"x", 4}},
    .out = {{"y", 2}},
    .infer = infer,
    .gradient = gradient,
    .run = run,
};

const spx_op_record spx_op_flatten_bwd = {
    .name = "flatten_backward",
    .in = {{"dy", 2}},
    .out = {{"dx", 4}},
    .run = run_bwd,
};
