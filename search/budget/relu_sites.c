#include "search/budget/relu_sites.h"

#include "kernels/base/alloc.h"

#include <string.h>

typedef struct maker {
    const spx_graph *g;
    spx_relu_sites *out;
    size_t room_steps;
    int *value;   /* [n_tensors]: the step that makes it; -1: it has no depth */
    bool *needed; /* [n_tensors] */
} maker;

static spx_status add(maker *m, spx_sites_kind kind, int x, int y, int *made)
{
    spx_relu_sites *o = m->out;
    const size_t n = (size_t)o->n_steps;
    SPX_RETURN_IF(SPX_GROW(o->step, n, m->room_steps));
    o->step[n] = (spx_sites_step){.kind = kind, .x = {x, y}};
    *made = o->n_steps++;
    return SPX_OK;
}

/* *sum becomes the step that is as deep as both; -1 is none. */
static spx_status join(maker *m, int *sum, int x)
{
    if (x < 0 || *sum == x) {
        return SPX_OK;
    }
    if (*sum < 0) {
        *sum = x;
        return SPX_OK;
    }
    return add(m, SPX_SITES_JOIN, *sum, x, sum);
}

static bool is_needed(const maker *m, const spx_node *nd)
{
    for (int k = 0; k < nd->n_out; k++) {
        const spx_tid t = nd->out[k], parent = m->g->tensor[t].parent;
        if (m->needed[t] || (parent != SPX_NO_TENSOR && m->needed[parent])) {
            return true;
        }
    }
    return false;
}

/* From the output back. */
static void mark_needed(maker *m, spx_tid output)
{
    m->needed[output] = true;
    for (int i = m->g->n_nodes - 1; i >= 0; i--) {
        const spx_node *nd = &m->g->node[i];
        for (int k = 0; is_needed(m, nd) && k < nd->n_in; k++) {
            if (nd->in[k] != SPX_NO_TENSOR) {
                m->needed[nd->in[k]] = true;
            }
        }
    }
}

static spx_status read_operand(maker *m, spx_tid t, int *x)
{
    const spx_tensor *p;
    if (t == SPX_NO_TENSOR) {
        return SPX_OK;
    }
    p = &m->g->tensor[t];
    if (p->role == SPX_ROLE_INPUT && p->rank == 4 && m->value[t] < 0) { /* the image */
        SPX_RETURN_IF(add(m, SPX_SITES_FRESH, -1, -1, &m->value[t]));
    }
    return join(m, x, m->value[t]);
}

static spx_status add_site(maker *m, int node, int *x)
{
    spx_relu_sites *o = m->out;
    if (o->n == SPX_SITES_MAX) {
        return SPX_FAIL(SPX_EINVAL, "more than %d ReLU layers", SPX_SITES_MAX);
    }
    SPX_RETURN_IF(add(m, SPX_SITES_RELU, *x, -1, x));
    o->step[*x].site = o->n;
    o->node[o->n++] = node;
    return SPX_OK;
}

static spx_status add_node(maker *m, int i)
{
    const spx_node *nd = &m->g->node[i];
    int x = -1;
    for (int k = 0; k < nd->n_in; k++) {
        SPX_RETURN_IF(read_operand(m, nd->in[k], &x));
    }
    if (x < 0) { /* of parameters alone: it moves with them, not with the image */
        return SPX_OK;
    }
    switch (nd->op) {
    case SPX_OP_CONV2D:
    case SPX_OP_LINEAR:
        SPX_RETURN_IF(add(m, SPX_SITES_CONV, x, -1, &x));
        break;
    case SPX_OP_MAX_POOL:
        SPX_RETURN_IF(add(m, SPX_SITES_FRESH, x, -1, &x));
        break;
    case SPX_OP_RELU:
        SPX_RETURN_IF(add_site(m, i, &x));
        break;
    default:
        break;
    }
    for (int k = 0; k < nd->n_out; k++) {
        const spx_tid parent = m->g->tensor[nd->out[k]].parent;
        m->value[nd->out[k]] = x;
        if (parent != SPX_NO_TENSOR && m->needed[parent]) { /* a part of a concatenation */
            SPX_RETURN_IF(join(m, &m->value[parent], x));
        }
    }
    return SPX_OK;
}

static spx_status make(maker *m, spx_tid output)
{
    const spx_graph *g = m->g;
    int unused;
    SPX_RETURN_IF(SPX_NEW(m->value, (size_t)g->n_tensors));
    SPX_RETURN_IF(SPX_NEW(m->needed, (size_t)g->n_tensors));
    SPX_RETURN_IF(SPX_NEW(m->out->node, SPX_SITES_MAX));
    for (int t = 0; t < g->n_tensors; t++) {
        m->value[t] = -1;
    }
    mark_needed(m, output);
    for (int i = 0; i < g->n_nodes; i++) {
        if (is_needed(m, &g->node[i])) {
            SPX_RETURN_IF(add_node(m, i));
        }
    }
    if (m->value[output] < 0) {
        return SPX_FAIL(SPX_EINVAL, "a network whose output does not depend on the image");
    }
    /* the output is the last step */
    return m->value[output] == m->out->n_steps - 1
               ? SPX_OK
               : add(m, SPX_SITES_JOIN, m->value[output], -1, &unused);
}

spx_status spx_relu_sites_of(spx_relu_sites *out, const spx_graph *g, spx_tid output)
{
    maker m = {.g = g, .out = out};
    memset(out, 0, sizeof *out);
    const spx_status st = make(&m, output);
    spx_free(m.value);
    spx_free(m.needed);
    if (st != SPX_OK) {
        spx_relu_sites_clear(out);
    }
    return st;
}

void spx_relu_sites_clear(spx_relu_sites *s)
{
    spx_free(s->step);
    spx_free(s->node);
    memset(s, 0, sizeof *s);
}
