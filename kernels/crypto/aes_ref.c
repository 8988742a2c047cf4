/*
 * AES-128 in plain C without tables: bitsliced, four blocks a time. Plane b holds bit b of all 64
 * bytes; byte i of block k is bit 4 i + k of each plane. As bytes go down columns, a column is 16
 * consecutive bits and a row a nibble of it: ShiftRows is rotations by 16, MixColumns by 4.
 */
#include "kernels/crypto/crypto_private.h"
#include "kernels/crypto/ct.h"

#include <string.h>

typedef struct planes {
    uint64_t p[8];
} planes;

/* Each of the 8 bytes is a row of an 8x8 bit matrix: transposes it. */
static uint64_t transpose8(uint64_t x)
{
    uint64_t t = (x ^ (x >> 7)) & 0x00aa00aa00aa00aau;
    x ^= t ^ (t << 7);
    t = (x ^ (x >> 14)) & 0x0000cccc0000ccccu;
    x ^= t ^ (t << 14);
    t = (x ^ (x >> 28)) & 0x00000000f0f0f0f0u;
    return x ^ t ^ (t << 28);
}

/* Bytes 8 k .. 8 k + 7 of x become bits 8 k .. 8 k + 7 of the planes. */
static planes slice(const uint64_t x[8])
{
    planes s = {{0}};
    for (int k = 0; k < 8; k++) {
        const uint64_t t = transpose8(x[k]);
        for (int b = 0; b < 8; b++) {
            s.p[b] |= ((t >> 8 * b) & 0xff) << 8 * k;
        }
    }
    return s;
}

static void unslice(const planes *s, uint64_t x[8])
{
    for (int k = 0; k < 8; k++) {
        uint64_t t = 0;
        for (int b = 0; b < 8; b++) {
            t |= ((s->p[b] >> 8 * k) & 0xff) << 8 * b;
        }
        x[k] = transpose8(t);
    }
}

/* Byte i of four blocks, i = 2 k and 2 k + 1, as the 8 bytes of x[k]; and back. */
static void interleave(const spx_block in[4], uint64_t x[8])
{
    for (int k = 0; k < 8; k++) {
        uint64_t t = 0;
        for (int b = 0; b < 4; b++) {
            const uint64_t two = in[b].w[k / 4] >> 16 * (k % 4);
            t |= (two & 0xff) << 8 * b | (two >> 8 & 0xff) << (32 + 8 * b);
        }
        x[k] = t;
    }
}

static void deinterleave(const uint64_t x[8], spx_block out[4])
{
    memset(out, 0, 4 * sizeof *out);
    for (int k = 0; k < 8; k++) {
        for (int b = 0; b < 4; b++) {
            const uint64_t two = (x[k] >> 8 * b & 0xff) | (x[k] >> (32 + 8 * b) & 0xff) << 8;
            out[b].w[k / 4] |= two << 16 * (k % 4);
        }
    }
}

/*
 * The S-box of all 64 bytes: the circuit of 113 gates and 4 inversions of Boyar and Peralta
 * (eprint 2011/332, figures 8 and 9), x0 the most significant bit.
 */
