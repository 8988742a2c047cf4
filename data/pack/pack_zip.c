/*
 * ZIP archives (PKWARE's APPNOTE: end records, central directory, members stored or deflated), of
 * any number of members, each below 4 GiB, read where they lie. Sizes are believed only as far as
 * the file can hold them.
 */
#include "data/pack/pack_archive_private.h"
#include "kernels/base/alloc.h"

#include <inttypes.h>
#include <string.h>

#define END_BYTES 22   /* of the archive's end record */
#define ENTRY_BYTES 46 /* of an entry in the central directory */
#define LOCAL_BYTES 30 /* of a member's own header */
#define LOCATOR_BYTES 20
#define WIDE_BYTES 56 /* of the end record of a large archive */

static uint64_t wide(const uint8_t *b)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) {
        v = v << 8 | b[i];
    }
    return v;
}

static spx_status damaged(const spx_container *c, uint64_t at, const char *what)
{
    return SPX_FAIL(SPX_EFORMAT, "%s: offset %" PRIu64 ": expected a ZIP archive: %s", c->path, at,
                    what);
}

static spx_status big(const spx_container *c, uint64_t at)
{
    return SPX_FAIL(SPX_EFORMAT,
                    "%s: offset %" PRIu64
                    ": a ZIP64 archive of 4 GiB or more is not read: unpack it, "
                    "and give its folder",
                    c->path, at);
}

typedef struct directory {
    uint64_t at, size, entries;
    bool wide; /* else only the lower 16 bits of entries count: some programs let it overflow */
} directory;

/* The record that archives of more than 65,534 members have besides; its place stands in front of
 * the end record. */
static spx_status read_wide(const spx_container *c, uint64_t end, directory *d)
{
    uint8_t locator[LOCATOR_BYTES], r[WIDE_BYTES];
    uint64_t at;
    if (end < LOCATOR_BYTES) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_container_read(c, end - LOCATOR_BYTES, locator, sizeof locator));
    if (spx_pack_little(locator, 4) != 0x07064b50) {
        return SPX_OK;
    }
    at = wide(locator + 8);
    SPX_RETURN_IF(spx_container_read(c, at, r, sizeof r));
    if (spx_pack_little(r, 4) != 0x06064b50) {
        return damaged(c, at, "the end record of a large one");
    }
    *d = (directory){wide(r + 48), wide(r + 40), wide(r + 32), true};
    return SPX_OK;
}

/* The end record lies behind everything but its own comment. */
static spx_status find_directory(const spx_container *c, directory *d)
{
    uint8_t tail[END_BYTES + UINT16_MAX];
    const size_t n = c->size < sizeof tail ? (size_t)c->size : sizeof tail;
    const uint64_t base = c->size - n;
    size_t end = n;
    const uint8_t *r;
    if (n < END_BYTES) {
        return damaged(c, 0, "too short");
    }
    SPX_RETURN_IF(spx_container_read(c, base, tail, n));
    for (end -= END_BYTES; spx_pack_little(tail + end, 4) != 0x06054b50 ||
                           spx_pack_little(tail + end + 20, 2) != n - END_BYTES - end;
         end--) {
        if (end == 0) {
            return damaged(c, base, "no end record (is it whole?)");
        }
    }
    r = tail + end;
    *d = (directory){spx_pack_little(r + 16, 4), spx_pack_little(r + 12, 4),
                     spx_pack_little(r + 10, 2), false};
    if (spx_pack_little(r + 4, 4) != 0 || spx_pack_little(r + 8, 2) != d->entries) {
        return damaged(c, base + end, "one in a single part");
    }
    SPX_RETURN_IF(read_wide(c, base + end, d));
    return d->at <= base + end && d->size <= base + end - d->at
               ? SPX_OK
               : damaged(c, base + end, "the directory is not there");
}

static spx_status check_member(const spx_container *c, const directory *d, const uint8_t *e,
                               uint64_t at, spx_archive_member *m)
{
    const uint32_t method = spx_pack_little(e + 10, 2);
    spx_place *w = &m->where;
    *w = (spx_place){.form = SPX_PLACE_ZIP,
                     .deflated = method == 8,
                     .crc = spx_pack_little(e + 16, 4),
                     .packed = spx_pack_little(e + 20, 4),
                     .size = spx_pack_little(e + 24, 4),
                     .offset = spx_pack_little(e + 42, 4)};
    if (w->packed == UINT32_MAX || w->size == UINT32_MAX || w->offset == UINT32_MAX) {
        return big(c, at);
    }
    if ((method != 0 && method != 8) || (spx_pack_little(e + 8, 2) & 1) != 0) {
        return damaged(c, at, "members stored or deflated, and not encrypted");
    }
    if (w->offset + LOCAL_BYTES > d->at || w->packed > d->at - w->offset ||
        (method == 0 && w->packed != w->size) || w->size / SPX_DEFLATE_RATIO > w->packed) {
        return damaged(c, at, "a member within the file, of a size that it can inflate to");
    }
    return spx_archive_check_name(c, at, m);
}

