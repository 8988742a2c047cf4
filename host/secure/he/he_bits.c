/* Numbers of odd widths in bytes, and streams of random words. */
#include "host/secure/he/he_private.h"

#include "kernels/crypto/ct.h"
#include "kernels/crypto/sampler.h"

#include <string.h>

size_t he_packed_bytes(size_t n, int bits)
{
    return (n * (size_t)bits + 7) / 8;
}

void he_pack(uint8_t *out, const uint64_t *x, size_t n, int bits)
{
    uint64_t held = 0;
    int have = 0; /* < 8 between numbers */
    for (size_t i = 0; i < n; i++) {
        held |= x[i] << have;
        for (have += bits; have >= 8; have -= 8) {
            *out++ = (uint8_t)held;
            held >>= 8;
        }
    }
    if (have > 0) {
        *out = (uint8_t)held;
    }
}

void he_unpack(uint64_t *x, const uint8_t *in, size_t n, int bits)
{
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    uint64_t held = 0;
    int have = 0;
    for (size_t i = 0; i < n; i++) {
        for (; have < bits; have += 8) {
            held |= (uint64_t)*in++ << have;
        }
        x[i] = held & mask;
        held >>= bits;
        have -= bits;
    }
}

/* Wide numbers in slices of at most 40 bits, one slice of all numbers after the other. */
#define SLICE 40
#define RUN ((size_t)512) /* numbers a time; a multiple of 8, so that runs end on bytes */

size_t he_wide_bytes(size_t n, int bits)
{
    size_t bytes = 0;
    for (int from = 0; from < bits; from += SLICE) {
        bytes += he_packed_bytes(n, bits - from < SLICE ? bits - from : SLICE);
    }
    return bytes;
}

void he_pack_wide(uint8_t *out, const spx_u128 *x, size_t n, int bits)
{
    uint64_t part[RUN];
    for (int from = 0; from < bits; from += SLICE) {
        const int width = bits - from < SLICE ? bits - from : SLICE;
        for (size_t i = 0; i < n; i += RUN) {
            const size_t m = n - i < RUN ? n - i : RUN;
            for (size_t j = 0; j < m; j++) {
                const spx_u128 y = from == 0 ? x[i + j] : he_shift_right(x[i + j], from);
                part[j] = y.lo & (((uint64_t)1 << width) - 1);
            }
            he_pack(out, part, m, width);
            out += he_packed_bytes(m, width);
        }
    }
    spx_wipe(part, sizeof part);
}

void he_unpack_wide(spx_u128 *x, const uint8_t *in, size_t n, int bits)
{
    uint64_t part[RUN];
    memset(x, 0, n * sizeof *x);
    for (int from = 0; from < bits; from += SLICE) {
        const int width = bits - from < SLICE ? bits - from : SLICE;
        for (size_t i = 0; i < n; i += RUN) {
            const size_t m = n - i < RUN ? n - i : RUN;
            he_unpack(part, in, m, width);
            in += he_packed_bytes(m, width);
            for (size_t j = 0; j < m; j++) {
                x[i + j].lo |= from < 64 ? part[j] << from : 0;
                x[i + j].hi |= from >= 64 ? part[j] << (from - 64)
                                          : (from > 64 - SLICE ? part[j] >> (64 - from) : 0);
            }
        }
    }
}

void he_words(const spx_keystream *s, he_use use, uint64_t index, size_t first, uint64_t *out,
              size_t n)
{
    spx_keystream_blocks(s, (uint64_t)use << 56 | index, first / 2, (spx_block *)(void *)out,
                         (n + 1) / 2);
}

void he_public_stream(spx_keystream *s, const uint8_t seed[HE_SEED_BYTES])
{
    spx_seed whole = {{0}};
    memcpy(whole.byte, seed, HE_SEED_BYTES);
    spx_keystream_open(s, &whole);
}

void he_secret_stream(spx_keystream *s, spx_prg *prg)
{
    spx_seed seed;
    spx_seed_draw(&seed, prg);
    spx_keystream_open(s, &seed);
    spx_wipe(&seed, sizeof seed);
}

void he_uniform(const he_params *p, const spx_keystream *s, uint64_t index, int prime,
                uint64_t *out, uint64_t *words)
{
    const size_t n = p->set->n;
    size_t done = 0, used;
    for (size_t first = 0; done < n; first += n) {
        he_words(s, HE_UNIFORM, index * HE_PRIMES + (uint64_t)prime, first, words, n);
        done += spx_sample_uniform(out + done, n - done, p->modq[prime]->q, p->set->bits[prime],
                                   words, n, &used);
    }
}

size_t he_poly_bytes(const he_set *s)
{
    return s->n / 8 * (size_t)he_set_bits(s);
}

void he_write_poly(const he_params *p, uint8_t *out, const uint64_t *x)
{
    const size_t n = p->set->n;
    for (int i = 0; i < HE_PRIMES; i++) {
        he_pack(out, x + (size_t)i * n, n, p->set->bits[i]);
        out += he_packed_bytes(n, p->set->bits[i]);
    }
}

bool he_read_poly(const he_params *p, uint64_t *x, const uint8_t *in)
{
    const size_t n = p->set->n;
    uint64_t bad = 0;
    for (int i = 0; i < HE_PRIMES; i++) {
        uint64_t *y = x + (size_t)i * n;
        he_unpack(y, in, n, p->set->bits[i]);
        in += he_packed_bytes(n, p->set->bits[i]);
        for (size_t k = 0; k < n; k++) {
            bad |= (p->modq[i]->q - 1 - y[k]) >> 63;
        }
    }
    return bad == 0;
}
