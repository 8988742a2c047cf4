#define _POSIX_C_SOURCE 200809L
#include "kernels/crypto/prg.h"

#include "kernels/crypto/ct.h"

#include <sodium.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(spx_seed) == 2 * sizeof(spx_block), "a key and a start");

/* ---- seeds and their streams ---- */

void spx_seed_draw(spx_seed *out, spx_prg *p)
{
    spx_prg_bytes(p, out->byte, sizeof out->byte);
}

void spx_seed_derive(spx_seed *out, const spx_seed *from, const char *purpose, const void *context,
                     size_t n)
{
    crypto_generichash_state h;
    (void)crypto_generichash_init(&h, from->byte, sizeof from->byte, sizeof out->byte);
    (void)crypto_generichash_update(&h, (const unsigned char *)purpose, strlen(purpose) + 1);
    (void)crypto_generichash_update(&h, context, n);
    (void)crypto_generichash_final(&h, out->byte, sizeof out->byte);
    spx_wipe(&h, sizeof h);
}

void spx_keystream_open(spx_keystream *s, const spx_seed *seed)
{
    spx_block part[2];
    memcpy(part, seed->byte, sizeof part);
    spx_aes_expand(&s->key, &part[0], 1);
    s->start = part[1];
    spx_wipe(part, sizeof part);
}

void spx_keystream_blocks(const spx_keystream *s, uint64_t lane, uint64_t first, spx_block *out,
                          size_t n)
{
    spx_aes_ctr(&s->key, s->start.w[1] ^ lane, s->start.w[0] + first, out, n);
}

/* ---- generators ---- */

static void draw_key(spx_prg *p)
{
    spx_seed seed;
    randombytes_buf(seed.byte, sizeof seed.byte);
    spx_prg_from(p, &seed);
    spx_wipe(&seed, sizeof seed);
}

void spx_prg_from(spx_prg *p, const spx_seed *seed)
{
    spx_keystream_open(&p->stream, seed);
    p->owner = getpid();
}

spx_status spx_prg_init(spx_prg *p)
{
    memset(p, 0, sizeof *p);
    if (sodium_init() < 0) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "randomness: libsodium cannot start");
    }
    draw_key(p);
    return SPX_OK;
}

/* Through aligned blocks: out may lie anywhere. */
static void draw_part(const spx_prg *p, uint64_t first, unsigned char *out, size_t n)
{
    spx_block part[64];
    const size_t blocks = (n + sizeof *part - 1) / sizeof *part;
    spx_keystream_blocks(&p->stream, 0, first, part, blocks);
    memcpy(out, part, n);
    spx_wipe(part, blocks * sizeof *part);
}

void spx_prg_bytes(spx_prg *p, void *out, size_t n)
{
    const size_t most = 64 * sizeof(spx_block);
    unsigned char *at = out;
    uint64_t used = 0;
    spx_seed next;
    if (n == 0) {
        return;
    }
    if (p->owner != 0 && p->owner != getpid()) {
        draw_key(p); /* a child after fork must not repeat its parent */
    }
    if ((uintptr_t)out % sizeof(spx_block) == 0) {
        used = n / sizeof(spx_block);
        spx_keystream_blocks(&p->stream, 0, 0, out, used);
        at += used * sizeof(spx_block);
        n -= used * sizeof(spx_block);
    }
    while (n != 0) {
        const size_t k = n < most ? n : most;
        draw_part(p, used, at, k);
        used += (k + sizeof(spx_block) - 1) / sizeof(spx_block);
        at += k;
        n -= k;
    }
    draw_part(p, used, next.byte, sizeof next.byte);
    spx_keystream_open(&p->stream, &next);
    spx_wipe(&next, sizeof next);
}

uint64_t spx_prg_u64(spx_prg *p)
{
    uint64_t x;
    spx_prg_bytes(p, &x, sizeof x);
    return x;
}

void spx_prg_clear(spx_prg *p)
{
    if (p != NULL) {
        spx_wipe(p, sizeof *p);
    }
}
