#include "search/budget/budget.h"
#include "kernels/base/alloc.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* Counts already made; sorted by key. */
typedef struct entry {
    uint64_t key;
    spx_counts counts;
} entry;

struct spx_planner {
    spx_genotype genotype;
    spx_input_shape input;
    int64_t classes;
    spx_cell_masks masks;
    int64_t step; /* of initial channels: 2 with the ImageNet stem, which halves them */
    entry *cache;
    size_t n, room;
};

/* ---- the score ---- */

/* ln of v relative to the elbow, times one weight below it and another above. */
static double elbow(double v, double at, double below, double above)
{
    const double x = log(v / at);
    return x < 0 ? below * x : above * x;
}

/* Where reductions score best: the first at once, the second so that five cells follow, itself
 * included. */
static int favoured_second(int64_t layers)
{
    const int64_t last = 2 * layers / 3;
    const int64_t at = layers - 5 < 1 ? 1 : layers - 5;
    return (int)(at < last ? at : last);
}

static double shape_score(int64_t channels, int64_t layers)
{
    const double l = (double)layers;
    return elbow(l, 5, 3.0, 1.0) + elbow(l < 10 ? 10 : l, 10, 0, 0.1 - 1.0) +
           elbow((double)channels, 5, 2.0, 0.5);
}

static double placement_penalty(int64_t layers, const int at[2])
{
    return 0.1 * (at[0] + abs(at[1] - favoured_second(layers))) / (double)layers;
}

double spx_plan_score(int64_t init_channels, int64_t layers, const int reduce_at[2])
{
    return shape_score(init_channels, layers) - placement_penalty(layers, reduce_at);
}

spx_final_spec spx_plan_spec(const spx_plan_choice *c, const spx_genotype *g,
                             const spx_input_shape *input, int64_t classes)
{
    const spx_cell_sites none = {0, 0};
    const spx_cell_sites dropped = c->masked ? spx_cell_mask_dropped(g, c->keep) : none;
    return (spx_final_spec){.genotype = *g,
                            .input = *input,
                            .classes = classes,
                            .init_channels = c->init_channels,
                            .layers = c->layers,
                            .n_reduce = 2,
                            .reduce_at = {c->reduce_at[0], c->reduce_at[1]},
                            .masked = (dropped.normal | dropped.reduce) != 0,
                            .dropped = dropped};
}

/* ---- counting, remembered ---- */

/* Index of the first entry whose key is not below key. */
static size_t cache_find(const spx_planner *p, uint64_t key)
{
    size_t low = 0, high = p->n;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (p->cache[mid].key < key) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static spx_status cache_insert(spx_planner *p, size_t at, const entry *e)
{
    SPX_RETURN_IF(spx_fail_context(SPX_GROW(p->cache, p->n, p->room), "plan"));
    for (size_t i = p->n; i > at; i--) {
        p->cache[i] = p->cache[i - 1];
    }
    p->cache[at] = *e;
    p->n++;
    assert((at == 0 || p->cache[at - 1].key < e->key) &&
           (at + 1 == p->n || e->key < p->cache[at + 1].key));
    return SPX_OK;
}

static uint64_t mask_key(const spx_plan_choice *c)
{
    return (uint64_t)c->masked << 16 | (uint64_t)c->keep.normal << 8 | (uint64_t)c->keep.reduce;
}

/* Fills c->counts by building and walking the network. */
static spx_status count(spx_planner *p, spx_plan_choice *c)
{
    entry e = {.key = mask_key(c) << 40 | ((uint64_t)c->init_channels << 24) |
                      ((uint64_t)c->layers << 16) | ((uint64_t)c->reduce_at[0] << 8) |
                      (uint64_t)c->reduce_at[1]};
    const size_t at = cache_find(p, e.key);
    assert((c->layers | c->reduce_at[0] | c->reduce_at[1]) >> 8 == 0); /* a byte of the key each */
    if (at < p->n && p->cache[at].key == e.key) {
        c->counts = p->cache[at].counts;
        return SPX_OK;
    }
    const spx_final_spec spec = spx_plan_spec(c, &p->genotype, &p->input, p->classes);
    spx_audit audit;
    SPX_RETURN_IF(spx_audit_final(&audit, &spec, false));
    e.counts = audit.total;
    e.counts.relus = audit.relus.kept;
    SPX_RETURN_IF(cache_insert(p, at, &e));
    c->counts = e.counts;
    return SPX_OK;
}

spx_status spx_planner_create(spx_planner **out, const spx_genotype *g,
                              const spx_input_shape *input, int64_t classes)
{
    spx_planner *p = calloc(1, sizeof *p);
    *out = NULL;
    if (p == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "plan: %zu bytes", sizeof *p);
    }
    p->genotype = *g;
    p->input = *input;
    p->classes = classes;
    p->step = spx_is_imagenet(input) ? 2 : 1;
    spx_plan_choice smallest = {.init_channels = p->step, .layers = 2, .reduce_at = {0, 1}};
    const spx_status st = count(p, &smallest); /* says early what no network can be built for */
    if (st != SPX_OK) {
        spx_planner_destroy(p);
        return st;
    }
    *out = p;
    return SPX_OK;
}

