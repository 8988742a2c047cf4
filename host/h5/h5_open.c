/* Opening a file or an image in memory, whose checksum is verified before libhdf5 sees it. */
#define _POSIX_C_SOURCE 200809L
#include "host/h5/h5_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_STREAM_BYTES ((size_t)4 << 30)
#define MAX_RENAMED 100 /* times that a writer may replace a file while it is opened */

spx_status spx_h5_open_plain(const char *path, int flags, int *fd, struct stat *info)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (*fd < 0) {
        return SPX_FAIL(errno == ENOENT ? SPX_ENOTFOUND : SPX_EIO, "%s: %s", path, strerror(errno));
    }
    if (fstat(*fd, info) != 0) {
        const spx_status st = SPX_FAIL(SPX_EIO, "%s: %s", path, strerror(errno));
        (void)close(*fd);
        return st;
    }
    return SPX_OK;
}

static herr_t refuse_link(const char *parent, const char *group, const char *child,
                          const char *object, unsigned *flags, hid_t fapl, void *unused)
{
    (void)parent, (void)group, (void)child, (void)object, (void)flags, (void)fapl, (void)unused;
    return -1;
}

/* The half-built object: name set, nothing open. */
static spx_status allocate(spx_h5 **out, const char *name, size_t bytes)
{
    const size_t n = strlen(name) + 1;
    void *p;
    SPX_RETURN_IF(spx_calloc(&p, 1, sizeof **out + n));
    *out = p;
    memcpy((*out)->name, name, n);
    (*out)->bytes = bytes;
    (*out)->file = (*out)->lapl = -1;
    spx_h5_quiet();
    (*out)->lapl = H5Pcreate(H5P_LINK_ACCESS);
    if ((*out)->lapl < 0 || H5Pset_elink_cb((*out)->lapl, refuse_link, NULL) < 0) {
        return SPX_H5_FAIL(SPX_ENOMEM, "%s: libhdf5 does not start", name);
    }
    return SPX_OK;
}

/* Opens target with the properties in fapl, which it consumes. */
static spx_status open_with(spx_h5 *f, const char *target, hid_t fapl)
{
    if (fapl >= 0 && H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG) >= 0) {
#if H5_VERSION_GE(1, 10, 7)
        /* Read-only media and some network file systems have no locks; we only read. */
        (void)H5Pset_file_locking(fapl, false, true);
#endif
        f->file = H5Fopen(target, H5F_ACC_RDONLY, fapl);
    }
    if (f->file < 0) {
        const spx_status st = SPX_H5_FAIL(SPX_EFORMAT, "%s: not a readable HDF5 file", f->name);
        (void)H5Pclose(fapl);
        return st;
    }
    (void)H5Pclose(fapl);
    return SPX_OK;
}

static spx_status check_path(const char *path, spx_h5_trust trust, size_t *bytes, spx_h5_sum *sum,
                             int *opened)
{
    struct stat info;
    spx_status st;
    int fd;
    SPX_RETURN_IF(spx_h5_open_plain(path, 0, &fd, &info));
    if (S_ISDIR(info.st_mode)) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: a folder; expected a file", path);
    } else {
        *bytes = (size_t)info.st_size;
        st = spx_h5_trailer_check(path, fd, NULL, *bytes, trust, sum);
    }
    if (st != SPX_OK) {
        (void)close(fd);
        return st;
    }
    *opened = fd;
    return st;
}

spx_status spx_h5_open_image(spx_h5 **out, const char *name, const void *data, size_t size,
                             spx_h5_trust trust)
{
    char unique[32]; /* libhdf5 tells files in memory apart by name */
    spx_h5_sum sum;
    spx_h5 *f = NULL;
    hid_t fapl;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(spx_h5_trailer_check(name, -1, data, size, trust, &sum));
    SPX_RETURN_IF(
        spx_memory_room(name, size < SIZE_MAX / 4 ? 3 * size : size)); /* it copies twice */
    SPX_TRY(st, allocate(&f, name, size), fail);
    f->sum = sum;
    f->memory = true;
    fapl = H5Pcreate(H5P_FILE_ACCESS);
    /* libhdf5 takes the image as const in effect, though its prototype does not say so. */
    if (fapl < 0 || H5Pset_fapl_core(fapl, 1 << 16, false) < 0 ||
        H5Pset_file_image(fapl, (void *)(uintptr_t)data, size) < 0) {
        st = SPX_H5_FAIL(SPX_EFORMAT, "%s: not a readable HDF5 file", name);
        (void)H5Pclose(fapl);
        goto fail;
    }
    (void)snprintf(unique, sizeof unique, "%p", (void *)f);
    SPX_TRY(st, open_with(f, unique, fapl), fail);
    *out = f;
    return SPX_OK;
fail:
    spx_h5_close(f);
    return st;
}

