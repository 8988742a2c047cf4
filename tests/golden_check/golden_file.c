/* Reading golden files: everything is checked, nothing is trusted. */
#include "tests/golden_check/golden.h"

#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A malloc'd array of count elements of size bytes; never NULL for count 0. */
static spx_status array(void **out, size_t count, size_t size)
{
    *out = calloc(count + 1, size);
    return *out != NULL ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "%zu elements", count);
}

spx_status golden_floats(const spx_h5 *f, const char *name, size_t count, float **out)
{
    spx_h5_info info;
    *out = NULL;
    SPX_RETURN_IF(spx_h5_stat(f, name, &info));
    if (count != 0 && info.count != count) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s has %zu elements, expected %zu", spx_h5_name(f), name,
                        info.count, count);
    }
    SPX_RETURN_IF(array((void **)out, info.count, sizeof **out));
    const spx_status st = spx_h5_read(f, name, SPX_H5_F32, *out, info.count);
    if (st != SPX_OK) {
        free(*out);
        *out = NULL;
    }
    return st;
}

spx_status golden_images(const golden_report *r, const spx_h5 *f, const char *name, size_t count,
                         float **out)
{
    SPX_RETURN_IF(golden_floats(f, name, count, out));
    spx_rng rng;
    spx_rng_init(&rng, (uint64_t)r->attempt, SPX_RNG_TEST, 0);
    const float ulps = 0x1p-23f * (float)r->attempt;
    for (size_t i = 0; i < count && r->attempt > 0; i++) {
        (*out)[i] *= spx_rng_normal(&rng) < 0 ? 1 - ulps : 1 + ulps;
    }
    return SPX_OK;
}

spx_status golden_labels(const spx_h5 *f, const char *name, size_t count, int32_t **out)
{
    int64_t *wide = NULL;
    spx_status st;
    *out = NULL;
    SPX_TRY(st, array((void **)&wide, count, sizeof *wide), done);
    SPX_TRY(st, array((void **)out, count, sizeof **out), done);
    SPX_TRY(st, spx_h5_read(f, name, SPX_H5_I64, wide, count), done);
    for (size_t i = 0; i < count; i++) {
        if (wide[i] < 0 || wide[i] > INT32_MAX) {
            st = SPX_FAIL(SPX_EFORMAT, "%s: %s: label %lld", spx_h5_name(f), name,
                          (long long)wide[i]);
            goto done;
        }
        (*out)[i] = (int32_t)wide[i];
    }
done:
    free(wide);
    if (st != SPX_OK) {
        free(*out);
        *out = NULL;
    }
    return st;
}

spx_status golden_int(const spx_h5 *f, const char *object, const char *attr, int64_t *out)
{
    return spx_h5_read_attr(f, object, attr, SPX_H5_I64, out, 1, NULL);
}

spx_status golden_real(const spx_h5 *f, const char *attr, double *out)
{
    return spx_h5_read_attr(f, "", attr, SPX_H5_F64, out, 1, NULL);
}

spx_status golden_int_list(const spx_h5 *f, const char *attr, int *out, int max, int *n)
{
    char *text;
    SPX_RETURN_IF(spx_h5_read_text(f, "", attr, &text));
    const char *at = text + strspn(text, " [");
    bool good = text[0] == '[';
    *n = 0;
    while (good && *at != ']') {
        char *end;
        const long v = strtol(at, &end, 10);
        good = end != at && *n < max && v >= 0 && v < 1000;
        if (good) {
            out[(*n)++] = (int)v;
            at = end + strspn(end, " ");
            at += *at == ',';
            at += strspn(at, " ");
        }
    }
    const spx_status st = good ? SPX_OK
                               : SPX_FAIL(SPX_EFORMAT, "%s: attribute %s: no list: %.40s",
                                          spx_h5_name(f), attr, text);
    spx_free(text);
    return st;
}

spx_status golden_dims(const spx_h5 *f, const char *name, int rank, int64_t *dims)
{
    spx_h5_info info;
    SPX_RETURN_IF(spx_h5_stat(f, name, &info));
    if (info.rank != rank || info.count == 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s has rank %d, expected %d and some elements",
                        spx_h5_name(f), name, info.rank, rank);
    }
    memcpy(dims, info.dims, sizeof *dims * (size_t)rank);
    return SPX_OK;
}

static spx_status load_entry(const spx_h5 *f, const char *path, const spx_layout_entry *e,
                             float *arena)
{
    int64_t dims[SPX_H5_MAX_RANK];
    SPX_RETURN_IF(golden_dims(f, path, e->rank, dims));
    for (int i = 0; i < e->rank; i++) {
        if (dims[i] != e->dim[i]) {
            return SPX_FAIL(SPX_EFORMAT, "%s: %s: dimension %d is %lld, the network's is %lld",
                            spx_h5_name(f), path, i, (long long)dims[i], (long long)e->dim[i]);
        }
    }
    return spx_h5_read(f, path, SPX_H5_F32, arena + e->offset, (size_t)e->count);
}

/* Every dataset of the group belongs to the network. */
static spx_status check_whole(const spx_h5 *f, const char *group, const spx_layout *l)
{
    spx_h5_names names;
    SPX_RETURN_IF(spx_h5_list(f, group, &names));
    spx_status st = SPX_OK;
    for (size_t i = 0; i < names.count && st == SPX_OK; i++) {
        if (spx_layout_find(l, names.name[i]) == NULL) {
            st = SPX_FAIL(SPX_EFORMAT, "%s: %s/%s: the network has no such parameter",
                          spx_h5_name(f), group, names.name[i]);
        }
    }
    spx_h5_names_clear(&names);
    return st;
}

spx_status golden_load(const spx_h5 *f, const char *group, const spx_layout *l, spx_role role,
                       float *arena, const char *except, bool whole)
{
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        char path[256];
        if (e->role != role || (except != NULL && strncmp(e->name, except, strlen(except)) == 0)) {
            continue;
        }
        (void)snprintf(path, sizeof path, "%s/%s", group, e->name);
        SPX_RETURN_IF(load_entry(f, path, e, arena));
    }
    return whole ? check_whole(f, group, l) : SPX_OK;
}

spx_status golden_open_beside(spx_h5 **out, const spx_h5 *f, const char *name)
{
    char path[4096];
    const char *own = spx_h5_name(f), *slash = strrchr(own, '/');
    const int folder = slash != NULL ? (int)(slash - own) + 1 : 0;
    const int n = snprintf(path, sizeof path, "%.*s%s", folder, own, name);
    if (n < 0 || (size_t)n >= sizeof path) {
        return SPX_FAIL(SPX_EINVAL, "path too long: %.60s...", own);
    }
    return spx_h5_open(out, path, SPX_H5_FOREIGN);
}
