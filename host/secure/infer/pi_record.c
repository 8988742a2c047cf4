/* Small records in vaults, each with the version of the protocol that wrote it. */
#include "host/secure/infer/pi_private.h"

#include <string.h>

#define MOST_BYTES ((size_t)4096)
#define FIRST_VERSION 2 /* whose records did not say: data alone */

typedef struct record {
    uint64_t version;
    uint8_t data[MOST_BYTES];
} record;

spx_status spx_pi_record_put(spx_vault *v, const char *name, const void *data, size_t n)
{
    record r = {.version = SPX_PI_VERSION};
    if (n > MOST_BYTES) {
        return SPX_FAIL(SPX_EINVAL, "a record of %zu bytes", n);
    }
    memcpy(r.data, data, n);
    return spx_vault_put(v, name, &r, sizeof r.version + n);
}

spx_status spx_pi_record_get(spx_vault *v, const char *name, void *data, size_t n,
                             uint64_t *version)
{
    record r;
    spx_status st;
    if (n > MOST_BYTES) {
        return SPX_FAIL(SPX_EINVAL, "a record of %zu bytes", n);
    }
    st = spx_vault_get(v, name, &r, sizeof r.version + n);
    if (st == SPX_OK) {
        *version = r.version;
        memcpy(data, r.data, n);
    } else if (st == SPX_EFORMAT) {
        *version = FIRST_VERSION;
        st = spx_vault_get(v, name, data, n);
    }
    return st;
}
