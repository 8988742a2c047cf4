#ifndef SPX_SAMPLE_MAKER_H
#define SPX_SAMPLE_MAKER_H
/* One thread's way from an image of a pack to a sample. */
#include "data/loader/loader.h"

typedef struct spx_sample_maker spx_sample_maker;

/** What samplers share; constant while there are any. */
typedef struct spx_sampling {
    const spx_pack *pack;
    spx_split split;
    spx_augment augment; /* what is applied */
    spx_augment_shape shape;
    spx_normalise normalise;
    uint64_t seed;
    bool bytes;
} spx_sampling;

/** @param s  borrowed. @return SPX_OK, SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_sample_maker_create(spx_sample_maker **out, const spx_sampling *s);
void spx_sample_maker_destroy(spx_sample_maker *s); /* NULL is a no-op */

/**
 * Makes the sample of an image in an epoch. Allocates nothing (a decoder may).
 * @param image  of the split
 * @param out    f32 (channels, height, width), or with bytes u8 (height, width, channels)
 * @param cut    receives the centre of the square to cut out, row and column; with bytes
 * @return SPX_OK; of stored pictures what reading and decoding them return, naming the picture
 */
SPX_MUST_CHECK spx_status spx_sample_maker_make(spx_sample_maker *s, uint64_t epoch, uint32_t image,
                                                void *out, int32_t cut[2]);

#endif
