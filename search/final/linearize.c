#include "search/final/linearize.h"

#include "kernels/base/alloc.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

int64_t spx_linear_budget_epoch(const spx_linear_schedule *s)
{
    return s->before + (int64_t)floor(s->falling * (double)(s->epochs - s->before));
}

int64_t spx_linear_count(const spx_linear_schedule *s, int64_t e)
{
    const int64_t end = spx_linear_budget_epoch(s);
    if (e >= end) {
        return s->budget;
    }
    if (e < s->before) {
        return s->full;
    }
    const double p = (double)(e - s->before) / (double)(end - s->before);
    const double r = (double)s->budget / (double)s->full;
    return (int64_t)floor((double)s->full * (r + (1 - r) * (1 + cos(pi * pow(p, 1.5))) / 2));
}

bool spx_linear_due(const spx_linear_schedule *s, int64_t e, int64_t epoch_step, int64_t done)
{
    const int64_t end = spx_linear_budget_epoch(s);
    if (e == end && epoch_step == 0) {
        return true;
    }
    return e >= s->before && done % (e >= end ? 2 * s->every : s->every) == 0;
}

/* ---- the highest of all layers ---- */

/* A number of the order of a score: of floats that are not negative their bits are. */
static uint32_t key_of(float score)
{
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    if (isnan(score)) {
        return 0;
    }
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

#define HALF 65536u

/* How many keys have each value of `shift`'s sixteen bits, among those whose upper ones are `upper`
 * where shift is 0. */
static void count_keys(const spx_linear_layer *layer, int n, int shift, uint32_t upper,
                       int64_t *count)
{
    memset(count, 0, HALF * sizeof *count);
    for (int l = 0; l < n; l++) {
        for (int64_t i = 0; i < layer[l].count; i++) {
            const uint32_t key = key_of(layer[l].score[i]);
            if (shift > 0 || key >> 16 == upper) {
                count[key >> shift & (HALF - 1)]++;
            }
        }
    }
}

/* The value at which *keep of the highest are reached; *keep becomes how many of it there are to
 * be. */
static uint32_t cut(const int64_t *count, int64_t *keep)
{
    uint32_t v = HALF - 1;
    while (v > 0 && count[v] < *keep) {
        *keep -= count[v--];
    }
    return v;
}

spx_status spx_linear_keep(const spx_linear_layer *layer, int n, int64_t keep)
{
    int64_t all = 0, left = keep, *count;
    uint32_t least;
    for (int l = 0; l < n; l++) {
        all += layer[l].count;
    }
    if (keep < 0 || keep > all) {
        return SPX_FAIL(SPX_EINVAL, "%lld positions to keep of %lld", (long long)keep,
                        (long long)all);
    }
    SPX_RETURN_IF(SPX_NEW(count, HALF));
    count_keys(layer, n, 16, 0, count);
    least = cut(count, &left);
    count_keys(layer, n, 0, least, count);
    least = least << 16 | cut(count, &left); /* `left` of the keys that are this one */
    spx_free(count);
    for (int l = 0; l < n; l++) {
        for (int64_t i = 0; i < layer[l].count; i++) {
            const uint32_t key = key_of(layer[l].score[i]);
            const bool kept = key > least || (key == least && left > 0);
            left -= key == least && kept ? 1 : 0;
            layer[l].mask[i] = kept ? 1.0f : 0.0f;
        }
    }
    return SPX_OK;
}

/* ---- snl ---- */

bool spx_snl_judge(spx_snl *s, int64_t above, int64_t budget, bool may)
{
    if (above < s->least) {
        s->least = above;
    } else if (may && above > budget) {
        s->penalty *= s->growth;
    }
    return above <= budget;
}

/* ---- shares ---- */

/* Fills the layers whose share is all they have, until no further one's is; returns what the others
 * get for each unit of weight. */
static double fill_layers(int n, const double *weight, const int64_t *count, int64_t *left,
                          int64_t *keep)
{
    for (;;) {
        double all = 0;
        bool filled = false;
        for (int l = 0; l < n; l++) {
            all += keep[l] < 0 ? weight[l] : 0;
        }
        const double unit = all > 0 ? (double)*left / all : 0;
        for (int l = 0; l < n; l++) {
            if (keep[l] < 0 && weight[l] > 0 && unit * weight[l] >= (double)count[l]) {
                keep[l] = count[l];
                *left -= count[l];
                filled = true;
            }
        }
        if (!filled) {
            return unit;
        }
    }
}

/* The layer with the largest fraction; its fraction is taken. */
static int largest(int n, double *fraction)
{
    int best = 0;
    for (int l = 1; l < n; l++) {
        best = fraction[l] > fraction[best] ? l : best;
    }
    fraction[best] = -1;
    return best;
}

spx_status spx_linear_share(int n, const double *weight, const int64_t *count, int64_t budget,
                            int64_t *keep)
{
    int64_t room = 0, left = budget;
    double *fraction;
    for (int l = 0; l < n; l++) {
        if (!(weight[l] >= 0) || !isfinite(weight[l]) || count[l] < 0) {
            return SPX_FAIL(SPX_EINVAL, "shares of layers: layer %d has %g of %lld", l, weight[l],
                            (long long)count[l]);
        }
        room += weight[l] > 0 ? count[l] : 0;
        keep[l] = -1;
    }
    if (budget < 0 || budget > room) {
        return SPX_FAIL(SPX_EINVAL,
                        "a budget of %lld ReLUs: the layers with a share have %lld, at most so "
                        "many can be kept",
                        (long long)budget, (long long)room);
    }
    SPX_RETURN_IF(SPX_NEW(fraction, (size_t)n + 1));
    const double unit = fill_layers(n, weight, count, &left, keep);
    for (int l = 0; l < n; l++) {
        fraction[l] = -1;
        if (keep[l] < 0) {
            keep[l] = (int64_t)floor(unit * weight[l]);
            fraction[l] = weight[l] > 0 ? unit * weight[l] - (double)keep[l] : -1;
            left -= keep[l];
        }
    }
    for (; left > 0; left--) {
        keep[largest(n, fraction)]++;
    }
    spx_free(fraction);
    return SPX_OK;
}
