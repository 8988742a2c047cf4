#define _DEFAULT_SOURCE
#include "kernels/base/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define LIBRARY_RESERVE ((size_t)16 << 20) /* caches, conversion buffers, generated code */

spx_status spx_alloc(void **out, size_t bytes)
{
    const size_t align = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : (size_t)SPX_ALIGN;
    size_t rounded;
    *out = NULL;
    if (bytes == 0) {
        return SPX_OK;
    }
    if (bytes > SIZE_MAX - align) {
        return SPX_FAIL(SPX_ENOMEM, "allocation of %zu bytes", bytes);
    }
    rounded = (bytes + SPX_ALIGN - 1) / SPX_ALIGN * SPX_ALIGN;
    if (posix_memalign(out, align, rounded) != 0) {
        *out = NULL;
        return SPX_FAIL(SPX_ENOMEM, "allocation of %zu bytes", bytes);
    }
#ifdef MADV_HUGEPAGE
    if (align == HUGE_PAGE) {
        (void)madvise(*out, rounded, MADV_HUGEPAGE); /* advice only: a refusal costs speed */
    }
#endif
    return SPX_OK;
}

spx_status spx_calloc(void **out, size_t n, size_t size)
{
    size_t bytes;
    *out = NULL;
    if (!spx_mul_size(n, size, &bytes)) {
        return SPX_FAIL(SPX_ENOMEM, "allocation of %zu x %zu bytes", n, size);
    }
    SPX_RETURN_IF(spx_alloc(out, bytes));
    if (bytes != 0) {
        memset(*out, 0, bytes);
    }
    return SPX_OK;
}

void *spx_zeroed(size_t n, size_t size)
{
    void *p;
    return spx_calloc(&p, n, size) == SPX_OK ? p : NULL;
}

void *spx_grown(void *p, size_t n, size_t *room, size_t size)
{
    size_t bytes;
    void *grown = NULL;
    if (n < *room) {
        return p;
    }
    const size_t more = n < 4 ? 8 : 2 * n;
    if (spx_mul_size(more, size, &bytes)) {
        grown = realloc(p, bytes); /* which is what an array that keeps growing wants */
    }
    if (grown == NULL) {
        (void)SPX_FAIL(SPX_ENOMEM, "a list of more than %zu x %zu bytes", n, size);
        return p;
    }
    *room = more;
    return grown;
}

void spx_free(void *p)
{
    free(p);
}

spx_status spx_memory_room(const char *who, size_t bytes)
{
    void *probe = MAP_FAILED;
    if (bytes < SIZE_MAX - LIBRARY_RESERVE) {
        bytes += LIBRARY_RESERVE;
        probe = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    if (probe == MAP_FAILED) {
        return SPX_FAIL(SPX_ENOMEM, "%s: out of memory: up to %zu MiB more are needed", who,
                        bytes >> 20);
    }
    (void)munmap(probe, bytes);
    return SPX_OK;
}

size_t spx_memory_physical(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (size_t)pages * (size_t)page : 0;
}

bool spx_mul_size(size_t a, size_t b, size_t *out)
{
    if (__builtin_mul_overflow(a, b, out)) {
        *out = 0;
        return false;
    }
    return true;
}

bool spx_mul_i64(int64_t a, int64_t b, int64_t *out)
{
    if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, out)) {
        *out = 0;
        return false;
    }
    return true;
}
