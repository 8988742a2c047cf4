/*
 * Which nodes may overlap in time. Two nodes conflict where they touch the same bytes and one of
 * them writes; slices of one tensor are told apart by their channels, which lie side by side in
 * every pixel, all else by bytes.
 */
#include "host/graph/node_lanes_private.h"

#include "host/graph/graph_private.h"
#include "kernels/base/rng.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What waiting for another lane costs a kernel, about; keeps chains on one lane. */
#define EVENT_SECONDS 2e-6

/* A node's touch of a storage (a tensor that is no view). */
typedef struct use {
    int node, next; /* next: of the same storage, or -1 */
    int64_t lo, hi; /* channels of rank 4, elements of all else */
    bool write;
} use;

typedef struct storage {
    spx_tid tensor;
    int space;
    int64_t begin, end; /* bytes */
} storage;

typedef struct work {
    const spx_exec *e;
    use *uses;
    int *first_use; /* [n_tensors], or -1 */
    int n_uses;
    storage *list;
    int *alias, *alias_start; /* [n_tensors + 1]: storages that share bytes with one */
    int *pred, *pred_start;   /* [n_nodes + 1] */
    int n_pred;
    size_t room_uses, room_pred, room_waits;
    int *stamp;    /* [n_nodes] */
    double *level; /* [n_nodes] seconds from a node's begin to the end of all */
    int *blocked;  /* [n_nodes] predecessors not placed yet */
    int *succ, *succ_start;
    int *launch_of; /* [n_nodes] */
    double *finish; /* [n_nodes] */
    int (*clock)[SPX_LANES_MAX];
} work;

static void work_clear(work *w)
{
    free(w->uses);
    free(w->first_use);
    free(w->list);
    free(w->alias);
    free(w->alias_start);
    free(w->pred);
    free(w->pred_start);
    free(w->stamp);
    free(w->level);
    free(w->blocked);
    free(w->succ);
    free(w->succ_start);
    free(w->launch_of);
    free(w->finish);
    free(w->clock);
}

static spx_status work_init(work *w, const spx_exec *e)
{
    const size_t nodes = (size_t)e->g->n_nodes + 1, tensors = (size_t)e->g->n_tensors + 1;
    *w = (work){.e = e,
                .first_use = malloc(tensors * sizeof(int)),
                .list = malloc(tensors * sizeof(storage)),
                .alias_start = calloc(tensors + 1, sizeof(int)),
                .pred_start = calloc(nodes, sizeof(int)),
                .stamp = malloc(nodes * sizeof(int)),
                .level = malloc(nodes * sizeof(double)),
                .blocked = calloc(nodes, sizeof(int)),
                .succ_start = calloc(nodes + 1, sizeof(int)),
                .launch_of = malloc(nodes * sizeof(int)),
                .finish = malloc(nodes * sizeof(double)),
                .clock = malloc(nodes * sizeof *w->clock)};
    if (w->first_use == NULL || w->list == NULL || w->alias_start == NULL ||
        w->pred_start == NULL || w->stamp == NULL || w->level == NULL || w->blocked == NULL ||
        w->succ_start == NULL || w->launch_of == NULL || w->finish == NULL || w->clock == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "schedule of %d nodes", e->g->n_nodes);
    }
    for (size_t t = 0; t < tensors; t++) {
        w->first_use[t] = -1;
    }
    for (size_t i = 0; i < nodes; i++) {
        w->stamp[i] = -1;
    }
    return SPX_OK;
}

/* ---- who touches what ---- */

/* Memory that runs write: the workspace, states, gradients. */
static bool is_storage(const spx_exec *e, spx_tid t)
{
    const spx_tensor *x = &e->g->tensor[t];
    return (x->role == SPX_ROLE_ACTIVATION && x->parent == SPX_NO_TENSOR && e->offset[t] >= 0) ||
           x->role == SPX_ROLE_STATE || x->role == SPX_ROLE_WEIGHT_GRAD ||
           x->role == SPX_ROLE_ARCH_GRAD;
}

static int by_place(const void *pa, const void *pb)
{
    const storage *a = pa, *b = pb;
    if (a->space != b->space) {
        return a->space < b->space ? -1 : 1;
    }
    if (a->begin != b->begin) {
        return a->begin < b->begin ? -1 : 1;
    }
    return (a->tensor > b->tensor) - (a->tensor < b->tensor);
}

