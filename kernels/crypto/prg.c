#define _POSIX_C_SOURCE 200809L
#include "kernels/crypto/prg.h"

#include "kernels/crypto/ct.h"

#include <sodium.h>
#include <string.h>
#include <unistd.h>

static void draw_key(spx_prg *p)
{
    spx_block key;
    randombytes_buf(&key, sizeof key);
    spx_aes_expand(&p->key, &key, 1);
    spx_wipe(&key, sizeof key);
    p->nonce = 0;
    p->counter = 0;
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
static void draw_part(spx_prg *p, unsigned char *out, size_t n)
{
    spx_block part[64];
    const size_t blocks = (n + sizeof *part - 1) / sizeof *part;
    spx_aes_ctr(&p->key, p->nonce, p->counter, part, blocks);
    p->counter += blocks;
    memcpy(out, part, n);
    spx_wipe(part, blocks * sizeof *part);
}

void spx_prg_bytes(spx_prg *p, void *out, size_t n)
{
    const size_t most = 64 * sizeof(spx_block);
    unsigned char *at = out;
    if (p->owner != 0 && p->owner != getpid()) {
        draw_key(p); /* a child after fork must not repeat its parent */
    }
    if ((uintptr_t)out % sizeof(spx_block) == 0) {
        const size_t blocks = n / sizeof(spx_block);
        spx_aes_ctr(&p->key, p->nonce, p->counter, out, blocks);
        p->counter += blocks;
        at += blocks * sizeof(spx_block);
        n -= blocks * sizeof(spx_block);
    }
    while (n != 0) {
        const size_t k = n < most ? n : most;
        draw_part(p, at, k);
        at += k;
        n -= k;
    }
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
