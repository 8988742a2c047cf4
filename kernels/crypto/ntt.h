#ifndef SPX_CRYPTO_NTT_H
#define SPX_CRYPTO_NTT_H
/*
 * Number-theoretic transforms: polynomials modulo X^n + 1 over a prime q = 1 (mod 2n), q < 2^46,
 * n a power of two in 64..8192. The transform evaluates at the odd powers of psi, a primitive
 * 2n-th root of unity, so products are coefficient-wise: negacyclic, no padding (Longa and
 * Naehrig, eprint 2016/504, with Harvey's lazy butterflies, arXiv:1205.2926).
 *
 * Order: coefficients natural; values bit-reversed, value i = f(psi^(2 bitrev(i) + 1)), where psi
 * is g^((q-1)/2n) of the least g >= 2 that makes it primitive. So transformed polynomials mean the
 * same on every machine and may travel between parties.
 *
 * Variants, chosen at run time, all bit-equal because results are canonical: portable 64-bit,
 * AVX2 (products in double precision, exact by fused multiply-adds), AVX-512 IFMA (52-bit
 * products; where the processor has them). SPHYNX_ISA=portable|avx2|avx512vl lowers the choice.
 * Running time depends on n and the variant only.
 */
#include "kernels/base/status.h"
#include "kernels/crypto/modq.h"

#include <stddef.h>
#include <stdint.h>

#define SPX_NTT_MIN_N 64
#define SPX_NTT_MAX_N 8192

/** Roots of one (n, q); immutable once made, shared between threads freely. */
typedef struct spx_ntt spx_ntt;

/**
 * @param n  power of two, SPX_NTT_MIN_N..SPX_NTT_MAX_N
 * @param q  prime, 1 (mod 2n), below 2^46
 * @return SPX_OK, SPX_EINVAL, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_ntt_create(spx_ntt **out, size_t n, uint64_t q);
void spx_ntt_destroy(spx_ntt *t); /* NULL is a no-op */

/** The modulus of a table, prepared; lives as long as the table. */
const spx_modq *spx_ntt_modulus(const spx_ntt *t);

/** "portable", "avx2", "ifma": what calls run now. */
const char *spx_ntt_variant(void);

/**
 * Coefficients to values, in place.
 * @param x  [n] residues in [0, q); 64-byte aligned. Afterwards too
 */
void spx_ntt_forward(const spx_ntt *t, uint64_t *x);

/** Values to coefficients, in place; the exact inverse, 1/n included. Ranges as above. */
void spx_ntt_inverse(const spx_ntt *t, uint64_t *x);

/** Most products spx_ntt_dot adds in one call. */
#define SPX_NTT_DOT_MAX 64

/**
 * sum[k] = (sum[k] + x[0][k] * w[0][k] + .. + x[terms-1][k] * w[terms-1][k]) mod q, reduced once.
 * @param sum    [n] residues in [0, q), before and after; overlaps no operand
 * @param terms  0..SPX_NTT_DOT_MAX
 * @param x, w   terms pointers each to [n] residues in [0, q); 64-byte aligned as sum is
 */
void spx_ntt_dot(const spx_ntt *t, uint64_t *sum, size_t terms, const uint64_t *const x[],
                 const uint64_t *const w[]);

#endif
