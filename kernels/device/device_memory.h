#ifndef SPX_DEVICE_MEMORY_H
#define SPX_DEVICE_MEMORY_H
/* Memory of a stream's device. On the CPU it is the process's own, and copies are memcpy. */
#include "kernels/device/stream.h"

#include <stddef.h>

/** Zeroed bytes of device memory (SPX_POISON, for tools: README.md), aligned to 256 (CPU:
 * SPX_ALIGN); *out is NULL on failure and for 0 bytes. Waits for the device.
 * @return SPX_OK, SPX_ENOMEM (saying how much there is) */
SPX_MUST_CHECK spx_status spx_device_alloc(spx_stream *s, void **out, size_t bytes);
void spx_device_free(spx_stream *s, void *p); /* waits for the stream; NULL is a no-op */

/** Bytes that spx_device_alloc has given this stream and that are not freed. */
size_t spx_device_bytes(const spx_stream *s);

/** Host memory that copies run from and to without a stop (pinned; CPU: spx_alloc), zeroed. */
SPX_MUST_CHECK spx_status spx_pinned_alloc(spx_stream *s, void **out, size_t bytes);
void spx_pinned_free(spx_stream *s, void *p); /* NULL is a no-op; copies from and to it are done */

/** Queues a copy from host to device. Pinned src: borrowed until the copy is done. Other src: may
 * be changed once the call returns. */
SPX_MUST_CHECK spx_status spx_upload(spx_stream *s, void *dst, const void *src, size_t bytes);
/** Queues a copy from device to host; dst holds it after spx_stream_sync or an event's. */
SPX_MUST_CHECK spx_status spx_download(spx_stream *s, void *dst, const void *src, size_t bytes);
/** Queues a copy within the device; no overlap. */
SPX_MUST_CHECK spx_status spx_device_copy(spx_stream *s, void *dst, const void *src, size_t bytes);
/** Queues filling with zero bytes. */
SPX_MUST_CHECK spx_status spx_device_zero(spx_stream *s, void *dst, size_t bytes);

#endif
