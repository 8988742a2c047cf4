/* The CPU: planar NCHW, images a stride apart. */
#include "host/graph/exec_private.h"

#include "host/graph/graph_private.h"
#include "host/graph/tuning.h"
#include "kernels/nn/drop_mask/drop_mask.h"
#include "kernels/nn/linear/linear.h"
#include "kernels/nn/loss/loss.h"
#include "kernels/nn/norm_sum/norm_sum.h"
#include "kernels/nn/pool/pool2d.h"
#include "kernels/nn/relu/relu.h"
#include "kernels/nn/softmax/softmax.h"

#include <assert.h>
#include <stdlib.h>

/* Floats from image to image of a rank-4 tensor. */
static int64_t image_stride(const spx_graph *g, spx_tid t)
{
    const spx_tensor *x = &g->tensor[spx_root(g, t)];
    return x->dim[1] * x->dim[2] * x->dim[3];
}

static spx_conv2d_input conv_input(const spx_exec *e, const spx_node *nd, const spx_tid *norm)
{
    return (spx_conv2d_input){.x = spx_exec_data(e, nd->in[0]),
                              .stride_n = image_stride(e->g, nd->in[0]),
                              .mean = spx_exec_data(e, norm[0]),
                              .invstd = spx_exec_data(e, norm[1]),
                              .gamma = spx_exec_data(e, norm[2]),
                              .beta = spx_exec_data(e, norm[3]),
                              .relu = nd->attr.relu};
}

static spx_status run_conv2d(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_conv2d_input in = conv_input(e, nd, &nd->in[3]);
    spx_conv2d_shape d;
    spx_conv2d_pass pass;
    SPX_RETURN_IF(spx_exec_conv_shape(e->g, nd, &d, &pass));
    return spx_conv2d_forward(e->stream, &d, e->algo[i], &in, spx_exec_data(e, nd->in[1]),
                              spx_exec_data(e, nd->in[2]), spx_exec_data(e, nd->out[0]),
                              image_stride(e->g, nd->out[0]), spx_exec_scratch(e));
}

static spx_status run_conv2d_bwd_data(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    spx_conv2d_shape d;
    spx_conv2d_pass pass;
    SPX_RETURN_IF(spx_exec_conv_shape(e->g, nd, &d, &pass));
    return spx_conv2d_backward_data(e->stream, &d, e->algo[i], spx_exec_data(e, nd->in[0]),
                                    image_stride(e->g, nd->in[0]), spx_exec_data(e, nd->in[1]),
                                    nd->accumulate[0], spx_exec_data(e, nd->out[0]),
                                    image_stride(e->g, nd->out[0]), spx_exec_scratch(e));
}

static spx_status run_conv2d_bwd_weights(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_conv2d_input in = conv_input(e, nd, &nd->in[2]);
    spx_conv2d_shape d;
    spx_conv2d_pass pass;
    SPX_RETURN_IF(spx_exec_conv_shape(e->g, nd, &d, &pass));
    return spx_conv2d_backward_weights(e->stream, &d, e->algo[i], &in, spx_exec_data(e, nd->in[1]),
                                       image_stride(e->g, nd->in[1]), nd->accumulate[0],
                                       spx_exec_data(e, nd->out[0]), spx_exec_data(e, nd->out[1]),
                                       spx_exec_scratch(e));
}

#define MAX_RUNNING 64

static spx_status run_bn_stats(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_norm_dims d = spx_exec_norm_dims(e->g, nd->in[0]);
    const int pairs = (nd->n_in - 1) / 2;
    float *mean[MAX_RUNNING], *var[MAX_RUNNING];
    if (pairs > MAX_RUNNING) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "%d running statistics of one tensor", pairs);
    }
    for (int k = 0; k < pairs; k++) {
        mean[k] = spx_exec_data(e, nd->in[1 + 2 * k]);
        var[k] = spx_exec_data(e, nd->in[2 + 2 * k]);
    }
    return spx_bn_stats(e->stream, &d, spx_exec_data(e, nd->in[0]), image_stride(e->g, nd->in[0]),
                        spx_exec_data(e, nd->out[0]), spx_exec_data(e, nd->out[1]),
                        e->b->update_state ? pairs : 0, mean, var);
}

