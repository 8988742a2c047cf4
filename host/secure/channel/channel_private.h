#ifndef SPX_CHANNEL_PRIVATE_H
#define SPX_CHANNEL_PRIVATE_H
#include "host/secure/channel/channel.h"

typedef struct spx_tls spx_tls;                 /* one side's keys; shared by its connections */
typedef struct spx_tls_session spx_tls_session; /* one connection */

/** *out is NULL where o asks for no security. @return SPX_OK, SPX_EINVAL, SPX_EIO, SPX_EFORMAT */
SPX_MUST_CHECK spx_status spx_tls_create(spx_tls **out, const spx_channel_security *o, bool server);
void spx_tls_destroy(spx_tls *t);
SPX_MUST_CHECK spx_status spx_tls_session_create(spx_tls_session **out, spx_tls *t, int fd,
                                                 const char *host);
void spx_tls_session_destroy(spx_tls_session *s);

/** What a non-blocking call came to. */
typedef enum spx_io {
    SPX_IO_DONE,
    SPX_IO_WANT_READ,
    SPX_IO_WANT_WRITE,
    SPX_IO_END,
    SPX_IO_FAILED
} spx_io;
spx_io spx_tls_handshake(spx_tls_session *s);
spx_io spx_tls_read(spx_tls_session *s, void *data, size_t n, size_t *got);
spx_io spx_tls_write(spx_tls_session *s, const void *data, size_t n, size_t *put);
const char *spx_tls_peer(const spx_tls_session *s);
/** After SPX_IO_FAILED: what went wrong, one line. */
const char *spx_tls_error(spx_tls_session *s);

/**
 * Reads a file of keys; one that group or others can read is refused, as ssh does. Pipes may be
 * read, too (--key <(...)).
 * @param data  *size bytes and a 0, wipe and free with spx_key_file_free(data, *size)
 * @return SPX_OK, SPX_EINVAL (its mode), SPX_ENOTFOUND, SPX_EIO, SPX_EFORMAT (over max bytes),
 * SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_key_file_read(const char *path, size_t max, void **data,
                                            size_t *size);
void spx_key_file_free(void *data, size_t bytes); /* NULL is a no-op */

#endif
