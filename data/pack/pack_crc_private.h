#ifndef SPX_PACK_CRC_PRIVATE_H
#define SPX_PACK_CRC_PRIVATE_H
#include <stddef.h>
#include <stdint.h>

/** CRC-32 of size bytes, as zlib has it: a picture's checksum, compared whenever it is read. */
uint32_t spx_pack_crc(const void *bytes, size_t size);

/* The same of a multiple of 16 bytes, 64 at least, by carry-less multiplication. */
uint32_t spx_pack_crc_clmul(const void *bytes, size_t size);

#endif
