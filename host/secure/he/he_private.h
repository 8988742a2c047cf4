#ifndef SPX_HE_PRIVATE_H
#define SPX_HE_PRIVATE_H
#include "host/secure/he/he.h"

#include "kernels/crypto/ntt.h"

#include <stdbool.h>

#define HE_PRIMES 3
#define HE_SEED_BYTES 16 /* of a public stream, in a message */

/* What a set is; known without computing anything. */
typedef struct he_set {
    size_t n;
    int bits[HE_PRIMES]; /* prime i is just below 2^bits[i] */
} he_set;

extern const he_set he_sets[SPX_HE_SETS];

/* The first `primes` primes of a set as one modulus Q. */
typedef struct he_basis {
    uint64_t inverse[HE_PRIMES], inverse_shoup[HE_PRIMES]; /* 1 / (Q / q_i) mod q_i */
    spx_u128 rest[HE_PRIMES];                              /* Q / q_i mod 2^128 */
    spx_u128 modulus;                                      /* Q mod 2^128 */
} he_basis;

/* Tables of a set; made once, shared, never freed. */
typedef struct he_params {
    const he_set *set;
    spx_ntt *ntt[HE_PRIMES];
    const spx_modq *modq[HE_PRIMES];
    spx_u128 reciprocal[HE_PRIMES]; /* floor(2^128 / q_i) */
    uint64_t wrap[HE_PRIMES];       /* 2^128 mod q_i */
    he_basis basis[HE_PRIMES + 1];  /* by the number of primes, from 1 */
} he_params;

SPX_MUST_CHECK spx_status he_params_get(const he_params **out, int set);
int he_set_bits(const he_set *s); /* of q */

/*
 * x_i mod q_i, i < primes, of some x: x / Q as a fraction of 2^128, off by less than 2^48 units
 * (modulus switching needs no more than its top 80 bits).
 */
static inline spx_u128 he_fraction(const he_params *p, const uint64_t x[HE_PRIMES])
{
    const he_basis *b = &p->basis[HE_PRIMES];
    spx_u128 f = {0, 0};
    for (int i = 0; i < HE_PRIMES; i++) {
        const uint64_t y =
            spx_modq_mul_shoup(x[i], b->inverse[i], b->inverse_shoup[i], p->modq[i]->q);
        f = spx_u128_add(f, spx_u128_scale(p->reciprocal[i], y));
    }
    return f;
}

/* The x nearest zero with these residues, |x| < Q / 4, modulo 2^128. */
spx_u128 he_lift(const he_params *p, int primes, const uint64_t x[HE_PRIMES]);

/* a shifted by 0 <= s < 128; a modulo 2^s, 0 <= s <= 128; -a modulo 2^128. Shifts are public. */
static inline spx_u128 he_shift_right(spx_u128 a, int s)
{
    const spx_u128 b = s >= 64 ? (spx_u128){0, a.hi} : a;
    const int r = s % 64;
    return (spx_u128){b.hi >> r, b.lo >> r | b.hi << 1 << (63 - r)};
}

static inline spx_u128 he_shift_left(spx_u128 a, int s)
{
    const spx_u128 b = s >= 64 ? (spx_u128){a.lo, 0} : a;
    const int r = s % 64;
    return (spx_u128){b.hi << r | b.lo >> 1 >> (63 - r), b.lo << r};
}

static inline spx_u128 he_low_bits(spx_u128 a, int s)
{
    return s == 0 ? (spx_u128){0, 0} : he_shift_right(he_shift_left(a, 128 - s), 128 - s);
}

static inline spx_u128 he_negate(spx_u128 a)
{
    return spx_u128_add((spx_u128){~a.hi, ~a.lo}, (spx_u128){0, 1});
}

/* The top `bits` bits of a fraction of 2^128, rounded; 0 < bits < 128. */
static inline spx_u128 he_round(spx_u128 f, int bits)
{
    const spx_u128 half = he_shift_right((spx_u128){(uint64_t)1 << 63, 0}, bits);
    return he_shift_right(spx_u128_add(f, half), 128 - bits);
}

/* Bytes of n numbers of up to 57 bits, and those numbers to and from bytes, low bits first. */
size_t he_packed_bytes(size_t n, int bits);
void he_pack(uint8_t *out, const uint64_t *x, size_t n, int bits);
void he_unpack(uint64_t *x, const uint8_t *in, size_t n, int bits);
/* The same for numbers of up to 120 bits. */
size_t he_wide_bytes(size_t n, int bits);
void he_pack_wide(uint8_t *out, const spx_u128 *x, size_t n, int bits);
void he_unpack_wide(spx_u128 *x, const uint8_t *in, size_t n, int bits);

/* Uses of a stream; no two share counters. */
typedef enum he_use { HE_UNIFORM, HE_SECRET, HE_ERROR, HE_BLIND, HE_MASK, HE_FLOOD } he_use;

/* The words at [first, first + n) of a use's stream number `index`; first even. n is rounded up to
 * even: so must be the room. */
void he_words(const spx_keystream *s, he_use use, uint64_t index, size_t first, uint64_t *out,
              size_t n);

/* The public polynomial number `index` of a seed, in values; words: scratch, [n]. */
void he_uniform(const he_params *p, const spx_keystream *s, uint64_t index, int prime,
                uint64_t *out, uint64_t *words);

/* Of what everybody sees: the seed is a key alone, as it travels. */
void he_public_stream(spx_keystream *s, const uint8_t seed[HE_SEED_BYTES]);
/* Of secrets: a whole seed, drawn. */
void he_secret_stream(spx_keystream *s, spx_prg *prg);

