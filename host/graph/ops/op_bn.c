/* Mean and 1/deviation of a batch norm: of the batch in training, the running ones otherwise. */
#include "host/graph/op_private.h"

#include <string.h>

/* Inputs of BN_STATS: x, then any number of pairs of running statistics. */
enum { STATS_X, STATS_RUNNING, STATS_INPUTS = STATS_RUNNING + SPX_RUNNING_INPUTS };
enum { OUT_MEAN, OUT_INVSTD };

spx_tid spx_g_batch_norm(spx_graph *g, spx_tid x, const char *name, bool affine)
{
    const spx_init one = {SPX_INIT_CONSTANT, 1.0f}, zero = {SPX_INIT_CONSTANT, 0.0f};
    spx_tid term[SPX_TERM_FIELDS], in[STATS_INPUTS];
    int64_t c;
    if (!spx_g_valid(g, x, 4, name)) {
        return SPX_NO_TENSOR;
    }
    for (int k = 0; k < SPX_TERM_FIELDS; k++) {
        term[k] = SPX_NO_TENSOR;
    }
    c = g->tensor[x].dim[1];
    if (affine) {
        term[SPX_TERM_GAMMA] = spx_g_param_part(g, SPX_ROLE_WEIGHT, name, "weight", 1, &c, one);
        term[SPX_TERM_BETA] = spx_g_param_part(g, SPX_ROLE_WEIGHT, name, "bias", 1, &c, zero);
    }
    in[STATS_X] = x;
    in[STATS_RUNNING + SPX_RUNNING_MEAN] =
        spx_g_param_part(g, SPX_ROLE_STATE, name, "running_mean", 1, &c, zero);
    in[STATS_RUNNING + SPX_RUNNING_VAR] =
        spx_g_param_part(g, SPX_ROLE_STATE, name, "running_var", 1, &c, one);
    term[SPX_TERM_X] = x;
    term[SPX_TERM_MEAN] = g->training
                              ? spx_g_append(g, SPX_OP_BN_STATS, NULL, STATS_INPUTS, in, name)
                              : spx_g_append(g, SPX_OP_BN_RUNNING, NULL, SPX_RUNNING_INPUTS,
                                             in + STATS_RUNNING, name);
    if (term[SPX_TERM_MEAN] == SPX_NO_TENSOR) {
        return SPX_NO_TENSOR;
    }
    term[SPX_TERM_INVSTD] = g->node[g->n_nodes - 1].out[OUT_INVSTD];
    return spx_g_append(g, SPX_OP_NORM_SUM, NULL, SPX_TERM_FIELDS, term, name);
}

static spx_status infer_stats(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    out[OUT_MEAN] = out[OUT_INVSTD] = (spx_shape){1, {g->tensor[nd->in[STATS_X]].dim[1]}};
    return SPX_OK;
}

static spx_status infer_running(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    out[OUT_MEAN] = out[OUT_INVSTD] = spx_shape_of(g, nd->in[SPX_RUNNING_MEAN]);
    return SPX_OK;
}

/* Its gradient is part of that of the norm sum that reads it. */
const spx_op_record spx_op_bn_stats = {
    .name = "bn_stats",
    .in = {{"x", 4}, {"running_mean", 1, .updated = true}, {"running_var", 1, .updated = true}},
    .repeat_in = SPX_RUNNING_INPUTS,
    .out = {{"mean", 1}, {"invstd", 1}},
    .infer = infer_stats,
    .ends_gradient = true,
};

const spx_op_record spx_op_bn_running = {
    .name = "bn_running",
    .in = {{"running_mean", 1}, {"running_var", 1}},
    .out = {{"mean", 1}, {"invstd", 1}},
    .infer = infer_running,
};
