/*
 * The transform in double precision, four lanes: x w = h + l exactly, h the rounded product, l by a
 * fused multiply-add; c, near x w / q; then x w - c q = (h - c q) + l, both steps exact because the
 * results are integers below 2^48 (van der Hoeven and Lecerf, arXiv:1407.3383). With |x| < 2^50,
 * c is off by at most 1/2 + 2^-2, so products lie within 0.76 q; values grow by that a level:
 * 1 + 13 * 0.76 < 11, and 11 * 2^46 < 2^50.
 */
#include "kernels/crypto/ntt_private.h"

#include <immintrin.h>

#define LANES ((size_t)4)
#define TABLES(t) ((t)->real)
typedef __m256d V;

typedef struct K {
    V q, inverse;
} K;

static inline V v_set(uint64_t bits)
{
    return _mm256_castsi256_pd(_mm256_set1_epi64x((long long)bits));
}

static inline K k_make(const spx_ntt *t)
{
    const double q = (double)t->m.q;
    const K k = {_mm256_set1_pd(q), _mm256_set1_pd(1.0 / q)};
    return k;
}

static inline V v_load(const uint64_t *p)
{
    return _mm256_load_pd((const double *)(const void *)p);
}

static inline void v_store(uint64_t *p, V x)
{
    _mm256_store_pd((double *)(void *)p, x);
}

/* Integers below 2^52 are the mantissa of 2^52 + themselves. */
static inline V v_in(const uint64_t *p)
{
    const V magic = _mm256_set1_pd(0x1p52);
    return _mm256_sub_pd(_mm256_or_pd(v_load(p), magic), magic);
}

static inline V v_round(V x)
{
#if defined(SPX_UNDER_MSAN)
    /* It takes the instruction, which it does not know, for a use; the same below 2^51. */
    const V magic = _mm256_set1_pd(0x1.8p52);
    return _mm256_sub_pd(_mm256_add_pd(x, magic), magic);
#endif
    return _mm256_round_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline V v_reduce(V x, K k)
{
    return _mm256_fnmadd_pd(v_round(_mm256_mul_pd(x, k.inverse)), k.q, x);
}

static inline void v_out(uint64_t *p, V x, K k)
{
    const V magic = _mm256_set1_pd(0x1p52), r = v_reduce(x, k);
    const V up = _mm256_and_pd(_mm256_cmp_pd(r, _mm256_setzero_pd(), _CMP_LT_OQ), k.q);
    v_store(p, _mm256_xor_pd(_mm256_add_pd(_mm256_add_pd(r, up), magic), magic));
}

static inline V v_add(V u, V v)
{
    return _mm256_add_pd(u, v);
}

static inline V v_sub(V u, V v, int c, K k)
{
    (void)c; /* signed: nothing to keep above zero */
    (void)k;
    return _mm256_sub_pd(u, v);
}

static inline V v_mul(V x, V w, V ratio, K k)
{
    const V h = _mm256_mul_pd(x, w), c = v_round(_mm256_mul_pd(x, ratio));
    return _mm256_add_pd(_mm256_fnmadd_pd(c, k.q, h), _mm256_fmsub_pd(x, w, h));
}

/* {p[0], p[0], p[1], p[1]} */
static inline V v_twice(const uint64_t *p)
{
    const V two = _mm256_broadcast_pd((const __m128d *)(const void *)p);
    return _mm256_permute_pd(two, 0xC);
}

static inline V low_halves(V a, V b)
{
    return _mm256_permute2f128_pd(a, b, 0x20);
}

static inline V high_halves(V a, V b)
{
    return _mm256_permute2f128_pd(a, b, 0x31);
}

static inline void tail_forward(const ntt_roots *f, size_t n, size_t pair, V *a, V *b, K k);
static inline void tail_inverse(const ntt_roots *f, size_t n, size_t pair, V *a, V *b, K k);

#include "kernels/crypto/ntt_vector_private.h"

/* Distances 2 and 1 within eight values. */
static inline void tail_forward(const ntt_roots *f, size_t n, size_t pair, V *a, V *b, K k)
{
    const size_t two = n / 4 + 2 * pair, one = n / 2 + 4 * pair;
    const roots r2 = {v_twice(f->w + two), v_twice(f->ratio + two)};
    const roots r1 = {v_load(f->w + one), v_load(f->ratio + one)};
    V u = low_halves(*a, *b), v = high_halves(*a, *b), s, d;
    down(&u, &v, r2, k);
    s = _mm256_unpacklo_pd(u, v);
    d = _mm256_unpackhi_pd(u, v);
    down(&s, &d, r1, k);
    u = _mm256_unpacklo_pd(s, d);
    v = _mm256_unpackhi_pd(s, d);
    *a = low_halves(u, v);
    *b = high_halves(u, v);
}

static inline void tail_inverse(const ntt_roots *f, size_t n, size_t pair, V *a, V *b, K k)
{
    const size_t two = n / 4 + 2 * pair, one = n / 2 + 4 * pair;
    V u = low_halves(*a, *b), v = high_halves(*a, *b);
    V s = _mm256_unpacklo_pd(u, v), d = _mm256_unpackhi_pd(u, v);
    up(&s, &d, 4, v_load(f->w + one), v_load(f->ratio + one), k);
    u = _mm256_unpacklo_pd(s, d);
    v = _mm256_unpackhi_pd(s, d);
    up(&u, &v, 4, v_twice(f->w + two), v_twice(f->ratio + two), k);
    *a = low_halves(u, v);
    *b = high_halves(u, v);
}

/* Each product is reduced to 0.51 q: 64 of them stay below 2^52. */
static void dot(const spx_ntt *t, uint64_t *sum, size_t terms, const uint64_t *const x[],
                const uint64_t *const w[])
{
    const K k = k_make(t);
    for (size_t j = 0; j < t->n; j += LANES) {
        V s = v_in(sum + j);
        for (size_t i = 0; i < terms; i++) {
            const V a = v_in(x[i] + j), b = v_in(w[i] + j), h = _mm256_mul_pd(a, b);
            const V c = v_round(_mm256_mul_pd(h, k.inverse));
            const V l = _mm256_fmsub_pd(a, b, h);
            s = _mm256_add_pd(s, _mm256_add_pd(_mm256_fnmadd_pd(c, k.q, h), l));
        }
        v_out(sum + j, s, k);
    }
}

const ntt_ops ntt_ops_avx2 = {"avx2", forward, inverse, dot};
