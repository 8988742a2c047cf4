/* Convolution, its input normalised or rectified on the way where a pass has fused that. */
#include "host/graph/autodiff_private.h"
#include "host/graph/exec_private.h"
#include "host/graph/tuning_private.h"
#include "kernels/nn/conv2d/conv2d.h"

#include <math.h>
#include <string.h>

/* Inputs of the gradients. */
enum { DATA_DY, DATA_W, DATA_INPUTS };
enum { WEIGHTS_X, WEIGHTS_DY, WEIGHTS_MEAN, WEIGHTS_INPUTS = WEIGHTS_MEAN + 4 };
/* Outputs of the weights' gradient. */
enum { WEIGHTS_DW, WEIGHTS_DBIAS, WEIGHTS_OUTPUTS };

SPX_OP_ATTR(, spx_conv2d_attr)

static spx_status shape_of(const spx_graph *g, const spx_node *nd, spx_conv2d_shape *d,
                           spx_conv2d_pass *pass)
{
    spx_tid x, w;
    switch (nd->op) {
    case SPX_OP_CONV2D:
        *pass = SPX_CONV2D_FORWARD;
        x = nd->in[SPX_CONV2D_X];
        w = nd->in[SPX_CONV2D_W];
        break;
    case SPX_OP_CONV2D_BWD_DATA:
        *pass = SPX_CONV2D_BACKWARD_DATA;
        x = nd->out[0];
        w = nd->in[DATA_W];
        break;
    default:
        *pass = SPX_CONV2D_BACKWARD_WEIGHTS;
        x = nd->in[WEIGHTS_X];
        w = nd->out[WEIGHTS_DW];
        break;
    }
    const spx_conv2d_attr a = spx_conv2d_attr_of(nd);
    const int64_t *xd = g->tensor[x].dim, *wd = g->tensor[w].dim;
    *d = (spx_conv2d_shape){.n = xd[0],
                            .c = xd[1],
                            .h = xd[2],
                            .w = xd[3],
                            .k = wd[0],
                            .r = wd[2],
                            .s = wd[3],
                            .stride = a.stride,
                            .dilation = a.dilation,
                            .pad_begin = a.pad_begin,
                            .pad_end = a.pad_end,
                            .groups = a.groups};
    return spx_conv2d_shape_init(d);
}

spx_tid spx_g_conv2d(spx_graph *g, spx_tid x, const char *name, const spx_conv_options *o)
{
    spx_conv2d_shape d;
    spx_init init = {SPX_INIT_UNIFORM, 0.0f};
    spx_tid in[SPX_CONV2D_INPUTS];
    spx_status st;
    if (!spx_g_valid(g, x, 4, name)) {
        return SPX_NO_TENSOR;
    }
    const int64_t *dim = g->tensor[x].dim;
    d = (spx_conv2d_shape){.n = dim[0],
                           .c = dim[1],
                           .h = dim[2],
                           .w = dim[3],
                           .k = o->filters,
                           .r = o->size,
                           .s = o->size,
                           .stride = o->stride,
                           .dilation = o->dilation,
                           .pad_begin = o->pad_begin,
                           .pad_end = o->pad_end,
                           .groups = o->groups};
    st = spx_conv2d_shape_init(&d);
    if (st != SPX_OK) {
        spx_g_fail_from(g, st, name);
        return SPX_NO_TENSOR;
    }
    for (int k = 0; k < SPX_CONV2D_INPUTS; k++) {
        in[k] = SPX_NO_TENSOR;
    }
    const int64_t filter_channels = d.c / d.groups;
    init.value = 1.0f / sqrtf((float)(filter_channels * d.r * d.s));
    in[SPX_CONV2D_X] = x;
    in[SPX_CONV2D_W] = spx_g_param_part(g, SPX_ROLE_WEIGHT, name, "weight", 4,
                                        (int64_t[]){d.k, filter_channels, d.r, d.s}, init);
    if (o->bias) {
        in[SPX_CONV2D_BIAS] =
            spx_g_param_part(g, SPX_ROLE_WEIGHT, name, "bias", 1, (int64_t[]){d.k}, init);
    }
    const spx_attr attr = spx_conv2d_attr_attr(
        (spx_conv2d_attr){d.stride, d.dilation, d.pad_begin, d.pad_end, d.groups});
    return spx_g_append(g, SPX_OP_CONV2D, &attr, SPX_CONV2D_INPUTS, in, name);
}

static spx_status infer(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    spx_conv2d_shape d;
    spx_conv2d_pass pass;
    SPX_RETURN_IF(shape_of(g, nd, &d, &pass));
    *out = (spx_shape){4, {d.n, d.k, d.p, d.q}};
    return SPX_OK;
}

static int64_t macs(const spx_graph *g, const spx_node *nd)
{
    spx_conv2d_shape d;
    spx_conv2d_pass pass;
    return shape_of(g, nd, &d, &pass) == SPX_OK ? d.n * d.p * d.q * spx_conv2d_weights(&d) : 0;
}