/* clang-format off: a circuit */
static void sub_bytes(planes *s)
{
    const uint64_t x0 = s->p[7], x1 = s->p[6], x2 = s->p[5], x3 = s->p[4];
    const uint64_t x4 = s->p[3], x5 = s->p[2], x6 = s->p[1], x7 = s->p[0];
    /* into the tower field */
    const uint64_t y14 = x3 ^ x5, y13 = x0 ^ x6, y9 = x0 ^ x3, y8 = x0 ^ x5, q0 = x1 ^ x2;
    const uint64_t y1 = q0 ^ x7, y4 = y1 ^ x3, y12 = y13 ^ y14, y2 = y1 ^ x0, y5 = y1 ^ x6;
    const uint64_t y3 = y5 ^ y8, q1 = x4 ^ y12, y15 = q1 ^ x5, y20 = q1 ^ x1, y6 = y15 ^ x7;
    const uint64_t y10 = y15 ^ q0, y11 = y20 ^ y9, y7 = x7 ^ y11, y17 = y10 ^ y11, y19 = y10 ^ y8;
    const uint64_t y16 = q0 ^ y11, y21 = y13 ^ y16, y18 = x0 ^ y16;
    /* inversion */
    const uint64_t t2 = y12 & y15, t4 = (y3 & y6) ^ t2, t6 = (y4 & x7) ^ t2, t7 = y13 & y16;
    const uint64_t t9 = (y5 & y1) ^ t7, t11 = (y2 & y7) ^ t7, t12 = y9 & y11;
    const uint64_t t14 = (y14 & y17) ^ t12, t16 = (y8 & y10) ^ t12;
    const uint64_t t21 = t4 ^ t14 ^ y20, t22 = t6 ^ t16 ^ y19;
    const uint64_t t23 = t9 ^ t14 ^ y21, t24 = t11 ^ t16 ^ y18;
    const uint64_t t25 = t21 ^ t22, t26 = t21 & t23, t27 = t24 ^ t26, t29 = (t25 & t27) ^ t22;
    const uint64_t t30 = t23 ^ t24, t31 = t22 ^ t26, t33 = (t31 & t30) ^ t24, t34 = t23 ^ t33;
    const uint64_t t35 = t27 ^ t33, t36 = t24 & t35, t37 = t36 ^ t34, t38 = t27 ^ t36;
    const uint64_t t40 = t25 ^ (t29 & t38), t41 = t40 ^ t37, t42 = t29 ^ t33, t43 = t29 ^ t40;
    const uint64_t t44 = t33 ^ t37, t45 = t42 ^ t41;
    const uint64_t z0 = t44 & y15, z1 = t37 & y6, z2 = t33 & x7, z3 = t43 & y16, z4 = t40 & y1;
    const uint64_t z5 = t29 & y7, z6 = t42 & y11, z7 = t45 & y17, z8 = t41 & y10, z9 = t44 & y12;
    const uint64_t z10 = t37 & y3, z11 = t33 & y4, z12 = t43 & y13, z13 = t40 & y5;
    const uint64_t z14 = t29 & y2, z15 = t42 & y9, z16 = t45 & y14, z17 = t41 & y8;
    /* out of it, with the affine map */
    const uint64_t b46 = z15 ^ z16, b48 = z5 ^ z13, b57 = z2 ^ z12 ^ z0 ^ z3, b58 = z4 ^ b46;
    const uint64_t b59 = z3 ^ z6 ^ z7, b61 = z14 ^ b57, b62 = z7 ^ z8 ^ b58;
    const uint64_t b63 = z9 ^ z10 ^ b58, b64 = z4 ^ b59, b65 = b61 ^ b62, b66 = z1 ^ b63;
    const uint64_t s3 = z0 ^ z3 ^ b66;
    s->p[7] = b59 ^ b63;
    s->p[6] = ~(b64 ^ s3);
    s->p[5] = ~(z16 ^ z17 ^ b64 ^ b65);
    s->p[4] = s3;
    s->p[3] = z2 ^ z5 ^ b66;
    s->p[2] = z10 ^ z11 ^ b65;
    s->p[1] = ~(z12 ^ b48 ^ b62);
    s->p[0] = ~(b48 ^ b46 ^ b57);
}
/* clang-format on */

static void shift_rows(planes *s)
{
    for (int b = 0; b < 8; b++) {
        const uint64_t w = s->p[b], row = 0x000f000f000f000fu;
        s->p[b] = (w & row) | (((w >> 16) | (w << 48)) & row << 4) |
                  (((w >> 32) | (w << 32)) & row << 8) | (((w >> 48) | (w << 16)) & row << 12);
    }
}

/* The row below, of each column: up by r rows. */
static uint64_t below(uint64_t w, int r)
{
    const uint64_t low = 0x0001000100010001u * ((1u << 4 * (4 - r)) - 1);
    return ((w >> 4 * r) & low) | ((w << 4 * (4 - r)) & ~low);
}

/* Column bytes a: 2 a + 3 a' + a'' + a''' = 2 t + a' + t'', t = a + a'. */
static void mix_columns(planes *s)
{
    planes t;
    for (int b = 0; b < 8; b++) {
        t.p[b] = s->p[b] ^ below(s->p[b], 1);
    }
    for (int b = 0; b < 8; b++) {
        const uint64_t twice = b == 0 ? t.p[7] : t.p[b - 1];
        const uint64_t reduced = b == 1 || b == 3 || b == 4 ? t.p[7] : 0; /* x^8 = x^4+x^3+x+1 */
        s->p[b] = twice ^ reduced ^ below(s->p[b], 1) ^ below(t.p[b], 2);
    }
}

static void add(planes *s, const planes *k)
{
    for (int b = 0; b < 8; b++) {
        s->p[b] ^= k->p[b];
    }
}

