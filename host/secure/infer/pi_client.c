/* The client: opening and closing, and what it draws from a unit's seed. */
#include "host/secure/infer/pi_client_private.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/ct.h"
#include "kernels/crypto/secret_memory.h"

#include <string.h>

/* ---- masks and labels, from a unit's seed ---- */

static void stream_of(spx_keystream *s, const spx_seed *unit, const char *purpose)
{
    spx_seed seed;
    spx_seed_derive(&seed, unit, purpose, NULL, 0);
    spx_keystream_open(s, &seed);
    spx_wipe(&seed, sizeof seed);
}

void spx_pi_draw_masks(const spx_pi_unit *u, int value, size_t n, int64_t *out)
{
    spx_keystream s;
    spx_block block[64];
    stream_of(&s, &u->seed, "masks");
    for (size_t i = 0; i < n; i += 128) {
        const size_t k = n - i < 128 ? n - i : 128;
        spx_keystream_blocks(&s, (uint64_t)value, i / 2, block, (k + 1) / 2);
        memcpy(out + i, block, k * sizeof *out);
    }
    spx_wipe(block, sizeof block);
    spx_wipe(&s, sizeof s);
}

void spx_pi_draw_answers(const spx_pi_unit *u, int relu, int chunk, size_t n, spx_block *out)
{
    spx_keystream s;
    stream_of(&s, &u->seed, "labels");
    spx_keystream_blocks(&s, (uint64_t)relu << 32 | (uint32_t)chunk, 0, out, n);
    spx_wipe(&s, sizeof s);
}

/* ---- opening and closing ---- */

spx_status spx_pi_client_open(spx_pi_client **out, spx_channel *c, spx_vault *v,
                              const unsigned char *hash)
{
    spx_status st;
    spx_pi_client *p;
    void *memory;
    *out = NULL;
    SPX_RETURN_IF(spx_secret_alloc(&memory, sizeof *p));
    p = memory;
    p->channel = c;
    p->vault = v;
    spx_pi_name_messages(c);
    SPX_TRY(st, spx_prg_init(&p->prg), fail);
    SPX_TRY(st, spx_pi_units_open(&p->units, v, 'u'), fail);
    SPX_TRY(st, spx_pi_open_client(p, hash), fail);
    *out = p;
    return SPX_OK;
fail:
    /* What the server did is told; what failed here may name the client's files. */
    spx_channel_give_up(c, st == SPX_EINVAL || st == SPX_EFORMAT || spx_channel_broken(c)
                               ? spx_error_message()
                               : "the client cannot go on");
    spx_pi_client_close(p);
    return st;
}

void spx_pi_client_close(spx_pi_client *p)
{
    if (p == NULL) {
        return;
    }
    spx_channel_alive(p->channel, false);
    /* Not where it failed before: the reason must stay the message of the thread. */
    if (p->plan != NULL && !spx_channel_broken(p->channel) &&
        spx_pi_send_command(p->channel, SPX_PI_BYE, 0, NULL) == SPX_OK) {
        (void)!spx_channel_flush(p->channel);
    }
    spx_pi_units_close(p->units);
    spx_pi_plan_destroy(p->plan);
    spx_deploy_destroy(p->model);
    spx_secret_free(p);
}

const spx_deploy *spx_pi_client_model(const spx_pi_client *p)
{
    return p->model;
}

const spx_pi_plan *spx_pi_client_plan(const spx_pi_client *p)
{
    return p->plan;
}

uint64_t spx_pi_client_removed(const spx_pi_client *p)
{
    return p->removed;
}

uint64_t spx_pi_client_ready(const spx_pi_client *p)
{
    uint64_t n = 0;
    for (spx_pi_item x = spx_pi_client_units(p, p->spent); spx_pi_units_next_own(p->units, &x);
         x.number++) {
        n++;
    }
    return n;
}
