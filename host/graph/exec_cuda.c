/*
 * CUDA: activations NHWC of the stream's type, weights with channels innermost (kernels/nn/nhwc.h).
 * Under BF16 the products read a converted copy of the weights and of the images, made before the
 * first node of every run in the backend's own area of the workspace: weights first.
 */
#include "host/graph/exec_private.h"

#include "host/graph/conv_plans_private.h"
#include "host/graph/graph_private.h"
#include "host/graph/tuning.h"
#include "kernels/nn/conv2d/conv2d_cuda.h"
#include "kernels/nn/copy/copy_cuda.h"
#include "kernels/nn/drop_mask/drop_mask_cuda.h"
#include "kernels/nn/linear/linear_cuda.h"
#include "kernels/nn/loss/loss_cuda.h"
#include "kernels/nn/norm_sum/norm_sum_cuda.h"
#include "kernels/nn/pool/pool2d_cuda.h"
#include "kernels/nn/relu/relu_cuda.h"
#include "kernels/nn/softmax/softmax_cuda.h"

#include <assert.h>
#include <stdlib.h>

#define ALIGN 256
#define BF16_BYTES 2

static bool is_bf16(const spx_exec *e)
{
    return spx_activation_type(e->stream) == SPX_TYPE_BF16;
}

/* ---- operands ---- */

static int64_t pixel_of(const spx_graph *g, spx_tid t)
{
    const spx_tensor *x = &g->tensor[spx_root(g, t)];
    return x->rank == 4 ? x->dim[1] : spx_tensor_count(x) / x->dim[0];
}

/* First channel of a rank-4 tensor in its pixel. */
static int64_t first_of(const spx_graph *g, spx_tid t)
{
    return g->tensor[t].parent != SPX_NO_TENSOR ? g->tensor[t].first : 0;
}

static bool has_copy(const spx_exec *e, spx_tid t)
{
    return is_bf16(e) && e->g->tensor[t].role == SPX_ROLE_INPUT && e->g->tensor[t].rank == 4;
}

static char *copy_area(const spx_exec *e)
{
    return (char *)e->b->workspace + e->copies;
}

static spx_nhwc operand(const spx_exec *e, spx_tid t)
{
    if (t == SPX_NO_TENSOR) {
        return (spx_nhwc){0};
    }
    if (has_copy(e, t)) {
        return (spx_nhwc){copy_area(e) + e->copy[t], pixel_of(e->g, t), SPX_TYPE_BF16};
    }
    return (spx_nhwc){spx_exec_data(e, t), pixel_of(e->g, t), spx_exec_type(e, t)};
}

/* Weights as products read them. */
static const void *filter(const spx_exec *e, spx_tid t)
{
    return is_bf16(e) ? copy_area(e) + BF16_BYTES * e->g->tensor[t].offset : spx_exec_data(e, t);
}

/* Pixels of a rank-4 tensor, over all images. */
static int64_t rows_of(const spx_graph *g, spx_tid t)
{
    const int64_t *d = g->tensor[t].dim;
    return d[0] * d[2] * d[3];
}

/* ---- ops ---- */

static spx_status run_conv2d(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    return spx_conv2d_forward_cuda(
        spx_shared_plan_get(e->plan[i]), e->stream, operand(e, nd->in[0]), filter(e, nd->in[1]),
        spx_exec_data(e, nd->in[2]), operand(e, nd->out[0]), spx_exec_scratch(e));
}

static spx_status run_conv2d_bwd_data(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    return spx_conv2d_backward_data_cuda(spx_shared_plan_get(e->plan[i]), e->stream,
                                         operand(e, nd->in[0]), filter(e, nd->in[1]),
                                         operand(e, nd->out[0]), spx_exec_scratch(e));
}

static spx_status run_conv2d_bwd_weights(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    return spx_conv2d_backward_weights_cuda(
        spx_shared_plan_get(e->plan[i]), e->stream, operand(e, nd->in[0]), operand(e, nd->in[1]),
        spx_exec_data(e, nd->out[0]), spx_exec_data(e, nd->out[1]), spx_exec_scratch(e));
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
    return spx_bn_stats_cuda(e->stream, &d, operand(e, nd->in[0]), spx_exec_data(e, nd->out[0]),
                             spx_exec_data(e, nd->out[1]), e->b->update_state ? pairs : 0, mean,
                             var, spx_exec_scratch(e));
}

static spx_status run_bn_running(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    return spx_bn_running_cuda(e->stream, e->g->tensor[nd->in[0]].dim[0],
                               spx_exec_data(e, nd->in[0]), spx_exec_data(e, nd->in[1]),
                               spx_exec_data(e, nd->out[0]), spx_exec_data(e, nd->out[1]));
}

