/* Channels and positions, by first-order scores: they are too many to measure one by one. */
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "search/prune/prune_private.h"

#include <string.h>

/* What is said of every position, and of every channel; [n] each. */
typedef struct scores {
    int n;
    float **size, **change, **channel; /* see spx_prune_bench_score */
    float **list, *memory;             /* where these three and their numbers lie */
} scores;

static void scores_clear(scores *s)
{
    spx_free(s->list);
    spx_free(s->memory);
}

static spx_status scores_open(scores *s, const spx_masks *masks)
{
    const size_t n = (size_t)masks->n;
    int64_t all = 0;
    *s = (scores){.n = masks->n};
    for (int i = 0; i < s->n; i++) {
        all += 2 * spx_mask_site_positions(&masks->site[i]) + masks->site[i].c;
    }
    SPX_RETURN_IF(SPX_NEW(s->list, 3 * n));
    SPX_RETURN_IF(SPX_NEW(s->memory, (size_t)all));
    s->size = s->list;
    s->change = s->list + n;
    s->channel = s->list + 2 * n;
    all = 0;
    for (int i = 0; i < s->n; i++) {
        const int64_t each = spx_mask_site_positions(&masks->site[i]);
        s->size[i] = s->memory + all;
        s->change[i] = s->size[i] + each;
        s->channel[i] = s->change[i] + each;
        all += 2 * each + masks->site[i].c;
    }
    return SPX_OK;
}

/* Positions from `from` on that are kept and go together, up to `to`: what is dropped stays so. */
static int64_t kept(const spx_mask_site *m, int64_t from, int64_t to)
{
    int64_t n = 0;
    for (int64_t k = from; k < to; k++) {
        n += m->keep[k] != 0.0f;
    }
    return n;
}

/* Lists what is to be chosen from, or does what was chosen. `of`: positions that go together. */
static void each_item(spx_prune_bench *b, const scores *s, spx_choose_item *item, size_t *n,
                      bool chosen)
{
    const bool pixels = b->o->granularity == SPX_PRUNE_PIXEL;
    *n = 0;
    for (int i = 0; i < s->n; i++) {
        const spx_mask_site *m = &b->masks.site[i];
        const int64_t of = pixels ? 1 : m->h * m->w;
        for (int64_t k = 0; k < spx_mask_site_positions(m); k += of) {
            const int64_t size = kept(m, k, k + of);
            if (size == 0) {
                continue;
            }
            if (!chosen) {
                item[*n] = (spx_choose_item){
                    .size = size, .score = pixels ? s->size[i][k] : s->channel[i][k / of]};
            } else if (!item[*n].keep) {
                memset(m->keep + k, 0, sizeof(float) * (size_t)of);
            }
            ++*n;
        }
    }
}

static void randomise(spx_choose_item *item, size_t n, uint64_t seed)
{
    spx_rng r;
    spx_rng_init(&r, seed, SPX_RNG_PRUNE, 0);
    for (size_t i = 0; i < n; i++) {
        item[i].score = spx_rng_uniform(&r);
    }
}

/* Positions, layer by layer: as many of each as another model keeps. */
static spx_status choose_like(const spx_prune_bench *b, spx_choose_item *item)
{
    for (int i = 0; i < b->masks.n; i++) {
        const size_t n = (size_t)spx_mask_site_relus(&b->masks.site[i]);
        SPX_RETURN_IF(spx_choose(item, n, spx_mask_site_relus(&b->o->like->site[i])));
        item += n;
    }
    return SPX_OK;
}

static spx_status choose(spx_prune_bench *b, const scores *s)
{
    spx_choose_item *item;
    spx_status st;
    size_t n = 0;
    for (int i = 0; i < s->n; i++) {
        n += (size_t)spx_mask_site_positions(&b->masks.site[i]);
    }
    SPX_RETURN_IF(SPX_NEW(item, n));
    each_item(b, s, item, &n, false);
    if (b->o->random) {
        randomise(item, n, b->o->random_seed);
    }
    st = b->o->like != NULL ? choose_like(b, item) : spx_choose(item, n, b->o->budget.value);
    if (st == SPX_OK) {
        each_item(b, s, item, &n, true);
    }
    spx_free(item);
    return st;
}

/* First order: what the dropped positions change, each alone. */
static void predict(const spx_prune_bench *b, const scores *s, spx_prune_result *out)
{
    out->predicted = spx_metrics_loss(&out->before);
    for (int i = 0; i < s->n; i++) {
        const spx_mask_site *m = &b->masks.site[i];
        for (int64_t k = 0; k < spx_mask_site_positions(m); k++) {
            out->predicted += m->keep[k] == 0.0f ? (double)s->change[i][k] : 0.0;
        }
    }
}

static spx_status prune(spx_prune_bench *b, scores *s, spx_prune_result *out)
{
    const bool pixels = b->o->granularity == SPX_PRUNE_PIXEL;
    SPX_RETURN_IF(spx_prune_bench_score(b, s->size, s->change, s->channel));
    for (int i = 0; i < s->n; i++) {
        const spx_mask_site *m = &b->masks.site[i];
        for (int64_t k = 0; k < (pixels ? spx_mask_site_positions(m) : m->c); k++) {
            out->layer[i].value += (double)(pixels ? s->size[i][k] : s->channel[i][k]);
        }
    }
    SPX_RETURN_IF(choose(b, s));
    predict(b, s, out);
    out->private_cost = (double)spx_masks_relus(&b->masks);
    return SPX_OK;
}

spx_status spx_prune_scored(spx_prune_bench *b, spx_prune_result *out)
{
    scores s;
    spx_status st = scores_open(&s, &b->masks);
    if (st == SPX_OK) {
        st = prune(b, &s, out);
    }
    scores_clear(&s);
    return st;
}
