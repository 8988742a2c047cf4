/*
 * The AES side by the processor's AES instructions; compiled three times (aes_vec_private.h). Lines
 * of states go through the rounds together, so that instructions overlap: their latency is four or
 * more times what each takes of the unit.
 */
#include "kernels/base/variant.h"
#include "kernels/crypto/aes_vec_private.h"
#include "kernels/crypto/crypto_private.h"
#include "kernels/crypto/ct.h"

#include <string.h>

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif
#define INLINE static inline __attribute__((always_inline))

/* s[0..n) through all rounds, n a constant of the caller's. */
INLINE void rounds(const spx_aes_key *key, V *s, int n)
{
    V k = block(&key->round[0]);
    UNROLL
    for (int i = 0; i < n; i++) {
        s[i] = xor_(s[i], k);
    }
    for (int r = 1; r < 10; r++) {
        k = block(&key->round[r]);
        UNROLL
        for (int i = 0; i < n; i++) {
            s[i] = aes(s[i], k);
        }
    }
    k = block(&key->round[10]);
    UNROLL
    for (int i = 0; i < n; i++) {
        s[i] = aes_last(s[i], k);
    }
}

/* Two keys, n states each, through all rounds. */
INLINE void rounds_of_two(const spx_aes_key key[2], V *s, V *t, int n)
{
    V k = block(&key[0].round[0]), m = block(&key[1].round[0]);
    UNROLL
    for (int i = 0; i < n; i++) {
        s[i] = xor_(s[i], k);
        t[i] = xor_(t[i], m);
    }
    for (int r = 1; r < 10; r++) {
        k = block(&key[0].round[r]);
        m = block(&key[1].round[r]);
        UNROLL
        for (int i = 0; i < n; i++) {
            s[i] = aes(s[i], k);
            t[i] = aes(t[i], m);
        }
    }
    k = block(&key[0].round[10]);
    m = block(&key[1].round[10]);
    UNROLL
    for (int i = 0; i < n; i++) {
        s[i] = aes_last(s[i], k);
        t[i] = aes_last(t[i], m);
    }
}

/* Fewer blocks than a vector has, through a whole one. */
INLINE V load_part(const spx_block *p, size_t n)
{
    spx_block part[LANES] = {0};
    memcpy(part, p, n * sizeof *part);
    return load(part);
}

INLINE void store_part(spx_block *p, V x, size_t n)
{
    spx_block part[LANES];
    store(part, x);
    memcpy(p, part, n * sizeof *part);
}

/* Round r of n keys, at most LANES. */
INLINE void store_round(spx_aes_key *out, size_t n, int r, V x)
{
    spx_block part[LANES];
    if (n == LANES) {
        store_apart(&out->round[r], sizeof *out / sizeof *part, x);
        return;
    }
    store(part, x);
    for (size_t i = 0; i < n; i++) {
        out[i].round[r] = part[i];
    }
}

/*
 * With four equal columns ShiftRows does nothing, so AESENCLAST of a word in every column is
 * SubWord of it in every column, plus the round constant.
 */
static void expand(spx_aes_key *out, const spx_block *keys, size_t n)
{
    static const uint8_t rcon[11] = {0, 1, 2, 4, 8, 16, 32, 64, 128, 27, 54};
    const V rotated = broadcast(_mm_set1_epi32(0x0c0f0e0d)); /* the last word, by one byte */
    for (size_t i = 0; i < n; i += LANES) {
        const size_t m = n - i < LANES ? n - i : LANES;
        V x = m == LANES ? load(keys + i) : load_part(keys + i, m);
        store_round(out + i, m, 0, x);
        for (int r = 1; r < 11; r++) {
            const V word = aes_last(OP(shuffle_epi8)(x, rotated), OP(set1_epi32)(rcon[r]));
            x = xor_(x, shift_bytes_4(x));
            x = xor_(xor_(x, shift_bytes_8(x)), word);
            store_round(out + i, m, r, x);
        }
    }
}

static void encrypt(const spx_aes_key *key, const spx_block *in, spx_block *out, size_t n)
{
    size_t i = 0;
    V s[8];
    for (; i + 8 * LANES <= n; i += 8 * LANES) {
        UNROLL
        for (int j = 0; j < 8; j++) {
            s[j] = load(in + i + j * LANES);
        }
        rounds(key, s, 8);
        UNROLL
        for (int j = 0; j < 8; j++) {
            store(out + i + j * LANES, s[j]);
        }
    }
    for (; i < n; i += LANES) {
        const size_t m = n - i < LANES ? n - i : LANES;
        s[0] = load_part(in + i, m);
        rounds(key, s, 1);
        store_part(out + i, s[0], m);
    }
}

