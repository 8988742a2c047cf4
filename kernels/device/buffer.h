#ifndef SPX_BUFFER_H
#define SPX_BUFFER_H
/*
 * A block of memory that knows where it is. Whoever is given one asks spx_buffer_check first, so
 * that memory of another device is an error and not undefined.
 */
#include "kernels/device/device_memory.h"

/** {0} is an empty buffer of the host. What borrows another's memory has stream NULL and is not
 * freed. */
typedef struct spx_buffer {
    spx_device device; /* whose memory it is; CPU: the process's own */
    void *data;        /* NULL: there is none */
    size_t bytes;
    spx_stream *stream; /* it was allocated on; borrowed; NULL: the host's own memory */
} spx_buffer;

/**
 * Zeroed bytes of a stream's device; *out is empty on failure and for 0 bytes.
 * @param s  outlives the buffer; NULL: host memory
 * @return SPX_OK, SPX_ENOMEM, SPX_EINVAL (while recording)
 */
SPX_MUST_CHECK spx_status spx_buffer_alloc(spx_buffer *out, spx_stream *s, size_t bytes);
/** Frees what spx_buffer_alloc gave (an empty one is a no-op) and leaves it empty. */
void spx_buffer_free(spx_buffer *b);

/**
 * @param bytes  0: b may be empty, whosever it is
 * @param what   begins the message
 * @return SPX_OK where the first bytes of b are memory of the device (CPU: the host may use them);
 * SPX_EINVAL where they are another's, or fewer
 */
SPX_MUST_CHECK spx_status spx_buffer_check(const spx_buffer *b, spx_device device, size_t bytes,
                                           const char *what);

#endif
