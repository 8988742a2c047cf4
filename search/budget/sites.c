#include "search/budget/sites.h"

#include "kernels/base/alloc.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WORDS (SPX_SITES_MAX / 64)
#define BEAM 2048 /* labels of the first, hasty pass */

/* A partial choice: what was decided up to some step. */
typedef struct label {
    uint8_t
        depth[SPX_SITES_LIVE]; /* of the values still to be read, by slot; 0 where there is none */
    int64_t cost;
    double value;         /* dropped */
    double promise;       /* value + lambda * cost; set where the beam is cut */
    uint64_t drop[WORDS]; /* by site */
} label;

/* Where a step's value lies while it is to be read. */
typedef struct place {
    int slot;
    bool last[2]; /* whether the step is the last reader of x[0], x[1] */
} place;

typedef struct solver {
    const spx_sites *s;
    place *place; /* [n_steps] */
    label *label;
    size_t n, room;
    int max_depth;
    int64_t budget;
    bool by_cost;  /* every value counts as 0: what is cheapest */
    size_t limit;  /* of labels; more are cut to the most promising ones */
    bool cut;      /* whether that happened */
    double upper;  /* dropped value of a choice already known; INFINITY: none */
    double lambda; /* price of a unit of cost in the bound */
    double *rest;  /* [n_steps + 1]: the bound's sum over the sites from a step on */
    int *least;    /* [n_steps]: depths with every site kept: no value can be shallower */
    int *scratch;  /* [n_steps] */
} solver;

/* ---- what is given ---- */

static spx_status check_step(const spx_sites *s, int i, bool *read, bool *seen)
{
    const spx_sites_step *t = &s->step[i];
    const int needed = t->kind == SPX_SITES_FRESH ? 0 : 1;
    for (int k = 0; k < 2; k++) {
        if (t->x[k] >= i || t->x[k] < -1 || (k < needed && t->x[k] < 0) ||
            (k == 1 && t->x[k] >= 0 && t->kind != SPX_SITES_JOIN)) {
            return SPX_FAIL(SPX_EINVAL, "sites: step %d has no operand %d", i, k);
        }
        if (t->x[k] >= 0) {
            read[t->x[k]] = true;
        }
    }
    if (t->kind == SPX_SITES_RELU) {
        if (t->site < 0 || t->site >= s->n || seen[t->site]) {
            return SPX_FAIL(SPX_EINVAL, "sites: step %d is no site of its own", i);
        }
        seen[t->site] = true;
    }
    return SPX_OK;
}

static spx_status check_site(const spx_site *p, int i, int64_t *total)
{
    if (!(p->value >= 0.0) || p->value > 1e300 || p->cost[0] < 0) {
        return SPX_FAIL(SPX_EINVAL, "sites: value or cost of site %d", i);
    }
    for (int d = 1; d <= SPX_SITES_MAX_DEPTH; d++) {
        if (p->cost[d] < p->cost[d - 1]) {
            return SPX_FAIL(SPX_EINVAL, "sites: the cost of site %d falls with depth", i);
        }
    }
    *total = INT64_MAX / 2 - *total < p->cost[SPX_SITES_MAX_DEPTH]
                 ? -1
                 : *total + p->cost[SPX_SITES_MAX_DEPTH];
    return *total < 0 ? SPX_FAIL(SPX_EINVAL, "sites: costs are too large") : SPX_OK;
}

static spx_status check(const spx_sites *s)
{
    bool seen[SPX_SITES_MAX] = {false};
    int64_t total = 0;
    bool *read;
    spx_status st = SPX_OK;
    if (s->n_steps < 1 || s->n < 0 || s->n > SPX_SITES_MAX) {
        return SPX_FAIL(SPX_EINVAL, "sites: %d sites in %d steps; at most %d sites are possible",
                        s->n, s->n_steps, SPX_SITES_MAX);
    }
    SPX_RETURN_IF(SPX_NEW(read, (size_t)s->n_steps));
    for (int i = 0; i < s->n_steps && st == SPX_OK; i++) {
        st = check_step(s, i, read, seen);
    }
    for (int i = 0; i < s->n_steps - 1 && st == SPX_OK; i++) {
        st = read[i] ? SPX_OK : SPX_FAIL(SPX_EINVAL, "sites: step %d is read by none", i);
    }
    for (int i = 0; i < s->n && st == SPX_OK; i++) {
        st = seen[i] ? check_site(&s->site[i], i, &total)
                     : SPX_FAIL(SPX_EINVAL, "sites: site %d has no step", i);
    }
    spx_free(read);
    return st;
}

