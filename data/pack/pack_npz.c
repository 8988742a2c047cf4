/*
 * The .npz files that numpy saves, that is a ZIP archive of .npy files (numpy's format description:
 * magic, version, a header in Python's notation, then the elements).
 */
#include "data/pack/pack_arrays_private.h"
#include "kernels/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NPY_BYTES 10 /* before the header's text, version 1 */

/* ---- .npy ---- */

/* Behind 'key': in the header; NULL where there is no such key. */
static const char *value_of(const char *header, const char *key)
{
    char quoted[32];
    const char *at;
    (void)snprintf(quoted, sizeof quoted, "'%s':", key);
    at = strstr(header, quoted);
    return at == NULL ? NULL : at + strlen(quoted) + strspn(at + strlen(quoted), " ");
}

static bool parse_shape(const char *at, spx_array *a)
{
    a->rank = 0;
    a->count = 1;
    if (at == NULL || *at++ != '(') {
        return false;
    }
    for (at += strspn(at, " "); *at != ')'; at += strspn(at, ", ")) {
        char *stop;
        const unsigned long long v = strtoull(at, &stop, 10);
        if (stop == at || *at < '0' || *at > '9' || a->rank == SPX_ARRAY_MAX_RANK ||
            v > UINT32_MAX || !spx_mul_size(a->count, (size_t)v, &a->count)) {
            return false;
        }
        a->dims[a->rank++] = (size_t)v;
        at = stop;
    }
    return true;
}

static spx_status parse_npy(const spx_container *c, const char *name, const uint8_t *data,
                            size_t size, spx_array *a)
{
    char header[512];
    const char *type, *order;
    size_t n, at, shown, bytes = 0;
    if (size < NPY_BYTES + 2 || memcmp(data, "\x93NUMPY", 6) != 0 || data[6] < 1 || data[6] > 3) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s: expected an array as numpy saves it", c->path, name);
    }
    n = spx_pack_little(data + 8, data[6] == 1 ? 2 : 4);
    at = data[6] == 1 ? NPY_BYTES : NPY_BYTES + 2;
    if (n >= sizeof header || n > size - at) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s: a header of %zu bytes", c->path, name, n);
    }
    memcpy(header, data + at, n);
    header[n] = '\0';
    shown = strcspn(header, "}") + 1; /* blanks and a new line follow */
    type = value_of(header, "descr");
    order = value_of(header, "fortran_order");
    if (type == NULL || type[0] != '\'' || strchr("|<", type[1]) == NULL || type[1] == '\0' ||
        strchr("US", type[2]) != NULL /* strings, or the end */ || type[3] < '1' || type[3] > '9' ||
        type[4] != '\'' || order == NULL || strncmp(order, "False", 5) != 0 ||
        !parse_shape(value_of(header, "shape"), a)) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: %s: expected an array of whole numbers, in C order and little-endian, "
                        "found %.*s",
                        c->path, name, shown < 120 ? (int)shown : 120, header);
    }
    a->kind = type[2];
    a->width = (size_t)(type[3] - '0');
    a->data = data + at + n;
    if (!spx_mul_size(a->count, a->width, &bytes) || bytes != size - at - n || a->count == 0) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: %s: %zu bytes of elements, its shape says %zu (at least 1)", c->path,
                        name, size - at - n, bytes);
    }
    return SPX_OK;
}

/* A member that is looked for. */
typedef struct wanted {
    const char *name;
    spx_place where;
    bool found;
} wanted;

static spx_status is_it(void *ctx, const spx_container *c, const spx_archive_member *m)
{
    wanted *w = ctx;
    const size_t n = strlen(w->name);
    (void)c;
    if (!w->found && m->length == n + 4 && memcmp(m->name, w->name, n) == 0 &&
        memcmp(m->name + n, ".npy", 4) == 0) {
        w->where = m->where;
        w->found = true;
    }
    return SPX_OK;
}

spx_status spx_npz_array(const spx_container *c, const char *name, spx_array *a, bool *found)
{
    wanted w = {.name = name};
    *a = (spx_array){0};
    SPX_RETURN_IF(spx_zip_walk(c, is_it, &w));
    *found = w.found;
    if (!w.found) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_zip_read(c, &w.where, &a->owned));
    return parse_npy(c, name, a->owned, w.where.size, a);
}
