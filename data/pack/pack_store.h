#ifndef SPX_PACK_STORE_H
#define SPX_PACK_STORE_H
/*
 * Packs of stored pictures: the bytes of JPEG or PNG files, or planes of one size, which stay in
 * the file until one is asked for. What memory holds is the index, some 20 bytes a picture.
 *
 * Layout of the file X.h5 (schema 2), and of each of its shards, complete HDF5 files of their own:
 * - data u8: the pictures one after another, first those of train. Encoded: [bytes]; planes:
 *   (N, C, H, W). It is kept apart (h5_file.h): the file's checksum leaves it out, each picture has
 *   one
 * - train, test (where the file has some): labels u16 [n], crc u32 [n] (CRC-32 of the picture's
 *   bytes, as zlib), names u8 (paths in the set, each ended by 0); encoded: ends i64 [n] (offset in
 *   data behind the picture; it begins where the one before it ends), heights u16 [n], widths u16
 *   [n]
 * - / has attributes: format, schema, begin ([2]: offset in data of train's and test's pictures).
 *   X.h5's format is "sphynx-pack"; it has also what a pack of schema 1 has, channels, size ([2]:
 *   height, width; 0: several), form ("original", "jpeg:256:95", "raw:64"), counts ([2]: train,
 *   test, over all files), moments ([2 * 7]: a split's pixels, then three sums and three sums of
 *   squares), fingerprint, and shards: a line "DIGEST TRAIN TEST NAME" for each, which lie in the
 *   same folder and hold the first pictures in this order; dataset bad: u8, names of pictures left
 *   out, each ended by 0
 * - shards/001, ...: external links to the shards
 * A shard's format is "sphynx-pack-shard".
 */
#include "data/image/image.h"
#include "data/pack/pack.h"

#define SPX_STORE_SCHEMA 2

/** Most bytes of one stored picture. */
#define SPX_STORE_MAX_PICTURE ((size_t)256 << 20)

/** What a pack of stored pictures is. */
typedef struct spx_store_about {
    char form[32];           /* as --store takes it */
    size_t shards;           /* files beside the pack's own */
    size_t bad;              /* pictures that were left out */
    const char *bad_names;   /* each ended by 0 */
    const char *fingerprint; /* of what it was packed from and how, in hexadecimal */
} spx_store_about;

/** @param p  with stored pictures */
const spx_store_about *spx_store_describe(const spx_pack *p);

/** Whether the pictures are JPEG or PNG files; if not, planes u8 (channels, height, width). False
 * of tensors. */
bool spx_store_encoded(const spx_pack *p);

/** Bytes of the largest picture of a loaded split: room for spx_store_read. */
size_t spx_store_max_bytes(const spx_pack *p, spx_split split);

/** The size of picture i, from the index. @param i  below the split's count; the split is loaded */
void spx_store_size(const spx_pack *p, spx_split split, uint32_t i, int *height, int *width);

/**
 * Reads picture i as it is stored and compares its checksum. Threads may call it at once.
 * @param buffer  room bytes; undefined on failure
 * @param size    receives how many it has
 * @return SPX_OK, SPX_EINVAL (no such picture, or room), SPX_EIO, SPX_EFORMAT (checksum; the
 * message names picture and file)
 */
SPX_MUST_CHECK spx_status spx_store_read(const spx_pack *p, spx_split split, uint32_t i,
                                         void *buffer, size_t room, size_t *size);

/**
 * The path that picture i had in the set (of tensors: its number), read from the file.
 * @param name  receives the text; spx_free. NULL on failure
 * @return SPX_OK, SPX_EINVAL, SPX_EIO, SPX_EFORMAT, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_store_name(const spx_pack *p, spx_split split, uint32_t i,
                                         char **name);

/**
 * Image i of a loaded split of any form, decoded where that is needed. Threads may call it at once.
 * @param out  as wide as the pack's channels; spx_image_clear. Zeroed on failure
 * @return as spx_store_read and spx_image_decode; SPX_EUNSUPPORTED (tensors of 2 or 4 channels)
 */
SPX_MUST_CHECK spx_status spx_pack_image(const spx_pack *p, spx_split split, uint32_t i,
                                         spx_image *out);

/** Told of each picture that is not as it was packed. */
typedef void (*spx_verify_bad)(void *ctx, spx_split split, uint32_t i, const char *why);

/**
 * Reads and decodes every picture of the loaded splits (of tensors nothing is left to verify).
 * Uses all processors.
 * @param bad   may be NULL; called in the order of the pictures, by the caller's thread
 * @param show  may be NULL; told now and then of how many pictures were verified, likewise
 * @return SPX_OK, SPX_EFORMAT (some are damaged; the message names the first), SPX_EIO, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_pack_verify(const spx_pack *p, spx_verify_bad bad,
                                          void (*show)(void *ctx, uint64_t done, uint64_t total),
                                          void *ctx);

#endif
