/*
 * Reverse-mode differentiation. Nodes are visited last to first; when a node is reached, every
 * reader of its output has contributed to the output's gradient.
 *
 * Two things keep memory low. Contributions of convolutions are added in place at once. Those of
 * norm sums (one small pass per term) are kept pending and emitted only when the term's producer is
 * reached: the 30 gradients of a supernet node's branches are never alive together.
 */
#include "host/graph/autodiff_private.h"

#include "host/graph/graph_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef spx_diff diff;

static bool wanted_role(const diff *d, spx_role role)
{
    return (role == SPX_ROLE_WEIGHT && d->weights) || (role == SPX_ROLE_ARCH && d->arch);
}

/* Marks t and all that shares its storage. */
static void require(diff *d, spx_tid t)
{
    const spx_tid root = spx_root(d->g, t);
    d->requires[t] = true;
    if (root != t) {
        d->requires[root] = true;
        return;
    }
    for (int v = 0; d->viewed[t] && v < d->n_tensors; v++) {
        if (d->g->tensor[v].parent == t) {
            d->requires[v] = true;
        }
    }
}

static void find_requirements(diff *d, const spx_tid *wrt, int n_wrt)
{
    spx_graph *g = d->g;
    for (int t = 0; t < d->n_tensors; t++) {
        d->requires[t] = wanted_role(d, g->tensor[t].role);
    }
    for (int k = 0; k < n_wrt; k++) {
        require(d, wrt[k]);
    }
    for (int i = 0; i < d->n_forward; i++) {
        const spx_node *nd = &g->node[i];
        bool any = false;
        if (spx_op_record_of(nd->op)->ends_gradient) {
            continue;
        }
        for (int k = 0; k < nd->n_in; k++) {
            any = any || spx_diff_requires(d, nd->in[k]);
        }
        for (int k = 0; any && k < nd->n_out; k++) {
            require(d, nd->out[k]);
        }
    }
}

/* The gradient tensor of t, made on first use; views of t become views of it. */
static spx_tid gradient_of(diff *d, spx_tid t)
{
    spx_graph *g = d->g;
    spx_tid grad;
    spx_role role = SPX_ROLE_ACTIVATION;
    if (t == SPX_NO_TENSOR || d->grad[t] != SPX_NO_TENSOR) {
        return t == SPX_NO_TENSOR ? t : d->grad[t];
    }
    const spx_tid root = spx_root(g, t);
    if (g->tensor[t].role == SPX_ROLE_WEIGHT) {
        role = SPX_ROLE_WEIGHT_GRAD;
    } else if (g->tensor[t].role == SPX_ROLE_ARCH) {
        role = SPX_ROLE_ARCH_GRAD;
    } else if (root != t) {
        (void)gradient_of(d, root);
    }
    int64_t dim[SPX_MAX_RANK];
    memcpy(dim, g->tensor[t].dim, sizeof dim);
    grad = spx_graph_new_tensor(g, role, SPX_F32, g->tensor[t].rank, dim, NULL);
    if (grad == SPX_NO_TENSOR) {
        return grad;
    }
    if (role != SPX_ROLE_ACTIVATION) {
        g->tensor[grad].offset = g->tensor[t].offset;
    } else if (root != t) {
        g->tensor[grad].parent = d->grad[root];
        g->tensor[grad].first = g->tensor[t].first;
    }
    d->grad[t] = grad;
    return grad;
}

spx_node *spx_diff_emit(diff *d, spx_op op, int i, int n_in, int n_out)
{
    const spx_node *from = &d->g->node[i];
    assert(i >= 0 && i < d->n_forward);
    const int block = from->block;
    const bool auxiliary = from->auxiliary;
    const spx_attr attr = from->attr;
    const bool relu = from->relu;
    spx_node *nd = spx_graph_new_node(d->g, op, n_in, n_out, from->name);
    if (nd != NULL) {
        nd->block = block;
        nd->auxiliary = auxiliary;
        nd->attr = attr;
        nd->relu = relu;
    }
    return nd;
}

void spx_diff_fill(diff *d, spx_tid target, int i)
{
    spx_node *nd = spx_diff_emit(d, SPX_OP_FILL, i, 0, 1);
    if (nd != NULL) {
        nd->out[0] = target;
    }
}

