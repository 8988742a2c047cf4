#ifndef SPX_OT_H
#define SPX_OT_H
/*
 * Correlated oblivious transfers: for each j the sender holds a key M0[j], the receiver a random
 * bit b[j] and M[j] = M0[j] ^ b[j] delta, delta being the sender's own, the same for all j.
 * Semi-honest, 128-bit security. Pure functions of buffers; lengths depend on counts only.
 *
 * Base: 128 OTs of Chou and Orlandi (eprint 2015/267) on ristretto255; each key is a hash of
 * (session, number, both messages, shared point), as the corrections of eprint 2017/370 ask. With
 * honest parties the choices are hidden perfectly (every message is a uniform point) and the key
 * not chosen by computational Diffie-Hellman in the random-oracle model. The extension's sender
 * is the base's receiver, with delta's bits, complemented, as choices.
 *
 * Extension: SoftSpoken (eprint 2022/192) with k = 4 and the repetition code: delta is 32 nibbles,
 * each the point at which a 16-leaf GGM tree (AES-128 of the node's seed) is punctured for the
 * sender. What nodes and leaves encrypt begins at a hash of the hello, so that a guessed node
 * cannot be tried on all sessions at once. Message: 31 bits an OT. Passive security, so no
 * consistency check: a malicious client is outside the threat model.
 *
 *     receiver (evaluator)                       sender (garbler)
 *     receiver_create  --- hello, 32 B --------> sender_create
 *     receiver_setup   <-- points, 4096 B ------
 *                      --- trees, 3072 B ------> sender_setup
 *     receiver_extend  --- spx_ot_bytes(n) ----> sender_extend        as often as wanted
 *
 * Using the keys for inputs of circuits (labels L0, L0 ^ delta; the receiver's input bits c):
 *     d = b ^ c (packed) one way; answer = K ^ d delta back, K = L0 ^ M0; label = answer ^ M.
 * L0 must be independent of M0 (were they equal, an answer for d = 1 would be delta), and no j may
 * be answered twice (two answers can differ by delta).
 */
#include "kernels/base/status.h"
#include "kernels/crypto/aes.h"
#include "kernels/crypto/prg.h"

#include <stddef.h>
#include <stdint.h>

/* check-figure: SPX_OT_POINTS_BYTES == 4096, SPX_OT_TREES_BYTES == 3072 */
#define SPX_OT_SESSION_BYTES 32
#define SPX_OT_HELLO_BYTES 32                /* a point */
#define SPX_OT_POINTS_BYTES (128 * 32)       /* a point for each bit of delta */
#define SPX_OT_TREES_BYTES (32 * 3 * 2 * 16) /* trees, levels below the first, both sums */
#define SPX_OT_UNIT 512                      /* OTs are made in multiples of this */
#define SPX_OT_MAX ((size_t)1 << 32)         /* of one call */

typedef struct spx_ot_sender spx_ot_sender;
typedef struct spx_ot_receiver spx_ot_receiver;

/** n rounded up to SPX_OT_UNIT: room for keys, choices and message of n OTs. */
size_t spx_ot_room(size_t n);

/** Bytes of the message of one extension by n OTs: 31/8 of spx_ot_room(n). */
size_t spx_ot_bytes(size_t n);

/**
 * Begins as receiver.
 * @param session what both sides bind their keys to (identities, nonces, hashed); the same on both
 * @param prg     randomness, used during the call only
 * @param hello   [SPX_OT_HELLO_BYTES] to send
 * @return SPX_OK, SPX_ENOMEM, SPX_EUNSUPPORTED (libsodium cannot start)
 */
SPX_MUST_CHECK spx_status spx_ot_receiver_create(spx_ot_receiver **out,
                                                 const uint8_t session[SPX_OT_SESSION_BYTES],
                                                 spx_prg *prg, uint8_t *hello);

/**
 * Begins as sender.
 * @param delta    secret; its lsb must be 1
 * @param hello    the receiver's
 * @param n_hello  bytes that came; any other than SPX_OT_HELLO_BYTES is refused
 * @param points   [SPX_OT_POINTS_BYTES] to send
 * @return SPX_OK, SPX_EINVAL (delta), SPX_EFORMAT (not a point), SPX_ENOMEM, SPX_EUNSUPPORTED
 */
SPX_MUST_CHECK spx_status spx_ot_sender_create(spx_ot_sender **out,
                                               const uint8_t session[SPX_OT_SESSION_BYTES],
                                               spx_block delta, spx_prg *prg, const uint8_t *hello,
                                               size_t n_hello, uint8_t *points);

/**
 * @param points the sender's, n_points bytes of it
 * @param trees  [SPX_OT_TREES_BYTES] to send
 * @return SPX_OK, SPX_EFORMAT, SPX_EINVAL (set up already); r cannot be set up again
 */
SPX_MUST_CHECK spx_status spx_ot_receiver_setup(spx_ot_receiver *r, const uint8_t *points,
                                                size_t n_points, uint8_t *trees);

/** @return SPX_OK, SPX_EFORMAT (length), SPX_EINVAL (set up already) */
SPX_MUST_CHECK spx_status spx_ot_sender_setup(spx_ot_sender *s, const uint8_t *trees,
                                              size_t n_trees);

/**
 * The next n OTs. Both sides must extend by the same counts in the same order. Works in slices of
 * 2048, so memory is the caller's buffers only.
 * @param n       1..SPX_OT_MAX
 * @param choices [spx_ot_room(n) / 8] b packed, bit j of byte j / 8; uniform
 * @param keys    [spx_ot_room(n)] M
 * @param message [spx_ot_bytes(n)] to send
 * @return SPX_OK, SPX_EINVAL (n; not set up)
 */
SPX_MUST_CHECK spx_status spx_ot_receiver_extend(spx_ot_receiver *r, size_t n, uint8_t *choices,
                                                 spx_block *keys, uint8_t *message);

/**
 * @param keys      [spx_ot_room(n)] M0
 * @param message   the receiver's, n_message bytes of it; a wrong length is refused and leaves s
 *                  as it was. Other damage cannot be seen: the keys then disagree
 * @return SPX_OK, SPX_EINVAL (n; not set up), SPX_EFORMAT (length)
 */
SPX_MUST_CHECK spx_status spx_ot_sender_extend(spx_ot_sender *s, size_t n, const uint8_t *message,
                                               size_t n_message, spx_block *keys);

/** answer[j] = k[j] ^ d_j delta; d packed as choices are; answer may be k. Constant time. */
void spx_ot_answer(size_t n, const spx_block *k, const uint8_t *d, spx_block delta,
                   spx_block *answer);

/** out[i] = a[i] ^ b[i]; any may be the same array. */
void spx_ot_xor(size_t n, const spx_block *a, const spx_block *b, spx_block *out);

void spx_ot_sender_destroy(spx_ot_sender *s);     /* wipes; NULL is a no-op */
void spx_ot_receiver_destroy(spx_ot_receiver *r); /* wipes; NULL is a no-op */

#endif
