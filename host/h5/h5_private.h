#ifndef SPX_H5_PRIVATE_H
#define SPX_H5_PRIVATE_H
/* Shared by the files of this folder; the only header here that shows libhdf5. */
#include "host/h5/h5_file.h"

#include <hdf5.h>
#include <sys/stat.h>

#define SPX_H5_TRAILER_BYTES 64
#define SPX_H5_DIGEST_BYTES 32

/* What a trailer says. */
typedef struct spx_h5_sum {
    unsigned char digest[SPX_H5_DIGEST_BYTES]; /* zero where there is none */
    spx_h5_range apart;
} spx_h5_sum;

struct spx_h5 {
    hid_t file, lapl;
    size_t bytes; /* of the file */
    bool memory;  /* opened from memory: it has no descriptor */
    spx_h5_sum sum;
    char name[];
};

/* Memory that libhdf5 writes a file into; pages without data are NULL. */
typedef struct spx_h5_sparse {
    hid_t driver;
    uint64_t end; /* of the file */
    unsigned char **page;
    size_t pages;
} spx_h5_sparse;

/** Has files that are opened with fapl written into m; false on failure. */
bool spx_h5_sparse_use(spx_h5_sparse *m, hid_t fapl);
void spx_h5_sparse_read(const spx_h5_sparse *m, uint64_t at, void *to, size_t n);
/** Takes a zeroed one; the file is closed. */
void spx_h5_sparse_clear(spx_h5_sparse *m);

struct spx_h5_out {
    hid_t file, lcpl, dcpl, gcpl, text;
    size_t bytes; /* of the data added */
    bool secret;
    spx_h5_range apart;   /* where the bytes of the dataset apart belong; else length 0 */
    spx_h5_sparse sparse; /* the image, then */
    void *outside;        /* the image's other bytes, once it is finished */
    size_t image;         /* its bytes, with the dataset's */
    unsigned char trailer[SPX_H5_TRAILER_BYTES];
};

/** Begins the image in an empty writer; false on failure. */
bool spx_h5_set_up(spx_h5_out *w, const char *target, hid_t fapl, hid_t fcpl);

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

/** Makes the groups on the way to name that are not there, without the time of libhdf5's own. */
SPX_MUST_CHECK spx_status spx_h5_add_groups(spx_h5_out *w, const char *name);

/**
 * Fills the 64 bytes that follow an image.
 * @param bytes  the image without what is apart
 * @param size   of the whole image
 */
SPX_MUST_CHECK spx_status spx_h5_trailer_make(const void *bytes, size_t size,
                                              const spx_h5_range *apart,
                                              unsigned char trailer[SPX_H5_TRAILER_BYTES]);

/** The digest in a trailer, in hexadecimal. */
void spx_h5_trailer_digest(const unsigned char *trailer, char hex[SPX_H5_DIGEST_CHARS]);

/**
 * Verifies the checksum of an open file or (fd < 0) of bytes in memory.
 * @param size  bytes with the trailer
 * @param sum   receives what it says
 * @return SPX_OK, SPX_EIO, SPX_EFORMAT
 */
SPX_MUST_CHECK spx_status spx_h5_trailer_check(const char *name, int fd, const unsigned char *data,
                                               size_t size, spx_h5_trust trust, spx_h5_sum *sum);

#endif
