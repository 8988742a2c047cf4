/* AES, the hash, gates and transposes of every instruction set, against definitions. */
#define _POSIX_C_SOURCE 200809L
#include "kernels/base/rng.h"
#include "kernels/crypto/aes.h"
#include "kernels/crypto/crypto_kernels.h"
#include "kernels/crypto/ct.h"
#include "kernels/crypto/transpose.h"
#include "tests/support/crypto_isas.h"
#include "tests/support/spx_test.h"

#define MOST 600

static spx_rng rng;

static void draw(void *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)out)[i] = (uint8_t)spx_rng_u32(&rng);
    }
}

/* FIPS 197 word for word, byte by byte; the S-box from its definition. */
static uint8_t times(uint8_t a, uint8_t b)
{
    unsigned x = a, sum = 0;
    for (int i = 0; i < 8; i++) {
        sum ^= (b >> i & 1) != 0 ? x : 0;
        x = x << 1 ^ ((x & 0x80) != 0 ? 0x11b : 0);
    }
    return (uint8_t)sum;
}

static uint8_t sbox(uint8_t x)
{
    uint8_t inverse = 0, y = 0x63;
    for (unsigned i = 0; i < 256; i++) {
        inverse = times(x, (uint8_t)i) == 1 ? (uint8_t)i : inverse;
    }
    for (int i = 0; i < 5; i++) {
        y ^= (uint8_t)(inverse << i | inverse >> (8 - i));
    }
    return y;
}

static void textbook(const uint8_t key[16], const uint8_t in[16], uint8_t out[16])
{
    static uint8_t box[256];
    uint8_t w[176], s[16], t[16], rcon = 1;
    for (unsigned i = 0; box[0] == 0 && i < 256; i++) {
        box[255 - i] = sbox((uint8_t)(255 - i));
    }
    memcpy(w, key, 16);
    for (size_t i = 16; i < 176; i += 4) {
        uint8_t x[4] = {w[i - 4], w[i - 3], w[i - 2], w[i - 1]};
        if (i % 16 == 0) {
            const uint8_t first = x[0];
            x[0] = box[x[1]] ^ rcon;
            x[1] = box[x[2]];
            x[2] = box[x[3]];
            x[3] = box[first];
            rcon = times(rcon, 2);
        }
        for (size_t j = 0; j < 4; j++) {
            w[i + j] = w[i + j - 16] ^ x[j];
        }
    }
    for (size_t i = 0; i < 16; i++) {
        s[i] = in[i] ^ w[i];
    }
    for (size_t round = 1; round <= 10; round++) {
        for (size_t i = 0; i < 16; i++) {
            t[i] = box[s[(i + 4 * (i % 4)) % 16]]; /* SubBytes, ShiftRows */
        }
        for (size_t i = 0; i < 16; i++) {
            const size_t c = i / 4 * 4;
            const uint8_t a = t[i], b = t[c + (i + 1) % 4];
            const uint8_t mixed =
                times(a, 2) ^ times(b, 3) ^ t[c + (i + 2) % 4] ^ t[c + (i + 3) % 4];
            s[i] = (round < 10 ? mixed : a) ^ w[16 * round + i];
        }
    }
    memcpy(out, s, 16);
}

/* "00112233..." into n bytes. */
static void hex(const char *text, void *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &v), 1);
        ((uint8_t *)out)[i] = (uint8_t)v;
    }
}

SPX_TEST(blocks_equal_the_published_vectors)
{
    static const struct {
        const char *key, *in, *out;
    } v[] = {
        /* FIPS 197, B and C.1 */
        {"2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734",
         "3925841d02dc09fbdc118597196a0b32"},
        {"000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
         "69c4e0d86a7b0430d8cdb78070b4c55a"},
        /* SP 800-38A, F.1.1, ECB-AES128 */
        {"2b7e151628aed2a6abf7158809cf4f3c", "6bc1bee22e409f96e93d7e117393172a",
         "3ad77bb40d7a3660a89ecaf32466ef97"},
        {"2b7e151628aed2a6abf7158809cf4f3c", "ae2d8a571e03ac9c9eb76fac45af8e51",
         "f5d3d58503b9699de785895a96fdbaaf"},
        {"2b7e151628aed2a6abf7158809cf4f3c", "30c81c46a35ce411e5fbc1191a0a52ef",
         "43b1cd7f598ece23881b00e3ed030688"},
        {"2b7e151628aed2a6abf7158809cf4f3c", "f69f2445df4f9b17ad2b417be66c3710",
         "7b0c785e27e8ad3f8223207104725dd4"},
        /* F.5.1, CTR-AES128: the output blocks of counters f0f1..ff, ..ff00 */
        {"2b7e151628aed2a6abf7158809cf4f3c", "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
         "ec8cdf7398607cb0f2d21675ea9ea1e4"},
        {"2b7e151628aed2a6abf7158809cf4f3c", "f0f1f2f3f4f5f6f7f8f9fafbfcfdff00",
         "362b7c3c6773516318a077d7fc5073ae"},
    };
    SPX_UNUSED;
    FOR_EACH_CRYPTO_ISA(isa)
    {
        for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
            spx_block key, in, expected, out;
            spx_aes_key k;
            uint8_t text[16];
            hex(v[i].key, &key, 16);
            hex(v[i].in, &in, 16);
            hex(v[i].out, &expected, 16);
            textbook((uint8_t *)&key, (uint8_t *)&in, text);
            assert_memory_equal(text, &expected, 16);
            spx_aes_expand(&k, &key, 1);
            spx_aes_encrypt(&k, &in, &out, 1);
            assert_memory_equal(&out, &expected, 16);
        }
    }
}

