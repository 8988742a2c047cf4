#ifndef SPX_CRYPTO_KERNELS_H
#define SPX_CRYPTO_KERNELS_H
/*
 * The AES side's inner loops, one table an instruction set. Callers with many small calls take the
 * table once; aes.h and transpose.h wrap single calls. All are constant time in everything but
 * counts, and give the same bytes in every table. Arrays need no more than 16-byte alignment.
 *
 * H(key, x) = AES(key, sigma(x)) ^ sigma(x), sigma(hi, lo) = (hi ^ lo, hi): the tweakable circular
 * correlation robust hash of eprint 2019/1168 (the key is the tweak; sigma as in eprint 2019/074).
 */
#include "kernels/crypto/aes.h"
#include "kernels/crypto/crypto_isa.h"

#define SPX_HALFGATE_LANES 64 /* at most; a multiple of 8 */
#define SPX_LEAVES 16         /* of a tree */
#define SPX_LEAVES_BLOCKS 16  /* of a row, at most; a multiple of 4 */

typedef struct spx_crypto_kernels {
    void (*expand)(spx_aes_key *out, const spx_block *keys, size_t n);
    void (*encrypt)(const spx_aes_key *key, const spx_block *in, spx_block *out, size_t n);
    void (*ctr)(const spx_aes_key *key, uint64_t nonce, uint64_t first, spx_block *out, size_t n);

    /* out[i] = H(key, in[i]); out may be in. */
    void (*hash)(const spx_aes_key *key, const spx_block *in, spx_block *out, size_t n);

    /* out[i] = in[i] ^ bit i of bits (packed, n / 8 bytes rounded up) * delta; out may be in. */
    void (*flip)(const spx_block *in, const uint8_t *bits, spx_block delta, spx_block *out,
                 size_t n);

    /*
     * An AND gate by half gates (eprint 2014/756, figure 1) on lanes independent instances:
     *     out[i] = x[i] ^ zero label of (a ^ flip_a)(b ^ flip_b), where flips, bit i of the word
     * each, swap the meaning of an input's labels. rows: the garbler's row of every lane, then the
     * evaluator's. key[0] hashes a, key[1] b. out may be any input.
     */
    void (*garble_and)(const spx_aes_key key[2], size_t lanes, spx_block delta, const spx_block *a,
                       uint64_t flip_a, const spx_block *b, uint64_t flip_b, const spx_block *x,
                       spx_block *out, spx_block *rows);
    /* out[i] = x[i] ^ label of a b. */
    void (*evaluate_and)(const spx_aes_key key[2], size_t lanes, const spx_block *a,
                         const spx_block *b, const spx_block *x, const spx_block *rows,
                         spx_block *out);

    /*
     * One punctured tree's share of a small-field VOLE, streams s_y = AES(key[y], counters first,
     * first + 1, ...), blocks of them (at most SPX_LEAVES_BLOCKS, a multiple of 4):
     *     u = XOR over y >= from of s_y,   v[bit] = XOR over y >= from having that bit of s_y
     * @param from 0 or 1; key[y] for y < from is not read
     * @param v    four rows of SPX_LEAVES_BLOCKS, one after the other
     */
    void (*leaves)(const spx_aes_key key[SPX_LEAVES], int from, uint64_t first, size_t blocks,
                   spx_block *u, spx_block *v);

    void (*transpose_128)(const uint8_t *rows, size_t stride, size_t n, spx_block *out);
} spx_crypto_kernels;

/** The table in use (spx_crypto_isa_used); never NULL. */
const spx_crypto_kernels *spx_crypto_table(void);

#endif
