#ifndef SPX_PACK_BUILD_H
#define SPX_PACK_BUILD_H
/* Reads data sets in the form their authors publish. */
#include "data/pack/pack.h"

/** The known data sets' names: "mnist", "fashion-mnist", "cifar10", "cifar100", then NULL. */
const char *spx_pack_known(size_t i);

/**
 * Reads a published data set. Every count, size, label and compressed stream is checked; a message
 * names the file, the offset in its (uncompressed) bytes and what was expected there.
 * @param out      owned by the caller: spx_pack_close
 * @param dataset  a name of spx_pack_known
 * @param src      mnist, fashion-mnist: the folder with the four IDX files, each plain or .gz.
 *                 cifar10, cifar100: the folder with the binary version's files, or one of its .bin
 * files, which gives that split alone
 * @return SPX_OK, SPX_EINVAL (unknown data set), SPX_ENOTFOUND (a file is missing), SPX_EIO,
 * SPX_EFORMAT, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_pack_build(spx_pack **out, const char *dataset, const char *src);

#endif