void spx_planner_destroy(spx_planner *p)
{
    if (p != NULL) {
        free(p->cache);
        free(p);
    }
}

void spx_planner_set_masks(spx_planner *p, const spx_cell_masks *m)
{
    p->masks = *m;
}

/* ---- the choice ---- */

/* Puts a mask into a choice; -1 is none. */
static void set_mask(const spx_planner *p, spx_plan_choice *c, int mask)
{
    c->masked = mask >= 0;
    c->keep = mask >= 0 ? p->masks.mask[mask].keep : (spx_cell_sites){0, 0};
}

/* What a mask adds to the score, 0 or less. */
static double mask_score(const spx_planner *p, int mask)
{
    return mask < 0 ? 0 : SPX_PLAN_MASK_WEIGHT * log(p->masks.mask[mask].value);
}

/* Whether the counts stay within a bound. */
static bool fits(const spx_counts *n, const spx_plan_bounds *b)
{
    return n->relus <= b->relus && (b->max_params == 0 || n->params <= b->max_params) &&
           (b->max_macs == 0 || n->macs <= b->max_macs);
}

/*
 * The widest network of c's layers and placement within b, from `least` to `most` channels: c's
 * width and counts; 0 channels when `least` does not fit. Every count grows with the width, so
 * halving finds it.
 */
static spx_status widest(spx_planner *p, const spx_plan_bounds *b, int64_t least, int64_t most,
                         spx_plan_choice *c)
{
    int64_t low = least / p->step,
            high = most / p->step + 1; /* low fits, high does not, in steps */
    spx_plan_choice best = *c;
    c->init_channels = best.init_channels = least;
    SPX_RETURN_IF(count(p, c));
    if (!fits(&c->counts, b)) {
        c->init_channels = 0;
        return SPX_OK;
    }
    best.counts = c->counts;
    for (bool first = true; high - low > 1; first = false) { /* often `most` fits */
        const int64_t mid = first ? high - 1 : low + (high - low) / 2;
        c->init_channels = mid * p->step;
        SPX_RETURN_IF(count(p, c));
        if (fits(&c->counts, b)) {
            low = mid;
            best = *c;
        } else {
            high = mid;
        }
    }
    *c = best;
    return SPX_OK;
}

/* The narrowest network of these layers and placement that scores at least `score`; above most if
 * none. */
static int64_t narrowest(const spx_planner *p, int64_t layers, const int at[2], double score,
                         int64_t most)
{
    int64_t low = 0, high = most / p->step + 1;
    while (high - low > 1) {
        const int64_t mid = low + (high - low) / 2;
        if (spx_plan_score(mid * p->step, layers, at) >= score) {
            high = mid;
        } else {
            low = mid;
        }
    }
    return high * p->step;
}

static bool better(const spx_plan_choice *a, const spx_plan_choice *b)
{
    if (b->init_channels == 0 || a->score != b->score) {
        return b->init_channels == 0 || a->score > b->score;
    }
    return a->counts.macs >
           b->counts.macs; /* candidates come in the order that breaks later ties */
}

/*
 * Tries all placements at one depth. `most`: the widest that the ReLU budget allows at the favoured
 * placement; ReLUs do not depend on the placement, so it bounds the score of every placement. (A
 * test builds and walks all placements to prove it; each candidate is counted and checked all the
 * same.)
 */
static spx_status try_depth(spx_planner *p, const spx_plan_bounds *b, int64_t layers, int64_t most,
                            int mask, spx_plan_choice *best)
{
    const double extra = mask_score(p, mask);
    const int last = (int)(2 * layers / 3);
    for (int i = 0; i < last; i++) {
        for (int j = i + 1; j <= last; j++) {
            spx_plan_choice c = {.layers = layers, .reduce_at = {i, j}};
            set_mask(p, &c, mask);
            if (b->reduce_at != NULL && (i != b->reduce_at[0] || j != b->reduce_at[1])) {
                continue;
            }
            const int64_t least = best->init_channels > 0
                                      ? narrowest(p, layers, c.reduce_at, best->score - extra, most)
                                      : p->step;
            if (least > most) {
                continue;
            }
            SPX_RETURN_IF(widest(p, b, least, most, &c));
            if (c.init_channels == 0) {
                continue;
            }
            c.score = spx_plan_score(c.init_channels, layers, c.reduce_at) + extra;
            if (better(&c, best)) {
                *best = c;
            }
        }
    }
    return SPX_OK;
}

