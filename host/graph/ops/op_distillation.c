/* Distillation: the loss of logits beside a teacher's, which get no gradient. */
#include "host/graph/autodiff_private.h"
#include "host/graph/exec_private.h"
#include "kernels/nn/distill/distill.h"

/* Inputs, of the gradient as well. */
enum { LOGITS, TARGET, INPUTS };

typedef struct distillation_attr {
    float temperature;
    float weight; /* of the loss, in its gradient */
} distillation_attr;
SPX_OP_ATTR(static inline, distillation_attr)

spx_tid spx_g_distillation(spx_graph *g, spx_tid logits, spx_tid target, float temperature,
                           const char *name)
{
    const spx_attr attr = distillation_attr_attr((distillation_attr){.temperature = temperature});
    return spx_g_append(g, SPX_OP_DISTILLATION, &attr, INPUTS, (spx_tid[]){logits, target}, name);
}

static spx_status infer(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    const int64_t *x = g->tensor[nd->in[LOGITS]].dim, *t = g->tensor[nd->in[TARGET]].dim;
    if (x[0] != t[0] || x[1] != t[1]) {
        return SPX_FAIL(SPX_EINVAL, "logits are (%lld, %lld), the teacher's (%lld, %lld)",
                        (long long)x[0], (long long)x[1], (long long)t[0], (long long)t[1]);
    }
    *out = (spx_shape){1, {1}};
    return SPX_OK;
}

static void gradient(spx_diff *d, int i, spx_tid dy)
{
    const spx_tid *in = d->g->node[i].in;
    const spx_tid logits = in[LOGITS], target = in[TARGET];
    (void)dy; /* a loss has none */
    if (!spx_diff_requires(d, logits)) {
        return;
    }
    spx_node *nd = spx_diff_emit_data(d, SPX_OP_DISTILLATION_BWD, i, INPUTS,
                                      (spx_tid[]){logits, target}, logits);
    if (nd != NULL) {
        distillation_attr a = distillation_attr_of(nd);
        a.weight = d->loss_weight;
        nd->attr = distillation_attr_attr(a);
    }
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->in[LOGITS]].dim;
    return spx_distillation_forward(
        e->stream, d[0], d[1], spx_exec_data(e, nd->in[LOGITS]), spx_exec_data(e, nd->in[TARGET]),
        distillation_attr_of(nd).temperature, spx_exec_data(e, nd->out[0]));
}

static spx_status run_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->in[LOGITS]].dim;
    const distillation_attr a = distillation_attr_of(nd);
    return spx_distillation_backward(e->stream, d[0], d[1], spx_exec_data(e, nd->in[LOGITS]),
                                     spx_exec_data(e, nd->in[TARGET]), a.temperature, a.weight,
                                     nd->accumulate[0], spx_exec_data(e, nd->out[0]));
}

const spx_op_record spx_op_distillation = {
    .name = "distillation",
    .in = {{"logits", 2}, {"target", 2}},
    .out = {{"loss", 1}},
    .infer = infer,
    .gradient = gradient,
    .loss = true,
    .run = run,
};

const spx_op_record spx_op_distillation_bwd = {
    .name = "distillation_backward",
    .in = {{"logits", 2}, {"target", 2}},
    .out = {{"dlogits", 2}},
    .run = run_bwd,
};
