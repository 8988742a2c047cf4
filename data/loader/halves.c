#include "data/loader/halves.h"

#include "kernels/base/alloc.h"

#include <string.h>

static spx_status open_sources(spx_halves *h, spx_stream *s, const spx_pack *pack,
                               const spx_loader_options *o, const uint32_t *const index[2],
                               const size_t n[2])
{
    for (int i = 0; i < SPX_HALF_COUNT; i++) {
        const int half = i == SPX_HALF_WEIGHTS ? 0 : 1;
        spx_loader_options one = *o;
        one.split = SPX_SPLIT_TRAIN;
        one.train = i != SPX_HALF_CHECK;
        one.subset = index[half];
        one.subset_count = n[half];
        SPX_RETURN_IF(spx_device_source_open(&h->batches[i], s, h->split, pack, &one));
        h->source[i] = spx_device_source_of(h->batches[i]);
    }
    return SPX_OK;
}

/* Labels of the images to halve, in their order. */
static void pick(const spx_pack_split *all, const uint32_t *subset, size_t n, uint16_t *labels)
{
    for (size_t i = 0; i < n; i++) {
        labels[i] = all->labels[subset != NULL ? subset[i] : i];
    }
}

spx_status spx_halves_open(spx_halves *out, spx_stream *s, const spx_pack *pack,
                           const spx_loader_options *o)
{
    const spx_pack_split *all = &pack->split[SPX_SPLIT_TRAIN];
    const size_t count = o->subset != NULL ? o->subset_count : all->count;
    uint16_t *labels = NULL;
    uint32_t *half[2] = {NULL, NULL};
    size_t n[2];
    spx_status st;
    memset(out, 0, sizeof *out);
    SPX_TRY(st, SPX_NEW(labels, count), end);
    SPX_TRY(st, SPX_NEW(half[0], count), end);
    SPX_TRY(st, SPX_NEW(half[1], count), end);
    pick(all, o->subset, count, labels);
    SPX_TRY(
        st,
        spx_split_share(labels, count, pack->classes, o->seed, 0.5, half[0], &n[0], half[1], &n[1]),
        end);
    for (int i = 0; i < 2 && o->subset != NULL; i++) {
        for (size_t k = 0; k < n[i]; k++) {
            half[i][k] = o->subset[half[i][k]];
        }
    }
    SPX_TRY(st,
            spx_device_split_open(&out->split, s, pack, SPX_SPLIT_TRAIN, SPX_DEVICE_SPLIT_SHARE),
            end);
    st = open_sources(out, s, pack, o, (const uint32_t *const[2]){half[0], half[1]}, n);
end:
    spx_free(labels);
    spx_free(half[0]);
    spx_free(half[1]);
    if (st != SPX_OK) {
        spx_halves_close(out);
    }
    return st;
}

void spx_halves_close(spx_halves *h)
{
    for (int i = 0; i < SPX_HALF_COUNT; i++) {
        spx_device_source_close(h->batches[i]);
    }
    spx_device_split_close(h->split);
    memset(h, 0, sizeof *h);
}

int64_t spx_halves_steps(const spx_halves *h)
{
    const int64_t weights = h->source[SPX_HALF_WEIGHTS].steps,
                  alphas = h->source[SPX_HALF_ALPHAS].steps;
    return weights < alphas ? weights : alphas;
}
