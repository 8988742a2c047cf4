/*
 * Arrays that numpy saved: x_train, y_train, x_test, y_test in one .npz file, that is a ZIP archive
 * (PKWARE's APPNOTE: end record, central directory, members stored or deflated) of .npy files
 * (numpy's format description: magic, version, a header in Python's notation, then the elements).
 */
#include "data/pack/pack_archive_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RANK 4
#define NPY_BYTES 10 /* before the header's text, version 1 */

/* An array within its (inflated) member. */
typedef struct array {
    void *owned; /* the member's bytes */
    const uint8_t *data;
    char kind; /* 'u', 'i', 'f', ... */
    size_t width, rank, dims[MAX_RANK], count;
} array;

static uint32_t little(const uint8_t *b, size_t n)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v |= (uint32_t)b[i] << (8 * i);
    }
    return v;
}

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

static bool parse_shape(const char *at, array *a)
{
    a->rank = 0;
    a->count = 1;
    if (at == NULL || *at++ != '(') {
        return false;
    }
    for (at += strspn(at, " "); *at != ')'; at += strspn(at, ", ")) {
        char *stop;
        const unsigned long long v = strtoull(at, &stop, 10);
        if (stop == at || *at < '0' || *at > '9' || a->rank == MAX_RANK || v > UINT32_MAX ||
            !spx_mul_size(a->count, (size_t)v, &a->count)) {
            return false;
        }
        a->dims[a->rank++] = (size_t)v;
        at = stop;
    }
    return true;
}

static spx_status parse_npy(const spx_pack_input *s, const char *name, const uint8_t *data,
                            size_t size, array *a)
{
    char header[512];
    const char *type, *order;
    size_t n, at, bytes = 0;
    if (size < NPY_BYTES + 2 || memcmp(data, "\x93NUMPY", 6) != 0 || data[6] < 1 || data[6] > 3) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s: expected an array as numpy saves it", s->path, name);
    }
    n = little(data + 8, data[6] == 1 ? 2 : 4);
    at = data[6] == 1 ? NPY_BYTES : NPY_BYTES + 2;
    if (n >= sizeof header || n > size - at) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s: a header of %zu bytes", s->path, name, n);
    }
    memcpy(header, data + at, n);
    header[n] = '\0';
    type = value_of(header, "descr");
    order = value_of(header, "fortran_order");
    if (type == NULL || type[0] != '\'' || strchr("|<", type[1]) == NULL || type[1] == '\0' ||
        type[2] == '\0' || type[3] < '1' || type[3] > '9' || type[4] != '\'' || order == NULL ||
        strncmp(order, "False", 5) != 0 || !parse_shape(value_of(header, "shape"), a)) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: %s: expected an array of whole numbers, in C order and little-endian, "
                        "found %.120s",
                        s->path, name, header);
    }
    a->kind = type[2];
    a->width = (size_t)(type[3] - '0');
    a->data = data + at + n;
    if (!spx_mul_size(a->count, a->width, &bytes) || bytes != size - at - n || a->count == 0) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: %s: %zu bytes of elements, its shape says %zu (at least 1)", s->path,
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

/* The array of this name; SPX_ENOTFOUND where the archive has none. */
static spx_status open_array(const spx_pack_input *s, const char *name, array *a)
{
    char *path = (char *)(uintptr_t)s->path;
    const spx_container c = {.path = path, .fd = -1, .bytes = s->raw, .size = s->raw_size};
    wanted w = {.name = name};
    *a = (array){0};
    SPX_RETURN_IF(spx_zip_walk(&c, is_it, &w));
    if (!w.found) {
        return SPX_FAIL(SPX_ENOTFOUND, "%s: no array %s; expected x_train, y_train, x_test, y_test",
                        s->path, name);
    }
    SPX_RETURN_IF(spx_zip_read(&c, &w.where, &a->owned));
    return parse_npy(s, name, a->owned, w.where.size, a);
}

/* ---- a data set of them ---- */

/* (N, H, W), (N, H, W, C) or (N, C, H, W), C being 1 or 3. */
static spx_status read_shape(const spx_pack_input *s, const char *name, const array *a,
                             int shape[3], bool *last)
{
    const size_t *d = a->dims;
    const bool three = a->rank == 3, nhwc = a->rank == 4 && (d[3] == 1 || d[3] == 3),
               nchw = a->rank == 4 && (d[1] == 1 || d[1] == 3);
    size_t c, h, w;
    if (a->kind != 'u' || a->width != 1 || !(three || nhwc || nchw) ||
        (nhwc && nchw && d[1] != d[3])) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: %s: expected images of u8 as (N, H, W), (N, H, W, C) or (N, C, H, W) "
                        "of 1 or 3 channels",
                        s->path, name);
    }
    *last = nhwc;
    c = three ? 1 : nhwc ? d[3] : d[1];
    h = three || nhwc ? d[1] : d[2];
    w = three || nhwc ? d[2] : d[3];
    if (h > SPX_PACK_MAX_SIDE || w > SPX_PACK_MAX_SIDE) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s: sides of at most %d are expected", s->path, name,
                        SPX_PACK_MAX_SIDE);
    }
    shape[0] = (int)c, shape[1] = (int)h, shape[2] = (int)w;
    return SPX_OK;
}

