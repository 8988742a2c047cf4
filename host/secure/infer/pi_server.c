/* A server's clients: who may come, what is spent, what is kept. */
#include "host/secure/infer/pi_server_private.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/secret_memory.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One client's work must fit, whatever others do. */
static spx_status plan_memory(spx_pi_server *s)
{
    const size_t all = s->options.memory_bytes, beside = s->options.beside_bytes;
    spx_pi_prepare_bytes(s);
    spx_pi_query_bytes(s);
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

/* ---- the ledger ---- */

void spx_pi_ledger_fields(spx_wire *w, void *ledger)
{
    spx_pi_ledger *l = ledger;
    spx_wire_u64(w, &l->spent);
    spx_wire_u64(w, &l->next);
    spx_wire_u64(w, &l->answered);
    spx_wire_bytes(w, l->peer, sizeof l->peer);
}

spx_status spx_pi_ledger_put(spx_pi_session_state *t)
{
    char name[SPX_PI_NAME];
    spx_pi_name(name, 'l', t->client, t->s->model->hash, -1);
    t->known = true;
    return spx_pi_record_put(t->s->vault, name, spx_pi_ledger_fields, &t->ledger);
}

/* The client's ledger. One that is not known, or not any more, is not written because somebody
 * came, but when numbers are given out: and those lie above all that it may hold. */
static spx_status ledger_get(spx_pi_session_state *t)
{
    const char *peer = spx_channel_peer(t->channel);
    char name[SPX_PI_NAME];
    uint64_t version;
    spx_status st;
    spx_pi_name(name, 'l', t->client, t->s->model->hash, -1);
    st = spx_pi_record_get(t->s->vault, name, spx_pi_ledger_fields, &t->ledger, &version);
    if (st == SPX_ENOTFOUND) {
        memset(&t->ledger, 0, sizeof t->ledger);
        t->ledger.spent = t->ledger.next = spx_pi_server_floor(t->s);
        (void)snprintf(t->ledger.peer, sizeof t->ledger.peer, "%s", peer);
        return SPX_OK;
    }
    SPX_RETURN_IF(st);
    t->known = true;
    if (strncmp(t->ledger.peer, peer, sizeof t->ledger.peer - 1) != 0) {
        return SPX_FAIL(SPX_EINVAL, "this client's material belongs to another identity");
    }
    if (version != SPX_PI_VERSION) { /* what its numbers stand for cannot be used: it is spent */
        t->ledger.spent = t->ledger.next;
        SPX_RETURN_IF(spx_pi_ledger_put(t));
    }
    return SPX_OK;
}

/* ---- a conversation ---- */

static bool all_zero(const uint8_t *p, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= p[i];
    }
    return any == 0;
}

static spx_status greet(const spx_pi_server *s, spx_channel *c, spx_pi_served *out)
{
    const spx_deploy *m = s->model;
    spx_pi_hello h;
    SPX_RETURN_IF(spx_pi_recv(c, SPX_PI_HELLO, spx_pi_hello_fields, &h));
    if (h.magic != SPX_PI_MAGIC) {
        return SPX_FAIL(SPX_EFORMAT, "this is not the protocol of private inference");
    }
    if (h.version != SPX_PI_VERSION) {
        return SPX_FAIL(SPX_EFORMAT, "the client speaks version %u of the protocol, this is %d",
                        h.version, SPX_PI_VERSION);
    }
    if (!all_zero(h.model, SPX_PI_HASH) && memcmp(h.model, m->hash, SPX_PI_HASH) != 0) {
        return SPX_FAIL(SPX_EINVAL, "another model is served here than the one asked for");
    }
    memcpy(out->id, h.client, SPX_PI_ID);
    (void)sodium_bin2hex(out->client, sizeof out->client, h.client, SPX_PI_ID);
    return SPX_OK;
}

static spx_status welcome(spx_pi_session_state *t)
{
    const spx_pi_server *s = t->s;
    uint64_t theirs;
    spx_pi_welcome w = {.magic = SPX_PI_MAGIC,
                        .version = SPX_PI_VERSION,
                        .model_bytes = s->public_bytes,
                        .spent = t->ledger.spent};
    memcpy(w.server, spx_vault_id(s->vault), SPX_PI_ID);
    memcpy(w.model, s->model->hash, SPX_PI_HASH);
    SPX_RETURN_IF(spx_pi_send(t->channel, SPX_PI_WELCOME, spx_pi_welcome_fields, &w));
    SPX_RETURN_IF(spx_channel_send(t->channel, SPX_PI_MODEL, s->public_data, s->public_bytes));
    SPX_RETURN_IF(spx_pi_recv(t->channel, SPX_PI_STATE, spx_pi_number_fields, &theirs));
    if (theirs > SPX_PI_MAX_NUMBER) {
        return SPX_FAIL(SPX_EFORMAT, "the client claims to have spent %llu units",
                        (unsigned long long)theirs);
    }
    if (theirs > t->ledger.spent) { /* this vault was put back to an earlier state */
        t->ledger.spent = theirs;
        t->ledger.next = theirs > t->ledger.next ? theirs : t->ledger.next;
        if (t->known) {
            SPX_RETURN_IF(spx_pi_ledger_put(t));
        }
    }
    /* Its units that are spent: a crash left them, or what was said just now. */
    return spx_pi_units_remove_below(t->s->units,
                                     spx_pi_item_at(t->client, s->model->hash, t->ledger.spent));
}

static spx_status converse(spx_pi_session_state *t)
{
    SPX_RETURN_IF(ledger_get(t));
    SPX_RETURN_IF(welcome(t));
    for (;;) {
        spx_pi_command c;
        SPX_RETURN_IF(spx_pi_recv(t->channel, SPX_PI_COMMAND, spx_pi_command_fields, &c));
        switch (c.verb) {
        case SPX_PI_PREPARE:
            SPX_RETURN_IF(spx_pi_serve_prepare(t, c.arg));
            break;
        case SPX_PI_INFER:
            SPX_RETURN_IF(spx_pi_serve_infer(t, c.arg, c.start));
            break;
        case SPX_PI_BYE:
            return SPX_OK;
        default:
            return SPX_FAIL(SPX_EFORMAT, "the client gave command %llu",
                            (unsigned long long)c.verb);
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
    st = greet(s, c, out);
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
