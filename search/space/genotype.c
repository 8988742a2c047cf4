/* What a genotype is: the published one, its check, and how alphas become one. */
#include "search/space/genotype.h"

#include <string.h>

const char *spx_space_name(spx_space s)
{
    static const char *const name[SPX_SPACE_COUNT] = {
        [SPX_SPACE_SPHYNX] = "sphynx", [SPX_SPACE_RELU_OPS] = "relu-ops"};
    return s >= 0 && s < SPX_SPACE_COUNT ? name[s] : "?";
}

/* In both spaces; in RELU_OPS without "van_" before "dil". */
static const char *const primitive_name[SPX_PRIMITIVE_COUNT] = {
    [SPX_AVG_POOL_3X3] = "avg_pool_3x3",
    [SPX_SKIP_CONNECT] = "skip_connect",
    [SPX_VAN_CONV_3X3] = "van_conv_3x3",
    [SPX_VAN_CONV_5X5] = "van_conv_5x5",
    [SPX_VAN_DIL_CONV_3X3] = "van_dil_conv_3x3",
    [SPX_VAN_DIL_CONV_5X5] = "van_dil_conv_5x5",
    [SPX_NONE] = "none",
};

const char *spx_primitive_name(spx_space s, spx_primitive p)
{
    const bool dilated = p == SPX_VAN_DIL_CONV_3X3 || p == SPX_VAN_DIL_CONV_5X5;
    const size_t skip = s == SPX_SPACE_RELU_OPS && dilated ? strlen("van_") : 0;
    return p >= 0 && p < SPX_PRIMITIVE_COUNT ? primitive_name[p] + skip : "?";
}

bool spx_primitive_rectifies(spx_space s, spx_primitive p, int64_t stride)
{
    return s == SPX_SPACE_RELU_OPS && p != SPX_AVG_POOL_3X3 && p != SPX_NONE &&
           (p != SPX_SKIP_CONNECT || stride > 1);
}

static uint8_t cell_sites(spx_space space, const spx_cell_genes *c, bool reduces)
{
    unsigned sites = 0;
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        for (int j = 0; j < SPX_NODE_EDGES; j++) {
            const spx_gene *e = &c->edge[i][j];
            if (spx_primitive_rectifies(space, e->primitive, reduces && e->from < 2 ? 2 : 1)) {
                sites |= 1u << e->from;
            }
        }
    }
    return (uint8_t)sites;
}

spx_cell_sites spx_genotype_sites(const spx_genotype *g)
{
    return (spx_cell_sites){cell_sites(g->space, &g->normal, false),
                            cell_sites(g->space, &g->reduce, true)};
}

const spx_genotype spx_genotype_published = {
    .normal = {{{{SPX_SKIP_CONNECT, 0}, {SPX_SKIP_CONNECT, 1}},
                {{SPX_SKIP_CONNECT, 2}, {SPX_VAN_DIL_CONV_5X5, 0}},
                {{SPX_VAN_CONV_5X5, 2}, {SPX_VAN_DIL_CONV_3X3, 0}},
                {{SPX_VAN_CONV_3X3, 1}, {SPX_SKIP_CONNECT, 2}}}},
    .reduce = {{{{SPX_VAN_CONV_3X3, 0}, {SPX_VAN_CONV_3X3, 1}},
                {{SPX_SKIP_CONNECT, 0}, {SPX_VAN_CONV_3X3, 2}},
                {{SPX_VAN_DIL_CONV_3X3, 0}, {SPX_SKIP_CONNECT, 2}},
                {{SPX_VAN_CONV_5X5, 0}, {SPX_SKIP_CONNECT, 4}}}},
};

static spx_status check_cell(spx_space space, const spx_cell_genes *c, const char *cell)
{
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        for (int j = 0; j < SPX_NODE_EDGES; j++) {
            const spx_gene *e = &c->edge[i][j];
            if (e->primitive < 0 || e->primitive >= SPX_NONE) {
                return SPX_FAIL(
                    SPX_EINVAL, "genotype: %s cell, node %d, edge %d: primitive %d (%s)", cell,
                    i + 2, j, (int)e->primitive, spx_primitive_name(space, e->primitive));
            }
            if (e->from < 0 || e->from >= i + 2) {
                return SPX_FAIL(SPX_EINVAL,
                                "genotype: %s cell, node %d, edge %d: from state %d, must be 0..%d",
                                cell, i + 2, j, e->from, i + 1);
            }
        }
    }
    return SPX_OK;
}

spx_status spx_genotype_check(const spx_genotype *g)
{
    if (g->space < 0 || g->space >= SPX_SPACE_COUNT) {
        return SPX_FAIL(SPX_EINVAL, "genotype: space %d", (int)g->space);
    }
    SPX_RETURN_IF(check_cell(g->space, &g->normal, "normal"));
    return check_cell(g->space, &g->reduce, "reduce");
}

/* Strict comparisons keep the lower index in ties. Edges stay sorted by insertion. */
static void cell_from_alphas(spx_cell_genes *out, const float *const alpha[SPX_CELL_NODES])
{
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        float best[SPX_NODE_EDGES];
        int filled = 0;
        for (int from = 0; from < i + 2; from++) {
            const float *row = alpha[i] + (size_t)from * SPX_PRIMITIVE_COUNT;
            int top = 0;
            for (int p = 1; p < SPX_NONE; p++) {
                top = row[p] > row[top] ? p : top;
            }
            int at = filled;
            while (at > 0 && row[top] > best[at - 1]) {
                at--;
            }
            if (at == SPX_NODE_EDGES) {
                continue;
            }
            filled = filled < SPX_NODE_EDGES ? filled + 1 : filled;
            for (int k = filled - 1; k > at; k--) {
                best[k] = best[k - 1];
                out->edge[i][k] = out->edge[i][k - 1];
            }
            best[at] = row[top];
            out->edge[i][at] = (spx_gene){(spx_primitive)top, from};
        }
    }
}

void spx_genotype_from_alphas(spx_genotype *out, const float *const normal[SPX_CELL_NODES],
                              const float *const reduce[SPX_CELL_NODES])
{
    out->space = SPX_SPACE_SPHYNX;
    cell_from_alphas(&out->normal, normal);
    cell_from_alphas(&out->reduce, reduce);
}