/* ---- one whole choice ---- */

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

/* Depth of each step's value; of the operand where the site is kept. The deepest is returned. */
static int depths(const spx_sites *s, const bool *keep, int *depth)
{
    int deepest = 0;
    for (int i = 0; i < s->n_steps; i++) {
        const spx_sites_step *t = &s->step[i];
        const int a = t->x[0] >= 0 ? depth[t->x[0]] : 0;
        depth[i] = t->kind == SPX_SITES_FRESH  ? 0
                   : t->kind == SPX_SITES_CONV ? a + 1
                   : t->kind == SPX_SITES_JOIN ? max_int(a, t->x[1] >= 0 ? depth[t->x[1]] : 0)
                   : keep[t->site]             ? 0
                                               : a;
        deepest = max_int(deepest, depth[i]);
    }
    return deepest;
}

static void measure(const spx_sites *s, spx_sites_choice *c, int *depth)
{
    c->depth = depths(s, c->keep, depth);
    c->cost = 0;
    c->dropped = 0;
    for (int i = 0; i < s->n_steps; i++) {
        const spx_sites_step *t = &s->step[i];
        if (t->kind == SPX_SITES_RELU && c->keep[t->site]) {
            const int d = depth[t->x[0]];
            c->cost += s->site[t->site].cost[d < SPX_SITES_MAX_DEPTH ? d : SPX_SITES_MAX_DEPTH];
        }
    }
    for (int i = 0; i < s->n; i++) {
        c->dropped += c->keep[i] ? 0.0 : s->site[i].value;
    }
}

spx_status spx_sites_measure(const spx_sites *s, spx_sites_choice *c)
{
    int *depth;
    SPX_RETURN_IF(check(s));
    SPX_RETURN_IF(SPX_NEW(depth, (size_t)s->n_steps));
    measure(s, c, depth);
    spx_free(depth);
    return SPX_OK;
}

/* Fails where not even the choice that keeps all, of which no value can be shallower, fits. */
static spx_status check_depth(const spx_sites *s, int max_depth, int *depth)
{
    bool all[SPX_SITES_MAX];
    memset(all, true, sizeof all);
    const int deepest = depths(s, all, depth);
    if (max_depth < 0 || max_depth > SPX_SITES_MAX_DEPTH) {
        return SPX_FAIL(SPX_EINVAL, "sites: a depth of %d; 0 to %d are possible", max_depth,
                        SPX_SITES_MAX_DEPTH);
    }
    return deepest <= max_depth
               ? SPX_OK
               : SPX_FAIL(SPX_ENOTFOUND,
                          "no choice has a depth of at most %d: with every ReLU kept it is %d, the "
                          "smallest possible",
                          max_depth, deepest);
}

static spx_status too_small(int64_t budget, int max_depth, int64_t smallest)
{
    return SPX_FAIL(SPX_ENOTFOUND,
                    "nothing fits a budget of %lld at a depth of at most %d: the smallest possible "
                    "budget is %lld",
                    (long long)budget, max_depth, (long long)smallest);
}

/* ---- the label's values ---- */

/* Gives every value a slot until its last reader has read it. */
static spx_status place_values(solver *v)
{
    const spx_sites *s = v->s;
    bool taken[SPX_SITES_LIVE] = {false};
    int *last;
    SPX_RETURN_IF(SPX_NEW(last, (size_t)s->n_steps));
    for (int i = 0; i < s->n_steps; i++) {
        for (int k = 0; k < 2; k++) {
            if (s->step[i].x[k] >= 0) {
                last[s->step[i].x[k]] = i;
            }
        }
    }
    spx_status st = SPX_OK;
    for (int i = 0; i < s->n_steps && st == SPX_OK; i++) {
        place *p = &v->place[i];
        for (int k = 0; k < 2; k++) {
            const int x = s->step[i].x[k];
            p->last[k] = x >= 0 && last[x] == i;
            if (p->last[k]) {
                taken[v->place[x].slot] = false;
            }
        }
        p->slot = 0;
        while (p->slot < SPX_SITES_LIVE && taken[p->slot]) {
            p->slot++;
        }
        if (p->slot == SPX_SITES_LIVE) {
            st = SPX_FAIL(SPX_EINVAL, "sites: more than %d values to be read at step %d",
                          SPX_SITES_LIVE, i);
        } else {
            taken[p->slot] = true;
        }
    }
    spx_free(last);
    return st;
}