SPX_TEST(many_keys_and_blocks_equal_the_textbook_one_by_one)
{
    static const size_t counts[] = {1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 64, 65, 257};
    static spx_block keys[MOST], in[MOST], out[MOST], expected;
    static spx_aes_key k[MOST];
    SPX_UNUSED;
    FOR_EACH_CRYPTO_ISA(isa)
    {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            const size_t n = counts[c];
            draw(keys, n * sizeof *keys);
            draw(in, n * sizeof *in);
            memset(out, 0, sizeof out);
            spx_aes_expand(k, keys, n);
            for (size_t i = 0; i < n; i++) {
                textbook((uint8_t *)&keys[i], (uint8_t *)&in[i], (uint8_t *)&expected);
                spx_aes_encrypt(&k[i], &in[i], &out[i], 1);
                assert_memory_equal(&out[i], &expected, 16);
            }
            spx_aes_encrypt(&k[0], in, out, n);
            for (size_t i = 0; i < n; i++) {
                textbook((uint8_t *)&keys[0], (uint8_t *)&in[i], (uint8_t *)&expected);
                assert_memory_equal(&out[i], &expected, 16);
            }
            assert_int_equal(out[n].w[0] | out[n].w[1], 0); /* nothing beyond */
        }
    }
}

SPX_TEST(counter_blocks_are_those_counted_and_carry_nothing_into_the_nonce)
{
    static spx_block out[MOST], in[MOST], expected[MOST];
    const uint64_t first[] = {0, 5, UINT64_MAX - 40};
    spx_block key;
    spx_aes_key k;
    SPX_UNUSED;
    draw(&key, sizeof key);
    FOR_EACH_CRYPTO_ISA(isa)
    {
        spx_aes_expand(&k, &key, 1);
        for (size_t t = 0; t < 3; t++) {
            for (size_t i = 0; i < 131; i++) {
                in[i] = (spx_block){{first[t] + i, 77}};
            }
            spx_aes_encrypt(&k, in, expected, 131);
            memset(out, 0, sizeof out);
            spx_aes_ctr(&k, 77, first[t], out, 131);
            assert_memory_equal(out, expected, 131 * sizeof *out);
            assert_int_equal(out[131].w[0] | out[131].w[1], 0);
        }
    }
}

static spx_block hash_by_definition(spx_block key, spx_block x)
{
    const spx_block s = {{x.w[1], x.w[0] ^ x.w[1]}}; /* (hi, lo) -> (hi ^ lo, hi) */
    spx_block y;
    textbook((uint8_t *)&key, (uint8_t *)&s, (uint8_t *)&y);
    return spx_block_xor(y, s);
}

SPX_TEST(hash_is_its_definition)
{
    static spx_block in[MOST], out[MOST];
    spx_block key, expected;
    spx_aes_key k;
    SPX_UNUSED;
    FOR_EACH_CRYPTO_ISA(isa)
    {
        draw(&key, sizeof key);
        draw(in, sizeof in);
        spx_aes_expand(&k, &key, 1);
        spx_crypto_table()->hash(&k, in, out, 171);
        for (size_t i = 0; i < 171; i++) {
            expected = hash_by_definition(key, in[i]);
            assert_memory_equal(&out[i], &expected, 16);
        }
        spx_crypto_table()->hash(&k, in, in, 171);
        assert_memory_equal(in, out, 171 * sizeof *in);
    }
}