typedef struct sliced_key {
    planes round[11];
} sliced_key;

static void slice_key(const spx_aes_key *key, sliced_key *out)
{
    for (int r = 0; r < 11; r++) {
        const spx_block k = key->round[r], four[4] = {k, k, k, k};
        uint64_t x[8];
        interleave(four, x);
        out->round[r] = slice(x);
    }
}

static void encrypt4(const sliced_key *key, spx_block block[4])
{
    uint64_t x[8];
    planes s;
    interleave(block, x);
    s = slice(x);
    add(&s, &key->round[0]);
    for (int r = 1; r < 11; r++) {
        sub_bytes(&s);
        shift_rows(&s);
        if (r != 10) {
            mix_columns(&s);
        }
        add(&s, &key->round[r]);
    }
    unslice(&s, x);
    deinterleave(x, block);
}

static void encrypt(const spx_aes_key *key, const spx_block *in, spx_block *out, size_t n)
{
    sliced_key k;
    spx_block part[4] = {0};
    slice_key(key, &k);
    for (size_t i = 0; i < n; i += 4) {
        const size_t m = n - i < 4 ? n - i : 4;
        memcpy(part, in + i, m * sizeof *part);
        encrypt4(&k, part);
        memcpy(out + i, part, m * sizeof *part);
    }
    spx_wipe(&k, sizeof k);
    spx_wipe(part, sizeof part);
}

/* SubWord of 16 words at once. */
static void sub_words(uint32_t w[16])
{
    uint64_t x[8];
    planes s;
    memcpy(x, w, sizeof x);
    s = slice(x);
    sub_bytes(&s);
    unslice(&s, x);
    memcpy(w, x, sizeof x);
}

static void expand16(spx_aes_key *out, const spx_block *keys, size_t n)
{
    static const uint8_t rcon[11] = {0, 1, 2, 4, 8, 16, 32, 64, 128, 27, 54};
    uint32_t k[16][4], word[16] = {0};
    memcpy(k, keys, n * sizeof *k);
    for (int r = 0; r < 11; r++) {
        for (size_t i = 0; r > 0 && i < n; i++) {
            word[i] = k[i][3] >> 8 | k[i][3] << 24;
        }
        sub_words(word);
        for (size_t i = 0; i < n; i++) {
            if (r > 0) {
                k[i][0] ^= word[i] ^ rcon[r];
                k[i][1] ^= k[i][0];
                k[i][2] ^= k[i][1];
                k[i][3] ^= k[i][2];
            }
            memcpy(&out[i].round[r], k[i], sizeof k[i]);
        }
    }
    spx_wipe(k, sizeof k);
    spx_wipe(word, sizeof word);
}

static void expand(spx_aes_key *out, const spx_block *keys, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        expand16(out + i, keys + i, n - i < 16 ? n - i : 16);
    }
}

/* The first counter may be secret: hidden, lest the loop ends by comparing it with the last. */
static void ctr(const spx_aes_key *key, uint64_t nonce, uint64_t first, spx_block *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (spx_block){{first, nonce}};
        first = spx_ct_hide(first + 1);
    }
    encrypt(key, out, out, n);
}

static spx_block sigma(spx_block x)
{
    return (spx_block){{x.w[1], x.w[0] ^ x.w[1]}};
}

static void hash(const spx_aes_key *key, const spx_block *in, spx_block *out, size_t n)
{
    spx_block part[64], sealed[64];
    for (size_t i = 0; i < n; i += 64) {
        const size_t m = n - i < 64 ? n - i : 64;
        for (size_t j = 0; j < m; j++) {
            part[j] = sigma(in[i + j]);
        }
        encrypt(key, part, sealed, m);
        for (size_t j = 0; j < m; j++) {
            out[i + j] = spx_block_xor(part[j], sealed[j]);
        }
    }
    spx_wipe(part, sizeof part);
    spx_wipe(sealed, sizeof sealed);
}

static void flip(const spx_block *in, const uint8_t *bits, spx_block delta, spx_block *out,
                 size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t mask = spx_ct_mask((uint64_t)bits[i / 8] >> (i % 8));
        out[i] = spx_block_xor(in[i], spx_block_and(delta, mask));
    }
}

