/*
 * What libsodium writes, for constant_time under MemorySanitizer, which does not see into libraries
 * that it did not build: secrets, all of it. Linked with --wrap for each of these.
 */
#include "tests/secure/secret.h"

#include <sodium.h>

#define WRAP(name, parameters, arguments, bytes)                                                   \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters                                                                   \
    {                                                                                              \
        const int failed = __real_##name arguments;                                                \
        SPX_SECRET(out, bytes);                                                                    \
        return failed;                                                                             \
    }

#define POINT crypto_core_ristretto255_BYTES
WRAP(crypto_generichash_final,
     (crypto_generichash_state * state, unsigned char *out, const size_t n), (state, out, n), n)
WRAP(crypto_core_ristretto255_add,
     (unsigned char *out, const unsigned char *p, const unsigned char *q), (out, p, q), POINT)
WRAP(crypto_core_ristretto255_sub,
     (unsigned char *out, const unsigned char *p, const unsigned char *q), (out, p, q), POINT)
WRAP(crypto_scalarmult_ristretto255,
     (unsigned char *out, const unsigned char *n, const unsigned char *p), (out, n, p), POINT)
WRAP(crypto_scalarmult_ristretto255_base, (unsigned char *out, const unsigned char *n), (out, n),
     POINT)
