/*
 * Own arrays: x_train, y_train, x_test, y_test, or x and y of which a share is held out, in one
 * file of numpy (.npz) or HDF5.
 */
#include "data/pack/pack_arrays_private.h"
#include "host/h5/h5_file.h"
#include "kernels/base/alloc.h"

#include <stdio.h>
#include <string.h>

/* The file: one of both. */
typedef struct arrays {
    const char *path;
    spx_pack_input input;
    spx_container npz;
    spx_h5 *h5;
} arrays;

/* ---- one array ---- */

/* Reads a dataset: bytes as they are, other whole numbers as i64. */
static spx_status read_dataset(const spx_h5 *h5, const char *name, spx_array *a)
{
    spx_h5_info info;
    spx_h5_type as;
    SPX_RETURN_IF(spx_h5_stat(h5, name, &info));
    as = info.type == SPX_H5_U8 ? SPX_H5_U8 : SPX_H5_I64;
    a->kind = as == SPX_H5_U8 ? 'u' : 'i';
    a->width = as == SPX_H5_U8 ? 1 : 8;
    a->rank = (size_t)info.rank;
    a->count = info.count;
    if (info.rank > SPX_ARRAY_MAX_RANK || info.count == 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s: expected an array of 1 to %d dimensions, not empty",
                        spx_h5_name(h5), name, SPX_ARRAY_MAX_RANK);
    }
    for (int i = 0; i < info.rank; i++) {
        a->dims[i] = (size_t)info.dims[i];
    }
    SPX_RETURN_IF(spx_calloc(&a->owned, info.count, a->width));
    a->data = a->owned;
    return spx_h5_read(h5, name, as, a->owned, info.count);
}

static spx_status open_array(const arrays *s, const char *name, spx_array *a, bool *found)
{
    *a = (spx_array){0};
    if (s->h5 == NULL) {
        return spx_npz_array(&s->npz, name, a, found);
    }
    *found = spx_h5_has(s->h5, name);
    return *found ? read_dataset(s->h5, name, a) : SPX_OK;
}

/* ---- a data set of them ---- */

/* (N, H, W), (N, H, W, C) or (N, C, H, W), C being 1 or 3. */
static spx_status read_shape(const arrays *s, const char *name, const spx_array *a, int shape[3],
                             bool *last)
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

static void copy_images(const spx_pack *p, uint8_t *to, const spx_array *a, bool last)
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

static spx_status take_labels(spx_pack *p, const arrays *s, const char *name, const spx_array *a,
                              spx_pack_split *to)
{
    const bool column = a->rank == 2 && a->dims[1] == 1;
    if ((a->rank != 1 && !column) || a->dims[0] != to->count ||
        (a->kind != 'u' && a->kind != 'i') || a->width > 8) {
        return SPX_FAIL(
            SPX_EFORMAT, "%s: %s: expected %zu whole numbers, one an image, found %zu%s", s->path,
            name, to->count, a->count, a->kind == 'u' || a->kind == 'i' ? "" : " that are none");
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

/* Reads images and labels into a split; *found is false where there are no such images. */
static spx_status read_split(spx_pack *p, const arrays *s, const char *end, spx_split split,
                             bool *found)
{
    char x[16], y[16];
    spx_array images, labels = {0};
    int shape[3] = {0};
    bool last = false, labelled = true;
    spx_status st;
    (void)snprintf(x, sizeof x, "x%s", end);
    (void)snprintf(y, sizeof y, "y%s", end);
    SPX_TRY(st, open_array(s, x, &images, found), done);
    if (!*found) {
        return SPX_OK;
    }
    SPX_TRY(st, read_shape(s, x, &images, shape, &last), done);
    if (p->channels != 0 &&
        (shape[0] != p->channels || shape[1] != p->height || shape[2] != p->width)) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: %s: images of %dx%dx%d, those to train have %dx%dx%d",
                      s->path, x, shape[0], shape[1], shape[2], p->channels, p->height, p->width);
        goto done;
    }
    p->channels = shape[0], p->height = shape[1], p->width = shape[2];
    SPX_TRY(st, open_array(s, y, &labels, &labelled), done);
    if (!labelled) {
        st = SPX_FAIL(SPX_ENOTFOUND, "%s: no array %s beside %s", s->path, y, x);
        goto done;
    }
    SPX_TRY(st, spx_pack_reserve(p, split, images.dims[0]), done);
    copy_images(p, p->split[split].images, &images, last);
    st = take_labels(p, s, y, &labels, &p->split[split]);
done:
    spx_free(images.owned);
    spx_free(labels.owned);
    return st;
}

