/* Opening packs of stored pictures: everything that the files claim is checked here, once. */
#define _DEFAULT_SOURCE /* strsep, realpath */
#include "data/pack/pack_private.h"
#include "data/pack/pack_store_private.h"
#include "kernels/base/alloc.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_BYTES 32 /* "train/heights" and the like */

size_t spx_store_names_count(const char *names, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += names[i] == '\0';
    }
    return n == 0 || names[n - 1] == '\0' ? count : SIZE_MAX;
}

static const char *dataset_name(char name[NAME_BYTES], int split, const char *what)
{
    (void)snprintf(name, NAME_BYTES, "%s/%s", spx_split_name((spx_split)split), what);
    return name;
}

void spx_store_close(spx_store *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; s->file != NULL && i < s->files; i++) {
        if (s->file[i].fd >= 0) {
            (void)close(s->file[i].fd);
        }
        free(s->file[i].path);
        for (int k = 0; k < SPX_SPLIT_COUNT; k++) {
            spx_free(s->file[i].part[k].crc);
            spx_free(s->file[i].part[k].end);
            spx_free(s->file[i].part[k].height);
            spx_free(s->file[i].part[k].width);
        }
    }
    spx_free(s->file);
    spx_free((void *)(uintptr_t)s->about.bad_names);
    spx_free((void *)(uintptr_t)s->about.fingerprint);
    spx_free(s);
}

/* ---- the description ---- */

static spx_status read_form(const spx_h5 *f, spx_pack *p)
{
    spx_store *s = p->store;
    int64_t channels, size[2];
    char *form;
    SPX_RETURN_IF(spx_h5_read_attr(f, "", "channels", SPX_H5_I64, &channels, 1, NULL));
    SPX_RETURN_IF(spx_h5_read_attr(f, "", "size", SPX_H5_I64, size, 2, NULL));
    SPX_RETURN_IF(spx_h5_read_text(f, "", "form", &form));
    (void)snprintf(s->about.form, sizeof s->about.form, "%s", form);
    spx_pack_plain(s->about.form, strlen(s->about.form));
    spx_free(form);
    s->encoded = strncmp(s->about.form, "raw", 3) != 0;
    if ((channels != 1 && channels != 3) || size[0] < 0 || size[1] < 0 ||
        (size[0] == 0) != (size[1] == 0) || size[0] > SPX_IMAGE_MAX_SIDE ||
        size[1] > SPX_IMAGE_MAX_SIDE ||
        (!s->encoded &&
         (size[0] == 0 || size[0] > SPX_PACK_MAX_SIDE || size[1] > SPX_PACK_MAX_SIDE))) {
        return SPX_FAIL(SPX_EFORMAT, "%s: channels %lld, size %lld x %lld of pictures '%s'",
                        spx_h5_name(f), (long long)channels, (long long)size[0], (long long)size[1],
                        s->about.form);
    }
    p->channels = (int)channels;
    p->height = (int)size[0];
    p->width = (int)size[1];
    return SPX_OK;
}

static spx_status read_moments(const spx_h5 *f, spx_store *s)
{
    int64_t v[SPX_SPLIT_COUNT * SPX_STORE_MOMENTS];
    SPX_RETURN_IF(spx_h5_read_attr(f, "", "moments", SPX_H5_I64, v, sizeof v / sizeof v[0], NULL));
    for (int k = 0; k < SPX_SPLIT_COUNT; k++) {
        const int64_t *at = v + k * SPX_STORE_MOMENTS;
        s->moments[k].pixels = (uint64_t)at[0];
        for (int c = 0; c < SPX_STORE_CHANNELS; c++) {
            s->moments[k].sum[c] = (uint64_t)at[1 + c];
            s->moments[k].squares[c] = (uint64_t)at[1 + SPX_STORE_CHANNELS + c];
        }
    }
    return SPX_OK;
}

static spx_status read_bad(const spx_h5 *f, spx_store *s)
{
    spx_h5_info info;
    char *names;
    if (!spx_h5_has(f, "bad")) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_h5_stat(f, "bad", &info));
    SPX_RETURN_IF(SPX_NEW(names, info.count));
    s->about.bad_names = names;
    SPX_RETURN_IF(spx_h5_read(f, "bad", SPX_H5_U8, names, info.count));
    spx_pack_plain(names, info.count);
    s->about.bad = spx_store_names_count(names, info.count);
    return s->about.bad != SIZE_MAX
               ? SPX_OK
               : SPX_FAIL(SPX_EFORMAT, "%s: 'bad' does not end", spx_h5_name(f));
}

