/* Opening a conversation, both parties: HELLO, WELCOME, MODEL, STATE; and what commands follow. */
#include "host/secure/infer/pi_client_private.h"
#include "host/secure/infer/pi_server_private.h"
#include "kernels/base/alloc.h"

#include <sodium.h>
#include <string.h>

/* ---- -> HELLO: who comes, and for which model ---- */

void spx_pi_hello_fields(spx_wire *w, void *hello)
{
    spx_pi_hello *h = hello;
    spx_wire_u32(w, &h->magic);
    spx_wire_u32(w, &h->version);
    spx_wire_bytes(w, h->client, SPX_PI_ID);
    spx_wire_bytes(w, h->model, SPX_PI_HASH);
}

static spx_status send_hello(spx_pi_client *p, const unsigned char *hash)
{
    spx_pi_hello h = {.magic = SPX_PI_MAGIC, .version = SPX_PI_VERSION};
    memcpy(h.client, spx_vault_id(p->vault), SPX_PI_ID);
    if (hash != NULL) {
        memcpy(h.model, hash, SPX_PI_HASH);
    }
    return spx_pi_send(p->channel, SPX_PI_HELLO, spx_pi_hello_fields, &h);
}

static bool all_zero(const uint8_t *p, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= p[i];
    }
    return any == 0;
}

spx_status spx_pi_recv_hello(const spx_pi_server *s, spx_channel *c, spx_pi_served *out)
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

/* ---- <- WELCOME: who serves, what, and what it holds for spent ---- */

void spx_pi_welcome_fields(spx_wire *w, void *welcome)
{
    spx_pi_welcome *m = welcome;
    spx_wire_u32(w, &m->magic);
    spx_wire_u32(w, &m->version);
    spx_wire_bytes(w, m->server, SPX_PI_ID);
    spx_wire_bytes(w, m->model, SPX_PI_HASH);
    spx_wire_u64(w, &m->model_bytes);
    spx_wire_u64(w, &m->spent);
}

static spx_status send_welcome(spx_pi_session_state *t)
{
    const spx_pi_server *s = t->s;
    spx_pi_welcome w = {.magic = SPX_PI_MAGIC,
                        .version = SPX_PI_VERSION,
                        .model_bytes = s->public_bytes,
                        .spent = t->ledger.spent};
    memcpy(w.server, spx_vault_id(s->vault), SPX_PI_ID);
    memcpy(w.model, s->model->hash, SPX_PI_HASH);
    return spx_pi_send(t->channel, SPX_PI_WELCOME, spx_pi_welcome_fields, &w);
}

static spx_status recv_welcome(spx_pi_client *p, const unsigned char *hash, spx_pi_welcome *w)
{
    const spx_status st = spx_pi_recv(p->channel, SPX_PI_WELCOME, spx_pi_welcome_fields, w);
    if (st != SPX_OK && spx_channel_ended(p->channel) && spx_channel_peer(p->channel)[0] == '\0') {
        return SPX_FAIL(st, "the other party closed the connection: does the server want --psk or "
                            "certificates?");
    }
    SPX_RETURN_IF(st);
    if (w->magic != SPX_PI_MAGIC || w->version != SPX_PI_VERSION) {
        return SPX_FAIL(SPX_EFORMAT, "the server speaks version %u of the protocol, this is %d",
                        w->version, SPX_PI_VERSION);
    }
    if (hash != NULL && memcmp(hash, w->model, SPX_PI_HASH) != 0) {
        return SPX_FAIL(SPX_EINVAL, "the server offers another model than the one asked for");
    }
    if (w->spent > SPX_PI_MAX_NUMBER) {
        return SPX_FAIL(SPX_EFORMAT,
                        "the server claims that %llu units are spent, there are at most %llu",
                        (unsigned long long)w->spent, (unsigned long long)SPX_PI_MAX_NUMBER);
    }
    if (w->model_bytes > SPX_PI_MAX_MODEL) {
        return SPX_FAIL(SPX_EFORMAT, "the server's model has %llu bytes, at most %llu are read",
                        (unsigned long long)w->model_bytes, (unsigned long long)SPX_PI_MAX_MODEL);
    }
    return SPX_OK;
}

/* ---- <- MODEL: its public part, as host/model writes it ---- */

