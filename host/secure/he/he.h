#ifndef SPX_SECURE_HE_H
#define SPX_SECURE_HE_H
/*
 * Secret linear maps on shared values, by lattice encryption. One EXCHANGE: the client encrypts its
 * share c_v of every input value v, the server answers with encryptions of
 *     sum over convolutions (W * c_v) - s_u        for every output value u, modulo 2^l,
 * with masks s_u it draws; the client decrypts its share of u, the server keeps s_u. One message
 * each way. Pure functions of buffers: no channel, no clock; lengths follow from the plan alone.
 *
 *     client                                        server
 *     spx_he_plan_create(geometry)                  spx_he_plan_create(the same geometry)
 *     spx_he_key_create(set), _public   -- once --> spx_he_public_create(set)
 *     spx_he_encrypt(shares)         -- request --> spx_he_evaluate(weights) -> masks
 *     spx_he_decrypt -> shares      <-- response --
 *
 * Scheme: BFV over Z_q[X]/(X^n + 1) with plaintexts modulo t = 2^l (Fan and Vercauteren, eprint
 * 2012/144; scale-invariant encoding round(q m / t)), convolutions as polynomial products without
 * rotations (Cheetah, eprint 2022/207, section 4.1). Ternary secrets, centred binomial errors of
 * variance 10.5. Requests are secret-key encryptions whose first component is a seed.
 *
 * Security: every set lies inside the bounds for ternary secrets, classical attacks, 128 bits of
 * "Security Guidelines for Implementing Homomorphic Encryption" (eprint 2024/463: n = 4096:
 * log2 q <= 106, n = 8192: 214); scripts/security/lattice says 129, 242 and 207 bits.
 * The server sees encryptions only. The client, who knows the secret key, sees of each response
 * the decryption and the noise; that hides the weights because each response
 *   - has a fresh public-key encryption of zero added at full q, so its first component is new
 *     (without it, a * w / a gives w away), and
 *   - is flooded: noise far above anything that depends on the weights (sampler.h).
 *
 * Noise, per returned coefficient, with T the number of weights in one response's products
 * (public), |w| <= 2^(weight_bits-1) and shares uniform, as the protocol makes them:
 *   hidden part  sigma^2 = T 4^(weight_bits-1) (10.5 + 1/12) + 14 n + 1/4
 *   flood        width 2^b, b = ceil(log2(1.069 * 2^40 * 2^13 * sigma)): over 2^26 coefficients
 *                returned under one key, the statistical distance is below 2^-40
 *   decrypts if  (1.5 * 2^b + 21.5 T 2^(weight_bits-1) + 42 n + 1) 2^k / q
 *                    + R(n) + 2^(d-1) + 1  <  2^(k-l-1)
 * where responses are switched to the modulus 2^k and the second component's low d bits are
 * dropped. R(n) = sqrt(n/6 * 81 ln 2) bounds the rounding of the first component times the secret,
 * except with probability 2^-80 (a sum of uniform variables is sub-Gaussian: 2 exp(-6 R^2 / n)).
 * Plans take the least k, then the greatest d, and are refused where none below l + 16 does. All
 * other terms are worst-case, so no input can make it fail.
 *
 * Everything that decides a length (geometry, l, weight_bits) is public; weights, shares, masks and
 * keys are secret: no branch, index or division depends on them.
 */
#include "kernels/base/pool.h"
#include "kernels/base/status.h"
#include "kernels/crypto/prg.h"

#include <stddef.h>
#include <stdint.h>

