#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_archive_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

spx_status spx_container_open(spx_container *c, const char *path)
{
    struct stat info;
    *c = (spx_container){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (c->fd < 0) {
        return SPX_FAIL(errno == ENOENT ? SPX_ENOTFOUND : SPX_EIO, "%s: %s", path, strerror(errno));
    }
    if (fstat(c->fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        (void)close(c->fd);
        c->fd = -1;
        return SPX_FAIL(SPX_EFORMAT, "%s: expected a regular file", path);
    }
    c->size = (uint64_t)info.st_size;
    if (spx_pack_copy_text(&c->path, path) != SPX_OK) {
        (void)close(c->fd);
        c->fd = -1;
        return SPX_ENOMEM;
    }
    return SPX_OK;
}

void spx_container_close(spx_container *c)
{
    if (c->path != NULL && c->fd >= 0) {
        (void)close(c->fd);
        spx_free(c->path);
    }
    *c = (spx_container){.fd = -1};
}

spx_status spx_container_read(const spx_container *c, uint64_t at, void *to, size_t n)
{
    if (at > c->size || n > c->size - at) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: offset %" PRIu64 ": expected %zu more bytes, found the end", c->path,
                        at, n);
    }
    if (c->fd < 0) {
        memcpy(to, c->bytes + at, n);
        return SPX_OK;
    }
    return spx_file_read_at(c->fd, c->path, at, to, n);
}

spx_status spx_container_range(const spx_container *c, const spx_place *where, void **bytes)
{
    spx_status st;
    *bytes = NULL;
    SPX_RETURN_IF(spx_alloc(bytes, (size_t)where->size + 1));
    ((char *)*bytes)[where->size] = '\0';
    st = spx_container_read(c, where->offset, *bytes, where->size);
    if (st != SPX_OK) {
        spx_free(*bytes);
        *bytes = NULL;
    }
    return st;
}

spx_status spx_archive_check_name(const spx_container *c, uint64_t at, const spx_archive_member *m)
{
    const char *part = m->name, *end = m->name + m->length, *slash;
    bool plain = m->length > 0 && m->name[0] != '/' && memchr(m->name, 0, m->length) == NULL;
    char name[200];
    for (; plain && part < end; part = slash + 1) {
        slash = memchr(part, '/', (size_t)(end - part));
        slash = slash != NULL ? slash : end;
        plain = slash - part != 2 || memcmp(part, "..", 2) != 0;
    }
    if (plain) {
        return SPX_OK;
    }
    (void)spx_pack_escape(name, sizeof name, m->name, m->length);
    return SPX_FAIL(SPX_EFORMAT, "%s: offset %" PRIu64 ": '%s' is no name of a file below a folder",
                    c->path, at, name);
}
