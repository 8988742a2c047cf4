#ifndef SPX_PACK_ARRAYS_PRIVATE_H
#define SPX_PACK_ARRAYS_PRIVATE_H
/* Arrays of numpy and HDF5, in memory. */
#include "data/pack/pack_archive_private.h"

#define SPX_ARRAY_MAX_RANK 4

/** Elements in C order, the least byte first. */
typedef struct spx_array {
    void *owned; /* what holds them: spx_free */
    const uint8_t *data;
    char kind; /* 'u', 'i', 'f', ... */
    size_t width, rank, dims[SPX_ARRAY_MAX_RANK], count;
} spx_array;

/** The array of a .npz file. @param found  false: it has none of that name, and a is empty
 * @return SPX_OK, SPX_EFORMAT, SPX_ENOMEM; a->owned is to be freed in any case */
SPX_MUST_CHECK spx_status spx_npz_array(const spx_container *c, const char *name, spx_array *a,
                                        bool *found);

#endif