/**
 * log2 of the coefficients a server returns under one public key; then it wants a new key. The
 * distance 2^-40 is of one key's life. What it hides, the weights, outlives keys: over N
 * coefficients of one model, to whomever they went, it is 2^-40 sqrt(N / 2^26). With 10^5
 * coefficients a query that is 2^-34.7 after 10^6 queries and 2^-30 after 7 * 10^8. Seven bits more
 * of flood would keep 2^-40 up to N = 2^40; they are not spent: parameter set 0 would lose as many
 * bits of l, and the next costs twice the bytes and time.
 * check-figure: round(log2(2^-40 * sqrt(1e6 * 1e5 / 2^SPX_HE_KEY_LIFE)), 1) == -34.7
 * check-figure: round(log2(2^-40 * sqrt(7e8 * 1e5 / 2^SPX_HE_KEY_LIFE))) == -30
 * check-figure: 2^-47 * sqrt(2^40 / 2^SPX_HE_KEY_LIFE) == 2^-40
 */
#define SPX_HE_KEY_LIFE 26

/** A value of c channels of h rows and w columns, row-major; vectors have h = w = 1. */
typedef struct spx_he_value {
    int64_t c, h, w;
} spx_he_value;

/**
 * out[k0 + k](y, x) += sum over c, r, s of
 *     W[k][c][r][s] * in[c0 + c](y * stride + r * dilation - pad_top,
 *                                x * stride + s * dilation - pad_left),
 * inputs being zero outside their h x w. The pads below and at the right follow from the output's
 * size; a negative pad crops. A linear layer is a 1x1 convolution of 1x1 values.
 */
typedef struct spx_he_conv {
    int in, out;      /* index of the input and the output value */
    int64_t c0, c;    /* first input channel read, and how many */
    int64_t k0, k;    /* first output channel added to, and how many */
    int64_t r, s;     /* rows and columns of the kernel */
    int64_t stride;   /* 1, 2, 4 or 8, both axes */
    int64_t dilation; /* >= 1, both axes */
    int64_t pad_top, pad_left;
} spx_he_conv;

/** One exchange; everything here is public. The arrays are read during plan creation only. */
typedef struct spx_he_geometry {
    int l;           /* bits of the ring, 1..64 */
    int weight_bits; /* weights lie in [-2^(weight_bits-1), 2^(weight_bits-1)], 1..31 */
    int set;         /* SPX_HE_ANY_SET, or the only one allowed */
    int inputs, outputs, convs;
    const spx_he_value *input, *output;
    const spx_he_conv *conv;
} spx_he_geometry;

#define SPX_HE_ANY_SET (-1)

/** Parameter sets; keys belong to one. Largest l at weight_bits 8 and T = 576 in brackets. */
#define SPX_HE_SETS                                                                                \
    3 /* 0: n 4096, 106 bits (37); 1: n 8192, 120 bits (51); 2: n 8192, 138 (64)                   \
       */

/** What a plan comes to; the audit of its noise in bits. */
typedef struct spx_he_facts {
    int set;
    size_t n;
    int q_bits;
    size_t request_bytes, response_bytes;   /* of one query */
    size_t input_elements, output_elements; /* of one query: sums of c * h * w */
    size_t request_polys, response_polys;   /* ciphertexts each way */
    size_t weight_polys;                    /* products; each times the number of primes NTTs */
    size_t returned;                        /* coefficients that count against the key's life */
    size_t terms;                           /* T, the largest of any response */
    double sigma_bits;                      /* log2 sigma */
    int flood_width;                        /* b */
    int first_bits, second_bits;            /* k and k - d: bits sent a coefficient */
    double margin_bits;                     /* log2(right side / left side) of "decrypts if" */
} spx_he_facts;

/**
 * The layout of one exchange, the same on both sides: the cheapest in bytes and transforms among
 * parameter sets, tilings and channel packings. All values of one exchange share a layout, so give
 * each connected set of values its own.
 * @return SPX_OK; SPX_EINVAL (geometry that contradicts itself); SPX_EUNSUPPORTED (strides that no
 * common splitting serves; an output row that does not fit; no set whose noise budget holds; more
 * than 512 convolutions or messages of more than 1 GB: geometries may come from strangers);
 * SPX_ENOMEM
 */
