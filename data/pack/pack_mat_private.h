#ifndef SPX_PACK_MAT_PRIVATE_H
#define SPX_PACK_MAT_PRIVATE_H
/* The one MATLAB file that is read: ImageNet's meta.mat. */
#include "kernels/base/status.h"

#include <stddef.h>

#define SPX_SYNSET_KEY 16

/** One of ImageNet's synsets: what its label files call it, and the key of its folder. */
typedef struct spx_synset {
    int id;
    char key[SPX_SYNSET_KEY];
} spx_synset;

/**
 * Reads the array of structures `synsets` (fields ILSVRC2012_ID, WNID, words) of a MATLAB file,
 * version 5, of either byte order, compressed or not.
 * @param where   for messages
 * @param bytes   [size], borrowed
 * @param synset  [*n], spx_free; NULL on failure
 * @param names   lines of key, a blank and the words; ends in 0; spx_free. NULL on failure
 * @return SPX_OK, SPX_EFORMAT (with the offset, within what was compressed), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_mat_synsets(const char *where, const void *bytes, size_t size,
                                          spx_synset **synset, size_t *n, char **names);

#endif
