#include "host/secure/ot/base_ot_private.h"

#include "kernels/crypto/ct.h"

#include <sodium.h>
#include <string.h>

_Static_assert(crypto_core_ristretto255_BYTES == POINT_BYTES, "a point's encoding");

static void draw_scalar(spx_prg *prg, uint8_t scalar[32])
{
    uint8_t wide[crypto_core_ristretto255_NONREDUCEDSCALARBYTES];
    spx_prg_bytes(prg, wide, sizeof wide); /* 512 bits, so the remainder is uniform to 2^-256 */
    crypto_core_ristretto255_scalar_reduce(scalar, wide);
    spx_wipe(wide, sizeof wide);
}

/* The neutral element has a valid encoding, but no party that draws its scalar ever sends it. */
static spx_status check_point(const uint8_t *point, const char *what, int number)
{
    if (crypto_core_ristretto255_is_valid_point(point) != 1 || sodium_is_zero(point, POINT_BYTES)) {
        return SPX_FAIL(SPX_EFORMAT, "oblivious transfer: %s %d is not a point of ristretto255",
                        what, number);
    }
    return SPX_OK;
}

/* Binds a key to everything said so far (eprint 2017/370). */
static void derive(const uint8_t *session, int number, const uint8_t *hello, const uint8_t *point,
                   const uint8_t *shared, spx_block *key)
{
    static const uint8_t domain[] = "sphynx base OT 1";
    const uint8_t index[1] = {(uint8_t)number};
    crypto_generichash_state h;
    (void)crypto_generichash_init(&h, domain, sizeof domain, sizeof *key);
    (void)crypto_generichash_update(&h, session, SPX_OT_SESSION_BYTES);
    (void)crypto_generichash_update(&h, index, sizeof index);
    (void)crypto_generichash_update(&h, hello, POINT_BYTES);
    (void)crypto_generichash_update(&h, point, POINT_BYTES);
    (void)crypto_generichash_update(&h, shared, POINT_BYTES);
    (void)crypto_generichash_final(&h, (uint8_t *)key, sizeof *key);
    spx_wipe(&h, sizeof h);
}

void base_ot_salt(const uint8_t *hello, spx_block *salt)
{
    static const uint8_t domain[] = "sphynx OT trees 1";
    crypto_generichash_state h;
    (void)crypto_generichash_init(&h, NULL, 0, sizeof *salt);
    (void)crypto_generichash_update(&h, domain, sizeof domain);
    (void)crypto_generichash_update(&h, hello, POINT_BYTES);
    (void)crypto_generichash_final(&h, (uint8_t *)salt, sizeof *salt);
}

spx_status base_ot_begin(base_sender *s, const uint8_t *session, spx_prg *prg)
{
    if (sodium_init() < 0) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "oblivious transfer: libsodium cannot start");
    }
    memcpy(s->session, session, sizeof s->session);
    draw_scalar(prg, s->scalar);
    if (crypto_scalarmult_ristretto255_base(s->hello, s->scalar) != 0) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "oblivious transfer: the random scalar is zero");
    }
    return SPX_OK;
}

spx_status base_ot_send(const base_sender *s, const uint8_t *points, spx_block keys[BASE_OTS][2])
{
    uint8_t own[POINT_BYTES], shared[2][POINT_BYTES]; /* a A; a B and a (B - A) */
    spx_status st = SPX_OK;
    if (crypto_scalarmult_ristretto255(own, s->scalar, s->hello) != 0) {
        return SPX_FAIL(SPX_EINVAL, "oblivious transfer: not begun");
    }
    for (int i = 0; i < BASE_OTS; i++) {
        const uint8_t *point = points + (size_t)i * POINT_BYTES;
        SPX_TRY(st, check_point(point, "choice", i), done);
        if (crypto_scalarmult_ristretto255(shared[0], s->scalar, point) != 0 ||
            crypto_core_ristretto255_sub(shared[1], shared[0], own) != 0) {
            st = SPX_FAIL(SPX_EFORMAT, "oblivious transfer: choice %d cannot be used", i);
            goto done;
        }
        derive(s->session, i, s->hello, point, shared[0], &keys[i][0]);
        derive(s->session, i, s->hello, point, shared[1], &keys[i][1]);
    }
done:
    spx_wipe(own, sizeof own);
    spx_wipe(shared, sizeof shared);
    return st;
}

spx_status base_ot_choose(const uint8_t *session, const uint8_t *hello, spx_block choices,
                          spx_prg *prg, uint8_t *points, spx_block keys[BASE_OTS])
{
    uint8_t scalar[32], plain[POINT_BYTES], moved[POINT_BYTES], shared[POINT_BYTES];
    spx_status st = SPX_OK;
    if (sodium_init() < 0) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "oblivious transfer: libsodium cannot start");
    }
    SPX_RETURN_IF(check_point(hello, "hello", 0));
    for (int i = 0; i < BASE_OTS; i++) {
        const uint64_t mask = spx_ct_mask(choices.w[i / 64] >> (i % 64));
        uint8_t *point = points + (size_t)i * POINT_BYTES;
        draw_scalar(prg, scalar);
        if (crypto_scalarmult_ristretto255_base(plain, scalar) != 0 ||
            crypto_core_ristretto255_add(moved, plain, hello) != 0 ||
            crypto_scalarmult_ristretto255(shared, scalar, hello) != 0) {
            st = SPX_FAIL(SPX_EUNSUPPORTED, "oblivious transfer: the random scalar is zero");
            break;
        }
        for (size_t j = 0; j < POINT_BYTES; j++) { /* b G, or b G + A where the choice is 1 */
            point[j] = (uint8_t)spx_ct_select(mask, moved[j], plain[j]);
        }
        derive(session, i, hello, point, shared, &keys[i]);
    }
    spx_wipe(scalar, sizeof scalar);
    spx_wipe(plain, sizeof plain);
    spx_wipe(moved, sizeof moved);
    spx_wipe(shared, sizeof shared);
    return st;
}