/* ---- holding out ---- */

/* Moves the marked images of the train split into the test split, both in the order they had. */
static spx_status move_out(spx_pack *p, const bool *out)
{
    spx_pack_split *from = &p->split[SPX_SPLIT_TRAIN], *to = &p->split[SPX_SPLIT_TEST];
    const size_t bytes = spx_pack_image_bytes(p), n = from->count;
    size_t moved = 0, kept = 0;
    for (size_t i = 0; i < n; i++) {
        moved += out[i];
    }
    if (moved == 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_pack_reserve(p, SPX_SPLIT_TEST, moved));
    moved = 0;
    for (size_t i = 0; i < n; i++) {
        spx_pack_split *at = out[i] ? to : from;
        const size_t k = out[i] ? moved++ : kept++;
        memmove(at->images + k * bytes, from->images + i * bytes, bytes);
        at->labels[k] = from->labels[i];
    }
    from->count = kept;
    return SPX_OK;
}

static spx_status hold_out(spx_pack *p, const spx_pack_build_options *o)
{
    bool *out;
    spx_status st;
    SPX_RETURN_IF(SPX_NEW(out, p->split[SPX_SPLIT_TRAIN].count));
    st = spx_pack_hold_out(p->split[SPX_SPLIT_TRAIN].labels, p->split[SPX_SPLIT_TRAIN].count,
                           p->classes, o, out);
    st = st == SPX_OK ? move_out(p, out) : st;
    spx_free(out);
    return st;
}

/* ---- the file ---- */

static spx_status read_all(spx_pack *p, const arrays *s, const spx_pack_build_options *o)
{
    bool found;
    SPX_RETURN_IF(read_split(p, s, "_train", SPX_SPLIT_TRAIN, &found));
    if (found) {
        SPX_RETURN_IF(read_split(p, s, "_test", SPX_SPLIT_TEST, &found));
        SPX_RETURN_IF(found ? spx_pack_no_share(o, s->path) : SPX_OK);
    } else {
        SPX_RETURN_IF(read_split(p, s, "", SPX_SPLIT_TRAIN, &found));
        if (found) {
            SPX_RETURN_IF(hold_out(p, o));
        }
    }
    return found ? SPX_OK
                 : SPX_FAIL(SPX_ENOTFOUND,
                            "%s: no array %s; expected x_train, y_train, x_test, y_test, or x, y",
                            s->path, p->channels == 0 ? "x_train" : "x_test");
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

/* HDF5's signature, at the start or behind what a user put there (its format specification). */
static bool is_hdf5(const spx_pack_input *s)
{
    for (size_t at = 0; at + 8 <= s->raw_size; at = at == 0 ? 512 : 2 * at) {
        if (memcmp(s->raw + at, "\x89HDF\r\n\x1a\n", 8) == 0) {
            return true;
        }
    }
    return false;
}

static spx_status open_file(arrays *s, spx_pack *p)
{
    spx_pack_input *in = &s->input;
    SPX_RETURN_IF(spx_pack_input_open(in, s->path, p));
    if (is_hdf5(in)) {
        SPX_RETURN_IF(spx_h5_open_image(&s->h5, s->path, in->raw, in->raw_size, SPX_H5_FOREIGN));
        spx_pack_input_close(in);
        return SPX_OK;
    }
    s->npz = (spx_container){
        .path = (char *)(uintptr_t)s->path, .fd = -1, .bytes = in->raw, .size = in->raw_size};
    return SPX_OK;
}

spx_status spx_pack_read_arrays(spx_pack *p, const spx_pack_kind *k, const char *src,
                                const spx_pack_build_options *o)
{
    arrays s = {.path = src};
    spx_status st;
    (void)k;
    SPX_TRY(st, open_file(&s, p), done);
    SPX_TRY(st, read_all(p, &s, o), done);
    st = number_classes(p);
done:
    spx_h5_close(s.h5);
    spx_pack_input_close(&s.input);
    return st;
}