static double redo(const spx_graph *g, const spx_node *nd)
{
    return 2.0 * (double)macs(g, nd);
}

static void diff_weights(spx_diff *d, int i, const spx_tid *in, spx_tid dy)
{
    spx_node *nd = spx_diff_emit(d, SPX_OP_CONV2D_BWD_WEIGHTS, i, WEIGHTS_INPUTS, WEIGHTS_OUTPUTS);
    if (nd == NULL) {
        return;
    }
    const int node = (int)(nd - d->g->node);
    nd->in[WEIGHTS_X] = in[SPX_CONV2D_X];
    nd->in[WEIGHTS_DY] = dy;
    memcpy(&nd->in[WEIGHTS_MEAN], &in[SPX_CONV2D_MEAN], 4 * sizeof(spx_tid));
    spx_diff_param(d, node, WEIGHTS_DW, in[SPX_CONV2D_W]);
    spx_diff_param(d, node, WEIGHTS_DBIAS, in[SPX_CONV2D_BIAS]);
}

/* Through what has been fused into the reading of x: the gradient of what the filter saw first. */
static void diff_fused(spx_diff *d, int i, const spx_tid *in, bool relu, spx_tid dy)
{
    spx_graph *g = d->g;
    const spx_tid x = in[SPX_CONV2D_X];
    const spx_shape s = spx_shape_of(g, x);
    const spx_tid dz = spx_graph_new_tensor(g, SPX_ROLE_ACTIVATION, SPX_F32, 4, s.dim, NULL);
    spx_node *nd = spx_diff_emit(d, SPX_OP_CONV2D_BWD_DATA, i, DATA_INPUTS, 1);
    if (nd == NULL) {
        return;
    }
    nd->in[DATA_DY] = dy;
    nd->in[DATA_W] = in[SPX_CONV2D_W];
    nd->out[0] = dz;
    if (relu) {
        spx_relu_diff(d, i, x, dz, SPX_NO_TENSOR, x);
        return;
    }
    const spx_tid term[SPX_TERM_FIELDS] = {[SPX_TERM_X] = x,
                                           [SPX_TERM_MEAN] = in[SPX_CONV2D_MEAN],
                                           [SPX_TERM_INVSTD] = in[SPX_CONV2D_INVSTD],
                                           [SPX_TERM_GAMMA] = in[SPX_CONV2D_GAMMA],
                                           [SPX_TERM_BETA] = in[SPX_CONV2D_BETA],
                                           [SPX_TERM_COEF] = SPX_NO_TENSOR,
                                           [SPX_TERM_MASK] = SPX_NO_TENSOR};
    spx_norm_sum_diff_terms(d, i, 1, term, (int32_t[]){0}, false, SPX_NO_TENSOR, dz);
}

static void gradient(spx_diff *d, int i, spx_tid dy)
{
    const bool relu = d->g->node[i].relu;
    spx_tid in[SPX_CONV2D_INPUTS]; /* copied: appending nodes moves the array */
    memcpy(in, d->g->node[i].in, sizeof in);
    if (spx_diff_requires(d, in[SPX_CONV2D_W]) || spx_diff_requires(d, in[SPX_CONV2D_BIAS])) {
        diff_weights(d, i, in, dy);
    }
    if (!spx_diff_requires(d, in[SPX_CONV2D_X]) && !spx_diff_requires(d, in[SPX_CONV2D_GAMMA])) {
        return;
    }
    if (relu || in[SPX_CONV2D_MEAN] != SPX_NO_TENSOR) {
        diff_fused(d, i, in, relu, dy);
        return;
    }
    (void)spx_diff_emit_data(d, SPX_OP_CONV2D_BWD_DATA, i, DATA_INPUTS,
                             (spx_tid[]){dy, in[SPX_CONV2D_W]}, in[SPX_CONV2D_X]);
}

/* ---- running ---- */

/* x and the norm before the convolution, whose slots begin at `norm`. */
static spx_conv2d_input input_of(const spx_exec *e, const spx_node *nd, spx_tid x,
                                 const spx_tid *norm)
{
    return (spx_conv2d_input){.x = spx_exec_operand(e, x),
                              .mean = spx_exec_data(e, norm[0]),
                              .invstd = spx_exec_data(e, norm[1]),
                              .gamma = spx_exec_data(e, norm[2]),
                              .beta = spx_exec_data(e, norm[3]),
                              .relu = nd->relu};
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_conv2d_input in = input_of(e, nd, nd->in[SPX_CONV2D_X], &nd->in[SPX_CONV2D_MEAN]);
    return spx_conv2d_forward(spx_shared_plan_get(e->plan[i]), e->stream, &in,
                              spx_exec_filter(e, nd->in[SPX_CONV2D_W]),
                              spx_exec_data(e, nd->in[SPX_CONV2D_BIAS]),
                              spx_exec_operand(e, nd->out[0]), spx_exec_scratch(e));
}

