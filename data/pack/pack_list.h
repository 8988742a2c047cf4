#ifndef SPX_PACK_LIST_H
#define SPX_PACK_LIST_H
/*
 * The pictures of a data set, found without reading or unpacking them: in folders, in archives, in
 * archives within archives. The order is that of the pack: all train items by rising bytes of their
 * path in the set, then all test items likewise.
 */
#include "data/pack/pack_build.h"

#include <stdbool.h>

/** Most bytes of one picture's file; a larger one is refused when it is read. */
#define SPX_PACK_MAX_PICTURE ((size_t)256 << 20)

typedef struct spx_pack_list spx_pack_list;

/** One picture. */
typedef struct spx_pack_item {
    const char *name; /* path in the set, '/' between folders, as spx_pack_escape writes it; the
                         list's */
    uint16_t label;   /* < classes */
    spx_split split;
} spx_pack_item;

/** Whether a kind (an old name, too) is found as pictures; if not, spx_pack_build reads it. */
bool spx_pack_is_list(const char *kind);

/**
 * Finds the pictures of a data set. Files that are no pictures by their suffix (jpg, jpeg, png;
 * ppm, pgm, bmp, tif, tiff, webp and gif count as pictures, too, which no decoder here takes) are
 * passed over. Links are followed.
 * @param out   owned by the caller: spx_pack_list_close
 * @param kind  a name for which spx_pack_is_list holds
 * @param src   a folder or archive: spx_pack_layout
 * @param o     may be NULL: a tenth, seed 1
 * @return SPX_OK, SPX_EINVAL (kind, o), SPX_ENOTFOUND (what was looked for and what is there),
 * SPX_EIO, SPX_EFORMAT (a loop of folders, a damaged archive, labels that do not fit), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_pack_list_open(spx_pack_list **out, const char *kind, const char *src,
                                             const spx_pack_build_options *o);
void spx_pack_list_close(spx_pack_list *l); /* NULL is a no-op */

/**
 * The set's description: dataset, classes and their names, counts; mean and std, where std[0] 0
 * asks for measuring; sources: lines of the label files that were read, "" where there were none.
 * No images, no labels; channels and sides are 0.
 */
const spx_pack *spx_pack_list_about(const spx_pack_list *l);

/** src as it was given. */
const char *spx_pack_list_source(const spx_pack_list *l);

size_t spx_pack_list_count(const spx_pack_list *l);

/** @param i  below spx_pack_list_count */
spx_pack_item spx_pack_list_item(const spx_pack_list *l, size_t i);

/**
 * Reads the bytes of one picture's file, whatever they are. Threads may call it at once.
 * @param bytes  receives size + 1 bytes, the last one 0; spx_free. NULL on failure
 * @return SPX_OK; SPX_EFORMAT (damaged where it lies in an archive, or too large: this picture
 * alone is bad); SPX_EIO, SPX_ENOTFOUND (it cannot be read, or is gone), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_pack_list_read(const spx_pack_list *l, size_t i, void **bytes,
                                             size_t *size);

/** Files that are no pictures by their suffix. */
size_t spx_pack_list_passed_over(const spx_pack_list *l);

/**
 * Writes a name that may have any bytes as text of one line: a byte that is not part of a printable
 * UTF-8 character, and a backslash, becomes \xNN.
 * @param to    receives at most room bytes, cut between characters, and always ends in 0 (room > 0)
 * @return      the length of the whole, without the 0
 */
size_t spx_pack_escape(char *to, size_t room, const void *bytes, size_t n);

#endif
