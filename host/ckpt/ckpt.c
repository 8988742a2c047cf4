#define _XOPEN_SOURCE 700 /* realpath, linkat, S_ISDIR */
#include "host/ckpt/ckpt.h"

#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char format_name[] = "sphynx-model";

#define META_MAX ((size_t)16 << 20) /* a tuning table is some 100 KiB */
#define PATH_BYTES 4096
#define NAME_BYTES 512

static spx_status beside(const char *path, const char *suffix, char out[PATH_BYTES])
{
    const int n = snprintf(out, PATH_BYTES, "%s%s", path, suffix);
    return n > 0 && n < PATH_BYTES ? SPX_OK : SPX_FAIL(SPX_EINVAL, "path too long: %.64s...", path);
}

static spx_status dataset_name(const char *group, const char *name, char out[NAME_BYTES])
{
    const int n = snprintf(out, NAME_BYTES, "%s/%s", group, name);
    return n > 0 && n < NAME_BYTES ? SPX_OK : SPX_FAIL(SPX_EINVAL, "name too long: %.64s...", name);
}

/* For file systems without second names, or where a link leads to another one. */
static void copy_file(const char *from, const char *to)
{
    struct stat s;
    const int fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_size > 0) {
        const size_t size = (size_t)s.st_size;
        void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes != MAP_FAILED) {
            const spx_span part = {bytes, size};
            (void)!spx_file_replace(to, &part, 1);
            (void)munmap(bytes, size);
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

/* Keeps the present file, which path names or leads to, under its second name; path holds it
 * throughout. Failing to is no reason not to write the new one. */
static void keep_previous_file(const char *path)
{
    char prev[PATH_BYTES];
    if (beside(path, ".prev", prev) != SPX_OK) {
        return;
    }
    for (int attempt = 0; attempt < 2; attempt++) {
        if (linkat(AT_FDCWD, path, AT_FDCWD, prev, AT_SYMLINK_FOLLOW) == 0 || errno == ENOENT) {
            return;
        }
        if (errno != EEXIST || unlink(prev) != 0) {
            break;
        }
    }
    copy_file(path, prev);
}

static spx_status add_meta(spx_h5_out *w, const json_t *meta)
{
    const int64_t schema = SPX_CKPT_SCHEMA;
    spx_status st;
    char *text;
    int64_t length;
    if (!json_is_string(json_object_get(meta, "kind"))) {
        return SPX_FAIL(SPX_EINVAL, "checkpoint: description without a kind");
    }
    text = json_dumps(meta, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "checkpoint: description");
    }
    length = (int64_t)strlen(text);
    SPX_TRY(st, spx_h5_add_text(w, "", "format", format_name), end);
    SPX_TRY(st, spx_h5_add_attr(w, "", "schema", SPX_H5_I64, 1, &schema), end);
    SPX_TRY(st, spx_h5_add(w, "meta", SPX_H5_U8, 1, &length, text), end);
end:
    free(text);
    return st;
}

/* "[1][0][2]" of element i, for messages */
static void index_text(int rank, const int64_t *dim, size_t i, char *out, size_t room)
{
    int64_t at[SPX_H5_MAX_RANK];
    size_t used = 0;
    for (int k = rank - 1; k >= 0; k--) {
        at[k] = (int64_t)(i % (size_t)dim[k]);
        i /= (size_t)dim[k];
    }
    out[0] = '\0';
    for (int k = 0; k < rank && used < room; k++) {
        const int n = snprintf(out + used, room - used, "[%lld]", (long long)at[k]);
        used += n > 0 ? (size_t)n : 0;
    }
}

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* What an array's elements have to be, by its name and the group it is in. */
typedef enum element_rule { ANY, VARIANCE, MASK } element_rule;

static element_rule rule_of(const char *name)
{
    const bool mask = ends_with(name, ".mask") && strstr(name, "buffer/") != NULL;
    return mask ? MASK : ends_with(name, "running_var") ? VARIANCE : ANY;
}

static const char *expected(element_rule r, float x)
{
    if (r == MASK) {
        return x == 0.0f || x == 1.0f ? NULL : "0 or 1";
    }
    return !isfinite(x)                ? "a finite number"
           : r == VARIANCE && x < 0.0f ? "a variance of at least 0"
                                       : NULL;
}

