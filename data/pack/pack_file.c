/* The pack's HDF5 form; the layout is in pack.h. */
#define _DEFAULT_SOURCE /* PATH_MAX */
#include "data/augment/augment.h"
#include "data/pack/pack_private.h"
#include "data/pack/pack_store_private.h"
#include "host/h5/h5_file.h"
#include "kernels/base/alloc.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_REPLACED 100 /* times that a packer may be faster */
#define NAME_BYTES 32    /* "train/coarse_labels" and the like */

static void dataset_name(char name[NAME_BYTES], spx_split split, const char *what)
{
    (void)snprintf(name, NAME_BYTES, "%s/%s", spx_split_name(split), what);
}

/* ---- writing ---- */

static spx_status write_split(spx_h5_out *w, const spx_pack *p, spx_split split)
{
    const spx_pack_split *from = &p->split[split];
    const int64_t dims[] = {(int64_t)from->count, p->channels, p->height, p->width};
    char name[NAME_BYTES];
    dataset_name(name, split, "images");
    SPX_RETURN_IF(spx_h5_add(w, name, SPX_H5_U8, 4, dims, from->images));
    dataset_name(name, split, "labels");
    SPX_RETURN_IF(spx_h5_add(w, name, SPX_H5_U16, 1, dims, from->labels));
    if (from->coarse != NULL) {
        dataset_name(name, split, "coarse_labels");
        SPX_RETURN_IF(spx_h5_add(w, name, SPX_H5_U16, 1, dims, from->coarse));
    }
    return SPX_OK;
}

static spx_status write_all(spx_h5_out *w, const spx_pack *p)
{
    const int64_t schema = SPX_PACK_SCHEMA;
    const size_t channels = (size_t)p->channels;
    SPX_RETURN_IF(spx_h5_add_text(w, "", "format", SPX_PACK_FORMAT));
    SPX_RETURN_IF(spx_h5_add_attr(w, "", "schema", SPX_H5_I64, 1, &schema));
    SPX_RETURN_IF(spx_h5_add_text(w, "", "dataset", p->dataset));
    SPX_RETURN_IF(spx_h5_add_text(w, "", "classes", p->class_names));
    if (p->coarse_names != NULL) {
        SPX_RETURN_IF(spx_h5_add_text(w, "", "coarse_classes", p->coarse_names));
    }
    SPX_RETURN_IF(spx_h5_add_attr(w, "", "mean", SPX_H5_F64, channels, p->mean));
    SPX_RETURN_IF(spx_h5_add_attr(w, "", "std", SPX_H5_F64, channels, p->std));
    SPX_RETURN_IF(spx_h5_add_text(w, "", "sources", p->sources != NULL ? p->sources : ""));
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        if (p->split[s].images != NULL) {
            SPX_RETURN_IF(write_split(w, p, (spx_split)s));
        }
    }
    return SPX_OK;
}

/* What nothing can be normalised by neither enters a pack nor leaves one. */
static spx_status check_moments(const char *path, const spx_pack *p)
{
    return spx_normalise_check(p->channels, p->mean, p->std) == SPX_OK
               ? SPX_OK
               : spx_fail_context(SPX_EFORMAT, "%s", path);
}

/* Whether a packing of pictures is under way, or was stopped; part receives its log's path. */
static bool is_being_packed(const char *path, char part[PATH_MAX])
{
    return (size_t)snprintf(part, PATH_MAX, "%s" SPX_PART_SUFFIX, path) < PATH_MAX &&
           access(part, F_OK) == 0;
}

spx_status spx_pack_write(const spx_pack *p, const char *path)
{
    char part[PATH_MAX];
    spx_h5_out *w = NULL;
    spx_status st;
    if (p->split[SPX_SPLIT_TRAIN].images == NULL && p->split[SPX_SPLIT_TEST].images == NULL) {
        return SPX_FAIL(SPX_EINVAL, "%s: a pack without images", path);
    }
    SPX_RETURN_IF(check_moments(path, p));
    SPX_TRY(st, spx_h5_create(&w), done);
    SPX_TRY(st, write_all(w, p), done);
    st = spx_h5_commit(w, path);
    if (st == SPX_OK && !is_being_packed(path, part)) {
        spx_shard_sweep(path); /* of what was there before */
    }
done:
    spx_h5_discard(w);
    return st;
}

/* ---- reading ---- */

