/* Preparing a batch of units, both parties: ALLOW, OT_HELLO, OT_POINTS, OT_TREES, START; then for
 * every unit KEYS (now and then), REQUEST and RESPONSE of every exchange, EXTEND and TABLES of
 * every chunk of circuits, STORED. The client encrypts and garbles; the server computes on
 * ciphertexts and receives circuits. */
#include "host/secure/infer/pi_batch_private.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/ct.h"

#include <stdlib.h>
#include <string.h>

/* A client's generator for one purpose, of a batch's or a unit's seed. */
static void generator(spx_prg *out, const spx_seed *from, const char *purpose, const void *context,
                      size_t n)
{
    spx_seed seed;
    spx_seed_derive(&seed, from, purpose, context, n);
    spx_prg_from(out, &seed);
    spx_wipe(&seed, sizeof seed);
}

/* ---- <- ALLOW: numbers of the batch's units, and a nonce ---- */

void spx_pi_allow_fields(spx_wire *w, void *allow)
{
    spx_pi_allow *a = allow;
    spx_wire_u64(w, &a->first);
    spx_wire_bytes(w, a->nonce, SPX_PI_NONCE);
}

static spx_status send_allow(spx_pi_evaluating *b, uint64_t n, spx_pi_allow *allow)
{
    spx_pi_session_state *t = b->t;
    allow->first = t->ledger.next;
    t->ledger.next += n; /* never given out again, whatever becomes of the batch */
    SPX_RETURN_IF(spx_pi_ledger_put(t));
    spx_prg_bytes(t->prg, allow->nonce, sizeof allow->nonce);
    return spx_pi_send(t->channel, SPX_PI_ALLOW, spx_pi_allow_fields, allow);
}

static spx_status recv_allow(spx_pi_garbling *b, uint64_t n, spx_pi_allow *allow)
{
    const spx_pi_client *p = b->p;
    SPX_RETURN_IF(spx_pi_recv(p->channel, SPX_PI_ALLOW, spx_pi_allow_fields, allow));
    return allow->first >= p->spent && n <= SPX_PI_MAX_NUMBER &&
                   allow->first <= SPX_PI_MAX_NUMBER - n
               ? SPX_OK
               : SPX_FAIL(SPX_EFORMAT, "the server numbers new material %llu, out of range",
                          (unsigned long long)allow->first);
}

/* ---- <- OT_HELLO, -> OT_POINTS, <- OT_TREES: transfers (host/secure/ot); -> START ---- */

static spx_status client_transfers(spx_pi_garbling *b, const uint8_t session[SPX_OT_SESSION_BYTES])
{
    spx_channel *c = b->p->channel;
    uint8_t hello[SPX_OT_HELLO_BYTES], points[SPX_OT_POINTS_BYTES], trees[SPX_OT_TREES_BYTES];
    SPX_RETURN_IF(spx_channel_recv(c, SPX_PI_OT_HELLO, hello, sizeof hello));
    SPX_RETURN_IF(spx_ot_sender_create(&b->ot, session, b->key.delta, &b->coins, hello,
                                       sizeof hello, points));
    SPX_RETURN_IF(spx_channel_send(c, SPX_PI_OT_POINTS, points, sizeof points));
    SPX_RETURN_IF(spx_channel_recv(c, SPX_PI_OT_TREES, trees, sizeof trees));
    SPX_RETURN_IF(spx_ot_sender_setup(b->ot, trees, sizeof trees));
    return spx_pi_send(c, SPX_PI_START, spx_pi_block_fields, &b->key.start);
}

static spx_status server_transfers(spx_pi_evaluating *b,
                                   const uint8_t session[SPX_OT_SESSION_BYTES])
{
    spx_pi_session_state *t = b->t;
    uint8_t hello[SPX_OT_HELLO_BYTES], points[SPX_OT_POINTS_BYTES], trees[SPX_OT_TREES_BYTES];
    SPX_RETURN_IF(IN_TURN(t, false, spx_ot_receiver_create(&b->ot, session, t->prg, hello)));
    SPX_RETURN_IF(spx_channel_send(t->channel, SPX_PI_OT_HELLO, hello, sizeof hello));
    SPX_RETURN_IF(spx_channel_recv(t->channel, SPX_PI_OT_POINTS, points, sizeof points));
    SPX_RETURN_IF(IN_TURN(t, false, spx_ot_receiver_setup(b->ot, points, sizeof points, trees)));
    SPX_RETURN_IF(spx_channel_send(t->channel, SPX_PI_OT_TREES, trees, sizeof trees));
    return spx_pi_recv(t->channel, SPX_PI_START, spx_pi_block_fields, &b->start);
}

