#ifndef SPX_CRYPTO_SECRET_MEMORY_H
#define SPX_CRYPTO_SECRET_MEMORY_H
/*
 * Memory for keys, over libsodium: locked as far as the system lets this process (RLIMIT_MEMLOCK),
 * so that it does not reach swap; left out of core dumps; between pages that nobody may touch.
 */
#include "kernels/base/status.h"

#include <stddef.h>

/**
 * @param out  n zeroed bytes at a multiple of 64; NULL on failure. Free with spx_secret_free
 * @return SPX_OK, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_secret_alloc(void **out, size_t n);
void spx_secret_free(void *p); /* wipes; NULL is a no-op */

/**
 * Whoever may debug this process, or read its core dump, has its secrets: no dumps are written from
 * here on, and none but root may attach. SPHYNX_DEBUGGABLE=1 in the environment leaves both as they
 * are.
 */
void spx_secret_guard(void);

#endif
