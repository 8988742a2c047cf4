/* Writing: the image grows in memory, so that a full disk cannot leave libhdf5 with
 * a broken file. */
#include "host/h5/h5_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <stdio.h>
#include <string.h>

#define GROWTH_BYTES ((size_t)4 << 20)

bool spx_h5_set_up(spx_h5_out *w, const char *target, hid_t fapl, hid_t fcpl)
{
    w->lcpl = H5Pcreate(H5P_LINK_CREATE);
    w->dcpl = H5Pcreate(H5P_DATASET_CREATE);
    w->gcpl = H5Pcreate(H5P_GROUP_CREATE);
    w->text = H5Tcopy(H5T_C_S1);
    if (fapl >= 0 && fcpl >= 0 && w->lcpl >= 0 && w->dcpl >= 0 && w->gcpl >= 0 && w->text >= 0 &&
        H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG) >= 0 &&
        H5Pset_create_intermediate_group(w->lcpl, 1) >= 0 &&
        H5Pset_layout(w->dcpl, H5D_CONTIGUOUS) >= 0 &&
        H5Pset_fill_time(w->dcpl, H5D_FILL_TIME_NEVER) >= 0 &&
        /* No times in the file: equal contents, equal bytes. */
        H5Pset_obj_track_times(w->dcpl, false) >= 0 &&
        H5Pset_obj_track_times(w->gcpl, false) >= 0 && H5Tset_size(w->text, H5T_VARIABLE) >= 0 &&
        H5Tset_cset(w->text, H5T_CSET_UTF8) >= 0) {
        w->file = H5Fcreate(target, H5F_ACC_TRUNC, fcpl, fapl);
    }
    return w->file >= 0;
}

spx_status spx_h5_create(spx_h5_out **out)
{
    char unique[32]; /* libhdf5 tells files in memory apart by name */
    spx_status st;
    void *p;
    spx_h5_out *w;
    hid_t fapl = -1;
    *out = NULL;
    SPX_RETURN_IF(spx_alloc(&p, sizeof *w));
    w = p;
    *w = (spx_h5_out){.file = -1, .lcpl = -1, .dcpl = -1, .gcpl = -1, .text = -1};
    spx_h5_quiet();
    st = spx_memory_room("h5", GROWTH_BYTES);
    if (st == SPX_OK) {
        (void)snprintf(unique, sizeof unique, "%p", (void *)w);
        fapl = H5Pcreate(H5P_FILE_ACCESS);
        if (H5Pset_fapl_core(fapl, GROWTH_BYTES, false) < 0 ||
            !spx_h5_set_up(w, unique, fapl, H5P_DEFAULT)) {
            st = SPX_H5_FAIL(SPX_EIO, "h5: cannot start an image in memory");
        }
        (void)H5Pclose(fapl);
    }
    if (st != SPX_OK) {
        spx_h5_discard(w);
        return st;
    }
    *out = w;
    return SPX_OK;
}

void spx_h5_discard(spx_h5_out *w)
{
    if (w == NULL) {
        return;
    }
    (void)H5Fclose(w->file);
    (void)H5Tclose(w->text);
    (void)H5Pclose(w->gcpl);
    (void)H5Pclose(w->dcpl);
    (void)H5Pclose(w->lcpl);
    (void)H5Eclear2(H5E_DEFAULT);
    spx_h5_sparse_clear(&w->sparse);
    spx_free(w->outside);
    spx_free(w);
}

spx_status spx_h5_add_groups(spx_h5_out *w, const char *name)
{
    char group[256];
    for (const char *end = strchr(name, '/'); end != NULL; end = strchr(end + 1, '/')) {
        hid_t id = -1;
        (void)snprintf(group, sizeof group, "%.*s", (int)(end - name), name);
        if (H5Lexists(w->file, group, H5P_DEFAULT) == 0) {
            id = H5Gcreate2(w->file, group, H5P_DEFAULT, w->gcpl, H5P_DEFAULT);
            if (id < 0) {
                return SPX_H5_FAIL(SPX_EINVAL, "h5 group '%s'", group);
            }
            (void)H5Gclose(id);
        }
    }
    return SPX_OK;
}

