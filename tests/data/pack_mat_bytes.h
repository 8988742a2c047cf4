#ifndef SPX_TESTS_PACK_MAT_BYTES_H
#define SPX_TESTS_PACK_MAT_BYTES_H
/* ImageNet's meta.mat put together element after element, of either byte order. */
#include "tests/data/pack_archive_bytes.h"

enum {
    INT8 = 1,
    INT32 = 5,
    UINT8 = 2,
    UINT16 = 4,
    UINT32 = 6,
    DOUBLE = 9,
    INT64 = 12,
    MATRIX = 14,
    UTF8 = 16
};

typedef struct mat {
    bool big, packed, utf8;
    int number_type;
} mat;

static inline void element(buffer *to, const mat *m, uint32_t type, const void *data, size_t n)
{
    static const uint8_t zeros[8];
    if (n > 0 && n <= 4) {
        put_number(to, n << 16 | type, 4, m->big);
        put(to, data, n);
        put(to, zeros, 4 - n);
        return;
    }
    put_number(to, type, 4, m->big);
    put_number(to, n, 4, m->big);
    put(to, data, n);
    put(to, zeros, (8 - n % 8) % 8);
}

/* An array of a class with 1 x count elements; body is freed. */
static inline void matrix(buffer *to, const mat *m, int class, size_t count, const char *name,
                          buffer *body)
{
    buffer inner = {0}, flags = {0}, dims = {0};
    put_number(&flags, (uint64_t) class, 4, m->big);
    put_number(&flags, 0, 4, m->big);
    put_number(&dims, 1, 4, m->big);
    put_number(&dims, count, 4, m->big);
    element(&inner, m, UINT32, flags.bytes, 8);
    element(&inner, m, INT32, dims.bytes, 8);
    element(&inner, m, INT8, name, strlen(name));
    put(&inner, body->bytes, body->n);
    element(to, m, MATRIX, inner.bytes, inner.n);
    free(inner.bytes);
    free(flags.bytes);
    free(dims.bytes);
    free(body->bytes);
    *body = (buffer){0};
}

static inline void number_cell(buffer *to, const mat *m, unsigned v)
{
    buffer data = {0}, body = {0};
    const double d = v;
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    put_number(&data, m->number_type == DOUBLE ? bits : v,
               m->number_type >= DOUBLE  ? 8
               : m->number_type == UINT8 ? 1
                                         : 2,
               m->big);
    element(&body, m, (uint32_t)m->number_type, data.bytes, data.n);
    matrix(to, m, 6, 1, "", &body);
    free(data.bytes);
}

static inline void text_cell(buffer *to, const mat *m, const char *text)
{
    buffer data = {0}, body = {0};
    for (const char *at = text; *at != '\0'; at++) {
        put_number(&data, (uint8_t)*at, m->utf8 ? 1 : 2, m->big);
    }
    element(&body, m, m->utf8 ? UTF8 : UINT16, data.bytes, data.n);
    matrix(to, m, 4, strlen(text), "", &body);
    free(data.bytes);
}

typedef struct synset {
    unsigned id;
    const char *key, *words;
} synset;
static const synset synsets[] = {
    {1, "n02", "bee"}, {2, "n01", "tench, Tinca tinca"}, {3, "n09", ""}};

static inline void synsets_variable(buffer *to, const mat *m)
{
    static const char fields[5][16] = {"ILSVRC2012_ID", "WNID", "words", "gloss", "children"};
    buffer body = {0}, length = {0}, none = {0};
    put_number(&length, sizeof fields[0], 4, m->big);
    element(&body, m, INT32, length.bytes, 4);
    element(&body, m, INT8, fields, sizeof fields);
    for (size_t i = 0; i < sizeof synsets / sizeof *synsets; i++) {
        number_cell(&body, m, synsets[i].id);
        text_cell(&body, m, synsets[i].key);
        text_cell(&body, m, synsets[i].words);
        text_cell(&body, m, "what it is");
        matrix(&body, m, 6, 0, "", &none);
    }
    matrix(to, m, 2, 3, "synsets", &body);
    free(length.bytes);
}

static inline buffer meta_mat(const mat *m)
{
    buffer b = {0}, variable = {0}, other = {0};
    uint8_t header[128] = "MATLAB 5.0 MAT-file";
    put(&b, header, 124);
    put_number(&b, 0x0100, 2, m->big);
    put_text(&b, m->big ? "MI" : "IM");
    number_cell(&other, m, 7); /* a variable without a name comes first */
    put(&b, other.bytes, other.n);
    synsets_variable(&variable, m);
    if (m->packed) {
        buffer packed = {0};
        deflate_bytes(&packed, variable.bytes, variable.n, 15);
        put_number(&b, 15, 4, m->big);
        put_number(&b, packed.n, 4, m->big);
        put(&b, packed.bytes, packed.n);
        free(packed.bytes);
    } else {
        put(&b, variable.bytes, variable.n);
    }
    free(variable.bytes);
    free(other.bytes);
    return b;
}

static const mat usual = {.packed = true, .number_type = UINT16};

#endif