static spx_status run_bn_running(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    return spx_bn_running(e->stream, e->g->tensor[nd->in[0]].dim[0], spx_exec_data(e, nd->in[0]),
                          spx_exec_data(e, nd->in[1]), spx_exec_data(e, nd->out[0]),
                          spx_exec_data(e, nd->out[1]));
}

static spx_norm_term norm_term(const spx_exec *e, const spx_tid *in, int32_t coef_index)
{
    const float *coef = spx_exec_data(e, in[SPX_TERM_COEF]);
    return (spx_norm_term){.x = spx_exec_data(e, in[SPX_TERM_X]),
                           .stride_n = image_stride(e->g, in[SPX_TERM_X]),
                           .mean = spx_exec_data(e, in[SPX_TERM_MEAN]),
                           .invstd = spx_exec_data(e, in[SPX_TERM_INVSTD]),
                           .gamma = spx_exec_data(e, in[SPX_TERM_GAMMA]),
                           .beta = spx_exec_data(e, in[SPX_TERM_BETA]),
                           .coef = coef != NULL ? coef + coef_index : NULL,
                           .mask = spx_exec_data(e, in[SPX_TERM_MASK])};
}

static spx_status run_norm_sum(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_norm_dims d = spx_exec_norm_dims(e->g, nd->out[0]);
    const int k = nd->n_in / SPX_TERM_FIELDS;
    spx_norm_term term[SPX_NORM_SUM_MAX];
    for (int j = 0; j < k; j++) {
        term[j] = norm_term(e, nd->in + j * SPX_TERM_FIELDS, nd->coef_index[j]);
    }
    return spx_norm_sum_forward(e->stream, &d, k, term, nd->attr.relu, spx_exec_data(e, nd->out[0]),
                                image_stride(e->g, nd->out[0]));
}

static spx_status run_norm_sum_reduce(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_norm_dims d = spx_exec_norm_dims(e->g, nd->in[0]);
    const int k = (nd->n_in - 2) / SPX_TERM_FIELDS;
    spx_norm_term term[SPX_NORM_SUM_MAX];
    spx_norm_grad grad[SPX_NORM_SUM_MAX];
    for (int j = 0; j < k; j++) {
        term[j] = norm_term(e, nd->in + 2 + j * SPX_TERM_FIELDS, nd->coef_index[j]);
        grad[j] = spx_exec_norm_grad(e, nd, j);
    }
    const spx_tid y = nd->in[1];
    return spx_norm_sum_backward_reduce(e->stream, &d, k, term, nd->attr.relu, spx_exec_data(e, y),
                                        y != SPX_NO_TENSOR ? image_stride(e->g, y) : 0,
                                        spx_exec_data(e, nd->in[0]), image_stride(e->g, nd->in[0]),
                                        grad);
}

static spx_status run_norm_sum_apply(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_norm_dims d = spx_exec_norm_dims(e->g, nd->in[0]);
    const spx_norm_term term = norm_term(e, nd->in + 2, nd->coef_index[0]);
    const spx_tid y = nd->in[1];
    return spx_norm_sum_backward_apply(
        e->stream, &d, &term, spx_exec_data(e, nd->in[2 + SPX_TERM_FIELDS]),
        spx_exec_data(e, nd->in[3 + SPX_TERM_FIELDS]), nd->attr.relu, spx_exec_data(e, y),
        y != SPX_NO_TENSOR ? image_stride(e->g, y) : 0, spx_exec_data(e, nd->in[0]),
        image_stride(e->g, nd->in[0]), nd->accumulate[0], spx_exec_data(e, nd->out[0]),
        image_stride(e->g, nd->out[0]));
}

static spx_status run_relu(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->out[0]].dim;
    return spx_relu_forward(e->stream, d[0], d[1] * d[2] * d[3], spx_exec_data(e, nd->in[0]),
                            image_stride(e->g, nd->in[0]), spx_exec_data(e, nd->out[0]),
                            image_stride(e->g, nd->out[0]));
}