/* The first counter may be secret: hidden, lest a loop ends by comparing it with the last. */
static void ctr(const spx_aes_key *key, uint64_t nonce, uint64_t first, spx_block *out, size_t n)
{
    size_t i = 0;
    V s[8];
    for (; i + 8 * LANES <= n; i += 8 * LANES) {
        UNROLL
        for (int j = 0; j < 8; j++) {
            s[j] = counters(nonce, first + (uint64_t)j * LANES);
        }
        first = spx_ct_hide(first + (uint64_t)8 * LANES);
        rounds(key, s, 8);
        UNROLL
        for (int j = 0; j < 8; j++) {
            store(out + i + j * LANES, s[j]);
        }
    }
    for (; i < n; i += LANES) {
        s[0] = counters(nonce, first);
        first = spx_ct_hide(first + LANES);
        rounds(key, s, 1);
        store_part(out + i, s[0], n - i < LANES ? n - i : LANES);
    }
}

static void hash(const spx_aes_key *key, const spx_block *in, spx_block *out, size_t n)
{
    size_t i = 0;
    V s[8], x[8];
    for (; i + 8 * LANES <= n; i += 8 * LANES) {
        UNROLL
        for (int j = 0; j < 8; j++) {
            s[j] = x[j] = sigma(load(in + i + j * LANES));
        }
        rounds(key, s, 8);
        UNROLL
        for (int j = 0; j < 8; j++) {
            store(out + i + j * LANES, xor_(s[j], x[j]));
        }
    }
    for (; i < n; i += LANES) {
        const size_t m = n - i < LANES ? n - i : LANES;
        s[0] = x[0] = sigma(load_part(in + i, m));
        rounds(key, s, 1);
        store_part(out + i, xor_(s[0], x[0]), m);
    }
}

static void flip(const spx_block *in, const uint8_t *bits, spx_block delta, spx_block *out,
                 size_t n)
{
    const V d = block(&delta);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        UNROLL
        for (size_t j = 0; j < 8; j += LANES) {
            const V mask = bit_masks((uint64_t)bits[i / 8] >> j);
            store(out + i + j, xor_(load(in + i + j), and_(d, mask)));
        }
    }
    for (; i < n; i++) {
        const __m128i x = _mm_load_si128((const __m128i *)(in + i));
        const __m128i mask = _mm_set1_epi64x(0 - (long long)(bits[i / 8] >> (i % 8) & 1));
        const __m128i y =
            _mm_xor_si128(x, _mm_and_si128(_mm_load_si128((const __m128i *)&delta), mask));
        _mm_store_si128((__m128i *)(out + i), y);
    }
}

/* Vectors at once: 8 states when garbling, and of the widest 8 lanes, the least there can be. */
#define STEP 2

static void garble_and(const spx_aes_key key[2], size_t lanes, spx_block delta, const spx_block *a,
                       uint64_t flip_a, const spx_block *b, uint64_t flip_b, const spx_block *x,
                       spx_block *out, spx_block *rows)
{
    const V d = block(&delta), sd = sigma(d);
    for (size_t i = 0; i < lanes; i += STEP * LANES) {
        V va[STEP], vb[STEP], s[2 * STEP], t[2 * STEP], sa[STEP], sb[STEP];
        UNROLL
        for (int j = 0; j < STEP; j++) {
            const size_t at = i + (size_t)j * LANES;
            va[j] = xor_(load(a + at), and_(d, bit_masks(flip_a >> at)));
            vb[j] = xor_(load(b + at), and_(d, bit_masks(flip_b >> at)));
            sa[j] = sigma(va[j]);
            sb[j] = sigma(vb[j]);
            s[j] = sa[j];
            s[STEP + j] = xor_(sa[j], sd);
            t[j] = sb[j];
            t[STEP + j] = xor_(sb[j], sd);
        }
        rounds_of_two(key, s, t, 2 * STEP);
        UNROLL
        for (int j = 0; j < STEP; j++) {
            const size_t at = i + (size_t)j * LANES;
            const V pa = lsb_masks(va[j]), pb = lsb_masks(vb[j]);
            const V tg = xor_(xor_(xor_(s[j], s[STEP + j]), sd), and_(d, pb));
            const V hb = xor_(xor_(t[j], t[STEP + j]), sd);
            const V wg = xor_(xor_(s[j], sa[j]), and_(tg, pa));
            const V we = xor_(xor_(t[j], sb[j]), and_(hb, pb));
            const V y = xor_(load(x + at), xor_(wg, we));
            store(rows + at, tg);
            store(rows + lanes + at, xor_(hb, va[j]));
            store(out + at, y);
        }
    }
}

