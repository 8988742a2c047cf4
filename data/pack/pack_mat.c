/*
 * Level 5 MAT-files (MathWorks, "MAT-File Format"), as far as meta.mat of ImageNet's development
 * kit goes: a structure array of numbers and texts. Whatever else is in the file is passed over by
 * its length; every length is held to what is around it.
 */
#include "data/pack/pack_mat_private.h"

#include "data/pack/pack_private.h"
#include "kernels/base/alloc.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define HEADER_BYTES 128
#define MAX_INFLATED ((size_t)64 << 20)
#define MAX_SYNSETS 100000
#define MAX_FIELDS 64
#define MAX_FIELD 64 /* bytes of a field's name */
#define MAX_WORDS 1024

enum { INT8 = 1, UINT8, INT16, UINT16, INT32, UINT32, SINGLE = 7, DOUBLE = 9, MATRIX = 14 };
enum { COMPRESSED = 15, UTF8, UTF16 };
enum { CLASS_STRUCT = 2, CLASS_CHAR = 4 };

/* Bytes being read, at `at`, to `end`. */
typedef struct cursor {
    const char *where;
    const uint8_t *bytes;
    size_t at, end;
    bool big;
} cursor;

/* One element: its type, and its bytes as a cursor of their own. */
typedef struct element {
    uint32_t type;
    cursor data;
} element;

/* A matrix: what is known before its data, which follow in `rest`. */
typedef struct matrix {
    uint32_t class;
    size_t count; /* of elements */
    cursor name, rest;
} matrix;

static spx_status refuse(const cursor *c, const char *what)
{
    return SPX_FAIL(SPX_EFORMAT, "%s: offset %zu: expected ImageNet's meta.mat: %s", c->where,
                    c->at, what);
}

static uint64_t number(const cursor *c, size_t at, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v |= (uint64_t)c->bytes[at + i] << 8 * (c->big ? n - 1 - i : i);
    }
    return v;
}

/* The next element; small ones have type and size in four bytes, and up to four more. */
static spx_status next(cursor *c, element *e)
{
    size_t from, n, step;
    if (c->end - c->at < 8) {
        return refuse(c, "an element");
    }
    e->type = (uint32_t)number(c, c->at, 4);
    n = e->type >> 16;
    if (n > 0) {
        e->type &= 0xffff;
        from = c->at + 4;
        step = 8;
    } else {
        n = (size_t)number(c, c->at + 4, 4);
        from = c->at + 8;
        step = e->type == COMPRESSED ? 8 + n : 8 + (n + 7) / 8 * 8;
    }
    if (n > c->end - from || (from == c->at + 4 && n > 4)) {
        return refuse(c, "an element that ends within the one around it");
    }
    e->data = *c;
    e->data.at = from;
    e->data.end = from + n;
    c->at = step < c->end - c->at ? c->at + step : c->end; /* the last may lack its padding */
    return SPX_OK;
}

static spx_status next_of(cursor *c, uint32_t type, element *e)
{
    const cursor before = *c;
    SPX_RETURN_IF(next(c, e));
    return e->type == type ? SPX_OK : refuse(&before, "an element of another type");
}

/* Flags, dimensions and name of a matrix. */
static spx_status open_matrix(const element *e, matrix *m)
{
    element flags, dims, name;
    m->rest = e->data;
    m->count = 1;
    SPX_RETURN_IF(next_of(&m->rest, UINT32, &flags));
    SPX_RETURN_IF(next_of(&m->rest, INT32, &dims));
    SPX_RETURN_IF(next_of(&m->rest, INT8, &name));
    if (flags.data.end - flags.data.at != 8) {
        return refuse(&flags.data, "the flags of an array");
    }
    m->class = (uint32_t)number(&flags.data, flags.data.at, 4) & 0xff;
    for (size_t at = dims.data.at; at + 4 <= dims.data.end; at += 4) {
        if (!spx_mul_size(m->count, (size_t)number(&dims.data, at, 4), &m->count)) {
            return refuse(&dims.data, "a size that memory can hold");
        }
    }
    m->name = name.data;
    return SPX_OK;
}

/* ---- the values of a structure's fields ---- */

