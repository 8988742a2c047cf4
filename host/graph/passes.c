#include "host/graph/passes_private.h"

#include "host/graph/op_private.h"
#include "kernels/nn/norm_sum/norm_sum.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN_FLOATS (SPX_ALIGN / (int64_t)sizeof(float))

/* Facts about the tensors of a graph, made anew by each pass that needs them. */
typedef struct tensor_facts {
    int *uses;     /* times read by nodes */
    int *reader;   /* last node that reads it, or -1 */
    int *producer; /* node that writes it, or -1 */
    bool *viewed;  /* some tensor is a view of it */
    bool *kept;    /* wanted from outside */
} tensor_facts;

static void facts_clear(tensor_facts *f)
{
    free(f->uses);
    free(f->reader);
    free(f->producer);
    free(f->viewed);
    free(f->kept);
}

static spx_status facts_init(tensor_facts *f, const spx_graph *g, const spx_tid *keep, int n_keep)
{
    const size_t n = (size_t)g->n_tensors + 1;
    *f = (tensor_facts){.uses = calloc(n, sizeof(int)),
                        .reader = malloc(n * sizeof(int)),
                        .producer = malloc(n * sizeof(int)),
                        .viewed = calloc(n, sizeof(bool)),
                        .kept = calloc(n, sizeof(bool))};
    if (f->uses == NULL || f->reader == NULL || f->producer == NULL || f->viewed == NULL ||
        f->kept == NULL) {
        facts_clear(f);
        return SPX_FAIL(SPX_ENOMEM, "pass over %d tensors", g->n_tensors);
    }
    for (int t = 0; t < g->n_tensors; t++) {
        f->reader[t] = f->producer[t] = -1;
        if (g->tensor[t].parent != SPX_NO_TENSOR) {
            f->viewed[g->tensor[t].parent] = true;
        }
    }
    for (int i = 0; i < g->n_nodes; i++) {
        const spx_node *nd = &g->node[i];
        for (int k = 0; k < nd->n_in; k++) {
            if (nd->in[k] != SPX_NO_TENSOR) {
                f->uses[nd->in[k]]++;
                f->reader[nd->in[k]] = i;
            }
        }
        for (int k = 0; k < nd->n_out; k++) {
            if (nd->out[k] != SPX_NO_TENSOR) {
                f->producer[nd->out[k]] = i;
            }
        }
    }
    for (int k = 0; k < n_keep; k++) {
        f->kept[keep[k]] = true;
    }
    return SPX_OK;
}

/* Whether t exists only to hand a value from its one producer to its one reader. */
static bool private_value(const spx_graph *g, const tensor_facts *f, spx_tid t)
{
    return f->producer[t] >= 0 && f->uses[t] == 1 && !f->kept[t] && !f->viewed[t] &&
           g->tensor[t].role == SPX_ROLE_ACTIVATION && g->tensor[t].parent == SPX_NO_TENSOR;
}

/* Removes the nodes marked in gone, keeping the order of the others. */
static void compact(spx_graph *g, const bool *gone)
{
    int n = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        if (gone[i]) {
            spx_g_clear_node(&g->node[i]);
        } else {
            g->node[n++] = g->node[i];
        }
    }
    g->n_nodes = n;
}

static void replace_uses(spx_graph *g, spx_tid from, spx_tid to)
{
    for (int i = 0; i < g->n_nodes; i++) {
        for (int k = 0; k < g->node[i].n_in; k++) {
            if (g->node[i].in[k] == from) {
                g->node[i].in[k] = to;
            }
        }
    }
}

static bool same_attr(const spx_node *a, const spx_node *b)
{
    return a->relu == b->relu && memcmp(&a->attr, &b->attr, sizeof a->attr) == 0;
}

