/* Fully connected layer over all of an image's elements. */
#include "host/graph/autodiff_private.h"
#include "host/graph/exec_private.h"
#include "kernels/nn/linear/linear.h"

#include <math.h>

/* Inputs of the gradients. */
enum { DATA_DY, DATA_W, DATA_INPUTS };
enum { WEIGHTS_X, WEIGHTS_DY, WEIGHTS_INPUTS };
enum { WEIGHTS_DW, WEIGHTS_DBIAS, WEIGHTS_OUTPUTS };

spx_tid spx_g_linear(spx_graph *g, spx_tid x, const char *name, int64_t outputs)
{
    spx_tid in[SPX_LINEAR_INPUTS];
    int64_t f;
    if (!spx_g_valid(g, x, 0, name)) {
        return SPX_NO_TENSOR;
    }
    f = spx_tensor_count(&g->tensor[x]) / g->tensor[x].dim[0];
    const spx_init init = {SPX_INIT_UNIFORM, 1.0f / sqrtf((float)f)};
    in[SPX_LINEAR_X] = x;
    in[SPX_LINEAR_W] =
        spx_g_param_part(g, SPX_ROLE_WEIGHT, name, "weight", 2, (int64_t[]){outputs, f}, init);
    in[SPX_LINEAR_BIAS] = spx_g_param_part(g, SPX_ROLE_WEIGHT, name, "bias", 1, &outputs, init);
    return spx_g_append(g, SPX_OP_LINEAR, NULL, SPX_LINEAR_INPUTS, in, name);
}

static spx_status infer(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    *out = (spx_shape){
        2, {g->tensor[nd->in[SPX_LINEAR_X]].dim[0], g->tensor[nd->in[SPX_LINEAR_W]].dim[0]}};
    return SPX_OK;
}

/* x and dx are (n, f), y and dy (n, o), w is (o, f): rows of either times elements of w. */
static int64_t product(const spx_graph *g, spx_tid rows, spx_tid w)
{
    return w != SPX_NO_TENSOR ? g->tensor[rows].dim[0] * spx_tensor_count(&g->tensor[w]) : 0;
}

static int64_t macs(const spx_graph *g, const spx_node *nd)
{
    return product(g, nd->in[SPX_LINEAR_X], nd->in[SPX_LINEAR_W]);
}

static int64_t macs_data(const spx_graph *g, const spx_node *nd)
{
    return product(g, nd->in[DATA_DY], nd->in[DATA_W]);
}

static int64_t macs_weights(const spx_graph *g, const spx_node *nd)
{
    return product(g, nd->in[WEIGHTS_X], nd->out[WEIGHTS_DW]);
}

static void gradient(spx_diff *d, int i, spx_tid dy)
{
    const spx_node *from = &d->g->node[i];
    const spx_tid x = from->in[SPX_LINEAR_X], w = from->in[SPX_LINEAR_W],
                  b = from->in[SPX_LINEAR_BIAS];
    if (spx_diff_requires(d, w) || spx_diff_requires(d, b)) {
        spx_node *nd =
            spx_diff_emit(d, SPX_OP_LINEAR_BWD_WEIGHTS, i, WEIGHTS_INPUTS, WEIGHTS_OUTPUTS);
        if (nd == NULL) {
            return;
        }
        const int node = (int)(nd - d->g->node);
        nd->in[WEIGHTS_X] = x;
        nd->in[WEIGHTS_DY] = dy;
        spx_diff_param(d, node, WEIGHTS_DW, w);
        spx_diff_param(d, node, WEIGHTS_DBIAS, b);
    }
    if (spx_diff_requires(d, x)) {
        (void)spx_diff_emit_data(d, SPX_OP_LINEAR_BWD_DATA, i, DATA_INPUTS, (spx_tid[]){dy, w}, x);
    }
}

/* An activation as a matrix: its stride counts from image to image, on every device. */
static spx_operand matrix(const spx_exec *e, spx_tid t)
{
    const spx_tensor *root = &e->g->tensor[spx_root(e->g, t)];
    spx_operand x = spx_exec_operand(e, t);
    x.stride = spx_tensor_count(root) / root->dim[0];
    return x;
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t n = e->g->tensor[nd->out[0]].dim[0];
    const int64_t *d = e->g->tensor[nd->in[SPX_LINEAR_W]].dim;
    return spx_linear_forward(e->stream, n, d[1], d[0], matrix(e, nd->in[SPX_LINEAR_X]),
                              spx_exec_data(e, nd->in[SPX_LINEAR_W]),
                              spx_exec_data(e, nd->in[SPX_LINEAR_BIAS]),
                              spx_exec_data(e, nd->out[0]));
}

static spx_status run_data(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t n = e->g->tensor[nd->in[DATA_DY]].dim[0];
    const int64_t *d = e->g->tensor[nd->in[DATA_W]].dim;
    return spx_linear_backward_data(e->stream, n, d[1], d[0], spx_exec_data(e, nd->in[DATA_DY]),
                                    spx_exec_data(e, nd->in[DATA_W]), nd->accumulate[0],
                                    matrix(e, nd->out[0]));
}

static spx_status run_weights(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t n = e->g->tensor[nd->in[WEIGHTS_DY]].dim[0];
    const int64_t *d = e->g->tensor[nd->out[WEIGHTS_DW]].dim;
    return spx_linear_backward_weights(
        e->stream, n, d[1], d[0], matrix(e, nd->in[WEIGHTS_X]),
        spx_exec_data(e, nd->in[WEIGHTS_DY]), nd->accumulate[WEIGHTS_DW],
        spx_exec_data(e, nd->out[WEIGHTS_DW]), spx_exec_data(e, nd->out[WEIGHTS_DBIAS]));
}

const spx_op_record spx_op_linear = {
    .name = "linear",
    .in = {{"x", 0, .dense = true}, {"w", 2}, {"bias", 1}},
    .out = {{"y", 2}},
    .infer = infer,
    .gradient = gradient,
    .macs = macs,
    .run = run,
};

const spx_op_record spx_op_linear_bwd_data = {
    .name = "linear_backward_data",
    .in = {{"dy", 2}, {"w", 2}},
    .out = {{"dx", 0}},
    .macs = macs_data,
    .run = run_data,
};

const spx_op_record spx_op_linear_bwd_weights = {
    .name = "linear_backward_weights",
    .in = {{"x", 0, .dense = true}, {"dy", 2}},
    .out = {{"dw", 2, .optional = true}, {"dbias", 1, .optional = true}},
    .macs = macs_weights,
    .run = run_weights,
};
