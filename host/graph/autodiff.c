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

#include <stdlib.h>
#include <string.h>

/* A gradient of term `term` of forward node `node`, not yet emitted. */
typedef struct pending {
    spx_tid target; /* whose gradient; SPX_NO_TENSOR once emitted */
    spx_tid fields[SPX_TERM_FIELDS];
    int32_t coef_index;
    bool relu;
    spx_tid y, dy, sum_dy, sum_dy_xhat;
    int next; /* index of the next pending of the same target, or -1 */
} pending;

typedef struct diff {
    spx_graph *g;
    int n_forward; /* nodes before differentiation */
    int n_tensors; /* tensors before differentiation */
    int current;   /* forward node being visited */
    bool weights, arch;
    bool *requires;     /* [n_tensors] depends on something wanted */
    bool *viewed;       /* [n_tensors] has views */
    int *first_pending; /* [n_tensors] */
    spx_tid *grad;      /* [n_tensors] */
    bool *written;      /* [n_tensors] of the gradient */
    pending *list;
    int n_list, cap_list;
} diff;

static bool wanted_role(const diff *d, spx_role role)
{
    return (role == SPX_ROLE_WEIGHT && d->weights) || (role == SPX_ROLE_ARCH && d->arch);
}

static bool requires(const diff *d, spx_tid t)
{
    return t != SPX_NO_TENSOR && d->requires[t];
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
        if (nd->op == SPX_OP_BN_STATS) {
            continue; /* its gradient is part of the norm sum's */
        }
        for (int k = 0; k < nd->n_in; k++) {
            any = any || requires(d, nd->in[k]);
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

/* A gradient node that belongs to forward node i; in and out are filled by the caller. */
static spx_node *emit(diff *d, spx_op op, int i, int n_in, int n_out)
{
    const spx_node *from = &d->g->node[i];
    const int block = from->block;
    const bool auxiliary = from->auxiliary;
    const spx_attr attr = from->attr;
    spx_node *nd = spx_graph_new_node(d->g, op, n_in, n_out, from->name);
    if (nd != NULL) {
        nd->block = block;
        nd->auxiliary = auxiliary;
        nd->attr = attr;
    }
    return nd;
}

static void emit_fill(diff *d, spx_tid target, int i)
{
    spx_node *nd = emit(d, SPX_OP_FILL, i, 0, 1);
    if (nd != NULL) {
        nd->attr = (spx_attr){.value = 0.0f};
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

/*
 * Prepares one contribution to the gradient of t: returns the gradient tensor and sets *accumulate
 * to whether it already holds something.
 */
static spx_tid contribute(diff *d, spx_tid t, bool *accumulate)
{
    spx_graph *g = d->g;
    const spx_tid grad = gradient_of(d, t), root = spx_root(g, t);
    *accumulate = false;
    if (grad == SPX_NO_TENSOR) {
        return grad;
    }
    if (root != t && g->tensor[t].role == SPX_ROLE_ACTIVATION) {
        if (!d->written[root] && read_whole_earlier(d, root)) {
            emit_fill(d, d->grad[root], d->current); /* the whole will be added to later */
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

static void emit_pending(diff *d, pending *p)
{
    bool accumulate;
    const spx_tid target = contribute(d, p->target, &accumulate);
    spx_node *nd = emit(d, SPX_OP_NORM_SUM_APPLY, d->current, 2 + SPX_TERM_FIELDS + 2, 1);
    p->target = SPX_NO_TENSOR;
    if (nd == NULL) {
        return;
    }
    nd->in[0] = p->dy;
    nd->in[1] = p->y;
    memcpy(nd->in + 2, p->fields, sizeof p->fields);
    nd->in[2 + SPX_TERM_FIELDS] = p->sum_dy;
    nd->in[3 + SPX_TERM_FIELDS] = p->sum_dy_xhat;
    nd->coef_index[0] = p->coef_index;
    nd->attr = (spx_attr){.relu = p->relu};
    nd->out[0] = target;
    nd->accumulate[0] = accumulate;
}

static void flush(diff *d, spx_tid t)
{
    for (int k = d->first_pending[t]; k >= 0; k = d->list[k].next) {
        if (d->list[k].target != SPX_NO_TENSOR) {
            emit_pending(d, &d->list[k]);
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
            emit_fill(d, gradient_of(d, v), d->current); /* a branch nobody uses */
            d->written[v] = true;
        }
    }
    return any ? gradient_of(d, t) : SPX_NO_TENSOR;
}

/* Remembers that term j of norm-sum-like node owes target a contribution. */
static void add_pending(diff *d, pending p)
{
    if (d->n_list == d->cap_list) {
        const int cap = d->cap_list == 0 ? 256 : 2 * d->cap_list;
        pending *list = realloc(d->list, sizeof *list * (size_t)cap);
        if (list == NULL) {
            spx_graph_fail(d->g, SPX_ENOMEM, "differentiation");
            return;
        }
        d->list = list;
        d->cap_list = cap;
    }
    p.next = d->first_pending[p.target];
    d->first_pending[p.target] = d->n_list;
    d->list[d->n_list++] = p;
}

/* The gradient of a parameter that a backward node overwrites or adds to. */
static void param_output(diff *d, int node, int slot, spx_tid param)
{
    bool accumulate;
    spx_tid grad;
    if (param == SPX_NO_TENSOR || !wanted_role(d, d->g->tensor[param].role)) {
        return;
    }
    grad = contribute(d, param, &accumulate);
    if (grad != SPX_NO_TENSOR) {
        d->g->node[node].out[slot] = grad;
        d->g->node[node].accumulate[slot] = accumulate;
    }
}

/*
 * The backward pass of terms `in` (k of them) against the gradient dy: one reduction for all terms
 * that need it now, one pending application for each input that wants a gradient.
 */
static void diff_terms(diff *d, int i, int k, const spx_tid *in, const int32_t *coef_index,
                       bool relu, spx_tid y, spx_tid dy)
{
    spx_graph *g = d->g;
    int used = 0, node = -1;
    int *slot = malloc(sizeof(int) * (size_t)k);
    if (slot == NULL) {
        spx_graph_fail(g, SPX_ENOMEM, "differentiation");
        return;
    }
    for (int j = 0; j < k; j++) {
        const spx_tid *t = in + j * SPX_TERM_FIELDS;
        const bool normed = t[SPX_TERM_MEAN] != SPX_NO_TENSOR;
        const bool reduced =
            (normed && (requires(d, t[SPX_TERM_X]) || requires(d, t[SPX_TERM_GAMMA]))) ||
            requires(d, t[SPX_TERM_COEF]);
        slot[j] = reduced ? used++ : -1;
        if (requires(d, t[SPX_TERM_COEF]) && !d->written[t[SPX_TERM_COEF]]) {
            bool accumulate; /* elements are added one by one: start from zero */
            emit_fill(d, contribute(d, t[SPX_TERM_COEF], &accumulate), i);
        }
    }
    if (used > 0) {
        spx_node *nd = emit(d, SPX_OP_NORM_SUM_REDUCE, i, 2 + used * SPX_TERM_FIELDS,
                            used * SPX_REDUCE_FIELDS);
        if (nd == NULL) {
            free(slot);
            return;
        }
        node = (int)(nd - g->node);
        nd->attr = (spx_attr){.relu = relu};
        nd->in[0] = dy;
        nd->in[1] = relu ? y : SPX_NO_TENSOR;
    }
    for (int j = 0; j < k && g->status == SPX_OK; j++) {
        const spx_tid *t = in + j * SPX_TERM_FIELDS;
        const bool normed = t[SPX_TERM_MEAN] != SPX_NO_TENSOR;
        spx_tid sums[2] = {SPX_NO_TENSOR, SPX_NO_TENSOR};
        if (slot[j] >= 0) {
            const int base = slot[j] * SPX_REDUCE_FIELDS;
            memcpy(g->node[node].in + 2 + slot[j] * SPX_TERM_FIELDS, t,
                   sizeof(spx_tid) * SPX_TERM_FIELDS);
            g->node[node].coef_index[slot[j]] = coef_index[j];
            const int64_t c = g->tensor[t[SPX_TERM_X]].dim[1];
            for (int s = 0; normed && s < 2; s++) {
                sums[s] = spx_graph_new_tensor(g, SPX_ROLE_ACTIVATION, SPX_F32, 1, &c, NULL);
                g->node[node].out[base + SPX_REDUCE_DY + s] = sums[s];
            }
            param_output(d, node, base + SPX_REDUCE_DGAMMA, t[SPX_TERM_GAMMA]);
            param_output(d, node, base + SPX_REDUCE_DBETA, t[SPX_TERM_BETA]);
            if (requires(d, t[SPX_TERM_COEF])) {
                g->node[node].out[base + SPX_REDUCE_DCOEF] = d->grad[t[SPX_TERM_COEF]];
                g->node[node].accumulate[base + SPX_REDUCE_DCOEF] = true;
            }
        }
        if (requires(d, t[SPX_TERM_X])) {
            pending p = {.target = t[SPX_TERM_X],
                         .coef_index = coef_index[j],
                         .relu = relu,
                         .y = relu ? y : SPX_NO_TENSOR,
                         .dy = dy,
                         .sum_dy = sums[0],
                         .sum_dy_xhat = sums[1]};
            memcpy(p.fields, t, sizeof p.fields);
            add_pending(d, p);
        }
    }
    free(slot);
}

static void diff_norm_sum(diff *d, int i, spx_tid dy)
{
    const spx_node *nd = &d->g->node[i];
    const int k = nd->n_in / SPX_TERM_FIELDS;
    /* Copied: appending nodes moves the array. */
    spx_tid *in = malloc(sizeof(spx_tid) * (size_t)nd->n_in);
    int32_t *coef = malloc(sizeof(int32_t) * (size_t)k);
    if (in == NULL || coef == NULL) {
        spx_graph_fail(d->g, SPX_ENOMEM, "differentiation");
    } else {
        memcpy(in, nd->in, sizeof(spx_tid) * (size_t)nd->n_in);
        memcpy(coef, nd->coef_index, sizeof(int32_t) * (size_t)k);
        diff_terms(d, i, k, in, coef, nd->attr.relu, nd->out[0], dy);
    }
    free(in);
    free(coef);
}

/* Emits a node with one data-gradient output into the gradient of target. */
static void emit_data(diff *d, spx_op op, int i, int n_in, const spx_tid *in, spx_tid target)
{
    bool accumulate;
    const spx_tid grad = contribute(d, target, &accumulate);
    spx_node *nd = emit(d, op, i, n_in, 1);
    if (nd != NULL) {
        memcpy(nd->in, in, sizeof(spx_tid) * (size_t)n_in);
        nd->out[0] = grad;
        nd->accumulate[0] = accumulate;
    }
}

static void diff_conv2d(diff *d, int i, spx_tid dy)
{
    spx_graph *g = d->g;
    spx_tid in[7];
    const bool relu = g->node[i].attr.relu;
    memcpy(in, g->node[i].in, sizeof in);
    const bool normed = in[3] != SPX_NO_TENSOR;
    if (requires(d, in[1]) || requires(d, in[2])) {
        spx_node *nd = emit(d, SPX_OP_CONV2D_BWD_WEIGHTS, i, 6, 2);
        if (nd == NULL) {
            return;
        }
        const int node = (int)(nd - g->node);
        nd->in[0] = in[0];
        nd->in[1] = dy;
        memcpy(&nd->in[2], &in[3], 4 * sizeof(spx_tid));
        param_output(d, node, 0, in[1]);
        param_output(d, node, 1, in[2]);
    }
    if (!requires(d, in[0]) && !requires(d, in[5])) {
        return;
    }
    if (!relu && !normed) {
        emit_data(d, SPX_OP_CONV2D_BWD_DATA, i, 2, (spx_tid[]){dy, in[1]}, in[0]);
        return;
    }
    int64_t dim[4];
    memcpy(dim, g->tensor[in[0]].dim, sizeof dim);
    const spx_tid dz = spx_graph_new_tensor(g, SPX_ROLE_ACTIVATION, SPX_F32, 4, dim, NULL);
    spx_node *nd = emit(d, SPX_OP_CONV2D_BWD_DATA, i, 2, 1);
    if (nd == NULL) {
        return;
    }
    nd->in[0] = dy;
    nd->in[1] = in[1];
    nd->out[0] = dz;
    if (relu) {
        emit_data(d, SPX_OP_RELU_BWD, i, 2, (spx_tid[]){in[0], dz}, in[0]);
    } else {
        const spx_tid term[SPX_TERM_FIELDS] = {in[0], in[3],         in[4],        in[5],
                                               in[6], SPX_NO_TENSOR, SPX_NO_TENSOR};
        diff_terms(d, i, 1, term, (int32_t[]){0}, false, SPX_NO_TENSOR, dz);
    }
}

static void diff_linear(diff *d, int i, spx_tid dy)
{
    spx_graph *g = d->g;
    const spx_tid x = g->node[i].in[0], w = g->node[i].in[1], b = g->node[i].in[2];
    if (requires(d, w) || requires(d, b)) {
        spx_node *nd = emit(d, SPX_OP_LINEAR_BWD_WEIGHTS, i, 2, 2);
        if (nd == NULL) {
            return;
        }
        const int node = (int)(nd - g->node);
        nd->in[0] = x;
        nd->in[1] = dy;
        param_output(d, node, 0, w);
        param_output(d, node, 1, b);
    }
    if (requires(d, x)) {
        emit_data(d, SPX_OP_LINEAR_BWD_DATA, i, 2, (spx_tid[]){dy, w}, x);
    }
}

static void diff_loss(diff *d, int i, const spx_loss_seed *loss, int n_loss)
{
    spx_graph *g = d->g;
    const spx_tid logits = g->node[i].in[0], labels = g->node[i].in[1];
    for (int k = 0; k < n_loss && g->status == SPX_OK; k++) {
        if (loss[k].loss != g->node[i].out[0] || !requires(d, logits)) {
            continue;
        }
        emit_data(d, SPX_OP_CROSS_ENTROPY_BWD, i, 2, (spx_tid[]){logits, labels}, logits);
        if (g->status == SPX_OK && g->node[g->n_nodes - 1].accumulate[0]) {
            spx_graph_fail(g, SPX_EUNSUPPORTED, "%s: its logits have another reader",
                           g->node[i].name);
        } else if (g->status == SPX_OK) {
            g->node[g->n_nodes - 1].attr.value = loss[k].weight;
        }
    }
}

static void diff_node(diff *d, int i, const spx_loss_seed *loss, int n_loss)
{
    const spx_node *nd = &d->g->node[i];
    const spx_op op = nd->op;
    const spx_tid y = nd->out[0];
    spx_tid dy;
    if (op == SPX_OP_CROSS_ENTROPY) {
        diff_loss(d, i, loss, n_loss);
        return;
    }
    if (op == SPX_OP_BN_STATS || op == SPX_OP_DROP_MASK || !requires(d, y)) {
        return;
    }
    dy = complete(d, y);
    if (dy == SPX_NO_TENSOR || d->g->status != SPX_OK) {
        return; /* the losses do not depend on it */
    }
    const spx_tid x = d->g->node[i].in[0]; /* complete() may have moved the nodes */
    switch (op) {
    case SPX_OP_CONV2D:
        diff_conv2d(d, i, dy);
        break;
    case SPX_OP_NORM_SUM:
        diff_norm_sum(d, i, dy);
        break;
    case SPX_OP_LINEAR:
        diff_linear(d, i, dy);
        break;
    case SPX_OP_RELU:
        emit_data(d, SPX_OP_RELU_BWD, i, 2, (spx_tid[]){y, dy}, x);
        break;
    case SPX_OP_AVG_POOL:
        emit_data(d, SPX_OP_AVG_POOL_BWD, i, 1, (spx_tid[]){dy}, x);
        break;
    case SPX_OP_SOFTMAX:
        emit_data(d, SPX_OP_SOFTMAX_BWD, i, 2, (spx_tid[]){y, dy}, x);
        break;
    default:
        spx_graph_fail(d->g, SPX_EINVAL, "%s has no gradient", spx_op_name(op));
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
            emit_fill(d, gradient_of(d, t), 0);
        }
    }
    for (int k = 0; k < n_wrt && d->g->status == SPX_OK; k++) {
        wrt_grad[k] = complete(d, wrt[k]);
        if (wrt_grad[k] == SPX_NO_TENSOR) {
            wrt_grad[k] = gradient_of(d, wrt[k]);
            emit_fill(d, wrt_grad[k], 0);
        }
    }
}

static spx_status check(const spx_graph *g, const spx_loss_seed *loss, int n_loss)
{
    SPX_RETURN_IF(spx_graph_status(g));
    for (int i = 0; i < g->n_nodes; i++) {
        if (g->node[i].op == SPX_OP_BN_RUNNING) {
            return SPX_FAIL(SPX_EINVAL, "a graph built for evaluation cannot be differentiated");
        }
    }
    for (int k = 0; k < n_loss; k++) {
        bool found = false;
        for (int i = 0; i < g->n_nodes; i++) {
            found = found ||
                    (g->node[i].op == SPX_OP_CROSS_ENTROPY && g->node[i].out[0] == loss[k].loss);
        }
        if (!found) {
            return SPX_FAIL(SPX_EINVAL, "loss %d is no cross-entropy of this graph", k);
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
