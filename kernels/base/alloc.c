#define _DEFAULT_SOURCE
#include "kernels/base/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)

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

void spx_free(void *p)
{
    free(p);
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