static spx_status check_format(const spx_h5 *f, int64_t *schema)
{
    const char *name = spx_h5_name(f);
    spx_status st = SPX_OK;
    char *format;
    if (!spx_h5_has_attr(f, "", "format")) {
        return SPX_FAIL(SPX_EFORMAT, "%s: expected a pack, found no format attribute", name);
    }
    SPX_RETURN_IF(spx_h5_read_text(f, "", "format", &format));
    if (strcmp(format, SPX_SHARD_FORMAT) == 0) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: a shard: give the file of the pack that it is part of",
                      name);
    } else if (strcmp(format, SPX_PACK_FORMAT) != 0) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: expected format '" SPX_PACK_FORMAT "'", name);
    }
    spx_free(format);
    SPX_RETURN_IF(st);
    SPX_RETURN_IF(spx_h5_read_attr(f, "", "schema", SPX_H5_I64, schema, 1, NULL));
    return *schema == SPX_PACK_SCHEMA || *schema == SPX_STORE_SCHEMA
               ? SPX_OK
               : SPX_FAIL(SPX_EFORMAT, "%s: pack schema %" PRId64 ", expected %d or %d", name,
                          *schema, SPX_PACK_SCHEMA, SPX_STORE_SCHEMA);
}

/* Reads a list of names, one a line, and counts them. */
static spx_status read_names(const spx_h5 *f, const char *attr, char **names, int *count)
{
    size_t n = 1;
    SPX_RETURN_IF(spx_h5_read_text(f, "", attr, names));
    spx_pack_plain(*names, strlen(*names));
    for (const char *at = *names; *at != '\0'; at++) {
        n += *at == '\n';
    }
    if (n > SPX_PACK_MAX_CLASSES) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %zu %s, expected 1 to %d", spx_h5_name(f), n, attr,
                        SPX_PACK_MAX_CLASSES);
    }
    *count = (int)n;
    return SPX_OK;
}

static spx_status read_moments(const spx_h5 *f, spx_pack *p)
{
    const size_t n = (size_t)p->channels;
    SPX_RETURN_IF(spx_h5_read_attr(f, "", "mean", SPX_H5_F64, p->mean, n, NULL));
    SPX_RETURN_IF(spx_h5_read_attr(f, "", "std", SPX_H5_F64, p->std, n, NULL));
    return check_moments(spx_h5_name(f), p);
}

static spx_status read_description(const spx_h5 *f, spx_pack *p)
{
    char *name;
    SPX_RETURN_IF(spx_h5_read_text(f, "", "dataset", &name));
    (void)snprintf(p->dataset, sizeof p->dataset, "%s", name);
    spx_pack_plain(p->dataset, strlen(p->dataset));
    spx_free(name);
    SPX_RETURN_IF(read_names(f, "classes", &p->class_names, &p->classes));
    if (spx_h5_has_attr(f, "", "coarse_classes")) {
        SPX_RETURN_IF(read_names(f, "coarse_classes", &p->coarse_names, &p->coarse_classes));
    }
    SPX_RETURN_IF(spx_h5_read_text(f, "", "sources", &p->sources));
    spx_pack_plain(p->sources, strlen(p->sources));
    return SPX_OK;
}

/* Takes the shape from the first split and holds the second to it. */
static spx_status read_shape(const spx_h5 *f, spx_pack *p, spx_split split, size_t *count)
{
    char name[NAME_BYTES];
    spx_h5_info info;
    dataset_name(name, split, "images");
    SPX_RETURN_IF(spx_h5_stat(f, name, &info));
    if (info.type != SPX_H5_U8 || info.rank != 4 || info.dims[0] < 1 || info.dims[0] > UINT32_MAX ||
        info.dims[1] < 1 || info.dims[1] > SPX_PACK_MAX_CHANNELS || info.dims[2] < 1 ||
        info.dims[2] > SPX_PACK_MAX_SIDE || info.dims[3] < 1 || info.dims[3] > SPX_PACK_MAX_SIDE) {
        return SPX_FAIL(SPX_EFORMAT, "%s: '%s': expected 8-bit images (N, C <= %d, H, W <= %d)",
                        spx_h5_name(f), name, SPX_PACK_MAX_CHANNELS, SPX_PACK_MAX_SIDE);
    }
    if (p->channels != 0 &&
        (p->channels != info.dims[1] || p->height != info.dims[2] || p->width != info.dims[3])) {
        return SPX_FAIL(SPX_EFORMAT, "%s: '%s': expected the shape of train/images", spx_h5_name(f),
                        name);
    }
    p->channels = (int)info.dims[1];
    p->height = (int)info.dims[2];
    p->width = (int)info.dims[3];
    *count = (size_t)info.dims[0];
    return SPX_OK;
}

spx_status spx_pack_read_labels(const spx_h5 *f, const char *name, uint16_t *labels, size_t n,
                                int classes)
{
    SPX_RETURN_IF(spx_h5_read(f, name, SPX_H5_U16, labels, n));
    for (size_t i = 0; i < n; i++) {
        if (labels[i] >= classes) {
            return SPX_FAIL(SPX_EFORMAT, "%s: '%s': label %d of image %zu, expected 0 to %d",
                            spx_h5_name(f), name, labels[i], i, classes - 1);
        }
    }
    return SPX_OK;
}

