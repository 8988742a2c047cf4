/* Reading what only its owner may know. */
#define _DEFAULT_SOURCE
#include "host/secure/channel/channel_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

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
    if (S_ISREG(info.st_mode) &&
        (info.st_mode & (info.st_uid == geteuid() ? S_IRWXG | S_IRWXO : S_IRWXO)) != 0) {
        return SPX_FAIL(SPX_EINVAL, "%s: others can read or change this key; chmod 600 it first",
                        path);
    }
    return SPX_OK;
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
    const int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    spx_status st;
    *data = NULL;
    *size = 0;
    if (fd < 0) {
        return SPX_FAIL(errno == ENOENT ? SPX_ENOTFOUND : SPX_EIO, "%s: %s", path, strerror(errno));
    }
    st = check_mode(fd, path);
    if (st == SPX_OK) {
        st = spx_file_read_open(fd, path, max, data, size);
    }
    if (fd != STDIN_FILENO) {
        (void)close(fd);
    }
    return st;
}