static spx_norm_term_cuda norm_term(const spx_exec *e, const spx_tid *in, int32_t coef_index)
{
    const float *coef = spx_exec_data(e, in[SPX_TERM_COEF]);
    return (spx_norm_term_cuda){.x = operand(e, in[SPX_TERM_X]),
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
    spx_norm_term_cuda term[SPX_NORM_SUM_MAX];
    for (int j = 0; j < k; j++) {
        term[j] = norm_term(e, nd->in + j * SPX_TERM_FIELDS, nd->coef_index[j]);
    }
    return spx_norm_sum_forward_cuda(e->stream, &d, k, term, nd->attr.relu, operand(e, nd->out[0]));
}

static spx_status run_norm_sum_reduce(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_norm_dims d = spx_exec_norm_dims(e->g, nd->in[0]);
    const int k = (nd->n_in - 2) / SPX_TERM_FIELDS;
    spx_norm_term_cuda term[SPX_NORM_SUM_MAX];
    spx_norm_grad grad[SPX_NORM_SUM_MAX];
    for (int j = 0; j < k; j++) {
        term[j] = norm_term(e, nd->in + 2 + j * SPX_TERM_FIELDS, nd->coef_index[j]);
        grad[j] = spx_exec_norm_grad(e, nd, j);
    }
    return spx_norm_sum_backward_reduce_cuda(e->stream, &d, k, term, nd->attr.relu,
                                             operand(e, nd->in[1]), operand(e, nd->in[0]), grad,
                                             spx_exec_scratch(e));
}

static spx_status run_norm_sum_apply(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_norm_dims d = spx_exec_norm_dims(e->g, nd->in[0]);
    const spx_norm_term_cuda term = norm_term(e, nd->in + 2, nd->coef_index[0]);
    return spx_norm_sum_backward_apply_cuda(
        e->stream, &d, &term, spx_exec_data(e, nd->in[2 + SPX_TERM_FIELDS]),
        spx_exec_data(e, nd->in[3 + SPX_TERM_FIELDS]), nd->attr.relu, operand(e, nd->in[1]),
        operand(e, nd->in[0]), nd->accumulate[0], operand(e, nd->out[0]));
}

static spx_status run_relu(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    return spx_relu_forward_cuda(e->stream, rows_of(e->g, nd->out[0]),
                                 e->g->tensor[nd->out[0]].dim[1], operand(e, nd->in[0]),
                                 operand(e, nd->out[0]));
}

static spx_status run_relu_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    return spx_relu_backward_cuda(e->stream, rows_of(e->g, nd->out[0]),
                                  e->g->tensor[nd->out[0]].dim[1], operand(e, nd->in[0]),
                                  operand(e, nd->in[1]), nd->accumulate[0], operand(e, nd->out[0]));
}

static spx_status run_avg_pool(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    spx_pool2d_shape d;
    SPX_RETURN_IF(spx_exec_pool_shape(e->g, nd, nd->in[0], &d));
    return spx_avg_pool_forward_cuda(e->stream, &d, operand(e, nd->in[0]), operand(e, nd->out[0]));
}

static spx_status run_avg_pool_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    spx_pool2d_shape d;
    SPX_RETURN_IF(spx_exec_pool_shape(e->g, nd, nd->out[0], &d));
    return spx_avg_pool_backward_cuda(e->stream, &d, operand(e, nd->in[0]), nd->accumulate[0],
                                      operand(e, nd->out[0]));
}

static spx_status run_linear(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *w = e->g->tensor[nd->in[1]].dim;
    return spx_linear_forward_cuda(e->stream, e->g->tensor[nd->out[0]].dim[0], w[1], w[0],
                                   operand(e, nd->in[0]), spx_exec_data(e, nd->in[1]),
                                   spx_exec_data(e, nd->in[2]), spx_exec_data(e, nd->out[0]),
                                   spx_exec_scratch(e));
}

static spx_status run_linear_bwd_data(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *w = e->g->tensor[nd->in[1]].dim;
    return spx_linear_backward_data_cuda(e->stream, e->g->tensor[nd->in[0]].dim[0], w[1], w[0],
                                         spx_exec_data(e, nd->in[0]), spx_exec_data(e, nd->in[1]),
                                         nd->accumulate[0], operand(e, nd->out[0]),
                                         spx_exec_scratch(e));
}

static spx_status run_linear_bwd_weights(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *w = e->g->tensor[nd->out[0]].dim;
    return spx_linear_backward_weights_cuda(e->stream, e->g->tensor[nd->in[1]].dim[0], w[1], w[0],
                                            operand(e, nd->in[0]), spx_exec_data(e, nd->in[1]),
                                            nd->accumulate[0], spx_exec_data(e, nd->out[0]),
                                            spx_exec_data(e, nd->out[1]), spx_exec_scratch(e));
}

