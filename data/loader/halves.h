#ifndef SPX_HALVES_H
#define SPX_HALVES_H
/*
 * What a search reads: the training split, or a part of it, in two stratified halves, as batches on
 * a device. One half trains weights, the other what is searched for; both with the augmentation of
 * training, each with an order of its own.
 */
#include "data/loader/device_source.h"

typedef enum spx_half {
    SPX_HALF_WEIGHTS, /* the first half, augmented */
    SPX_HALF_ALPHAS,  /* the second, augmented */
    SPX_HALF_CHECK,   /* the second as validation reads it */
    SPX_HALF_COUNT
} spx_half;

typedef struct spx_halves {
    spx_device_split *split; /* the whole of it on the device; or NULL */
    spx_device_source *batches[SPX_HALF_COUNT];
    spx_source source[SPX_HALF_COUNT];
} spx_halves;

/**
 * Halves the images by a shuffle drawn from o->seed (spx_split_share) and opens the sources.
 * @param o  its subset is what is halved, NULL: the whole split; split and train are not read
 * @return SPX_OK, what spx_split_share and spx_device_source_open return; then *out is cleared
 */
SPX_MUST_CHECK spx_status spx_halves_open(spx_halves *out, spx_stream *s, const spx_pack *pack,
                                          const spx_loader_options *o);
void spx_halves_close(spx_halves *h); /* zeroed or open; waits for the stream */

/** Steps that both halves have batches for. */
int64_t spx_halves_steps(const spx_halves *h);

#endif
