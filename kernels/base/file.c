#define _DEFAULT_SOURCE /* explicit_bzero */
#include "kernels/base/file.h"

#include "kernels/base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* What *size counts when this fails has been read, too. */
static spx_status read_all(int fd, const char *path, size_t max_bytes, void **data, size_t *size)
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
        *size = got;
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
    return SPX_OK;
}

spx_status spx_file_read_open(int fd, const char *name, size_t max_bytes, void **data, size_t *size)
{
    spx_status st;
    *data = NULL;
    *size = 0;
    st = read_all(fd, name, max_bytes, data, size);
    if (st != SPX_OK) {
        if (*data != NULL) {
            explicit_bzero(*data, *size); /* it may be a key */
        }
        spx_free(*data);
        *data = NULL;
        *size = 0;
    }
    return st;
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
    st = spx_file_read_open(fd, standard ? "standard input" : path, max_bytes, data, size);
    if (!standard) {
        (void)close(fd);
    }
    return st;
}

spx_status spx_file_read_at(int fd, const char *path, uint64_t at, void *data, size_t n)
{
    unsigned char *to = data;
    while (n > 0) {
        const ssize_t got = pread(fd, to, n, (off_t)at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return SPX_FAIL(SPX_EIO, "%s: offset %llu: cannot read: %s", path,
                            (unsigned long long)at, got < 0 ? strerror(errno) : "the file shrank");
        }
        to += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return SPX_OK;
}

spx_status spx_file_within(char *path, size_t room, const char *given, const char *name)
{
    struct stat s;
    const bool folder = stat(given, &s) == 0 && S_ISDIR(s.st_mode);
    const int n = snprintf(path, room, "%s%s%s", given, folder ? "/" : "", folder ? name : "");
    return n >= 0 && (size_t)n < room
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "%.80s...: the path is too long", given);
}
