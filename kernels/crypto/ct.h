#ifndef SPX_CRYPTO_CT_H
#define SPX_CRYPTO_CT_H
/*
 * Constant-time helpers: no branch, index or division on what they are given. A mask is all ones
 * (true) or all zeros. Booleans must be 0 or 1.
 */
#include "kernels/crypto/aes.h"

#include <stdint.h>

/** Hides a value's origin from the optimiser, which could else make a branch of a mask. */
static inline uint64_t spx_ct_hide(uint64_t x)
{
#if defined(SPX_UNDER_MSAN)
    volatile uint64_t hidden = x; /* it takes what assembly gives for defined: no secret any more */
    x = hidden;
#elif defined(__GNUC__)
    __asm__("" : "+r"(x));
#endif
    return x;
}

/** All ones if bit is 1, 0 if it is 0. */
static inline uint64_t spx_ct_mask(uint64_t bit)
{
    return 0 - spx_ct_hide(bit & 1);
}

/** Mask of x != 0. */
static inline uint64_t spx_ct_nonzero(uint64_t x)
{
    return spx_ct_mask((x | (0 - x)) >> 63);
}

/** a where mask is all ones, b where it is zero. */
static inline uint64_t spx_ct_select(uint64_t mask, uint64_t a, uint64_t b)
{
    return b ^ (mask & (a ^ b));
}

static inline spx_block spx_block_xor(spx_block a, spx_block b)
{
    return (spx_block){{a.w[0] ^ b.w[0], a.w[1] ^ b.w[1]}};
}

/** a AND mask, in both halves. */
static inline spx_block spx_block_and(spx_block a, uint64_t mask)
{
    return (spx_block){{a.w[0] & mask, a.w[1] & mask}};
}

/** Overwrites n bytes with zeros, whatever the optimiser thinks of it; n = 0 is a no-op. */
void spx_wipe(void *p, size_t n);

#endif
