#ifndef SPX_CALIBRATE_H
#define SPX_CALIBRATE_H
/*
 * Clips of activations: the largest real value each channel of a ReLU's output shall hold. Per
 * channel, the one of 128 fractions of the largest value seen that has the least squared error over
 * the images: what is cut off above it, and rounding to 2^a - 1 steps below it.
 */
#include "host/model/fold.h"
#include "kernels/device/stream.h"

typedef struct spx_calibrate_source {
    const spx_graph *graph;    /* as folded; its batch is that of the images */
    const spx_fold *fold;      /* of that graph */
    const spx_layout *layout;  /* of the arenas */
    spx_buffer weights, state; /* in host memory, as spx_layout_init has them */
    /** Images of a step, normalised, borrowed until the next call: in the memory of the stream's
     * device, as programs read them there (host/train/feed.h makes them so). */
    spx_status (*next)(void *ctx, int64_t step, const float **images);
    void *ctx;
    int64_t steps;
    /** Told after every step; may be NULL. */
    void (*show)(void *ctx, int64_t done, int64_t total);
    void *show_ctx;
} spx_calibrate_source;

/**
 * Runs the float network over all steps, twice.
 * @param activation_bits  a
 * @param clip  receives an array of arrays, one per RELU op of the fold, of [channels]; one block,
 *              free with spx_free. A channel that is never above zero gets its layer's mean clip
 * @return SPX_OK, SPX_ENUMERIC (an activation that is no number), SPX_EINVAL (a layout of another
 *         network, arenas not in host memory), SPX_ENOMEM, SPX_EDEVICE, what next returns
 */
SPX_MUST_CHECK spx_status spx_calibrate(double ***clip, const spx_calibrate_source *s,
                                        spx_stream *stream, int activation_bits);

#endif
