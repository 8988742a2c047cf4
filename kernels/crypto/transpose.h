#ifndef SPX_CRYPTO_TRANSPOSE_H
#define SPX_CRYPTO_TRANSPOSE_H
/* Transposes of bit matrices. Bit j of a row is bit j % 8 of its byte j / 8. Constant time. */
#include "kernels/crypto/aes.h"

#include <stddef.h>
#include <stdint.h>

/**
 * out[j] bit i = row i bit j, for 128 rows of n bits.
 * @param rows   row i begins at rows + i * stride
 * @param stride bytes, at least n / 8
 * @param n      columns, a multiple of 512
 * @param out    [n]; must not overlap rows
 */
void spx_transpose_128(const uint8_t *rows, size_t stride, size_t n, spx_block *out);

/** out[j] bit i = in[i] bit j: 64 rows of 64 bits; out and in may be the same array. */
void spx_transpose_64(const uint64_t in[64], uint64_t out[64]);

#endif
