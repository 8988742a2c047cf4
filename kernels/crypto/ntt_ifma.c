/*
 * The transform in 52-bit arithmetic, eight lanes of AVX-512 IFMA: Shoup's reduction with
 * ratio = floor(w 2^52 / q) leaves products in [0, 2q) for any x < 2^52. Bounds beside the levels.
 *
 * Between levels a lane holds its value modulo 2^52, whatever above: multiplications read the low
 * 52 bits only, and every true value is below 2^52. So products subtract by adding the complement,
 * in the accumulator of the instruction, and nothing is masked before v_out.
 */
#include "kernels/crypto/ntt_private.h"

#include <immintrin.h>

#define LANES ((size_t)8)
#define TABLES(t) ((t)->ifma)
typedef __m512i V;

typedef struct K {
    V q, minus_q, inverse; /* 2^52 - q, floor(2^52 / q) */
    V mask, zero;
    V bias[3]; /* 2q, 4q, 8q */
} K;

static inline V v_set(uint64_t bits)
{
    return _mm512_set1_epi64((long long)bits);
}

static inline K k_make(const spx_ntt *t)
{
    const uint64_t q = t->m.q;
    const K k = {v_set(q),
                 v_set(((uint64_t)1 << 52) - q),
                 v_set(((uint64_t)1 << 52) / q),
                 v_set(((uint64_t)1 << 52) - 1),
                 _mm512_setzero_si512(),
                 {v_set(2 * q), v_set(4 * q), v_set(8 * q)}};
    return k;
}

static inline V v_load(const uint64_t *p)
{
    return _mm512_load_si512(p);
}

static inline void v_store(uint64_t *p, V x)
{
    _mm512_store_si512(p, x);
}

static inline V v_in(const uint64_t *p)
{
    return v_load(p);
}

/* x - floor(x inverse / 2^52) q: the quotient is at most 1 too small. */
static inline V v_reduce(V x, K k)
{
    return _mm512_madd52lo_epu64(x, _mm512_madd52hi_epu64(k.zero, x, k.inverse), k.minus_q);
}

/* x - q where that is not negative */
static inline V v_once(V x, K k)
{
    return _mm512_min_epu64(x, _mm512_sub_epi64(x, k.q));
}

static inline void v_out(uint64_t *p, V x, K k)
{
    v_store(p, v_once(_mm512_and_si512(v_reduce(x, k), k.mask), k));
}

static inline V v_add(V u, V v)
{
    return _mm512_add_epi64(u, v);
}

static inline V v_sub(V u, V v, int c, K k)
{
    return _mm512_add_epi64(u, _mm512_sub_epi64(k.bias[c / 4], v));
}

static inline V v_mul(V x, V w, V ratio, K k)
{
    const V c = _mm512_madd52hi_epu64(k.zero, x, ratio);
    return _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(k.zero, x, w), c, k.minus_q);
}

static inline void tail_forward(const ntt_roots *f, size_t n, size_t pair, V *a, V *b, K k);
static inline void tail_inverse(const ntt_roots *f, size_t n, size_t pair, V *a, V *b, K k);

#include "kernels/crypto/ntt_vector_private.h"

/* Two roots, four lanes each. */
static inline V v_spread2(const uint64_t *p)
{
    const V two = _mm512_broadcast_i64x2(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm512_permutexvar_epi64(_mm512_set_epi64(1, 1, 1, 1, 0, 0, 0, 0), two);
}

/* Four roots, two lanes each. */
static inline V v_spread4(const uint64_t *p)
{
    const V four = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)p));
    return _mm512_permutexvar_epi64(_mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0), four);
}

static inline V low_halves(V a, V b)
{
    return _mm512_shuffle_i64x2(a, b, 0x44);
}

static inline V high_halves(V a, V b)
{
    return _mm512_shuffle_i64x2(a, b, 0xEE);
}

/* Of each pair of 128-bit quarters: the first of a, the first of b. */
static inline V even_quarters(V a, V b)
{
    return _mm512_permutex2var_epi64(a, _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0), b);
}