SPX_TEST(a_garbled_and_gives_the_label_of_the_product_for_all_inputs_and_flips)
{
    spx_block key[2], delta, a[64], b[64], x[64], zero[64], rows[128], la[64], lb[64], got[64];
    spx_aes_key k[2];
    SPX_UNUSED;
    FOR_EACH_CRYPTO_ISA(isa)
    {
        const spx_crypto_kernels *t = spx_crypto_table();
        for (size_t lanes = 8; lanes <= 64; lanes += 8) {
            uint64_t flip_a, flip_b, va, vb;
            draw(key, sizeof key);
            draw(&delta, sizeof delta);
            delta.w[0] |= 1;
            draw(a, sizeof a);
            draw(b, sizeof b);
            draw(x, sizeof x);
            draw(&flip_a, 8);
            draw(&flip_b, 8);
            draw(&va, 8);
            draw(&vb, 8);
            t->expand(k, key, 2);
            t->garble_and(k, lanes, delta, a, flip_a, b, flip_b, x, zero, rows);
            t->flip(a, (uint8_t *)&va, delta, la, lanes);
            t->flip(b, (uint8_t *)&vb, delta, lb, lanes);
            t->evaluate_and(k, lanes, la, lb, x, rows, got);
            for (size_t i = 0; i < lanes; i++) {
                const uint64_t product = (va ^ flip_a) & (vb ^ flip_b);
                const spx_block expected =
                    spx_block_xor(zero[i], spx_block_and(delta, 0 - (product >> i & 1)));
                assert_memory_equal(&got[i], &expected, 16);
            }
            t->evaluate_and(k, lanes, la, lb, x, rows, la); /* in place */
            assert_memory_equal(la, got, lanes * sizeof *la);
            t->garble_and(k, lanes, delta, a, flip_a, b, flip_b, x, b, rows);
            assert_memory_equal(b, zero, lanes * sizeof *b);
        }
    }
}

/* Also: half gates as the paper writes them (figure 1), row for row. */
SPX_TEST(a_garbled_and_is_the_papers)
{
    spx_block key[2], delta, a[64], b[64], x[64] = {0}, zero[64], rows[128];
    spx_aes_key k[2];
    SPX_UNUSED;
    FOR_EACH_CRYPTO_ISA(isa)
    {
        draw(key, sizeof key);
        draw(&delta, sizeof delta);
        delta.w[0] |= 1;
        draw(a, sizeof a);
        draw(b, sizeof b);
        spx_crypto_table()->expand(k, key, 2);
        spx_crypto_table()->garble_and(k, 64, delta, a, 0, b, 0, x, zero, rows);
        for (size_t i = 0; i < 64; i++) {
            const spx_block none = {{0, 0}};
            const spx_block a1 = spx_block_xor(a[i], delta), b1 = spx_block_xor(b[i], delta);
            const spx_block ha0 = hash_by_definition(key[0], a[i]);
            const spx_block hb0 = hash_by_definition(key[1], b[i]);
            const spx_block ha1 = hash_by_definition(key[0], a1);
            const spx_block hb1 = hash_by_definition(key[1], b1);
            const int pa = (int)(a[i].w[0] & 1), pb = (int)(b[i].w[0] & 1);
            const spx_block tg = spx_block_xor(spx_block_xor(ha0, ha1), pb ? delta : none);
            const spx_block wg = spx_block_xor(ha0, pa ? tg : none);
            const spx_block te = spx_block_xor(spx_block_xor(hb0, hb1), a[i]);
            const spx_block we = spx_block_xor(hb0, pb ? spx_block_xor(te, a[i]) : none);
            const spx_block w = spx_block_xor(wg, we);
            assert_memory_equal(&rows[i], &tg, 16);
            assert_memory_equal(&rows[64 + i], &te, 16);
            assert_memory_equal(&zero[i], &w, 16);
        }
    }
}

SPX_TEST(flips_follow_packed_bits)
{
    spx_block in[101], out[101], delta;
    uint8_t bits[13];
    SPX_UNUSED;
    FOR_EACH_CRYPTO_ISA(isa)
    {
        draw(in, sizeof in);
        draw(&delta, sizeof delta);
        draw(bits, sizeof bits);
        spx_crypto_table()->flip(in, bits, delta, out, 101);
        for (size_t i = 0; i < 101; i++) {
            const spx_block d = (bits[i / 8] >> (i % 8) & 1) != 0 ? delta : (spx_block){{0, 0}};
            const spx_block expected = spx_block_xor(in[i], d);
            assert_memory_equal(&out[i], &expected, 16);
        }
    }
}

