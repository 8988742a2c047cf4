/*
 * Tape archives (POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar's long names and sizes),
 * whole files or part of one, read where they lie.
 */
#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_archive_private.h"
#include "kernels/base/alloc.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512
#define MAX_RECORDS ((uint64_t)1 << 20) /* bytes of a member's pax records */

typedef struct tar {
    const spx_container *c;
    uint64_t at, end;
    char name[PATH_MAX]; /* of the next member, from what came before it; "": its header's */
    bool has_size;
    uint64_t size; /* likewise */
} tar;

static spx_status refuse(const tar *t, const char *what)
{
    return SPX_FAIL(SPX_EFORMAT, "%s: offset %" PRIu64 ": expected a tar archive: %s", t->c->path,
                    t->at, what);
}

/* A number in octal, or where the first bit is set to base 256; false: none, or negative. */
static bool number(const uint8_t *field, size_t n, uint64_t *out)
{
    size_t i = 0;
    *out = 0;
    if (field[0] == 0x80) {
        for (i = 1; i < n; i++) {
            if (*out >> 56 != 0) {
                return false;
            }
            *out = *out << 8 | field[i];
        }
        return true;
    }
    while (i < n && field[i] == ' ') {
        i++;
    }
    if (i == n || field[i] < '0' || field[i] > '7') {
        return false;
    }
    for (; i < n && field[i] >= '0' && field[i] <= '7'; i++) {
        *out = *out << 3 | (uint64_t)(field[i] - '0'); /* 12 digits at most */
    }
    return i == n || field[i] == ' ' || field[i] == 0;
}

/* The sum of a header's bytes, its own field as blanks; old programs took bytes as signed. */
static bool sum_is_right(const uint8_t *h)
{
    uint64_t told;
    int64_t sum = 0, of_signed = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        const uint8_t b = i >= 148 && i < 156 ? ' ' : h[i];
        sum += b;
        of_signed += (int8_t)b;
    }
    return number(h + 148, 8, &told) && ((int64_t)told == sum || (int64_t)told == of_signed);
}

/* One record "LENGTH key=value\n" of n bytes; false: it is none. */
static bool take_record(tar *t, const char *r, size_t n)
{
    const char *key = memchr(r, ' ', n), *value = memchr(r, '=', n);
    size_t length;
    if (key == NULL || value == NULL || value < key || r[n - 1] != '\n') {
        return false;
    }
    key++, value++;
    length = (size_t)(r + n - 1 - value);
    if (value - key == 5 && memcmp(key, "path=", 5) == 0) {
        if (length == 0 || length >= sizeof t->name || memchr(value, 0, length) != NULL) {
            return false;
        }
        memcpy(t->name, value, length);
        t->name[length] = '\0';
    }
    if (value - key == 5 && memcmp(key, "size=", 5) == 0) {
        char *end;
        t->size = strtoull(value, &end, 10); /* the newline ends it */
        t->has_size = true;
        return value[0] >= '0' && value[0] <= '9' && length < 20 && end == value + length;
    }
    return value - key < 11 || memcmp(key, "GNU.sparse.", 11) != 0;
}

static bool take_records(tar *t, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        char *end;
        const size_t n = strtoull(text + at, &end, 10); /* text ends in 0 */
        if (text[at] < '1' || text[at] > '9' || *end != ' ' || n > size - at || n < 5 ||
            !take_record(t, text + at, n)) {
            return false;
        }
        at += n;
    }
    return true;
}

