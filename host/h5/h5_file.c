/* Reading what is in a file. Everything it claims (types, ranks, sizes, links) is checked before
 * it is acted on. */
#define _POSIX_C_SOURCE 200809L
#include "host/h5/h5_private.h"
#include "kernels/base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Deflate expands at most 1032 times (zlib's own figure); other filters less on useful data. */
#define MAX_EXPANSION 1032

void spx_h5_quiet(void)
{
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    (void)H5PLset_loading_state(0);
}

static herr_t innermost(unsigned n, const H5E_error2_t *e, void *reason)
{
    if (n == 0 && e->desc != NULL) {
        (void)snprintf(reason, 128, "%s", e->desc);
    }
    return 0;
}

spx_status spx_h5_fail(spx_status st, const char *file, int line, const char *fmt, ...)
{
    char text[512], reason[128] = "";
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, reason);
    (void)H5Eclear2(H5E_DEFAULT);
    return spx_fail(st, file, line, "%s%s%s", text, reason[0] != '\0' ? ": " : "", reason);
}

hid_t spx_h5_memory_type(spx_h5_type type)
{
    switch (type) {
    case SPX_H5_U8:
        return H5T_NATIVE_UINT8;
    case SPX_H5_U16:
        return H5T_NATIVE_UINT16;
    case SPX_H5_I32:
        return H5T_NATIVE_INT32;
    case SPX_H5_U32:
        return H5T_NATIVE_UINT32;
    case SPX_H5_I64:
        return H5T_NATIVE_INT64;
    case SPX_H5_F32:
        return H5T_NATIVE_FLOAT;
    case SPX_H5_F64:
        return H5T_NATIVE_DOUBLE;
    case SPX_H5_F16:
    case SPX_H5_OTHER:
        break;
    }
    return -1;
}

hid_t spx_h5_disk_type(spx_h5_type type, bool big_endian)
{
    switch (type) {
    case SPX_H5_U8:
        return big_endian ? H5T_STD_U8BE : H5T_STD_U8LE;
    case SPX_H5_U16:
        return big_endian ? H5T_STD_U16BE : H5T_STD_U16LE;
    case SPX_H5_I32:
        return big_endian ? H5T_STD_I32BE : H5T_STD_I32LE;
    case SPX_H5_U32:
        return big_endian ? H5T_STD_U32BE : H5T_STD_U32LE;
    case SPX_H5_I64:
        return big_endian ? H5T_STD_I64BE : H5T_STD_I64LE;
    case SPX_H5_F32:
        return big_endian ? H5T_IEEE_F32BE : H5T_IEEE_F32LE;
    case SPX_H5_F64:
        return big_endian ? H5T_IEEE_F64BE : H5T_IEEE_F64LE;
    case SPX_H5_F16:
    case SPX_H5_OTHER:
        break;
    }
    return -1;
}

static spx_h5_type type_of(hid_t stored)
{
    for (int t = 0; t < SPX_H5_OTHER; t++) {
        if (H5Tequal(stored, spx_h5_disk_type((spx_h5_type)t, false)) > 0 ||
            H5Tequal(stored, spx_h5_disk_type((spx_h5_type)t, true)) > 0) {
            return (spx_h5_type)t;
        }
    }
    if (H5Tget_class(stored) == H5T_FLOAT && H5Tget_size(stored) == 2) {
        return SPX_H5_F16; /* libhdf5 converts by the fields' own description */
    }
    return SPX_H5_OTHER;
}

/* The enum lists integers by rising range (but that i32 is none of u32's), then floats. */
static bool converts(spx_h5_type stored, spx_h5_type as)
{
    if (as <= SPX_H5_I64) {
        return stored <= as && (stored != SPX_H5_I32 || as != SPX_H5_U32);
    }
    return as != SPX_H5_F16 && stored >= SPX_H5_F16 && stored <= SPX_H5_F64;
}

/* ---- datasets ---- */

static hid_t open_object(const spx_h5 *f, const char *name)
{
    spx_h5_quiet();
    return H5Oopen(f->file, name[0] != '\0' ? name : "/", f->lapl);
}

static spx_status open_dataset(const spx_h5 *f, const char *name, hid_t *id)
{
    *id = open_object(f, name);
    if (*id < 0) {
        (void)H5Eclear2(H5E_DEFAULT);
        return SPX_FAIL(SPX_ENOTFOUND, "%s: no dataset '%s'", f->name, name);
    }
    if (H5Iget_type(*id) != H5I_DATASET) {
        (void)H5Oclose(*id);
        return SPX_FAIL(SPX_EFORMAT, "%s: '%s' is not a dataset", f->name, name);
    }
    return SPX_OK;
}

