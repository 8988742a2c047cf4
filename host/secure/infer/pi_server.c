/* A server's clients: who may come, what is spent, what is kept. */
#include "host/secure/infer/pi_server_private.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/secret_memory.h"

#include <stdlib.h>
#include <string.h>

/* One client's work must fit, whatever others do. */
static spx_status plan_memory(spx_pi_server *s)
{
    const size_t all = s->options.memory_bytes, beside = s->options.beside_bytes;
    s->prepare_bytes = spx_pi_prepare_bytes(s->plan);
    s->query_bytes = spx_pi_query_bytes(s->plan);
    s->piece_bytes = s->plan->most.piece;
    const size_t query = s->query_bytes + 2 * s->piece_bytes,
                 least = s->prepare_bytes > query ? s->prepare_bytes : query;
    return all == 0 || least <= all
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL,
                          "too little memory: one client of this model takes %zuM, the server "
                          "itself and its connections %zuM: give at least %zuM",
                          (least >> 20) + 1, (beside >> 20) + 1, ((least + beside) >> 20) + 2);
}

spx_pi_others spx_pi_server_others(const spx_pi_server *s)
{
    return s->others;
}

spx_status spx_pi_server_create(spx_pi_server **out, const spx_deploy *m, spx_vault *v,
                                const spx_pi_server_options *o)
{
    spx_status st;
    spx_pi_server *s;
    *out = NULL;
    if (!m->has_weights) {
        return SPX_FAIL(SPX_EINVAL, "a server needs the whole model, this is its public part");
    }
    s = calloc(1, sizeof *s);
    if (s == NULL || pthread_mutex_init(&s->lock, NULL) != 0 ||
        pthread_mutex_init(&s->record, NULL) != 0 || pthread_mutex_init(&s->sweep, NULL) != 0) {
        free(s);
        return SPX_FAIL(SPX_ENOMEM, "server");
    }
    s->model = m;
    s->vault = v;
    s->options = *o;
    SPX_TRY(st, spx_pi_queue_init(&s->queue, o), fail);
    SPX_TRY(st, spx_pi_plan_create(&s->plan, m), fail);
    SPX_TRY(st, spx_deploy_encode_public(m, &s->public_data, &s->public_bytes), fail);
    SPX_TRY(st, plan_memory(s), fail);
    SPX_TRY(st, spx_pi_units_open(&s->units, v, 't'), fail);
    SPX_TRY(st, spx_pi_server_survey(s), fail);
    *out = s;
    return SPX_OK;
fail:
    spx_pi_server_destroy(s);
    return st;
}

void spx_pi_server_destroy(spx_pi_server *s)
{
    if (s != NULL) {
        if (s->started > 0) {
            (void)!spx_pi_server_save(s); /* how long it has run */
        }
        spx_pi_units_close(s->units);
        spx_pi_plan_destroy(s->plan);
        spx_free(s->public_data);
        spx_pi_queue_clear(&s->queue);
        (void)pthread_mutex_destroy(&s->lock);
        (void)pthread_mutex_destroy(&s->record);
        (void)pthread_mutex_destroy(&s->sweep);
        free(s);
    }
}

/* ---- a conversation ---- */

static spx_status converse(spx_pi_session_state *t)
{
    SPX_RETURN_IF(spx_pi_open_server(t));
    for (;;) {
        spx_pi_command c;
        SPX_RETURN_IF(spx_pi_recv_command(t->channel, &c));
        switch (c.verb) {
        case SPX_PI_PREPARE:
            SPX_RETURN_IF(spx_pi_serve_prepare(t, c.arg));
            break;
        case SPX_PI_INFER:
            SPX_RETURN_IF(spx_pi_serve_infer(t, c.arg, c.start));
            break;
        default: /* BYE */
            return SPX_OK;
        }
    }
}

/* What the client did or asked is told, and why it was cut off; what failed here may name the
 * server's files. */
static spx_status part(spx_channel *c, spx_status st)
{
    if (st != SPX_OK) {
        spx_channel_give_up(c, st == SPX_EINVAL || st == SPX_EFORMAT || spx_channel_broken(c)
                                   ? spx_error_message()
                                   : "the server cannot go on; its log says why");
    }
    return st;
}

spx_status spx_pi_hear(spx_pi_server *s, spx_channel *c, spx_pi_served *out)
{
    spx_status st;
    memset(out, 0, sizeof *out);
    spx_pi_name_messages(c);
    st = spx_pi_recv_hello(s, c, out);
    if (st == SPX_OK) {
        spx_channel_deadline(c, 0);
    }
    return part(c, st);
}

spx_status spx_pi_serve_heard(spx_pi_server *s, spx_channel *c, spx_pi_served *out)
{
    spx_pi_session_state t = {.s = s, .channel = c, .served = out};
    void *memory;
    spx_status st;
    memcpy(t.said, out->id, SPX_PI_ID);
    spx_pi_owner(t.said, spx_channel_peer(c), t.client);
    spx_channel_alive(c, true);
    SPX_TRY(st, spx_secret_alloc(&memory, sizeof *t.prg), done);
    t.prg = memory;
    SPX_TRY(st, spx_prg_init(t.prg), done);
    SPX_TRY(st, spx_pi_enter(&t), done);
    st = spx_pi_account_enter(&t);
    if (st == SPX_OK) {
        st = converse(&t);
        spx_pi_account_leave(&t);
    }
    spx_pi_leave(&t);
done:
    st = part(c, st);
    spx_channel_alive(c, false);
    spx_secret_free(t.prg);
    return st == SPX_OK ? spx_pi_server_expire_accounts(s) : st;
}

spx_status spx_pi_serve(spx_pi_server *s, spx_channel *c, spx_pi_served *out)
{
    SPX_RETURN_IF(spx_pi_hear(s, c, out));
    return spx_pi_serve_heard(s, c, out);
}