static spx_status load_split(const spx_h5 *f, spx_pack *p, spx_split split)
{
    spx_pack_split *to = &p->split[split];
    const size_t n = to->count;
    char name[NAME_BYTES];
    SPX_RETURN_IF(spx_pack_reserve(p, split, n));
    dataset_name(name, split, "images");
    SPX_RETURN_IF(spx_h5_read(f, name, SPX_H5_U8, to->images, n * spx_pack_image_bytes(p)));
    dataset_name(name, split, "labels");
    SPX_RETURN_IF(spx_pack_read_labels(f, name, to->labels, n, p->classes));
    if (p->coarse_classes > 0) {
        dataset_name(name, split, "coarse_labels");
        SPX_RETURN_IF(spx_pack_read_labels(f, name, to->coarse, n, p->coarse_classes));
    }
    return SPX_OK;
}

static spx_status check_needs(const spx_h5 *f, const spx_pack *p, unsigned load)
{
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        const unsigned need = SPX_PACK_NEED(s);
        if ((load & need) == need && p->split[s].count == 0) {
            return SPX_FAIL(SPX_ENOTFOUND, "%s: the pack has no %s split", spx_h5_name(f),
                            spx_split_name((spx_split)s));
        }
    }
    return SPX_OK;
}

static spx_status read_tensors(const spx_h5 *f, spx_pack *p, unsigned load)
{
    char name[NAME_BYTES];
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        dataset_name(name, (spx_split)s, "images");
        if (spx_h5_has(f, name)) {
            SPX_RETURN_IF(read_shape(f, p, (spx_split)s, &p->split[s].count));
        }
    }
    if (p->channels == 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s: expected train/images or test/images", spx_h5_name(f));
    }
    SPX_RETURN_IF(read_moments(f, p));
    SPX_RETURN_IF(check_needs(f, p, load));
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        if ((load & SPX_PACK_LOAD(s)) != 0 && p->split[s].count > 0) {
            SPX_RETURN_IF(load_split(f, p, (spx_split)s));
        }
    }
    return SPX_OK;
}

static spx_status read_all(const spx_h5 *f, spx_pack *p, unsigned load)
{
    int64_t schema;
    SPX_RETURN_IF(check_format(f, &schema));
    SPX_RETURN_IF(read_description(f, p));
    if (schema == SPX_PACK_SCHEMA) {
        return read_tensors(f, p, load);
    }
    SPX_RETURN_IF(spx_store_open(p, f, load));
    SPX_RETURN_IF(check_needs(f, p, load));
    return read_moments(f, p);
}

/* Where a packing was not finished, what is there is said. */
static spx_status open_file(spx_h5 **f, const char *path)
{
    char part[PATH_MAX];
    const size_t length = strlen(path);
    const spx_status st = spx_h5_open(f, path, SPX_H5_CHECKED);
    if (st == SPX_ENOTFOUND && is_being_packed(path, part)) {
        return SPX_FAIL(st, "%s: is not there yet, %s is: its packing goes on with --resume", path,
                        part);
    }
    if (st == SPX_EFORMAT && length > 5 && strcmp(path + length - 5, ".part") == 0) {
        return SPX_FAIL(st, "%s: an unfinished packing, no pack yet: --resume goes on with it",
                        path);
    }
    return st;
}

/* hash receives the digest of what was opened, also where reading it failed. */
static spx_status open_once(spx_pack **out, const char *path, unsigned load,
                            char hash[SPX_H5_DIGEST_CHARS])
{
    spx_h5 *f = NULL;
    spx_pack *p = NULL;
    spx_status st;
    *out = NULL;
    hash[0] = '\0';
    SPX_TRY(st, open_file(&f, path), fail);
    SPX_TRY(st, spx_pack_new(&p), fail);
    spx_h5_digest(f, hash);
    memcpy(p->hash, hash, sizeof p->hash);
    SPX_TRY(st, read_all(f, p, load), fail);
    spx_h5_close(f);
    *out = p;
    return SPX_OK;
fail:
    spx_h5_close(f);
    spx_pack_close(p);
    return st;
}

spx_status spx_pack_open(spx_pack **out, const char *path, unsigned load)
{
    char hash[SPX_H5_DIGEST_CHARS], now[SPX_H5_DIGEST_CHARS];
    spx_status st = open_once(out, path, load, hash);
    /* A pack that was replaced meanwhile has lost its shards; the new one has its own. */
    for (int i = 0; i < MAX_REPLACED && st == SPX_EFORMAT && hash[0] != '\0'; i++) {
        if (spx_h5_file_digest(path, now) != SPX_OK || strcmp(now, hash) == 0) {
            break;
        }
        st = open_once(out, path, load, hash);
    }
    return st;
}
