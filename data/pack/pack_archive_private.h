#ifndef SPX_PACK_ARCHIVE_PRIVATE_H
#define SPX_PACK_ARCHIVE_PRIVATE_H
/* Archives that are read where they lie; nothing is ever unpacked to disk. */
#include "data/pack/pack_list_private.h"

/** One file of an archive. */
typedef struct spx_archive_member {
    const char *name; /* of length bytes, '/' between folders; gone after the call */
    size_t length;
    spx_place where; /* its container is the caller's to say */
} spx_archive_member;

/** Is given one file after the other; anything but SPX_OK ends the walk. */
typedef spx_status (*spx_archive_take)(void *ctx, const spx_container *c,
                                       const spx_archive_member *m);

/** SPX_EFORMAT for an absolute name, one with "..", or with a zero; folders end in '/'. */
SPX_MUST_CHECK spx_status spx_archive_check_name(const spx_container *c, uint64_t at,
                                                 const spx_archive_member *m);

/** All files of a ZIP archive, in the order of its directory.
 * @return SPX_OK, SPX_EIO, SPX_EFORMAT (members of 4 GiB, encrypted, damaged), SPX_ENOMEM, take's
 */
SPX_MUST_CHECK spx_status spx_zip_walk(const spx_container *c, spx_archive_take take, void *ctx);

/** All files of the tar archive that is size bytes of c from offset `from` on. Links, folders and
 * devices are left out. @return SPX_OK, SPX_EIO, SPX_EFORMAT, SPX_ENOMEM, take's */
SPX_MUST_CHECK spx_status spx_tar_walk(const spx_container *c, uint64_t from, uint64_t size,
                                       spx_archive_take take, void *ctx);

/** The bytes of a member, inflated and compared with its checksum. Threads may call it.
 * @param bytes  where.size + 1 bytes, the last one 0; spx_free. NULL on failure */
SPX_MUST_CHECK spx_status spx_zip_read(const spx_container *c, const spx_place *where,
                                       void **bytes);

/** The number in n little-endian bytes. @param n  1..4 */
static inline uint32_t spx_pack_little(const uint8_t *b, size_t n)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v |= (uint32_t)b[i] << (8 * i);
    }
    return v;
}

#endif