/* What tells of the next member: pax records, or GNU's long name. */
static spx_status take_note(tar *t, char type, uint64_t offset, uint64_t size)
{
    const spx_place where = {.offset = offset, .size = (uint32_t)size};
    void *bytes;
    bool good = true;
    if (size > MAX_RECORDS || (type == 'L' && size > sizeof t->name)) {
        return refuse(t, "a name or records of a sensible length");
    }
    SPX_RETURN_IF(spx_container_range(t->c, &where, &bytes));
    if (type == 'x') {
        good = take_records(t, bytes, (size_t)size);
    } else if (type == 'L') {
        const size_t n = strlen(bytes); /* a 0 was put behind it */
        good = n > 0 && n + 1 >= size && n < sizeof t->name;
        memcpy(t->name, bytes, good ? n + 1 : 0);
    }
    spx_free(bytes);
    return good ? SPX_OK : refuse(t, "a name or records as POSIX has them, of no sparse file");
}

/* The header's own name, where nothing before it gave one. */
static void take_name(tar *t, const uint8_t *h)
{
    const bool prefix = memcmp(h + 257, "ustar", 6) == 0 && h[345] != 0;
    if (t->name[0] == '\0') {
        (void)snprintf(t->name, sizeof t->name, "%.*s%s%.100s", prefix ? 155 : 0,
                       (const char *)h + 345, prefix ? "/" : "", (const char *)h);
    }
}

static spx_status give(tar *t, uint64_t offset, uint64_t size, spx_archive_take take, void *ctx)
{
    spx_archive_member m = {.name = t->name};
    while (strncmp(m.name, "./", 2) == 0) {
        m.name += 2;
    }
    m.length = strlen(m.name);
    SPX_RETURN_IF(spx_archive_check_name(t->c, t->at, &m));
    if (size > UINT32_MAX) {
        return refuse(t, "members below 4 GiB");
    }
    m.where = (spx_place){.form = SPX_PLACE_RANGE, .offset = offset, .size = (uint32_t)size};
    return m.name[m.length - 1] == '/' ? SPX_OK : take(ctx, t->c, &m); /* an old folder */
}

/* One member; *more is false behind the last. */
static spx_status step(tar *t, spx_archive_take take, void *ctx, bool *more)
{
    static const uint8_t zeros[BLOCK];
    uint8_t h[BLOCK];
    uint64_t size, offset;
    char type;
    bool note;
    if (t->end - t->at < BLOCK) {
        return refuse(t, "a block of zeros at its end (is it whole?)");
    }
    SPX_RETURN_IF(spx_container_read(t->c, t->at, h, BLOCK));
    *more = memcmp(h, zeros, BLOCK) != 0;
    if (!*more) {
        return SPX_OK;
    }
    type = (char)h[156];
    if (!sum_is_right(h)) {
        return refuse(t, "a header whose checksum is right");
    }
    if (!number(h + 124, 12, &size)) {
        return refuse(t, "a size");
    }
    note = type == 'x' || type == 'g' || type == 'L' || type == 'K';
    size = t->has_size && !note ? t->size : size;
    size = type >= '1' && type <= '6' ? 0 : size; /* links, devices and folders have no bytes */
    offset = t->at + BLOCK;
    if (size > t->end - offset) {
        return refuse(t, "a member within the archive (is it whole?)");
    }
    if (note) {
        SPX_RETURN_IF(take_note(t, type, offset, type == 'g' ? 0 : size));
    } else {
        take_name(t, h);
        if (type == 'S') {
            return refuse(t, "no sparse file");
        }
        if (type == '0' || type == 0 || type == '7') {
            SPX_RETURN_IF(give(t, offset, size, take, ctx));
        }
        t->name[0] = '\0';
        t->has_size = false;
    }
    size = t->end - offset - size < BLOCK ? t->end - offset : (size + BLOCK - 1) / BLOCK * BLOCK;
    t->at = offset + size;
    return SPX_OK;
}

spx_status spx_tar_walk(const spx_container *c, uint64_t from, uint64_t size, spx_archive_take take,
                        void *ctx)
{
    tar t = {.c = c, .at = from, .end = from + size};
    bool more = true;
    if (from > c->size || size > c->size - from) {
        return refuse(&t, "one within the file");
    }
    while (more) {
        SPX_RETURN_IF(step(&t, take, ctx, &more));
    }
    return SPX_OK;
}