/* Appends b's repeated operands (running statistics) to a's inputs; `fixed` come before them. */
static spx_status adopt_repeated(spx_node *a, const spx_node *b, int fixed)
{
    const int extra = b->n_in - fixed;
    assert(extra >= 0 && a->n_in >= fixed);
    if (extra == 0) {
        return SPX_OK;
    }
    spx_tid *in = realloc(a->in, sizeof(spx_tid) * (size_t)(a->n_in + extra));
    if (in == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "a node of %d operands", a->n_in + extra);
    }
    memcpy(in + a->n_in, b->in + fixed, sizeof(spx_tid) * (size_t)extra);
    a->in = in;
    a->n_in += extra;
    return SPX_OK;
}

/* Whether what b makes can be read from its twin a instead. */
static bool replaceable(const spx_graph *g, const tensor_facts *f, const spx_node *b,
                        const spx_node *a)
{
    for (int k = 0; k < b->n_out; k++) {
        const spx_tid t = b->out[k];
        if (g->tensor[t].parent != SPX_NO_TENSOR || f->viewed[t] || f->kept[t] ||
            (g->tensor[a->out[k]].parent != SPX_NO_TENSOR && spx_g_read_dense(g, t))) {
            return false;
        }
    }
    return true;
}

/* Merges every later twin of node i into it. */
static spx_status merge_twins(spx_graph *g, const tensor_facts *f, int i, bool *gone)
{
    spx_node *a = &g->node[i];
    const spx_op_record *r = spx_op_record_of(a->op);
    const int fixed = spx_op_fixed(r->in, r->repeat_in);
    if (gone[i] || !r->merges_twins) {
        return SPX_OK;
    }
    for (int j = i + 1; j < g->n_nodes; j++) {
        spx_node *b = &g->node[j];
        if (gone[j] || b->op != a->op ||
            memcmp(b->in, a->in, sizeof(spx_tid) * (size_t)fixed) != 0 || !same_attr(a, b) ||
            !replaceable(g, f, b, a)) {
            continue;
        }
        SPX_RETURN_IF(adopt_repeated(a, b, fixed));
        for (int k = 0; k < b->n_out; k++) {
            replace_uses(g, b->out[k], a->out[k]);
        }
        gone[j] = true;
    }
    return SPX_OK;
}

/* Whether convolution nodes a and b could be one; with groups their outputs would not lie apart. */
static bool mergeable(const spx_graph *g, const tensor_facts *f, const spx_node *a,
                      const spx_node *b)
{
    const spx_tensor *wa, *wb, *yb;
    if (b->op != a->op) { /* other ops may have fewer inputs than are read below */
        return false;
    }
    if (spx_conv2d_attr_of(b).groups > 1) {
        return false;
    }
    const spx_tid w = b->in[SPX_CONV2D_W];
    wa = &g->tensor[a->in[SPX_CONV2D_W]];
    wb = &g->tensor[w];
    yb = &g->tensor[b->out[0]];
    return a->in[SPX_CONV2D_X] == b->in[SPX_CONV2D_X] && b->in[SPX_CONV2D_BIAS] == SPX_NO_TENSOR &&
           b->in[SPX_CONV2D_MEAN] == SPX_NO_TENSOR && same_attr(a, b) &&
           memcmp(&wa->dim[1], &wb->dim[1], 3 * sizeof(int64_t)) == 0 &&
           wb->parent == SPX_NO_TENSOR && f->uses[w] == 1 && yb->parent == SPX_NO_TENSOR &&
           !f->viewed[b->out[0]] && !spx_g_read_dense(g, b->out[0]);
}