/* The labels are wiped: unlike registers, a stack is read long after. */
static void garble_and(const spx_aes_key key[2], size_t lanes, spx_block delta, const spx_block *a,
                       uint64_t flip_a, const spx_block *b, uint64_t flip_b, const spx_block *x,
                       spx_block *out, spx_block *rows)
{
    spx_block in[4][SPX_HALFGATE_LANES], h[4][SPX_HALFGATE_LANES]; /* a0, a1, b0, b1 */
    for (size_t i = 0; i < lanes; i++) {
        in[0][i] = spx_block_xor(a[i], spx_block_and(delta, spx_ct_mask(flip_a >> i)));
        in[1][i] = spx_block_xor(in[0][i], delta);
        in[2][i] = spx_block_xor(b[i], spx_block_and(delta, spx_ct_mask(flip_b >> i)));
        in[3][i] = spx_block_xor(in[2][i], delta);
    }
    for (int k = 0; k < 4; k++) {
        hash(&key[k / 2], in[k], h[k], lanes);
    }
    for (size_t i = 0; i < lanes; i++) {
        const uint64_t pa = spx_ct_mask(in[0][i].w[0]), pb = spx_ct_mask(in[2][i].w[0]);
        const spx_block hb = spx_block_xor(h[2][i], h[3][i]);
        const spx_block tg =
            spx_block_xor(spx_block_xor(h[0][i], h[1][i]), spx_block_and(delta, pb));
        const spx_block wg = spx_block_xor(h[0][i], spx_block_and(tg, pa));
        const spx_block we = spx_block_xor(h[2][i], spx_block_and(hb, pb));
        rows[i] = tg;
        rows[lanes + i] = spx_block_xor(hb, in[0][i]);
        out[i] = spx_block_xor(x[i], spx_block_xor(wg, we));
    }
    spx_wipe(in, sizeof in);
    spx_wipe(h, sizeof h);
}

static void evaluate_and(const spx_aes_key key[2], size_t lanes, const spx_block *a,
                         const spx_block *b, const spx_block *x, const spx_block *rows,
                         spx_block *out)
{
    spx_block ha[SPX_HALFGATE_LANES], hb[SPX_HALFGATE_LANES];
    hash(&key[0], a, ha, lanes);
    hash(&key[1], b, hb, lanes);
    for (size_t i = 0; i < lanes; i++) {
        const uint64_t sa = spx_ct_mask(a[i].w[0]), sb = spx_ct_mask(b[i].w[0]);
        const spx_block g = spx_block_xor(ha[i], spx_block_and(rows[i], sa));
        const spx_block e = spx_block_and(spx_block_xor(rows[lanes + i], a[i]), sb);
        out[i] = spx_block_xor(x[i], spx_block_xor(g, spx_block_xor(hb[i], e)));
    }
    spx_wipe(ha, sizeof ha);
    spx_wipe(hb, sizeof hb);
}

static void leaves(const spx_aes_key key[SPX_LEAVES], int from, uint64_t first, size_t blocks,
                   spx_block *u, spx_block *v)
{
    spx_block s[SPX_LEAVES_BLOCKS];
    memset(u, 0, blocks * sizeof *u);
    for (int bit = 0; bit < 4; bit++) {
        memset(v + bit * SPX_LEAVES_BLOCKS, 0, blocks * sizeof *v);
    }
    for (int y = from; y < SPX_LEAVES; y++) {
        ctr(&key[y], 0, first, s, blocks);
        for (size_t i = 0; i < blocks; i++) {
            u[i] = spx_block_xor(u[i], s[i]);
            for (int bit = 0; bit < 4; bit++) {
                spx_block *at = v + bit * SPX_LEAVES_BLOCKS + i;
                *at = spx_block_xor(*at, spx_block_and(s[i], spx_ct_mask((uint64_t)y >> bit)));
            }
        }
    }
    spx_wipe(s, sizeof s);
}

static void transpose_128(const uint8_t *rows, size_t stride, size_t n, spx_block *out)
{
    for (size_t j = 0; j < n; j += 8) {
        for (size_t g = 0; g < 16; g++) { /* rows 8 g .. 8 g + 7 */
            uint64_t x = 0;
            for (size_t r = 0; r < 8; r++) {
                x |= (uint64_t)rows[(8 * g + r) * stride + j / 8] << 8 * r;
            }
            x = transpose8(x);
            for (size_t r = 0; r < 8; r++) {
                const unsigned shift = (unsigned)(8 * (g % 8));
                uint64_t *w = &out[j + r].w[g / 8];
                *w = (*w & ~((uint64_t)0xff << shift)) | (x >> 8 * r & 0xff) << shift;
            }
        }
    }
}

const spx_crypto_kernels spx_crypto_portable = {
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
