/*
 * Weights in safetensors. The header is a stranger's: every length is checked against the file,
 * every array's bytes against its shape, and all arrays together must fill the file without
 * overlap, as the format demands, so that no byte is read twice or not at all.
 */
#include "host/ckpt/weights_private.h"

#include "kernels/base/alloc.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER ((size_t)16 << 20)

static uint64_t little(const unsigned char *at, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--) {
        v = v << 8 | at[i];
    }
    return v;
}

static float of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float of_f32(const unsigned char *at)
{
    return of_bits((uint32_t)little(at, 4));
}

static float of_bf16(const unsigned char *at)
{
    return of_bits((uint32_t)little(at, 2) << 16);
}

static float of_f64(const unsigned char *at)
{
    const uint64_t bits = little(at, 8);
    double d;
    memcpy(&d, &bits, sizeof d);
    return (float)d; /* too large a one becomes infinite, which the caller refuses */
}

/* IEEE 754 half: 1 sign, 5 exponent, 10 fraction bits. Exact. */
static float of_f16(const unsigned char *at)
{
    const uint32_t h = (uint32_t)little(at, 2), sign = h >> 15 << 31;
    const uint32_t exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24 */
        const float magnitude = (float)fraction * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    return of_bits(sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13);
}

/* Element types; those without a conversion have their length checked, but are not read. */
static const struct type {
    const char *name;
    size_t bytes;
    float (*convert)(const unsigned char *at);
} types[] = {{"F32", 4, of_f32}, {"F16", 2, of_f16}, {"BF16", 2, of_bf16}, {"F64", 8, of_f64},
             {"I64", 8, NULL},   {"U64", 8, NULL},   {"I32", 4, NULL},     {"U32", 4, NULL},
             {"I16", 2, NULL},   {"U16", 2, NULL},   {"I8", 1, NULL},      {"U8", 1, NULL},
             {"BOOL", 1, NULL}};
enum { TYPES = sizeof types / sizeof types[0] };

static spx_status read_array(const spx_weights *w, const spx_weights_array *a, float *dst)
{
    const struct type *t = &types[a->type];
    if (t->convert == NULL) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s has elements of type %s, a float expected", w->path,
                        a->name, t->name);
    }
    for (size_t i = 0; i < a->count; i++) {
        dst[i] = t->convert(w->bytes + a->begin + i * t->bytes);
    }
    return SPX_OK;
}

static spx_status about(const spx_weights *w, const char *key, char **out)
{
    const char *text = json_string_value(json_object_get(w->metadata, key));
    void *copy = NULL;
    if (text == NULL) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_alloc(&copy, strlen(text) + 1));
    *out = memcpy(copy, text, strlen(text) + 1);
    return SPX_OK;
}

/* ---- the header ---- */

static int type_of(const char *name)
{
    for (int i = 0; name != NULL && i < TYPES; i++) {
        if (strcmp(types[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static spx_status parse_shape(const json_t *shape, spx_weights_array *a)
{
    size_t i;
    const json_t *side;
    a->rank = (int)json_array_size(shape);
    a->count = 1;
    json_array_foreach(shape, i, side)
    {
        a->dims[i] = json_integer_value(side);
        if (!json_is_integer(side) || a->dims[i] < 0 ||
            !spx_mul_size(a->count, (size_t)a->dims[i], &a->count)) {
            return SPX_EFORMAT;
        }
    }
    return SPX_OK;
}

/* @param data  where the arrays begin in the file */
static spx_status parse_array(spx_weights *w, const char *name, const json_t *j, size_t data)
{
    const json_t *shape = json_object_get(j, "shape"), *at = json_object_get(j, "data_offsets");
    const json_int_t begin = json_integer_value(json_array_get(at, 0));
    const json_int_t end = json_integer_value(json_array_get(at, 1));
    const int type = type_of(json_string_value(json_object_get(j, "dtype")));
    spx_weights_array *a;
    size_t bytes;
    if (type < 0 || !json_is_array(shape) || json_array_size(shape) > SPX_H5_MAX_RANK ||
        json_array_size(at) != 2 || !json_is_integer(json_array_get(at, 0)) ||
        !json_is_integer(json_array_get(at, 1)) || begin < 0 || end < begin ||
        (uint64_t)end > w->size - data) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: header: %.100s: expected a known dtype, at most %d sides and offsets "
                        "inside the file's %zu bytes",
                        w->path, name, SPX_H5_MAX_RANK, w->size);
    }
    a = spx_weights_add(w, name);
    if (a == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%s: names", w->path);
    }
    a->type = type;
    a->begin = data + (size_t)begin;
    if (parse_shape(shape, a) != SPX_OK || !spx_mul_size(a->count, types[type].bytes, &bytes) ||
        bytes != (size_t)(end - begin)) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: header: %.100s: its shape and its %" PRId64 " bytes disagree", w->path,
                        name, (int64_t)(end - begin));
    }
    return SPX_OK;
}

static int by_begin(const void *a, const void *b)
{
    const spx_weights_array *x = a, *y = b;
    return x->begin != y->begin ? (x->begin > y->begin) - (x->begin < y->begin)
                                : (x->count > y->count) - (x->count < y->count);
}

/* One after the other from the header to the end. */
static spx_status check_places(spx_weights *w, size_t data)
{
    size_t at = data;
    if (w->count > 0) {
        qsort(w->array, w->count, sizeof *w->array, by_begin);
    }
    for (size_t i = 0; i < w->count; i++) {
        const spx_weights_array *a = &w->array[i];
        if (a->begin != at) {
            return SPX_FAIL(SPX_EFORMAT,
                            "%s: header: %.100s: begins at byte %zu of the file, "
                            "expected %zu: arrays overlap or leave a gap",
                            w->path, a->name, a->begin, at);
        }
        at += a->count * types[a->type].bytes;
    }
    return at == w->size ? SPX_OK
                         : SPX_FAIL(SPX_EFORMAT, "%s: %zu bytes behind the last array", w->path,
                                    w->size - at);
}

static spx_status parse_header(spx_weights *w, const json_t *header, size_t data)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0) {
            w->metadata = json_incref(value);
        } else {
            SPX_RETURN_IF(parse_array(w, name, value, data));
        }
    }
    return check_places(w, data);
}

spx_status spx_weights_open_safetensors(spx_weights *w)
{
    static const spx_weights_form form = {"safetensors", read_array, about};
    json_error_t err;
    json_t *header;
    spx_status st;
    w->form = &form;
    const uint64_t length = little(w->bytes, 8); /* there are more than 8 bytes */
    if (length > w->size - 8) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: neither HDF5 nor safetensors: a header of %" PRIu64
                        " bytes in a file of %zu",
                        w->path, length, w->size);
    }
    if (length > MAX_HEADER) {
        return SPX_FAIL(SPX_EFORMAT, "%s: header of %" PRIu64 " bytes, expected at most %zu",
                        w->path, length, MAX_HEADER);
    }
    header = json_loadb((const char *)w->bytes + 8, (size_t)length, JSON_REJECT_DUPLICATES, &err);
    st = json_is_object(header) ? parse_header(w, header, 8 + (size_t)length)
                                : SPX_FAIL(SPX_EFORMAT, "%s: header: %s", w->path,
                                           header == NULL ? err.text : "an object expected");
    json_decref(header);
    return st;
}
