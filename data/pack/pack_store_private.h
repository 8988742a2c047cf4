#ifndef SPX_PACK_STORE_PRIVATE_H
#define SPX_PACK_STORE_PRIVATE_H
/* Shared by the files that read and write stored pictures. */
#include "data/pack/pack_store.h"
#include "host/h5/h5_file.h"

#define SPX_PACK_FORMAT "sphynx-pack"
#define SPX_SHARD_FORMAT "sphynx-pack-shard"
#define SPX_PART_SUFFIX ".part"
#define SPX_STORE_CHANNELS 3 /* at most */

/** Exact sums over a split's pixels. 2^48 pixels are far: below that no sum overflows. */
typedef struct spx_store_moments {
    uint64_t pixels, sum[SPX_STORE_CHANNELS], squares[SPX_STORE_CHANNELS];
} spx_store_moments;
#define SPX_STORE_MOMENTS (1 + 2 * SPX_STORE_CHANNELS)

/** Adds an image's pixels. */
void spx_store_moments_add(spx_store_moments *m, const spx_image *image);

/** Mean and standard deviation of pixels scaled to 0..1; 0 where there are none. */
void spx_store_moments_take(const spx_store_moments *m, int channels, double *mean, double *std);

/** A split's pictures in one file: those of the pack from `first` on. */
typedef struct spx_store_part {
    size_t first, count;
    uint64_t begin;           /* in data: of the first of them */
    spx_h5_range names;       /* in the file */
    uint32_t *crc;            /* [count]; NULL: the split is not loaded */
    uint64_t *end;            /* [count], in data; NULL: planes */
    uint16_t *height, *width; /* [count]; NULL: planes */
} spx_store_part;

typedef struct spx_store_file {
    char *path;
    int fd;        /* -1: not opened */
    uint64_t data; /* where the pictures begin in it */
    spx_store_part part[SPX_SPLIT_COUNT];
} spx_store_file;

struct spx_store {
    spx_store_about about;
    bool encoded;
    size_t files;
    spx_store_file *file; /* shards in order, then the pack's own */
    size_t max_bytes[SPX_SPLIT_COUNT];
    spx_store_moments moments[SPX_SPLIT_COUNT];
};

/** Fills p from a file of schema 2, whose description pack_file.c has read. */
SPX_MUST_CHECK spx_status spx_store_open(spx_pack *p, const spx_h5 *f, unsigned load);
void spx_store_close(spx_store *store); /* NULL is a no-op */

/** Removes shards beside the file of a pack, of that one's name, that it does not list. */
void spx_shard_sweep(const char *pack);

/** Removes shards and packs of that name that a killed packing left half written; for who holds the
 * log. @param pack  its real path */
void spx_shard_sweep_half_written(const char *pack);

/** Counts the names, each ended by 0, in n bytes; SIZE_MAX where the last has no end. */
size_t spx_store_names_count(const char *names, size_t n);

#endif
