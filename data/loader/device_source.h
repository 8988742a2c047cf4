#ifndef SPX_DEVICE_SOURCE_H
#define SPX_DEVICE_SOURCE_H
/*
 * Batches of a split in the memory of a stream's device. On the CPU they are the loader's own.
 * Elsewhere the device makes them out of the split, if the split lies there whole; otherwise the
 * loader makes them, and they are uploaded beside the computation (host/train/feed.h). These ways
 * change no bit. With options.nvjpeg the GPU decodes JPEGs, whole, where nvJPEG takes them
 * (nvjpeg.md says what that changes), and cuts the same boxes out of them.
 */
#include "data/loader/loader.h"
#include "host/train/source.h"

/** Share of a device's memory that a split may take to lie there whole. */
#define SPX_DEVICE_SPLIT_SHARE 0.25

/** The images of a split on a device, for any number of sources. */
typedef struct spx_device_split spx_device_split;

/**
 * Uploads a split; *out is NULL where that is no use (the CPU), pictures are stored encoded, they
 * take more than `share`, or the device has not that much left. Stored planes are read in parts.
 * @param pack  borrowed for the call
 * @return SPX_OK, SPX_ENOTFOUND (split not loaded), SPX_ENOMEM (of the host), SPX_EDEVICE; what
 *         spx_store_read returns
 */
SPX_MUST_CHECK spx_status spx_device_split_open(spx_device_split **out, spx_stream *s,
                                                const spx_pack *pack, spx_split split,
                                                double share);
void spx_device_split_close(spx_device_split *d); /* NULL is a no-op; waits for the stream */

typedef struct spx_device_source spx_device_source;

/**
 * @param split  of the same pack and options->split, borrowed; or NULL
 * @param o      as for spx_loader_open; upload and bytes are ignored. threads 0: chosen for the
 *               device; with a split there are none
 * @return what spx_loader_open and spx_feed_open return; with options.nvjpeg SPX_EUNSUPPORTED (no
 *         GPU, no nvJPEG, colour jitter), SPX_EINVAL (no stored JPEGs, no resized crop)
 */
SPX_MUST_CHECK spx_status spx_device_source_open(spx_device_source **out, spx_stream *s,
                                                 const spx_device_split *split,
                                                 const spx_pack *pack, const spx_loader_options *o);
void spx_device_source_close(spx_device_source *d); /* NULL is a no-op; waits for the stream */

/** The source; borrows d. To be asked from the stream's lane 0. */
spx_source spx_device_source_of(spx_device_source *d);

#endif
