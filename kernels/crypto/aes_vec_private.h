#ifndef SPX_CRYPTO_AES_VEC_PRIVATE_H
#define SPX_CRYPTO_AES_VEC_PRIVATE_H
/*
 * A vector of LANES blocks for the three x86 builds of aes_x86.c, so that one text serves AES-NI
 * (1), VAES with AVX2 (2) and VAES with AVX-512 (4). Names say what happens in each block.
 */
#include "kernels/crypto/aes.h"

#include <immintrin.h>

#if defined(__AVX512F__)
#define LANES 4
typedef __m512i V;
#define OP(name) _mm512_##name
#define LOGIC(name) _mm512_##name##_si512
static inline V load(const void *p)
{
    return _mm512_loadu_si512(p);
}
static inline void store(spx_block *p, V x)
{
    _mm512_storeu_si512(p, x);
}
static inline V broadcast(__m128i x)
{
    return _mm512_broadcast_i32x4(x);
}
static inline V shift_bytes_4(V x)
{
    return _mm512_bslli_epi128(x, 4);
}
static inline V shift_bytes_8(V x)
{
    return _mm512_bslli_epi128(x, 8);
}
static inline V aes(V x, V k)
{
    return _mm512_aesenc_epi128(x, k);
}
static inline V aes_last(V x, V k)
{
    return _mm512_aesenclast_epi128(x, k);
}
static inline V swap_halves(V x)
{
    return _mm512_shuffle_epi32(x, (_MM_PERM_ENUM)0x4e);
}
static inline V low_words(V x)
{
    return _mm512_shuffle_epi32(x, (_MM_PERM_ENUM)0);
}
static inline V bit_masks(uint64_t bits)
{
    const V own = _mm512_set_epi64(8, 8, 4, 4, 2, 2, 1, 1);
    return _mm512_movm_epi64(_mm512_test_epi64_mask(_mm512_set1_epi64((long long)bits), own));
}
static inline V counters(uint64_t nonce, uint64_t c)
{
    const long long n = (long long)nonce;
    return _mm512_add_epi64(_mm512_set_epi64(n, 3, n, 2, n, 1, n, 0),
                            _mm512_maskz_set1_epi64(0x55, (long long)c));
}
#elif defined(__AVX2__)
#define LANES 2
typedef __m256i V;
#define OP(name) _mm256_##name
#define LOGIC(name) _mm256_##name##_si256
static inline V load(const void *p)
{
    return _mm256_loadu_si256((const V *)p);
}
static inline void store(spx_block *p, V x)
{
    _mm256_storeu_si256((V *)p, x);
}
static inline V broadcast(__m128i x)
{
    return _mm256_broadcastsi128_si256(x);
}
static inline V shift_bytes_4(V x)
{
    return _mm256_slli_si256(x, 4);
}
static inline V shift_bytes_8(V x)
{
    return _mm256_slli_si256(x, 8);
}
static inline V aes(V x, V k)
{
    return _mm256_aesenc_epi128(x, k);
}
static inline V aes_last(V x, V k)
{
    return _mm256_aesenclast_epi128(x, k);
}
static inline V swap_halves(V x)
{
    return _mm256_shuffle_epi32(x, 0x4e);
}
static inline V low_words(V x)
{
    return _mm256_shuffle_epi32(x, 0);
}
static inline V bit_masks(uint64_t bits)
{
    const V own = _mm256_set_epi64x(2, 2, 1, 1);
    return _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x((long long)bits), own), own);
}
static inline V counters(uint64_t nonce, uint64_t c)
{
    const long long n = (long long)nonce;
    return _mm256_set_epi64x(n, (long long)(c + 1), n, (long long)c);
}
#else
#define LANES 1
typedef __m128i V;
#define OP(name) _mm_##name
#define LOGIC(name) _mm_##name##_si128
static inline V load(const void *p)
{
    return _mm_loadu_si128((const V *)p);
}
static inline void store(spx_block *p, V x)
{
    _mm_storeu_si128((V *)p, x);
}
static inline V broadcast(__m128i x)
{
    return x;
}
static inline V shift_bytes_4(V x)
{
    return _mm_slli_si128(x, 4);
}
static inline V shift_bytes_8(V x)
{
    return _mm_slli_si128(x, 8);
}
static inline V aes(V x, V k)
{
    return _mm_aesenc_si128(x, k);
}
static inline V aes_last(V x, V k)
{
    return _mm_aesenclast_si128(x, k);
}
static inline V swap_halves(V x)
{
    return _mm_shuffle_epi32(x, 0x4e);
}
static inline V low_words(V x)
{
    return _mm_shuffle_epi32(x, 0);
}
static inline V bit_masks(uint64_t bits)
{
    return _mm_set1_epi64x((long long)(0 - (bits & 1)));
}
static inline V counters(uint64_t nonce, uint64_t c)
{
    return _mm_set_epi64x((long long)nonce, (long long)c);
}
#endif

static inline V xor_(V a, V b)
{
    return LOGIC(xor)(a, b);
}
static inline V and_(V a, V b)
{
    return LOGIC(and)(a, b);
}
static inline V block(const spx_block *p)
{
    return broadcast(_mm_load_si128((const __m128i *)p));
}

/* All ones where bit 0 of the block is set. */
static inline V lsb_masks(V x)
{
    return OP(srai_epi32)(OP(slli_epi32)(low_words(x), 31), 31);
}

/* (hi, lo) -> (hi ^ lo, hi). */
static inline V sigma(V x)
{
    const V high = broadcast(_mm_set_epi64x(-1, 0));
    return xor_(swap_halves(x), and_(x, high));
}

/* The blocks of x to p, p + stride, p + 2 stride ... */
static inline void store_apart(spx_block *p, size_t stride, V x)
{
#if LANES == 4
    _mm_store_si128((__m128i *)p, _mm512_castsi512_si128(x));
    _mm_store_si128((__m128i *)(p + stride), _mm512_extracti32x4_epi32(x, 1));
    _mm_store_si128((__m128i *)(p + 2 * stride), _mm512_extracti32x4_epi32(x, 2));
    _mm_store_si128((__m128i *)(p + 3 * stride), _mm512_extracti32x4_epi32(x, 3));
#elif LANES == 2
    _mm_store_si128((__m128i *)p, _mm256_castsi256_si128(x));
    _mm_store_si128((__m128i *)(p + stride), _mm256_extracti128_si256(x, 1));
#else
    (void)stride;
    _mm_store_si128((__m128i *)p, x);
#endif
}

#endif
