#ifndef SPX_PACK_H
#define SPX_PACK_H
/*
 * A data set as one checksummed HDF5 file ("pack"): 8-bit images with labels, in a train and a test
 * split. There are two forms: tensors (schema 1), all of one size, whole splits in memory; and
 * stored pictures (schema 2, pack_store.h), read one by one while they are used. Layout of
 * schema 1:
 * - / has attributes: format = "sphynx-pack", schema, dataset, classes (names, one a line),
 *   [coarse_classes], mean, std ([C], of pixels scaled to 0..1), sources (sha256sum lines)
 * - /train, /test hold datasets: images u8 (N, C, H, W), labels u16 [N], [coarse_labels u16 [N]]
 */
#include "kernels/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPX_PACK_SCHEMA 1
#define SPX_PACK_MAX_CHANNELS 4
#define SPX_PACK_MAX_SIDE 1024
#define SPX_PACK_MAX_CLASSES 10000
#define SPX_PACK_HASH_CHARS 65

typedef enum spx_split { SPX_SPLIT_TRAIN, SPX_SPLIT_TEST, SPX_SPLIT_COUNT } spx_split;

/** "train", "test". */
const char *spx_split_name(spx_split split);

/** One split; count 0 where the file has none, the pointers NULL where it was not loaded. images is
 * NULL in a pack of stored pictures. */
typedef struct spx_pack_split {
    size_t count;     /* N < 2^32 */
    uint8_t *images;  /* (N, C, H, W) */
    uint16_t *labels; /* [N], each < classes */
    uint16_t *coarse; /* [N], each < coarse_classes; NULL where the set has none */
} spx_pack_split;

typedef struct spx_store spx_store;

/** A pack in memory. Immutable once filled, so any number of loaders may share it. */
typedef struct spx_pack {
    char dataset[32];            /* "fashion-mnist" */
    int channels, height, width; /* sides 0: stored pictures of several sizes */
    int classes, coarse_classes;
    char *class_names, *coarse_names; /* one name a line; coarse_names may be NULL */
    char *sources;                    /* lines "<sha256>  <file name>" */
    double mean[SPX_PACK_MAX_CHANNELS], std[SPX_PACK_MAX_CHANNELS];
    char hash[SPX_PACK_HASH_CHARS]; /* of the file it was opened from; "" where it was built */
    spx_pack_split split[SPX_SPLIT_COUNT];
    spx_store *store; /* stored pictures (pack_store.h); NULL: tensors */
} spx_pack;

#define SPX_PACK_LOAD(split) (1u << (split))
#define SPX_PACK_NEED(split) (SPX_PACK_LOAD(split) | 0x100u << (split)) /* refused where absent */
#define SPX_PACK_LOAD_ALL (SPX_PACK_LOAD(SPX_SPLIT_TRAIN) | SPX_PACK_LOAD(SPX_SPLIT_TEST))

/**
 * Opens a pack, verifying checksum, schema, shapes and label ranges.
 * @param out   owned by the caller: spx_pack_close
 * @param load  SPX_PACK_LOAD bits of the splits whose images and labels are wanted; 0: description
 * and counts only. A split that the file lacks is left empty, or refused where SPX_PACK_NEED asks
 * for it; it has at least one
 * @return SPX_OK, SPX_ENOTFOUND (no file, or no such split), SPX_EIO, SPX_EFORMAT, SPX_ENOMEM,
 * SPX_EUNSUPPORTED (stored pictures from a stream)
 */
SPX_MUST_CHECK spx_status spx_pack_open(spx_pack **out, const char *path, unsigned load);

void spx_pack_close(spx_pack *p); /* NULL is a no-op */

/** Whether a split's images can be had: it is there and was loaded, in either form. */
bool spx_pack_has(const spx_pack *p, spx_split split);

/** Writes p (tensors, both splits) as a checksummed file, whole or not at all. @return also
 * SPX_EINVAL */
SPX_MUST_CHECK spx_status spx_pack_write(const spx_pack *p, const char *path);

/** Name of class i, its length in *length (names are not NUL-terminated); NULL if i is out of
 * range. */
const char *spx_pack_class(const spx_pack *p, int i, size_t *length);

/** The name that packs give a data set today, where an earlier version gave another; else name. */
const char *spx_pack_present_name(const char *name);

/** Pixels of a side of a published data set's images, by the name packs give it; 0: another set. */
int spx_pack_published_side(const char *dataset);

/** counts[k] = images of split with label k. @param counts [classes] */
void spx_pack_histogram(const spx_pack *p, spx_split split, size_t *counts);

/** Mean and standard deviation per channel of a split's pixels scaled to 0..1; of stored pictures
 * as taken while they were packed. @param mean, std [channels] */
void spx_pack_moments(const spx_pack *p, spx_split split, double *mean, double *std);

#endif
