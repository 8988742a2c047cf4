#ifndef SPX_CRYPTO_AES_H
#define SPX_CRYPTO_AES_H
/*
 * AES-128 encryption (FIPS 197), many blocks or many keys a call. Constant time in keys and data:
 * the portable code is bitsliced, the others use the processor's AES instructions. Every function
 * gives the same bytes in every variant (kernels/crypto/crypto_isa.h).
 */
#include <stddef.h>
#include <stdint.h>

/** 16 bytes; w[0] holds bytes 0..7, little endian. "lsb" of a block is bit 0 of w[0]. */
typedef struct spx_block {
    _Alignas(16) uint64_t w[2];
} spx_block;

/** The eleven round keys; secret as the key. */
typedef struct spx_aes_key {
    spx_block round[11];
} spx_aes_key;

/**
 * out[i] = round keys of keys[i]; the schedules of a call are pipelined.
 * @param keys [n] secret
 * @param out  [n]; must not overlap keys
 */
void spx_aes_expand(spx_aes_key *out, const spx_block *keys, size_t n);

/**
 * out[i] = AES(key, in[i]).
 * @param in, out [n] blocks, the same array or apart; n = 0 is a no-op
 */
void spx_aes_encrypt(const spx_aes_key *key, const spx_block *in, spx_block *out, size_t n);

/**
 * Counter mode: out[i] = AES(key, {first + i mod 2^64, nonce}), w[0] being the counter. A (key,
 * nonce, counter) must never serve twice.
 */
void spx_aes_ctr(const spx_aes_key *key, uint64_t nonce, uint64_t first, spx_block *out, size_t n);

#endif
