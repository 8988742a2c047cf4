#ifndef SPX_H5_PRIVATE_H
#define SPX_H5_PRIVATE_H
/* Shared by the files of this folder; the only header here that shows libhdf5. */
#include "host/h5/h5_file.h"

#include <hdf5.h>
#include <sys/stat.h>

#define SPX_H5_TRAILER_BYTES 64
#define SPX_H5_DIGEST_BYTES 32

struct spx_h5 {
    hid_t file, lapl;
    size_t bytes; /* of the file */
    unsigned char digest[SPX_H5_DIGEST_BYTES];
    char name[];
};

/** Opens path for reading, with further flags of open, and describes it; SPX_ENOTFOUND, SPX_EIO. */
SPX_MUST_CHECK spx_status spx_h5_open_plain(const char *path, int flags, int *fd,
                                            struct stat *info);

/**
 * Silences libhdf5 for the calling thread (a threadsafe build keeps this per thread, so every entry
 * calls it) and forbids it to load filter plugins named by a file.
 */
void spx_h5_quiet(void);

/** Records "<fmt...>: <libhdf5's innermost reason>", if it has one; returns st. */
spx_status spx_h5_fail(spx_status st, const char *file, int line, const char *fmt, ...)
    SPX_PRINTF(4, 5);
#define SPX_H5_FAIL(st, ...) spx_h5_fail((st), __FILE__, __LINE__, __VA_ARGS__)

/** In-memory and little-endian on-disk type; -1 for SPX_H5_OTHER. Borrowed, not to be closed. */
hid_t spx_h5_memory_type(spx_h5_type type);
hid_t spx_h5_disk_type(spx_h5_type type, bool big_endian);

/** Fills the 64 bytes that follow an image. */
SPX_MUST_CHECK spx_status spx_h5_trailer_make(const void *image, size_t size,
                                              unsigned char trailer[SPX_H5_TRAILER_BYTES]);

/**
 * Verifies the checksum of an open file or (fd < 0) of bytes in memory.
 * @param size  bytes with the trailer
 * @param digest  receives the checksum; zero where there is none
 * @return SPX_OK, SPX_EIO, SPX_EFORMAT
 */
SPX_MUST_CHECK spx_status spx_h5_trailer_check(const char *name, int fd, const unsigned char *data,
                                               size_t size, spx_h5_trust trust,
                                               unsigned char digest[SPX_H5_DIGEST_BYTES]);

#endif