SPX_TEST(leaves_are_sums_of_streams_by_their_numbers_bits)
{
    static const size_t blocks[] = {4, 8, 12, 16};
    spx_block seeds[16], u[16], v[4 * 16], stream[16];
    spx_aes_key k[16];
    SPX_UNUSED;
    FOR_EACH_CRYPTO_ISA(isa)
    {
        draw(seeds, sizeof seeds);
        spx_aes_expand(k, seeds, 16);
        for (int from = 0; from < 2; from++) {
            for (size_t c = 0; c < 4; c++) {
                spx_block sum[5][16] = {0};
                for (int y = from; y < 16; y++) {
                    spx_aes_ctr(&k[y], 0, 1000, stream, blocks[c]);
                    for (size_t i = 0; i < blocks[c]; i++) {
                        sum[4][i] = spx_block_xor(sum[4][i], stream[i]);
                        for (int bit = 0; bit < 4; bit++) {
                            if ((y >> bit & 1) != 0) {
                                sum[bit][i] = spx_block_xor(sum[bit][i], stream[i]);
                            }
                        }
                    }
                }
                spx_crypto_table()->leaves(k, from, 1000, blocks[c], u, v);
                assert_memory_equal(u, sum[4], blocks[c] * sizeof *u);
                for (size_t bit = 0; bit < 4; bit++) {
                    assert_memory_equal(v + 16 * bit, sum[bit], blocks[c] * sizeof *v);
                }
            }
        }
    }
}

SPX_TEST(transposes_move_every_bit_to_its_place)
{
    static uint8_t rows[128 * 300 + 64];
    static spx_block out[2048];
    uint64_t a[64], b[64];
    SPX_UNUSED;
    draw(rows, sizeof rows);
    FOR_EACH_CRYPTO_ISA(isa)
    {
        for (size_t n = 512; n <= 2048; n += 512) {
            const size_t stride = n == 1536 ? 300 : n / 8;
            spx_transpose_128(rows + 1, stride, n, out); /* rows may lie anywhere */
            for (size_t j = 0; j < n; j++) {
                for (size_t i = 0; i < 128; i++) {
                    const unsigned bit = rows[1 + i * stride + j / 8] >> (j % 8) & 1;
                    assert_int_equal(out[j].w[i / 64] >> (i % 64) & 1, bit);
                }
            }
        }
    }
    draw(a, sizeof a);
    spx_transpose_64(a, b);
    for (size_t i = 0; i < 64; i++) {
        for (size_t j = 0; j < 64; j++) {
            assert_int_equal(b[j] >> i & 1, a[i] >> j & 1);
        }
    }
    spx_transpose_64(b, b);
    assert_memory_equal(a, b, sizeof a);
}

SPX_TEST(masks_say_what_comparisons_say)
{
    const uint64_t edge[] = {
        0, 1, 2, 0x7fffffffffffffffu, 0x8000000000000000u, UINT64_MAX - 1, UINT64_MAX};
    const size_t n = sizeof edge / sizeof *edge;
    uint8_t bytes[5] = {1, 2, 3, 4, 5};
    SPX_UNUSED;
    for (size_t i = 0; i < n * n; i++) {
        const uint64_t a = edge[i / n], b = edge[i % n];
        assert_true(spx_ct_nonzero(a) == (a != 0 ? UINT64_MAX : 0));
        assert_true(spx_ct_select(UINT64_MAX, a, b) == a && spx_ct_select(0, a, b) == b);
    }
    assert_true(spx_ct_mask(1) == UINT64_MAX && spx_ct_mask(0) == 0);
    spx_wipe(bytes + 1, 3);
    assert_true(bytes[0] == 1 && bytes[1] == 0 && bytes[3] == 0 && bytes[4] == 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(blocks_equal_the_published_vectors),
        SPX_UNIT(many_keys_and_blocks_equal_the_textbook_one_by_one),
        SPX_UNIT(counter_blocks_are_those_counted_and_carry_nothing_into_the_nonce),
        SPX_UNIT(hash_is_its_definition),
        SPX_UNIT(a_garbled_and_gives_the_label_of_the_product_for_all_inputs_and_flips),
        SPX_UNIT(a_garbled_and_is_the_papers),
        SPX_UNIT(flips_follow_packed_bits),
        SPX_UNIT(leaves_are_sums_of_streams_by_their_numbers_bits),
        SPX_UNIT(transposes_move_every_bit_to_its_place),
        SPX_UNIT(masks_say_what_comparisons_say),
    };
    spx_rng_init(&rng, 1, SPX_RNG_TEST, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