/* Depths of step i's operands; the slots of those read for the last time become free. */
static int take_operands(const solver *v, int i, label *l)
{
    const spx_sites_step *t = &v->s->step[i];
    int deepest = 0;
    for (int k = 0; k < 2; k++) {
        if (t->x[k] >= 0) {
            deepest = max_int(deepest, l->depth[v->place[t->x[k]].slot]);
        }
    }
    for (int k = 0; k < 2; k++) {
        if (v->place[i].last[k]) {
            l->depth[v->place[t->x[k]].slot] = 0;
        }
    }
    return deepest;
}

/* ---- keeping what may still win ---- */

static int by_state(const void *a, const void *b)
{
    const label *x = a, *y = b;
    const int order[] = {memcmp(x->depth, y->depth, sizeof x->depth),
                         (x->cost > y->cost) - (x->cost < y->cost),
                         (x->value > y->value) - (x->value < y->value)};
    for (int i = 0; i < 3; i++) {
        if (order[i] != 0) {
            return order[i];
        }
    }
    return memcmp(x->drop, y->drop, sizeof x->drop);
}

/* Keeps the Pareto front of each state. */
static void prune(solver *v)
{
    size_t kept = 0;
    qsort(v->label, v->n, sizeof *v->label, by_state);
    for (size_t i = 0; i < v->n; i++) {
        const label *l = &v->label[i];
        /* the last kept one of the state is its cheapest of that value or less */
        if (kept == 0 || memcmp(v->label[kept - 1].depth, l->depth, sizeof l->depth) != 0 ||
            l->value < v->label[kept - 1].value) {
            v->label[kept++] = *l;
        }
    }
    v->n = kept;
}

static int by_promise(const void *a, const void *b)
{
    const label *x = a, *y = b;
    return x->promise != y->promise ? (x->promise < y->promise ? -1 : 1) : by_state(a, b);
}

static spx_status cut(solver *v)
{
    if (v->n <= v->limit) {
        return SPX_OK;
    }
    if (v->limit == SPX_SITES_LABELS) {
        return SPX_FAIL(SPX_ENOMEM, "sites: more than %d partial choices; coarser costs have fewer",
                        SPX_SITES_LABELS);
    }
    for (size_t i = 0; i < v->n; i++) {
        v->label[i].promise = v->label[i].value + v->lambda * (double)v->label[i].cost;
    }
    qsort(v->label, v->n, sizeof *v->label, by_promise);
    v->n = v->limit;
    v->cut = true;
    return SPX_OK;
}

/* Whether a partial choice before step i can still be within the budget and the best one. */
static bool alive(const solver *v, int i, const label *l)
{
    const double room =
        1e-9 * (1.0 + v->upper); /* sums of other orders differ in their last bits */
    return l->cost <= v->budget &&
           l->value + v->rest[i] - v->lambda * (double)(v->budget - l->cost) <= v->upper + room;
}

/* ---- the steps ---- */

/* A site: every label goes on as one that keeps it and one that drops it. */
static spx_status branch(solver *v, int i)
{
    const int site = v->s->step[i].site, slot = v->place[i].slot;
    const spx_site *p = &v->s->site[site];
    size_t n;
    prune(v);
    SPX_RETURN_IF(cut(v));
    n = v->n;
    while (2 * n > v->room) {
        const size_t full = v->room;
        SPX_RETURN_IF(SPX_GROW(v->label, full, v->room));
    }
    for (size_t j = 0; j < n; j++) {
        label *keep = &v->label[j], *drop = &v->label[n + j];
        const int depth = take_operands(v, i, keep);
        *drop = *keep;
        keep->depth[slot] = 0;
        keep->cost += p->cost[depth];
        drop->depth[slot] = (uint8_t)depth;
        drop->value += v->by_cost ? 0.0 : p->value;
        drop->drop[site / 64] |= (uint64_t)1 << (site % 64);
    }
    v->n = 0;
    for (size_t j = 0; j < 2 * n; j++) {
        if (alive(v, i + 1, &v->label[j])) {
            v->label[v->n++] = v->label[j];
        }
    }
    return SPX_OK;
}

