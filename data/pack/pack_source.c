#include "data/pack/pack_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define MAX_FILE_BYTES                                                                             \
    ((size_t)1 << 30) /* five times the largest published file; fits zlib's uInt */
#define MAX_INFLATE_STEP ((size_t)1 << 30)
#define DIGEST_BYTES crypto_hash_sha256_BYTES

spx_status spx_pack_add_source(spx_pack *p, const char *path, const void *data, size_t size)
{
    unsigned char digest[DIGEST_BYTES];
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    const size_t old = p->sources != NULL ? strlen(p->sources) : 0;
    const size_t line = 2 * sizeof digest + 2 + strlen(name) + 1;
    char *text;
    if (sodium_init() < 0) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "libsodium does not start");
    }
    SPX_RETURN_IF(SPX_NEW(text, old + line + 1));
    if (old > 0) {
        memcpy(text, p->sources, old);
    }
    (void)crypto_hash_sha256(digest, data, size);
    (void)sodium_bin2hex(text + old, 2 * sizeof digest + 1, digest, sizeof digest);
    (void)snprintf(text + old + 2 * sizeof digest, line + 1 - 2 * sizeof digest, "  %s\n", name);
    spx_free(p->sources);
    p->sources = text;
    return SPX_OK;
}

spx_status spx_pack_input_open(spx_pack_input *s, const char *path, spx_pack *p)
{
    void *raw;
    *s = (spx_pack_input){.path = path};
    SPX_RETURN_IF(spx_file_read(path, MAX_FILE_BYTES, &raw, &s->raw_size));
    s->raw = raw;
    if (p != NULL) {
        SPX_RETURN_IF(spx_pack_add_source(p, path, s->raw, s->raw_size));
    }
    s->gzip = s->raw_size >= 2 && s->raw[0] == 0x1f && s->raw[1] == 0x8b;
    if (s->gzip) {
        s->z.next_in = s->raw;
        s->z.avail_in = (uInt)s->raw_size;
        if (inflateInit2(&s->z, 15 + 16) != Z_OK) { /* + 16: a gzip stream and nothing else */
            return SPX_FAIL(SPX_ENOMEM, "%s: zlib does not start", path);
        }
        s->started = true;
    }
    return SPX_OK;
}

size_t spx_pack_input_limit(const spx_pack_input *s)
{
    return s->gzip ? SPX_DEFLATE_RATIO * (size_t)s->z.avail_in : s->raw_size - s->at;
}

/* At the end of a member: goes to the next one. Zeros at the end are padding, as of a tape. */
static spx_status next_member(spx_pack_input *s)
{
    const unsigned char *rest = s->z.next_in;
    const size_t left = s->z.avail_in;
    size_t zeros = 0;
    if (left >= 2 && rest[0] == 0x1f && rest[1] == 0x8b) {
        return inflateReset(&s->z) == Z_OK ? SPX_OK : SPX_FAIL(SPX_EFORMAT, "%s: zlib", s->path);
    }
    while (zeros < left && rest[zeros] == 0) {
        zeros++;
    }
    s->z.avail_in = zeros == left ? 0 : s->z.avail_in;
    s->ended = true;
    return SPX_OK;
}

/* Inflates up to n bytes; *got less than n only at the stream's end. */
static spx_status inflate_some(spx_pack_input *s, unsigned char *dst, size_t n, size_t *got)
{
    *got = 0;
    while (*got < n && !s->ended) {
        const size_t step = n - *got < MAX_INFLATE_STEP ? n - *got : MAX_INFLATE_STEP;
        int r;
        s->z.next_out = dst + *got;
        s->z.avail_out = (uInt)step;
        r = inflate(&s->z, Z_NO_FLUSH);
        *got += step - s->z.avail_out;
        s->at += step - s->z.avail_out;
        if (r == Z_STREAM_END) {
            SPX_RETURN_IF(next_member(s));
        } else if (r != Z_OK) {
            return SPX_FAIL(SPX_EFORMAT, "%s: offset %zu: expected compressed data, found %s",
                            s->path, s->at,
                            r == Z_BUF_ERROR ? "the end of the file" : "a damaged stream");
        }
    }
    return SPX_OK;
}

spx_status spx_pack_input_read(spx_pack_input *s, void *dst, size_t n)
{
    size_t got;
    if (s->gzip) {
        SPX_RETURN_IF(inflate_some(s, dst, n, &got));
    } else {
        got = n < s->raw_size - s->at ? n : s->raw_size - s->at;
        memcpy(dst, s->raw + s->at, got);
        s->at += got;
    }
    if (got < n) {
        return SPX_FAIL(SPX_EFORMAT, "%s: offset %zu: expected %zu more bytes, found the end",
                        s->path, s->at, n - got);
    }
    return SPX_OK;
}

spx_status spx_pack_input_end(spx_pack_input *s)
{
    unsigned char extra;
    size_t got = 0;
    if (s->gzip) {
        SPX_RETURN_IF(inflate_some(s, &extra, 1, &got)); /* also checks the stream's CRC */
    }
    if (got != 0 || (s->gzip ? s->z.avail_in != 0 : s->at != s->raw_size)) {
        return SPX_FAIL(SPX_EFORMAT, "%s: offset %zu: expected the end, found more bytes", s->path,
                        s->at - got);
    }
    return SPX_OK;
}

spx_status spx_pack_input_whole(const char *path, size_t max_bytes, void **bytes, size_t *size)
{
    spx_pack_input s;
    size_t room = 0;
    spx_status st;
    *bytes = NULL;
    *size = 0;
    SPX_TRY(st, spx_pack_input_open(&s, path, NULL), done);
    room = spx_pack_input_limit(&s);
    room = room < max_bytes ? room : max_bytes;
    SPX_TRY(st, spx_alloc(bytes, room + 1), done);
    if (s.gzip) {
        SPX_TRY(st, inflate_some(&s, *bytes, room, size), done);
    } else {
        SPX_TRY(st, spx_pack_input_read(&s, *bytes, room), done);
        *size = room;
    }
    st = spx_pack_input_end(&s);
done:
    spx_pack_input_close(&s);
    if (st != SPX_OK) {
        spx_free(*bytes);
        *bytes = NULL;
        *size = 0;
    }
    return st;
}

void spx_pack_input_close(spx_pack_input *s)
{
    if (s->started) {
        (void)inflateEnd(&s->z);
    }
    spx_free(s->raw);
    *s = (spx_pack_input){0};
}
