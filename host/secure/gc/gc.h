#ifndef SPX_GC_H
#define SPX_GC_H
/*
 * Garbled saturating ReLU on shares, n at a time. The garbler (client) holds c and r, the evaluator
 * (server) holds s; x = c + s mod 2^l as a signed l-bit number; the evaluator gets
 *     clamp(x >> f, 0, 2^a - 1) - r   mod 2^64,      r being any word the garbler chose before.
 * Both words reduce downward: any consumer of a ring 2^l', l' <= 64, takes their low l' bits.
 *
 * Half gates with free XOR and point-and-permute (eprint 2014/756); lsb(delta) = 1.
 *     carry      c_0 y_0, then carry ^ (carry ^ c_i)(carry ^ y_i) for i = 1..l-2. c is the
 *                garbler's, so it only swaps labels; the first gate is a garbler's half gate,
 *                one row, one label hashed.
 *     in range   p = pos and no bit f+a..l-2 set, pos = not bit l-1: t = l-1-f-a gates.
 *     output     out = p (X - S) + S pos, X the number of bits f..f+a-1, S = 2^a - 1 (p implies
 *                pos). Arithmetic mod 2^64, no further gates: with rho = lsb of p's zero label, the
 *                evaluator sees p' = p ^ rho. Each bit of X is projected, by one row, onto the pair
 *                (rho 2^i, (1 - 2 rho) 2^i), so the evaluator's sums are U = rho X + u and
 *                V = (1 - 2 rho) X + v; p's row lets it add V or not, as p' says, and takes v and
 *                S p back; pos's row adds S pos; one element makes all masks into r.
 * Each row hides behind the hash of a label that the evaluator does not have, the last element
 * behind r. Its view is uniform whatever c and x are, given the shares it ends up with. The widths
 * a > l-1-f cannot be reached; a is then taken as l-1-f.
 *
 * Stored at the evaluator, bytes a ReLU: 16 + 32 (l - 2) + 32 t + 16 a + 24 (l = 36, 48, 53, 58
 * with t = a = 8: 1512, 1896, 2056, 2216). Inputs: l labels.
 * check-figure: 16 + 32 * (36 - 2) + 32 * 8 + 16 * 8 + 24 == 1512
 * check-figure: 16 + 32 * (48 - 2) + 32 * 8 + 16 * 8 + 24 == 1896
 * check-figure: 16 + 32 * (53 - 2) + 32 * 8 + 16 * 8 + 24 == 2056
 * check-figure: 16 + 32 * (58 - 2) + 32 * 8 + 16 * 8 + 24 == 2216
 *
 * Hash: H(x) = AES_K(sigma(x)) ^ sigma(x), sigma(hi, lo) = (hi ^ lo, hi), K = start ^ tweak: eprint
 * 2019/1168. start is uniform, public, one a delta. One key serves one half gate of one group of 64
 * ReLUs, so mu = 64 of the hashes that the evaluator cannot make have one tweak. With AES an ideal
 * cipher, one that makes p AES calls tells q such hashes from random with at most
 * (2 mu p + (mu - 1) q) / 2^127. The reason: a call, forward or backward, meets one of the mu under
 * its key, or two of a key would have to collide. That is 128 bits less 1 (delta's fixed bit), 1
 * and log2(64) = 6: 120 bits, and the second term is below 2^-40 for 2^70 ReLUs. A key for each
 * ReLU would give 126.
 * Tweak, 128 bits, never twice under one delta:
 *     w[1] = domain, the caller's: unique for every (restart epoch, file, query, layer)
 *     w[0] = group << 16 | number of the key within a ReLU (2 a gate, 1 a projection; below 2^16)
 *
 * Layout: ReLUs are taken in groups of 64 lanes, a last one of fewer, rounded up to a multiple of
 * 8. Input wire (ReLU 64 g + v, bit i) is number 64 g l + i lanes(g) + v. Ask for no more than
 * these functions give: spx_gc_input_bits puts shares into that order.
 */