/* b of a ciphertext in a message: all primes' values; false where a residue is out of range. */
size_t he_poly_bytes(const he_set *s);
void he_write_poly(const he_params *p, uint8_t *out, const uint64_t *x);
bool he_read_poly(const he_params *p, uint64_t *x, const uint8_t *in);

/* One channel of one phase of a value split by strides: rows y * split + py, columns likewise. */
typedef struct he_sub {
    int value, split, py, px;
    int64_t channel, rows, cols;
} he_sub;

/* weight r * S + s of a kernel lands at this power of X, relative to its block. */
typedef struct he_tap {
    uint32_t weight, at;
} he_tap;

typedef struct he_taps {
    size_t first, count;
} he_taps;

struct spx_he_plan {
    spx_he_facts facts;
    const he_params *params;
    int l, weight_bits, inputs, outputs, convs;
    spx_he_value *input, *output;
    spx_he_conv *conv;
    size_t *input_at, *output_at; /* first element of each value */
    int *input_split, *output_split;
    he_sub *in, *out; /* all channels of all values */
    size_t in_n, out_n;
    int64_t row, block;     /* powers of X from row to row, from block to block */
    int64_t dy_min, dx_min; /* offsets of taps: <= 0 and, below, >= 0 */
    int64_t dy_max, dx_max;
    int64_t tiles, tile_rows; /* of output rows */
    int64_t in_rows;          /* of a tile */
    int64_t per_in, per_out;  /* channels of a polynomial */
    size_t in_groups, out_groups;
    he_taps *taps;          /* of a convolution: [output phase][input phase] */
    size_t *taps_at;        /* first of each convolution */
    size_t *in_at, *out_at; /* of each convolution: where its values' channels begin in in, out */
    he_tap *tap;
    bool *joined;        /* [out_groups][in_groups] */
    size_t *response_at; /* [out_groups * tiles + 1], bytes of a query's response */
    uint64_t encode[HE_PRIMES], encode_shoup[HE_PRIMES]; /* -1 / t mod q_i */
};

/* Fills the noise's part of the facts; false where the budget does not hold. */
bool he_noise(const he_set *s, int l, int weight_bits, double terms, spx_he_facts *f);

/* The noise's analysis holds for weights in range: 1 where one of them, all looked at, is beyond.
 * That ends the exchange, so the answer is public; there is no other branch on weights. */
uint64_t he_weights_beyond(const spx_he_plan *p, const int32_t *const *weights);

/* Subsampled images that a channel is split into, every split-th row and column. */
static inline size_t he_phases(int split)
{
    return (size_t)(split * split);
}

/* Input row that lies first in tile t. */
static inline int64_t he_tile_base(const spx_he_plan *p, int64_t tile)
{
    return p->tiles == 1 ? 0 : tile * p->tile_rows + p->dy_min;
}

/* Where output (0, 0) of slot m of a polynomial's channels lies, rows counted from the tile's
 * base; the input channel in slot c lies at c * per_out * block. */
static inline int64_t he_output_at(const spx_he_plan *p, int64_t m)
{
    return ((p->per_in - 1) * p->per_out + m) * p->block + p->dy_max * p->row + p->dx_max;
}

/*
 * The coefficients that response (group, tile) returns, in order: out[i] is the i-th, at power
 * `coefficient` of X, and is element `element` of a query's outputs. Returns how many, at most n.
 */
typedef struct he_place {
    uint32_t coefficient;
    uint32_t element;
} he_place;
size_t he_returned(const spx_he_plan *p, size_t group, int64_t tile, he_place *out);

/* round(q m / t) mod q_i for m modulo t = 2^l. */
static inline uint64_t he_encode(const spx_he_plan *p, int i, uint64_t m)
{
    const int s = 64 - p->l;
    const uint64_t r = (p->params->basis[HE_PRIMES].modulus.lo * m) << s; /* q m mod t, on top */
    const uint64_t sign = 0 - (r >> 63);
    const uint64_t centred = s == 0 ? r : r >> s | (sign << (64 - s));
    const spx_modq *q = p->params->modq[i];
    return spx_modq_mul_shoup(spx_modq_from_signed((int64_t)centred, q), p->encode[i],
                              p->encode_shoup[i], q->q);
}

/* x mod q for a small signed x, |x| < q */
static inline uint64_t he_small(int32_t x, uint64_t q)
{
    const uint64_t y = (uint64_t)(int64_t)x;
    return y + (q & (0 - (y >> 63)));
}

struct spx_he_key {
    const he_params *params;
    int set;
    uint8_t seed[HE_SEED_BYTES]; /* of the public key's first component */
    uint64_t *minus_secret;      /* [primes][n] values of -s */
    uint64_t *second;            /* [primes][n] values of the public key's second component */
};

struct spx_he_public {
    const he_params *params;
    int set;
    uint64_t returned;
    uint64_t *first, *second; /* [primes][n] values */
};

/*
 * spx_he_evaluate; tests look at what each response is before errors, masks and floods: first and
 * second are [primes][n] coefficients.
 */
typedef void (*he_probe)(void *ctx, size_t query, size_t response, const uint64_t *first,
                         const uint64_t *second);
SPX_MUST_CHECK spx_status he_evaluate(const spx_he_plan *p, spx_he_public *pk,
                                      const int32_t *const *weights, spx_prg *prg, size_t queries,
                                      const uint8_t *request, size_t size, uint8_t *response,
                                      uint64_t *masks, spx_pool *pool, he_probe probe, void *ctx);

#endif
