/* A knapsack of few sizes: within a size the best ones come first, so what is left to choose is how
 * many of each. */
#include "kernels/base/alloc.h"
#include "search/prune/prune_private.h"

#include <stdlib.h>
#include <string.h>

typedef struct ranked {
    spx_choose_item *item;
    int64_t units;
    size_t index;
} ranked;

typedef struct knapsack {
    ranked *list; /* [n], by units, then score, then index */
    size_t n;
    int64_t units;       /* of the budget */
    double *best, *next; /* [units + 1]: the largest sum of scores in so many units */
    uint32_t *count;     /* [classes][units + 1]: how many of a class are in it */
    size_t *first;       /* [classes + 1] */
    size_t classes;
} knapsack;

static int by_rank(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->units != y->units) {
        return x->units < y->units ? -1 : 1;
    }
    if (x->item->score != y->item->score) {
        return x->item->score > y->item->score ? -1 : 1;
    }
    return x->index < y->index ? -1 : 1;
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

static spx_status rank(knapsack *k, spx_choose_item *item, size_t n, int64_t budget)
{
    int64_t unit = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        unit = common_divisor(item[i].size, unit);
        largest = item[i].size > largest ? item[i].size : largest;
    }
    const int64_t least = budget / SPX_CHOOSE_UNITS + 1;
    if (unit < least && unit < largest) { /* of one size alone, there is nothing to weigh */
        unit = least;
    }
    k->units = budget / unit;
    SPX_RETURN_IF(SPX_NEW(k->list, n));
    SPX_RETURN_IF(SPX_NEW(k->first, n + 1));
    for (size_t i = 0; i < n; i++) {
        k->list[i] = (ranked){&item[i], (item[i].size + unit - 1) / unit, i};
    }
    k->n = n;
    qsort(k->list, n, sizeof *k->list, by_rank);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || k->list[i].units != k->list[i - 1].units) {
            k->first[k->classes++] = i;
        }
    }
    k->first[k->classes] = n;
    return SPX_OK;
}

static void add_class(knapsack *k, size_t c)
{
    const ranked *list = k->list + k->first[c];
    const int64_t n = (int64_t)(k->first[c + 1] - k->first[c]), size = list[0].units;
    uint32_t *count = k->count + c * ((size_t)k->units + 1);
    double *t;
    memcpy(k->next, k->best, sizeof *k->best * ((size_t)k->units + 1));
    double sum = 0;
    for (int64_t j = 1; j <= n && j * size <= k->units; j++) {
        sum += (double)list[j - 1].item->score;
        for (int64_t u = j * size; u <= k->units; u++) {
            const double with = k->best[u - j * size] + sum;
            if (with >= k->next[u]) {
                k->next[u] = with;
                count[u] = (uint32_t)j;
            }
        }
    }
    t = k->best;
    k->best = k->next;
    k->next = t;
}

static spx_status fill(knapsack *k)
{
    const size_t row = (size_t)k->units + 1;
    if (k->classes == 1) {
        for (size_t i = 0; i < k->n && (int64_t)(i + 1) * k->list[i].units <= k->units; i++) {
            k->list[i].item->keep = true;
        }
        return SPX_OK;
    }
    SPX_RETURN_IF(SPX_NEW(k->best, row));
    SPX_RETURN_IF(SPX_NEW(k->next, row));
    SPX_RETURN_IF(SPX_NEW(k->count, row * k->classes));
    for (size_t c = 0; c < k->classes; c++) {
        add_class(k, c);
    }
    int64_t left = k->units;
    for (size_t c = k->classes; c-- > 0;) {
        const uint32_t count = k->count[c * row + (size_t)left];
        for (uint32_t j = 0; j < count; j++) {
            k->list[k->first[c] + j].item->keep = true;
            left -= k->list[k->first[c]].units;
        }
    }
    return SPX_OK;
}

spx_status spx_choose(spx_choose_item *item, size_t n, int64_t budget)
{
    knapsack k = {0};
    spx_status st = SPX_OK;
    for (size_t i = 0; i < n; i++) {
        item[i].keep = false;
    }
    if (n > 0 && budget > 0) {
        st = rank(&k, item, n, budget);
        st = st == SPX_OK ? fill(&k) : st;
    }
    spx_free(k.list);
    spx_free(k.first);
    spx_free(k.best);
    spx_free(k.next);
    spx_free(k.count);
    return st;
}
