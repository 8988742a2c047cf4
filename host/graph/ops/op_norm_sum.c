/* The one op that normalises, adds and weighs (kernels/nn/norm_sum), and its gradient in two parts:
 * a reduction over all terms, and one pass a term, put off until the term's producer is reached. */
#include "host/graph/autodiff_private.h"
#include "host/graph/exec_private.h"
#include "kernels/nn/norm_sum/norm_sum.h"

#include <stdlib.h>
#include <string.h>

/* Inputs of both gradients: the terms (of APPLY one) begin at GRAD_TERM. */
enum {
    GRAD_DY,
    GRAD_Y,
    GRAD_TERM,
    APPLY_SUM_DY = GRAD_TERM + SPX_TERM_FIELDS,
    APPLY_SUM_DY_XHAT,
    APPLY_INPUTS
};

/* Whether the coefficient of term j exists; keeps an error if not. */
static bool check_coef(spx_graph *g, const spx_sum_term *t, int j, const char *name)
{
    if (t->coef != SPX_NO_TENSOR && (!spx_g_valid(g, t->coef, 0, name) || t->coef_index < 0 ||
                                     t->coef_index >= spx_tensor_count(&g->tensor[t->coef]))) {
        spx_graph_fail(g, SPX_EINVAL, "%s%s: term %d: coefficient %d is out of range", g->scope,
                       name, j, (int)t->coef_index);
        return false;
    }
    return true;
}

spx_tid spx_g_sum(spx_graph *g, int k, const spx_sum_term *term, const char *name)
{
    spx_tid in[SPX_NORM_SUM_MAX * SPX_TERM_FIELDS], y;
    if (g->status != SPX_OK) {
        return SPX_NO_TENSOR;
    }
    if (k < 1 || k > SPX_NORM_SUM_MAX) {
        spx_graph_fail(g, SPX_EINVAL, "%s%s: a sum of %d terms (1..%d)", g->scope, name, k,
                       SPX_NORM_SUM_MAX);
        return SPX_NO_TENSOR;
    }
    for (int j = 0; j < k; j++) {
        if (!check_coef(g, &term[j], j, name)) {
            return SPX_NO_TENSOR;
        }
        for (int f = 0; f < SPX_TERM_FIELDS; f++) {
            in[j * SPX_TERM_FIELDS + f] = SPX_NO_TENSOR;
        }
        in[j * SPX_TERM_FIELDS + SPX_TERM_X] = term[j].x;
        in[j * SPX_TERM_FIELDS + SPX_TERM_COEF] = term[j].coef;
        in[j * SPX_TERM_FIELDS + SPX_TERM_MASK] = term[j].mask;
    }
    y = spx_g_append(g, SPX_OP_NORM_SUM, NULL, k * SPX_TERM_FIELDS, in, name);
    for (int j = 0; j < k && y != SPX_NO_TENSOR; j++) {
        g->node[g->n_nodes - 1].coef_index[j] =
            term[j].coef != SPX_NO_TENSOR ? term[j].coef_index : 0;
    }
    return y;
}

/* Terms of one shape, masks of one number an image. */
static spx_status infer(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    const int64_t *d = g->tensor[nd->in[SPX_TERM_X]].dim;
    for (int j = 0; j < spx_node_terms(nd, 0); j++) {
        const spx_tid *t = nd->in + j * SPX_TERM_FIELDS;
        const int64_t *e = g->tensor[t[SPX_TERM_X]].dim;
        if (memcmp(d, e, sizeof(int64_t) * SPX_MAX_RANK) != 0) {
            return SPX_FAIL(SPX_EINVAL,
                            "term %d is %lldx%lldx%lldx%lld, term 0 is %lldx%lldx%lldx%lld", j,
                            (long long)e[0], (long long)e[1], (long long)e[2], (long long)e[3],
                            (long long)d[0], (long long)d[1], (long long)d[2], (long long)d[3]);
        }
        if (t[SPX_TERM_MASK] != SPX_NO_TENSOR && g->tensor[t[SPX_TERM_MASK]].dim[0] != d[0]) {
            return SPX_FAIL(SPX_EINVAL, "term %d: mask is not (%lld)", j, (long long)d[0]);
        }
    }
    *out = spx_shape_of(g, nd->in[SPX_TERM_X]);
    return SPX_OK;
}