#include "kernels/base/pool.h"
#include "kernels/base/status.h"
#include "kernels/crypto/aes.h"
#include "kernels/crypto/prg.h"

#include <stddef.h>
#include <stdint.h>

/* check-figure: 128 - 1 - 1 - log2(SPX_GC_GROUP) == 120 */
#define SPX_GC_GROUP 64

/** 2 <= l <= 64 bits of the accumulator, 0 <= f <= l - 2 bits dropped, 1 <= a <= 32 bits kept. */
typedef struct spx_gc_params {
    int l, f, a;
} spx_gc_params;

/** The garbler's secret difference of labels and the public start of the hash's keys. */
typedef struct spx_gc_key {
    spx_block delta, start;
} spx_gc_key;

/** Uniform but for lsb(delta) = 1. Fresh for every batch of material and every peer. */
void spx_gc_key_draw(spx_gc_key *key, spx_prg *prg);

/** @return SPX_OK, or SPX_EINVAL naming what is out of range */
SPX_MUST_CHECK spx_status spx_gc_check(const spx_gc_params *p);

/* Lengths: public, of valid parameters; 0 if they overflow. */
/** AND gates of a ReLU, the first carry's half gate counted as one: l - 1 + t. */
size_t spx_gc_ands(const spx_gc_params *p);
/** Input wires of n ReLUs, padding included: labels, and so OTs, needed; a multiple of 8. */
size_t spx_gc_wires(const spx_gc_params *p, size_t n);
/** Bytes of the tables of n ReLUs, padding included. */
size_t spx_gc_table_bytes(const spx_gc_params *p, size_t n);

/**
 * The low l bits of shares in the order of the input wires.
 * @param words [n] the evaluator's shares; higher bits are ignored
 * @param bits  [spx_gc_wires / 8] packed, bit j of byte j / 8; padding is 0
 */
void spx_gc_input_bits(const spx_gc_params *p, size_t n, const uint64_t *words, uint8_t *bits);

/** One batch of one layer; a layer may be cut into several. */
typedef struct spx_gc_batch {
    spx_gc_params params;
    uint64_t domain; /* see above; the same for all batches of a layer */
    size_t first;    /* number in its layer of the batch's first ReLU, a multiple of 64 */
    size_t n;        /* ReLUs; but for a layer's last batch a multiple of 64 */
    spx_pool *pool;  /* threads over groups, NULL: none */
} spx_gc_batch;

/**
 * @param zero   [spx_gc_wires] zero labels: uniform, independent of each other and of the OTs' keys
 * @param c      [n] the garbler's shares; higher bits than l are ignored
 * @param r      [n] masks of the outputs, mod 2^64
 * @param tables [spx_gc_table_bytes] to send; at a multiple of 16
 * @return SPX_OK, SPX_EINVAL (parameters; first; lsb(delta) = 0; alignment), SPX_ENOMEM
 * Constant time in key->delta, zero, c and r. Pure: the same arguments give the same bytes.
 */
SPX_MUST_CHECK spx_status spx_gc_garble(const spx_gc_batch *b, const spx_gc_key *key,
                                        const spx_block *zero, const uint64_t *c, const uint64_t *r,
                                        uint8_t *tables);

/**
 * @param start    the garbler's key->start
 * @param labels   [spx_gc_wires] of the evaluator's inputs
 * @param tables   at a multiple of 16
 * @param n_tables bytes of tables; any other than spx_gc_table_bytes is refused
 * @param out      [n] clamp(x >> f, 0, 2^a - 1) - r mod 2^64
 * @return SPX_OK, SPX_EINVAL (parameters, first, alignment), SPX_EFORMAT (length), SPX_ENOMEM
 * Constant time in labels and tables. Damaged tables or labels cannot be seen: out is then noise.
 */
SPX_MUST_CHECK spx_status spx_gc_evaluate(const spx_gc_batch *b, spx_block start,
                                          const spx_block *labels, const uint8_t *tables,
                                          size_t n_tables, uint64_t *out);

#endif