/* Makes node i the merger of itself and the marked members after it. */
static spx_status merge_into(spx_graph *g, int i, const int *member, int n)
{
    int64_t rows = 0, wdim[4], ydim[4];
    spx_tid w, y;
    assert(n > 1 && member[0] == i);
    memcpy(wdim, g->tensor[g->node[i].in[SPX_CONV2D_W]].dim, sizeof wdim);
    memcpy(ydim, g->tensor[g->node[i].out[0]].dim, sizeof ydim);
    for (int m = 0; m < n; m++) {
        rows += g->tensor[g->node[member[m]].in[SPX_CONV2D_W]].dim[0];
    }
    wdim[0] = ydim[1] = rows;
    w = spx_graph_new_tensor(g, SPX_ROLE_WEIGHT, SPX_F32, 4, wdim, NULL);
    y = spx_graph_new_tensor(g, SPX_ROLE_ACTIVATION, SPX_F32, 4, ydim, NULL);
    SPX_RETURN_IF(spx_graph_status(g));
    rows = 0;
    for (int m = 0; m < n; m++) {
        const spx_node *nd = &g->node[member[m]];
        spx_tensor *tw = &g->tensor[nd->in[SPX_CONV2D_W]], *ty = &g->tensor[nd->out[0]];
        tw->parent = w;
        ty->parent = y;
        tw->first = ty->first = rows;
        rows += tw->dim[0];
    }
    g->node[i].in[SPX_CONV2D_W] = w;
    g->node[i].out[0] = y;
    return SPX_OK;
}

spx_status spx_pass_merge_convs(spx_graph *g)
{
    tensor_facts f;
    spx_status st;
    bool *gone = calloc((size_t)g->n_nodes + 1, sizeof *gone);
    int *member = malloc(((size_t)g->n_nodes + 1) * sizeof *member);
    if (gone == NULL || member == NULL) {
        free(gone);
        free(member);
        return SPX_FAIL(SPX_ENOMEM, "pass over %d nodes", g->n_nodes);
    }
    st = facts_init(&f, g, NULL, 0);
    const int n_nodes = st == SPX_OK ? g->n_nodes : 0;
    for (int i = 0; i < n_nodes && st == SPX_OK; i++) {
        int n = 0;
        if (gone[i] || !spx_op_record_of(g->node[i].op)->product ||
            !mergeable(g, &f, &g->node[i], &g->node[i])) {
            continue;
        }
        for (int j = i; j < n_nodes; j++) {
            if (!gone[j] && mergeable(g, &f, &g->node[i], &g->node[j])) {
                member[n++] = j;
            }
        }
        if (n > 1) {
            st = merge_into(g, i, member, n);
            for (int m = 1; m < n; m++) {
                gone[member[m]] = true;
            }
        }
    }
    if (st == SPX_OK) {
        compact(g, gone);
    }
    free(gone);
    free(member);
    facts_clear(&f);
    return st;
}

/* Whether term j of outer is a plain reading of a norm sum that can be flattened into it. */
static bool can_flatten(const spx_graph *g, const tensor_facts *f, const spx_node *outer, int j)
{
    const spx_tid *term = outer->in + j * SPX_TERM_FIELDS;
    const spx_tid x = term[SPX_TERM_X];
    const spx_node *inner;
    if (term[SPX_TERM_MEAN] != SPX_NO_TENSOR || !private_value(g, f, x)) {
        return false;
    }
    inner = &g->node[f->producer[x]];
    if (!spx_op_record_of(inner->op)->sum || inner->relu ||
        (outer->n_in + inner->n_in) / SPX_TERM_FIELDS - 1 > SPX_NORM_SUM_MAX) {
        return false;
    }
    for (int i = 0; i < inner->n_in; i += SPX_TERM_FIELDS) {
        if ((term[SPX_TERM_COEF] != SPX_NO_TENSOR &&
             inner->in[i + SPX_TERM_COEF] != SPX_NO_TENSOR) ||
            (term[SPX_TERM_MASK] != SPX_NO_TENSOR &&
             inner->in[i + SPX_TERM_MASK] != SPX_NO_TENSOR)) {
            return false; /* products of two coefficients have no place in a term */
        }
    }
    return true;
}

