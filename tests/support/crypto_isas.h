#ifndef SPX_TEST_CRYPTO_ISAS_H
#define SPX_TEST_CRYPTO_ISAS_H
/* Runs a block once per instruction set of the AES side that this machine has. */
#include "kernels/crypto/crypto_isa.h"

#include <stdbool.h>
#include <stdlib.h>

static inline bool spx_test_force(int isa)
{
    if (isa < SPX_CRYPTO_ISA_COUNT) {
        (void)setenv("SPHYNX_ISA", spx_crypto_isa_name((spx_crypto_isa)isa), 1);
        return true;
    }
    (void)unsetenv("SPHYNX_ISA");
    return false;
}

/* A set the machine lacks falls back to its best: such rounds are left out. */
#define FOR_EACH_CRYPTO_ISA(isa)                                                                   \
    for (int isa = 0; spx_test_force(isa); isa++)                                                  \
        if ((int)spx_crypto_isa_used() == isa)

#endif