/* A whole number from 1 on. */
static spx_status read_id(cursor *c, int *id)
{
    static const uint8_t widths[] = {0, 1, 1, 2, 2, 4, 4, 4, 0, 8, 0, 0, 8, 8}; /* by type */
    const cursor before = *c;
    element e, value;
    matrix m;
    double v = 0;
    uint64_t bits;
    size_t n;
    SPX_RETURN_IF(next_of(c, MATRIX, &e));
    SPX_RETURN_IF(open_matrix(&e, &m));
    SPX_RETURN_IF(next(&m.rest, &value));
    n = value.data.end - value.data.at;
    if (m.count != 1 || value.type >= sizeof widths || widths[value.type] != n || n == 0) {
        return refuse(&before, "a number");
    }
    bits = number(&value.data, value.data.at, n);
    if (value.type == DOUBLE) {
        memcpy(&v, &bits, sizeof v);
    } else if (value.type == SINGLE) {
        const uint32_t word = (uint32_t)bits;
        float f;
        memcpy(&f, &word, sizeof f);
        v = (double)f;
    } else {
        v = (double)bits; /* a negative one is too large */
    }
    if (!(v >= 1 && v <= MAX_SYNSETS) || v != floor(v)) {
        return refuse(&before, "an ILSVRC2012_ID of 1 or more");
    }
    *id = (int)v;
    return SPX_OK;
}

/* One code as UTF-8; what cannot stand in a line is a blank. */
static size_t put_code(char *to, uint32_t v)
{
    if (v < 0x80) {
        to[0] = v < 0x20 || v == 0x7f ? ' ' : (char)v;
        return 1;
    }
    if (v < 0x800) {
        to[0] = (char)(0xc0 | v >> 6);
        to[1] = (char)(0x80 | (v & 0x3f));
        return 2;
    }
    to[0] = (char)(0xe0 | v >> 12);
    to[1] = (char)(0x80 | (v >> 6 & 0x3f));
    to[2] = (char)(0x80 | (v & 0x3f));
    return 3;
}