/* Whether root is read as a whole by forward nodes not visited yet. */
static bool read_whole_earlier(const diff *d, spx_tid root)
{
    for (int i = 0; i < d->current; i++) {
        const spx_node *nd = &d->g->node[i];
        for (int k = 0; k < nd->n_in; k++) {
            if (nd->in[k] == root) {
                return true;
            }
        }
    }
    return false;
}

spx_tid spx_diff_contribute(diff *d, spx_tid t, bool *accumulate)
{
    spx_graph *g = d->g;
    const spx_tid grad = gradient_of(d, t), root = spx_root(g, t);
    *accumulate = false;
    if (grad == SPX_NO_TENSOR) {
        return grad;
    }
    if (root != t && g->tensor[t].role == SPX_ROLE_ACTIVATION) {
        if (!d->written[root] && read_whole_earlier(d, root)) {
            spx_diff_fill(d, d->grad[root], d->current); /* the whole will be added to later */
            d->written[root] = true;
        }
        *accumulate = d->written[root] || d->written[t];
        d->written[t] = true;
    } else {
        *accumulate = d->written[t];
        d->written[t] = true;
    }
    return grad;
}

static void emit_pending(diff *d, int k)
{
    const spx_pending p = d->list[k];
    d->list[k].target = SPX_NO_TENSOR;
    spx_node *nd = spx_diff_emit_data(d, p.op, d->current, p.n_in, p.in, p.target);
    if (nd != NULL) {
        nd->relu = p.relu;
        nd->coef_index[0] = p.coef_index;
    }
}

static void flush(diff *d, spx_tid t)
{
    for (int k = d->first_pending[t]; k >= 0; k = d->list[k].next) {
        if (d->list[k].target != SPX_NO_TENSOR) {
            emit_pending(d, k);
        }
    }
    d->first_pending[t] = -1;
}

/* Completes the gradient of t (written by the node being visited); SPX_NO_TENSOR if
 * there is none. */
static spx_tid complete(diff *d, spx_tid t)
{
    spx_graph *g = d->g;
    const spx_tid root = spx_root(g, t);
    bool any;
    flush(d, root);
    if (root != t) {
        flush(d, t);
        return d->written[t] || d->written[root] ? gradient_of(d, t) : SPX_NO_TENSOR;
    }
    any = d->written[t];
    for (int v = 0; d->viewed[t] && v < d->n_tensors; v++) {
        if (g->tensor[v].parent == t) {
            flush(d, v);
            any = any || d->written[v];
        }
    }
    for (int v = 0; any && !d->written[t] && v < d->n_tensors; v++) {
        if (g->tensor[v].parent == t && !d->written[v]) {
            spx_diff_fill(d, gradient_of(d, v), d->current); /* a branch nobody uses */
            d->written[v] = true;
        }
    }
    return any ? gradient_of(d, t) : SPX_NO_TENSOR;
}

void spx_diff_postpone(diff *d, spx_pending p)
{
    assert(p.target >= 0 && p.target < d->n_tensors && p.n_in <= SPX_SLOTS_MAX);
    if (SPX_GROW(d->list, (size_t)d->n_list, d->room) != SPX_OK) {
        spx_graph_fail(d->g, SPX_ENOMEM, "differentiation");
        return;
    }
    p.next = d->first_pending[p.target];
    d->first_pending[p.target] = d->n_list;
    d->list[d->n_list++] = p;
}

void spx_diff_param(diff *d, int node, int slot, spx_tid param)
{
    bool accumulate;
    spx_tid grad;
    if (param == SPX_NO_TENSOR || !wanted_role(d, d->g->tensor[param].role)) {
        return;
    }
    grad = spx_diff_contribute(d, param, &accumulate);
    if (grad != SPX_NO_TENSOR) {
        d->g->node[node].out[slot] = grad;
        d->g->node[node].accumulate[slot] = accumulate;
    }
}

spx_node *spx_diff_emit_data(diff *d, spx_op op, int i, int n_in, const spx_tid *in, spx_tid target)
{
    bool accumulate;
    const spx_tid grad = spx_diff_contribute(d, target, &accumulate);
    spx_node *nd = spx_diff_emit(d, op, i, n_in, 1);
    if (nd != NULL) {
        memcpy(nd->in, in, sizeof(spx_tid) * (size_t)n_in);
        nd->out[0] = grad;
        nd->accumulate[0] = accumulate;
    }
    return nd;
}