static spx_status walk(const spx_container *c, const directory *d, const uint8_t *bytes,
                       spx_archive_take take, void *ctx)
{
    size_t at = 0, entries = 0;
    for (; at < d->size; entries++) {
        const uint8_t *e = bytes + at;
        spx_archive_member m;
        size_t n;
        if (d->size - at < ENTRY_BYTES || spx_pack_little(e, 4) != 0x02014b50 ||
            d->size - at - ENTRY_BYTES <
                (n = (size_t)spx_pack_little(e + 28, 2) + spx_pack_little(e + 30, 2) +
                     spx_pack_little(e + 32, 2))) {
            return damaged(c, d->at + at, "an entry of the directory");
        }
        m.name = (const char *)e + ENTRY_BYTES;
        m.length = spx_pack_little(e + 28, 2);
        SPX_RETURN_IF(check_member(c, d, e, d->at + at, &m));
        if (m.length > 0 && m.name[m.length - 1] != '/') { /* no folder */
            SPX_RETURN_IF(take(ctx, c, &m));
        }
        at += ENTRY_BYTES + n;
    }
    return (d->wide ? entries : entries & UINT16_MAX) == d->entries
               ? SPX_OK
               : damaged(c, d->at, "a directory of as many entries as the end record says");
}

spx_status spx_zip_walk(const spx_container *c, spx_archive_take take, void *ctx)
{
    directory d;
    void *bytes;
    spx_status st;
    SPX_RETURN_IF(find_directory(c, &d));
    SPX_RETURN_IF(spx_alloc(&bytes, d.size + 1));
    st = spx_container_read(c, d.at, bytes, d.size);
    st = st == SPX_OK ? walk(c, &d, bytes, take, ctx) : st;
    spx_free(bytes);
    return st;
}

/* size bytes of a bare deflate stream into room for them. */
static spx_status inflate_all(const spx_container *c, const spx_place *w, const uint8_t *packed,
                              void *to)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)packed, .avail_in = w->packed};
    int r;
    z.next_out = to;
    z.avail_out = w->size;
    if (inflateInit2(&z, -15) != Z_OK) {
        return SPX_FAIL(SPX_ENOMEM, "%s: zlib does not start", c->path);
    }
    r = inflate(&z, Z_FINISH);
    (void)inflateEnd(&z);
    return r == Z_STREAM_END && z.total_out == w->size
               ? SPX_OK
               : damaged(c, w->offset, "a member does not inflate to what it should");
}

spx_status spx_zip_read(const spx_container *c, const spx_place *w, void **bytes)
{
    uint8_t header[LOCAL_BYTES];
    uint64_t at;
    void *packed = NULL;
    spx_status st;
    *bytes = NULL;
    SPX_RETURN_IF(spx_container_read(c, w->offset, header, sizeof header));
    at =
        w->offset + LOCAL_BYTES + spx_pack_little(header + 26, 2) + spx_pack_little(header + 28, 2);
    if (spx_pack_little(header, 4) != 0x04034b50 || at > c->size || w->packed > c->size - at) {
        return damaged(c, w->offset, "a member is not there");
    }
    SPX_RETURN_IF(spx_alloc(bytes, (size_t)w->size + 1));
    ((uint8_t *)*bytes)[w->size] = 0;
    if (w->deflated) {
        SPX_TRY(st, spx_alloc(&packed, (size_t)w->packed + 1), fail);
        SPX_TRY(st, spx_container_read(c, at, packed, w->packed), fail);
        SPX_TRY(st, inflate_all(c, w, packed, *bytes), fail);
    } else {
        SPX_TRY(st, spx_container_read(c, at, *bytes, w->size), fail);
    }
    if (crc32(0, *bytes, w->size) != w->crc) {
        st = damaged(c, at, "a member's checksum is wrong");
        goto fail;
    }
    spx_free(packed);
    return SPX_OK;
fail:
    spx_free(packed);
    spx_free(*bytes);
    *bytes = NULL;
    return st;
}