/* Rows come from memory, once, and the processor's own prefetching ends with each 4 KiB. */
INLINE void prefetch(const spx_block *rows)
{
    _mm_prefetch((const char *)rows + 4096, _MM_HINT_T0);
}

static void evaluate_and(const spx_aes_key key[2], size_t lanes, const spx_block *a,
                         const spx_block *b, const spx_block *x, const spx_block *rows,
                         spx_block *out)
{
    for (size_t i = 0; i < lanes; i += STEP * LANES) {
        V va[STEP], vb[STEP], s[STEP], t[STEP], sa[STEP], sb[STEP];
        UNROLL
        for (int j = 0; j < STEP; j++) {
            const size_t at = i + (size_t)j * LANES;
            va[j] = load(a + at);
            vb[j] = load(b + at);
            s[j] = sa[j] = sigma(va[j]);
            t[j] = sb[j] = sigma(vb[j]);
        }
        rounds_of_two(key, s, t, STEP);
        UNROLL
        for (int j = 0; j < STEP; j++) {
            const size_t at = i + (size_t)j * LANES;
            prefetch(rows + at);
            prefetch(rows + lanes + at);
            const V g = and_(load(rows + at), lsb_masks(va[j]));
            const V e = and_(xor_(load(rows + lanes + at), va[j]), lsb_masks(vb[j]));
            const V h = xor_(xor_(s[j], sa[j]), xor_(t[j], sb[j]));
            store(out + at, xor_(xor_(load(x + at), h), xor_(g, e)));
        }
    }
}

/* Sums of a line of w vectors over all leaves stay in registers. */
INLINE void leaves_line(const spx_aes_key key[SPX_LEAVES], int from, uint64_t first, spx_block *u,
                        spx_block *v, int w)
{
    V sum[5][4], s[4];
    UNROLL
    for (int k = 0; k < 5; k++) {
        UNROLL
        for (int j = 0; j < w; j++) {
            sum[k][j] = LOGIC(setzero)();
        }
    }
    UNROLL
    for (int y = 0; y < SPX_LEAVES; y++) {
        if (y < from) {
            continue;
        }
        UNROLL
        for (int j = 0; j < w; j++) {
            s[j] = counters(0, first + (uint64_t)(j * LANES));
        }
        rounds(&key[y], s, w);
        UNROLL
        for (int j = 0; j < w; j++) {
            sum[4][j] = xor_(sum[4][j], s[j]);
            UNROLL
            for (int bit = 0; bit < 4; bit++) {
                sum[bit][j] = (y >> bit & 1) != 0 ? xor_(sum[bit][j], s[j]) : sum[bit][j];
            }
        }
    }
    UNROLL
    for (int j = 0; j < w; j++) {
        store(u + j * LANES, sum[4][j]);
        UNROLL
        for (int bit = 0; bit < 4; bit++) {
            store(v + bit * SPX_LEAVES_BLOCKS + j * LANES, sum[bit][j]);
        }
    }
}

#define LINE (LANES == 4 ? 4 : 2) /* what the registers hold */

static void leaves(const spx_aes_key key[SPX_LEAVES], int from, uint64_t first, size_t blocks,
                   spx_block *u, spx_block *v)
{
    size_t i = 0;
    for (; i + LINE * LANES <= blocks; i += LINE * LANES) {
        leaves_line(key, from, first + i, u + i, v + i, LINE);
    }
    for (; i < blocks; i += LANES) {
        leaves_line(key, from, first + i, u + i, v + i, 1);
    }
}