/* Counts (alias == NULL) or lists the pairs of storages that share bytes. */
static void each_alias(work *w, int n, int *next)
{
    for (int i = 0; i < n; i++) {
        const storage *a = &w->list[i];
        for (int j = i + 1; j < n; j++) {
            const storage *b = &w->list[j];
            if (b->space != a->space || b->begin >= a->end) {
                break;
            }
            if (w->alias != NULL) {
                w->alias[next[a->tensor]] = b->tensor;
                w->alias[next[b->tensor]] = a->tensor;
            }
            next[a->tensor]++;
            next[b->tensor]++;
        }
    }
}

static spx_status find_aliases(work *w)
{
    const spx_exec *e = w->e;
    const int tensors = e->g->n_tensors;
    int n = 0, total = 0;
    int *next = calloc((size_t)tensors + 1, sizeof *next);
    if (next == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "schedule");
    }
    for (int t = 0; t < tensors; t++) {
        const spx_tensor *x = &e->g->tensor[t];
        if (is_storage(e, t)) {
            const int64_t begin =
                x->role == SPX_ROLE_ACTIVATION ? e->offset[t] : x->offset * (int64_t)sizeof(float);
            w->list[n++] = (storage){t, (int)x->role, begin, begin + (int64_t)spx_exec_size(e, t)};
        }
    }
    qsort(w->list, (size_t)n, sizeof *w->list, by_place);
    each_alias(w, n, next);
    for (int t = 0; t < tensors; t++) {
        w->alias_start[t] = total;
        total += next[t];
        next[t] = w->alias_start[t];
    }
    w->alias_start[tensors] = total;
    w->alias = malloc(sizeof *w->alias * ((size_t)total + 1));
    if (w->alias != NULL) {
        each_alias(w, n, next);
    }
    free(next);
    return w->alias != NULL ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "schedule");
}

/* Operand k of node i (inputs, then outputs) as a use; false where it is none to mind. */
static bool use_of(const work *w, int i, int k, use *out, spx_tid *root)
{
    const spx_graph *g = w->e->g;
    const spx_node *nd = &g->node[i];
    const bool output = k >= nd->n_in;
    const spx_tid t = output ? nd->out[k - nd->n_in] : nd->in[k];
    if (t == SPX_NO_TENSOR) {
        return false;
    }
    const spx_tensor *x = &g->tensor[t];
    *root = x->role == SPX_ROLE_ACTIVATION ? spx_root(g, t) : t;
    if (!is_storage(w->e, *root)) {
        return false;
    }
    *out = (use){.node = i, .write = output, .hi = spx_tensor_count(x)};
    if (x->role == SPX_ROLE_ACTIVATION && x->rank == 4) {
        out->lo = *root != t ? x->first : 0;
        out->hi = out->lo + x->dim[1];
    }
    const spx_op_record *r = spx_op_record_of(nd->op);
    const spx_slot *slot = output ? spx_op_output(r, k - nd->n_in) : spx_op_input(r, k);
    assert(slot != NULL);
    out->write = output || slot->updated;
    if (slot->element) {
        out->lo = nd->coef_index[(k - nd->n_in) / SPX_REDUCE_FIELDS]; /* one element */
        out->hi = out->lo + 1;
    }
    return true;
}

static spx_status depend(work *w, int i, int on)
{
    assert(on <= i); /* the order of nodes is one that all dependences allow */
    if (on == i || w->stamp[on] == i) {
        return SPX_OK;
    }
    w->stamp[on] = i;
    SPX_RETURN_IF(SPX_GROW(w->pred, (size_t)w->n_pred, w->room_pred));
    w->pred[w->n_pred++] = on;
    return SPX_OK;
}

static spx_status depend_on_uses(work *w, const use *u, spx_tid of, bool same)
{
    for (int k = w->first_use[of]; k >= 0; k = w->uses[k].next) {
        const use *v = &w->uses[k];
        if ((u->write || v->write) && (!same || (u->lo < v->hi && v->lo < u->hi))) {
            SPX_RETURN_IF(depend(w, u->node, v->node));
        }
    }
    return SPX_OK;
}

static spx_status find_dependences(work *w)
{
    const spx_graph *g = w->e->g;
    for (int i = 0; i < g->n_nodes; i++) {
        const int operands = g->node[i].n_in + g->node[i].n_out;
        w->pred_start[i] = w->n_pred;
        for (int k = 0; k < operands; k++) {
            use u;
            spx_tid root;
            if (!use_of(w, i, k, &u, &root)) {
                continue;
            }
            SPX_RETURN_IF(depend_on_uses(w, &u, root, true));
            for (int a = w->alias_start[root]; a < w->alias_start[root + 1]; a++) {
                SPX_RETURN_IF(depend_on_uses(w, &u, w->alias[a], false));
            }
            SPX_RETURN_IF(SPX_GROW(w->uses, (size_t)w->n_uses, w->room_uses));
            u.next = w->first_use[root];
            w->first_use[root] = w->n_uses;
            w->uses[w->n_uses++] = u;
        }
    }
    w->pred_start[g->n_nodes] = w->n_pred;
    return SPX_OK;
}

