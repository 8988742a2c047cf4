#ifndef SPX_CRYPTO_PRG_H
#define SPX_CRYPTO_PRG_H
/*
 * Randomness for secrets: AES-128 in counter mode (NIST SP 800-38A) under a key of the operating
 * system's. No stream is ever used twice: an object has a fresh key of its own and, after a fork,
 * the child draws a new one. There is no constructor from a seed here: tests have theirs in
 * tests/support/prg_seeded.h.
 */
#include "kernels/base/status.h"
#include "kernels/crypto/aes.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct spx_prg {
    spx_aes_key key;
    uint64_t nonce, counter; /* blocks drawn */
    pid_t owner;             /* the process whose stream it is; 0: seeded by a test */
} spx_prg;

/**
 * Keys p from the operating system (getrandom, by libsodium). Wipe with spx_prg_clear.
 * @return SPX_OK; SPX_EUNSUPPORTED where libsodium cannot start
 */
SPX_MUST_CHECK spx_status spx_prg_init(spx_prg *p);

/**
 * The next n bytes, uniform; whole blocks are used, the rest of the last one is thrown away. Not
 * for two threads at once: give each its own object.
 */
void spx_prg_bytes(spx_prg *p, void *out, size_t n);

/** A uniform 64-bit word. */
uint64_t spx_prg_u64(spx_prg *p);

/** Wipes the key; NULL is a no-op. */
void spx_prg_clear(spx_prg *p);

#endif