spx_status spx_h5_add(spx_h5_out *w, const char *name, spx_h5_type type, int rank,
                      const int64_t *dims, const void *data)
{
    hsize_t extent[SPX_H5_MAX_RANK];
    size_t bytes = 1;
    hid_t space, id = -1;
    spx_status st = SPX_OK;
    if ((unsigned)type >= SPX_H5_OTHER || type == SPX_H5_F16 || rank < 0 ||
        rank > SPX_H5_MAX_RANK || name[0] == '\0') {
        return SPX_FAIL(SPX_EINVAL, "h5 add '%s': type %d, rank %d", name, (int)type, rank);
    }
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0 || !spx_mul_size(bytes, (size_t)dims[i], &bytes)) {
            return SPX_FAIL(SPX_EINVAL, "h5 add '%s': bad dimension %d", name, i);
        }
        extent[i] = (hsize_t)dims[i];
    }
    if (bytes > SIZE_MAX / 16) {
        return SPX_FAIL(SPX_EINVAL, "h5 add '%s': absurd size", name);
    }
    bytes *= H5Tget_size(spx_h5_memory_type(type));
    SPX_RETURN_IF(spx_memory_room(name, w->bytes + bytes + GROWTH_BYTES));
    w->bytes += bytes;
    spx_h5_quiet();
    if (w->apart.length > 0) {
        SPX_RETURN_IF(spx_h5_add_groups(w, name));
    }
    space = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, extent, NULL);
    if (space >= 0) {
        id = H5Dcreate2(w->file, name, spx_h5_disk_type(type, false), space, w->lcpl, w->dcpl,
                        H5P_DEFAULT);
    }
    if (id < 0) {
        st = SPX_H5_FAIL(SPX_EINVAL, "h5 add '%s'", name);
    } else if (bytes > 0 &&
               H5Dwrite(id, spx_h5_memory_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
        st = SPX_H5_FAIL(SPX_ENOMEM, "h5 add '%s'", name);
    }
    (void)H5Dclose(id);
    (void)H5Sclose(space);
    (void)H5Eclear2(H5E_DEFAULT);
    return st;
}

/* Consumes space. */
static spx_status write_attr(spx_h5_out *w, const char *object, const char *attr, hid_t disk,
                             hid_t memory, hid_t space, const void *data)
{
    hid_t id = -1;
    spx_status st = spx_memory_room(attr, 0);
    if (st != SPX_OK) {
        (void)H5Sclose(space);
        return st;
    }
    spx_h5_quiet();
    if (space >= 0) {
        id = H5Acreate_by_name(w->file, object[0] != '\0' ? object : "/", attr, disk, space,
                               H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    }
    if (id < 0 || H5Awrite(id, memory, data) < 0) {
        st = SPX_H5_FAIL(SPX_EINVAL, "h5 attribute '%s' of '%s'", attr, object);
    }
    (void)H5Aclose(id);
    (void)H5Sclose(space);
    (void)H5Eclear2(H5E_DEFAULT);
    return st;
}

spx_status spx_h5_add_attr(spx_h5_out *w, const char *object, const char *attr, spx_h5_type type,
                           size_t count, const void *data)
{
    const hsize_t extent = count;
    if ((unsigned)type >= SPX_H5_OTHER || type == SPX_H5_F16 || count == 0) {
        return SPX_FAIL(SPX_EINVAL, "h5 attribute '%s': type %d, %zu values", attr, (int)type,
                        count);
    }
    return write_attr(w, object, attr, spx_h5_disk_type(type, false), spx_h5_memory_type(type),
                      count == 1 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &extent, NULL),
                      data);
}

spx_status spx_h5_add_text(spx_h5_out *w, const char *object, const char *attr, const char *text)
{
    return write_attr(w, object, attr, w->text, w->text, H5Screate(H5S_SCALAR), &text);
}

void spx_h5_secret(spx_h5_out *w)
{
    w->secret = true;
}

spx_status spx_h5_commit(spx_h5_out *w, const char *path)
{
    unsigned char trailer[SPX_H5_TRAILER_BYTES];
    ssize_t size = -1;
    void *image = NULL;
    spx_status st;
    SPX_RETURN_IF(spx_memory_room(path, w->bytes));
    spx_h5_quiet();
    if (H5Fflush(w->file, H5F_SCOPE_GLOBAL) >= 0) {
        size = H5Fget_file_image(w->file, NULL, 0);
    }
    if (size <= 0) {
        return SPX_H5_FAIL(SPX_EIO, "%s: cannot finish the HDF5 image", path);
    }
    SPX_RETURN_IF(spx_alloc(&image, (size_t)size));
    if (H5Fget_file_image(w->file, image, (size_t)size) != size) {
        st = SPX_H5_FAIL(SPX_EIO, "%s: cannot finish the HDF5 image", path);
    } else {
        st = spx_h5_trailer_make(image, (size_t)size, &(spx_h5_range){0}, trailer);
    }
    if (st == SPX_OK) {
        const spx_span parts[] = {{image, (size_t)size}, {trailer, sizeof trailer}};
        st = w->secret ? spx_file_replace_secret(path, parts, 2) : spx_file_replace(path, parts, 2);
    }
    spx_free(image);
    return st;
}
