#ifndef SPX_H5_FILE_H
#define SPX_H5_FILE_H
/*
 * HDF5 files, read and written through bounds-checked calls that return spx_status.
 *
 * A file written here is an ordinary HDF5 image followed by 64 bytes that HDF5 readers ignore:
 *   "SPXSUM01", u64 little-endian length of the image, BLAKE2b-256 of the image, 16 zero bytes.
 * The digest is verified before libhdf5 parses a byte, so a truncated or damaged file is refused
 * without trusting the parser. (It catches accidents, not forgers: it is no signature.)
 *
 * One dataset may be kept apart: too large to be read whole, its bytes lie in one range that the
 * digest leaves out, and have checksums of their owner's. Then the trailer is "SPXSUM02", length,
 * BLAKE2b-256 of all bytes outside the range and of its place, u64 start and u64 length of the
 * range (little-endian).
 *
 * libhdf5 is not reentrant: calls of this header come from one thread at a time, over all files.
 * Names are HDF5 paths without a leading slash ("param/net.stem.0.weight"); "" is the root group.
 */
#include "kernels/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPX_H5_MAX_RANK 8

typedef enum spx_h5_type {
    SPX_H5_U8,
    SPX_H5_U16,
    SPX_H5_I32,
    SPX_H5_U32,
    SPX_H5_I64,
    SPX_H5_F16, /* 16 bits (IEEE half, bfloat16): read as f32 or f64, not written */
    SPX_H5_F32,
    SPX_H5_F64,
    SPX_H5_OTHER /* stored type without a row above (strings, structs); not readable */
} spx_h5_type;

/** What a dataset is. A scalar has rank 0 and count 1. */
typedef struct spx_h5_info {
    spx_h5_type type;
    int rank; /* 0..SPX_H5_MAX_RANK */
    int64_t dims[SPX_H5_MAX_RANK];
    size_t count; /* product of dims; count * element size is covered by the file, so safe to
                     allocate */
} spx_h5_info;

/* ---- reading ---- */

typedef struct spx_h5 spx_h5;

typedef enum spx_h5_trust {
    SPX_H5_CHECKED, /* the checksum is required */
    SPX_H5_FOREIGN /* files of other programs are accepted; a checksum that is there still counts */
} spx_h5_trust;

/**
 * Opens path read-only: a file, or a stream, which is read into memory. Messages of this and all
 * calls below name the file, and dataset or attribute.
 * @return SPX_OK, SPX_ENOTFOUND, SPX_EIO, SPX_EFORMAT (no HDF5, truncated, checksum), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_h5_open(spx_h5 **out, const char *path, spx_h5_trust trust);

/** The same of a file in memory. @param name for messages; @param data copied */
SPX_MUST_CHECK spx_status spx_h5_open_image(spx_h5 **out, const char *name, const void *data,
                                            size_t size, spx_h5_trust trust);

void spx_h5_close(spx_h5 *f); /* NULL is a no-op */

/** The path or name given at opening; owned by f. */
const char *spx_h5_name(const spx_h5 *f);

/** The file's verified BLAKE2b-256 in hexadecimal: what its content is known by; "" without one. */
#define SPX_H5_DIGEST_CHARS 65
void spx_h5_digest(const spx_h5 *f, char hex[SPX_H5_DIGEST_CHARS]);

/**
 * The same of a closed file, as its trailer says it: nothing else is read, nothing verified.
 * @return SPX_OK (hex is "" where there is no checksum), SPX_ENOTFOUND, SPX_EIO
 */
SPX_MUST_CHECK spx_status spx_h5_file_digest(const char *path, char hex[SPX_H5_DIGEST_CHARS]);

/** A range of a file's bytes; length 0: none. */
typedef struct spx_h5_range {
    uint64_t start, length;
} spx_h5_range;

/** The bytes of the dataset kept apart: they lie in the file, and nobody has verified them. */
spx_h5_range spx_h5_apart(const spx_h5 *f);

/** Where a dataset's bytes lie that are stored in one piece, uncompressed, of one byte each.
 * @return SPX_OK, SPX_ENOTFOUND, SPX_EFORMAT (stored otherwise) */
SPX_MUST_CHECK spx_status spx_h5_place(const spx_h5 *f, const char *name, spx_h5_range *range);

/**
 * A descriptor of the very file that was opened, for pread; the caller closes it, f may be closed.
 * @return SPX_OK, SPX_EUNSUPPORTED (a stream, bytes in memory), SPX_EIO
 */
SPX_MUST_CHECK spx_status spx_h5_descriptor(const spx_h5 *f, int *fd);

/** True if a dataset of that name exists (false for groups). */
bool spx_h5_has(const spx_h5 *f, const char *name);

/**
 * @return SPX_OK, SPX_ENOTFOUND, SPX_EFORMAT (not a dataset, rank above SPX_H5_MAX_RANK, dims that
 * the file's bytes cannot cover, data in another file)
 */
SPX_MUST_CHECK spx_status spx_h5_stat(const spx_h5 *f, const char *name, spx_h5_info *info);

/**
 * Reads a whole dataset in C order. Integers are read as an integer type that holds every value of
 * the stored type (u8 as any other; i32 as i64), floats as f32 (rounded) or f64; nothing
 * else.
 * @param dst    count elements of type as, owned by the caller; undefined on failure
 * @param count  must equal the stored count
 * @return SPX_OK, SPX_ENOTFOUND, SPX_EFORMAT (count, type, unreadable), SPX_EINVAL
 */
