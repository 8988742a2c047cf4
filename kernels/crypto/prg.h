#ifndef SPX_CRYPTO_PRG_H
#define SPX_CRYPTO_PRG_H
/*
 * Randomness for secrets: AES-128 in counter mode (NIST SP 800-38A), keyed by the operating system.
 *
 * A SEED is 32 uniform bytes: a key of AES-128 and the block at which counting begins, both secret
 * and the stream's own. A block of output can then be tried against a guessed key only by a call of
 * AES for this one stream. So whoever attacks T streams, to break any one, gains nothing by T. With
 * counters that all begin at 0, one guess would be held against all of them, at 2^128 / T.
 *
 * Seeds are drawn from a generator or derived from a seed, never made of anything else: what is
 * shipped holds no constant of this type, and no option, file or variable gives one. (A party reads
 * back, from its own vault, those it drew.) Tests have tests/support/prg_seeded.h.
 */
#include "kernels/base/status.h"
#include "kernels/crypto/aes.h"

#include <sys/types.h>

#define SPX_SEED_BYTES 32

typedef struct spx_seed {
    _Alignas(16) uint8_t byte[SPX_SEED_BYTES]; /* key, then start, as blocks lie in memory */
} spx_seed;

/** Blocks at any place of 2^64 lanes of 2^64 each, all of one seed. */
typedef struct spx_keystream {
    spx_aes_key key;
    spx_block start;
} spx_keystream;

/**
 * A generator. It forgets: every call ends by drawing the seed of the next from its own stream, so
 * who reads the memory later learns nothing of what was drawn before. After a fork the child draws
 * a new seed from the operating system. A copy made of the whole machine repeats what it draws
 * until it is keyed anew.
 */
typedef struct spx_prg {
    spx_keystream stream;
    pid_t owner; /* the process whose stream it is; 0: seeded by a test */
} spx_prg;

/**
 * Keys p from the operating system (getrandom, by libsodium). Wipe with spx_prg_clear.
 * @return SPX_OK; SPX_EUNSUPPORTED where libsodium cannot start
 */
SPX_MUST_CHECK spx_status spx_prg_init(spx_prg *p);

/** Keys p by a seed that was drawn or derived: the same draws of the same sizes each time. */
void spx_prg_from(spx_prg *p, const spx_seed *seed);

/**
 * The next n bytes, uniform. One call of many bytes is faster than many of few (each sets up a
 * key). Not for two threads at once: give each its own object.
 */
void spx_prg_bytes(spx_prg *p, void *out, size_t n);

/** A uniform 64-bit word. */
uint64_t spx_prg_u64(spx_prg *p);

/** Wipes the key; NULL is a no-op. */
void spx_prg_clear(spx_prg *p);

/** A new seed. */
void spx_seed_draw(spx_seed *out, spx_prg *p);

/**
 * One-way: out = BLAKE2b-256 under key `from` of (purpose, its final 0, context). Seeds of unlike
 * purposes or contexts are independent, and none tells of `from`.
 * @param purpose  a literal
 * @param context  [n] bytes; a purpose's contexts all have one length
 * @param out      may be `from`
 */
void spx_seed_derive(spx_seed *out, const spx_seed *from, const char *purpose, const void *context,
                     size_t n);

/** Wipe with spx_wipe. */
void spx_keystream_open(spx_keystream *s, const spx_seed *seed);

/** out[i] = block first + i of a lane; n = 0 is a no-op. No block may serve two purposes. */
void spx_keystream_blocks(const spx_keystream *s, uint64_t lane, uint64_t first, spx_block *out,
                          size_t n);

#endif
