/* Max pooling. */
#include "host/graph/autodiff_private.h"
#include "host/graph/exec_private.h"
#include "kernels/nn/max_pool/max_pool.h"

enum { BWD_X, BWD_DY, BWD_INPUTS };

typedef struct max_pool_attr {
    int64_t size[2], stride[2], pad[2]; /* rows, columns */
    int64_t ceil_mode;
} max_pool_attr;
SPX_OP_ATTR(static inline, max_pool_attr)

/* Geometry of a node whose unpooled side is x. */
static spx_status shape_of(const spx_graph *g, const spx_node *nd, spx_tid x, spx_max_pool_shape *d)
{
    const max_pool_attr a = max_pool_attr_of(nd);
    const int64_t *dim = g->tensor[x].dim;
    *d = (spx_max_pool_shape){.n = dim[0],
                              .c = dim[1],
                              .h = dim[2],
                              .w = dim[3],
                              .size = {a.size[0], a.size[1]},
                              .stride = {a.stride[0], a.stride[1]},
                              .pad = {a.pad[0], a.pad[1]},
                              .ceil_mode = a.ceil_mode != 0};
    return spx_max_pool_shape_init(d);
}

spx_tid spx_g_max_pool(spx_graph *g, spx_tid x, const spx_max_pool_options *o, const char *name)
{
    const spx_attr attr = max_pool_attr_attr((max_pool_attr){.size = {o->size[0], o->size[1]},
                                                             .stride = {o->stride[0], o->stride[1]},
                                                             .pad = {o->pad[0], o->pad[1]},
                                                             .ceil_mode = o->ceil_mode});
    return spx_g_append(g, SPX_OP_MAX_POOL, &attr, 1, &x, name);
}

static spx_status infer(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    spx_max_pool_shape d;
    SPX_RETURN_IF(shape_of(g, nd, nd->in[0], &d));
    *out = (spx_shape){4, {d.n, d.c, d.p, d.q}};
    return SPX_OK;
}

static double redo(const spx_graph *g, const spx_node *nd)
{
    const max_pool_attr a = max_pool_attr_of(nd);
    return (double)spx_tensor_count(&g->tensor[nd->out[0]]) * (double)(a.size[0] * a.size[1]);
}

static void gradient(spx_diff *d, int i, spx_tid dy)
{
    const spx_tid x = d->g->node[i].in[0];
    (void)spx_diff_emit_data(d, SPX_OP_MAX_POOL_BWD, i, BWD_INPUTS, (spx_tid[]){x, dy}, x);
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    spx_max_pool_shape d;
    SPX_RETURN_IF(shape_of(e->g, nd, nd->in[0], &d));
    return spx_max_pool_forward(e->stream, &d, spx_exec_operand(e, nd->in[0]),
                                spx_exec_operand(e, nd->out[0]));
}

static spx_status run_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    spx_max_pool_shape d;
    SPX_RETURN_IF(shape_of(e->g, nd, nd->out[0], &d));
    return spx_max_pool_backward(e->stream, &d, spx_exec_operand(e, nd->in[BWD_X]),
                                 spx_exec_operand(e, nd->in[BWD_DY]), nd->accumulate[0],
                                 spx_exec_operand(e, nd->out[0]));
}

const spx_op_record spx_op_max_pool = {
    .name = "max_pool",
    .in = {{"x", 4}},
    .out = {{"y", 4}},
    .infer = infer,
    .gradient = gradient,
    .run = run,
    .redo = redo,
    .merges_twins = true,
};

const spx_op_record spx_op_max_pool_bwd = {
    .name = "max_pool_backward",
    .in = {{"x", 4}, {"dy", 4}},
    .out = {{"dx", 4}},
    .run = run_bwd,
};
