#ifndef SPX_FEED_H
#define SPX_FEED_H
/*
 * Batches on their way to a device: a source on the host becomes one whose batches lie where the
 * device's programs want them. On CUDA uploads run beside the computation, one batch ahead of it,
 * on the stream's last lane; batches always lie at the same address, so that steps can be replayed.
 * On the CPU batches pass through as they are.
 */
#include "host/train/source.h"
#include "kernels/device/stream.h"

typedef struct spx_feed spx_feed;

/** Shape of a batch of images. */
typedef struct spx_batch_shape {
    int64_t n, channels, rows, columns;
} spx_batch_shape;

/** What is uploaded of a batch, and how the device makes of it what its programs read. */
typedef struct spx_feed_form {
    size_t bytes; /* behind spx_samples.images, whatever they are */
    /* images = (n, rows, columns, channels) out of those bytes, both in the device's memory */
    spx_status (*make)(void *ctx, spx_stream *s, const void *from, float *images);
    void *ctx;
} spx_feed_form;

/**
 * @param src  borrowed; its batches are (n, channels, rows, columns), best in pinned memory
 * @return SPX_OK, SPX_ENOMEM, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_feed_open(spx_feed **out, spx_stream *s, const spx_source *src,
                                        const spx_batch_shape *shape);

/** The same for batches of another form; not on the CPU, where they would pass as they are. */
SPX_MUST_CHECK spx_status spx_feed_open_form(spx_feed **out, spx_stream *s, const spx_source *src,
                                             const spx_batch_shape *shape,
                                             const spx_feed_form *form);
void spx_feed_close(spx_feed *f); /* NULL is a no-op; waits for the stream */

/** The source on the device; borrows the feed. To be asked from the stream's lane 0. */
spx_source spx_feed_source(spx_feed *f);

#endif
