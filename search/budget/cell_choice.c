#include "search/budget/cell_choice.h"

#include "search/budget/relu_sites.h"
#include "search/space/spec.h"

#include <math.h>
#include <string.h>

#define MASKS (1 << SPX_CELL_SITES)

/* Which masks of a kind of cell are possible. */
typedef bool table[MASKS];

/* The first two cells of a network are deepest, as the stem has no ReLU: of two cells of the kind
 * both are of that sort. */
static spx_status build(spx_network *n, const spx_genotype *g, bool reduce)
{
    const spx_final_spec f = {.genotype = *g,
                              .input = {1, 8, 8},
                              .classes = 2,
                              .init_channels = 2,
                              .layers = 2,
                              .n_reduce = reduce ? 2 : 0,
                              .reduce_at = {0, 1}};
    const spx_final_config c = spx_spec_config(&f, 1);
    return spx_build_spec(n, &f, &c);
}

/* The longest path of convolutions with these states' ReLUs kept. */
static spx_status depth_of(const spx_graph *g, const spx_relu_sites *r, unsigned keep, int *depth)
{
    spx_site site[2 * (SPX_CELL_SITES + 1)] = {{0}};
    const spx_sites s = {r->step, site, r->n_steps, r->n};
    spx_sites_choice c = {.cost = 0};
    for (int i = 0; i < r->n; i++) {
        const int state = spx_cell_site_of(&g->node[r->node[i]]);
        c.keep[i] = state < 0 || (keep >> state & 1) != 0;
    }
    SPX_RETURN_IF(spx_sites_measure(&s, &c));
    *depth = c.depth;
    return SPX_OK;
}

static spx_status fill(table possible, const spx_genotype *g, bool reduce, unsigned there,
                       int max_depth)
{
    spx_relu_sites r;
    spx_network n;
    int limit = 0;
    SPX_RETURN_IF(build(&n, g, reduce));
    spx_status st = spx_relu_sites_of(&r, n.graph, n.logits);
    if (st == SPX_OK) {
        st = depth_of(n.graph, &r, there, &limit);
        limit = limit > max_depth ? limit : max_depth;
    }
    for (unsigned keep = 0; keep < MASKS && st == SPX_OK; keep++) {
        int depth = limit + 1;
        st = (keep & ~there) == 0 ? depth_of(n.graph, &r, keep, &depth) : SPX_OK;
        possible[keep] = depth <= limit;
    }
    spx_relu_sites_clear(&r);
    spx_network_clear(&n);
    return st;
}

static double sum(const double *value, unsigned keep)
{
    double v = 0;
    for (int i = 0; i < SPX_CELL_SITES; i++) {
        v += (keep >> i & 1) != 0 ? value[i] : 0.0;
    }
    return v;
}

static spx_status check(spx_cell_values value)
{
    for (int i = 0; i < 2 * SPX_CELL_SITES; i++) {
        const double v = value[i / SPX_CELL_SITES][i % SPX_CELL_SITES];
        if (!(v >= 0 && v <= 1)) {
            return SPX_FAIL(SPX_EINVAL, "masks: a value of %g, expected 0 to 1", v);
        }
    }
    return SPX_OK;
}

/* Masks in this order: of equal ones the first wins, which keeps states of lower numbers. */
static void choose(spx_cell_masks *out, table possible[2], spx_cell_values value, double all)
{
    spx_cell_mask best[SPX_MAX_CELL_MASKS] = {{{0, 0}, 0}}; /* by sites; value 0: none yet */
    for (unsigned r = 0; r < MASKS; r++) {
        for (unsigned n = 0; n < MASKS; n++) {
            const spx_cell_sites keep = {(uint8_t)n, (uint8_t)r};
            spx_cell_mask *b = &best[spx_cell_sites_count(keep)];
            const double v = 2 + sum(value[0], n) + sum(value[1], r);
            if (possible[0][n] && possible[1][r] && v > b->value) {
                *b = (spx_cell_mask){keep, v};
            }
        }
    }
    out->n = 0;
    for (int k = 0; k < SPX_MAX_CELL_MASKS; k++) {
        if (best[k].value > 0) {
            best[k].value = round(1e6 * best[k].value / all) / 1e6;
            out->mask[out->n++] = best[k];
        }
    }
}

spx_status spx_cell_masks_choose(spx_cell_masks *out, const spx_genotype *g, spx_cell_values value,
                                 int max_depth)
{
    const spx_cell_sites there = spx_genotype_sites(g);
    table possible[2];
    memset(out, 0, sizeof *out);
    SPX_RETURN_IF(check(value));
    SPX_RETURN_IF(fill(possible[0], g, false, there.normal, max_depth));
    SPX_RETURN_IF(fill(possible[1], g, true, there.reduce, max_depth));
    choose(out, possible, value, 2 + sum(value[0], there.normal) + sum(value[1], there.reduce));
    return SPX_OK;
}
