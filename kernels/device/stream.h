#ifndef SPX_DEVICE_STREAM_H
#define SPX_DEVICE_STREAM_H

#include "kernels/base/pool.h"
#include "kernels/base/status.h"

/** Kinds of device; the columns of the op table. */
typedef enum spx_device { SPX_DEVICE_CPU, SPX_DEVICE_COUNT } spx_device;

/** An ordered queue of work on one device. On the CPU work is done when the call returns. */
typedef struct spx_stream spx_stream;

/**
 * @param threads workers of a CPU stream, 1..SPX_POOL_MAX_THREADS; 0 = one per processor this
 * process may use, up to that many
 * @return SPX_OK, SPX_EINVAL, SPX_ENOMEM, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_stream_create(spx_stream **out, spx_device device, int threads);
void spx_stream_destroy(spx_stream *s); /* NULL is a no-op */
spx_device spx_stream_device(const spx_stream *s);
spx_pool *spx_stream_pool(spx_stream *s); /* borrowed */
int spx_stream_threads(const spx_stream *s);
/** Waits until all work queued so far is done. */
SPX_MUST_CHECK spx_status spx_stream_sync(spx_stream *s);

#endif