/* The mask of which the smallest network has fewest ReLUs; c becomes that network. */
static spx_status fewest(spx_planner *p, const spx_plan_bounds *b, spx_plan_choice *c)
{
    spx_plan_choice least = {0};
    *c = (spx_plan_choice){.init_channels = p->step, .layers = b->min_layers, .reduce_at = {0, 1}};
    for (int m = p->masks.n > 0 ? 0 : -1; m < p->masks.n; m++) {
        set_mask(p, c, m);
        SPX_RETURN_IF(count(p, c));
        if (least.layers == 0 || c->counts.relus < least.counts.relus) {
            least = *c;
        }
    }
    *c = least;
    return SPX_OK;
}

/* Says what the smallest networks within the depth bounds need; ReLUs do not
 * depend on placement. */
static spx_status refuse(spx_planner *p, const spx_plan_bounds *b)
{
    spx_plan_choice c;
    int64_t params = INT64_MAX, macs = INT64_MAX;
    SPX_RETURN_IF(fewest(p, b, &c));
    if (c.counts.relus > b->relus) {
        return SPX_FAIL(SPX_ENOTFOUND,
                        "no network fits %lld ReLUs: the smallest (%lld channels, %lld layers%s) "
                        "has %lld",
                        (long long)b->relus, (long long)c.init_channels, (long long)c.layers,
                        c.masked ? ", the sparsest mask" : "", (long long)c.counts.relus);
    }
    for (int i = 0; i < 2 * (int)c.layers / 3; i++) {
        for (int j = i + 1; j <= 2 * (int)c.layers / 3; j++) {
            c.reduce_at[0] = i;
            c.reduce_at[1] = j;
            SPX_RETURN_IF(count(p, &c));
            params = c.counts.params < params ? c.counts.params : params;
            macs = c.counts.macs < macs ? c.counts.macs : macs;
        }
    }
    return SPX_FAIL(SPX_ENOTFOUND,
                    "no network fits these bounds: the smallest have %lld parameters and %lld "
                    "multiply-adds",
                    (long long)params, (long long)macs);
}

/* The widest that the ReLUs of c's layers and placement allow, which are in proportion to the
 * width; 0 where none fits. */
static spx_status widest_of_relus(spx_planner *p, int64_t relus, spx_plan_choice *c)
{
    const spx_plan_bounds relus_only = {.relus = relus};
    int64_t most = SPX_PLAN_MAX_CHANNELS;
    c->init_channels = p->step;
    SPX_RETURN_IF(count(p, c));
    if (c->counts.relus > 0 && relus / c->counts.relus * p->step < most) {
        most = relus / c->counts.relus * p->step;
    }
    return widest(p, &relus_only, p->step, most > p->step ? most : p->step, c);
}

/* Tries all networks of one mask. */
static spx_status try_mask(spx_planner *p, const spx_plan_bounds *b, int mask,
                           spx_plan_choice *best)
{
    const double extra = mask_score(p, mask);
    int64_t most[SPX_MAX_LAYERS + 1];
    for (int64_t l = b->min_layers; l <= b->max_layers; l++) {
        spx_plan_choice c = {.layers = l, .reduce_at = {0, favoured_second(l)}};
        set_mask(p, &c, mask);
        SPX_RETURN_IF(widest_of_relus(p, b->relus, &c));
        most[l] = c.init_channels;
    }
    /* Most promising depth first, so that its result rules out the others without counting them. */
    for (;;) {
        int64_t next = 0;
        for (int64_t l = b->min_layers; l <= b->max_layers; l++) {
            if (most[l] > 0 &&
                (next == 0 || shape_score(most[l], l) > shape_score(most[next], next))) {
                next = l;
            }
        }
        if (next == 0 ||
            (best->init_channels > 0 && shape_score(most[next], next) + extra < best->score)) {
            return SPX_OK;
        }
        SPX_RETURN_IF(try_depth(p, b, next, most[next], mask, best));
        most[next] = 0;
    }
}

spx_status spx_planner_best(spx_planner *p, const spx_plan_bounds *b, spx_plan_choice *out)
{
    spx_plan_choice best = {0};
    if (b->relus < 1 || b->max_params < 0 || b->max_macs < 0 || b->min_layers < 2 ||
        b->max_layers < b->min_layers || b->max_layers > SPX_MAX_LAYERS) {
        return SPX_FAIL(SPX_EINVAL, "bounds out of range (layers from 2 to %d)", SPX_MAX_LAYERS);
    }
    for (int m = p->masks.n > 0 ? 0 : -1; m < p->masks.n; m++) {
        SPX_RETURN_IF(try_mask(p, b, m, &best));
    }
    if (best.init_channels == 0) {
        return refuse(p, b);
    }
    *out = best;
    return SPX_OK;
}