static void pass(solver *v, int i)
{
    const spx_sites_step *t = &v->s->step[i];
    const size_t n = v->n;
    v->n = 0;
    for (size_t j = 0; j < n; j++) {
        label l = v->label[j];
        int depth = take_operands(v, i, &l);
        depth = t->kind == SPX_SITES_FRESH ? 0 : depth + (t->kind == SPX_SITES_CONV);
        if (depth <= v->max_depth) {
            l.depth[v->place[i].slot] = (uint8_t)depth;
            v->label[v->n++] = l;
        }
    }
}

/* One pass over the steps; *best is NULL where nothing is left. */
static spx_status walk(solver *v, const label **best)
{
    *best = NULL;
    v->cut = false;
    v->n = 0;
    SPX_RETURN_IF(SPX_GROW(v->label, v->n, v->room));
    memset(&v->label[v->n++], 0, sizeof *v->label);
    for (int i = 0; i < v->s->n_steps && v->n > 0; i++) {
        if (v->s->step[i].kind == SPX_SITES_RELU) {
            SPX_RETURN_IF(branch(v, i));
        } else {
            pass(v, i);
        }
    }
    for (size_t i = 0; i < v->n; i++) {
        const label *l = &v->label[i], *b = *best;
        if (b == NULL || l->value < b->value ||
            (l->value == b->value &&
             (l->cost < b->cost ||
              (l->cost == b->cost && memcmp(l->drop, b->drop, sizeof l->drop) < 0)))) {
            *best = l;
        }
    }
    return SPX_OK;
}

/* ---- the bound ---- */

static int64_t least_cost(const solver *v, int i)
{
    const spx_sites_step *t = &v->s->step[i];
    return v->s->site[t->site].cost[v->least[t->x[0]]];
}

/* Least value that must be dropped from any budget, were depth free, at price lambda: the sum over
 * sites of min(value, lambda * cost), less what the budget buys. Fills rest. */
static double bound(solver *v, double lambda)
{
    v->rest[v->s->n_steps] = 0;
    for (int i = v->s->n_steps - 1; i >= 0; i--) {
        double least = 0;
        if (v->s->step[i].kind == SPX_SITES_RELU) {
            const double value = v->s->site[v->s->step[i].site].value;
            const double price = lambda * (double)least_cost(v, i);
            least = value < price ? value : price;
        }
        v->rest[i] = v->rest[i + 1] + least;
    }
    return v->rest[0] - lambda * (double)v->budget;
}

/* The price of the tightest bound: one of the ratios of value to cost, as the bound is concave and
 * linear between them. */
static void price(solver *v)
{
    double best = bound(v, 0.0), lambda = 0.0;
    for (int i = 0; i < v->s->n_steps; i++) {
        if (v->s->step[i].kind == SPX_SITES_RELU && least_cost(v, i) > 0) {
            const double ratio = v->s->site[v->s->step[i].site].value / (double)least_cost(v, i);
            const double now = bound(v, ratio);
            if (now > best) {
                best = now;
                lambda = ratio;
            }
        }
    }
    v->lambda = lambda;
    (void)bound(v, lambda);
}

/* ---- the whole ---- */

static spx_status begin(solver *v, const spx_sites *s, int max_depth)
{
    *v = (solver){.s = s, .max_depth = max_depth, .limit = SPX_SITES_LABELS, .upper = INFINITY};
    SPX_RETURN_IF(check(s));
    SPX_RETURN_IF(SPX_NEW(v->least, (size_t)s->n_steps));
    SPX_RETURN_IF(SPX_NEW(v->scratch, (size_t)s->n_steps));
    SPX_RETURN_IF(check_depth(s, max_depth, v->least));
    SPX_RETURN_IF(SPX_NEW(v->place, (size_t)s->n_steps));
    SPX_RETURN_IF(SPX_NEW(v->rest, (size_t)s->n_steps + 1));
    return place_values(v);
}

