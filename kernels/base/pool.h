#ifndef SPX_BASE_POOL_H
#define SPX_BASE_POOL_H

#include "kernels/base/status.h"

#include <stddef.h>

#define SPX_POOL_MAX_THREADS 256

/** A fixed set of worker threads; the caller of spx_pool_run is one of them. */
typedef struct spx_pool spx_pool;

/**
 * @param threads workers including the caller, 1..SPX_POOL_MAX_THREADS
 * @return SPX_OK, SPX_EINVAL, SPX_ENOMEM, SPX_EDEVICE (a thread could not start)
 */
SPX_MUST_CHECK spx_status spx_pool_create(spx_pool **out, int threads);
void spx_pool_destroy(spx_pool *p); /* NULL is a no-op */
int spx_pool_threads(const spx_pool *p);

/** Processors this process may run on (affinity respected), at least 1. */
int spx_pool_processors(void);

/** Work on items [begin, end); worker in [0, threads) is the number of the range, not of the
 * thread. */
typedef void (*spx_pool_fn)(void *ctx, int worker, size_t begin, size_t end);

/**
 * Splits [0, n) into one contiguous range per worker, the same for the same (n, threads), runs fn
 * on each non-empty range and returns when all have returned. Not reentrant; one caller at a time.
 */
void spx_pool_run(spx_pool *p, size_t n, spx_pool_fn fn, void *ctx);

#endif
