/* Attention map: where an activation is large, its channels summed and its norm taken out. */
#include "host/graph/autodiff_private.h"
#include "host/graph/exec_private.h"
#include "kernels/nn/distill/distill.h"

enum { OUT_MAP, OUT_INVERSE };
/* Inputs of the gradient. */
enum { BWD_X, BWD_MAP, BWD_INVERSE, BWD_DMAP, BWD_INPUTS };

spx_tid spx_g_attention_map(spx_graph *g, spx_tid x, const char *name)
{
    return spx_g_append(g, SPX_OP_ATTENTION_MAP, NULL, 1, &x, name);
}

static spx_status infer(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    const int64_t *d = g->tensor[nd->in[0]].dim;
    out[OUT_MAP] = (spx_shape){2, {d[0], d[2] * d[3]}};
    out[OUT_INVERSE] = (spx_shape){1, {d[0]}};
    return SPX_OK;
}

static void gradient(spx_diff *d, int i, spx_tid dy)
{
    const spx_node *nd = &d->g->node[i];
    (void)spx_diff_emit_data(d, SPX_OP_ATTENTION_MAP_BWD, i, BWD_INPUTS,
                             (spx_tid[]){nd->in[0], nd->out[OUT_MAP], nd->out[OUT_INVERSE], dy},
                             nd->in[0]);
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->in[0]].dim;
    return spx_attention_map_forward(
        e->stream, d[0], d[1], d[2] * d[3], spx_exec_operand(e, nd->in[0]),
        spx_exec_data(e, nd->out[OUT_MAP]), spx_exec_data(e, nd->out[OUT_INVERSE]));
}

static spx_status run_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->out[0]].dim;
    return spx_attention_map_backward(
        e->stream, d[0], d[1], d[2] * d[3], spx_exec_operand(e, nd->in[BWD_X]),
        spx_exec_data(e, nd->in[BWD_MAP]), spx_exec_data(e, nd->in[BWD_INVERSE]),
        spx_exec_data(e, nd->in[BWD_DMAP]), nd->accumulate[0], spx_exec_operand(e, nd->out[0]));
}

const spx_op_record spx_op_attention_map = {
    .name = "attention_map",
    .in = {{"x", 4}},
    .out = {{"map", 2}, {"inverse", 1}},
    .infer = infer,
    .gradient = gradient,
    .run = run,
};

const spx_op_record spx_op_attention_map_bwd = {
    .name = "attention_map_backward",
    .in = {{"x", 4}, {"map", 2}, {"inverse", 1}, {"dmap", 2}},
    .out = {{"dx", 4}},
    .run = run_bwd,
};
