/*
 * Rematerialisation (Chen et al., arXiv 1604.06174, with a cost model): activations whose bytes are
 * cheapest to make again are dropped after the forward pass and recomputed just before the backward
 * pass needs them. Values are the same to the bit. Candidates are convolutions, pools and, where
 * asked for, lone norms: their inputs are kept for the backward pass anyway.
 */
#include "host/graph/exec_private.h"
#include "host/graph/passes_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct redoable {
    int node;
    double flops, bytes;
} redoable;

typedef struct remat {
    spx_graph *g;
    int n_forward;
    bool *chosen;  /* [n_forward] */
    int *producer; /* [tensors] forward node, or -1 */
    spx_tid *twin; /* [tensors] recomputed tensor, or SPX_NO_TENSOR */
    int n_tensors; /* before the pass */
    spx_node *out; /* the new list */
    int n_out;
} remat;

static int cheapest_first(const void *pa, const void *pb)
{
    const redoable *a = pa, *b = pb;
    const double x = a->flops * b->bytes, y = b->flops * a->bytes;
    if (x != y) {
        return x < y ? -1 : 1;
    }
    return a->node < b->node ? -1 : 1; /* the earlier, the longer it would have to be kept */
}

/* Marks the forward nodes to recompute: least work per byte first, up to share of all work. */
static void choose(remat *r, redoable *list, double share, bool norms)
{
    const spx_graph *g = r->g;
    double budget = 0;
    int n = 0;
    for (int i = 0; i < r->n_forward; i++) {
        const spx_node *nd = &g->node[i];
        const spx_op_record *op = spx_op_record_of(nd->op);
        const bool norm = op->sum;
        const double flops = op->redo != NULL ? op->redo(g, nd) : 0;
        if (flops == 0 || (norm && !norms)) {
            continue;
        }
        budget += norm ? 0 : share * flops;
        if (g->tensor[nd->out[0]].parent == SPX_NO_TENSOR) {
            list[n++] = (redoable){i, flops, (double)spx_tensor_count(&g->tensor[nd->out[0]])};
        }
    }
    qsort(list, (size_t)n, sizeof *list, cheapest_first);
    for (int k = 0; k < n; k++) {
        if (list[k].flops <= budget) {
            budget -= list[k].flops;
            r->chosen[list[k].node] = true;
        }
    }
}

/* The tensor the backward pass reads instead of t; appends the recomputation on first need. */
static spx_tid twin_of(remat *r, spx_tid t)
{
    spx_graph *g = r->g;
    if (t == SPX_NO_TENSOR || t >= r->n_tensors || r->twin[t] != SPX_NO_TENSOR) {
        return t == SPX_NO_TENSOR || t >= r->n_tensors ? t : r->twin[t];
    }
    const spx_tid root = spx_root(g, t);
    const int p = r->producer[root];
    int64_t dim[SPX_MAX_RANK];
    if (p < 0 || !r->chosen[p]) {
        r->twin[t] = t;
        return t;
    }
    memcpy(dim, g->tensor[t].dim, sizeof dim);
    if (root != t) {
        const spx_tid whole = twin_of(r, root);
        const spx_tid part =
            spx_graph_new_tensor(g, SPX_ROLE_ACTIVATION, SPX_F32, g->tensor[t].rank, dim, NULL);
        if (part != SPX_NO_TENSOR) {
            g->tensor[part].parent = whole;
            g->tensor[part].first = g->tensor[t].first;
        }
        r->twin[t] = part;
        return part;
    }
    const int n_in = g->node[p].n_in;
    spx_tid in[SPX_TERM_FIELDS];
    _Static_assert((int)SPX_CONV2D_INPUTS <= (int)SPX_TERM_FIELDS, "room for a convolution's, too");
    assert(n_in <= SPX_TERM_FIELDS && g->node[p].n_out == 1);
    for (int k = 0; k < n_in; k++) {
        in[k] = twin_of(r, g->node[p].in[k]);
    }
    r->twin[t] =
        spx_graph_new_tensor(g, SPX_ROLE_ACTIVATION, SPX_F32, g->tensor[t].rank, dim, NULL);
    /* Appended to the graph to own its memory, then moved to its place in the new list. */
    spx_node *nd = spx_graph_new_node(g, g->node[p].op, n_in, 1, g->node[p].name);
    if (nd != NULL) {
        memcpy(nd->in, in, sizeof(spx_tid) * (size_t)n_in);
        nd->out[0] = r->twin[t];
        nd->attr = g->node[p].attr;
        nd->relu = g->node[p].relu;
        nd->coef_index[0] = g->node[p].coef_index[0];
        nd->block = g->node[p].block;
        nd->auxiliary = g->node[p].auxiliary;
        r->out[r->n_out++] = *nd;
        g->n_nodes--; /* the copy in the list owns the arrays now */
    }
    return r->twin[t];
}

static spx_status rewrite_backward(remat *r)
{
    spx_graph *g = r->g;
    const int n_nodes = g->n_nodes;
    memcpy(r->out, g->node, sizeof *r->out * (size_t)r->n_forward);
    r->n_out = r->n_forward;
    for (int i = r->n_forward; i < n_nodes; i++) {
        for (int k = 0; k < g->node[i].n_in; k++) {
            g->node[i].in[k] = twin_of(r, g->node[i].in[k]);
        }
        r->out[r->n_out++] = g->node[i];
    }
    free(g->node);
    g->node = r->out;
    g->n_nodes = r->n_out;
    g->room_nodes = (size_t)(n_nodes + r->n_forward);
    r->out = NULL;
    return spx_graph_status(g);
}

spx_status spx_pass_recompute(spx_graph *g, int n_forward, float share, bool norms)
{
    const size_t n = (size_t)g->n_tensors + 1, m = (size_t)g->n_nodes + (size_t)n_forward + 1;
    redoable *list = malloc(sizeof *list * ((size_t)n_forward + 1));
    remat r = {.g = g,
               .n_forward = n_forward,
               .n_tensors = g->n_tensors,
               .chosen = calloc((size_t)n_forward + 1, sizeof(bool)),
               .producer = malloc(n * sizeof(int)),
               .twin = malloc(n * sizeof(spx_tid)),
               .out = malloc(m * sizeof(spx_node))};
    spx_status st = SPX_OK;
    if (list == NULL || r.chosen == NULL || r.producer == NULL || r.twin == NULL || r.out == NULL) {
        st = SPX_FAIL(SPX_ENOMEM, "pass over %d nodes", g->n_nodes);
    } else {
        for (int t = 0; t < g->n_tensors; t++) {
            r.producer[t] = -1;
            r.twin[t] = SPX_NO_TENSOR;
        }
        for (int i = 0; i < n_forward; i++) {
            for (int k = 0; k < g->node[i].n_out; k++) {
                if (g->node[i].out[k] != SPX_NO_TENSOR) {
                    r.producer[g->node[i].out[k]] = i;
                }
            }
        }
        choose(&r, list, (double)share, norms);
        st = rewrite_backward(&r);
    }
    free(list);
    free(r.chosen);
    free(r.producer);
    free(r.twin);
    free(r.out);
    return st;
}
