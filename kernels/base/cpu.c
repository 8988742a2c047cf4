#include "kernels/base/cpu.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"portable", "avx2", "avx512vl"};

const char *spx_isa_name(spx_isa isa)
{
    return (unsigned)isa < (unsigned)SPX_ISA_COUNT ? names[isa] : "unknown";
}

static spx_isa detect(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
            return SPX_ISA_AVX512VL;
        }
        return SPX_ISA_AVX2;
    }
#endif
    return SPX_ISA_PORTABLE;
}

spx_isa spx_cpu_isa(void)
{
    const spx_isa best = detect();
    const char *want = getenv("SPHYNX_ISA");
    for (int i = 0; want != NULL && i < (int)best; i++) {
        if (strcmp(want, names[i]) == 0) {
            return (spx_isa)i;
        }
    }
    return best;
}
