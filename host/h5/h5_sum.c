/* The checksum that follows an HDF5 image, made and verified without libhdf5. */
#define _POSIX_C_SOURCE 200809L
#include "host/h5/h5_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "SPXSUM01"
#define MAGIC_APART "SPXSUM02" /* a range is left out; it stands where else there are zeros */
#define LENGTH_AT 8
#define DIGEST_AT 16
#define DIGEST_BYTES SPX_H5_DIGEST_BYTES
#define START_AT (DIGEST_AT + DIGEST_BYTES)
#define RANGE_AT (START_AT + 8)
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
    return spx_file_read_at(s->fd, s->name, offset, dst, n);
}

static void put_u64(unsigned char *at, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        at[i] = (unsigned char)(v >> (8 * i));
    }
}

static uint64_t get_u64(const unsigned char *at)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) {
        v = v << 8 | at[i];
    }
    return v;
}

/* Takes in bytes [at, end) of s. */
static spx_status take_in(crypto_generichash_state *state, const source *s, size_t at, size_t end)
{
    void *memory;
    spx_status st = SPX_OK;
    if (s->fd < 0) {
        (void)crypto_generichash_update(state, s->data + at, end - at);
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_alloc(&memory, BLOCK_BYTES));
    for (size_t n; at < end && st == SPX_OK; at += n) {
        n = end - at < BLOCK_BYTES ? end - at : BLOCK_BYTES;
        st = source_read(s, at, memory, n);
        (void)crypto_generichash_update(state, memory, n);
    }
    spx_free(memory);
    return st;
}

/* The digest ends with the place of what is apart. */
static void finish(crypto_generichash_state *state, const spx_h5_range *apart,
                   unsigned char out[DIGEST_BYTES])
{
    unsigned char place[16];
    put_u64(place, apart->start);
    put_u64(place + 8, apart->length);
    (void)crypto_generichash_update(state, place, apart->length > 0 ? sizeof place : 0);
    (void)crypto_generichash_final(state, out, DIGEST_BYTES);
}

static spx_status begin(crypto_generichash_state *state)
{
    if (sodium_init() < 0) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "libsodium does not start");
    }
    (void)crypto_generichash_init(state, NULL, 0, DIGEST_BYTES);
    return SPX_OK;
}

/* Of size bytes but for those apart. */
static spx_status digest(const source *s, size_t size, const spx_h5_range *apart,
                         unsigned char out[DIGEST_BYTES])
{
    crypto_generichash_state state;
    SPX_RETURN_IF(begin(&state));
    if (apart->length > 0) {
        SPX_RETURN_IF(take_in(&state, s, 0, (size_t)apart->start));
    }
    SPX_RETURN_IF(take_in(&state, s, (size_t)(apart->start + apart->length), size));
    finish(&state, apart, out);
    return SPX_OK;
}

spx_status spx_h5_trailer_make(const void *bytes, size_t size, const spx_h5_range *apart,
                               unsigned char trailer[SPX_H5_TRAILER_BYTES])
{
    crypto_generichash_state state;
    memset(trailer, 0, SPX_H5_TRAILER_BYTES);
    memcpy(trailer, apart->length > 0 ? MAGIC_APART : MAGIC, LENGTH_AT);
    put_u64(trailer + LENGTH_AT, size);
    put_u64(trailer + START_AT, apart->start);
    put_u64(trailer + RANGE_AT, apart->length);
    SPX_RETURN_IF(begin(&state));
    (void)crypto_generichash_update(&state, bytes, size - (size_t)apart->length);
    finish(&state, apart, trailer + DIGEST_AT);
    return SPX_OK;
}

/* The trailer's magic; NULL: none. */
static const char *magic_of(const unsigned char *trailer)
{
    return memcmp(trailer, MAGIC, LENGTH_AT) == 0         ? MAGIC
           : memcmp(trailer, MAGIC_APART, LENGTH_AT) == 0 ? MAGIC_APART
                                                          : NULL;
}

/* What is apart, which must lie in the image; the older trailer has none. */
static bool read_apart(const unsigned char *trailer, size_t image, spx_h5_range *apart)
{
    apart->start = get_u64(trailer + START_AT);
    apart->length = get_u64(trailer + RANGE_AT);
    if (strcmp(magic_of(trailer), MAGIC) == 0) {
        return apart->start == 0 && apart->length == 0;
    }
    return apart->length > 0 && apart->start <= image && apart->length <= image - apart->start;
}

spx_status spx_h5_trailer_check(const char *name, int fd, const unsigned char *data, size_t size,
                                spx_h5_trust trust, spx_h5_sum *sum)
{
    const source s = {name, fd, data};
    unsigned char trailer[SPX_H5_TRAILER_BYTES] = {0}, found[DIGEST_BYTES];
    const size_t image = size >= sizeof trailer ? size - sizeof trailer : 0;
    spx_h5_range apart;
    *sum = (spx_h5_sum){0};
    if (size >= sizeof trailer) {
        SPX_RETURN_IF(source_read(&s, image, trailer, sizeof trailer));
    }
    if (magic_of(trailer) == NULL) {
        if (trust == SPX_H5_FOREIGN) {
            return SPX_OK;
        }
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: offset %zu: expected the checksum mark " MAGIC " or " MAGIC_APART
                        ": the file is truncated, damaged or not written by sphynx",
                        name, image);
    }
    if (get_u64(trailer + LENGTH_AT) != image || !read_apart(trailer, image, &apart)) {
        return SPX_FAIL(SPX_EFORMAT, "%s: offset %zu: damaged checksum: expected a length of %zu",
                        name, image + LENGTH_AT, image);
    }
    SPX_RETURN_IF(digest(&s, image, &apart, found));
    if (memcmp(found, trailer + DIGEST_AT, sizeof found) != 0) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: offset 0: the first %zu bytes do not match their checksum: the file "
                        "is damaged",
                        name, image);
    }
    memcpy(sum->digest, found, sizeof found);
    sum->apart = apart;
    return SPX_OK;
}

void spx_h5_trailer_digest(const unsigned char *trailer, char hex[SPX_H5_DIGEST_CHARS])
{
    (void)sodium_bin2hex(hex, SPX_H5_DIGEST_CHARS, trailer + DIGEST_AT, DIGEST_BYTES);
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
    if (st == SPX_OK && magic_of(trailer) != NULL) {
        spx_h5_trailer_digest(trailer, hex);
    }
    return st;
}
