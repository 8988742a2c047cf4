#define _DEFAULT_SOURCE
#include "kernels/crypto/secret_memory.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define LINE ((size_t)64)

spx_status spx_secret_alloc(void **out, size_t n)
{
    const size_t bytes = (n + LINE - 1) / LINE * LINE; /* what it gives ends with a page */
    *out = sodium_init() < 0 || bytes < n ? NULL : sodium_malloc(bytes);
    if (*out == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%zu bytes for secrets", n);
    }
    memset(*out, 0, bytes);
    return SPX_OK;
}

void spx_secret_free(void *p)
{
    sodium_free(p);
}

void spx_secret_guard(void)
{
    const struct rlimit none = {0};
    const char *debug = getenv("SPHYNX_DEBUGGABLE");
    if (debug == NULL || strcmp(debug, "1") != 0) {
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
}
