#ifndef SPX_LOADER_SOURCE_H
#define SPX_LOADER_SOURCE_H
/* A loader as the source of batches that training and evaluation ask for. */
#include "data/loader/loader.h"
#include "host/train/source.h"

static inline spx_status spx_loader_source_get(void *loader, int64_t epoch, int64_t step,
                                               spx_samples *out)
{
    spx_batch b;
    SPX_RETURN_IF(spx_loader_get(loader, (uint64_t)epoch, (size_t)step, &b));
    *out = (spx_samples){.images = b.images, .labels = b.labels, .valid = (int64_t)b.valid};
    return SPX_OK;
}

/** Borrows the loader. */
static inline spx_source spx_loader_source(spx_loader *l)
{
    return (spx_source){
        .get = spx_loader_source_get, .ctx = l, .steps = (int64_t)spx_loader_steps(l)};
}

#endif