static spx_status send_model(spx_pi_session_state *t)
{
    return spx_channel_send(t->channel, SPX_PI_MODEL, t->s->public_data, t->s->public_bytes);
}

static spx_status recv_model(spx_pi_client *p, const spx_pi_welcome *w)
{
    void *data;
    spx_status st;
    SPX_RETURN_IF(spx_alloc(&data, (size_t)w->model_bytes));
    st = spx_channel_recv(p->channel, SPX_PI_MODEL, data, (size_t)w->model_bytes);
    if (st == SPX_OK) {
        st = spx_deploy_decode_public(&p->model, data, (size_t)w->model_bytes);
    }
    spx_free(data);
    if (st == SPX_OK && memcmp(p->model->hash, w->model, SPX_PI_HASH) != 0) {
        st = SPX_FAIL(SPX_EFORMAT, "the server's model and its hash do not belong together");
    }
    return st;
}

/* ---- -> STATE: what the client holds for spent; the larger number holds ---- */

static spx_status send_state(spx_pi_client *p)
{
    SPX_RETURN_IF(spx_pi_send(p->channel, SPX_PI_STATE, spx_pi_number_fields, &p->spent));
    return spx_channel_flush(p->channel);
}

static spx_status recv_state(spx_pi_session_state *t, uint64_t *theirs)
{
    SPX_RETURN_IF(spx_pi_recv(t->channel, SPX_PI_STATE, spx_pi_number_fields, theirs));
    return *theirs <= SPX_PI_MAX_NUMBER
               ? SPX_OK
               : SPX_FAIL(SPX_EFORMAT,
                          "the client claims to have spent %llu units, there are at most %llu",
                          (unsigned long long)*theirs, (unsigned long long)SPX_PI_MAX_NUMBER);
}

/* ---- both halves ---- */

spx_status spx_pi_open_client(spx_pi_client *p, const unsigned char *hash)
{
    spx_pi_welcome w;
    SPX_RETURN_IF(send_hello(p, hash));
    SPX_RETURN_IF(recv_welcome(p, hash, &w));
    spx_channel_alive(p->channel, true); /* for as long as it is open: whatever is computed */
    memcpy(p->server, w.server, SPX_PI_ID);
    spx_pi_owner(p->server, spx_channel_peer(p->channel), p->home);
    SPX_RETURN_IF(recv_model(p, &w));
    SPX_RETURN_IF(spx_pi_plan_create(&p->plan, p->model));
    SPX_RETURN_IF(spx_pi_spent_get(p));
    SPX_RETURN_IF(send_state(p));
    return spx_pi_spent_agree(p, w.spent);
}

spx_status spx_pi_open_server(spx_pi_session_state *t)
{
    uint64_t theirs;
    SPX_RETURN_IF(spx_pi_ledger_get(t));
    SPX_RETURN_IF(send_welcome(t));
    SPX_RETURN_IF(send_model(t));
    SPX_RETURN_IF(recv_state(t, &theirs));
    return spx_pi_ledger_agree(t, theirs);
}

/* ---- -> COMMAND: what is wanted next ---- */

void spx_pi_command_fields(spx_wire *w, void *command)
{
    spx_pi_command *c = command;
    spx_wire_u64(w, &c->verb);
    spx_wire_u64(w, &c->arg);
    spx_pi_block_fields(w, &c->start);
}

spx_status spx_pi_send_command(spx_channel *c, spx_pi_verb verb, uint64_t arg,
                               const spx_block *start)
{
    spx_pi_command m = {.verb = verb, .arg = arg};
    if (start != NULL) {
        m.start = *start;
    }
    spx_pi_trace(c, verb, arg);
    return spx_pi_send(c, SPX_PI_COMMAND, spx_pi_command_fields, &m);
}

spx_status spx_pi_recv_command(spx_channel *c, spx_pi_command *m)
{
    SPX_RETURN_IF(spx_pi_recv(c, SPX_PI_COMMAND, spx_pi_command_fields, m));
    spx_pi_trace(c, m->verb, m->arg);
    return m->verb >= SPX_PI_PREPARE && m->verb <= SPX_PI_BYE
               ? SPX_OK
               : SPX_FAIL(SPX_EFORMAT, "the client gave command %llu", (unsigned long long)m->verb);
}
