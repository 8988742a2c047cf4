#define _DEFAULT_SOURCE /* flock */
#include "kernels/base/lock.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>

spx_status spx_lock_take(int fd, const char *path, spx_lock *out)
{
    static const int lacking[] = {ENOSYS, ENOLCK, ENOTSUP, EOPNOTSUPP, EINVAL};
    int failed;
    *out = SPX_LOCK_HELD;
    do {
        failed = flock(fd, LOCK_EX | LOCK_NB);
    } while (failed != 0 && errno == EINTR);
    if (failed == 0) {
        return SPX_OK;
    }
    if (errno == EWOULDBLOCK) {
        *out = SPX_LOCK_IN_USE;
        return SPX_OK;
    }
    for (size_t i = 0; i < sizeof lacking / sizeof lacking[0]; i++) {
        if (errno == lacking[i]) {
            *out = SPX_LOCK_LACKING;
            return SPX_OK;
        }
    }
    return SPX_FAIL(SPX_EIO, "%s: cannot lock: %s", path, strerror(errno));
}
