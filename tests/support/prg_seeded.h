#ifndef SPX_TEST_PRG_SEEDED_H
#define SPX_TEST_PRG_SEEDED_H
/* Reproducible generators: only here, so that no seed can reach what is shipped. */
#include "kernels/crypto/prg.h"

/** Keys p by (seed, stream); the same draws in every run, and no reseeding after a fork. */
static inline void spx_prg_seed(spx_prg *p, uint64_t seed, uint64_t stream)
{
    const spx_block key = {{seed, stream}};
    *p = (spx_prg){.nonce = 0, .counter = 0, .owner = 0};
    spx_aes_expand(&p->key, &key, 1);
}

#endif