/* A text of at most room - 1 bytes. */
static spx_status read_text(cursor *c, char *to, size_t room)
{
    const cursor before = *c;
    element e, value;
    matrix m;
    size_t used = 0;
    bool wide, utf8;
    SPX_RETURN_IF(next_of(c, MATRIX, &e));
    SPX_RETURN_IF(open_matrix(&e, &m));
    to[0] = '\0';
    if (m.class == CLASS_CHAR && m.count == 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(next(&m.rest, &value));
    wide = value.type == UINT16 || value.type == UTF16;
    utf8 = value.type == UTF8;
    if (m.class != CLASS_CHAR || !(wide || utf8 || value.type == INT8 || value.type == UINT8)) {
        return refuse(&before, "a text");
    }
    for (size_t at = value.data.at; at + wide < value.data.end; at += wide ? 2 : 1) {
        const uint32_t v = (uint32_t)number(&value.data, at, wide ? 2 : 1);
        if (used + 4 > room) {
            return refuse(&before, "a shorter text");
        }
        if (utf8 && v >= 0x80) {
            to[used++] = (char)v;
        } else {
            used += put_code(to + used, v);
        }
    }
    to[used] = '\0';
    return SPX_OK;
}

/* ---- the structure array ---- */

typedef struct reading {
    spx_synset *synset;
    size_t n;
    char *names;
    size_t used, room;
} reading;

static spx_status add_name(reading *r, const char *key, const char *words)
{
    const size_t n = strlen(key) + 1 + strlen(words) + 1;
    while (r->room - r->used < n + 1) {
        char *more;
        const size_t room = 2 * r->room + n + 1;
        SPX_RETURN_IF(SPX_NEW(more, room));
        if (r->used > 0) {
            memcpy(more, r->names, r->used);
        }
        spx_free(r->names);
        r->names = more;
        r->room = room;
    }
    r->used += (size_t)snprintf(r->names + r->used, r->room - r->used, "%s %s\n", key, words);
    return SPX_OK;
}

enum { ID, KEY, WORDS, WANTED };

/* Which column each wanted field is. */
static spx_status find_fields(cursor *c, size_t *fields, size_t column[WANTED])
{
    static const char *const wanted[WANTED] = {"ILSVRC2012_ID", "WNID", "words"};
    element length, names;
    size_t n, found = 0;
    SPX_RETURN_IF(next_of(c, INT32, &length));
    SPX_RETURN_IF(next_of(c, INT8, &names));
    n = length.data.end - length.data.at == 4 ? (size_t)number(&length.data, length.data.at, 4) : 0;
    if (n == 0 || n > MAX_FIELD || (names.data.end - names.data.at) % n != 0) {
        return refuse(&length.data, "the names of fields");
    }
    *fields = (names.data.end - names.data.at) / n;
    for (size_t i = 0; i < *fields && *fields <= MAX_FIELDS; i++) { /* else none is found */
        const char *name = (const char *)names.data.bytes + names.data.at + i * n;
        for (size_t k = 0; k < WANTED; k++) {
            if (strlen(wanted[k]) < n && strncmp(name, wanted[k], n) == 0) {
                column[k] = i;
                found |= (size_t)1 << k;
            }
        }
    }
    return found == 7 ? SPX_OK : refuse(&names.data, "synsets with ILSVRC2012_ID, WNID and words");
}

static spx_status read_synset(reading *r, cursor *c, size_t fields, const size_t column[WANTED])
{
    spx_synset *s = &r->synset[r->n];
    char words[MAX_WORDS];
    element other;
    for (size_t i = 0; i < fields; i++) {
        const cursor before = *c;
        if (i == column[ID]) {
            SPX_RETURN_IF(read_id(c, &s->id));
        } else if (i == column[KEY]) {
            SPX_RETURN_IF(read_text(c, s->key, sizeof s->key));
            if (s->key[0] == '\0' || strpbrk(s->key, " /,") != NULL) {
                return refuse(&before, "a WNID");
            }
        } else if (i == column[WORDS]) {
            SPX_RETURN_IF(read_text(c, words, sizeof words));
        } else {
            SPX_RETURN_IF(next(c, &other));
        }
    }
    r->n++;
    return add_name(r, s->key, words);
}

static spx_status read_synsets(reading *r, matrix *m)
{
    size_t fields = 0, column[WANTED] = {0};
    if (m->class != CLASS_STRUCT || m->count == 0 || m->count > MAX_SYNSETS) {
        return refuse(&m->rest, "synsets, an array of structures");
    }
    SPX_RETURN_IF(find_fields(&m->rest, &fields, column));
    SPX_RETURN_IF(SPX_NEW(r->synset, m->count));
    for (size_t i = 0; i < m->count; i++) {
        SPX_RETURN_IF(read_synset(r, &m->rest, fields, column));
    }
    return SPX_OK;
}

/* ---- the file ---- */

/* Inflates a variable: an element within, in *owned. */
static spx_status inflate_variable(const cursor *c, cursor *inside, void **owned)
{
    const size_t n = c->end - c->at;
    const size_t room = n < MAX_INFLATED / SPX_DEFLATE_RATIO ? n * SPX_DEFLATE_RATIO : MAX_INFLATED;
    z_stream z = {.next_in = (Bytef *)(uintptr_t)(c->bytes + c->at), .avail_in = (uInt)n};
    int r;
    SPX_RETURN_IF(spx_alloc(owned, room + 1));
    if (inflateInit(&z) != Z_OK) {
        return SPX_FAIL(SPX_ENOMEM, "%s: zlib does not start", c->where);
    }
    z.next_out = *owned;
    z.avail_out = (uInt)room;
    r = inflate(&z, Z_FINISH);
    *inside = (cursor){c->where, *owned, 0, z.total_out, c->big};
    (void)inflateEnd(&z);
    return r == Z_STREAM_END ? SPX_OK : refuse(c, "a variable that inflates");
}

/* Reads the variable if it is the wanted one. */
static spx_status read_variable(reading *r, element *e)
{
    static const char wanted[] = "synsets";
    void *owned = NULL;
    cursor inside;
    matrix m;
    spx_status st = SPX_OK;
    if (e->type == COMPRESSED) {
        SPX_TRY(st, inflate_variable(&e->data, &inside, &owned), done);
        SPX_TRY(st, next(&inside, e), done);
    }
    if (e->type == MATRIX) {
        SPX_TRY(st, open_matrix(e, &m), done);
        if (r->synset == NULL && m.name.end - m.name.at == sizeof wanted - 1 &&
            memcmp(m.name.bytes + m.name.at, wanted, sizeof wanted - 1) == 0) {
            st = read_synsets(r, &m);
        }
    }
done:
    spx_free(owned);
    return st;
}

static spx_status read_file(reading *r, cursor *c)
{
    element e;
    if (c->end < HEADER_BYTES) {
        return refuse(c, "a MATLAB file");
    }
    c->big = memcmp(c->bytes + 126, "MI", 2) == 0;
    if ((!c->big && memcmp(c->bytes + 126, "IM", 2) != 0) || number(c, 124, 2) != 0x0100) {
        return refuse(c, "a MATLAB file of version 5 (saved by MATLAB's option -v7)");
    }
    for (c->at = HEADER_BYTES; c->at < c->end;) {
        SPX_RETURN_IF(next(c, &e));
        SPX_RETURN_IF(read_variable(r, &e));
    }
    return r->synset != NULL ? SPX_OK : refuse(c, "a variable synsets");
}

spx_status spx_mat_synsets(const char *where, const void *bytes, size_t size, spx_synset **synset,
                           size_t *n, char **names)
{
    reading r = {0};
    cursor c = {where, bytes, 0, size, false};
    const spx_status st = read_file(&r, &c);
    if (st != SPX_OK) {
        spx_free(r.synset);
        spx_free(r.names);
        r = (reading){0};
    }
    *synset = r.synset;
    *n = r.n;
    *names = r.names;
    return st;
}
