/* The offline phase at the server: it computes on ciphertexts and receives circuits. */
#include "host/secure/infer/pi_server_private.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/ct.h"

#include <stdlib.h>
#include <string.h>

/* What preparing a batch keeps from query to query. */
typedef struct batch {
    spx_pi_session_state *t;
    spx_ot_receiver *ot;
    spx_block start;
    spx_he_public *pk[SPX_HE_SETS];
    uint8_t *keys_message;
    uint8_t *request;
    uint8_t *responses; /* of a window */
    uint64_t *masks;    /* of a unit */
    uint8_t *choices;   /* of a unit */
    uint8_t *drawn;     /* one chunk's choices, with room for padding */
    spx_block *keys;    /* one chunk's */
    size_t room;        /* for so many choices and keys */
    uint8_t *message;   /* one chunk's OT message, then its tables */
} batch;

static void batch_clear(batch *b)
{
    const spx_pi_plan *p = b->t->s->plan;
    for (int set = 0; set < SPX_HE_SETS; set++) {
        spx_he_public_destroy(b->pk[set]);
    }
    spx_ot_receiver_destroy(b->ot);
    spx_pi_free_secret(b->masks, p->masks * sizeof *b->masks);
    spx_pi_free_secret(b->choices, p->choices);
    spx_pi_free_secret(b->drawn, b->room / 8);
    spx_pi_free_secret(b->keys, b->room * sizeof *b->keys);
    spx_free(b->keys_message);
    spx_free(b->request);
    spx_free(b->responses);
    spx_free(b->message);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Of a batch's buffers, in the order of batch_buffers. */
enum { BUFFERS = 8 };
static size_t buffer_sizes(const spx_pi_plan *p, size_t bytes[BUFFERS])
{
    size_t request = 0, responses = 0, room = 0, message = 0;
    for (int first = 0, end; first < p->n_exchanges; first = end) {
        size_t window = 0;
        end = spx_pi_window_end(p, first);
        for (int i = first; i < end; i++) {
            request = larger(request, p->exchange[i].facts->request_bytes);
            window += p->exchange[i].facts->response_bytes;
        }
        responses = larger(responses, window);
    }
    for (int i = 0; i < p->n_relus; i++) {
        const spx_pi_chunk c = spx_pi_chunk_of(&p->relu[i], 0);
        room = larger(room, spx_ot_room(c.wires));
        message = larger(message, larger(spx_ot_bytes(c.wires), c.table_bytes));
    }
    const size_t all[BUFFERS] = {p->public_bytes,
                                 request,
                                 responses,
                                 p->masks * sizeof(uint64_t),
                                 p->choices,
                                 room / 8,
                                 room * sizeof(spx_block),
                                 message};
    memcpy(bytes, all, sizeof all);
    return room;
}

/* Evaluating takes about four times a request beside the buffers: ciphertexts unpacked, and sums
 * at both primes. */
void spx_pi_prepare_bytes(spx_pi_server *s)
{
    size_t bytes[BUFFERS];
    (void)buffer_sizes(s->plan, bytes);
    s->prepare_bytes = 4 * bytes[1];
    for (int i = 0; i < BUFFERS; i++) {
        s->prepare_bytes += bytes[i];
    }
}

static spx_status batch_buffers(batch *b)
{
    size_t bytes[BUFFERS];
    void *m[BUFFERS] = {NULL};
    spx_status st = SPX_OK;
    b->room = buffer_sizes(b->t->s->plan, bytes);
    for (int i = 0; i < BUFFERS && st == SPX_OK; i++) {
        st = spx_alloc(&m[i], bytes[i]);
    }
    b->keys_message = m[0];
    b->request = m[1];
    b->responses = m[2];
    b->masks = m[3];
    b->choices = m[4];
    b->drawn = m[5];
    b->keys = m[6];
    b->message = m[7];
    return st;
}

/* ---- whether there is room ---- */

static uint64_t unit_bytes(const spx_pi_server *s)
{
    return s->plan->sizes.server_bytes + 65536;
}

static spx_status check_room(spx_pi_session_state *t, uint64_t n)
{
    const spx_pi_server_options *o = &t->s->options;
    const uint64_t unit = unit_bytes(t->s), limit = o->batch_limit > 0 ? o->batch_limit : 1000;
    uint64_t left;
    if (n < 1 || n > limit) {
        return SPX_FAIL(SPX_EINVAL, "%llu queries at a time: 1 to %llu are allowed",
                        (unsigned long long)n, (unsigned long long)limit);
    }
    if (t->ledger.next > SPX_PI_MAX_NUMBER - n) {
        return SPX_FAIL(SPX_EINVAL, "this client has used up its numbers");
    }
    SPX_RETURN_IF(spx_vault_free_bytes(t->s->vault, &left));
    if (n * unit > left) {
        return SPX_FAIL(SPX_EINVAL,
                        "material for %llu queries takes %llu MB, the server's disk has less",
                        (unsigned long long)n, (unsigned long long)(n * unit >> 20));
    }
    return SPX_OK;
}

/* ---- the batch ---- */

static spx_status batch_begin(batch *b, uint64_t n, uint64_t *first)
{
    spx_pi_session_state *t = b->t;
    spx_pi_allow allow = {.first = t->ledger.next};
    uint8_t session[SPX_OT_SESSION_BYTES], hello[SPX_OT_HELLO_BYTES];
    uint8_t points[SPX_OT_POINTS_BYTES], trees[SPX_OT_TREES_BYTES];
    *first = t->ledger.next;
    t->ledger.next += n; /* never given out again, whatever becomes of the batch */
    SPX_RETURN_IF(spx_pi_ledger_put(t));
    spx_prg_bytes(t->prg, allow.nonce, sizeof allow.nonce);
    spx_pi_session(t->said, spx_vault_id(t->s->vault), t->s->model->hash, allow.nonce, session);
    SPX_RETURN_IF(spx_pi_send(t->channel, SPX_PI_ALLOW, spx_pi_allow_fields, &allow));
    SPX_RETURN_IF(IN_TURN(t, false, spx_ot_receiver_create(&b->ot, session, t->prg, hello)));
    SPX_RETURN_IF(spx_channel_send(t->channel, SPX_PI_OT_HELLO, hello, sizeof hello));
    SPX_RETURN_IF(spx_channel_recv(t->channel, SPX_PI_OT_POINTS, points, sizeof points));
    SPX_RETURN_IF(IN_TURN(t, false, spx_ot_receiver_setup(b->ot, points, sizeof points, trees)));
    SPX_RETURN_IF(spx_channel_send(t->channel, SPX_PI_OT_TREES, trees, sizeof trees));
    return spx_pi_recv(t->channel, SPX_PI_START, spx_pi_block_fields, &b->start);
}

static spx_status receive_keys(batch *b)
{
    const spx_pi_plan *p = b->t->s->plan;
    const uint8_t *at = b->keys_message;
    SPX_RETURN_IF(spx_channel_recv(b->t->channel, SPX_PI_KEYS, b->keys_message, p->public_bytes));
    for (int set = 0; set < SPX_HE_SETS; set++) {
        spx_he_public_destroy(b->pk[set]);
        b->pk[set] = NULL;
        if (p->set_used[set]) {
            const size_t n = spx_he_public_bytes(set);
            SPX_RETURN_IF(spx_he_public_create(&b->pk[set], set, at, n, 0));
            at += n;
        }
    }
    return SPX_OK;
}

static spx_status evaluate(batch *b, const spx_pi_exchange *x, uint8_t *response)
{
    const spx_deploy *m = b->t->s->model;
    const size_t bytes = x->facts->request_bytes;
    const int32_t **weights = calloc((size_t)x->n_conv, sizeof *weights);
    spx_status st;
    if (weights == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "weights of %d convolutions", x->n_conv);
    }
    for (int i = 0; i < x->n_conv; i++) {
        weights[i] = m->op[x->conv[i]].weights;
    }
    st = spx_channel_recv(b->t->channel, SPX_PI_REQUEST, b->request, bytes);
    if (st == SPX_OK) {
        st = IN_TURN(b->t, false,
                     spx_he_evaluate(x->he, b->pk[x->facts->set], weights, b->t->prg, 1, b->request,
                                     bytes, response, b->masks + x->mask, NULL));
    }
    free(weights);
    return st;
}

