#include "data/pack/pack.h"

#include "data/augment/augment.h"
#include "data/pack/pack_build.h"
#include "data/pack/pack_private.h"
#include "data/pack/pack_store_private.h"
#include "kernels/base/alloc.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *spx_split_name(spx_split split)
{
    return split == SPX_SPLIT_TRAIN ? "train" : "test";
}

spx_status spx_pack_new(spx_pack **out)
{
    SPX_RETURN_IF(SPX_NEW(*out, 1));
    return SPX_OK;
}

spx_status spx_pack_copy_text(char **out, const char *text)
{
    const size_t n = strlen(text) + 1;
    void *copy;
    SPX_RETURN_IF(spx_alloc(&copy, n));
    memcpy(copy, text, n);
    *out = copy;
    return SPX_OK;
}

size_t spx_pack_image_bytes(const spx_pack *p)
{
    return (size_t)p->channels * (size_t)p->height * (size_t)p->width;
}

spx_status spx_pack_reserve(spx_pack *p, spx_split split, size_t count)
{
    spx_pack_split *to = &p->split[split];
    void *memory;
    size_t bytes;
    if (count > UINT32_MAX || !spx_mul_size(count, spx_pack_image_bytes(p), &bytes)) {
        return SPX_FAIL(SPX_EFORMAT, "%s split of %zu images, expected at most %lld",
                        spx_split_name(split), count, (long long)UINT32_MAX);
    }
    SPX_RETURN_IF(spx_alloc(&memory, bytes));
    to->images = memory;
    SPX_RETURN_IF(spx_alloc(&memory, count * sizeof *to->labels));
    to->labels = memory;
    if (p->coarse_classes > 0) {
        SPX_RETURN_IF(spx_alloc(&memory, count * sizeof *to->coarse));
        to->coarse = memory;
    }
    to->count = count;
    return SPX_OK;
}

void spx_pack_close(spx_pack *p)
{
    if (p == NULL) {
        return;
    }
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        spx_free(p->split[s].images);
        spx_free(p->split[s].labels);
        spx_free(p->split[s].coarse);
    }
    spx_free(p->class_names);
    spx_free(p->coarse_names);
    spx_free(p->sources);
    spx_store_close(p->store);
    spx_free(p);
}

/* Own data is normalised by its own moments; a channel without deviation is only shifted. */
static void take_moments(spx_pack *p)
{
    const spx_split split = p->split[SPX_SPLIT_TRAIN].count > 0 ? SPX_SPLIT_TRAIN : SPX_SPLIT_TEST;
    spx_pack_moments(p, split, p->mean, p->std);
    for (int c = 0; c < p->channels; c++) {
        p->std[c] = p->std[c] < SPX_STD_MIN ? 1 : p->std[c];
    }
}

const spx_pack_build_options spx_pack_build_usual = {.held_out = 0.1, .seed = 1};

spx_status spx_pack_describe(spx_pack *p, const spx_pack_kind *kind)
{
    (void)snprintf(p->dataset, sizeof p->dataset, "%s", kind->name);
    p->channels = kind->channels;
    p->height = p->width = kind->side;
    p->classes = kind->classes;
    p->coarse_classes = kind->coarse_classes;
    memcpy(p->mean, kind->mean, sizeof p->mean);
    memcpy(p->std, kind->std, sizeof p->std);
    if (kind->class_names != NULL) {
        SPX_RETURN_IF(spx_pack_copy_text(&p->class_names, kind->class_names));
    }
    if (kind->coarse_names != NULL) {
        SPX_RETURN_IF(spx_pack_copy_text(&p->coarse_names, kind->coarse_names));
    }
    return SPX_OK;
}

static spx_status fill(spx_pack *p, const spx_pack_kind *kind, const char *src,
                       const spx_pack_build_options *o)
{
    SPX_RETURN_IF(spx_pack_describe(p, kind));
    SPX_RETURN_IF(kind->read(p, kind, src, o));
    if (!(kind->std[0] > 0)) {
        take_moments(p);
    }
    return SPX_OK;
}

spx_status spx_pack_build(spx_pack **out, const char *dataset, const char *src,
                          const spx_pack_build_options *o)
{
    const spx_pack_kind *kind = spx_pack_kind_of(dataset);
    spx_pack *p = NULL;
    spx_status st;
    *out = NULL;
    if (kind == NULL) {
        return SPX_FAIL(SPX_EINVAL, "unknown data set '%.64s'", dataset);
    }
    if (kind->read == NULL) {
        return SPX_FAIL(SPX_EINVAL, "%s is a set of pictures, which are not read whole", dataset);
    }
    SPX_TRY(st, spx_pack_new(&p), fail);
    SPX_TRY(st, fill(p, kind, src, o != NULL ? o : &spx_pack_build_usual), fail);
    *out = p;
    return SPX_OK;
fail:
    spx_pack_close(p);
    return st;
}

const char *spx_pack_class(const spx_pack *p, int i, size_t *length)
{
    const char *at = p->class_names;
    *length = 0;
    if (i < 0 || i >= p->classes) {
        return NULL;
    }
    for (; i > 0; i--) {
        at += strcspn(at, "\n") + 1; /* there are `classes` lines */
    }
    *length = strcspn(at, "\n");
    return at;
}

void spx_pack_histogram(const spx_pack *p, spx_split split, size_t *counts)
{
    memset(counts, 0, (size_t)p->classes * sizeof *counts);
    for (size_t i = 0; i < p->split[split].count; i++) {
        counts[p->split[split].labels[i]]++;
    }
}

void spx_pack_moments(const spx_pack *p, spx_split split, double *mean, double *std)
{
    const size_t plane = (size_t)p->height * (size_t)p->width, n = p->split[split].count;
    if (p->store != NULL) {
        spx_store_moments_take(&p->store->moments[split], p->channels, mean, std);
        return;
    }
    for (int c = 0; c < p->channels; c++) {
        uint64_t sum = 0, squares = 0; /* exact: memory holds fewer than 2^48 pixels below 2^8 */
        for (size_t i = 0; i < n; i++) {
            const uint8_t *at =
                p->split[split].images + (i * (size_t)p->channels + (size_t)c) * plane;
            uint32_t s = 0;
            uint64_t q = 0;
            for (size_t j = 0; j < plane; j++) {
                s += at[j];
                q += (uint32_t)at[j] * at[j];
            }
            sum += s;
            squares += q;
        }
        mean[c] = (double)sum / (double)(n * plane) / 255;
        std[c] = sqrt(
            fmax(/* of equal pixels, rounding may leave less than nothing */
                 0, (double)squares / (double)(n * plane) / (255.0 * 255.0) - mean[c] * mean[c]));
    }
}
