#define _DEFAULT_SOURCE /* explicit_bzero */
#include "kernels/base/file.h"

#include "kernels/base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static spx_status write_all(int fd, const char *path, const spx_span *part)
{
    const char *at = part->data;
    size_t left = part->size;
    while (left > 0) {
        const ssize_t n = write(fd, at, left);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return SPX_FAIL(SPX_EIO, "%s: cannot write: %s", path, strerror(errno));
        }
        at += n;
        left -= (size_t)n;
    }
    return SPX_OK;
}

/* The rename is durable only once its folder is. */
static spx_status sync_folder(const char *path)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    int fd;
    if (slash != NULL) {
        const size_t n = slash == path ? 1 : (size_t)(slash - path);
        memcpy(folder, path, n);
        folder[n] = '\0';
    }
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return SPX_FAIL(SPX_EIO, "%s: cannot open the folder: %s", folder, strerror(errno));
    }
    /* Some file systems cannot sync folders and say EINVAL; there is nothing more to do there. */
    if (fsync(fd) != 0 && errno != EINVAL) {
        const int error = errno;
        (void)close(fd);
        return SPX_FAIL(SPX_EIO, "%s: cannot sync the folder: %s", folder, strerror(error));
    }
    (void)close(fd);
    return SPX_OK;
}

spx_status spx_file_replace(const char *path, const spx_span *part, size_t parts)
{
    char temporary[PATH_MAX];
    const int n = snprintf(temporary, sizeof temporary, "%s.tmp", path);
    spx_status st = SPX_OK;
    struct stat old;
    int fd;
    if (n < 0 || (size_t)n >= sizeof temporary) {
        return SPX_FAIL(SPX_EINVAL, "path of %zu bytes is too long", strlen(path));
    }
    /* Renaming onto a device (-o /dev/null, as root) would replace it. */
    if (stat(path, &old) == 0 && !S_ISREG(old.st_mode)) {
        return SPX_FAIL(SPX_EIO, "%s: exists and is not a regular file", path);
    }
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return SPX_FAIL(SPX_EIO, "%s: cannot create: %s", temporary, strerror(errno));
    }
    for (size_t i = 0; i < parts; i++) {
        SPX_TRY(st, write_all(fd, path, &part[i]), fail);
    }
    if (fsync(fd) != 0) {
        st = SPX_FAIL(SPX_EIO, "%s: cannot sync: %s", path, strerror(errno));
        goto fail;
    }
    if (close(fd) != 0) {
        fd = -1;
        st = SPX_FAIL(SPX_EIO, "%s: cannot close: %s", path, strerror(errno));
        goto fail;
    }
    fd = -1;
    if (rename(temporary, path) != 0) {
        st = SPX_FAIL(SPX_EIO, "%s: cannot rename onto it: %s", path, strerror(errno));
        goto fail;
    }
    return sync_folder(path);
fail:
    if (fd >= 0) {
        (void)close(fd);
    }
    (void)unlink(temporary);
    return st;
}

#define FIRST_ROOM ((size_t)1 << 16) /* of a stream, whose length nobody knows */

/* Makes *room bytes of *data, of which the first got stay. */
static spx_status grow(void **data, size_t got, size_t room)
{
    void *more;
    SPX_RETURN_IF(spx_alloc(&more, room));
    if (got > 0) {
        memcpy(more, *data, got);
        explicit_bzero(*data, got); /* it may be a key */
    }
    spx_free(*data);
    *data = more;
    return SPX_OK;
}

/* Reads at most n bytes; *got 0 at the end. Waits where the descriptor is a non-blocking one. */
static spx_status read_some(int fd, const char *path, size_t at, void *to, size_t n, size_t *got)
{
    for (;;) {
        const ssize_t r = read(fd, to, n);
        if (r >= 0) {
            *got = (size_t)r;
            return SPX_OK;
        }
        if (errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLIN};
            (void)poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            return SPX_FAIL(SPX_EIO, "%s: offset %zu: cannot read: %s", path, at, strerror(errno));
        }
    }
}

static spx_status read_open(int fd, const char *path, size_t max_bytes, void **data, size_t *size)
{
    struct stat info;
    size_t room = FIRST_ROOM, got = 0, n = 0, length = 0;
    if (fstat(fd, &info) != 0) {
        return SPX_FAIL(SPX_EIO, "%s: %s", path, strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) {
        return SPX_FAIL(SPX_EFORMAT, "%s: a folder; expected a file", path);
    }
    if (S_ISBLK(info.st_mode) || (S_ISCHR(info.st_mode) && isatty(fd) == 0)) {
        return SPX_FAIL(SPX_EFORMAT, "%s: a device; expected a file or a pipe", path);
    }
    if (S_ISREG(info.st_mode) && info.st_size > 0) {
        length = (size_t)info.st_size;
        if (length > max_bytes) {
            return SPX_FAIL(SPX_EFORMAT, "%s: %zu bytes, expected at most %zu", path, length,
                            max_bytes);
        }
        room = length + 1;
    }
    SPX_RETURN_IF(spx_alloc(data, room + 1));
    for (;;) {
        SPX_RETURN_IF(read_some(fd, path, got, (char *)*data + got, room - got, &n));
        got += n;
        if (n == 0) {
            break;
        }
        if (got > max_bytes) {
            return SPX_FAIL(SPX_EFORMAT, "%s: more than the %zu bytes expected at most", path,
                            max_bytes);
        }
        if (got == room) {
            room = room > max_bytes / 2 ? max_bytes + 1 : 2 * room;
            SPX_RETURN_IF(grow(data, got, room + 1));
        }
    }
    if (got < length) {
        return SPX_FAIL(SPX_EIO, "%s: offset %zu: cannot read: the file shrank", path, got);
    }
    ((char *)*data)[got] = '\0';
    *size = got;
    return SPX_OK;
}

spx_status spx_file_read(const char *path, size_t max_bytes, void **data, size_t *size)
{
    const bool standard = strcmp(path, "-") == 0;
    spx_status st;
    const int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    *data = NULL;
    *size = 0;
    if (fd < 0) {
        return SPX_FAIL(errno == ENOENT ? SPX_ENOTFOUND : SPX_EIO, "%s: %s", path, strerror(errno));
    }
    st = read_open(fd, standard ? "standard input" : path, max_bytes, data, size);
    if (!standard) {
        (void)close(fd);
    }
    if (st != SPX_OK) {
        spx_free(*data);
        *data = NULL;
    }
    return st;
}