/* ---- placing ---- */

static spx_status find_levels(work *w)
{
    const int n = w->e->g->n_nodes;
    w->succ = malloc(sizeof *w->succ * ((size_t)w->n_pred + 1));
    if (w->succ == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "schedule");
    }
    for (int p = 0; p < w->n_pred; p++) {
        w->succ_start[w->pred[p] + 2]++;
    }
    for (int i = 2; i <= n; i++) {
        w->succ_start[i] += w->succ_start[i - 1];
    }
    for (int i = 0; i < n; i++) {
        w->blocked[i] = w->pred_start[i + 1] - w->pred_start[i];
        w->level[i] = w->e->cost[i];
        for (int p = w->pred_start[i]; p < w->pred_start[i + 1]; p++) {
            w->succ[w->succ_start[w->pred[p] + 1]++] = i;
        }
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int p = w->pred_start[i]; p < w->pred_start[i + 1]; p++) {
            const int on = w->pred[p];
            const double level = w->e->cost[on] + w->level[i];
            w->level[on] = level > w->level[on] ? level : w->level[on];
        }
    }
    return SPX_OK;
}

/* The lane on which node i can begin first, and when. */
static int best_lane(const work *w, const spx_node_lanes *s, int i, const double *idle,
                     double *when)
{
    int best = 0;
    for (int lane = 0; lane < s->lanes; lane++) {
        double begin = idle[lane];
        for (int p = w->pred_start[i]; p < w->pred_start[i + 1]; p++) {
            const int on = w->pred[p];
            const bool here = s->launch[w->launch_of[on]].lane == lane;
            const double ready = w->finish[on] + (here ? 0 : EVENT_SECONDS);
            begin = ready > begin ? ready : begin;
        }
        if (lane == 0 || begin < *when) {
            best = lane;
            *when = begin;
        }
    }
    return best;
}

/* Takes over what launch `done` knew to be over. */
static void learn(int known[SPX_LANES_MAX], const int clock[SPX_LANES_MAX])
{
    for (int m = 0; m < SPX_LANES_MAX; m++) {
        known[m] = clock[m] > known[m] ? clock[m] : known[m];
    }
}

/* Waits of the launch being placed: the last predecessor on every lane that is not known done. */
static spx_status add_waits(work *w, spx_node_lanes *s, spx_launch *t, int known[SPX_LANES_MAX])
{
    int need[SPX_LANES_MAX];
    memset(need, 0xff, sizeof need);
    for (int p = w->pred_start[t->node]; p < w->pred_start[t->node + 1]; p++) {
        const int on = w->launch_of[w->pred[p]], lane = s->launch[on].lane;
        need[lane] = on > need[lane] ? on : need[lane];
    }
    t->first_wait = s->n_waits;
    for (int m = 0; m < s->lanes; m++) {
        if (m == t->lane || need[m] <= known[m]) {
            continue;
        }
        SPX_RETURN_IF(SPX_GROW(s->wait, (size_t)s->n_waits, w->room_waits));
        s->wait[s->n_waits++] = need[m];
        s->launch[need[m]].marked = true;
        learn(known, w->clock[need[m]]);
    }
    t->n_wait = s->n_waits - t->first_wait;
    return SPX_OK;
}

/* Removes and returns the ready node with the longest way to go. */
static int take(const work *w, int *ready, int *n_ready)
{
    int best = 0;
    for (int k = 1; k < *n_ready; k++) {
        const double a = w->level[ready[k]], b = w->level[ready[best]];
        if (a > b || (a == b && ready[k] < ready[best])) {
            best = k;
        }
    }
    const int node = ready[best];
    ready[best] = ready[--*n_ready];
    return node;
}