/* ---- -> KEYS: public encryption keys of the sets in use, one after another ---- */

static spx_status send_keys(spx_pi_garbling *b, uint64_t query)
{
    const spx_pi_plan *plan = b->p->plan;
    void *message;
    uint8_t *at;
    spx_status st = SPX_OK;
    SPX_RETURN_IF(spx_alloc(&message, plan->public_bytes));
    at = message;
    generator(&b->coins, &b->seed, "encryption keys", &query, sizeof query);
    for (int set = 0; st == SPX_OK && set < SPX_HE_SETS; set++) {
        spx_he_key_destroy(b->he[set]);
        b->he[set] = NULL;
        if (plan->set_used[set]) {
            st = spx_he_key_create(&b->he[set], set, &b->coins);
            if (st == SPX_OK) {
                spx_he_key_public(b->he[set], at);
                at += spx_he_public_bytes(set);
            }
        }
    }
    if (st == SPX_OK) {
        st = spx_channel_send(b->p->channel, SPX_PI_KEYS, message, plan->public_bytes);
    }
    spx_prg_clear(&b->coins);
    spx_free(message);
    return st;
}

static spx_status recv_keys(spx_pi_evaluating *b)
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

/* ---- -> REQUEST: encrypted shares of an exchange's inputs (host/secure/he) ---- */

static spx_status send_request(spx_pi_garbling *b, const spx_pi_exchange *x)
{
    const spx_deploy *m = b->p->model;
    size_t at = 0;
    for (int i = 0; i < x->n_in; i++) {
        const size_t n = spx_deploy_count(m, x->in[i]);
        memcpy(b->words + at, spx_pi_share(&b->shares, x->in[i]), n * sizeof *b->words);
        at += n;
    }
    SPX_RETURN_IF(spx_he_encrypt(x->he, b->he[x->facts->set], &b->encryption, 1, b->words,
                                 b->request, b->pool));
    return spx_channel_send(b->p->channel, SPX_PI_REQUEST, b->request, x->facts->request_bytes);
}

/* And its answer, which is sent when those of its window are there. */
static spx_status recv_request(spx_pi_evaluating *b, const spx_pi_exchange *x, uint8_t *response)
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

/* ---- <- RESPONSE: encrypted W c - s, the client's share of an exchange's outputs ---- */

static spx_status send_response(spx_pi_evaluating *b, const spx_pi_exchange *x,
                                const uint8_t *response)
{
    return spx_channel_send(b->t->channel, SPX_PI_RESPONSE, response, x->facts->response_bytes);
}

static spx_status recv_response(spx_pi_garbling *b, const spx_pi_exchange *x)
{
    const spx_deploy *m = b->p->model;
    const size_t bytes = x->facts->response_bytes;
    size_t at = 0;
    SPX_RETURN_IF(spx_channel_recv(b->p->channel, SPX_PI_RESPONSE, b->response, bytes));
    SPX_RETURN_IF(
        spx_he_decrypt(x->he, b->he[x->facts->set], 1, b->response, bytes, b->words, b->pool));
    for (int i = 0; i < x->n_out; i++) {
        int64_t *share = spx_pi_share(&b->shares, x->out[i]);
        for (size_t j = 0; j < spx_deploy_count(m, x->out[i]); j++) {
            share[j] = (int64_t)((uint64_t)share[j] + b->words[at++]);
        }
    }
    return SPX_OK;
}

/* ---- <- EXTEND: transfers of a chunk; -> TABLES: its circuits ---- */

static spx_status client_chunk(spx_pi_garbling *b, const spx_pi_unit *u, int relu, int chunk)
{
    const spx_pi_relu *r = &b->p->plan->relu[relu];
    const spx_pi_chunk k = spx_pi_chunk_of(r, chunk);
    const size_t bytes = spx_ot_bytes(k.wires);
    const spx_gc_batch g = spx_pi_gc_batch(b->p->plan, relu, &k, u->head.query, b->pool);
    const spx_deploy *m = b->p->model;
    const uint64_t *in = spx_pi_gather(m, r, &k, false, spx_pi_share(&b->shares, r->in), b->words);
    const uint64_t *out =
        spx_pi_gather(m, r, &k, false, spx_pi_share(&b->shares, r->out), b->words + k.n);
    spx_block *answers = b->zero + spx_ot_room(k.wires);
    SPX_RETURN_IF(spx_channel_recv(b->p->channel, SPX_PI_EXTEND, b->message, bytes));
    SPX_RETURN_IF(spx_ot_sender_extend(b->ot, k.wires, b->message, bytes, b->zero));
    spx_pi_draw_answers(u, relu, chunk, k.wires, answers);
    spx_ot_xor(k.wires, b->zero, answers, b->zero); /* L0 = M0 ^ K, K independent of M0 */
    SPX_RETURN_IF(spx_gc_garble(&g, &b->key, b->zero, in, out, b->message));
    return spx_channel_send(b->p->channel, SPX_PI_TABLES, b->message, k.table_bytes);
}