/* Replaces term j of outer by the terms of inner, which take over its coefficient and mask. */
static spx_status flatten_term(spx_node *outer, int j, const spx_node *inner)
{
    const int k = outer->n_in / SPX_TERM_FIELDS, m = inner->n_in / SPX_TERM_FIELDS;
    const int total = k + m - 1;
    assert(j < k && total <= SPX_NORM_SUM_MAX);
    spx_tid *in = malloc(sizeof(spx_tid) * (size_t)(total * SPX_TERM_FIELDS));
    int32_t *coef = calloc((size_t)total + 1, sizeof *coef);
    if (in == NULL || coef == NULL) {
        free(in);
        free(coef);
        return SPX_FAIL(SPX_ENOMEM, "sum of %d terms", total);
    }
    for (int t = 0; t < total; t++) {
        const bool from_inner = t >= j && t < j + m;
        const spx_node *src = from_inner ? inner : outer;
        const int s = from_inner ? t - j : (t < j ? t : t - m + 1);
        memcpy(in + t * SPX_TERM_FIELDS, src->in + s * SPX_TERM_FIELDS,
               sizeof(spx_tid) * SPX_TERM_FIELDS);
        coef[t] = src->coef_index[s];
        if (from_inner && outer->in[j * SPX_TERM_FIELDS + SPX_TERM_COEF] != SPX_NO_TENSOR) {
            in[t * SPX_TERM_FIELDS + SPX_TERM_COEF] =
                outer->in[j * SPX_TERM_FIELDS + SPX_TERM_COEF];
            coef[t] = outer->coef_index[j];
        }
        if (from_inner && outer->in[j * SPX_TERM_FIELDS + SPX_TERM_MASK] != SPX_NO_TENSOR) {
            in[t * SPX_TERM_FIELDS + SPX_TERM_MASK] =
                outer->in[j * SPX_TERM_FIELDS + SPX_TERM_MASK];
        }
    }
    free(outer->in);
    free(outer->coef_index);
    outer->in = in;
    outer->coef_index = coef;
    outer->n_in = total * SPX_TERM_FIELDS;
    return SPX_OK;
}

/* A ReLU that others can do: not one with a mask or a largest output. */
static bool lone_rectifier(const spx_node *nd)
{
    return spx_op_record_of(nd->op)->rectifier && nd->in[SPX_RELU_MASK] == SPX_NO_TENSOR &&
           spx_relu_clip_of(nd) == 0;
}

static spx_status fuse_node(spx_graph *g, const tensor_facts *f, int i, bool *gone)
{
    spx_node *nd = &g->node[i];
    const spx_op_record *r = spx_op_record_of(nd->op);
    if (r->sum) {
        for (int j = 0; j < nd->n_in / SPX_TERM_FIELDS; j++) {
            while (can_flatten(g, f, nd, j)) {
                const int p = f->producer[nd->in[j * SPX_TERM_FIELDS]];
                SPX_RETURN_IF(flatten_term(nd, j, &g->node[p]));
                gone[p] = true;
            }
        }
    } else if (lone_rectifier(nd) && private_value(g, f, nd->in[0])) {
        const int p = f->producer[nd->in[0]];
        spx_node *sum = &g->node[p];
        if (spx_op_record_of(sum->op)->sum && !sum->relu) {
            sum->relu = true;
            sum->out[0] = nd->out[0];
            gone[i] = true;
        }
    }
    return SPX_OK;
}

/* A convolution whose input alone comes from a lone batch norm, or from a ReLU, takes it in. */
static spx_status fuse_conv_input(spx_graph *g, const tensor_facts *f, int i, bool *gone)
{
    spx_node *nd = &g->node[i];
    const spx_node *from;
    if (!spx_op_record_of(nd->op)->product || !private_value(g, f, nd->in[0]) || nd->relu ||
        nd->in[SPX_CONV2D_MEAN] != SPX_NO_TENSOR) {
        return SPX_OK;
    }
    from = &g->node[f->producer[nd->in[0]]];
    if (lone_rectifier(from)) {
        nd->relu = true;
    } else if (spx_op_record_of(from->op)->sum && spx_node_terms(from, 0) == 1 && !from->relu &&
               from->in[SPX_TERM_MEAN] != SPX_NO_TENSOR &&
               from->in[SPX_TERM_COEF] == SPX_NO_TENSOR &&
               from->in[SPX_TERM_MASK] == SPX_NO_TENSOR) {
        memcpy(&nd->in[SPX_CONV2D_MEAN], &from->in[SPX_TERM_MEAN], 4 * sizeof(spx_tid));
    } else {
        return SPX_OK;
    }
    gone[f->producer[nd->in[0]]] = true;
    nd->in[0] = from->in[0];
    return SPX_OK;
}

