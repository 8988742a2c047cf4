#include "kernels/crypto/crypto_isa.h"

#include "kernels/crypto/crypto_private.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"portable", "aesni", "vaes256", "vaes512"};

const char *spx_crypto_isa_name(spx_crypto_isa isa)
{
    return (unsigned)isa < (unsigned)SPX_CRYPTO_ISA_COUNT ? names[isa] : "unknown";
}

#if defined(SPX_HAVE_AESNI)
#include <cpuid.h>

/* What __builtin_cpu_supports of every supported compiler does not know by name: bits of leaf 7's
 * ecx. Zen 3 has VAES without GFNI. */
#define VAES (1u << 9)
#define GFNI (1u << 8)

static bool leaf7(unsigned bits)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bits) == bits;
}

static bool aes_ni(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_AES) != 0;
}
#endif

static spx_crypto_isa detect(void)
{
#if defined(SPX_HAVE_AESNI)
    __builtin_cpu_init();
    if (!aes_ni() || !__builtin_cpu_supports("sse4.1")) {
        return SPX_CRYPTO_PORTABLE;
    }
#if defined(SPX_HAVE_VAES)
    if (__builtin_cpu_supports("avx2") && leaf7(VAES)) {
        if (leaf7(GFNI) && __builtin_cpu_supports("avx512f") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512bw")) {
            return SPX_CRYPTO_VAES512;
        }
        return SPX_CRYPTO_VAES256;
    }
#endif
    return SPX_CRYPTO_AESNI;
#else
    return SPX_CRYPTO_PORTABLE;
#endif
}

/* Asked once: CPUID traps to the host of a virtual machine, which costs microseconds. */
static spx_crypto_isa best_isa(void)
{
    static atomic_int known = 0; /* 1 + the set */
    int k = atomic_load_explicit(&known, memory_order_relaxed);
    if (k == 0) {
        k = 1 + (int)detect();
        atomic_store_explicit(&known, k, memory_order_relaxed);
    }
    return (spx_crypto_isa)(k - 1);
}

spx_crypto_isa spx_crypto_isa_used(void)
{
    const spx_crypto_isa best = best_isa();
    const char *want = getenv("SPHYNX_ISA");
    if (want != NULL && strcmp(want, "avx2") == 0) {
        return best < SPX_CRYPTO_VAES256 ? best : SPX_CRYPTO_VAES256;
    }
    for (int i = 0; want != NULL && i < (int)best; i++) {
        if (strcmp(want, names[i]) == 0) {
            return (spx_crypto_isa)i;
        }
    }
    return best;
}

const spx_crypto_kernels *spx_crypto_table(void)
{
    switch (spx_crypto_isa_used()) {
#if defined(SPX_HAVE_VAES)
    case SPX_CRYPTO_VAES512:
        return &spx_crypto_vaes512;
    case SPX_CRYPTO_VAES256:
        return &spx_crypto_vaes256;
#endif
#if defined(SPX_HAVE_AESNI)
    case SPX_CRYPTO_AESNI:
        return &spx_crypto_aesni;
#endif
    default:
        return &spx_crypto_portable;
    }
}
