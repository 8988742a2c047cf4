#define _DEFAULT_SOURCE
#include "host/graph/graph.h"

#include "host/graph/op_private.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const spx_op_record *spx_op_record_of(spx_op op)
{
    static const spx_op_record *const records[SPX_OP_COUNT] = {
#define SPX_OP_ROW(NAME, record) [SPX_OP_##NAME] = &spx_op_##record,
        SPX_OPS(SPX_OP_ROW)
#undef SPX_OP_ROW
    };
    assert((unsigned)op < (unsigned)SPX_OP_COUNT);
    return records[op];
}

int spx_op_fixed(const spx_slot *list, int repeat)
{
    int n = 0;
    while (list[n].name != NULL) {
        n++;
    }
    assert(repeat >= 0 && repeat <= n && n < SPX_SLOTS_MAX);
    return n - repeat;
}

/* Slot k of a list whose last `repeat` ones repeat. */
static const spx_slot *slot_of(const spx_slot *list, int repeat, int k)
{
    const int fixed = spx_op_fixed(list, repeat);
    if (k >= fixed && repeat > 0) {
        k = fixed + (k - fixed) % repeat;
    }
    return k < fixed + repeat ? &list[k] : NULL;
}

const spx_slot *spx_op_input(const spx_op_record *r, int k)
{
    return slot_of(r->in, r->repeat_in, k);
}

const spx_slot *spx_op_output(const spx_op_record *r, int k)
{
    return slot_of(r->out, r->repeat_out, k);
}

const char *spx_op_name(spx_op op)
{
    return (unsigned)op < (unsigned)SPX_OP_COUNT ? spx_op_record_of(op)->name : "unknown";
}

spx_status spx_graph_create(spx_graph **out, bool training)
{
    spx_graph *g = calloc(1, sizeof *g);
    *out = g;
    if (g == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "graph");
    }
    g->training = training;
    g->block = -1;
    return SPX_OK;
}

void spx_g_clear_node(spx_node *nd)
{
    free(nd->in);
    free(nd->out);
    free(nd->accumulate);
    free(nd->coef_index);
    free(nd->name);
}

void spx_graph_destroy(spx_graph *g)
{
    if (g == NULL) {
        return;
    }
    for (int i = 0; i < g->n_tensors; i++) {
        free(g->tensor[i].name);
    }
    for (int i = 0; i < g->n_nodes; i++) {
        spx_g_clear_node(&g->node[i]);
    }
    free(g->tensor);
    free(g->node);
    free(g);
}

void spx_graph_fail(spx_graph *g, spx_status st, const char *fmt, ...)
{
    va_list ap;
    if (g->status != SPX_OK) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(g->error, sizeof g->error, fmt, ap);
    va_end(ap);
    g->status = st;
}

spx_status spx_graph_status(const spx_graph *g)
{
    return g->status == SPX_OK ? SPX_OK : SPX_FAIL(g->status, "%s", g->error);
}

void spx_g_section(spx_graph *g, int block, bool auxiliary)
{
    g->block = block;
    g->auxiliary = auxiliary;
}

void spx_g_scope(spx_graph *g, const char *fmt, ...)
{
    va_list ap;
    int n;
    va_start(ap, fmt);
    n = vsnprintf(g->scope, sizeof g->scope, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof g->scope) {
        spx_graph_fail(g, SPX_EINVAL, "scope name too long: %.80s...", g->scope);
    }
}

/* scope + name, malloc'd; NULL for a NULL name or when out of memory. */
static char *full_name(const spx_graph *g, const char *name)
{
    char *s;
    size_t a, b;
    if (name == NULL) {
        return NULL;
    }
    a = strlen(g->scope);
    b = strlen(name);
    s = malloc(a + b + 1);
    if (s != NULL) {
        memcpy(s, g->scope, a);
        memcpy(s + a, name, b + 1);
    }
    return s;
}