static void end(solver *v)
{
    spx_free(v->label);
    spx_free(v->place);
    spx_free(v->rest);
    spx_free(v->least);
    spx_free(v->scratch);
}

static void tell(solver *v, const label *l, spx_sites_choice *out)
{
    memset(out, 0, sizeof *out);
    for (int i = 0; i < v->s->n; i++) {
        out->keep[i] = (l->drop[i / 64] >> (i % 64) & 1) == 0;
    }
    measure(v->s, out, v->scratch);
    assert(out->cost == l->cost && out->depth <= v->max_depth);
}

static spx_status smallest(solver *v, spx_sites_choice *out)
{
    const label *best;
    v->by_cost = true;
    v->budget = INT64_MAX / 2;
    SPX_RETURN_IF(walk(v, &best));
    v->by_cost = false;
    assert(best != NULL); /* check_depth has shown a choice */
    tell(v, best, out);
    return SPX_OK;
}

/* A hasty pass, then, where it had to leave something out, one that need not look at what cannot
 * beat its result. */
static spx_status solve(solver *v, int64_t budget, spx_sites_choice *out)
{
    const label *best;
    SPX_RETURN_IF(smallest(v, out));
    if (out->cost > budget) {
        return too_small(budget, v->max_depth, out->cost);
    }
    v->budget = budget;
    price(v);
    v->limit = BEAM;
    for (int i = 0; i < 2; i++) {
        v->upper = out->dropped;
        SPX_RETURN_IF(walk(v, &best));
        if (best != NULL) {
            tell(v, best, out);
        }
        if (!v->cut) {
            break;
        }
        v->limit = SPX_SITES_LABELS;
    }
    return SPX_OK;
}

spx_status spx_sites_solve(const spx_sites *s, int64_t budget, int max_depth, spx_sites_choice *out)
{
    solver v;
    spx_status st;
    out->cost = -1;
    st = begin(&v, s, max_depth);
    if (st == SPX_OK) {
        st = solve(&v, budget, out);
    }
    end(&v);
    return st;
}

/* ---- groups ---- */

static bool better(const spx_sites_choice *a, const spx_sites_choice *b)
{
    return a->dropped < b->dropped || (a->dropped == b->dropped && a->cost < b->cost);
}

static spx_status try_groups(const spx_sites *s, int groups, int64_t budget, int max_depth,
                             spx_sites_choice *out, int *depth)
{
    spx_sites_choice cheapest = {.cost = INT64_MAX};
    bool found = false;
    out->cost = -1;
    SPX_RETURN_IF(check_depth(s, max_depth, depth));
    for (uint32_t drop = 0; drop < (uint32_t)1 << groups; drop++) {
        spx_sites_choice c = {0};
        for (int i = 0; i < s->n; i++) {
            c.keep[i] = (drop >> s->site[i].group & 1) == 0;
        }
        measure(s, &c, depth);
        if (c.depth > max_depth) {
            continue;
        }
        cheapest = c.cost < cheapest.cost ? c : cheapest;
        if (c.cost <= budget && (!found || better(&c, out))) {
            *out = c;
            found = true;
        }
    }
    if (!found) {
        *out = cheapest;
        return too_small(budget, max_depth, out->cost);
    }
    return SPX_OK;
}

spx_status spx_sites_solve_groups(const spx_sites *s, int64_t budget, int max_depth,
                                  spx_sites_choice *out)
{
    int groups = 0;
    int *depth;
    SPX_RETURN_IF(check(s));
    for (int i = 0; i < s->n; i++) {
        if (s->site[i].group < 0 || s->site[i].group >= SPX_SITES_MAX_GROUPS) {
            return SPX_FAIL(SPX_EINVAL, "sites: group %d; 0 to %d are possible", s->site[i].group,
                            SPX_SITES_MAX_GROUPS - 1);
        }
        groups = max_int(groups, s->site[i].group + 1);
    }
    SPX_RETURN_IF(SPX_NEW(depth, (size_t)s->n_steps));
    const spx_status st = try_groups(s, groups, budget, max_depth, out, depth);
    spx_free(depth);
    return st;
}
