#include "data/pack/pack_crc_private.h"

#include <zlib.h>

uint32_t spx_pack_crc(const void *bytes, size_t size)
{
#if defined(SPX_HAVE_CLMUL)
    if (__builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1")) {
        const size_t whole = size / 16 * 16;
        if (whole >= 64) {
            const uint32_t crc = spx_pack_crc_clmul(bytes, whole);
            return (uint32_t)crc32_z(crc, (const unsigned char *)bytes + whole, size - whole);
        }
    }
#endif
    return (uint32_t)crc32_z(0, bytes, size);
}