spx_tid spx_graph_new_tensor(spx_graph *g, spx_role role, spx_dtype dtype, int rank,
                             const int64_t *dim, const char *name)
{
    spx_tensor *t;
    int64_t count = 1;
    if (g->status != SPX_OK) {
        return SPX_NO_TENSOR;
    }
    if (rank < 1 || rank > SPX_MAX_RANK) {
        spx_graph_fail(g, SPX_EINVAL, "%s: rank %d", name != NULL ? name : "tensor", rank);
        return SPX_NO_TENSOR;
    }
    for (int i = 0; i < rank; i++) {
        if (dim[i] < 1 || !spx_mul_i64(count, dim[i], &count) || count > SPX_MAX_ELEMENTS) {
            spx_graph_fail(g, SPX_EINVAL, "%s%s: dimension %d is %lld: too small or too large",
                           g->scope, name != NULL ? name : "tensor", i, (long long)dim[i]);
            return SPX_NO_TENSOR;
        }
    }
    if (SPX_GROW(g->tensor, (size_t)g->n_tensors, g->room_tensors) != SPX_OK) {
        spx_graph_fail(g, SPX_ENOMEM, "graph of %d tensors", g->n_tensors);
        return SPX_NO_TENSOR;
    }
    t = &g->tensor[g->n_tensors];
    *t = (spx_tensor){.dtype = dtype, .role = role, .rank = rank, .parent = SPX_NO_TENSOR};
    for (int i = 0; i < SPX_MAX_RANK; i++) {
        t->dim[i] = i < rank ? dim[i] : 1;
    }
    t->name = full_name(g, name);
    if (name != NULL && t->name == NULL) {
        spx_graph_fail(g, SPX_ENOMEM, "tensor name");
        return SPX_NO_TENSOR;
    }
    return g->n_tensors++;
}

spx_node *spx_graph_new_node(spx_graph *g, spx_op op, int n_in, int n_out, const char *name)
{
    spx_node *nd;
    if (g->status != SPX_OK) {
        return NULL;
    }
    if (SPX_GROW(g->node, (size_t)g->n_nodes, g->room_nodes) != SPX_OK) {
        spx_graph_fail(g, SPX_ENOMEM, "graph of %d nodes", g->n_nodes);
        return NULL;
    }
    nd = &g->node[g->n_nodes];
    *nd = (spx_node){.op = op,
                     .n_in = n_in,
                     .n_out = n_out,
                     .block = g->block,
                     .auxiliary = g->auxiliary,
                     .in = malloc(sizeof(spx_tid) * (size_t)(n_in > 0 ? n_in : 1)),
                     .out = malloc(sizeof(spx_tid) * (size_t)(n_out > 0 ? n_out : 1)),
                     .accumulate = calloc((size_t)(n_out > 0 ? n_out : 1), sizeof(bool)),
                     .coef_index = calloc((size_t)n_in / SPX_TERM_FIELDS + 1, sizeof(int32_t)),
                     .name = full_name(g, name != NULL ? name : "")};
    g->n_nodes++; /* from here spx_graph_destroy frees it */
    if (nd->in == NULL || nd->out == NULL || nd->accumulate == NULL || nd->coef_index == NULL ||
        nd->name == NULL) {
        nd->n_in = nd->n_out = 0;
        spx_graph_fail(g, SPX_ENOMEM, "graph of %d nodes", g->n_nodes);
        return NULL;
    }
    for (int i = 0; i < n_in; i++) {
        nd->in[i] = SPX_NO_TENSOR;
    }
    for (int i = 0; i < n_out; i++) {
        nd->out[i] = SPX_NO_TENSOR;
    }
    return nd;
}

static spx_status copy_node(spx_graph *g, const spx_node *from)
{
    const size_t coefs = (size_t)from->n_in / SPX_TERM_FIELDS + 1;
    spx_node *nd = spx_graph_new_node(g, from->op, from->n_in, from->n_out, from->name);
    if (nd == NULL) {
        return spx_graph_status(g);
    }
    memcpy(nd->in, from->in, sizeof(spx_tid) * (size_t)from->n_in);
    memcpy(nd->out, from->out, sizeof(spx_tid) * (size_t)from->n_out);
    memcpy(nd->accumulate, from->accumulate, sizeof(bool) * (size_t)from->n_out);
    memcpy(nd->coef_index, from->coef_index, sizeof(int32_t) * coefs);
    nd->attr = from->attr;
    nd->relu = from->relu;
    nd->block = from->block;
    nd->auxiliary = from->auxiliary;
    return SPX_OK;
}

