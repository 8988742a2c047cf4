/* The checksum that follows an HDF5 image, made and verified without libhdf5. */
#define _POSIX_C_SOURCE 200809L
#include "host/h5/h5_private.h"
#include "kernels/base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "SPXSUM01"
#define LENGTH_AT 8
#define DIGEST_AT 16
#define DIGEST_BYTES 32
#define ZERO_AT (DIGEST_AT + DIGEST_BYTES)
#define BLOCK_BYTES ((size_t)1 << 20)

/* Where bytes come from: a file, or memory if fd < 0. */
typedef struct source {
    const char *name;
    int fd;
    const unsigned char *data;
} source;

static spx_status source_read(const source *s, size_t offset, unsigned char *dst, size_t n)
{
    if (s->fd < 0) {
        memcpy(dst, s->data + offset, n);
        return SPX_OK;
    }
    while (n > 0) {
        const ssize_t got = pread(s->fd, dst, n, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return SPX_FAIL(SPX_EIO, "%s: offset %zu: cannot read: %s", s->name, offset,
                            got < 0 ? strerror(errno) : "the file shrank");
        }
        dst += got;
        offset += (size_t)got;
        n -= (size_t)got;
    }
    return SPX_OK;
}

static spx_status digest(const source *s, size_t size, unsigned char out[DIGEST_BYTES])
{
    crypto_generichash_state state;
    unsigned char *block = NULL;
    void *memory;
    spx_status st = SPX_OK;
    if (sodium_init() < 0) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "libsodium does not start");
    }
    (void)crypto_generichash_init(&state, NULL, 0, DIGEST_BYTES);
    if (s->fd < 0) {
        (void)crypto_generichash_update(&state, s->data, size);
    } else {
        SPX_RETURN_IF(spx_alloc(&memory, BLOCK_BYTES));
        block = memory;
        for (size_t at = 0, n; at < size && st == SPX_OK; at += n) {
            n = size - at < BLOCK_BYTES ? size - at : BLOCK_BYTES;
            st = source_read(s, at, block, n);
            (void)crypto_generichash_update(&state, block, n);
        }
    }
    (void)crypto_generichash_final(&state, out, DIGEST_BYTES);
    spx_free(block);
    return st;
}

spx_status spx_h5_trailer_make(const void *image, size_t size,
                               unsigned char trailer[SPX_H5_TRAILER_BYTES])
{
    const source s = {"image", -1, image};
    memset(trailer, 0, SPX_H5_TRAILER_BYTES);
    memcpy(trailer, MAGIC, LENGTH_AT);
    for (int i = 0; i < 8; i++) {
        trailer[LENGTH_AT + i] = (unsigned char)((uint64_t)size >> (8 * i));
    }
    return digest(&s, size, trailer + DIGEST_AT);
}

spx_status spx_h5_trailer_check(const char *name, int fd, const unsigned char *data, size_t size,
                                spx_h5_trust trust, unsigned char sum[SPX_H5_DIGEST_BYTES])
{
    static const unsigned char zeros[SPX_H5_TRAILER_BYTES - ZERO_AT];
    const source s = {name, fd, data};
    unsigned char trailer[SPX_H5_TRAILER_BYTES] = {0}, found[DIGEST_BYTES];
    const size_t image = size >= sizeof trailer ? size - sizeof trailer : 0;
    uint64_t length = 0;
    memset(sum, 0, SPX_H5_DIGEST_BYTES);
    if (size >= sizeof trailer) {
        SPX_RETURN_IF(source_read(&s, image, trailer, sizeof trailer));
    }
    if (memcmp(trailer, MAGIC, LENGTH_AT) != 0) {
        if (trust == SPX_H5_FOREIGN) {
            return SPX_OK;
        }
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: offset %zu: expected the checksum mark \"" MAGIC "\": the file is "
                        "truncated, damaged or not written by sphynx",
                        name, image);
    }
    for (int i = 7; i >= 0; i--) {
        length = length << 8 | trailer[LENGTH_AT + i];
    }
    if (length != image || memcmp(trailer + ZERO_AT, zeros, sizeof zeros) != 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s: offset %zu: damaged checksum: expected a length of %zu",
                        name, image + LENGTH_AT, image);
    }
    SPX_RETURN_IF(digest(&s, image, found));
    if (memcmp(found, trailer + DIGEST_AT, sizeof found) != 0) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: offset 0: the first %zu bytes do not match their checksum: the file "
                        "is damaged",
                        name, image);
    }
    memcpy(sum, found, sizeof found);
    return SPX_OK;
}

spx_status spx_h5_file_digest(const char *path, char hex[SPX_H5_DIGEST_CHARS])
{
    unsigned char trailer[SPX_H5_TRAILER_BYTES] = {0};
    struct stat info;
    spx_status st = SPX_OK;
    int fd;
    hex[0] = '\0';
    SPX_RETURN_IF(spx_h5_open_plain(path, O_NONBLOCK, &fd, &info));
    if (S_ISREG(info.st_mode) && info.st_size >= (off_t)sizeof trailer) {
        const source s = {path, fd, NULL};
        st = source_read(&s, (size_t)info.st_size - sizeof trailer, trailer, sizeof trailer);
    }
    (void)close(fd);
    if (st == SPX_OK && memcmp(trailer, MAGIC, LENGTH_AT) == 0) {
        (void)sodium_bin2hex(hex, SPX_H5_DIGEST_CHARS, trailer + DIGEST_AT, DIGEST_BYTES);
    }
    return st;
}