typedef spx_status (*node_rewrite)(spx_graph *g, const tensor_facts *f, int i, bool *gone);

static spx_status rewrite(spx_graph *g, const spx_tid *keep, int n_keep, node_rewrite fn)
{
    tensor_facts f;
    spx_status st;
    bool *gone = calloc((size_t)g->n_nodes + 1, sizeof *gone);
    if (gone == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "pass over %d nodes", g->n_nodes);
    }
    st = facts_init(&f, g, keep, n_keep);
    if (st == SPX_OK) {
        for (int i = 0; i < g->n_nodes && st == SPX_OK; i++) {
            st = fn(g, &f, i, gone);
        }
        compact(g, gone);
        facts_clear(&f);
    }
    free(gone);
    return st;
}

spx_status spx_pass_merge_twins(spx_graph *g, const spx_tid *keep, int n_keep)
{
    return rewrite(g, keep, n_keep, merge_twins);
}

spx_status spx_pass_fuse_sums(spx_graph *g, const spx_tid *keep, int n_keep)
{
    return rewrite(g, keep, n_keep, fuse_node);
}

spx_status spx_pass_fuse_conv_inputs(spx_graph *g, const spx_tid *keep, int n_keep)
{
    return rewrite(g, keep, n_keep, fuse_conv_input);
}

spx_status spx_pass_remove_dead(spx_graph *g, const spx_tid *keep, int n_keep)
{
    bool *need = calloc((size_t)g->n_tensors + 1, sizeof *need);
    bool *gone = calloc((size_t)g->n_nodes + 1, sizeof *gone);
    if (need == NULL || gone == NULL) {
        free(need);
        free(gone);
        return SPX_FAIL(SPX_ENOMEM, "pass over %d nodes", g->n_nodes);
    }
    for (int k = 0; k < n_keep; k++) {
        need[spx_root(g, keep[k])] = true;
    }
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        const spx_node *nd = &g->node[i];
        bool live = false;
        for (int k = 0; k < nd->n_out; k++) {
            const spx_tid t = nd->out[k];
            live = live || (t != SPX_NO_TENSOR &&
                            (need[spx_root(g, t)] || g->tensor[t].role == SPX_ROLE_WEIGHT_GRAD ||
                             g->tensor[t].role == SPX_ROLE_ARCH_GRAD));
        }
        gone[i] = !live;
        for (int k = 0; live && k < nd->n_in; k++) {
            if (nd->in[k] != SPX_NO_TENSOR) {
                need[spx_root(g, nd->in[k])] = true;
            }
        }
    }
    compact(g, gone);
    free(need);
    free(gone);
    return SPX_OK;
}

spx_status spx_graph_layout(spx_graph *g)
{
    int64_t next[SPX_ROLE_COUNT] = {0};
    for (int i = 0; i < g->n_tensors; i++) {
        g->tensor[i].offset = -1;
    }
    for (int i = 0; i < g->n_tensors; i++) {
        spx_tensor *t = &g->tensor[i];
        const bool stored =
            t->role == SPX_ROLE_WEIGHT || t->role == SPX_ROLE_ARCH || t->role == SPX_ROLE_STATE;
        if (!stored) {
            continue;
        }
        spx_tensor *root = &g->tensor[spx_root(g, i)];
        if (root->offset < 0) {
            const int64_t count = spx_tensor_count(root);
            root->offset = next[root->role];
            next[root->role] += (count + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
        }
        if (t != root) {
            t->offset = root->offset + t->first * (spx_tensor_count(t) / t->dim[0]);
        }
    }
    return SPX_OK;
}