static spx_status place(work *w, spx_node_lanes *s, int *ready)
{
    const int n = w->e->g->n_nodes;
    int known[SPX_LANES_MAX][SPX_LANES_MAX], n_ready = 0;
    double idle[SPX_LANES_MAX] = {0};
    memset(known, 0xff, sizeof known);
    memset(s->end, 0xff, sizeof s->end);
    for (int i = 0; i < n; i++) {
        if (w->blocked[i] == 0) {
            ready[n_ready++] = i;
        }
    }
    while (n_ready > 0) {
        const int i = take(w, ready, &n_ready);
        double begin = 0;
        const int lane = best_lane(w, s, i, idle, &begin), launch = s->n++;
        s->launch[launch] = (spx_launch){.node = i, .lane = lane};
        SPX_RETURN_IF(add_waits(w, s, &s->launch[launch], known[lane]));
        w->launch_of[i] = launch;
        w->finish[i] = idle[lane] = begin + w->e->cost[i];
        s->seconds = w->finish[i] > s->seconds ? w->finish[i] : s->seconds;
        s->end[lane] = known[lane][lane] = launch;
        memcpy(w->clock[launch], known[lane], sizeof known[lane]);
        for (int k = w->succ_start[i]; k < w->succ_start[i + 1]; k++) {
            if (--w->blocked[w->succ[k]] == 0) {
                ready[n_ready++] = w->succ[k];
            }
        }
    }
    assert(s->n == n);
    for (int lane = 0; lane < SPX_LANES_MAX; lane++) {
        if (lane == 0 || s->end[lane] <= known[0][lane]) {
            s->end[lane] = -1; /* over when lane 0 is */
        } else {
            s->launch[s->end[lane]].marked = true;
        }
    }
    return SPX_OK;
}

spx_status spx_node_lanes_make(spx_node_lanes *out, const spx_exec *e, int lanes)
{
    work w;
    int *ready = malloc(sizeof *ready * ((size_t)e->g->n_nodes + 1));
    spx_status st;
    assert(lanes >= 1 && lanes <= SPX_LANES_MAX);
    *out = (spx_node_lanes){.lanes = lanes};
    out->launch = calloc((size_t)e->g->n_nodes + 1, sizeof *out->launch);
    SPX_TRY(st, work_init(&w, e), done);
    if (ready == NULL || out->launch == NULL) {
        st = SPX_FAIL(SPX_ENOMEM, "schedule of %d nodes", e->g->n_nodes);
        goto done;
    }
    SPX_TRY(st, find_aliases(&w), done);
    SPX_TRY(st, find_dependences(&w), done);
    SPX_TRY(st, find_levels(&w), done);
    st = place(&w, out, ready);
done:
    work_clear(&w);
    free(ready);
    if (st != SPX_OK) {
        spx_node_lanes_clear(out);
    }
    return st;
}

void spx_node_lanes_clear(spx_node_lanes *s)
{
    free(s->launch);
    free(s->wait);
    *s = (spx_node_lanes){0};
}

/* ---- another order ---- */

/* The first launch of a lane not taken yet whose waits are over; -1: none. */
static int next_of_lane(const spx_node_lanes *s, const int *place, int lane)
{
    for (int i = 0; i < s->n; i++) {
        const spx_launch *t = &s->launch[i];
        if (t->lane != lane || place[i] >= 0) {
            continue;
        }
        for (int k = 0; k < t->n_wait; k++) {
            if (place[s->wait[t->first_wait + k]] < 0) {
                return -1;
            }
        }
        return i;
    }
    return -1;
}

spx_status spx_node_lanes_shuffle(spx_node_lanes *s, uint64_t seed)
{
    spx_launch *launch = malloc(sizeof *launch * ((size_t)s->n + 1));
    int *place = malloc(sizeof *place * ((size_t)s->n + 1));
    spx_rng r;
    if (launch == NULL || place == NULL) {
        free(launch);
        free(place);
        return SPX_FAIL(SPX_ENOMEM, "schedule of %d nodes", s->n);
    }
    memset(place, 0xff, sizeof *place * ((size_t)s->n + 1));
    spx_rng_init(&r, seed, SPX_RNG_TEST, 0);
    for (int n = 0; n < s->n;) {
        const int i = next_of_lane(s, place, (int)spx_rng_below(&r, (uint32_t)s->lanes));
        if (i >= 0) {
            place[i] = n;
            launch[n++] = s->launch[i];
        }
    }
    for (int k = 0; k < s->n_waits; k++) {
        s->wait[k] = place[s->wait[k]];
    }
    for (int lane = 0; lane < SPX_LANES_MAX; lane++) {
        s->end[lane] = s->end[lane] >= 0 ? place[s->end[lane]] : -1;
    }
    free(place);
    free(s->launch);
    s->launch = launch;
    return SPX_OK;
}