spx_status spx_graph_clone(spx_graph **out, const spx_graph *g)
{
    spx_graph *c;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(spx_graph_status(g));
    SPX_RETURN_IF(spx_graph_create(&c, g->training));
    for (int i = 0; i < g->n_tensors; i++) {
        const spx_tensor *t = &g->tensor[i];
        const spx_tid id = spx_graph_new_tensor(c, t->role, t->dtype, t->rank, t->dim, t->name);
        SPX_TRY(st, spx_graph_status(c), fail);
        c->tensor[id].parent = t->parent;
        c->tensor[id].first = t->first;
        c->tensor[id].init = t->init;
        c->tensor[id].offset = t->offset;
    }
    for (int i = 0; i < g->n_nodes; i++) {
        SPX_TRY(st, copy_node(c, &g->node[i]), fail);
    }
    *out = c;
    return SPX_OK;
fail:
    spx_graph_destroy(c);
    return st;
}

int64_t spx_tensor_count(const spx_tensor *t)
{
    return t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
}

spx_tid spx_graph_find(const spx_graph *g, const char *name)
{
    for (int i = 0; i < g->n_tensors; i++) {
        const spx_tensor *t = &g->tensor[i];
        if (t->name != NULL && t->role != SPX_ROLE_ACTIVATION && strcmp(t->name, name) == 0) {
            return i;
        }
    }
    return SPX_NO_TENSOR;
}

spx_tid spx_g_input(spx_graph *g, const char *name, spx_dtype dtype, int rank, const int64_t *dim)
{
    return spx_graph_new_tensor(g, SPX_ROLE_INPUT, dtype, rank, dim, name);
}

spx_tid spx_g_param(spx_graph *g, spx_role role, const char *name, int rank, const int64_t *dim,
                    spx_init init)
{
    const spx_tid id = spx_graph_new_tensor(g, role, SPX_F32, rank, dim, name);
    if (id == SPX_NO_TENSOR) {
        return id;
    }
    if (spx_graph_find(g, g->tensor[id].name) != id) {
        spx_graph_fail(g, SPX_EINVAL, "two parameters are named %s", g->tensor[id].name);
        return SPX_NO_TENSOR;
    }
    g->tensor[id].init = init;
    return id;
}

bool spx_g_valid(spx_graph *g, spx_tid t, int rank, const char *what)
{
    if (g->status != SPX_OK) {
        return false;
    }
    if (t < 0 || t >= g->n_tensors) {
        spx_graph_fail(g, SPX_EINVAL, "%s%s: no such tensor", g->scope, what);
        return false;
    }
    if (rank != 0 && g->tensor[t].rank != rank) {
        spx_graph_fail(g, SPX_EINVAL, "%s%s: rank %d, expected %d", g->scope, what,
                       g->tensor[t].rank, rank);
        return false;
    }
    return true;
}

void spx_g_fail_from(spx_graph *g, spx_status st, const char *name)
{
    spx_graph_fail(g, st, "%s%s: %s", g->scope, name != NULL ? name : "", spx_error_message());
}

void spx_node_count(const spx_graph *g, int i, spx_counts *out)
{
    const spx_node *nd = &g->node[i];
    const spx_op_record *r = spx_op_record_of(nd->op);
    const int64_t batch = nd->n_out > 0 ? g->tensor[nd->out[0]].dim[0] : 1;
    *out = (spx_counts){0};
    for (int k = 0; k < nd->n_in; k++) {
        const spx_tensor *t = nd->in[k] >= 0 ? &g->tensor[nd->in[k]] : NULL;
        if (t != NULL && t->role == SPX_ROLE_WEIGHT) {
            *(nd->auxiliary ? &out->params_aux : &out->params) += spx_tensor_count(t);
        } else if (t != NULL && t->role == SPX_ROLE_ARCH) {
            out->arch += spx_tensor_count(t);
        }
    }
    if (nd->auxiliary) {
        return;
    }
    out->macs = r->macs != NULL ? r->macs(g, nd) / batch : 0;
    if (r->rectifier) {
        out->relus = spx_tensor_count(&g->tensor[nd->out[0]]) / batch;
    }
}

void spx_graph_count(const spx_graph *g, spx_counts *out)
{
    *out = (spx_counts){0};
    for (int i = 0; i < g->n_nodes; i++) {
        spx_counts c;
        spx_node_count(g, i, &c);
        out->relus += c.relus;
        out->params += c.params;
        out->params_aux += c.params_aux;
        out->macs += c.macs;
        out->arch += c.arch;
    }
}