SPX_MUST_CHECK spx_status spx_h5_read(const spx_h5 *f, const char *name, spx_h5_type as, void *dst,
                                      size_t count);

/** Paths of datasets; clear with spx_h5_names_clear. */
typedef struct spx_h5_names {
    char **name; /* [count], in strcmp order */
    size_t count;
} spx_h5_names;

/**
 * Lists the datasets below a group, all levels, as paths relative to it.
 * @return SPX_OK, SPX_ENOTFOUND (no such group), SPX_EFORMAT, SPX_ENOMEM; on failure names is empty
 */
SPX_MUST_CHECK spx_status spx_h5_list(const spx_h5 *f, const char *group, spx_h5_names *names);
void spx_h5_names_clear(spx_h5_names *names); /* leaves it empty; takes an empty one */

/** True if the group or dataset at object has that attribute. */
bool spx_h5_has_attr(const spx_h5 *f, const char *object, const char *attr);

/**
 * Reads a numeric attribute (scalar or array) under the rules of spx_h5_read.
 * @param dst    room for max elements of type as
 * @param count  receives how many were stored; more than max is SPX_EFORMAT. NULL: exactly max
 */
SPX_MUST_CHECK spx_status spx_h5_read_attr(const spx_h5 *f, const char *object, const char *attr,
                                           spx_h5_type as, void *dst, size_t max, size_t *count);

/**
 * Reads a string attribute.
 * @param out  receives the text, NUL-terminated; free with spx_free. NULL on failure
 */
SPX_MUST_CHECK spx_status spx_h5_read_text(const spx_h5 *f, const char *object, const char *attr,
                                           char **out);

/* ---- writing ---- */

/** A file being built in memory; nothing touches the disk before spx_h5_commit. */
typedef struct spx_h5_out spx_h5_out;

/** @return SPX_OK, SPX_ENOMEM, SPX_EIO */
SPX_MUST_CHECK spx_status spx_h5_create(spx_h5_out **out);

/**
 * The same with one dataset kept apart, which may be larger than memory: u8, in chunks that lie one
 * after another, so that its bytes are in the file in its own order. The rest is built in memory.
 * @param name   of the dataset; groups on the way must be the root
 * @param rank   1..SPX_H5_MAX_RANK; dims [rank], each >= 1. With rank 1 chunks have 1 MiB, with
 * more one row of the first dimension (below 4 GiB)
 * @return SPX_OK, SPX_EINVAL, SPX_ENOMEM, SPX_EIO
 */
SPX_MUST_CHECK spx_status spx_h5_create_apart(spx_h5_out **out, const char *name, int rank,
                                              const int64_t *dims);

/** A link by which HDF5 readers find another file's root. @param file  relative to this file's
 * folder @return SPX_OK, SPX_EINVAL */
SPX_MUST_CHECK spx_status spx_h5_add_link(spx_h5_out *w, const char *name, const char *file);

/**
 * Ends a file with a dataset apart, but for that one's bytes: nothing can be added any more.
 * @param hex  receives its digest
 * @return SPX_OK, SPX_ENOMEM, SPX_EIO
 */
SPX_MUST_CHECK spx_status spx_h5_finish_apart(spx_h5_out *w, char hex[SPX_H5_DIGEST_CHARS]);

/** Writes a dataset's bytes, as many as its dims say, to fd; path is for messages. */
typedef spx_status (*spx_h5_write_fn)(void *ctx, int fd, const char *path);

/** spx_h5_commit after spx_h5_finish_apart; write gives what is apart. @return also what write
 * returns */
SPX_MUST_CHECK spx_status spx_h5_commit_apart(spx_h5_out *w, const char *path,
                                              spx_h5_write_fn write, void *ctx);

/**
 * Adds a contiguous dataset; missing groups on the way are made.
 * @param type  any but SPX_H5_OTHER; stored little-endian
 * @param rank  0 (scalar) .. SPX_H5_MAX_RANK; dims [rank], each >= 0
 * @param data  product of dims elements in C order; copied
 * @return SPX_OK, SPX_EINVAL (name taken, bad dims), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_h5_add(spx_h5_out *w, const char *name, spx_h5_type type, int rank,
                                     const int64_t *dims, const void *data);

/**
 * Adds a numeric attribute to an existing object. @param count 1 stores a scalar; more a 1-D array.
 * HDF5 limits an attribute to 64 KiB.
 */
SPX_MUST_CHECK spx_status spx_h5_add_attr(spx_h5_out *w, const char *object, const char *attr,
                                          spx_h5_type type, size_t count, const void *data);

/** Adds a UTF-8 string attribute to an existing object. */
SPX_MUST_CHECK spx_status spx_h5_add_text(spx_h5_out *w, const char *object, const char *attr,
                                          const char *text);

/** The file is to be its owner's only: written by spx_file_replace_secret. */
void spx_h5_secret(spx_h5_out *w);

/**
 * Ends the file: image and checksum replace path as spx_file_replace does. Equal contents give
 * equal bytes. w stays the caller's, to be given to spx_h5_discard.
 * @return SPX_OK, SPX_ENOMEM, SPX_EIO
 */
SPX_MUST_CHECK spx_status spx_h5_commit(spx_h5_out *w, const char *path);

void spx_h5_discard(spx_h5_out *w); /* NULL is a no-op */

#endif
