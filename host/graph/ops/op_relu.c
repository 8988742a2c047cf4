/* Rectifier, with or without a mask (kernels/nn/relu). */
#include "host/graph/autodiff_private.h"
#include "host/graph/exec_private.h"
#include "kernels/nn/relu/relu.h"

typedef struct relu_attr {
    float clip; /* 0: none */
} relu_attr;
SPX_OP_ATTR(static inline, relu_attr)

float spx_relu_clip_of(const spx_node *nd)
{
    return relu_attr_of(nd).clip;
}

enum { BWD_DX, BWD_DMASK, BWD_OUTPUTS };

void spx_graph_mask_relus(spx_graph *g, spx_role role)
{
    if (role != SPX_ROLE_STATE && role != SPX_ROLE_ARCH) {
        spx_graph_fail(g, SPX_EINVAL, "masks of ReLUs are states or architecture parameters");
        return;
    }
    g->mask_role = role;
    g->mask_begin = 1.0f;
}

static spx_tid relu(spx_graph *g, spx_tid x, const char *name, float clip)
{
    const spx_attr attr = relu_attr_attr((relu_attr){clip});
    spx_tid in[SPX_RELU_INPUTS] = {x, SPX_NO_TENSOR};
    if (g->mask_role != SPX_ROLE_ACTIVATION && !g->auxiliary) {
        if (!spx_g_valid(g, x, 4, name)) {
            return SPX_NO_TENSOR;
        }
        int64_t chw[3];
        memcpy(chw, g->tensor[x].dim + 1, sizeof chw);
        in[SPX_RELU_MASK] = spx_g_param_part(g, g->mask_role, name, "mask", 3, chw,
                                             (spx_init){SPX_INIT_CONSTANT, g->mask_begin});
    }
    return spx_g_append(g, SPX_OP_RELU, &attr, SPX_RELU_INPUTS, in, name);
}

spx_tid spx_g_relu(spx_graph *g, spx_tid x, const char *name)
{
    return relu(g, x, name, 0);
}

spx_tid spx_g_relu6(spx_graph *g, spx_tid x, const char *name)
{
    return relu(g, x, name, 6);
}

static spx_status infer(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    const spx_tid mask = nd->in[SPX_RELU_MASK];
    const int64_t *d = g->tensor[nd->in[SPX_RELU_X]].dim;
    if (mask != SPX_NO_TENSOR && memcmp(g->tensor[mask].dim, d + 1, 3 * sizeof *d) != 0) {
        return SPX_FAIL(SPX_EINVAL, "the mask is not (%lld, %lld, %lld)", (long long)d[1],
                        (long long)d[2], (long long)d[3]);
    }
    *out = spx_shape_of(g, nd->in[SPX_RELU_X]);
    return SPX_OK;
}

void spx_relu_diff(spx_diff *d, int i, spx_tid y, spx_tid dy, spx_tid mask, spx_tid x)
{
    bool accumulate = false;
    const spx_tid dx =
        spx_diff_requires(d, x) ? spx_diff_contribute(d, x, &accumulate) : SPX_NO_TENSOR;
    spx_node *bwd = spx_diff_emit(d, SPX_OP_RELU_BWD, i, SPX_RELU_BWD_INPUTS, BWD_OUTPUTS);
    if (bwd != NULL) {
        const spx_node *from = &d->g->node[i]; /* or a convolution that has taken a ReLU in */
        bwd->attr = from->op == SPX_OP_RELU ? from->attr : (spx_attr){{0}};
        const int node = (int)(bwd - d->g->node);
        memcpy(bwd->in, (spx_tid[]){y, dy, mask}, sizeof(spx_tid) * SPX_RELU_BWD_INPUTS);
        bwd->out[BWD_DX] = dx;
        bwd->accumulate[BWD_DX] = accumulate;
        bwd->out[BWD_DMASK] = SPX_NO_TENSOR;
        spx_diff_param(d, node, BWD_DMASK, mask);
    }
}

static void gradient(spx_diff *d, int i, spx_tid dy)
{
    const spx_node *nd = &d->g->node[i];
    const spx_tid x = nd->in[SPX_RELU_X], mask = nd->in[SPX_RELU_MASK];
    spx_relu_diff(d, i, mask != SPX_NO_TENSOR ? x : nd->out[0], dy, mask, x);
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->out[0]].dim;
    const spx_operand x = spx_exec_operand(e, nd->in[SPX_RELU_X]),
                      y = spx_exec_operand(e, nd->out[0]);
    const float *mask = spx_exec_data(e, nd->in[SPX_RELU_MASK]);
    const float clip = relu_attr_of(nd).clip;
    return mask == NULL
               ? spx_relu_forward(e->stream, d[0], d[1], d[2] * d[3], clip, x, y)
               : spx_relu_masked_forward(e->stream, d[0], d[1], d[2] * d[3], clip, mask, x, y);
}

static spx_status run_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->in[SPX_RELU_BWD_DY]].dim;
    const spx_operand y = spx_exec_operand(e, nd->in[SPX_RELU_BWD_Y]),
                      dy = spx_exec_operand(e, nd->in[SPX_RELU_BWD_DY]),
                      dx = spx_exec_operand(e, nd->out[BWD_DX]);
    const float *mask = spx_exec_data(e, nd->in[SPX_RELU_BWD_MASK]);
    const float clip = relu_attr_of(nd).clip;
    if (mask == NULL) {
        return spx_relu_backward(e->stream, d[0], d[1], d[2] * d[3], clip, y, dy,
                                 nd->accumulate[BWD_DX], dx);
    }
    const spx_relu_grad grad = {.x = dx,
                                .mask = spx_exec_data(e, nd->out[BWD_DMASK]),
                                .accumulate = nd->accumulate[BWD_DX],
                                .accumulate_mask = nd->accumulate[BWD_DMASK]};
    return spx_relu_masked_backward(e->stream, d[0], d[1], d[2] * d[3], clip, mask, y, dy, &grad);
}

const spx_op_record spx_op_relu = {
    .name = "relu",
    .in = {{"x", 4}, {"mask", 3, .optional = true}},
    .out = {{"y", 4}},
    .infer = infer,
    .gradient = gradient,
    .rectifier = true,
    .run = run,
};

const spx_op_record spx_op_relu_bwd = {
    .name = "relu_backward",
    .in = {{"y", 4}, {"dy", 4}, {"mask", 3, .optional = true}},
    .out = {{"dx", 4, .optional = true}, {"dmask", 3, .optional = true}},
    .run = run_bwd,
};