static spx_status run_softmax(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->out[0]].dim;
    return spx_softmax_forward_cuda(e->stream, d[0], d[1], spx_exec_data(e, nd->in[0]),
                                    spx_exec_data(e, nd->out[0]));
}

static spx_status run_softmax_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->out[0]].dim;
    return spx_softmax_backward_cuda(e->stream, d[0], d[1], spx_exec_data(e, nd->in[0]),
                                     spx_exec_data(e, nd->in[1]), nd->accumulate[0],
                                     spx_exec_data(e, nd->out[0]));
}

static spx_status run_drop_mask(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_scalars *scalars = e->b->scalars; /* device memory: only addresses are taken */
    if (scalars == NULL) {
        return SPX_FAIL(SPX_EINVAL, "a binding without the scalars that masks are drawn from");
    }
    return spx_drop_mask_cuda(e->stream, e->g->tensor[nd->out[0]].dim[0], &scalars->drop_prob,
                              &scalars->seed, &scalars->step, nd->attr.key,
                              spx_exec_data(e, nd->out[0]));
}

static spx_status run_cross_entropy(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->in[0]].dim;
    return spx_cross_entropy_forward_cuda(e->stream, d[0], d[1], spx_exec_data(e, nd->in[0]),
                                          spx_exec_data(e, nd->in[1]), nd->attr.smoothing,
                                          spx_exec_data(e, nd->out[0]));
}

static spx_status run_cross_entropy_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->in[0]].dim;
    assert(!nd->accumulate[0]); /* differentiation refuses it */
    return spx_cross_entropy_backward_cuda(e->stream, d[0], d[1], spx_exec_data(e, nd->in[0]),
                                           spx_exec_data(e, nd->in[1]), nd->attr.smoothing,
                                           nd->attr.value, spx_exec_data(e, nd->out[0]));
}

static spx_status run_fill(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_tensor *t = &e->g->tensor[nd->out[0]];
    const int64_t count = spx_tensor_count(t);
    if (t->role == SPX_ROLE_ACTIVATION && t->rank == 4) {
        return spx_fill_cuda(e->stream, count / t->dim[1], t->dim[1], nd->attr.value,
                             operand(e, nd->out[0]));
    }
    const spx_nhwc flat = {spx_exec_data(e, nd->out[0]), count, SPX_TYPE_F32};
    return spx_fill_cuda(e->stream, 1, count, nd->attr.value, flat);
}

/* ---- deciding ---- */

static spx_status make_plan(spx_exec *e, struct spx_tuning *tuning, const spx_program_options *o,
                            int i)
{
    const spx_graph *g = e->g;
    const spx_node *nd = &g->node[i];
    spx_conv2d_cuda_want want = {.accumulate = nd->accumulate[0],
                                 .reference = o->reference,
                                 .unmeasured = o->tuning == NULL};
    spx_tid x = nd->in[0], y = nd->out[0];
    SPX_RETURN_IF(spx_exec_conv_shape(g, nd, &want.shape, &want.pass));
    switch (want.pass) {
    case SPX_CONV2D_FORWARD:
        assert(nd->in[3] == SPX_NO_TENSOR && !nd->attr.relu);
        want.bias = nd->in[2] != SPX_NO_TENSOR;
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        x = nd->out[0];
        y = nd->in[0];
        break;
    default:
        y = nd->in[1];
        want.bias = nd->out[1] != SPX_NO_TENSOR;
        break;
    }
    want.x_pixel = pixel_of(g, x);
    want.y_pixel = pixel_of(g, y);
    want.x_first = first_of(g, x);
    want.y_first = first_of(g, y);
    SPX_RETURN_IF(spx_fail_context(spx_tuning_share_plan(tuning, e->stream, &want, &e->plan[i]),
                                   "%s (%s)", nd->name, spx_op_name(nd->op)));
    e->need[i] = spx_conv2d_plan_workspace(spx_shared_plan_get(e->plan[i]));
    e->cost[i] = spx_conv2d_plan_seconds(spx_shared_plan_get(e->plan[i]));
    return SPX_OK;
}

