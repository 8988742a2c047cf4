/* Squared differences of pairs of matrices, summed over the pairs: a loss of each pair's first, the
 * second gets no gradient. */
#include "host/graph/autodiff_private.h"
#include "host/graph/exec_private.h"
#include "kernels/nn/distill/distill.h"

/* Inputs of a pair; the gradient's are one pair. */
enum { PAIR_X, PAIR_Y, PAIR };

typedef struct difference_attr {
    float weight; /* of the loss, in its gradient */
} difference_attr;
SPX_OP_ATTR(static inline, difference_attr)

spx_tid spx_g_squared_difference(spx_graph *g, int k, const spx_tid *x, const spx_tid *y,
                                 const char *name)
{
    spx_tid in[SPX_DIFFERENCE_MAX * PAIR];
    if (g->status != SPX_OK) {
        return SPX_NO_TENSOR;
    }
    if (k < 1 || k > SPX_DIFFERENCE_MAX) {
        spx_graph_fail(g, SPX_EINVAL, "%s%s: %d pairs (1..%d)", g->scope, name, k,
                       SPX_DIFFERENCE_MAX);
        return SPX_NO_TENSOR;
    }
    for (int j = 0; j < k; j++) {
        in[j * PAIR + PAIR_X] = x[j];
        in[j * PAIR + PAIR_Y] = y[j];
    }
    return spx_g_append(g, SPX_OP_SQUARED_DIFFERENCE, NULL, k * PAIR, in, name);
}

static spx_status infer(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    for (int j = 0; j < nd->n_in; j += PAIR) {
        const int64_t *x = g->tensor[nd->in[j + PAIR_X]].dim;
        const int64_t *y = g->tensor[nd->in[j + PAIR_Y]].dim;
        if (x[0] != y[0] || x[1] != y[1]) {
            return SPX_FAIL(SPX_EINVAL, "pair %d is (%lld, %lld) and (%lld, %lld)", j / PAIR,
                            (long long)x[0], (long long)x[1], (long long)y[0], (long long)y[1]);
        }
    }
    *out = (spx_shape){1, {1}};
    return SPX_OK;
}

static void gradient(spx_diff *d, int i, spx_tid dy)
{
    (void)dy; /* a loss has none */
    for (int j = 0; j < d->g->node[i].n_in; j += PAIR) {
        const spx_tid *in = d->g->node[i].in + j;
        const spx_tid pair[PAIR] = {in[PAIR_X], in[PAIR_Y]};
        if (!spx_diff_requires(d, pair[PAIR_X])) {
            continue;
        }
        spx_node *nd =
            spx_diff_emit_data(d, SPX_OP_SQUARED_DIFFERENCE_BWD, i, PAIR, pair, pair[PAIR_X]);
        if (nd != NULL) {
            nd->attr = difference_attr_attr((difference_attr){.weight = d->loss_weight});
        }
    }
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    for (int j = 0; j < nd->n_in; j += PAIR) {
        SPX_RETURN_IF(spx_squared_difference_forward(
            e->stream, spx_tensor_count(&e->g->tensor[nd->in[j]]),
            spx_exec_data(e, nd->in[j + PAIR_X]), spx_exec_data(e, nd->in[j + PAIR_Y]), j > 0,
            spx_exec_data(e, nd->out[0])));
    }
    return SPX_OK;
}

static spx_status run_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    return spx_squared_difference_backward(
        e->stream, spx_tensor_count(&e->g->tensor[nd->out[0]]), spx_exec_data(e, nd->in[PAIR_X]),
        spx_exec_data(e, nd->in[PAIR_Y]), difference_attr_of(nd).weight, nd->accumulate[0],
        spx_exec_data(e, nd->out[0]));
}

const spx_op_record spx_op_squared_difference = {
    .name = "squared_difference",
    .in = {{"x", 2}, {"y", 2}},
    .out = {{"loss", 1}},
    .repeat_in = PAIR,
    .infer = infer,
    .gradient = gradient,
    .loss = true,
    .run = run,
};

const spx_op_record spx_op_squared_difference_bwd = {
    .name = "squared_difference_backward",
    .in = {{"x", 2}, {"y", 2}},
    .out = {{"dx", 2}},
    .run = run_bwd,
};