/* ---- files ---- */

/* folder of the file that path is, or is a link to, and name in it. */
static spx_status beside(const char *path, const char *name, char **out)
{
    char full[PATH_MAX], joined[PATH_MAX];
    char *slash;
    if (realpath(path, full) == NULL || (slash = strrchr(full, '/')) == NULL) {
        return SPX_FAIL(SPX_EIO, "%s: where it lies cannot be told", path);
    }
    slash[slash == full] = '\0'; /* the root keeps its slash */
    if (!spx_path_join(joined, full, name)) {
        return SPX_FAIL(SPX_EINVAL, "%s: the path of %s is too long", path, name);
    }
    *out = strdup(joined);
    return *out != NULL ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "%s: names", path);
}

/* One line "DIGEST TRAIN TEST NAME" of the list of shards. */
static spx_status parse_shard(const spx_h5 *f, char *line, spx_store_file *to,
                              char digest[SPX_H5_DIGEST_CHARS])
{
    unsigned long long count[SPX_SPLIT_COUNT] = {0};
    int name = 0;
    const bool ok = sscanf(line, "%64[0-9a-f] %10llu %10llu %n", digest, &count[SPX_SPLIT_TRAIN],
                           &count[SPX_SPLIT_TEST], &name) == 3 &&
                    strlen(digest) == SPX_H5_DIGEST_CHARS - 1 && name > 0 && line[name] != '\0' &&
                    strchr(line + name, '/') == NULL && strcmp(line + name, "..") != 0;
    for (int k = 0; k < SPX_SPLIT_COUNT && ok; k++) {
        to->part[k].count = (size_t)count[k];
    }
    return ok ? beside(spx_h5_name(f), line + name, &to->path)
              : SPX_FAIL(SPX_EFORMAT, "%s: a shard '%.80s', expected 'DIGEST TRAIN TEST NAME'",
                         spx_h5_name(f), line);
}

/* The list of files with their counts; the pack's own holds what the shards do not. */
static spx_status list_files(const spx_h5 *f, spx_pack *p, char *shards,
                             char (**digests)[SPX_H5_DIGEST_CHARS])
{
    spx_store *s = p->store;
    spx_store_file *own;
    char *rest = shards;
    for (const char *at = shards; *at != '\0'; at++) {
        s->about.shards += *at == '\n';
    }
    SPX_RETURN_IF(SPX_NEW(s->file, s->about.shards + 1));
    SPX_RETURN_IF(SPX_NEW(*digests, s->about.shards + 1));
    s->files = s->about.shards + 1;
    for (size_t i = 0; i < s->files; i++) {
        s->file[i].fd = -1;
    }
    own = &s->file[s->about.shards];
    own->path = strdup(spx_h5_name(f));
    if (own->path == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%s: names", spx_h5_name(f));
    }
    for (int k = 0; k < SPX_SPLIT_COUNT; k++) {
        own->part[k].count = p->split[k].count;
    }
    for (size_t i = 0; i < s->about.shards; i++) {
        char *line = strsep(&rest, "\n");
        SPX_RETURN_IF(parse_shard(f, line, &s->file[i], (*digests)[i]));
        for (int k = 0; k < SPX_SPLIT_COUNT; k++) {
            const size_t n = s->file[i].part[k].count;
            s->file[i].part[k].first = p->split[k].count - own->part[k].count;
            if (n > own->part[k].count) {
                return SPX_FAIL(SPX_EFORMAT, "%s: shards of more %s images than the pack has",
                                spx_h5_name(f), spx_split_name((spx_split)k));
            }
            own->part[k].count -= n;
            own->part[k].first = p->split[k].count - own->part[k].count;
        }
    }
    return SPX_OK;
}

/* ---- the index of one file ---- */

/* A dataset of part's count; *out is its own to free. */
#define READ_COLUMN(f, split, what, type, part, out)                                               \
    (SPX_NEW((out), (part)->count) != SPX_OK                                                       \
         ? SPX_ENOMEM                                                                              \
         : spx_h5_read((f), dataset_name((char[NAME_BYTES]){0}, (split), (what)), (type), (out),   \
                       (part)->count))

/* Whether a picture may be so large; where all are said to have one size, memory is laid out by
 * that. */
static bool is_size(const spx_pack *p, int height, int width)
{
    return height >= 1 && height <= SPX_IMAGE_MAX_SIDE && width >= 1 &&
           width <= SPX_IMAGE_MAX_SIDE &&
           (p->height == 0 || (height == p->height && width == p->width));
}

