/*
 * CRC-32 by carry-less multiplication (Gopal and others, "Fast CRC Computation for Generic
 * Polynomials Using PCLMULQDQ Instruction", Intel, 2009). A remainder modulo P does not change when
 * a part of the message, a(x) x^n, becomes a(x) (x^n mod P): so 64 bytes at a time are folded onto
 * the next 64, these onto 16, and those reduced.
 *
 * Bits are reflected: the lowest is the highest power. A constant x^n is the reflection of
 * x^n mod P over 32 bits, times x; P is 0x104c11db7.
 */
#include "data/pack/pack_crc_private.h"

#include <immintrin.h>

/* Two constants, for the lower and the upper half of what is folded. */
#define FOLD_64_LOW 0x154442bd4ULL  /* x^(512 + 32) mod P, reflected */
#define FOLD_64_HIGH 0x1c6e41596ULL /* x^(512 - 32) */
#define FOLD_16_LOW 0x1751997d0ULL  /* x^(128 + 32) */
#define FOLD_16_HIGH 0x0ccaa009eULL /* x^(128 - 32) */
#define FOLD_8 0x163cd6124ULL       /* x^64 */
#define BY_P 0x1f7011641ULL         /* x^64 / P, the quotient */
#define P 0x1db710641ULL

static inline __m128i pair(uint64_t low, uint64_t high)
{
    return _mm_set_epi64x((long long)high, (long long)low);
}

static inline __m128i load(const uint8_t *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

static inline __m128i fold(__m128i x, __m128i by, __m128i onto)
{
    const __m128i low = _mm_clmulepi64_si128(x, by, 0x00);
    const __m128i high = _mm_clmulepi64_si128(x, by, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), onto);
}

/* 128 bits to 32: folded to 96, to 64, and then by Barrett's division. */
static inline uint32_t reduce(__m128i x)
{
    const __m128i low32 = pair(UINT32_MAX, UINT32_MAX), divide = pair(P, BY_P);
    __m128i q;
    x = _mm_xor_si128(_mm_srli_si128(x, 8), _mm_clmulepi64_si128(x, pair(0, FOLD_16_HIGH), 0x10));
    x = _mm_xor_si128(_mm_srli_si128(x, 4),
                      _mm_clmulepi64_si128(_mm_and_si128(x, low32), pair(FOLD_8, 0), 0x00));
    q = _mm_clmulepi64_si128(_mm_and_si128(x, low32), divide, 0x10);
    q = _mm_clmulepi64_si128(_mm_and_si128(q, low32), divide, 0x00);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(x, q), 1);
}

uint32_t spx_pack_crc_clmul(const void *bytes, size_t size)
{
    const __m128i by_64 = pair(FOLD_64_LOW, FOLD_64_HIGH);
    const __m128i by_16 = pair(FOLD_16_LOW, FOLD_16_HIGH);
    const uint8_t *at = bytes;
    __m128i x[4];
    for (int i = 0; i < 4; i++) {
        x[i] = load(at + 16 * i);
    }
    x[0] = _mm_xor_si128(x[0], _mm_cvtsi32_si128(-1)); /* the remainder before the first byte */
    for (at += 64, size -= 64; size >= 64; at += 64, size -= 64) {
        for (int i = 0; i < 4; i++) {
            x[i] = fold(x[i], by_64, load(at + 16 * i));
        }
    }
    for (int i = 1; i < 4; i++) {
        x[0] = fold(x[0], by_16, x[i]);
    }
    for (; size >= 16; at += 16, size -= 16) {
        x[0] = fold(x[0], by_16, load(at));
    }
    return ~reduce(x[0]);
}
