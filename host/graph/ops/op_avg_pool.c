/* Average pooling; padding is not counted. */
#include "host/graph/autodiff_private.h"
#include "host/graph/exec_private.h"
#include "kernels/nn/pool/pool2d.h"

SPX_OP_ATTR(, spx_avg_pool_attr)

/* Geometry of a node whose unpooled side is x. */
static spx_status shape_of(const spx_graph *g, const spx_node *nd, spx_tid x, spx_pool2d_shape *d)
{
    const spx_avg_pool_attr a = spx_avg_pool_attr_of(nd);
    const int64_t *dim = g->tensor[x].dim;
    *d = (spx_pool2d_shape){.n = dim[0],
                            .c = dim[1],
                            .h = dim[2],
                            .w = dim[3],
                            .size = a.size,
                            .stride = a.stride,
                            .pad = a.pad};
    return spx_pool2d_shape_init(d);
}

spx_tid spx_g_avg_pool(spx_graph *g, spx_tid x, int64_t size, int64_t stride, int64_t pad,
                       const char *name)
{
    const spx_attr attr = spx_avg_pool_attr_attr((spx_avg_pool_attr){size, stride, pad});
    return spx_g_append(g, SPX_OP_AVG_POOL, &attr, 1, &x, name);
}

spx_tid spx_g_global_avg_pool(spx_graph *g, spx_tid x, const char *name)
{
    if (!spx_g_valid(g, x, 4, name)) {
        return SPX_NO_TENSOR;
    }
    if (g->tensor[x].dim[2] != g->tensor[x].dim[3]) {
        spx_graph_fail(g, SPX_EINVAL, "%s%s: global pool of a map that is not square", g->scope,
                       name);
        return SPX_NO_TENSOR;
    }
    return spx_g_avg_pool(g, x, g->tensor[x].dim[2], 1, 0, name);
}

static spx_status infer(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    spx_pool2d_shape d;
    SPX_RETURN_IF(shape_of(g, nd, nd->in[0], &d));
    *out = (spx_shape){4, {d.n, d.c, d.p, d.q}};
    return SPX_OK;
}

static double redo(const spx_graph *g, const spx_node *nd)
{
    const int64_t size = spx_avg_pool_attr_of(nd).size;
    return (double)spx_tensor_count(&g->tensor[nd->out[0]]) * (double)(size * size);
}

static void gradient(spx_diff *d, int i, spx_tid dy)
{
    (void)spx_diff_emit_data(d, SPX_OP_AVG_POOL_BWD, i, 1, &dy, d->g->node[i].in[0]);
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    spx_pool2d_shape d;
    SPX_RETURN_IF(shape_of(e->g, nd, nd->in[0], &d));
    return spx_avg_pool_forward(e->stream, &d, spx_exec_operand(e, nd->in[0]),
                                spx_exec_operand(e, nd->out[0]));
}

static spx_status run_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    spx_pool2d_shape d;
    SPX_RETURN_IF(shape_of(e->g, nd, nd->out[0], &d));
    return spx_avg_pool_backward(e->stream, &d, spx_exec_operand(e, nd->in[0]), nd->accumulate[0],
                                 spx_exec_operand(e, nd->out[0]));
}

const spx_op_record spx_op_avg_pool = {
    .name = "avg_pool",
    .in = {{"x", 4}},
    .out = {{"y", 4}},
    .infer = infer,
    .gradient = gradient,
    .run = run,
    .redo = redo,
    .merges_twins = true,
};

const spx_op_record spx_op_avg_pool_bwd = {
    .name = "avg_pool_backward",
    .in = {{"dy", 4}},
    .out = {{"dx", 4}},
    .run = run_bwd,
};