/* In each 8 bytes of each block: an 8x8 bit matrix, whose rows come in the order of FIRST_BIT. */
#if LANES == 4 && !defined(SPX_UNDER_MSAN) /* which takes that instruction for a use */
#define AFFINE 1
#define FIRST_BIT(i) (7 - (i)) /* GF2P8AFFINEQB counts a matrix's rows from its last byte */
#else
#define AFFINE 0
#define FIRST_BIT(i) (i)
#endif
INLINE V transpose_bits(V x)
{
#if AFFINE
    const V identity = _mm512_set1_epi64((long long)0x8040201008040201u);
    return _mm512_gf2p8affine_epi64_epi8(identity, x, 0);
#else
    const V m7 = broadcast(_mm_set1_epi64x(0x00aa00aa00aa00aa));
    const V m14 = broadcast(_mm_set1_epi64x(0x0000cccc0000cccc));
    const V m28 = broadcast(_mm_set1_epi64x(0x00000000f0f0f0f0));
    V t = and_(xor_(x, OP(srli_epi64)(x, 7)), m7);
    x = xor_(x, xor_(t, OP(slli_epi64)(t, 7)));
    t = and_(xor_(x, OP(srli_epi64)(x, 14)), m14);
    x = xor_(x, xor_(t, OP(slli_epi64)(t, 14)));
    t = and_(xor_(x, OP(srli_epi64)(x, 28)), m28);
    return xor_(x, xor_(t, OP(slli_epi64)(t, 28)));
#endif
}

/* Eight rows, 16 columns of bytes a lane: byte c of row r goes to byte r of column c. */
INLINE void transpose_8_rows(const V r[8], V out[8])
{
    V a[8], b[8];
    UNROLL
    for (int i = 0; i < 4; i++) { /* rows i and i + 4 */
        a[2 * i] = OP(unpacklo_epi8)(r[i], r[i + 4]);
        a[2 * i + 1] = OP(unpackhi_epi8)(r[i], r[i + 4]);
    }
    UNROLL
    for (int i = 0; i < 4; i++) { /* with those two rows on */
        b[2 * i] = OP(unpacklo_epi8)(a[i], a[i + 4]);
        b[2 * i + 1] = OP(unpackhi_epi8)(a[i], a[i + 4]);
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        out[2 * i] = OP(unpacklo_epi8)(b[i], b[i + 4]);
        out[2 * i + 1] = OP(unpackhi_epi8)(b[i], b[i + 4]);
    }
}

/* 16 rows of 16 bytes a lane, transposed: four rounds of the perfect shuffle of rows i, i + 8. */
INLINE void transpose_16_rows(V x[16])
{
    V y[16];
    for (int round = 0; round < 2; round++) {
        UNROLL
        for (int i = 0; i < 8; i++) {
            y[2 * i] = OP(unpacklo_epi8)(x[i], x[i + 8]);
            y[2 * i + 1] = OP(unpackhi_epi8)(x[i], x[i + 8]);
        }
        UNROLL
        for (int i = 0; i < 8; i++) {
            x[2 * i] = OP(unpacklo_epi8)(y[i], y[i + 8]);
            x[2 * i + 1] = OP(unpackhi_epi8)(y[i], y[i + 8]);
        }
    }
}

/*
 * Groups of 8 rows become bytes of 8 rows' bits, one a column; then the 16 bytes of a column are
 * brought together. Lane k of a vector holds columns 128 k on.
 */
static void transpose_128(const uint8_t *rows, size_t stride, size_t n, spx_block *out)
{
    V part[8][16]; /* 16 columns, group of rows */
    for (size_t j = 0; j < n; j += 128 * LANES) {
        for (int g = 0; g < 16; g++) {
            V r[8], c[8];
            UNROLL
            for (int i = 0; i < 8; i++) {
                r[i] = load(rows + (size_t)(8 * g + FIRST_BIT(i)) * stride + j / 8);
            }
            transpose_8_rows(r, c);
            UNROLL
            for (int i = 0; i < 8; i++) {
                part[i][g] = transpose_bits(c[i]);
            }
        }
        for (int c = 0; c < 8; c++) {
            transpose_16_rows(part[c]);
            UNROLL
            for (int i = 0; i < 16; i++) {
                store_apart(out + j + 16 * c + i, 128, part[c][i]);
            }
        }
    }
}

const spx_crypto_kernels SPX_VARIANT(spx_crypto) = {
    .expand = expand,
    .encrypt = encrypt,
    .ctr = ctr,
    .hash = hash,
    .flip = flip,
    .garble_and = garble_and,
    .evaluate_and = evaluate_and,
    .leaves = leaves,
    .transpose_128 = transpose_128,
};
