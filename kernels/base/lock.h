#ifndef SPX_BASE_LOCK_H
#define SPX_BASE_LOCK_H
/* A lock that one process holds on an open file and that dies with it: flock, if there is one. */
#include "kernels/base/status.h"

typedef enum spx_lock {
    SPX_LOCK_HELD,
    SPX_LOCK_IN_USE, /* another process holds it */
    SPX_LOCK_LACKING /* the file system has no locks (Lustre, NFS): go on, and say so */
} spx_lock;

/**
 * Takes the lock of an open file without waiting; closing the file frees it.
 * @param fd    open for reading and writing (NFS wants both)
 * @param path  for the message
 * @return SPX_OK with *out set, SPX_EIO
 */
SPX_MUST_CHECK spx_status spx_lock_take(int fd, const char *path, spx_lock *out);

#endif
