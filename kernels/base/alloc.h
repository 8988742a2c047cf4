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

/** The block of spx_calloc; NULL for 0 bytes, and with the message set where there is none. */
void *spx_zeroed(size_t n, size_t size);

/**
 * p = n zeroed elements of its type; NULL for none of them, and on failure.
 * @param n  evaluated twice
 * @return SPX_OK, SPX_ENOMEM
 */
#define SPX_NEW(p, n)                                                                              \
    (((p) = spx_zeroed((n), sizeof *(p))) != NULL || (n) == 0 ? SPX_OK : SPX_ENOMEM)

/** Frees a block of spx_alloc, spx_calloc, SPX_NEW or SPX_GROW; NULL is a no-op. */
void spx_free(void *p);

/** p, or where n elements fill *room a larger copy of it; p with the message set on failure. */
void *spx_grown(void *p, size_t n, size_t *room, size_t size);

/**
 * The array p has room for element n: it is moved into twice the room where it is full.
 * @param p     NULL at first; kept on failure
 * @param n     elements in use
 * @param room  a size_t: elements there is room for; 0 at first
 * @return SPX_OK, SPX_ENOMEM
 */
#define SPX_GROW(p, n, room)                                                                       \
    ((p) = spx_grown((p), (n), &(room), sizeof *(p)), (n) < (room) ? SPX_OK : SPX_ENOMEM)

/**
 * Whether an allocation of that size can succeed: maps bytes, and 16 MiB for what the call needs
 * beside them, and unmaps both. Ask before calling a library that does not survive a failed
 * allocation under a limit of the address space (ulimit -v): libhdf5 does not.
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
