/* The cell of a final network: two chosen primitives a node, and its ReLUs. */
#include "search/space/cell.h"

#include <assert.h>
#include <stdio.h>

/* The drop-path mask after edge j of node i, or SPX_NO_TENSOR. */
static spx_tid build_mask(spx_graph *g, const spx_final_cell *c, int64_t batch, int i, int j)
{
    char name[128];
    (void)snprintf(name, sizeof name, "dag.%d.%d.1", i, j);
    switch (c->drop_path) {
    case SPX_DROP_PATH_DRAWN:
        return spx_g_drop_mask(
            g, batch, (uint32_t)((c->index * SPX_CELL_NODES + i) * SPX_NODE_EDGES + j), name);
    case SPX_DROP_PATH_BOUND:
        return spx_g_input(g, name, SPX_F32, 1, &batch);
    default:
        return SPX_NO_TENSOR;
    }
}

int spx_cell_site_of(const spx_node *nd)
{
    int site, end = 0;
    return nd->op == SPX_OP_RELU && sscanf(nd->name, "cells.%*d.relu.%1d%n", &site, &end) == 1 &&
                   nd->name[end] == '\0'
               ? site
               : -1;
}

static spx_tid build_node(spx_graph *g, spx_cell_state *from, const spx_final_cell *c, int i)
{
    const spx_rectifier rectifier = {
        .space = c->space, .dropped = c->dropped, .gate = SPX_NO_TENSOR, .prefix = ""};
    spx_sum_term term[SPX_NODE_EDGES];
    char name[128];
    for (int j = 0; j < SPX_NODE_EDGES; j++) {
        const spx_gene *e = &c->genes->edge[i][j];
        assert(e->from >= 0 && e->from < i + 2); /* spx_genotype_check */
        const int64_t stride = c->reduces && e->from < 2 ? 2 : 1;
        const spx_tid x =
            spx_read_state(g, &from[e->from], e->from, &rectifier, e->primitive, stride);
        const bool identity = e->primitive == SPX_SKIP_CONNECT && stride == 1;
        (void)snprintf(name, sizeof name, "dag.%d.%d.0.", i, j);
        term[j] = (spx_sum_term){
            .x = spx_build_primitive(g, x, c->space, e->primitive, stride, true, name),
            .coef = SPX_NO_TENSOR,
            .mask = identity || x == SPX_NO_TENSOR ? SPX_NO_TENSOR
                                                   : build_mask(g, c, g->tensor[x].dim[0], i, j),
        };
    }
    (void)snprintf(name, sizeof name, "dag.%d", i);
    return spx_g_sum(g, SPX_NODE_EDGES, term, name);
}

spx_tid spx_build_final_cell(spx_graph *g, spx_tid s0, spx_tid s1, const spx_final_cell *c)
{
    spx_cell_state from[2 + SPX_CELL_NODES];
    spx_tid node[SPX_CELL_NODES];
    from[0].plain = spx_build_preprocess(g, s0, c->channels, c->previous_reduces, "preproc0.");
    from[1].plain = spx_build_preprocess(g, s1, c->channels, false, "preproc1.");
    if (c->reduces) {
        spx_require_even(g, from[1].plain, "cell");
    }
    from[0].rectified = from[1].rectified = SPX_NO_TENSOR;
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        node[i] = build_node(g, from, c, i);
        from[2 + i] = (spx_cell_state){node[i], SPX_NO_TENSOR};
    }
    spx_tid x = spx_g_concat(g, SPX_CELL_NODES, node, "concat");
    x = spx_build_std_conv(g, x, c->channels, "proproc.");
    return spx_g_relu(g, x, "proproc.net.2");
}
