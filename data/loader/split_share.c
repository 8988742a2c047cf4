#include "data/loader/loader.h"
#include "kernels/base/alloc.h"

/* Groups the indices 0..n by label: class k's are order[start[k] .. start[k + 1]). */
static spx_status group(const uint16_t *labels, size_t n, int classes, uint32_t *order,
                        size_t *start)
{
    for (size_t i = 0; i < n; i++) {
        if (labels[i] >= classes) {
            return SPX_FAIL(SPX_EINVAL, "split: label %d of image %zu, expected 0 to %d", labels[i],
                            i, classes - 1);
        }
        start[labels[i] + 1]++;
    }
    for (int k = 0; k < classes; k++) {
        start[k + 1] += start[k];
    }
    for (size_t i = n;
         i-- > 0;) { /* fills each group from its end, so start[k + 1] sinks to its begin */
        order[--start[labels[i] + 1]] = (uint32_t)i;
    }
    for (int k = 0; k < classes; k++) {
        start[k] = start[k + 1];
    }
    start[classes] = n;
    return SPX_OK;
}

static size_t part_of(size_t n, double share)
{
    return (size_t)(share * (double)n + 0.5);
}

/* Marks a share of each class, chosen at random, as belonging to the first part. */
static void choose(const size_t *start, int classes, uint64_t seed, double share, uint32_t *order,
                   bool *in_first)
{
    for (int k = 0; k < classes; k++) {
        uint32_t *of = order + start[k];
        const size_t n = start[k + 1] - start[k];
        const size_t part = part_of(start[k + 1], share) - part_of(start[k], share);
        spx_rng rng;
        spx_rng_init(&rng, seed, SPX_RNG_SPLIT, (uint64_t)k);
        for (size_t i = 0; i < part; i++) { /* as much of Fisher-Yates as is used */
            const size_t j = i + spx_rng_below(&rng, (uint32_t)(n - i));
            const uint32_t chosen = of[j];
            of[j] = of[i];
            of[i] = chosen;
            in_first[chosen] = true;
        }
    }
}

spx_status spx_split_share(const uint16_t *labels, size_t n, int classes, uint64_t seed,
                           double share, uint32_t *first, size_t *first_count, uint32_t *second,
                           size_t *second_count)
{
    uint32_t *order = NULL;
    size_t *start = NULL;
    bool *in_first = NULL;
    spx_status st;
    *first_count = *second_count = 0;
    if (classes < 1 || n > UINT32_MAX || !(share >= 0 && share <= 1)) {
        return SPX_FAIL(SPX_EINVAL, "split: %g of %zu images of %d classes", share, n, classes);
    }
    SPX_TRY(st, SPX_NEW(order, n), done);
    SPX_TRY(st, SPX_NEW(start, (size_t)classes + 1), done);
    SPX_TRY(st, SPX_NEW(in_first, n), done);
    SPX_TRY(st, group(labels, n, classes, order, start), done);
    choose(start, classes, seed, share, order, in_first);
    for (size_t i = 0; i < n; i++) {
        if (in_first[i]) {
            first[(*first_count)++] = (uint32_t)i;
        } else {
            second[(*second_count)++] = (uint32_t)i;
        }
    }
done:
    spx_free(order);
    spx_free(start);
    spx_free(in_first);
    return st;
}

spx_status spx_split_held_out(const uint16_t *labels, size_t n, int classes, uint64_t seed,
                              double share, uint32_t *held, size_t *n_held, uint32_t *rest,
                              size_t *n_rest)
{
    SPX_RETURN_IF(spx_split_share(labels, n, classes, seed, share, held, n_held, rest, n_rest));
    if (*n_held > 0 && *n_rest > 0) {
        return SPX_OK;
    }
    if (n < 2) {
        return SPX_FAIL(SPX_EINVAL, "%zu training images: too few to hold some out", n);
    }
    const double one = 1.0 / (double)n; /* image, as a share */
    return SPX_FAIL(SPX_EINVAL,
                    "%g of %zu training images held out leaves a part empty: give --val-fraction "
                    "%s %g",
                    share, n, *n_held == 0 ? "at least" : "at most", *n_held == 0 ? one : 1 - one);
}