static inline V odd_quarters(V a, V b)
{
    return _mm512_permutex2var_epi64(a, _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2), b);
}

/* Quarters 0 and 1 of a and of b in turn, then 2 and 3. */
static inline V merge_low(V a, V b)
{
    return _mm512_permutex2var_epi64(a, _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), b);
}

static inline V merge_high(V a, V b)
{
    return _mm512_permutex2var_epi64(a, _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4), b);
}

/* Distances 4, 2 and 1 within sixteen values. */
static inline void tail_forward(const ntt_roots *f, size_t n, size_t pair, V *a, V *b, K k)
{
    const size_t four = n / 8 + 2 * pair, two = n / 4 + 4 * pair, one = n / 2 + 8 * pair;
    const roots r4 = {v_spread2(f->w + four), v_spread2(f->ratio + four)};
    const roots r2 = {v_spread4(f->w + two), v_spread4(f->ratio + two)};
    const roots r1 = {v_load(f->w + one), v_load(f->ratio + one)};
    V u = low_halves(*a, *b), v = high_halves(*a, *b), s, d;
    down(&u, &v, r4, k);
    s = even_quarters(u, v);
    d = odd_quarters(u, v);
    down(&s, &d, r2, k);
    u = _mm512_unpacklo_epi64(s, d);
    v = _mm512_unpackhi_epi64(s, d);
    down(&u, &v, r1, k);
    s = _mm512_unpacklo_epi64(u, v);
    d = _mm512_unpackhi_epi64(u, v);
    *a = merge_low(s, d);
    *b = merge_high(s, d);
}

static inline void tail_inverse(const ntt_roots *f, size_t n, size_t pair, V *a, V *b, K k)
{
    const size_t four = n / 8 + 2 * pair, two = n / 4 + 4 * pair, one = n / 2 + 8 * pair;
    V s = _mm512_shuffle_i64x2(*a, *b, 0x88), d = _mm512_shuffle_i64x2(*a, *b, 0xDD);
    V u = _mm512_unpacklo_epi64(s, d), v = _mm512_unpackhi_epi64(s, d);
    up(&u, &v, 2, v_load(f->w + one), v_load(f->ratio + one), k);
    s = _mm512_unpacklo_epi64(u, v);
    d = _mm512_unpackhi_epi64(u, v);
    up(&s, &d, 2, v_spread4(f->w + two), v_spread4(f->ratio + two), k);
    u = even_quarters(s, d);
    v = odd_quarters(s, d);
    up(&u, &v, 4, v_spread2(f->w + four), v_spread2(f->ratio + four), k);
    u = v_reduce(u, k);
    *a = low_halves(u, v);
    *b = high_halves(u, v);
}

/* Low and high halves of 64 products stay within 64 bits; one reduction an element. */
static void dot(const spx_ntt *t, uint64_t *sum, size_t terms, const uint64_t *const x[],
                const uint64_t *const w[])
{
    const K k = k_make(t);
    const uint64_t shift = ((uint64_t)1 << 52) % t->m.q; /* the high half's weight */
    const V weight = v_set(shift), ratio = v_set(spx_modq_shoup(shift, t->m.q) >> 12);
    for (size_t j = 0; j < t->n; j += LANES) {
        V lo = v_load(sum + j), hi = k.zero;
        for (size_t i = 0; i < terms; i++) {
            const V a = v_load(x[i] + j), b = v_load(w[i] + j);
            lo = _mm512_madd52lo_epu64(lo, a, b);
            hi = _mm512_madd52hi_epu64(hi, a, b);
        }
        hi = _mm512_add_epi64(hi, _mm512_srli_epi64(lo, 52));
        lo = v_reduce(_mm512_and_si512(lo, k.mask), k);
        v_out(sum + j, _mm512_add_epi64(lo, v_mul(hi, weight, ratio, k)), k);
    }
}

const ntt_ops ntt_ops_ifma = {"ifma", forward, inverse, dot};
