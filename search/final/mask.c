#include "search/final/mask.h"

#include "kernels/base/alloc.h"

#include <assert.h>
#include <string.h>

int64_t spx_mask_site_positions(const spx_mask_site *s)
{
    return s->c * s->h * s->w;
}

/* The site of a node with a mask. */
static spx_status locate(spx_mask_site *s, const spx_graph *g, const spx_node *nd,
                         const spx_layout *l, const spx_buffer *state)
{
    const spx_tensor *m = &g->tensor[nd->in[SPX_RELU_MASK]];
    const spx_layout_entry *e = spx_layout_find(l, m->name);
    if (e == NULL || e->role != m->role || e->count != spx_tensor_count(m)) {
        return SPX_FAIL(SPX_EINVAL, "masks: '%s' is not in the layout", m->name);
    }
    *s = (spx_mask_site){nd->name,  nd->block, m->dim[0],
                         m->dim[1], m->dim[2], (float *)state->data + e->offset};
    return SPX_OK;
}

spx_status spx_masks_of(spx_masks *out, const spx_final_spec *f, const spx_layout *l,
                        const spx_buffer *state)
{
    const spx_final_config c = spx_spec_config(f, 1);
    const spx_role role = f->masks_trained ? SPX_ROLE_ARCH : SPX_ROLE_STATE;
    spx_network n = {0};
    spx_status st;
    memset(out, 0, sizeof *out);
    SPX_RETURN_IF(spx_buffer_check(state, SPX_DEVICE_CPU, spx_layout_bytes(l, role), "masks"));
    SPX_TRY(st, spx_build_spec(&n, f, &c), end);
    SPX_TRY(st, SPX_NEW(out->site, (size_t)n.graph->n_nodes), end);
    for (int i = 0; i < n.graph->n_nodes; i++) {
        const spx_node *nd = &n.graph->node[i];
        if (nd->op == SPX_OP_RELU && nd->in[SPX_RELU_MASK] != SPX_NO_TENSOR) {
            SPX_TRY(st, locate(&out->site[out->n++], n.graph, nd, l, state), end);
        }
    }
    out->graph = n.graph; /* which has the names */
    n.graph = NULL;
end:
    spx_network_clear(&n);
    if (st != SPX_OK) {
        spx_masks_clear(out);
    }
    return st;
}

void spx_masks_clear(spx_masks *m)
{
    spx_buffer_free(&m->own);
    spx_free(m->site);
    spx_graph_destroy(m->graph);
    memset(m, 0, sizeof *m);
}

int64_t spx_mask_site_relus(const spx_mask_site *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < spx_mask_site_positions(s); i++) {
        n += s->keep[i] != 0.0f;
    }
    return n;
}

int64_t spx_masks_relus(const spx_masks *m)
{
    int64_t n = 0;
    for (int i = 0; i < m->n; i++) {
        n += spx_mask_site_relus(&m->site[i]);
    }
    return n;
}

void spx_masks_audit(const spx_masks *m, spx_audit *a)
{
    int site = 0; /* both are in graph order */
    for (int l = 0; m->n > 0 && l < a->n; l++) {
        spx_relu_count *r = &a->layer[l].relus;
        r->kept = 0;
        r->masked = true;
        for (int k = 0; k < a->layer[l].relu_nodes; k++) {
            assert(site < m->n);
            r->kept += spx_mask_site_relus(&m->site[site++]);
        }
    }
    assert(m->n == 0 || site == m->n);
    if (m->n > 0) {
        a->relus.kept = spx_masks_relus(m);
        a->relus.masked = true;
    }
}