/* The terms being differentiated. */
typedef struct terms {
    const spx_tid *in;
    const int32_t *coef_index;
    bool relu;
    spx_tid y, dy;
    int node; /* the reduction's */
} terms;

/* Whether term t takes part in the reduction. */
static bool reduced(const spx_diff *d, const spx_tid *t)
{
    const bool normed = t[SPX_TERM_MEAN] != SPX_NO_TENSOR;
    return (normed &&
            (spx_diff_requires(d, t[SPX_TERM_X]) || spx_diff_requires(d, t[SPX_TERM_GAMMA]))) ||
           spx_diff_requires(d, t[SPX_TERM_COEF]);
}

/* Emits the reduction of `used` terms, its terms and sums to be filled in. */
static bool emit_reduction(spx_diff *d, int i, terms *all, int used)
{
    spx_node *nd = spx_diff_emit(d, SPX_OP_NORM_SUM_REDUCE, i, GRAD_TERM + used * SPX_TERM_FIELDS,
                                 used * SPX_REDUCE_FIELDS);
    if (nd == NULL) {
        return false;
    }
    all->node = (int)(nd - d->g->node);
    nd->relu = all->relu;
    nd->in[GRAD_DY] = all->dy;
    nd->in[GRAD_Y] = all->relu ? all->y : SPX_NO_TENSOR;
    return true;
}

/* Fills in slot `slot` of the reduction with term j. */
static void reduce_term(spx_diff *d, const terms *all, int j, int slot, spx_tid sums[2])
{
    spx_graph *g = d->g;
    const spx_tid *t = all->in + j * SPX_TERM_FIELDS;
    const int base = slot * SPX_REDUCE_FIELDS;
    const int64_t c = g->tensor[t[SPX_TERM_X]].dim[1];
    memcpy(g->node[all->node].in + GRAD_TERM + slot * SPX_TERM_FIELDS, t,
           sizeof(spx_tid) * SPX_TERM_FIELDS);
    g->node[all->node].coef_index[slot] = all->coef_index[j];
    for (int s = 0; t[SPX_TERM_MEAN] != SPX_NO_TENSOR && s < 2; s++) {
        sums[s] = spx_graph_new_tensor(g, SPX_ROLE_ACTIVATION, SPX_F32, 1, &c, NULL);
        g->node[all->node].out[base + SPX_REDUCE_DY + s] = sums[s];
    }
    spx_diff_param(d, all->node, base + SPX_REDUCE_DGAMMA, t[SPX_TERM_GAMMA]);
    spx_diff_param(d, all->node, base + SPX_REDUCE_DBETA, t[SPX_TERM_BETA]);
    if (spx_diff_requires(d, t[SPX_TERM_COEF])) {
        g->node[all->node].out[base + SPX_REDUCE_DCOEF] = d->grad[t[SPX_TERM_COEF]];
        g->node[all->node].accumulate[base + SPX_REDUCE_DCOEF] = true;
    }
}

/* The gradient of term j's input, emitted once its producer is reached. */
static void postpone_apply(spx_diff *d, const terms *all, int j, const spx_tid sums[2])
{
    const spx_tid *t = all->in + j * SPX_TERM_FIELDS;
    spx_pending p = {.target = t[SPX_TERM_X],
                     .op = SPX_OP_NORM_SUM_APPLY,
                     .relu = all->relu,
                     .n_in = APPLY_INPUTS,
                     .coef_index = all->coef_index[j]};
    p.in[GRAD_DY] = all->dy;
    p.in[GRAD_Y] = all->relu ? all->y : SPX_NO_TENSOR;
    memcpy(p.in + GRAD_TERM, t, sizeof(spx_tid) * SPX_TERM_FIELDS);
    p.in[APPLY_SUM_DY] = sums[0];
    p.in[APPLY_SUM_DY_XHAT] = sums[1];
    spx_diff_postpone(d, p);
}

/*
 * One reduction for all terms that need it now, one pending application for each input that wants a
 * gradient.
 */
