#ifndef SPX_TESTS_PACK_ARCHIVE_BYTES_H
#define SPX_TESTS_PACK_ARCHIVE_BYTES_H
/* Archives put together field after field. */
#include "tests/data/pack_bytes.h"

#include <zlib.h>

/* ---- ZIP ---- */

typedef struct zip {
    buffer bytes, directory;
    size_t members;
    bool wide; /* has the record for many members */
} zip;

static inline void deflate_bytes(buffer *to, const void *data, size_t n, int window)
{
    z_stream z = {0};
    const size_t room = n + n / 100 + 1000;
    uint8_t *out = malloc(room);
    uint8_t *in = malloc(n + 1); /* zlib takes no const */
    assert_true(out != NULL && in != NULL);
    memcpy(in, data, n);
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = in, z.avail_in = (uInt)n;
    z.next_out = out, z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    put(to, out, z.total_out);
    (void)deflateEnd(&z);
    free(in);
    free(out);
}

static inline void zip_add(zip *z, const char *name, const void *data, size_t n, bool deflated)
{
    const size_t local = z->bytes.n;
    buffer packed = {0};
    if (deflated) {
        deflate_bytes(&packed, data, n, -15);
    } else {
        put(&packed, data, n);
    }
    for (int d = 0; d < 2; d++) { /* the local header, then the directory's entry */
        buffer *to = d == 0 ? &z->bytes : &z->directory;
        put_number(to, d == 0 ? 0x04034b50 : 0x02014b50, 4, false);
        put_number(to, 20, d == 0 ? 2 : 4, false);
        put_number(to, 0, 2, false);
        put_number(to, deflated ? 8 : 0, 2, false);
        put_number(to, 0, 4, false);
        put_number(to, crc32(0, data, (uInt)n), 4, false);
        put_number(to, packed.n, 4, false);
        put_number(to, n, 4, false);
        put_number(to, strlen(name), 2, false);
        put_number(to, d == 0 ? 3 : 0, 2, false); /* extra bytes here and none there */
        if (d == 1) {
            put_number(to, 0, 6, false);
            put_number(to, 0, 4, false);
            put_number(to, local, 4, false);
        }
        put_text(to, name);
    }
    put(&z->bytes, "xyz", 3);
    put(&z->bytes, packed.bytes, packed.n);
    free(packed.bytes);
    z->members++;
}

/* The record of more than 65,534 members, and where it is. */
static inline void zip_wide(buffer *to, const zip *z, size_t at)
{
    const size_t here = to->n;
    put_number(to, 0x06064b50, 4, false);
    put_number(to, 44, 8, false);
    put_number(to, 45, 2, false);
    put_number(to, 45, 2, false);
    put_number(to, 0, 8, false);
    put_number(to, z->members, 8, false);
    put_number(to, z->members, 8, false);
    put_number(to, z->directory.n, 8, false);
    put_number(to, at, 8, false);
    put_number(to, 0x07064b50, 4, false);
    put_number(to, 0, 4, false);
    put_number(to, here, 8, false);
    put_number(to, 1, 4, false);
}

/* Directory and end record; the archive's bytes are the caller's. */
static inline buffer zip_end(zip *z, const char *comment)
{
    const size_t at = z->bytes.n;
    buffer whole = z->bytes;
    put(&whole, z->directory.bytes, z->directory.n);
    if (z->wide) {
        zip_wide(&whole, z, at);
        z->members = UINT16_MAX;
    }
    put_number(&whole, 0x06054b50, 4, false);
    put_number(&whole, 0, 4, false);
    put_number(&whole, z->members, 2, false);
    put_number(&whole, z->members, 2, false);
    put_number(&whole, z->directory.n, 4, false);
    put_number(&whole, at, 4, false);
    put_number(&whole, strlen(comment), 2, false);
    put_text(&whole, comment);
    free(z->directory.bytes);
    *z = (zip){0};
    return whole;
}

/* ---- tar ---- */

/* A header's sum, over the blanks that stand for it. */
static inline void tar_seal(uint8_t *h)
{
    unsigned sum = 0;
    memset(h + 148, ' ', 8);
    for (int i = 0; i < 512; i++) {
        sum += h[i];
    }
    (void)snprintf((char *)h + 148, 8, "%06o", sum);
}

/* One member, as POSIX has it; a name above 100 bytes comes before it as GNU writes that. */
static inline void tar_add(buffer *to, const char *name, char type, const void *data, size_t n)
{
    static const uint8_t zeros[512];
    uint8_t h[512] = {0};
    if (strlen(name) > 100) {
        tar_add(to, "././@LongLink", 'L', name, strlen(name) + 1);
    }
    memcpy(h, name, strlen(name) < 100 ? strlen(name) : 100);
    memcpy(h + 100, "0000644", 7);
    (void)snprintf((char *)h + 124, 12, "%011o", (unsigned)n);
    h[156] = (uint8_t)type;
    memcpy(h + 257, "ustar\00000", 8);
    tar_seal(h);
    put(to, h, sizeof h);
    put(to, data, n);
    put(to, zeros, (512 - n % 512) % 512);
}

static inline void tar_end(buffer *to)
{
    static const uint8_t zeros[1024];
    put(to, zeros, sizeof zeros);
}

#endif
