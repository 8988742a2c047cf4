#ifndef SPX_BASE_ALLOC_H
#define SPX_BASE_ALLOC_H

#include "kernels/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPX_ALIGN 64 /* bytes; a cache line, and the widest vector */

/**
 * Allocates bytes aligned to SPX_ALIGN (large blocks: to 2 MiB, with huge pages advised).
 * @param out   the block, uninitialised; NULL on failure and for 0 bytes. Free with spx_free
 * @return SPX_OK, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_alloc(void **out, size_t bytes);

/** spx_alloc of n * size bytes, zeroed; SPX_ENOMEM if the product overflows. */
SPX_MUST_CHECK spx_status spx_calloc(void **out, size_t n, size_t size);

/** Frees a block of spx_alloc or spx_calloc; NULL is a no-op. */
void spx_free(void *p);

/**
 * Whether an allocation of that size can succeed: maps bytes, and 16 MiB for what the call needs
 * beside them, and unmaps both. Ask before calling a library that does not survive a failed
 * allocation under a limit of the address space (ulimit -v): libhdf5 and oneDNN do not.
 * @param who  for the message
 * @return SPX_OK, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_memory_room(const char *who, size_t bytes);

/** Bytes of memory this machine has; 0 where it does not say. */
size_t spx_memory_physical(void);

/** *out = a * b; false if it overflows (then *out is 0). */
SPX_MUST_CHECK bool spx_mul_size(size_t a, size_t b, size_t *out);

/** *out = a * b for non-negative a, b; false if negative or overflowing (then *out is 0). */
SPX_MUST_CHECK bool spx_mul_i64(int64_t a, int64_t b, int64_t *out);

#endif