bool spx_h5_has(const spx_h5 *f, const char *name)
{
    const hid_t id = open_object(f, name);
    const bool found = id >= 0 && H5Iget_type(id) == H5I_DATASET;
    if (id >= 0) {
        (void)H5Oclose(id);
    }
    (void)H5Eclear2(H5E_DEFAULT);
    return found;
}

/* Shape of a dataspace into info; element is its size in bytes. */
static spx_status read_space(const char *file, const char *name, hid_t space, size_t element,
                             spx_h5_info *info, size_t *bytes)
{
    hsize_t dims[H5S_MAX_RANK];
    const int rank = H5Sget_simple_extent_ndims(space);
    if (rank < 0 || rank > SPX_H5_MAX_RANK || H5Sget_simple_extent_type(space) == H5S_NULL ||
        H5Sget_simple_extent_dims(space, dims, NULL) < 0) {
        return SPX_H5_FAIL(SPX_EFORMAT, "%s: '%s' has rank %d, expected 0 to %d", file, name, rank,
                           SPX_H5_MAX_RANK);
    }
    info->rank = rank;
    info->count = 1;
    for (int i = 0; i < rank; i++) {
        if (dims[i] > INT64_MAX || !spx_mul_size(info->count, (size_t)dims[i], &info->count)) {
            return SPX_FAIL(SPX_EFORMAT, "%s: '%s' has an absurd size", file, name);
        }
        info->dims[i] = (int64_t)dims[i];
    }
    if (!spx_mul_size(info->count, element, bytes)) {
        return SPX_FAIL(SPX_EFORMAT, "%s: '%s' has an absurd size", file, name);
    }
    return SPX_OK;
}

/* Refuses data outside the file and sizes its bytes cannot cover. */
static spx_status check_storage(const spx_h5 *f, const char *name, hid_t id, size_t bytes)
{
    const hid_t plist = H5Dget_create_plist(id);
    const H5D_layout_t layout = plist >= 0 ? H5Pget_layout(plist) : H5D_LAYOUT_ERROR;
    const int external = plist >= 0 ? H5Pget_external_count(plist) : 0;
    const hsize_t stored = bytes > 0 ? H5Dget_storage_size(id) : 0;
    (void)H5Pclose(plist);
    if (external != 0 || layout < H5D_COMPACT || layout > H5D_CHUNKED) {
        return SPX_H5_FAIL(SPX_EFORMAT, "%s: '%s' keeps its data outside the file", f->name, name);
    }
    if (stored > f->bytes || bytes / (layout == H5D_CHUNKED ? MAX_EXPANSION : 1) > stored) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: '%s' claims %zu bytes but stores %llu in a file of %zu bytes", f->name,
                        name, bytes, (unsigned long long)stored, f->bytes);
    }
    return SPX_OK;
}

static spx_status describe(const spx_h5 *f, const char *name, hid_t id, spx_h5_info *info)
{
    const hid_t type = H5Dget_type(id), space = H5Dget_space(id);
    spx_status st;
    size_t bytes = 0;
    *info = (spx_h5_info){.type = SPX_H5_OTHER};
    if (type < 0 || space < 0 || H5Tget_size(type) == 0) {
        st = SPX_H5_FAIL(SPX_EFORMAT, "%s: '%s' cannot be read", f->name, name);
    } else {
        info->type = type_of(type);
        st = read_space(f->name, name, space, H5Tget_size(type), info, &bytes);
    }
    if (st == SPX_OK) {
        st = check_storage(f, name, id, bytes);
    }
    (void)H5Tclose(type);
    (void)H5Sclose(space);
    (void)H5Eclear2(H5E_DEFAULT);
    return st;
}

spx_status spx_h5_stat(const spx_h5 *f, const char *name, spx_h5_info *info)
{
    hid_t id;
    spx_status st;
    *info = (spx_h5_info){.type = SPX_H5_OTHER};
    SPX_RETURN_IF(open_dataset(f, name, &id));
    st = describe(f, name, id, info);
    (void)H5Oclose(id);
    return st;
}

