/* Reading what only its owner may know. */
#define _DEFAULT_SOURCE
#include "host/secure/channel/channel_private.h"
#include "kernels/base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file of another owner (root's, kept for a group) that this process may read at all is judged by
 * what it grants to everybody. A pipe, as of a shell's <(...), has no reader but this process. */
static spx_status check_mode(int fd, const char *path)
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return SPX_FAIL(SPX_EIO, "%s: %s", path, strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) {
        return SPX_FAIL(SPX_EFORMAT, "%s: expected a file", path);
    }
    if (S_ISREG(info.st_mode) &&
        (info.st_mode & (info.st_uid == geteuid() ? S_IRWXG | S_IRWXO : S_IRWXO)) != 0) {
        return SPX_FAIL(SPX_EINVAL, "%s: others can read or change this key; chmod 600 it first",
                        path);
    }
    return SPX_OK;
}

static spx_status read_all(int fd, const char *path, size_t max, char *to, size_t *size)
{
    size_t got = 0;
    while (got <= max) {
        const ssize_t n = read(fd, to + got, max + 1 - got);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return SPX_FAIL(SPX_EIO, "%s: %s", path, strerror(errno));
        }
        if (n == 0) {
            to[got] = '\0';
            *size = got;
            return SPX_OK;
        }
        got += (size_t)n;
    }
    return SPX_FAIL(SPX_EFORMAT, "%s: more than %zu bytes", path, max);
}

void spx_key_file_free(void *data, size_t bytes)
{
    if (data != NULL) {
        OPENSSL_cleanse(data, bytes);
        spx_free(data);
    }
}

spx_status spx_key_file_read(const char *path, size_t max, void **data, size_t *size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    spx_status st;
    *data = NULL;
    *size = 0;
    if (fd < 0) {
        return SPX_FAIL(errno == ENOENT ? SPX_ENOTFOUND : SPX_EIO, "%s: %s", path, strerror(errno));
    }
    st = check_mode(fd, path);
    if (st == SPX_OK) {
        st = spx_alloc(data, max + 1);
    }
    if (st == SPX_OK) {
        st = read_all(fd, path, max, *data, size);
    }
    (void)close(fd);
    if (st != SPX_OK) {
        spx_key_file_free(*data, max + 1);
        *data = NULL;
    }
    return st;
}
