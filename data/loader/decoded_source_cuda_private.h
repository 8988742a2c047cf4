#ifndef SPX_DECODED_SOURCE_CUDA_PRIVATE_H
#define SPX_DECODED_SOURCE_CUDA_PRIVATE_H
/*
 * Batches of a pack of encoded pictures, decoded and augmented on the GPU. Threads read a batch's
 * pictures and compare their checksums; those that nvJPEG does not take, they decode. The whole
 * pictures then lie on the device, where boxes are cut out and resized. A batch is a function of
 * (pack, options, epoch, step), as a loader's is.
 */
#include "data/loader/loader.h"
#include "host/train/source.h"

typedef struct spx_decoded_source spx_decoded_source;

/** What batches are made of; borrowed until the source is closed. */
typedef struct spx_decoded_from {
    const spx_pack *pack;
    spx_loader *loader; /* without workers: it says which images a batch has */
    spx_split split;
    size_t batch;
    spx_augment augment;     /* what is applied: a resized crop, no jitter */
    spx_augment_shape shape; /* interleaved */
    uint64_t seed;
    int threads;                    /* at least 1 */
    const spx_normalise *normalise; /* device memory */
} spx_decoded_from;

/** @return SPX_OK, SPX_EUNSUPPORTED (no nvJPEG), SPX_ENOMEM, SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_decoded_source_open(spx_decoded_source **out, spx_stream *s,
                                                  const spx_decoded_from *from);
void spx_decoded_source_close(spx_decoded_source *d); /* NULL is a no-op; waits for the stream */

/** An spx_source's get; ctx is the source. A picture that cannot be read fails it by name. */
SPX_MUST_CHECK spx_status spx_decoded_source_get(void *ctx, int64_t epoch, int64_t step,
                                                 spx_samples *out);

#endif
