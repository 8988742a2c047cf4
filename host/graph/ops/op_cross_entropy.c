/* Mean softmax cross-entropy: the loss. */
#include "host/graph/autodiff_private.h"
#include "host/graph/exec_private.h"
#include "kernels/nn/loss/loss.h"

/* Inputs, of the gradient as well. */
enum { LOGITS, LABELS, INPUTS };

typedef struct loss_attr {
    float smoothing;
    float weight; /* of the loss, in its gradient */
} loss_attr;
SPX_OP_ATTR(static inline, loss_attr)

spx_tid spx_g_cross_entropy(spx_graph *g, spx_tid logits, spx_tid labels, float smoothing,
                            const char *name)
{
    const spx_attr attr = loss_attr_attr((loss_attr){.smoothing = smoothing});
    return spx_g_append(g, SPX_OP_CROSS_ENTROPY, &attr, INPUTS, (spx_tid[]){logits, labels}, name);
}

static spx_status infer(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    const int64_t n = g->tensor[nd->in[LOGITS]].dim[0];
    const spx_tensor *labels = &g->tensor[nd->in[LABELS]];
    if (labels->dtype != SPX_I32 || labels->dim[0] != n) {
        return SPX_FAIL(SPX_EINVAL, "labels must be int32 (%lld)", (long long)n);
    }
    const float smoothing = loss_attr_of(nd).smoothing;
    if (!(smoothing >= 0.0f && smoothing <= 1.0f)) {
        return SPX_FAIL(SPX_EINVAL, "label smoothing %g is not in 0..1", (double)smoothing);
    }
    *out = (spx_shape){1, {1}};
    return SPX_OK;
}

static void gradient(spx_diff *d, int i, spx_tid dy)
{
    const spx_tid *in = d->g->node[i].in;
    const spx_tid logits = in[LOGITS], labels = in[LABELS];
    (void)dy; /* a loss has none */
    if (!spx_diff_requires(d, logits)) {
        return;
    }
    spx_node *nd = spx_diff_emit_data(d, SPX_OP_CROSS_ENTROPY_BWD, i, INPUTS,
                                      (spx_tid[]){logits, labels}, logits);
    if (nd != NULL) {
        loss_attr a = loss_attr_of(nd);
        a.weight = d->loss_weight;
        nd->attr = loss_attr_attr(a);
    }
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->in[LOGITS]].dim;
    return spx_cross_entropy_forward(e->stream, d[0], d[1], spx_exec_data(e, nd->in[LOGITS]),
                                     spx_exec_data(e, nd->in[LABELS]), loss_attr_of(nd).smoothing,
                                     spx_exec_data(e, nd->out[0]));
}

static spx_status run_bwd(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->in[LOGITS]].dim;
    const loss_attr a = loss_attr_of(nd);
    return spx_cross_entropy_backward(e->stream, d[0], d[1], spx_exec_data(e, nd->in[LOGITS]),
                                      spx_exec_data(e, nd->in[LABELS]), a.smoothing, a.weight,
                                      nd->accumulate[0], spx_exec_data(e, nd->out[0]));
}

const spx_op_record spx_op_cross_entropy = {
    .name = "cross_entropy",
    .in = {{"logits", 2}, {"labels", 1}},
    .out = {{"loss", 1}},
    .infer = infer,
    .gradient = gradient,
    .loss = true,
    .run = run,
};

const spx_op_record spx_op_cross_entropy_bwd = {
    .name = "cross_entropy_backward",
    .in = {{"logits", 2}, {"labels", 1}},
    .out = {{"dlogits", 2}},
    .run = run_bwd,
};