static void diff_node(diff *d, int i, const spx_loss_seed *loss, int n_loss)
{
    const spx_op_record *r = spx_op_record_of(d->g->node[i].op);
    const spx_tid y = d->g->node[i].out[0];
    for (int k = 0; r->loss && k < n_loss && d->g->status == SPX_OK; k++) {
        if (loss[k].loss == y) {
            d->loss_weight = loss[k].weight;
            r->gradient(d, i, SPX_NO_TENSOR);
        }
    }
    if (r->loss || r->ends_gradient || !spx_diff_requires(d, y)) {
        return;
    }
    const spx_tid dy = complete(d, y);
    if (dy != SPX_NO_TENSOR && d->g->status == SPX_OK) { /* else no loss depends on it */
        r->gradient(d, i, dy);
    }
}

/* Zeros for wanted parameters that got no gradient, and the ids of the wanted activations'
 * gradients. */
static void finish(diff *d, const spx_tid *wrt, int n_wrt, spx_tid *wrt_grad)
{
    d->current = 0;
    for (int t = 0; t < d->n_tensors && d->g->status == SPX_OK; t++) {
        if (wanted_role(d, d->g->tensor[t].role) && !d->written[t] &&
            !d->written[spx_root(d->g, t)] && !d->viewed[t]) {
            spx_diff_fill(d, gradient_of(d, t), 0);
        }
    }
    for (int k = 0; k < n_wrt && d->g->status == SPX_OK; k++) {
        wrt_grad[k] = complete(d, wrt[k]);
        if (wrt_grad[k] == SPX_NO_TENSOR) {
            wrt_grad[k] = gradient_of(d, wrt[k]);
            spx_diff_fill(d, wrt_grad[k], 0);
        }
    }
}

static spx_status check(const spx_graph *g, const spx_loss_seed *loss, int n_loss)
{
    SPX_RETURN_IF(spx_graph_status(g));
    for (int i = 0; i < g->n_nodes; i++) {
        const spx_op_record *r = spx_op_record_of(g->node[i].op);
        if (r->gradient == NULL && !r->ends_gradient) {
            return SPX_FAIL(SPX_EINVAL, "a graph built for evaluation cannot be differentiated");
        }
    }
    for (int k = 0; k < n_loss; k++) {
        bool found = false;
        for (int i = 0; i < g->n_nodes; i++) {
            found = found ||
                    (spx_op_record_of(g->node[i].op)->loss && g->node[i].out[0] == loss[k].loss);
        }
        if (!found) {
            return SPX_FAIL(SPX_EINVAL, "tensor %d is no loss of this graph", k);
        }
    }
    return SPX_OK;
}

static void diff_clear(diff *d)
{
    free(d->requires);
    free(d->viewed);
    free(d->first_pending);
    free(d->grad);
    free(d->written);
    free(d->list);
}

static spx_status diff_init(diff *d, spx_graph *g)
{
    const size_t n = (size_t)g->n_tensors + 1;
    *d = (diff){.g = g,
                .n_forward = g->n_nodes,
                .n_tensors = g->n_tensors,
                .requires = calloc(n, sizeof(bool)),
                .viewed = calloc(n, sizeof(bool)),
                .first_pending = malloc(n * sizeof(int)),
                .grad = malloc(n * sizeof(spx_tid)),
                .written = calloc(n, sizeof(bool))};
    if (d->requires == NULL || d->viewed == NULL || d->first_pending == NULL || d->grad == NULL ||
        d->written == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "differentiation of %d tensors", g->n_tensors);
    }
    for (int t = 0; t < g->n_tensors; t++) {
        d->grad[t] = SPX_NO_TENSOR;
        d->first_pending[t] = -1;
        if (g->tensor[t].parent != SPX_NO_TENSOR) {
            d->viewed[g->tensor[t].parent] = true;
        }
    }
    return SPX_OK;
}

spx_status spx_differentiate(spx_graph *g, const spx_loss_seed *loss, int n_loss, bool weights,
                             bool arch, const spx_tid *wrt, int n_wrt, spx_tid *wrt_grad)
{
    diff d;
    spx_status st;
    SPX_RETURN_IF(check(g, loss, n_loss));
    SPX_TRY(st, diff_init(&d, g), done);
    d.weights = weights;
    d.arch = arch;
    find_requirements(&d, wrt, n_wrt);
    for (int i = d.n_forward - 1; i >= 0 && g->status == SPX_OK; i--) {
        d.current = i;
        diff_node(&d, i, loss, n_loss);
    }
    finish(&d, wrt, n_wrt, wrt_grad);
    st = spx_graph_status(g);
done:
    diff_clear(&d);
    return st;
}