/* Ends rise from begin to end, and sides are those of pictures. */
static spx_status check_ends(const spx_h5 *f, const spx_pack *p, int split,
                             const spx_store_part *part, uint64_t end, size_t *max_bytes)
{
    uint64_t before = part->begin;
    for (size_t i = 0; i < part->count; i++) {
        if (part->end[i] <= before || part->end[i] > end ||
            part->end[i] - before > SPX_STORE_MAX_PICTURE ||
            !is_size(p, part->height[i], part->width[i])) {
            return SPX_FAIL(SPX_EFORMAT,
                            "%s: index of %s: image %zu of %dx%d pixels ends at %llu of %llu, the "
                            "one before it at %llu",
                            spx_h5_name(f), spx_split_name((spx_split)split), i, part->height[i],
                            part->width[i], (unsigned long long)part->end[i],
                            (unsigned long long)end, (unsigned long long)before);
        }
        if (part->end[i] - before > *max_bytes) {
            *max_bytes = (size_t)(part->end[i] - before);
        }
        before = part->end[i];
    }
    return before == end ? SPX_OK
                         : SPX_FAIL(SPX_EFORMAT, "%s: index of %s ends at %llu, expected %llu",
                                    spx_h5_name(f), spx_split_name((spx_split)split),
                                    (unsigned long long)before, (unsigned long long)end);
}

/* Puts the labels of one file behind those of the files before it. */
static spx_status join_labels(const spx_h5 *f, spx_pack *p, int split, const spx_store_part *part)
{
    spx_pack_split *to = &p->split[split];
    char name[NAME_BYTES];
    uint16_t *all;
    SPX_RETURN_IF(SPX_NEW(all, part->first + part->count));
    if (part->first > 0) {
        memcpy(all, to->labels, part->first * sizeof *all);
    }
    spx_free(to->labels);
    to->labels = all;
    return spx_pack_read_labels(f, dataset_name(name, split, "labels"), all + part->first,
                                part->count, p->classes);
}

static spx_status read_part(const spx_h5 *f, spx_pack *p, int split, spx_store_part *part,
                            uint64_t end)
{
    size_t *max = &p->store->max_bytes[split];
    char name[NAME_BYTES];
    spx_h5_info info;
    /* Before anything is allocated: the file holds as many. */
    SPX_RETURN_IF(spx_h5_stat(f, dataset_name(name, split, "labels"), &info));
    if (info.count != part->count) {
        return SPX_FAIL(SPX_EFORMAT, "%s: '%s' has %zu elements, expected %zu", spx_h5_name(f),
                        name, info.count, part->count);
    }
    SPX_RETURN_IF(join_labels(f, p, split, part));
    SPX_RETURN_IF(READ_COLUMN(f, split, "crc", SPX_H5_U32, part, part->crc));
    SPX_RETURN_IF(spx_h5_place(f, dataset_name(name, split, "names"), &part->names));
    if (!p->store->encoded) {
        *max = spx_pack_image_bytes(p);
        return part->begin + part->count * *max == end
                   ? SPX_OK
                   : SPX_FAIL(SPX_EFORMAT, "%s: %s images of %zu bytes do not fill their place",
                              spx_h5_name(f), spx_split_name((spx_split)split), *max);
    }
    SPX_RETURN_IF(READ_COLUMN(f, split, "ends", SPX_H5_I64, part, part->end));
    SPX_RETURN_IF(READ_COLUMN(f, split, "heights", SPX_H5_U16, part, part->height));
    SPX_RETURN_IF(READ_COLUMN(f, split, "widths", SPX_H5_U16, part, part->width));
    return check_ends(f, p, split, part, end, max);
}

/* data must be what its range is, so that other readers of HDF5 see the same pictures. */
static spx_status check_data(const spx_h5 *f, const spx_pack *p, uint64_t length)
{
    spx_h5_info info;
    bool ok;
    SPX_RETURN_IF(spx_h5_stat(f, "data", &info));
    ok = info.type == SPX_H5_U8 && info.count == length && length > 0 &&
         (p->store->encoded ? info.rank == 1
                            : info.rank == 4 && info.dims[1] == p->channels &&
                                  info.dims[2] == p->height && info.dims[3] == p->width);
    return ok ? SPX_OK
              : SPX_FAIL(SPX_EFORMAT, "%s: 'data' is not the %llu bytes of pictures '%s'",
                         spx_h5_name(f), (unsigned long long)length, p->store->about.form);
}