/* Scratch of a node that is no convolution. */
static size_t scratch_of(const spx_graph *g, const spx_node *nd)
{
    spx_norm_dims d;
    const int64_t *w;
    switch (nd->op) {
    case SPX_OP_BN_STATS:
        d = spx_exec_norm_dims(g, nd->in[0]);
        return spx_bn_stats_cuda_workspace(&d);
    case SPX_OP_NORM_SUM_REDUCE:
        d = spx_exec_norm_dims(g, nd->in[0]);
        return spx_norm_sum_reduce_cuda_workspace(&d, (nd->n_in - 2) / SPX_TERM_FIELDS);
    case SPX_OP_LINEAR:
    case SPX_OP_LINEAR_BWD_DATA:
    case SPX_OP_LINEAR_BWD_WEIGHTS:
        w = g->tensor[nd->op == SPX_OP_LINEAR_BWD_WEIGHTS ? nd->out[0] : nd->in[1]].dim;
        return spx_linear_cuda_workspace(g->tensor[nd->in[0]].dim[0], w[1], w[0]);
    default:
        return 0;
    }
}

/* Floats of the weights arena that tensors lie in. */
static int64_t weight_floats(const spx_graph *g)
{
    int64_t end = 0;
    for (int t = 0; t < g->n_tensors; t++) {
        const int64_t e = g->tensor[t].offset + spx_tensor_count(&g->tensor[t]);
        if (g->tensor[t].role == SPX_ROLE_WEIGHT && e > end) {
            end = e;
        }
    }
    return end;
}

/* Places the copies of weights and images. */
static spx_status place_copies(spx_exec *e)
{
    size_t at;
    if (!is_bf16(e)) {
        return SPX_OK;
    }
    e->weights = weight_floats(e->g);
    at = BF16_BYTES * (size_t)e->weights;
    e->copy = malloc(sizeof *e->copy * ((size_t)e->g->n_tensors + 1));
    if (e->copy == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "program of %d tensors", e->g->n_tensors);
    }
    for (int t = 0; t < e->g->n_tensors; t++) {
        if (has_copy(e, t)) {
            at = (at + ALIGN - 1) / ALIGN * ALIGN;
            e->copy[t] = (int64_t)at;
            at += BF16_BYTES * (size_t)spx_tensor_count(&e->g->tensor[t]);
        }
    }
    e->copy_bytes = (at + ALIGN - 1) / ALIGN * ALIGN;
    return SPX_OK;
}

/* Rough rates of a data-centre device: they only order nodes. */
#define LAUNCH_SECONDS 3e-6
#define BYTES_PER_SECOND 1.5e12
#define FLOPS_PER_SECOND 3e13

static spx_status choose(spx_exec *e, const spx_program_options *o)
{
    struct spx_tuning *tuning = o->tuning;
    spx_status st = SPX_OK;
    e->plan = calloc((size_t)e->g->n_nodes + 1, sizeof(struct spx_shared_plan *));
    if (e->plan == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "program of %d nodes", e->g->n_nodes);
    }
    if (tuning == NULL) {
        SPX_RETURN_IF(spx_tuning_create(&tuning)); /* so that nodes share plans */
    }
    for (int i = 0; i < e->g->n_nodes && st == SPX_OK; i++) {
        const spx_node *nd = &e->g->node[i];
        if (spx_op_is_conv(nd->op)) {
            st = make_plan(e, tuning, o, i);
        } else {
            e->need[i] = scratch_of(e->g, nd);
        }
        if (e->cost[i] == 0) {
            const double move = spx_exec_bytes(e, nd) / BYTES_PER_SECOND;
            const double add = spx_exec_flops(e->g, nd) / FLOPS_PER_SECOND;
            e->cost[i] = LAUNCH_SECONDS + (move > add ? move : add);
        }
    }
    if (o->tuning == NULL) {
        spx_tuning_destroy(tuning);
    }
    return st == SPX_OK ? place_copies(e) : st;
}

static void drop(spx_exec *e)
{
    /* plans own code that may still be running; where waiting fails, nothing does */
    const spx_status waited = e->plan != NULL ? spx_stream_sync(e->stream) : SPX_OK;
    (void)waited;
    for (int i = 0; e->plan != NULL && i < e->g->n_nodes; i++) {
        spx_shared_plan_release(e->plan[i]);
    }
}

static spx_status begin(const spx_exec *e)
{
    if (!is_bf16(e)) {
        return SPX_OK;
    }
    if (e->weights > 0) {
        SPX_RETURN_IF(spx_to_bf16_cuda(e->stream, e->weights, e->b->weights, copy_area(e)));
    }
    for (int t = 0; t < e->g->n_tensors; t++) {
        if (has_copy(e, t)) {
            SPX_RETURN_IF(spx_to_bf16_cuda(e->stream, spx_tensor_count(&e->g->tensor[t]),
                                           e->b->input[e->input_slot[t]],
                                           copy_area(e) + e->copy[t]));
        }
    }
    return SPX_OK;
}

const spx_backend spx_backend_cuda = {
    .align = ALIGN,
    .slack = 16, /* about two nodes for each lane */
    .choose = choose,
    .drop = drop,
    .begin = begin,
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