static spx_status serve_linear(batch *b)
{
    const spx_pi_plan *p = b->t->s->plan;
    for (int first = 0, end; first < p->n_exchanges; first = end) {
        uint8_t *at = b->responses;
        end = spx_pi_window_end(p, first);
        for (int i = first; i < end; i++) {
            SPX_RETURN_IF(evaluate(b, &p->exchange[i], at));
            at += p->exchange[i].facts->response_bytes;
        }
        at = b->responses;
        for (int i = first; i < end; i++) {
            const size_t n = p->exchange[i].facts->response_bytes;
            SPX_RETURN_IF(spx_channel_send(b->t->channel, SPX_PI_RESPONSE, at, n));
            at += n;
        }
    }
    return SPX_OK;
}

/* Oblivious transfers for one chunk; their choices join the unit's, the keys go to disk. */
static spx_status receive_chunk(batch *b, spx_vault_writer *w, const spx_pi_chunk *c,
                                uint8_t *choices)
{
    spx_channel *channel = b->t->channel;
    SPX_RETURN_IF(IN_TURN(b->t, false,
                          spx_ot_receiver_extend(b->ot, c->wires, b->drawn, b->keys, b->message)));
    memcpy(choices, b->drawn, c->wires / 8);
    SPX_RETURN_IF(spx_channel_send(channel, SPX_PI_EXTEND, b->message, spx_ot_bytes(c->wires)));
    SPX_RETURN_IF(spx_channel_recv(channel, SPX_PI_TABLES, b->message, c->table_bytes));
    SPX_RETURN_IF(spx_vault_write(w, b->keys, c->wires * sizeof *b->keys));
    return spx_vault_write(w, b->message, c->table_bytes);
}