/* Standard input, a FIFO, a pipe: what cannot be sought in, as libhdf5 must. */
static bool is_stream(const char *path)
{
    struct stat info;
    return strcmp(path, "-") == 0 ||
           (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode));
}

/* Opens a stream from memory; libhdf5 copies the bytes. */
static spx_status open_stream(spx_h5 **out, const char *path, spx_h5_trust trust)
{
    void *data;
    size_t size;
    spx_status st;
    SPX_RETURN_IF(spx_file_read(path, MAX_STREAM_BYTES, &data, &size));
    st = spx_h5_open_image(out, path, data, size, trust);
    spx_free(data);
    return st;
}

/* Whether libhdf5 has opened the file that fd is open on, not another renamed onto the path. */
static bool is_same_file(const spx_h5 *f, int fd)
{
    struct stat checked, opened;
    void *handle = NULL;
    return H5Fget_vfd_handle(f->file, H5P_DEFAULT, &handle) >= 0 && handle != NULL &&
           fstat(fd, &checked) == 0 && fstat(*(const int *)handle, &opened) == 0 &&
           checked.st_dev == opened.st_dev && checked.st_ino == opened.st_ino;
}

/* Checks the file at path, then has libhdf5 open it. *same: both were one file; where not, a writer
 * was faster, and *out is NULL. */
static spx_status open_checked(spx_h5 **out, const char *path, spx_h5_trust trust, bool *same)
{
    spx_h5_sum sum;
    spx_h5 *f = NULL;
    size_t bytes = 0;
    int fd = -1;
    spx_status st;
    *same = true;
    SPX_RETURN_IF(check_path(path, trust, &bytes, &sum, &fd));
    SPX_TRY(st, spx_memory_room(path, 0), fail);
    SPX_TRY(st, allocate(&f, path, bytes), fail);
    f->sum = sum;
    SPX_TRY(st, open_with(f, path, H5Pcreate(H5P_FILE_ACCESS)), fail);
    *same = is_same_file(f, fd);
fail:
    (void)close(fd);
    if (st == SPX_OK && *same) {
        *out = f;
    } else {
        spx_h5_close(f);
    }
    return st;
}

spx_status spx_h5_open(spx_h5 **out, const char *path, spx_h5_trust trust)
{
    spx_status st;
    bool same = false;
    *out = NULL;
    if (is_stream(path)) {
        return open_stream(out, path, trust);
    }
    for (int i = 0; i < MAX_RENAMED && !same; i++) {
        st = open_checked(out, path, trust, &same);
    }
    if (st == SPX_OK && !same) {
        st = SPX_FAIL(SPX_EIO, "%s: replaced again and again while it was opened", path);
    }
    return st;
}

void spx_h5_close(spx_h5 *f)
{
    if (f == NULL) {
        return;
    }
    if (f->file >= 0) {
        (void)H5Fclose(f->file);
    }
    if (f->lapl >= 0) {
        (void)H5Pclose(f->lapl);
    }
    spx_free(f);
}

spx_status spx_h5_descriptor(const spx_h5 *f, int *fd)
{
    void *handle = NULL;
    *fd = -1;
    if (f->memory) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "%s: is read where it lies: give a file, not a stream",
                        f->name);
    }
    if (H5Fget_vfd_handle(f->file, H5P_DEFAULT, &handle) >= 0 && handle != NULL) {
        *fd = fcntl(*(const int *)handle, F_DUPFD_CLOEXEC, 0);
    }
    return *fd >= 0 ? SPX_OK : SPX_FAIL(SPX_EIO, "%s: %s", f->name, strerror(errno));
}

spx_h5_range spx_h5_apart(const spx_h5 *f)
{
    return f->sum.apart;
}

const char *spx_h5_name(const spx_h5 *f)
{
    return f->name;
}

void spx_h5_digest(const spx_h5 *f, char hex[SPX_H5_DIGEST_CHARS])
{
    static const unsigned char none[SPX_H5_DIGEST_BYTES];
    const bool any = memcmp(f->sum.digest, none, sizeof none) != 0;
    hex[0] = '\0';
    for (size_t i = 0; any && i < sizeof f->sum.digest; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", f->sum.digest[i]);
    }
}
