#include "kernels/crypto/aes.h"

#include "kernels/crypto/crypto_kernels.h"
#include "kernels/crypto/ct.h"
#include "kernels/crypto/transpose.h"

#include <sodium.h>
#include <string.h>

void spx_aes_expand(spx_aes_key *out, const spx_block *keys, size_t n)
{
    spx_crypto_table()->expand(out, keys, n);
}

void spx_aes_encrypt(const spx_aes_key *key, const spx_block *in, spx_block *out, size_t n)
{
    spx_crypto_table()->encrypt(key, in, out, n);
}

void spx_aes_ctr(const spx_aes_key *key, uint64_t nonce, uint64_t first, spx_block *out, size_t n)
{
    spx_crypto_table()->ctr(key, nonce, first, out, n);
}

void spx_transpose_128(const uint8_t *rows, size_t stride, size_t n, spx_block *out)
{
    spx_crypto_table()->transpose_128(rows, stride, n, out);
}

/* Swaps ever smaller off-diagonal squares (Warren, Hacker's Delight, 7-3). */
void spx_transpose_64(const uint64_t in[64], uint64_t out[64])
{
    uint64_t mask = 0x00000000ffffffffu;
    memmove(out, in, 64 * sizeof *out);
    for (unsigned step = 32; step != 0; step >>= 1, mask ^= mask << step) {
        for (unsigned i = 0; i < 64; i = (i + step + 1) & ~step) {
            const uint64_t t = ((out[i] >> step) ^ out[i + step]) & mask;
            out[i] ^= t << step;
            out[i + step] ^= t;
        }
    }
}

void spx_wipe(void *p, size_t n)
{
    if (n != 0) {
        sodium_memzero(p, n);
    }
}