spx_status spx_array_check(const char *file, const char *name, int rank, const int64_t *dim,
                           const float *x)
{
    const element_rule rule = rule_of(name);
    size_t n = 1;
    for (int k = 0; k < rank; k++) {
        n *= (size_t)dim[k];
    }
    for (size_t i = 0; i < n; i++) {
        const char *const want = expected(rule, x[i]);
        if (want != NULL) {
            char at[SPX_H5_MAX_RANK * 24];
            index_text(rank, dim, i, at, sizeof at);
            return SPX_FAIL(SPX_EFORMAT, "%s: %s%s is %g, expected %s", file, name, at,
                            (double)x[i], want);
        }
    }
    return SPX_OK;
}

static spx_status add_arena(spx_h5_out *w, const char *path, const spx_layout *l,
                            const spx_ckpt_arena *a)
{
    char name[NAME_BYTES];
    const float *data = a->data.data;
    SPX_RETURN_IF(
        spx_buffer_check(&a->data, SPX_DEVICE_CPU, spx_layout_bytes(l, a->role), a->group));
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        if (e->role == a->role) {
            SPX_RETURN_IF(dataset_name(a->group, e->name, name));
            if (spx_array_check(path, name, e->rank, e->dim, data + e->offset) != SPX_OK) {
                return spx_fail_context(SPX_ENUMERIC, "not written");
            }
            SPX_RETURN_IF(spx_h5_add(w, name, SPX_H5_F32, e->rank, e->dim, data + e->offset));
        }
    }
    return SPX_OK;
}

spx_status spx_ckpt_save(const char *path, const json_t *meta, const spx_layout *l,
                         const spx_ckpt_arena *arena, size_t n, bool keep_previous)
{
    spx_h5_out *w = NULL;
    spx_status st;
    SPX_TRY(st, spx_h5_create(&w), end);
    SPX_TRY(st, add_meta(w, meta), end);
    for (size_t i = 0; i < n; i++) {
        if (arena[i].data.data != NULL) {
            SPX_TRY(st, add_arena(w, path, l, &arena[i]), end);
        }
    }
    if (keep_previous) {
        keep_previous_file(path);
    }
    st = spx_h5_commit(w, path);
end:
    spx_h5_discard(w);
    return st;
}

static spx_status read_meta(spx_ckpt *c)
{
    spx_h5_info info;
    json_error_t err;
    void *text = NULL;
    spx_status st;
    SPX_RETURN_IF(spx_h5_stat(c->file, "meta", &info));
    if (info.count > META_MAX) {
        return SPX_FAIL(SPX_EFORMAT, "%s: description of %zu bytes, at most %zu expected",
                        spx_h5_name(c->file), info.count, META_MAX);
    }
    SPX_RETURN_IF(spx_calloc(&text, info.count + 1, 1));
    SPX_TRY(st, spx_h5_read(c->file, "meta", SPX_H5_U8, text, info.count), end);
    c->meta = json_loadb(text, info.count, JSON_REJECT_DUPLICATES, &err);
    if (!json_is_string(json_object_get(c->meta, "kind"))) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: description: %s", spx_h5_name(c->file),
                      c->meta == NULL ? err.text : "no kind");
    }
end:
    spx_free(text);
    return st;
}

static spx_status check_format(const spx_h5 *f)
{
    int64_t schema = 0;
    char *format = NULL;
    bool ours, deployed;
    if (!spx_h5_has_attr(f, "", "format")) {
        return SPX_FAIL(SPX_EFORMAT, "%s: no checkpoint or model of sphynx", spx_h5_name(f));
    }
    SPX_RETURN_IF(spx_h5_read_text(f, "", "format", &format));
    ours = strcmp(format, format_name) == 0;
    deployed = strcmp(format, "sphynx-deployed") == 0;
    spx_free(format);
    if (!ours) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s", spx_h5_name(f),
                        deployed ? "a deployed model; what it was exported from is wanted here"
                                 : "no checkpoint or model of sphynx");
    }
    SPX_RETURN_IF(spx_h5_read_attr(f, "", "schema", SPX_H5_I64, &schema, 1, NULL));
    if (schema != SPX_CKPT_SCHEMA) {
        return SPX_FAIL(SPX_EFORMAT, "%s: schema %lld, this program reads %d", spx_h5_name(f),
                        (long long)schema, SPX_CKPT_SCHEMA);
    }
    return SPX_OK;
}

spx_status spx_ckpt_path(const char *given, char *path, size_t room)
{
    static const char *const names[] = {"/model.h5", "/last.h5"};
    struct stat s;
    if (strlen(given) + 16 > room) {
        return SPX_FAIL(SPX_EINVAL, "%.80s...: the path is too long", given);
    }
    (void)snprintf(path, room, "%s", given);
    if (stat(given, &s) != 0 || !S_ISDIR(s.st_mode)) {
        return SPX_OK;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, room, "%s%s", given, names[i]);
        if (stat(path, &s) == 0) {
            return SPX_OK;
        }
    }
    return SPX_FAIL(SPX_ENOTFOUND, "%s: no model.h5 and no last.h5 in this folder", given);
}

