#include "kernels/base/rng.h"
#include "search/bilevel/search_run.h"

static void random_cell(spx_rng *r, spx_cell_genes *c)
{
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        const int states = 2 + i;
        const int first = (int)spx_rng_below(r, (uint32_t)states);
        int second = (int)spx_rng_below(r, (uint32_t)states - 1);
        second += second >= first; /* any state but the first */
        c->edge[i][0].from = first;
        c->edge[i][1].from = second;
        for (int e = 0; e < SPX_NODE_EDGES; e++) {
            c->edge[i][e].primitive = (spx_primitive)spx_rng_below(r, SPX_NONE); /* the last one */
        }
    }
}

void spx_genotype_random(uint64_t seed, spx_genotype *out)
{
    spx_rng r;
    spx_rng_init(&r, seed, SPX_RNG_RANDOM_SEARCH, 0);
    out->space = SPX_SPACE_SPHYNX;
    random_cell(&r, &out->normal);
    random_cell(&r, &out->reduce);
}
