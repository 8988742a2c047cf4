/*
 * Writing a file with one dataset apart. libhdf5 writes into sparse memory, where that dataset is a
 * hole: so a full disk cannot leave libhdf5 with a broken file, and memory holds the rest alone.
 */
#include "host/h5/h5_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ROOM_BYTES ((size_t)4 << 20)
#define CHUNK_BYTES ((hsize_t)1 << 20)
#define MAX_CHUNK_BYTES UINT32_MAX /* the file format's limit */
#define MAX_BYTES ((size_t)1 << 50)

/* The format that has chunks without an index, and no times in it. */
static bool start_image(spx_h5_out *w)
{
    char unique[32]; /* libhdf5 tells files apart by name */
    const hid_t fapl = H5Pcreate(H5P_FILE_ACCESS), fcpl = H5Pcreate(H5P_FILE_CREATE);
    bool ok;
    (void)snprintf(unique, sizeof unique, "%p", (void *)w);
    ok = fapl >= 0 && fcpl >= 0 && spx_h5_sparse_use(&w->sparse, fapl) &&
         H5Pset_libver_bounds(fapl, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0 &&
         H5Pset_obj_track_times(fcpl, false) >= 0 && spx_h5_set_up(w, unique, fapl, fcpl);
    (void)H5Pclose(fcpl);
    (void)H5Pclose(fapl);
    return ok;
}

static bool chunks_of(int rank, const int64_t *dims, hsize_t *extent, hsize_t *chunk, size_t *bytes)
{
    size_t row = 1;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 1 || (i > 0 && !spx_mul_size(row, (size_t)dims[i], &row))) {
            return false;
        }
        extent[i] = (hsize_t)dims[i];
        chunk[i] = i == 0 ? 1 : extent[i];
    }
    if (rank == 1) {
        chunk[0] = extent[0] < CHUNK_BYTES ? extent[0] : CHUNK_BYTES;
    }
    return row <= MAX_CHUNK_BYTES && spx_mul_size(row, (size_t)dims[0], bytes) &&
           *bytes <= MAX_BYTES;
}

/* Reserves the chunks; they lie at once where they stay. */
static spx_status add_apart(spx_h5_out *w, const char *name, int rank, const hsize_t *extent,
                            const hsize_t *chunk)
{
    static const hsize_t first[SPX_H5_MAX_RANK];
    const hid_t plist = H5Pcopy(w->dcpl), space = H5Screate_simple(rank, extent, NULL);
    haddr_t at = HADDR_UNDEF;
    hsize_t size;
    hid_t id = -1;
    spx_status st = SPX_OK;
    if (plist >= 0 && space >= 0 && H5Pset_chunk(plist, rank, chunk) >= 0 &&
        H5Pset_alloc_time(plist, H5D_ALLOC_TIME_EARLY) >= 0) {
        id = H5Dcreate2(w->file, name, H5T_STD_U8LE, space, w->lcpl, plist, H5P_DEFAULT);
    }
    if (id < 0 || H5Dget_chunk_info_by_coord(id, first, NULL, &at, &size) < 0 ||
        at == HADDR_UNDEF) {
        st = SPX_H5_FAIL(SPX_EINVAL, "h5 add '%s'", name);
    }
    w->apart.start = at;
    (void)H5Dclose(id);
    (void)H5Sclose(space);
    (void)H5Pclose(plist);
    (void)H5Eclear2(H5E_DEFAULT);
    return st;
}

spx_status spx_h5_create_apart(spx_h5_out **out, const char *name, int rank, const int64_t *dims)
{
    hsize_t extent[SPX_H5_MAX_RANK], chunk[SPX_H5_MAX_RANK];
    size_t bytes;
    spx_h5_out *w;
    void *memory;
    spx_status st = SPX_OK;
    *out = NULL;
    if (rank < 1 || rank > SPX_H5_MAX_RANK || !chunks_of(rank, dims, extent, chunk, &bytes)) {
        return SPX_FAIL(SPX_EINVAL, "h5 add '%s': bad dimensions", name);
    }
    SPX_RETURN_IF(spx_alloc(&memory, sizeof *w));
    w = memory;
    *w = (spx_h5_out){.file = -1, .lcpl = -1, .dcpl = -1, .gcpl = -1, .text = -1};
    w->apart.length = bytes;
    spx_h5_quiet();
    SPX_TRY(st, spx_memory_room(name, ROOM_BYTES), done);
    if (!start_image(w)) {
        st = SPX_H5_FAIL(SPX_EIO, "h5: cannot start an image in memory");
    } else {
        st = add_apart(w, name, rank, extent, chunk);
    }
done:
    if (st != SPX_OK) {
        spx_h5_discard(w);
        return st;
    }
    *out = w;
    return SPX_OK;
}

spx_status spx_h5_add_link(spx_h5_out *w, const char *name, const char *file)
{
    spx_h5_quiet();
    SPX_RETURN_IF(spx_h5_add_groups(w, name));
    if (H5Lcreate_external(file, "/", w->file, name, w->lcpl, H5P_DEFAULT) < 0) {
        return SPX_H5_FAIL(SPX_EINVAL, "h5 link '%s'", name);
    }
    return SPX_OK;
}

spx_status spx_h5_finish_apart(spx_h5_out *w, char hex[SPX_H5_DIGEST_CHARS])
{
    const uint64_t end = w->apart.start + w->apart.length;
    size_t tail;
    herr_t closed;
    spx_h5_quiet();
    closed = H5Fclose(w->file);
    w->file = -1;
    if (closed < 0 || w->sparse.end < end) {
        return SPX_H5_FAIL(SPX_EIO, "h5: cannot finish the HDF5 image");
    }
    w->image = (size_t)w->sparse.end;
    tail = (size_t)(w->image - end);
    SPX_RETURN_IF(spx_alloc(&w->outside, (size_t)w->apart.start + tail));
    spx_h5_sparse_read(&w->sparse, 0, w->outside, (size_t)w->apart.start);
    spx_h5_sparse_read(&w->sparse, end, (unsigned char *)w->outside + w->apart.start, tail);
    SPX_RETURN_IF(spx_h5_trailer_make(w->outside, w->image, &w->apart, w->trailer));
    spx_h5_trailer_digest(w->trailer, hex);
    return SPX_OK;
}

/* What goes into the file, in order. */
typedef struct contents {
    const spx_h5_out *w;
    spx_h5_write_fn write;
    void *ctx;
} contents;

static spx_status put(int fd, const char *path, const void *data, size_t n)
{
    return spx_write_fully(fd, data, n)
               ? SPX_OK
               : SPX_FAIL(SPX_EIO, "%s: cannot write: %s", path, strerror(errno));
}

static spx_status fill(void *ctx, int fd, const char *path)
{
    const contents *c = ctx;
    const spx_h5_out *w = c->w;
    const size_t head = (size_t)w->apart.start;
    SPX_RETURN_IF(put(fd, path, w->outside, head));
    SPX_RETURN_IF(c->write(c->ctx, fd, path));
    SPX_RETURN_IF(put(fd, path, (const unsigned char *)w->outside + head,
                      w->image - head - (size_t)w->apart.length));
    return put(fd, path, w->trailer, sizeof w->trailer);
}

spx_status spx_h5_commit_apart(spx_h5_out *w, const char *path, spx_h5_write_fn write, void *ctx)
{
    return spx_file_replace_by(path, fill, &(contents){w, write, ctx});
}
