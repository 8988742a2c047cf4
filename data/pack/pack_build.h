#ifndef SPX_PACK_BUILD_H
#define SPX_PACK_BUILD_H
/* Reads data sets in the forms in which they are published, and own ones. */
#include "data/pack/pack.h"

/** The kinds of data sets, by name, then the old names of some, then NULL. */
const char *spx_pack_known(size_t i);

/** How pictures of a kind are stored where nothing else is wanted, as spx_store_parse reads it. */
const char *spx_pack_usual_store(const char *kind);

/** What the source of the i-th kind must look like, in lines for a help text; NULL where it has
 * that of the kind before it, or there is none. */
const char *spx_pack_layout(size_t i);

/** What a build may be told. */
typedef struct spx_pack_build_options {
    double
        held_out;  /* share of each class that becomes the test split, where none is given; 0..1 */
    uint64_t seed; /* which ones */
    bool asked;    /* for a share: a source with a test split of its own is refused */
} spx_pack_build_options;

/**
 * Reads a data set that is kept whole in memory. Every count, size, label and compressed stream is
 * checked. A message names the file, the offset in its (uncompressed) bytes and what was expected
 * there. If files are missing, it says what was looked for and what is there.
 * @param out      owned by the caller: spx_pack_close
 * @param dataset  a name of spx_pack_known for which spx_pack_is_list does not hold
 * @param src      spx_pack_layout says what it must look like
 * @param o        may be NULL: a tenth, seed 1
 * @return SPX_OK, SPX_EINVAL (unknown data set, or one of pictures), SPX_ENOTFOUND (a file is
 * missing), SPX_EIO, SPX_EFORMAT, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_pack_build(spx_pack **out, const char *dataset, const char *src,
                                         const spx_pack_build_options *o);

#endif