spx_status spx_ckpt_open(spx_ckpt *out, const char *path)
{
    spx_h5 *f;
    memset(out, 0, sizeof *out);
    SPX_RETURN_IF(spx_h5_open(&f, path, SPX_H5_CHECKED));
    return spx_ckpt_take(out, f);
}

spx_status spx_ckpt_take(spx_ckpt *out, spx_h5 *file)
{
    spx_status st;
    *out = (spx_ckpt){.file = file};
    SPX_TRY(st, check_format(out->file), fail);
    SPX_TRY(st, read_meta(out), fail);
    return SPX_OK;
fail:
    spx_ckpt_close(out);
    return st == SPX_ENOTFOUND ? SPX_EFORMAT : st; /* the file is there, a part of it is not */
}

/* A link keeps its place: the file it leads to is renamed. */
static void put_aside(const char *path)
{
    char damaged[PATH_BYTES], *real = realpath(path, NULL);
    if (real != NULL && beside(real, ".damaged", damaged) == SPX_OK) {
        (void)rename(real, damaged);
    }
    free(real);
}

spx_status spx_ckpt_open_latest(spx_ckpt *out, const char *path)
{
    char prev[PATH_BYTES];
    const spx_status st = spx_ckpt_open(out, path);
    if (st != SPX_EFORMAT && st != SPX_ENOTFOUND) {
        return st;
    }
    SPX_RETURN_IF(beside(path, ".prev", prev));
    if (access(prev, F_OK) != 0) {
        return st; /* with the message about path itself */
    }
    SPX_RETURN_IF(spx_ckpt_open(out, prev));
    put_aside(path);
    out->fallback = st;
    return SPX_OK;
}

void spx_ckpt_close(spx_ckpt *c)
{
    json_decref(c->meta);
    spx_h5_close(c->file);
    memset(c, 0, sizeof *c);
}

const char *spx_ckpt_kind(const spx_ckpt *c)
{
    return json_string_value(json_object_get(c->meta, "kind"));
}

void spx_shape_text(int rank, const int64_t *dim, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < rank && used < room; i++) {
        const int n =
            snprintf(out + used, room - used, "%s%lld", i > 0 ? "x" : "", (long long)dim[i]);
        used += n > 0 ? (size_t)n : 0;
    }
}

static spx_status load_entry(const spx_h5 *f, const spx_layout_entry *e, const char *group,
                             float *arena)
{
    char name[NAME_BYTES];
    spx_h5_info info;
    SPX_RETURN_IF(dataset_name(group, e->name, name));
    if (!spx_h5_has(f, name)) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s is missing", spx_h5_name(f), name);
    }
    SPX_RETURN_IF(spx_h5_stat(f, name, &info));
    if (info.rank != e->rank ||
        memcmp(info.dims, e->dim, (size_t)e->rank * sizeof e->dim[0]) != 0) {
        char found[96], wanted[96];
        spx_shape_text(info.rank, info.dims, found, sizeof found);
        spx_shape_text(e->rank, e->dim, wanted, sizeof wanted);
        return SPX_FAIL(SPX_EFORMAT, "%s: %s is %s, the network needs %s", spx_h5_name(f), name,
                        found, wanted);
    }
    SPX_RETURN_IF(spx_h5_read(f, name, SPX_H5_F32, arena + e->offset, info.count));
    return spx_array_check(spx_h5_name(f), name, e->rank, e->dim, arena + e->offset);
}

spx_status spx_arrays_load(const spx_h5 *f, const spx_layout *l, const spx_ckpt_arena *arena,
                           size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const spx_ckpt_arena *a = &arena[i];
        if (a->data.data == NULL) {
            continue;
        }
        SPX_RETURN_IF(
            spx_buffer_check(&a->data, SPX_DEVICE_CPU, spx_layout_bytes(l, a->role), a->group));
        for (int k = 0; k < l->n; k++) {
            if (l->entry[k].role == a->role) {
                SPX_RETURN_IF(load_entry(f, &l->entry[k], a->group, a->data.data));
            }
        }
    }
    return SPX_OK;
}

spx_status spx_ckpt_load(const spx_ckpt *c, const spx_layout *l, const spx_ckpt_arena *arena,
                         size_t n)
{
    return spx_arrays_load(c->file, l, arena, n);
}