static spx_status run_data(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    return spx_conv2d_backward_data(
        spx_shared_plan_get(e->plan[i]), e->stream, spx_exec_operand(e, nd->in[DATA_DY]),
        spx_exec_filter(e, nd->in[DATA_W]), spx_exec_operand(e, nd->out[0]), spx_exec_scratch(e));
}

static spx_status run_weights(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_conv2d_input in = input_of(e, nd, nd->in[WEIGHTS_X], &nd->in[WEIGHTS_MEAN]);
    return spx_conv2d_backward_weights(
        spx_shared_plan_get(e->plan[i]), e->stream, &in, spx_exec_operand(e, nd->in[WEIGHTS_DY]),
        spx_exec_data(e, nd->out[WEIGHTS_DW]), spx_exec_data(e, nd->out[WEIGHTS_DBIAS]),
        spx_exec_scratch(e));
}

/* ---- deciding ---- */

/* First channel of a tensor in a wider one. */
static int64_t first_of(const spx_graph *g, spx_tid t)
{
    return g->tensor[t].parent != SPX_NO_TENSOR ? g->tensor[t].first : 0;
}

static bool is_fused(const spx_node *nd, spx_tid mean)
{
    return nd->relu || mean != SPX_NO_TENSOR;
}

/* What the plan must do; the tensors are those in the places of x and y in each pass. */
static spx_status want_of(const spx_exec *e, const spx_node *nd, const spx_program_options *o,
                          spx_conv2d_want *want)
{
    const spx_graph *g = e->g;
    spx_tid x = nd->in[SPX_CONV2D_X], y = nd->out[0];
    *want = (spx_conv2d_want){.accumulate = nd->accumulate[0],
                              .reference = o->reference,
                              .unmeasured = o->tuning == NULL};
    SPX_RETURN_IF(shape_of(g, nd, &want->shape, &want->pass));
    switch (want->pass) {
    case SPX_CONV2D_FORWARD:
        want->bias = nd->in[SPX_CONV2D_BIAS] != SPX_NO_TENSOR;
        want->fused = is_fused(nd, nd->in[SPX_CONV2D_MEAN]);
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        x = nd->out[0];
        y = nd->in[DATA_DY];
        break;
    default:
        y = nd->in[WEIGHTS_DY];
        want->bias = nd->out[WEIGHTS_DBIAS] != SPX_NO_TENSOR;
        want->fused = is_fused(nd, nd->in[WEIGHTS_MEAN]);
        break;
    }
    want->x_stride = spx_exec_stride(e, x);
    want->y_stride = spx_exec_stride(e, y);
    want->x_first = first_of(g, x);
    want->y_first = first_of(g, y);
    return SPX_OK;
}

static spx_status choose(spx_exec *e, const spx_program_options *o, struct spx_tuning *plans, int i)
{
    const spx_node *nd = &e->g->node[i];
    spx_conv2d_want want;
    SPX_RETURN_IF(want_of(e, nd, o, &want));
    SPX_RETURN_IF(spx_fail_context(spx_tuning_share_plan(plans, e->stream, &want, &e->plan[i]),
                                   "%s (%s)", nd->name, spx_op_name(nd->op)));
    const spx_conv2d_plan *p = spx_shared_plan_get(e->plan[i]);
    e->need[i] = spx_conv2d_plan_workspace(p);
    e->cost[i] = spx_conv2d_plan_seconds(p);
    return SPX_OK;
}

#define NORM_SLOTS                                                                                 \
    {"mean", 1, .optional = true}, {"invstd", 1, .optional = true},                                \
        {"gamma", 1, .optional = true},                                                            \
    {                                                                                              \
        "beta", 1, .optional = true                                                                \
    }

const spx_op_record spx_op_conv2d = {
    .name = "conv2d",
    .in = {{"x", 4}, {"w", 4}, {"bias", 1, .optional = true}, NORM_SLOTS},
    .out = {{"y", 4}},
    .infer = infer,
    .gradient = gradient,
    .macs = macs,
    .run = run,
    .choose = choose,
    .redo = redo,
    .product = true,
};

const spx_op_record spx_op_conv2d_bwd_data = {
    .name = "conv2d_backward_data",
    .in = {{"dy", 4}, {"w", 4}},
    .out = {{"dx", 4}},
    .macs = macs,
    .run = run_data,
    .choose = choose,
};

const spx_op_record spx_op_conv2d_bwd_weights = {
    .name = "conv2d_backward_weights",
    .in = {{"x", 4}, {"dy", 4}, NORM_SLOTS},
    .out = {{"dw", 4, .optional = true}, {"dbias", 1, .optional = true}},
    .macs = macs,
    .run = run_weights,
    .choose = choose,
};