typedef struct spx_he_plan spx_he_plan;
SPX_MUST_CHECK spx_status spx_he_plan_create(spx_he_plan **out, const spx_he_geometry *g);
void spx_he_plan_destroy(spx_he_plan *p); /* NULL is a no-op */
/** Borrowed from the plan. A plan is immutable: threads may share it. */
const spx_he_facts *spx_he_plan_facts(const spx_he_plan *p);

/** The client's secret key of one set. */
typedef struct spx_he_key spx_he_key;
/**
 * @return SPX_OK, SPX_EINVAL (no such set), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_he_key_create(spx_he_key **out, int set, spx_prg *prg);
void spx_he_key_destroy(spx_he_key *k); /* wipes; NULL is a no-op */

/** Bytes of a public key of a set; 0 for no such set. */
size_t spx_he_public_bytes(int set);
/** Writes spx_he_public_bytes(set) bytes: the message that spx_he_public_create takes. */
void spx_he_key_public(const spx_he_key *k, uint8_t *out);

/** The client's public key at the server, with the count of coefficients returned under it. */
typedef struct spx_he_public spx_he_public;
/**
 * @param returned  coefficients returned under this very key before (spx_he_public_returned of an
 *                  earlier session); 0 for a new key
 * @return SPX_OK, SPX_EINVAL (no such set), SPX_EFORMAT (wrong size, a residue out of range),
 * SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_he_public_create(spx_he_public **out, int set, const uint8_t *bytes,
                                               size_t size, uint64_t returned);
void spx_he_public_destroy(spx_he_public *p); /* NULL is a no-op */
/** Coefficients returned so far; at most 2^SPX_HE_KEY_LIFE. */
uint64_t spx_he_public_returned(const spx_he_public *p);

/**
 * The client's message: its shares encrypted.
 * @param prg      of errors and first components: a seed of a stream, and one that is public
 * @param queries  independent queries in one message, >= 1
 * @param shares   [queries][input_elements] words, read modulo 2^l; inputs in order, each (c, h, w)
 * @param request  [queries * request_bytes]
 * @param pool     threads to use; NULL: the caller's. Results do not depend on it
 * @return SPX_OK, SPX_EINVAL (key of another set), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_he_encrypt(const spx_he_plan *p, const spx_he_key *k, spx_prg *prg,
                                         size_t queries, const uint64_t *shares, uint8_t *request,
                                         spx_pool *pool);

/**
 * The server's answer, and its masks.
 * @param pk       of the plan's set; its count rises by queries * returned. One call at a time
 * @param weights  [convs] pointers, each (k, c, r, s) as in the geometry; |w| <= 2^(weight_bits-1).
 *                 All are used, zero or not
 * @param prg      of masks, floods and encryptions of zero: a seed of their streams is drawn
 * @param request  [size] bytes as received; size must be queries * request_bytes
 * @param response [queries * response_bytes]
 * @param masks    [queries][output_elements]: s_u, uniform modulo 2^l; outputs in order, (c, h, w)
 * @return SPX_OK; SPX_EINVAL (key of another set, a weight out of range, key's life over);
 * SPX_EFORMAT (size, a residue out of range: nothing was computed); SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_he_evaluate(const spx_he_plan *p, spx_he_public *pk,
                                          const int32_t *const *weights, spx_prg *prg,
                                          size_t queries, const uint8_t *request, size_t size,
                                          uint8_t *response, uint64_t *masks, spx_pool *pool);

/**
 * The client's shares of the outputs: (sum W c - s) modulo 2^l, words below 2^l.
 * @param response [size] bytes as received; size must be queries * response_bytes
 * @param shares   [queries][output_elements]; outputs in order, each (c, h, w)
 * @return SPX_OK, SPX_EINVAL (key of another set), SPX_EFORMAT (size), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_he_decrypt(const spx_he_plan *p, const spx_he_key *k, size_t queries,
                                         const uint8_t *response, size_t size, uint64_t *shares,
                                         spx_pool *pool);

#endif