void spx_norm_sum_diff_terms(spx_diff *d, int i, int k, const spx_tid *in,
                             const int32_t *coef_index, bool relu, spx_tid y, spx_tid dy)
{
    terms all = {in, coef_index, relu, y, dy, -1};
    int used = 0, slot = 0;
    for (int j = 0; j < k; j++) {
        const spx_tid coef = in[j * SPX_TERM_FIELDS + SPX_TERM_COEF];
        used += reduced(d, in + j * SPX_TERM_FIELDS);
        if (spx_diff_requires(d, coef) && !d->written[coef]) {
            bool accumulate; /* elements are added one by one: start from zero */
            spx_diff_fill(d, spx_diff_contribute(d, coef, &accumulate), i);
        }
    }
    if (used > 0 && !emit_reduction(d, i, &all, used)) {
        return;
    }
    for (int j = 0; j < k && d->g->status == SPX_OK; j++) {
        const spx_tid *t = in + j * SPX_TERM_FIELDS;
        spx_tid sums[2] = {SPX_NO_TENSOR, SPX_NO_TENSOR};
        if (reduced(d, t)) {
            reduce_term(d, &all, j, slot++, sums);
        }
        if (spx_diff_requires(d, t[SPX_TERM_X])) {
            postpone_apply(d, &all, j, sums);
        }
    }
}

static void gradient(spx_diff *d, int i, spx_tid dy)
{
    const spx_node *nd = &d->g->node[i];
    const int k = spx_node_terms(nd, 0);
    /* Copied: appending nodes moves the array. */
    spx_tid in[SPX_NORM_SUM_MAX * SPX_TERM_FIELDS];
    int32_t coef[SPX_NORM_SUM_MAX];
    memcpy(in, nd->in, sizeof(spx_tid) * (size_t)nd->n_in);
    memcpy(coef, nd->coef_index, sizeof(int32_t) * (size_t)k);
    spx_norm_sum_diff_terms(d, i, k, in, coef, nd->relu, nd->out[0], dy);
}

/* What a norm's reading and writing costs, in operations of convolutions per element: 8 bytes at a
 * twentieth of a byte per operation. */
#define NORM_FLOPS 160

/* Of a lone norm: its inputs are kept for the backward pass anyway. */
static double redo(const spx_graph *g, const spx_node *nd)
{
    return spx_node_terms(nd, 0) == 1
               ? (double)spx_tensor_count(&g->tensor[nd->out[0]]) * NORM_FLOPS
               : 0;
}

/* ---- running ---- */

static spx_norm_dims dims_of(const spx_graph *g, spx_tid t)
{
    const int64_t *d = g->tensor[t].dim;
    return (spx_norm_dims){.n = d[0], .c = d[1], .hw = d[2] * d[3]};
}

static void unpack(spx_norm_term *term, const spx_exec *e, const spx_node *nd, int first, int k)
{
    for (int j = 0; j < k; j++) {
        const spx_tid *in = nd->in + first + (ptrdiff_t)j * SPX_TERM_FIELDS;
        const float *coef = spx_exec_data(e, in[SPX_TERM_COEF]);
        term[j] = (spx_norm_term){.x = spx_exec_operand(e, in[SPX_TERM_X]),
                                  .mean = spx_exec_data(e, in[SPX_TERM_MEAN]),
                                  .invstd = spx_exec_data(e, in[SPX_TERM_INVSTD]),
                                  .gamma = spx_exec_data(e, in[SPX_TERM_GAMMA]),
                                  .beta = spx_exec_data(e, in[SPX_TERM_BETA]),
                                  .coef = coef != NULL ? coef + nd->coef_index[j] : NULL,
                                  .mask = spx_exec_data(e, in[SPX_TERM_MASK])};
    }
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_norm_dims d = dims_of(e->g, nd->out[0]);
    const int k = spx_node_terms(nd, 0);
    spx_norm_term term[SPX_NORM_SUM_MAX];
    unpack(term, e, nd, 0, k);
    return spx_norm_sum_forward(e->stream, &d, k, term, nd->relu, spx_exec_operand(e, nd->out[0]));
}