/* The choices join the unit's; keys and tables go to disk. */
static spx_status server_chunk(spx_pi_evaluating *b, spx_vault_writer *w, const spx_pi_chunk *c,
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

/* ---- <- STORED: the number of the unit that the server has on disk ---- */

static spx_status send_stored(const spx_pi_evaluating *b, uint64_t number)
{
    SPX_RETURN_IF(spx_pi_send(b->t->channel, SPX_PI_STORED, spx_pi_number_fields, &number));
    return spx_channel_flush(b->t->channel);
}

static spx_status recv_stored(const spx_pi_garbling *b, uint64_t number)
{
    uint64_t stored;
    SPX_RETURN_IF(spx_pi_recv(b->p->channel, SPX_PI_STORED, spx_pi_number_fields, &stored));
    return stored == number ? SPX_OK
                            : SPX_FAIL(SPX_EFORMAT, "the server stored unit %llu, not %llu",
                                       (unsigned long long)stored, (unsigned long long)number);
}

/* ---- the client's half ---- */

/* The public ops that read values of one depth. */
static void apply_public(const spx_pi_shares *s, int depth)
{
    const spx_deploy *m = s->model;
    for (int i = 0; i < m->n_ops; i++) {
        const spx_deploy_op *op = &m->op[i];
        if ((op->kind == SPX_DEPLOY_POOL || op->kind == SPX_DEPLOY_PICK) &&
            m->value[op->in].depth == depth) {
            spx_deploy_apply(m, i, spx_pi_share(s, op->in), spx_pi_share(s, op->out), s->scratch,
                             s->pool);
        }
    }
}

static spx_pi_cost *linear_cost(const spx_pi_garbling *b, const spx_pi_exchange *x)
{
    return b->layer != NULL ? &b->layer[x->segment].linear : NULL;
}

/* All linear values: the client's shares of them, level by level. */
static spx_status client_linear(spx_pi_garbling *b)
{
    const spx_pi_plan *plan = b->p->plan;
    spx_channel *c = b->p->channel;
    spx_pi_mark mark = spx_pi_mark_now(c);
    int depth = 0;
    apply_public(&b->shares, 0);
    for (int first = 0, end; first < plan->n_exchanges; first = end) {
        while (depth < plan->exchange[first].depth - 1) {
            apply_public(&b->shares, ++depth);
        }
        end = spx_pi_window_end(plan, first);
        for (int i = first; i < end; i++) {
            SPX_RETURN_IF(send_request(b, &plan->exchange[i]));
            spx_pi_mark_add(c, &mark, linear_cost(b, &plan->exchange[i]));
        }
        for (int i = first; i < end; i++) {
            SPX_RETURN_IF(recv_response(b, &plan->exchange[i]));
            spx_pi_mark_add(c, &mark, linear_cost(b, &plan->exchange[i]));
        }
    }
    while (depth < b->p->model->max_depth) {
        apply_public(&b->shares, ++depth);
    }
    return SPX_OK;
}

static spx_status client_store(spx_pi_garbling *b, spx_pi_unit *u)
{
    const spx_deploy *m = b->p->model;
    const spx_pi_item it = spx_pi_client_units(b->p, u->head.number);
    char name[SPX_PI_NAME];
    spx_vault_writer *w;
    spx_status st;
    spx_pi_units_name(b->p->units, &it, name);
    SPX_RETURN_IF(spx_vault_writer_open(&w, b->p->vault, name));
    st = spx_pi_write(w, spx_pi_unit_fields, u);
    if (st == SPX_OK) {
        st = spx_vault_write(w, spx_pi_share(&b->shares, m->logits),
                             spx_deploy_count(m, m->logits) * sizeof(int64_t));
    }
    if (st != SPX_OK) {
        spx_vault_abort(w);
        return st;
    }
    SPX_RETURN_IF(spx_vault_commit(w));
    return spx_pi_units_add(b->p->units, it);
}

/* Masks are drawn for what is not linear: the image and activations. */
static void draw_all_masks(const spx_pi_unit *u, const spx_pi_shares *s)
{
    memset(s->word, 0, spx_deploy_total(s->model) * sizeof *s->word);
    for (int v = 0; v < s->model->n_values; v++) {
        if (s->model->value[v].kind != SPX_DEPLOY_LINEAR) {
            spx_pi_draw_masks(u, v, spx_deploy_count(s->model, v), spx_pi_share(s, v));
        }
    }
}

static spx_status client_unit(spx_pi_garbling *b, uint64_t number, uint64_t query)
{
    spx_pi_client *p = b->p;
    const spx_pi_plan *plan = p->plan;
    spx_pi_unit *u = &p->unit;
    spx_pi_mark mark;
    spx_status st;
    *u = (spx_pi_unit){.head = spx_pi_unit_head_of(p->model->hash, p->server, number, query),
                       .key = b->key};
    spx_seed_derive(&u->seed, &b->seed, "unit", &query, sizeof query);
    generator(&b->encryption, &u->seed, "encryptions", NULL, 0);
    draw_all_masks(u, &b->shares);
    if (query % spx_pi_key_queries(plan) == 0) {
        SPX_TRY(st, send_keys(b, query), done);
    }
    SPX_TRY(st, client_linear(b), done);
    mark = spx_pi_mark_now(p->channel);
    for (int i = 0; i < plan->n_relus; i++) {
        for (int k = 0; k < plan->relu[i].chunks; k++) {
            SPX_TRY(st, client_chunk(b, u, i, k), done);
        }
        spx_pi_mark_add(p->channel, &mark,
                        b->layer != NULL ? &b->layer[plan->relu[i].segment].relu : NULL);
    }
    SPX_TRY(st, recv_stored(b, number), done);
    st = client_store(b, u);
done:
    spx_wipe(u, sizeof *u);
    return st;
}

/* What is drawn once, from the batch's seed (units.md has the tree). */
static spx_status client_begin(spx_pi_garbling *b, uint64_t n, uint64_t *first)
{
    spx_pi_client *p = b->p;
    spx_pi_allow allow;
    uint8_t session[SPX_OT_SESSION_BYTES];
    spx_status st;
    SPX_RETURN_IF(spx_pi_send_command(p->channel, SPX_PI_PREPARE, n, NULL));
    SPX_RETURN_IF(recv_allow(b, n, &allow));
    *first = allow.first;
    spx_pi_session(spx_vault_id(p->vault), p->server, p->model->hash, allow.nonce, session);
    spx_seed_draw(&b->seed, &p->prg);
    spx_seed_derive(&b->seed, &b->seed, "batch", session, sizeof session);
    generator(&b->coins, &b->seed, "garbling", NULL, 0);
    spx_gc_key_draw(&b->key, &b->coins);
    generator(&b->coins, &b->seed, "transfers", NULL, 0);
    st = client_transfers(b, session);
    spx_prg_clear(&b->coins);
    return st;
}

spx_status spx_pi_client_prepare(spx_pi_client *p, uint64_t n, spx_pool *pool,
                                 spx_pi_progress progress, void *ctx, spx_pi_cost *cost,
                                 spx_pi_layer *layer)
{
    spx_pi_garbling *b;
    spx_pi_mark mark = spx_pi_mark_now(p->channel);
    uint64_t first = 0;
    spx_status st;
    if (n == 0 || n >= (uint64_t)1 << 32) {
        return SPX_FAIL(SPX_EINVAL, "preparing %llu queries: 1 to 2^32 - 1", (unsigned long long)n);
    }
    SPX_TRY(st, spx_pi_garbling_create(&b, p, pool, layer), none);
    SPX_TRY(st, client_begin(b, n, &first), done);
    for (uint64_t i = 0; i < n; i++) {
        if (progress != NULL) {
            progress(ctx, "preparing", i, n);
        }
        SPX_TRY(st, client_unit(b, first + i, i), done);
    }
    if (progress != NULL) {
        progress(ctx, "preparing", n, n);
    }
done:
    spx_pi_garbling_destroy(b);
none:
    if (st != SPX_OK) {
        spx_channel_give_up(p->channel, spx_channel_broken(p->channel)
                                            ? spx_error_message()
                                            : "the client could not go on preparing");
    }
    spx_pi_mark_add(p->channel, &mark, cost);
    return st;
}

/* ---- the server's half ---- */

static spx_status server_linear(spx_pi_evaluating *b)
{
    const spx_pi_plan *p = b->t->s->plan;
    for (int first = 0, end; first < p->n_exchanges; first = end) {
        uint8_t *at = b->responses;
        end = spx_pi_window_end(p, first);
        for (int i = first; i < end; i++) {
            SPX_RETURN_IF(recv_request(b, &p->exchange[i], at));
            at += p->exchange[i].facts->response_bytes;
        }
        at = b->responses;
        for (int i = first; i < end; i++) {
            SPX_RETURN_IF(send_response(b, &p->exchange[i], at));
            at += p->exchange[i].facts->response_bytes;
        }
    }
    return SPX_OK;
}

/* The sections of a unit's file, in their order (pi_ahead_private.h). */
static spx_status server_sections(spx_pi_evaluating *b, spx_vault_writer *w, spx_pi_server_unit *u)
{
    const spx_pi_plan *p = b->t->s->plan;
    SPX_RETURN_IF(server_linear(b));
    SPX_RETURN_IF(spx_pi_write(w, spx_pi_server_unit_fields, u));
    SPX_RETURN_IF(spx_vault_write(w, b->masks, p->masks * sizeof *b->masks));
    for (int i = 0; i < p->n_relus; i++) {
        uint8_t *choices = b->choices + p->relu[i].choice;
        for (int k = 0; k < p->relu[i].chunks; k++) {
            const spx_pi_chunk c = spx_pi_chunk_of(&p->relu[i], k);
            SPX_RETURN_IF(server_chunk(b, w, &c, choices));
            choices += c.wires / 8;
        }
    }
    return spx_vault_write(w, b->choices, p->choices);
}

static spx_status server_unit(spx_pi_evaluating *b, uint64_t number, uint64_t query)
{
    spx_pi_session_state *t = b->t;
    const spx_pi_server *s = t->s;
    spx_pi_item it = spx_pi_item_at(t->client, s->model->hash, number);
    spx_pi_server_unit u = {.head = spx_pi_unit_head_of(s->model->hash, t->client, number, query),
                            .start = b->start};
    char name[SPX_PI_NAME];
    spx_vault_writer *w;
    spx_status st;
    u.head.made_ms = it.made_ms = spx_pi_server_age(s);
    if (query % spx_pi_key_queries(s->plan) == 0) {
        SPX_RETURN_IF(recv_keys(b));
    }
    spx_pi_units_name(s->units, &it, name);
    SPX_RETURN_IF(spx_vault_writer_open(&w, s->vault, name));
    st = server_sections(b, w, &u);
    if (st != SPX_OK) {
        spx_vault_abort(w);
        return st;
    }
    SPX_RETURN_IF(spx_vault_commit(w));
    SPX_RETURN_IF(spx_pi_units_add(s->units, it));
    SPX_RETURN_IF(send_stored(b, number));
    t->served->prepared++;
    return SPX_OK;
}

static spx_status server_batch(spx_pi_session_state *t, uint64_t n, uint64_t *begun)
{
    spx_pi_evaluating b;
    uint8_t session[SPX_OT_SESSION_BYTES];
    spx_pi_allow allow;
    spx_status st;
    SPX_TRY(st, spx_pi_evaluating_init(&b, t), done);
    SPX_TRY(st, send_allow(&b, n, &allow), done);
    spx_pi_session(t->said, spx_vault_id(t->s->vault), t->s->model->hash, allow.nonce, session);
    SPX_TRY(st, server_transfers(&b, session), done);
    while (*begun < n) {
        const uint64_t i = (*begun)++; /* what is sent of it may tell of weights: it counts */
        SPX_TRY(st, server_unit(&b, allow.first + i, i), done);
    }
done:
    spx_pi_evaluating_clear(&b);
    return st;
}

spx_status spx_pi_serve_prepare(spx_pi_session_state *t, uint64_t n)
{
    const size_t memory = t->s->prepare_bytes;
    uint64_t begun = 0;
    spx_status st;
    SPX_RETURN_IF(spx_pi_server_expire_units(t->s));
    SPX_RETURN_IF(spx_pi_account_room(t, n)); /* nobody waits, and has others cut, to be refused */
    SPX_RETURN_IF(spx_pi_memory_take(t, memory, memory));
    st = spx_pi_account_allow(t, n);
    if (st == SPX_OK) {
        st = server_batch(t, n, &begun);
        spx_pi_account_settle(t, n, n - begun);
    }
    spx_pi_memory_give(t);
    return st;
}
