/* How far the outputs of two networks' ReLUs are from each other (kernels/nn/relu_distance): one
 * network hands its values out, flattened, the other one compares them with its own. */
#include "host/graph/exec_private.h"
#include "kernels/nn/relu_distance/relu_distance.h"

enum { DISTANCE_Y, DISTANCE_TARGET, DISTANCE_INPUTS };

spx_tid spx_g_relu_distance(spx_graph *g, spx_tid y, spx_tid target, const char *name)
{
    const spx_tid in[DISTANCE_INPUTS] = {y, target};
    return spx_g_append(g, SPX_OP_RELU_DISTANCE, NULL, DISTANCE_INPUTS, in, name);
}

static spx_status infer_distance(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    const int64_t *d = g->tensor[nd->in[DISTANCE_Y]].dim;
    const int64_t *t = g->tensor[nd->in[DISTANCE_TARGET]].dim, count = d[1] * d[2] * d[3];
    if (t[0] != d[0] || t[1] != count) {
        return SPX_FAIL(SPX_EINVAL, "values are (%lld, %lld), (%lld, %lld) expected",
                        (long long)t[0], (long long)t[1], (long long)d[0], (long long)count);
    }
    *out = (spx_shape){1, {count}};
    return SPX_OK;
}

static spx_status run_distance(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->in[DISTANCE_Y]].dim;
    return spx_relu_distance(
        e->stream, d[0], d[1], d[2] * d[3], spx_exec_operand(e, nd->in[DISTANCE_Y]),
        spx_exec_data(e, nd->in[DISTANCE_TARGET]), spx_exec_data(e, nd->out[0]));
}

const spx_op_record spx_op_relu_distance = {
    .name = "relu_distance",
    .in = {{"y", 4}, {"target", 2}},
    .out = {{"sum", 1}},
    .infer = infer_distance,
    .ends_gradient = true,
    .run = run_distance,
};
