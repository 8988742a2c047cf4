/* Masks of drop-path, drawn from the run's seed and step. */
#include "host/graph/exec_private.h"
#include "kernels/nn/drop_mask/drop_mask.h"

typedef struct mask_attr {
    int64_t n;
    uint32_t key; /* tells masks apart */
} mask_attr;
SPX_OP_ATTR(static inline, mask_attr)

spx_tid spx_g_drop_mask(spx_graph *g, int64_t n, uint32_t key, const char *name)
{
    const spx_attr attr = mask_attr_attr((mask_attr){n, key});
    return spx_g_append(g, SPX_OP_DROP_MASK, &attr, 0, NULL, name);
}

static spx_status infer(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    (void)g;
    *out = (spx_shape){1, {mask_attr_of(nd).n}};
    return SPX_OK;
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const mask_attr a = mask_attr_of(nd);
    const spx_scalars *s = e->b->scalars; /* on CUDA device memory: only addresses are taken */
    if (s == NULL) {
        return SPX_FAIL(SPX_EINVAL, "a binding without the scalars that masks are drawn from");
    }
    return spx_drop_mask(e->stream, a.n, &s->drop_prob, &s->seed, &s->step, a.key,
                         spx_exec_data(e, nd->out[0]));
}

const spx_op_record spx_op_drop_mask = {
    .name = "drop_mask",
    .out = {{"mask", 1}},
    .infer = infer,
    .ends_gradient = true,
    .run = run,
};