static spx_status run_relu_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->out[0]].dim;
    return spx_relu_backward(e->stream, d[0], d[1] * d[2] * d[3], spx_exec_data(e, nd->in[0]),
                             image_stride(e->g, nd->in[0]), spx_exec_data(e, nd->in[1]),
                             image_stride(e->g, nd->in[1]), nd->accumulate[0],
                             spx_exec_data(e, nd->out[0]), image_stride(e->g, nd->out[0]));
}

static spx_status run_avg_pool(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    spx_pool2d_shape d;
    SPX_RETURN_IF(spx_exec_pool_shape(e->g, nd, nd->in[0], &d));
    return spx_avg_pool_forward(e->stream, &d, spx_exec_data(e, nd->in[0]),
                                image_stride(e->g, nd->in[0]), spx_exec_data(e, nd->out[0]),
                                image_stride(e->g, nd->out[0]));
}

static spx_status run_avg_pool_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    spx_pool2d_shape d;
    SPX_RETURN_IF(spx_exec_pool_shape(e->g, nd, nd->out[0], &d));
    return spx_avg_pool_backward(e->stream, &d, spx_exec_data(e, nd->in[0]),
                                 image_stride(e->g, nd->in[0]), nd->accumulate[0],
                                 spx_exec_data(e, nd->out[0]), image_stride(e->g, nd->out[0]));
}

static spx_status run_linear(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *w = e->g->tensor[nd->in[1]].dim;
    return spx_linear_forward(e->stream, e->g->tensor[nd->out[0]].dim[0], w[1], w[0],
                              spx_exec_data(e, nd->in[0]), spx_exec_data(e, nd->in[1]),
                              spx_exec_data(e, nd->in[2]), spx_exec_data(e, nd->out[0]));
}

static spx_status run_linear_bwd_data(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *w = e->g->tensor[nd->in[1]].dim;
    return spx_linear_backward_data(e->stream, e->g->tensor[nd->in[0]].dim[0], w[1], w[0],
                                    spx_exec_data(e, nd->in[0]), spx_exec_data(e, nd->in[1]),
                                    nd->accumulate[0], spx_exec_data(e, nd->out[0]));
}

static spx_status run_linear_bwd_weights(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *w = e->g->tensor[nd->out[0]].dim;
    return spx_linear_backward_weights(e->stream, e->g->tensor[nd->in[1]].dim[0], w[1], w[0],
                                       spx_exec_data(e, nd->in[0]), spx_exec_data(e, nd->in[1]),
                                       nd->accumulate[0], spx_exec_data(e, nd->out[0]),
                                       spx_exec_data(e, nd->out[1]));
}

static spx_status run_softmax(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->out[0]].dim;
    return spx_softmax_forward(e->stream, d[0], d[1], spx_exec_data(e, nd->in[0]),
                               spx_exec_data(e, nd->out[0]));
}

static spx_status run_softmax_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->out[0]].dim;
    return spx_softmax_backward(e->stream, d[0], d[1], spx_exec_data(e, nd->in[0]),
                                spx_exec_data(e, nd->in[1]), nd->accumulate[0],
                                spx_exec_data(e, nd->out[0]));
}

static spx_status run_drop_mask(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_scalars *scalars = e->b->scalars;
    if (scalars == NULL) {
        return SPX_FAIL(SPX_EINVAL, "a binding without the scalars that masks are drawn from");
    }
    return spx_drop_mask(e->stream, e->g->tensor[nd->out[0]].dim[0], scalars->drop_prob,
                         scalars->seed, scalars->step, nd->attr.key, spx_exec_data(e, nd->out[0]));
}

static spx_status run_cross_entropy(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->in[0]].dim;
    return spx_cross_entropy_forward(e->stream, d[0], d[1], spx_exec_data(e, nd->in[0]),
                                     spx_exec_data(e, nd->in[1]), nd->attr.smoothing,
                                     spx_exec_data(e, nd->out[0]));
}

