#ifndef SPX_SOURCE_H
#define SPX_SOURCE_H
/* Where batches come from, as seen by code that must not know data sets. */
#include "kernels/base/status.h"

#include <stdint.h>

/** One batch of the size a program was built for; borrowed from the source until its next get. */
typedef struct spx_samples {
    const float *images;   /* (batch, C, H, W), aligned to SPX_ALIGN */
    const int32_t *labels; /* [batch] */
    int64_t valid;         /* rows that count, the first ones; training: all */
} spx_samples;

/**
 * The content depends on (epoch, step) only; 0 <= step < steps. Steps and evaluation take sources
 * whose batches lie in the memory of their device, ready for what is queued on their stream after
 * get. On CUDA batches are (batch, H, W, C). feed.h makes such a source from any source on the
 * host.
 */
typedef struct spx_source {
    spx_status (*get)(void *ctx, int64_t epoch, int64_t step, spx_samples *out);
    void *ctx;
    int64_t steps; /* batches per epoch */
} spx_source;

#endif
