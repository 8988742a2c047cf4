/* Mean and 1/deviation of a batch norm: of the batch in training, the running ones otherwise. */
#include "host/graph/exec_private.h"
#include "kernels/nn/norm_sum/norm_sum.h"

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

#define MAX_RUNNING 64

static spx_norm_dims dims_of(const spx_graph *g, spx_tid t)
{
    const int64_t *d = g->tensor[t].dim;
    return (spx_norm_dims){.n = d[0], .c = d[1], .hw = d[2] * d[3]};
}

static spx_status run_stats(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_norm_dims d = dims_of(e->g, nd->in[STATS_X]);
    const int pairs = (nd->n_in - STATS_RUNNING) / SPX_RUNNING_INPUTS;
    const int updated = e->b->update_state ? pairs : 0;
    float *running_mean[MAX_RUNNING], *running_var[MAX_RUNNING];
    if (pairs > MAX_RUNNING) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "%d running statistics of one tensor", pairs);
    }
    for (int k = 0; k < pairs; k++) {
        const spx_tid *pair = nd->in + STATS_RUNNING + (ptrdiff_t)k * SPX_RUNNING_INPUTS;
        running_mean[k] = spx_exec_data(e, pair[SPX_RUNNING_MEAN]);
        running_var[k] = spx_exec_data(e, pair[SPX_RUNNING_VAR]);
    }
    return spx_bn_stats(e->stream, &d, spx_exec_operand(e, nd->in[STATS_X]),
                        spx_exec_data(e, nd->out[OUT_MEAN]), spx_exec_data(e, nd->out[OUT_INVSTD]),
                        updated, running_mean, running_var, spx_exec_scratch(e));
}

static size_t scratch_stats(const spx_exec *e, const spx_node *nd)
{
    const spx_norm_dims d = dims_of(e->g, nd->in[STATS_X]);
    return spx_bn_stats_workspace(e->stream, &d);
}

static spx_status run_running(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t c = e->g->tensor[nd->in[SPX_RUNNING_MEAN]].dim[0];
    return spx_bn_running(e->stream, c, spx_exec_data(e, nd->in[SPX_RUNNING_MEAN]),
                          spx_exec_data(e, nd->in[SPX_RUNNING_VAR]),
                          spx_exec_data(e, nd->out[OUT_MEAN]),
                          spx_exec_data(e, nd->out[OUT_INVSTD]));
}

/* Its gradient is part of that of the norm sum that reads it. */
const spx_op_record spx_op_bn_stats = {
    .name = "bn_stats",
    .in = {{"x", 4}, {"running_mean", 1, .updated = true}, {"running_var", 1, .updated = true}},
    .repeat_in = SPX_RUNNING_INPUTS,
    .out = {{"mean", 1}, {"invstd", 1}},
    .infer = infer_stats,
    .ends_gradient = true,
    .run = run_stats,
    .scratch = scratch_stats,
    .merges_twins = true,
};

const spx_op_record spx_op_bn_running = {
    .name = "bn_running",
    .in = {{"running_mean", 1}, {"running_var", 1}},
    .out = {{"mean", 1}, {"invstd", 1}},
    .infer = infer_running,
    .run = run_running,
};