static spx_status run_cross_entropy_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->in[0]].dim;
    assert(!nd->accumulate[0]); /* differentiation refuses it */
    return spx_cross_entropy_backward(e->stream, d[0], d[1], spx_exec_data(e, nd->in[0]),
                                      spx_exec_data(e, nd->in[1]), nd->attr.smoothing,
                                      nd->attr.value, spx_exec_data(e, nd->out[0]));
}

static spx_status run_fill(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_tensor *t = &e->g->tensor[nd->out[0]];
    float *y = spx_exec_data(e, nd->out[0]);
    const bool images = t->parent != SPX_NO_TENSOR;
    const int64_t rows = images ? t->dim[0] : 1, row = spx_tensor_count(t) / rows;
    const int64_t stride = images ? image_stride(e->g, nd->out[0]) : row;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t k = 0; k < row; k++) {
            y[r * stride + k] = nd->attr.value;
        }
    }
    return SPX_OK;
}

/* Algorithms of the convolutions, and the scratch each needs. */
static spx_status choose(spx_exec *e, const spx_program_options *o)
{
    e->algo = calloc((size_t)e->g->n_nodes + 1, sizeof *e->algo);
    if (e->algo == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "program of %d nodes", e->g->n_nodes);
    }
    for (int i = 0; i < e->g->n_nodes; i++) {
        const spx_node *nd = &e->g->node[i];
        spx_conv2d_shape d;
        spx_conv2d_pass pass;
        e->cost[i] = 1.0;
        if (!spx_op_is_conv(nd->op)) {
            continue;
        }
        SPX_RETURN_IF(spx_exec_conv_shape(e->g, nd, &d, &pass));
        e->algo[i] =
            o->reference ? SPX_CONV2D_REFERENCE : spx_conv2d_default_algo(e->stream, &d, pass);
        if (!o->reference && o->tuning != NULL) {
            SPX_RETURN_IF(spx_tuning_choose(o->tuning, e->stream, &d, pass, &e->algo[i]));
        }
        e->need[i] = spx_conv2d_workspace(e->stream, &d, pass, e->algo[i]);
    }
    return SPX_OK;
}

const spx_backend spx_backend_cpu = {
    .align = SPX_ALIGN,
    .fuse_conv_inputs = true,
    .choose = choose,
    .run =
        {
            [SPX_OP_CONV2D] = run_conv2d,
            [SPX_OP_BN_STATS] = run_bn_stats,
            [SPX_OP_BN_RUNNING] = run_bn_running,
            [SPX_OP_NORM_SUM] = run_norm_sum,
            [SPX_OP_RELU] = run_relu,
            [SPX_OP_AVG_POOL] = run_avg_pool,
            [SPX_OP_LINEAR] = run_linear,
            [SPX_OP_SOFTMAX] = run_softmax,
            [SPX_OP_DROP_MASK] = run_drop_mask,
            [SPX_OP_CROSS_ENTROPY] = run_cross_entropy,
            [SPX_OP_CONV2D_BWD_DATA] = run_conv2d_bwd_data,
            [SPX_OP_CONV2D_BWD_WEIGHTS] = run_conv2d_bwd_weights,
            [SPX_OP_NORM_SUM_REDUCE] = run_norm_sum_reduce,
            [SPX_OP_NORM_SUM_APPLY] = run_norm_sum_apply,
            [SPX_OP_RELU_BWD] = run_relu_bwd,
            [SPX_OP_AVG_POOL_BWD] = run_avg_pool_bwd,
            [SPX_OP_LINEAR_BWD_DATA] = run_linear_bwd_data,
            [SPX_OP_LINEAR_BWD_WEIGHTS] = run_linear_bwd_weights,
            [SPX_OP_SOFTMAX_BWD] = run_softmax_bwd,
            [SPX_OP_CROSS_ENTROPY_BWD] = run_cross_entropy_bwd,
            [SPX_OP_FILL] = run_fill,
        },
};