spx_status spx_h5_read(const spx_h5 *f, const char *name, spx_h5_type as, void *dst, size_t count)
{
    spx_h5_info info;
    hid_t id;
    spx_status st;
    if ((unsigned)as >= SPX_H5_OTHER) {
        return SPX_FAIL(SPX_EINVAL, "h5 read: element type %d", (int)as);
    }
    SPX_RETURN_IF(open_dataset(f, name, &id));
    st = describe(f, name, id, &info);
    if (st == SPX_OK && info.count != count) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: '%s' has %zu elements, expected %zu", f->name, name,
                      info.count, count);
    }
    if (st == SPX_OK && !converts(info.type, as)) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: '%s' has an unexpected element type", f->name, name);
    }
    if (st == SPX_OK) { /* a chunk that is unpacked may be as large as the whole */
        st = spx_memory_room(f->name, count * H5Tget_size(spx_h5_memory_type(as)));
    }
    if (st == SPX_OK && count > 0 &&
        H5Dread(id, spx_h5_memory_type(as), H5S_ALL, H5S_ALL, H5P_DEFAULT, dst) < 0) {
        st = SPX_H5_FAIL(SPX_EFORMAT, "%s: '%s' cannot be read", f->name, name);
    }
    (void)H5Oclose(id);
    return st;
}

spx_status spx_h5_place(const spx_h5 *f, const char *name, spx_h5_range *range)
{
    spx_h5_info info;
    hid_t id;
    spx_status st;
    haddr_t at;
    *range = (spx_h5_range){0};
    SPX_RETURN_IF(open_dataset(f, name, &id));
    st = describe(f, name, id, &info);
    at = st == SPX_OK && info.count > 0 ? H5Dget_offset(id) : 0;
    if (st == SPX_OK && (info.type != SPX_H5_U8 || at == HADDR_UNDEF || at > f->bytes ||
                         info.count > f->bytes - at)) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: '%s' is not stored as bytes in one piece", f->name, name);
    } else if (st == SPX_OK) {
        *range = (spx_h5_range){at, info.count};
    }
    (void)H5Oclose(id);
    (void)H5Eclear2(H5E_DEFAULT);
    return st;
}

/* ---- names ---- */

typedef struct collector {
    spx_h5_names *names;
    size_t room;
} collector;

static herr_t collect(hid_t group, const char *name, const H5O_info_t *info, void *context)
{
    collector *c = context;
    (void)group;
    if (info->type != H5O_TYPE_DATASET) {
        return 0;
    }
    if (SPX_GROW(c->names->name, c->names->count, c->room) != SPX_OK) {
        return -1;
    }
    c->names->name[c->names->count] = strdup(name);
    return c->names->name[c->names->count++] != NULL ? 0 : -1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

spx_status spx_h5_list(const spx_h5 *f, const char *group, spx_h5_names *names)
{
    collector c = {names, 0};
    const hid_t id = open_object(f, group);
    spx_status st = SPX_OK;
    *names = (spx_h5_names){0};
    if (id < 0 || H5Iget_type(id) != H5I_GROUP) {
        st = SPX_FAIL(SPX_ENOTFOUND, "%s: no group '%s'", f->name, group);
    } else if (H5Ovisit(id, H5_INDEX_NAME, H5_ITER_INC, collect, &c) < 0) {
        st = SPX_H5_FAIL(SPX_EFORMAT, "%s: group '%s' cannot be listed", f->name, group);
    }
    if (id >= 0) {
        (void)H5Oclose(id);
    }
    (void)H5Eclear2(H5E_DEFAULT);
    if (st != SPX_OK) {
        spx_h5_names_clear(names);
    } else if (names->count > 0) {
        qsort(names->name, names->count, sizeof *names->name, by_name);
    }
    return st;
}

void spx_h5_names_clear(spx_h5_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->name[i]);
    }
    free(names->name);
    *names = (spx_h5_names){0};
}

/* ---- attributes ---- */

/* An open attribute with its type and shape; close_attr takes a half-built one. */
typedef struct attribute {
    hid_t id, type, space;
    spx_h5_info info;
} attribute;

static void close_attr(attribute *a)
{
    (void)H5Sclose(a->space);
    (void)H5Tclose(a->type);
    (void)H5Aclose(a->id);
    (void)H5Eclear2(H5E_DEFAULT);
}

static hid_t attr_id(const spx_h5 *f, const char *object, const char *attr)
{
    spx_h5_quiet();
    return H5Aopen_by_name(f->file, object[0] != '\0' ? object : "/", attr, H5P_DEFAULT, f->lapl);
}

