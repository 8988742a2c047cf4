#ifndef SPX_LOADER_H
#define SPX_LOADER_H
/*
 * Serves batches of one split of a pack of either form. Any (epoch, step) can be asked for at any
 * time. Its content is a pure function of (pack, options, epoch, step). Thread count, prefetch
 * depth and earlier requests do not change a bit, so a resumed run continues exactly.
 *
 * Training: epoch e visits the images in the order of a Fisher-Yates shuffle drawn from (seed,
 * SPX_RNG_ORDER, e). Step s, rank r takes elements [(s * world + r) * batch, ... + batch) of it.
 * The tail that does not fill a batch on every rank is dropped (it differs from epoch to epoch).
 * Image i of the split is augmented by draws from (seed, SPX_RNG_AUGMENT, e << 32 | i). Evaluation:
 * split order, the same in every epoch, nothing random (spx_loader_augment), every image once; the
 * last batch is padded.
 */
#include "data/augment/augment.h"
#include "data/pack/pack.h"
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct spx_loader spx_loader;

typedef struct spx_loader_options {
    spx_split split;        /* must be loaded in the pack */
    const uint32_t *subset; /* image indices to serve; copied. NULL: the whole split */
    size_t subset_count;
    bool train;        /* shuffle and drop the tail; false: evaluation */
    size_t batch;      /* images per step and rank, 1..65536 */
    int height, width; /* of the samples; 0: as stored. Larger: padded with black, centred; smaller
                          only by a resized crop */
    spx_augment augment; /* spx_loader_augment says what is applied */
    bool nvjpeg;         /* of spx_device_source_open alone: JPEGs are decoded by the GPU */
    bool bytes;          /* samples as bytes, before they are normalised and cut out */
    uint64_t seed;
    int rank, world;    /* 0 <= rank < world; world 0 means 1 */
    int threads;        /* workers, 0..64; 0: batches are made inside spx_loader_get */
    int prefetch;       /* batches made ahead, 0..64; 0 means 2, enough for any number of workers,
                           who share a batch. Lowered to one epoch's steps */
    spx_stream *upload; /* batches lie in memory that copies to this stream's device run from
                           without a stop; borrowed until spx_loader_close. NULL: in plain memory */
} spx_loader_options;

/** One batch; the pointers are the loader's and hold until the next spx_loader_get or close. */
typedef struct spx_batch {
    const float *images;     /* (batch, C, height, width), normalised, 64-byte aligned; with
                                options.bytes NULL */
    const uint8_t *bytes;    /* with options.bytes: (batch, height, width, C), 64-byte aligned */
    const int32_t *cut;      /* with options.bytes: [batch][2], row and column of the centre of each
                                square to cut out; spx_loader_cut_offset bytes behind `bytes` */
    const int32_t *labels;   /* [batch] */
    const uint32_t *indices; /* [batch]: which image of the split */
    size_t count;            /* = options.batch */
    size_t valid; /* first `valid` rows are real, the rest (evaluation's tail) repeat row 0 of the
                     epoch and are to be left out of results; may be 0 on a late rank. Training:
                     count */
} spx_batch;

/**
 * Stored pictures of differing sizes need a resized crop.
 * @param pack     borrowed until spx_loader_close; not changed, may be shared by loaders
 * @param options  copied
 * @return SPX_OK, SPX_EINVAL (an option out of range, or a training split that fills no batch; the
 *         message says which), SPX_ENOTFOUND (split not loaded), SPX_ENOMEM, SPX_EDEVICE (threads)
 */
SPX_MUST_CHECK spx_status spx_loader_open(spx_loader **out, const spx_pack *pack,
                                          const spx_loader_options *options);

/** What is applied to images: options.augment in training; in evaluation only the centre box, where
 * options.augment has any resized crop. */
spx_augment spx_loader_augment(const spx_loader_options *o);

/** Where a batch of bytes has its centres: batch * pixels rounded up. */
static inline size_t spx_loader_cut_offset(size_t batch, size_t pixels)
{
    return (batch * pixels + 63) / 64 * 64;
}

/** Stops the workers, whatever they are doing, and frees; NULL is a no-op. */
void spx_loader_close(spx_loader *l);

/** Steps per epoch: floor(images / (batch * world)) in training, the ceiling in evaluation. */
size_t spx_loader_steps(const spx_loader *l);

/**
 * Waits for the batch of (epoch, step) and prefetches those that follow, across epochs' ends. In
 * order is fast; anything else restarts the prefetch there. Allocates nothing. One caller at a
 * time.
 * @param epoch  0 .. 2^32 - 1
 * @param step   0 .. spx_loader_steps - 1
 * @return SPX_OK, SPX_EINVAL; of stored pictures what reading the batch's first bad one returns,
 *         naming it
 */
SPX_MUST_CHECK spx_status spx_loader_get(spx_loader *l, uint64_t epoch, size_t step,
                                         spx_batch *batch);

/**
 * Which images the batch of (epoch, step) holds, without making it: for who makes it elsewhere.
 * @param indices  receives [batch] image numbers of the split
 * @param valid    as in spx_batch
 * @return SPX_OK, SPX_EINVAL (out of range; a loader with workers, whose orders are in use)
 */
SPX_MUST_CHECK spx_status spx_loader_indices(spx_loader *l, uint64_t epoch, size_t step,
                                             uint32_t *indices, size_t *valid);

/**
 * Splits n images into two parts, class by class, by a shuffle drawn from (seed, SPX_RNG_SPLIT,
 * class): the same for the same labels, share and seed. The first part has share * n images,
 * rounded half up; of every class its share to within one image.
 * @param labels  [n], each < classes
 * @param share   of the first part, 0..1
 * @param first, second  room for as many indices as they receive, ascending
 * @param first_count, second_count  receive how many these are
 * @return SPX_OK, SPX_EINVAL (a label or the share out of range), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_split_share(const uint16_t *labels, size_t n, int classes,
                                          uint64_t seed, double share, uint32_t *first,
                                          size_t *first_count, uint32_t *second,
                                          size_t *second_count);

/** The same of training images, to hold a share out: the first part. @return also SPX_EINVAL where
 * a part would be empty; the message has the nearest share that leaves none. */
SPX_MUST_CHECK spx_status spx_split_held_out(const uint16_t *labels, size_t n, int classes,
                                             uint64_t seed, double share, uint32_t *held,
                                             size_t *n_held, uint32_t *rest, size_t *n_rest);

#endif
