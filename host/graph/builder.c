/* What the ops' builders (ops/) share, and concatenation, which is no op. */
#include "host/graph/op_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

spx_tid spx_g_param_part(spx_graph *g, spx_role role, const char *name, const char *part, int rank,
                         const int64_t *dim, spx_init init)
{
    char full[256];
    const int n = snprintf(full, sizeof full, "%s%s%s", name, name[0] != '\0' ? "." : "", part);
    if (n < 0 || (size_t)n >= sizeof full) {
        spx_graph_fail(g, SPX_EINVAL, "parameter name too long: %.80s...", name);
        return SPX_NO_TENSOR;
    }
    return spx_g_param(g, role, full, rank, dim, init);
}

static spx_tid copy_of(spx_graph *g, spx_tid x, const char *name)
{
    const spx_sum_term term = {.x = x, .coef = SPX_NO_TENSOR, .mask = SPX_NO_TENSOR};
    return spx_g_sum(g, 1, &term, name);
}

bool spx_g_read_dense(const spx_graph *g, spx_tid t)
{
    for (int i = 0; i < g->n_nodes; i++) {
        const spx_node *nd = &g->node[i];
        for (int k = 0; k < nd->n_in; k++) {
            if (nd->in[k] == t && spx_op_input(spx_op_record_of(nd->op), k)->dense) {
                return true;
            }
        }
    }
    return false;
}

/* spx_g_append with a copy of in[k]. */
static spx_tid append_on_copy(spx_graph *g, spx_op op, const spx_attr *attr, int n_in,
                              const spx_tid *in, const char *name, int k)
{
    spx_tid with[SPX_SLOTS_MAX];
    assert(n_in <= SPX_SLOTS_MAX); /* an op with repeated operands wants none dense */
    memcpy(with, in, sizeof *in * (size_t)n_in);
    with[k] = copy_of(g, in[k], name);
    return with[k] == SPX_NO_TENSOR ? with[k] : spx_g_append(g, op, attr, n_in, with, name);
}

spx_tid spx_g_append(spx_graph *g, spx_op op, const spx_attr *attr, int n_in, const spx_tid *in,
                     const char *name)
{
    const spx_op_record *r = spx_op_record_of(op);
    spx_shape shape[SPX_SLOTS_MAX] = {0};
    int n_out = 0;
    for (int k = 0; k < n_in; k++) {
        const spx_slot *slot = spx_op_input(r, k);
        if (!(slot->optional && in[k] == SPX_NO_TENSOR) &&
            !spx_g_valid(g, in[k], slot->rank, name)) {
            return SPX_NO_TENSOR;
        }
        if (slot->dense && g->tensor[in[k]].parent != SPX_NO_TENSOR) {
            return append_on_copy(g, op, attr, n_in, in, name, k);
        }
    }
    while (r->out[n_out].name != NULL) {
        n_out++;
    }
    assert(n_out >= 1 && n_out < SPX_SLOTS_MAX);
    spx_node *nd = spx_graph_new_node(g, op, n_in, n_out, name);
    if (nd == NULL) {
        return SPX_NO_TENSOR;
    }
    for (int k = 0; k < n_in; k++) {
        nd->in[k] = in[k];
    }
    nd->attr = attr != NULL ? *attr : (spx_attr){{0}};
    const spx_status st = r->infer(g, nd, shape);
    if (st != SPX_OK) {
        spx_g_fail_from(g, st, name);
        return SPX_NO_TENSOR;
    }
    for (int k = 0; k < n_out; k++) {
        const spx_tid t = spx_graph_new_tensor(g, SPX_ROLE_ACTIVATION, SPX_F32, shape[k].rank,
                                               shape[k].dim, NULL);
        nd->out[k] = t;
    }
    return nd->out[0];
}

/* Whether t is read or written as somebody's parent already. */
static bool has_views(const spx_graph *g, spx_tid t)
{
    for (int i = 0; i < g->n_tensors; i++) {
        if (g->tensor[i].parent == t) {
            return true;
        }
    }
    return false;
}

spx_tid spx_g_concat(spx_graph *g, int k, const spx_tid *x, const char *name)
{
    int64_t dim[4] = {0};
    int64_t channels = 0;
    spx_tid y;
    for (int j = 0; j < k; j++) {
        if (!spx_g_valid(g, x[j], 4, name)) {
            return SPX_NO_TENSOR;
        }
        const int64_t *d = g->tensor[x[j]].dim, *f = g->tensor[x[0]].dim;
        if (d[0] != f[0] || d[2] != f[2] || d[3] != f[3]) {
            spx_graph_fail(g, SPX_EINVAL, "%s%s: part %d is %lldx%lld, part 0 is %lldx%lld",
                           g->scope, name, j, (long long)d[2], (long long)d[3], (long long)f[2],
                           (long long)f[3]);
            return SPX_NO_TENSOR;
        }
        channels += d[1];
        memcpy(dim, d, sizeof dim);
    }
    dim[1] = channels;
    y = spx_graph_new_tensor(g, SPX_ROLE_ACTIVATION, SPX_F32, 4, dim, NULL);
    channels = 0;
    for (int j = 0; j < k && y != SPX_NO_TENSOR; j++) {
        spx_tid part = x[j];
        if (g->tensor[part].role != SPX_ROLE_ACTIVATION ||
            g->tensor[part].parent != SPX_NO_TENSOR || has_views(g, part) ||
            spx_g_read_dense(g, part)) {
            part = copy_of(g, part, name);
            if (part == SPX_NO_TENSOR) {
                return SPX_NO_TENSOR;
            }
        }
        g->tensor[part].parent = y;
        g->tensor[part].first = channels;
        channels += g->tensor[part].dim[1];
    }
    return y;
}

spx_status spx_infer_as_input(const spx_graph *g, const spx_node *nd, spx_shape *out)
{
    *out = spx_shape_of(g, nd->in[0]);
    return SPX_OK;
}