bool spx_h5_has_attr(const spx_h5 *f, const char *object, const char *attr)
{
    const hid_t id = attr_id(f, object, attr);
    (void)H5Aclose(id);
    (void)H5Eclear2(H5E_DEFAULT);
    return id >= 0;
}

static spx_status open_attr(const spx_h5 *f, const char *object, const char *attr, attribute *a)
{
    spx_status st = SPX_OK;
    size_t bytes;
    *a = (attribute){.id = attr_id(f, object, attr), .type = -1, .space = -1};
    if (a->id < 0) {
        st = SPX_FAIL(SPX_ENOTFOUND, "%s: '%s' has no attribute '%s'", f->name, object, attr);
    } else {
        a->type = H5Aget_type(a->id);
        a->space = H5Aget_space(a->id);
        if (a->type < 0 || a->space < 0) {
            st = SPX_H5_FAIL(SPX_EFORMAT, "%s: attribute '%s' cannot be read", f->name, attr);
        } else {
            a->info.type = type_of(a->type);
            st = read_space(f->name, attr, a->space, H5Tget_size(a->type), &a->info, &bytes);
        }
    }
    if (st != SPX_OK) {
        close_attr(a);
    }
    return st;
}

spx_status spx_h5_read_attr(const spx_h5 *f, const char *object, const char *attr, spx_h5_type as,
                            void *dst, size_t max, size_t *count)
{
    attribute a;
    spx_status st = SPX_OK;
    if ((unsigned)as >= SPX_H5_OTHER) {
        return SPX_FAIL(SPX_EINVAL, "h5 attribute: element type %d", (int)as);
    }
    SPX_RETURN_IF(open_attr(f, object, attr, &a));
    if (a.info.count > max || (count == NULL && a.info.count != max)) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: attribute '%s' has %zu values, expected %s%zu", f->name,
                      attr, a.info.count, count == NULL ? "" : "at most ", max);
    } else if (!converts(a.info.type, as)) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: attribute '%s' has an unexpected type", f->name, attr);
    } else if (a.info.count > 0 && H5Aread(a.id, spx_h5_memory_type(as), dst) < 0) {
        st = SPX_H5_FAIL(SPX_EFORMAT, "%s: attribute '%s' cannot be read", f->name, attr);
    } else if (count != NULL) {
        *count = a.info.count;
    }
    close_attr(&a);
    return st;
}

/* Variable-length text: libhdf5 allocates it, so it is copied and handed back. */
static spx_status read_variable(const attribute *a, char **out)
{
    const hid_t type = H5Tcopy(a->type);
    char *text = NULL;
    void *copy = NULL;
    spx_status st = SPX_EFORMAT;
    if (type >= 0 && H5Aread(a->id, type, &text) >= 0) {
        const size_t n = text != NULL ? strlen(text) : 0;
        st = spx_calloc(&copy, n + 1, 1);
        if (st == SPX_OK && n > 0) {
            memcpy(copy, text, n);
        }
        (void)H5free_memory(text);
    }
    (void)H5Tclose(type);
    *out = copy;
    return st;
}

static spx_status read_fixed(const spx_h5 *f, const attribute *a, char **out)
{
    const size_t n = H5Tget_size(a->type);
    void *copy = NULL;
    spx_status st;
    if (n > f->bytes) {
        return SPX_EFORMAT;
    }
    SPX_RETURN_IF(spx_calloc(&copy, n + 1, 1));
    st = H5Aread(a->id, a->type, copy) >= 0 ? SPX_OK : SPX_EFORMAT;
    if (st != SPX_OK) {
        spx_free(copy);
        copy = NULL;
    }
    *out = copy;
    return st;
}

spx_status spx_h5_read_text(const spx_h5 *f, const char *object, const char *attr, char **out)
{
    attribute a;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(open_attr(f, object, attr, &a));
    if (H5Tget_class(a.type) != H5T_STRING || a.info.count != 1) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: attribute '%s' is not one string", f->name, attr);
    } else {
        st = H5Tis_variable_str(a.type) > 0 ? read_variable(&a, out) : read_fixed(f, &a, out);
        if (st == SPX_EFORMAT) {
            st = SPX_H5_FAIL(SPX_EFORMAT, "%s: attribute '%s' cannot be read", f->name, attr);
        }
    }
    close_attr(&a);
    return st;
}