static void copy_images(const spx_pack *p, uint8_t *to, const array *a, bool last)
{
    const size_t plane = (size_t)p->height * (size_t)p->width, c = (size_t)p->channels;
    if (!last) {
        memcpy(to, a->data, a->count);
        return;
    }
    for (size_t i = 0; i < a->dims[0]; i++) {
        for (size_t k = 0; k < c; k++) {
            for (size_t j = 0; j < plane; j++) {
                to[(i * c + k) * plane + j] = a->data[(i * plane + j) * c + k];
            }
        }
    }
}

static spx_status take_labels(spx_pack *p, const spx_pack_input *s, const char *name,
                              const array *a, spx_pack_split *to)
{
    const bool column = a->rank == 2 && a->dims[1] == 1;
    if ((a->rank != 1 && !column) || a->dims[0] != to->count ||
        (a->kind != 'u' && a->kind != 'i') || a->width > 8) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s: expected %zu whole numbers, one an image", s->path,
                        name, to->count);
    }
    for (size_t i = 0; i < a->count; i++) {
        const uint8_t *at = a->data + i * a->width;
        uint64_t v = 0;
        for (size_t k = 0; k < a->width; k++) {
            v |= (uint64_t)at[k] << (8 * k);
        }
        if (v >= SPX_PACK_MAX_CLASSES || (a->kind == 'i' && at[a->width - 1] > INT8_MAX)) {
            return SPX_FAIL(SPX_EFORMAT, "%s: %s: image %zu: expected a label of 0 to %d", s->path,
                            name, i, SPX_PACK_MAX_CLASSES - 1);
        }
        to->labels[i] = (uint16_t)v;
        p->classes = (int)v >= p->classes ? (int)v + 1 : p->classes;
    }
    return SPX_OK;
}

static spx_status read_arrays(spx_pack *p, const spx_pack_input *s, spx_split split)
{
    char x[16], y[16];
    array images, labels = {0};
    int shape[3] = {0};
    bool last = false;
    spx_status st;
    (void)snprintf(x, sizeof x, "x_%s", spx_split_name(split));
    (void)snprintf(y, sizeof y, "y_%s", spx_split_name(split));
    SPX_TRY(st, open_array(s, x, &images), done);
    SPX_TRY(st, read_shape(s, x, &images, shape, &last), done);
    if (p->channels != 0 &&
        (shape[0] != p->channels || shape[1] != p->height || shape[2] != p->width)) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: %s: images of %dx%dx%d, those to train have %dx%dx%d",
                      s->path, x, shape[0], shape[1], shape[2], p->channels, p->height, p->width);
        goto done;
    }
    p->channels = shape[0], p->height = shape[1], p->width = shape[2];
    SPX_TRY(st, open_array(s, y, &labels), done);
    SPX_TRY(st, spx_pack_reserve(p, split, images.dims[0]), done);
    copy_images(p, p->split[split].images, &images, last);
    st = take_labels(p, s, y, &labels, &p->split[split]);
done:
    spx_free(images.owned);
    spx_free(labels.owned);
    return st;
}

/* Nobody named the classes: their numbers do. */
static spx_status number_classes(spx_pack *p)
{
    const size_t room = 6 * (size_t)p->classes + 1;
    SPX_RETURN_IF(SPX_NEW(p->class_names, room));
    for (size_t k = 0, at = 0; k < (size_t)p->classes; k++) {
        at += (size_t)snprintf(p->class_names + at, room - at, "%s%zu", k > 0 ? "\n" : "", k);
    }
    return SPX_OK;
}

spx_status spx_pack_read_npz(spx_pack *p, const spx_pack_kind *k, const char *src,
                             const spx_pack_build_options *o)
{
    spx_pack_input s;
    spx_status st;
    (void)k;
    (void)o;
    SPX_TRY(st, spx_pack_input_open(&s, src, p), done);
    SPX_TRY(st, read_arrays(p, &s, SPX_SPLIT_TRAIN), done);
    SPX_TRY(st, read_arrays(p, &s, SPX_SPLIT_TEST), done);
    st = number_classes(p);
done:
    spx_pack_input_close(&s);
    return st;
}