static spx_status read_file(const spx_h5 *f, spx_pack *p, spx_store_file *to, unsigned load)
{
    const spx_h5_range range = spx_h5_apart(f);
    int64_t begin[SPX_SPLIT_COUNT];
    SPX_RETURN_IF(check_data(f, p, range.length));
    SPX_RETURN_IF(spx_h5_read_attr(f, "", "begin", SPX_H5_I64, begin, SPX_SPLIT_COUNT, NULL));
    if (begin[0] != 0 || begin[1] < 0 || (uint64_t)begin[1] > range.length ||
        (to->part[0].count == 0) != (begin[1] == 0) ||
        (to->part[1].count == 0) != ((uint64_t)begin[1] == range.length)) {
        return SPX_FAIL(SPX_EFORMAT, "%s: test images begin at %lld of %llu bytes", spx_h5_name(f),
                        (long long)begin[1], (unsigned long long)range.length);
    }
    to->data = range.start;
    for (int k = 0; k < SPX_SPLIT_COUNT; k++) {
        const uint64_t end = k + 1 < SPX_SPLIT_COUNT ? (uint64_t)begin[k + 1] : range.length;
        to->part[k].begin = (uint64_t)begin[k];
        if ((load & SPX_PACK_LOAD(k)) != 0 && to->part[k].count > 0) {
            SPX_RETURN_IF(read_part(f, p, k, &to->part[k], end));
        }
    }
    return spx_h5_descriptor(f, &to->fd);
}

static spx_status read_shard(const spx_h5 *pack, spx_pack *p, spx_store_file *to,
                             const char *digest, unsigned load)
{
    char found[SPX_H5_DIGEST_CHARS];
    spx_h5 *f = NULL;
    spx_status st = spx_h5_open(&f, to->path, SPX_H5_CHECKED);
    if (st != SPX_OK) {
        return spx_fail_context(st, "%s: a shard", spx_h5_name(pack));
    }
    spx_h5_digest(f, found);
    if (strcmp(found, digest) != 0) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: its shard %s is that of another pack", spx_h5_name(pack),
                      to->path);
    } else {
        st = read_file(f, p, to, load);
    }
    spx_h5_close(f);
    return st;
}

/* ---- the whole ---- */

static spx_status read_counts(const spx_h5 *f, spx_pack *p)
{
    int64_t counts[SPX_SPLIT_COUNT];
    SPX_RETURN_IF(spx_h5_read_attr(f, "", "counts", SPX_H5_I64, counts, SPX_SPLIT_COUNT, NULL));
    for (int k = 0; k < SPX_SPLIT_COUNT; k++) {
        if (counts[k] < 0 || counts[k] > UINT32_MAX) {
            return SPX_FAIL(SPX_EFORMAT, "%s: %lld images of %s", spx_h5_name(f),
                            (long long)counts[k], spx_split_name((spx_split)k));
        }
        p->split[k].count = (size_t)counts[k];
    }
    return counts[0] + counts[1] > 0 ? SPX_OK
                                     : SPX_FAIL(SPX_EFORMAT, "%s: no images", spx_h5_name(f));
}

static spx_status open_all(spx_pack *p, const spx_h5 *f, unsigned load)
{
    char(*digests)[SPX_H5_DIGEST_CHARS] = NULL, *shards = NULL, *print = NULL;
    spx_store *s;
    spx_status st;
    SPX_RETURN_IF(SPX_NEW(s, 1));
    p->store = s;
    SPX_RETURN_IF(read_form(f, p));
    SPX_RETURN_IF(read_moments(f, s));
    SPX_RETURN_IF(read_bad(f, s));
    SPX_RETURN_IF(read_counts(f, p));
    SPX_RETURN_IF(spx_h5_read_text(f, "", "fingerprint", &print));
    s->about.fingerprint = print;
    SPX_TRY(st, spx_h5_read_text(f, "", "shards", &shards), done);
    SPX_TRY(st, list_files(f, p, shards, &digests), done);
    if ((load & SPX_PACK_LOAD_ALL) == 0) {
        goto done;
    }
    for (size_t i = 0; i < s->about.shards; i++) {
        SPX_TRY(st, read_shard(f, p, &s->file[i], digests[i], load), done);
    }
    st = read_file(f, p, &s->file[s->about.shards], load);
done:
    spx_free(digests);
    spx_free(shards);
    return st;
}

spx_status spx_store_open(spx_pack *p, const spx_h5 *f, unsigned load)
{
    const spx_status st = open_all(p, f, load);
    return st == SPX_ENOTFOUND ? SPX_EFORMAT : st; /* the pack is there, a part of it is not */
}
