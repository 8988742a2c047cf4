/* The supernet's cell: every edge is the softmax-weighted sum of all primitives. */
#include "search/space/cell.h"

#include <stdio.h>

spx_alphas spx_build_alphas(spx_graph *g, const char *name)
{
    /* 1e-3 * N(0, 1), as published. */
    const spx_init init = {SPX_INIT_NORMAL, 1e-3f};
    spx_alphas a;
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        const int64_t dim[2] = {2 + i, SPX_PRIMITIVE_COUNT};
        char full[128];
        (void)snprintf(full, sizeof full, "%s.%d", name, i);
        a.alpha[i] = spx_g_param(g, SPX_ROLE_ARCH, full, 2, dim, init);
        a.weight[i] = spx_g_softmax(g, a.alpha[i], full);
    }
    a.gate = SPX_NO_TENSOR;
    return a;
}

void spx_build_gates(spx_graph *g, spx_alphas *a, const char *name)
{
    const spx_init init = {SPX_INIT_NORMAL, 1e-3f};
    const int64_t dim[2] = {SPX_CELL_SITES, 2};
    a->gate = spx_g_softmax(g, spx_g_param(g, SPX_ROLE_ARCH, name, 2, dim, init), name);
}

/*
 * Node i: one sum over all candidates of all its edges. `none` contributes zero whatever its
 * weight, so it is no term; its alpha still counts in the softmax.
 */
static spx_tid build_node(spx_graph *g, const spx_rectifier *r, spx_cell_state *state, int i,
                          bool reduces, spx_tid weight)
{
    spx_sum_term term[(SPX_CELL_NODES + 1) * SPX_NONE];
    char name[128];
    int k = 0;
    for (int from = 0; from < i + 2; from++) {
        const int64_t stride = reduces && from < 2 ? 2 : 1;
        for (int p = 0; p < SPX_NONE; p++) {
            const spx_tid x = spx_read_state(g, &state[from], from, r, (spx_primitive)p, stride);
            (void)snprintf(name, sizeof name, "%sdag.%d.%d._ops.%d.", r->prefix, i, from, p);
            term[k++] = (spx_sum_term){
                .x = spx_build_primitive(g, x, r->space, (spx_primitive)p, stride, false, name),
                .coef = weight,
                .coef_index = from * SPX_PRIMITIVE_COUNT + p,
                .mask = SPX_NO_TENSOR,
            };
        }
    }
    (void)snprintf(name, sizeof name, "%sdag.%d", r->prefix, i);
    return spx_g_sum(g, k, term, name);
}

spx_tid spx_build_search_cell(spx_graph *g, spx_space space, spx_tid s0, spx_tid s1,
                              int64_t channels, bool previous_reduces, bool reduces,
                              const spx_alphas *a, const char *prefix)
{
    const spx_rectifier rectifier = {.space = space, .gate = a->gate, .prefix = prefix};
    spx_cell_state state[2 + SPX_CELL_NODES];
    spx_tid node[SPX_CELL_NODES];
    char name[128];
    for (int i = 0; i < 2 + SPX_CELL_NODES; i++) {
        state[i].rectified = SPX_NO_TENSOR;
    }
    state[0].plain = spx_build_preprocess(g, s0, channels, previous_reduces,
                                          spx_join(name, prefix, "preproc0."));
    state[1].plain =
        spx_build_preprocess(g, s1, channels, false, spx_join(name, prefix, "preproc1."));
    if (reduces) {
        spx_require_even(g, state[1].plain, prefix);
    }
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        node[i] = build_node(g, &rectifier, state, i, reduces, a->weight[i]);
        state[2 + i].plain = node[i];
    }
    const spx_tid x = spx_g_concat(g, SPX_CELL_NODES, node, spx_join(name, prefix, "concat"));
    return spx_build_relu_conv(g, x, channels, spx_join(name, prefix, "proproc."));
}
