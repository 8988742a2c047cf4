/*
 * Placement by size (Pisarchyk and Lee, arXiv 2001.03288, "greedy by size"): largest tensor
 * first, each at the lowest place free over its whole life.
 */
#include "host/graph/placement_private.h"

#include "host/graph/graph_private.h"

#include <assert.h>
#include <stdlib.h>

typedef struct block {
    spx_tid tensor;
    int first, last; /* nodes */
    int64_t size, offset;
} block;

static int by_size(const void *pa, const void *pb)
{
    const block *a = pa, *b = pb;
    if (a->size != b->size) {
        return a->size > b->size ? -1 : 1;
    }
    return a->tensor < b->tensor ? -1 : 1;
}

static int by_offset(const void *pa, const void *pb)
{
    const block *const *a = pa, *const *b = pb;
    if ((*a)->offset != (*b)->offset) {
        return (*a)->offset < (*b)->offset ? -1 : 1;
    }
    return 0;
}

static void touch(block *life, const spx_graph *g, spx_tid t, int node)
{
    if (t == SPX_NO_TENSOR) {
        return;
    }
    const spx_tid root = spx_root(g, t);
    if (g->tensor[root].role != SPX_ROLE_ACTIVATION) {
        return;
    }
    if (life[root].first < 0) {
        life[root].first = node;
    }
    life[root].last = node;
}

/* Lives of all activations; returns how many there are, gathered at the front. */
static int find_lives(block *life, const spx_graph *g, const spx_placement_options *o)
{
    int n = 0;
    for (int t = 0; t < g->n_tensors; t++) {
        life[t] = (block){.tensor = t, .first = -1, .last = -1};
    }
    for (int i = 0; i < g->n_nodes; i++) {
        for (int k = 0; k < g->node[i].n_in; k++) {
            touch(life, g, g->node[i].in[k], i);
        }
        for (int k = 0; k < g->node[i].n_out; k++) {
            touch(life, g, g->node[i].out[k], i);
        }
    }
    for (int k = 0; k < o->n_keep; k++) {
        const spx_tid root = spx_root(g, o->keep[k]);
        if (life[root].first >= 0) {
            life[root].last = g->n_nodes;
        }
    }
    for (int t = 0; t < g->n_tensors; t++) {
        if (life[t].first >= 0) {
            life[n] = life[t];
            life[n].last += o->slack;
            life[n++].size = ((int64_t)o->size[t] + o->align - 1) / o->align * o->align;
        }
    }
    return n;
}

/* The lowest offset at which b fits among the placed blocks that live while it does. */
static int64_t lowest_place(const block *b, block *placed, int n, block **alive)
{
    int64_t at = 0;
    int m = 0;
    for (int i = 0; i < n; i++) {
        if (placed[i].first <= b->last && b->first <= placed[i].last) {
            alive[m++] = &placed[i];
        }
    }
    qsort(alive, (size_t)m, sizeof(block *), by_offset);
    for (int i = 0; i < m; i++) {
        if (alive[i]->offset - at >= b->size) {
            break;
        }
        if (alive[i]->offset + alive[i]->size > at) {
            at = alive[i]->offset + alive[i]->size;
        }
    }
    return at;
}

spx_status spx_place_memory(const spx_graph *g, const spx_placement_options *o, int64_t *offset,
                            int64_t *bytes)
{
    block *life = malloc(sizeof *life * ((size_t)g->n_tensors + 1));
    block **alive = malloc(sizeof *alive * ((size_t)g->n_tensors + 1));
    int n;
    assert(o->align > 0 && o->slack >= 0);
    *bytes = 0;
    if (life == NULL || alive == NULL) {
        free(life);
        free(alive);
        return SPX_FAIL(SPX_ENOMEM, "placement of %d tensors", g->n_tensors);
    }
    n = find_lives(life, g, o);
    qsort(life, (size_t)n, sizeof *life, by_size);
    for (int t = 0; t < g->n_tensors; t++) {
        offset[t] = -1;
    }
    for (int i = 0; i < n; i++) {
        life[i].offset = lowest_place(&life[i], life, i, alive);
        offset[life[i].tensor] = life[i].offset;
        if (life[i].offset + life[i].size > *bytes) {
            *bytes = life[i].offset + life[i].size;
        }
    }
    free(life);
    free(alive);
    return SPX_OK;
}
