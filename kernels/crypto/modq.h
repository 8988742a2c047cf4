#ifndef SPX_CRYPTO_MODQ_H
#define SPX_CRYPTO_MODQ_H
/*
 * Integers modulo a prime below 2^46, in constant time: no branch, index or division depends on an
 * operand (divisions are by public moduli, when constants are prepared). Residues are canonical,
 * [0, q), unless said otherwise.
 *
 * 46 bits leave what the transforms need: in 52-bit and in double arithmetic (53 bits) values may
 * grow by one or two q a level over 13 levels without a reduction in between.
 */
#include <stdint.h>

#define SPX_MODQ_MAX_BITS 46

typedef struct spx_u128 {
    uint64_t hi, lo;
} spx_u128;

/** a * b, all 128 bits. */
static inline spx_u128 spx_mul_wide(uint64_t a, uint64_t b)
{
    spx_u128 r;
#if defined(__SIZEOF_INT128__)
    __extension__ typedef unsigned __int128 wide;
    const wide p = (wide)a * b;
    r.hi = (uint64_t)(p >> 64);
    r.lo = (uint64_t)p;
#else
    const uint64_t a0 = a & 0xffffffffU, a1 = a >> 32, b0 = b & 0xffffffffU, b1 = b >> 32;
    const uint64_t low = a0 * b0, m1 = a1 * b0 + (low >> 32), m2 = a0 * b1 + (m1 & 0xffffffffU);
    r.hi = a1 * b1 + (m1 >> 32) + (m2 >> 32);
    r.lo = a * b;
#endif
    return r;
}

/** a + b modulo 2^128. */
static inline spx_u128 spx_u128_add(spx_u128 a, spx_u128 b)
{
    spx_u128 r = {a.hi + b.hi, a.lo + b.lo};
    r.hi += r.lo < a.lo; /* compiles to a carry, not a branch */
    return r;
}

/** a * b modulo 2^128. */
static inline spx_u128 spx_u128_scale(spx_u128 a, uint64_t b)
{
    spx_u128 r = spx_mul_wide(a.lo, b);
    r.hi += a.hi * b;
    return r;
}

/** A modulus and what its reductions need. */
typedef struct spx_modq {
    uint64_t q;
    uint64_t inverse;    /* floor(2^64 / q) */
    uint64_t wrap;       /* 2^64 mod q */
    uint64_t wrap_shoup; /* spx_modq_shoup of it */
} spx_modq;

/** x - q if x >= q, for x < 2^63. */
static inline uint64_t spx_modq_once(uint64_t x, uint64_t q)
{
    const uint64_t d = x - q;
    return d + (q & (0 - (d >> 63)));
}

static inline uint64_t spx_modq_add(uint64_t a, uint64_t b, uint64_t q)
{
    return spx_modq_once(a + b, q);
}

static inline uint64_t spx_modq_sub(uint64_t a, uint64_t b, uint64_t q)
{
    const uint64_t d = a - b;
    return d + (q & (0 - (d >> 63)));
}

/** x mod q for any x. */
static inline uint64_t spx_modq_reduce(uint64_t x, const spx_modq *m)
{
    return spx_modq_once(x - spx_mul_wide(x, m->inverse).hi * m->q, m->q);
}

/**
 * x * w mod q for any x, with w < q fixed in advance and w_shoup = spx_modq_shoup(w, q)
 * (Harvey, arXiv:1205.2926, algorithm 2).
 */
static inline uint64_t spx_modq_mul_shoup(uint64_t x, uint64_t w, uint64_t w_shoup, uint64_t q)
{
    return spx_modq_once(x * w - spx_mul_wide(x, w_shoup).hi * q, q);
}

/** x mod q for any 128-bit x. */
static inline uint64_t spx_modq_reduce_wide(spx_u128 x, const spx_modq *m)
{
    return spx_modq_add(spx_modq_mul_shoup(x.hi, m->wrap, m->wrap_shoup, m->q),
                        spx_modq_reduce(x.lo, m), m->q);
}

static inline uint64_t spx_modq_mul(uint64_t a, uint64_t b, const spx_modq *m)
{
    return spx_modq_reduce_wide(spx_mul_wide(a, b), m);
}

/** x mod q for a signed x, |x| < 2^63. */
static inline uint64_t spx_modq_from_signed(int64_t x, const spx_modq *m)
{
    const uint64_t negative = (uint64_t)x >> 63, all = 0 - negative;
    const uint64_t r = spx_modq_reduce(((uint64_t)x ^ all) + negative, m);
    return spx_modq_sub(r & ~all, r & all, m->q);
}

/** Prepares a modulus; 2 <= q < 2^46, public. */
void spx_modq_init(spx_modq *m, uint64_t q);

/** floor(w * 2^64 / q) for w < q; a division by the public q, w public too. */
uint64_t spx_modq_shoup(uint64_t w, uint64_t q);

/** a^e mod q; e public. */
uint64_t spx_modq_pow(uint64_t a, uint64_t e, const spx_modq *m);

/** 1 / a mod q for prime q and a not 0. */
uint64_t spx_modq_inverse(uint64_t a, const spx_modq *m);

/**
 * The primes p = 1 (mod 2n) below 2^bits, counted downwards: index 0 is the largest. Found by
 * search, so nobody chose them: both parties compute the same.
 * @param bits  20..SPX_MODQ_MAX_BITS
 * @param n     a power of two, at most 2^15
 * @return the prime; 0 where there are not that many above 2^(bits-1)
 */
uint64_t spx_modq_prime(int bits, uint64_t n, int index);

#endif