static spx_status serve_unit(batch *b, spx_vault_writer *w, spx_pi_unit_head *head)
{
    const spx_pi_plan *p = b->t->s->plan;
    SPX_RETURN_IF(serve_linear(b));
    SPX_RETURN_IF(spx_pi_write(w, spx_pi_unit_head_fields, head));
    SPX_RETURN_IF(spx_vault_write(w, b->masks, p->masks * sizeof *b->masks));
    for (int i = 0; i < p->n_relus; i++) {
        uint8_t *choices = b->choices + p->relu[i].choice;
        for (int k = 0; k < p->relu[i].chunks; k++) {
            const spx_pi_chunk c = spx_pi_chunk_of(&p->relu[i], k);
            SPX_RETURN_IF(receive_chunk(b, w, &c, choices));
            choices += c.wires / 8;
        }
    }
    return spx_vault_write(w, b->choices, p->choices);
}

static spx_status serve_one(batch *b, uint64_t number, uint64_t query)
{
    spx_pi_session_state *t = b->t;
    char name[SPX_PI_NAME];
    spx_pi_unit_head head;
    spx_vault_writer *w;
    spx_status st;
    memset(&head, 0, sizeof head);
    memcpy(head.model, t->s->model->hash, SPX_PI_HASH);
    memcpy(head.client, t->client, SPX_PI_ID);
    head.version = SPX_PI_VERSION;
    head.number = number;
    head.query = query;
    head.made_ms = spx_pi_server_age(t->s);
    head.start = b->start;
    if (query % spx_pi_key_queries(t->s->plan) == 0) {
        SPX_RETURN_IF(receive_keys(b));
    }
    spx_pi_name(name, 't', t->client, t->s->model->hash, (int64_t)number);
    SPX_RETURN_IF(spx_vault_writer_open(&w, t->s->vault, name));
    st = serve_unit(b, w, &head);
    if (st != SPX_OK) {
        spx_vault_abort(w);
        return st;
    }
    SPX_RETURN_IF(spx_vault_commit(w));
    spx_pi_item it = spx_pi_item_at(t->client, head.model, number);
    it.made_ms = head.made_ms;
    SPX_RETURN_IF(spx_pi_units_add(t->s->units, it));
    SPX_RETURN_IF(spx_pi_send(t->channel, SPX_PI_STORED, spx_pi_number_fields, &number));
    SPX_RETURN_IF(spx_channel_flush(t->channel));
    t->served->prepared++;
    return SPX_OK;
}

static spx_status serve_batch(spx_pi_session_state *t, uint64_t n, uint64_t *begun)
{
    batch b = {.t = t};
    uint64_t first = 0;
    spx_status st;
    SPX_TRY(st, batch_buffers(&b), done);
    SPX_TRY(st, batch_begin(&b, n, &first), done);
    while (*begun < n) {
        const uint64_t i = (*begun)++; /* what is sent of it may tell of weights: it counts */
        SPX_TRY(st, serve_one(&b, first + i, i), done);
    }
done:
    batch_clear(&b);
    return st;
}

spx_status spx_pi_serve_prepare(spx_pi_session_state *t, uint64_t n)
{
    const size_t memory = t->s->prepare_bytes;
    uint64_t begun = 0;
    spx_status st;
    SPX_RETURN_IF(spx_pi_server_expire_units(t->s));
    SPX_RETURN_IF(check_room(t, n));
    SPX_RETURN_IF(spx_pi_memory_take(t, memory, memory));
    st = spx_pi_account_allow(t, n, n * unit_bytes(t->s));
    if (st == SPX_OK) {
        st = serve_batch(t, n, &begun);
        spx_pi_account_settle(t, n - begun, n * unit_bytes(t->s));
    }
    spx_pi_memory_give(t);
    return st;
}
