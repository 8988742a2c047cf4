#ifndef SPX_TEST_PRG_SEEDED_H
#define SPX_TEST_PRG_SEEDED_H
/* Reproducible generators: only here, so that no seed can reach what is shipped. */
#include "kernels/crypto/prg.h"

#include <string.h>

/** The seed of (number, stream). */
static inline spx_seed spx_seed_fixed(uint64_t number, uint64_t stream)
{
    const spx_block key = {{number, stream}};
    spx_seed s = {{0}};
    memcpy(s.byte, &key, sizeof key);
    return s;
}

/** Keys p by (number, stream); the same draws in every run, and no reseeding after a fork. */
static inline void spx_prg_seed(spx_prg *p, uint64_t number, uint64_t stream)
{
    const spx_seed s = spx_seed_fixed(number, stream);
    memset(p, 0, sizeof *p);
    spx_prg_from(p, &s);
    p->owner = 0;
}

#endif