/* Where the reductions of term j go. */
static spx_norm_grad grad_of(const spx_exec *e, const spx_node *nd, int j)
{
    const spx_tid *out = nd->out + (ptrdiff_t)j * SPX_REDUCE_FIELDS;
    const bool *accumulate = nd->accumulate + (ptrdiff_t)j * SPX_REDUCE_FIELDS;
    float *dcoef = spx_exec_data(e, out[SPX_REDUCE_DCOEF]);
    return (spx_norm_grad){.sum_dy = spx_exec_data(e, out[SPX_REDUCE_DY]),
                           .sum_dy_xhat = spx_exec_data(e, out[SPX_REDUCE_DY_XHAT]),
                           .dgamma = spx_exec_data(e, out[SPX_REDUCE_DGAMMA]),
                           .dbeta = spx_exec_data(e, out[SPX_REDUCE_DBETA]),
                           .accumulate_affine = accumulate[SPX_REDUCE_DGAMMA],
                           .dcoef = dcoef != NULL ? dcoef + nd->coef_index[j] : NULL,
                           .accumulate_coef = accumulate[SPX_REDUCE_DCOEF]};
}

static spx_status run_reduce(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_norm_dims d = dims_of(e->g, nd->in[GRAD_DY]);
    const int k = spx_node_terms(nd, GRAD_TERM);
    spx_norm_grad grad[SPX_NORM_SUM_MAX];
    spx_norm_term term[SPX_NORM_SUM_MAX];
    unpack(term, e, nd, GRAD_TERM, k);
    for (int j = 0; j < k; j++) {
        grad[j] = grad_of(e, nd, j);
    }
    return spx_norm_sum_backward_reduce(
        e->stream, &d, k, term, nd->relu, spx_exec_operand(e, nd->in[GRAD_Y]),
        spx_exec_operand(e, nd->in[GRAD_DY]), grad, spx_exec_scratch(e));
}

static size_t scratch_reduce(const spx_exec *e, const spx_node *nd)
{
    const spx_norm_dims d = dims_of(e->g, nd->in[GRAD_DY]);
    return spx_norm_sum_reduce_workspace(e->stream, &d, spx_node_terms(nd, GRAD_TERM));
}

static spx_status run_apply(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_norm_dims d = dims_of(e->g, nd->in[GRAD_DY]);
    spx_norm_term term;
    unpack(&term, e, nd, GRAD_TERM, 1);
    return spx_norm_sum_backward_apply(
        e->stream, &d, &term, spx_exec_data(e, nd->in[APPLY_SUM_DY]),
        spx_exec_data(e, nd->in[APPLY_SUM_DY_XHAT]), nd->relu, spx_exec_operand(e, nd->in[GRAD_Y]),
        spx_exec_operand(e, nd->in[GRAD_DY]), nd->accumulate[0], spx_exec_operand(e, nd->out[0]));
}

#define TERM_SLOTS                                                                                 \
    {"x", 4}, {"mean", 1, .optional = true}, {"invstd", 1, .optional = true},                      \
        {"gamma", 1, .optional = true}, {"beta", 1, .optional = true},                             \
        {"coef", 0, .optional = true},                                                             \
    {                                                                                              \
        "mask", 1, .optional = true                                                                \
    }

const spx_op_record spx_op_norm_sum = {
    .name = "norm_sum",
    .in = {TERM_SLOTS},
    .repeat_in = SPX_TERM_FIELDS,
    .out = {{"y", 4}},
    .infer = infer,
    .gradient = gradient,
    .run = run,
    .redo = redo,
    .sum = true,
};

const spx_op_record spx_op_norm_sum_reduce = {
    .name = "norm_sum_backward_reduce",
    .in = {{"dy", 4}, {"y", 4, .optional = true}, TERM_SLOTS},
    .repeat_in = SPX_TERM_FIELDS,
    .out = {{"sum_dy", 1, .optional = true},
            {"sum_dy_xhat", 1, .optional = true},
            {"dgamma", 1, .optional = true},
            {"dbeta", 1, .optional = true},
            {"dcoef", 0, .optional = true, .element = true}},
    .repeat_out = SPX_REDUCE_FIELDS,
    .run = run_reduce,
    .scratch = scratch_reduce,
};

const spx_op_record spx_op_norm_sum_apply = {
    .name = "norm_sum_backward_apply",
    .in = {{"dy", 4},
           {"y", 4, .optional = true},
           TERM_SLOTS,
           {"sum_dy", 1, .optional = true},
           {"sum_dy_xhat", 1, .optional = true}},
    .out = {{"dx", 4}},
    .run = run_apply,
};
