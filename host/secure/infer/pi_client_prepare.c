/* The offline phase at the client: it encrypts and garbles. */
#include "host/secure/infer/pi_client_private.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/ct.h"
#include "kernels/crypto/secret_memory.h"

#include <string.h>

void spx_pi_allow_fields(spx_wire *w, void *allow)
{
    spx_pi_allow *a = allow;
    spx_wire_u64(w, &a->first);
    spx_wire_bytes(w, a->nonce, SPX_PI_NONCE);
}

/* What preparing a batch keeps from query to query; in memory for secrets. */
typedef struct batch {
    spx_pi_client *p;
    spx_pool *pool;
    spx_seed seed; /* of all the client draws for it */
    spx_gc_key key;
    spx_ot_sender *ot;
    spx_he_key *he[SPX_HE_SETS];
    spx_prg encryption, coins; /* of the unit at work; of what is drawn once */
    spx_pi_shares shares;
    uint8_t *request, *response; /* one exchange's */
    uint64_t *words;             /* one exchange's shares */
    spx_block *zero;             /* one chunk's labels */
    size_t words_bytes, zero_bytes;
    uint8_t *message; /* one chunk's OT message, then its tables */
    spx_pi_layer *layer;
} batch;

static spx_status draw_all_masks(const spx_pi_unit *u, const spx_pi_shares *s)
{
    for (int v = 0; v < s->model->n_values; v++) {
        if (s->model->value[v].kind != SPX_DEPLOY_LINEAR) {
            spx_pi_draw_masks(u, v, spx_deploy_count(s->model, v), spx_pi_share(s, v));
        }
    }
    return SPX_OK;
}

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

static void batch_destroy(batch *b)
{
    for (int set = 0; set < SPX_HE_SETS; set++) {
        spx_he_key_destroy(b->he[set]);
    }
    spx_ot_sender_destroy(b->ot);
    spx_pi_shares_clear(&b->shares);
    spx_free(b->request);
    spx_free(b->response);
    spx_pi_free_secret(b->words, b->words_bytes);
    spx_pi_free_secret(b->zero, b->zero_bytes);
    spx_free(b->message);
    spx_secret_free(b);
}

static spx_status batch_buffers(batch *b)
{
    const spx_pi_plan *plan = b->p->plan;
    size_t request = 0, response = 0, words = 0, zero = 0, message = 0;
    void *p[5] = {NULL};
    for (int i = 0; i < plan->n_exchanges; i++) {
        const spx_he_facts *f = plan->exchange[i].facts;
        const size_t n =
            f->input_elements > f->output_elements ? f->input_elements : f->output_elements;
        request = f->request_bytes > request ? f->request_bytes : request;
        response = f->response_bytes > response ? f->response_bytes : response;
        words = n > words ? n : words;
    }
    for (int i = 0; i < plan->n_relus; i++) {
        const spx_pi_chunk c = spx_pi_chunk_of(&plan->relu[i], 0);
        const size_t ot = spx_ot_bytes(c.wires), n = ot > c.table_bytes ? ot : c.table_bytes;
        zero = 2 * spx_ot_room(c.wires) > zero ? 2 * spx_ot_room(c.wires) : zero;
        message = n > message ? n : message;
    }
    SPX_RETURN_IF(spx_alloc(&p[0], request));
    b->request = p[0];
    SPX_RETURN_IF(spx_alloc(&p[1], response));
    b->response = p[1];
    b->words_bytes = words * sizeof(uint64_t);
    b->zero_bytes = zero * sizeof(spx_block);
    SPX_RETURN_IF(spx_alloc(&p[2], b->words_bytes));
    b->words = p[2];
    SPX_RETURN_IF(spx_alloc(&p[3], b->zero_bytes));
    b->zero = p[3];
    SPX_RETURN_IF(spx_alloc(&p[4], message));
    b->message = p[4];
    return spx_pi_shares_create(&b->shares, b->p->model, b->pool);
}

/* A generator for one purpose, of a batch's or a unit's seed. */
static void generator(spx_prg *out, const spx_seed *from, const char *purpose, const void *context,
                      size_t n)
{
    spx_seed seed;
    spx_seed_derive(&seed, from, purpose, context, n);
    spx_prg_from(out, &seed);
    spx_wipe(&seed, sizeof seed);
}

/* The batch's first words: who numbers what, oblivious transfers, the circuits' public start. */
static spx_status batch_begin(batch *b, uint64_t n, uint64_t *first)
{
    spx_pi_client *p = b->p;
    spx_pi_allow allow;
    uint8_t session[SPX_OT_SESSION_BYTES], hello_bytes[SPX_OT_HELLO_BYTES];
    uint8_t points[SPX_OT_POINTS_BYTES], trees[SPX_OT_TREES_BYTES];
    spx_status st;
    SPX_RETURN_IF(spx_pi_client_command(p, SPX_PI_PREPARE, n, NULL));
    SPX_RETURN_IF(spx_pi_recv(p->channel, SPX_PI_ALLOW, spx_pi_allow_fields, &allow));
    if (allow.first < p->spent || n > SPX_PI_MAX_NUMBER || allow.first > SPX_PI_MAX_NUMBER - n) {
        return SPX_FAIL(SPX_EFORMAT, "the server numbers new material %llu, out of range",
                        (unsigned long long)allow.first);
    }
    *first = allow.first;
    spx_pi_session(spx_vault_id(p->vault), p->server, p->model->hash, allow.nonce, session);
    spx_seed_draw(&b->seed, &p->prg);
    spx_seed_derive(&b->seed, &b->seed, "batch", session, sizeof session);
    generator(&b->coins, &b->seed, "garbling", NULL, 0);
    spx_gc_key_draw(&b->key, &b->coins);
    generator(&b->coins, &b->seed, "transfers", NULL, 0);
    SPX_TRY(st, spx_channel_recv(p->channel, SPX_PI_OT_HELLO, hello_bytes, sizeof hello_bytes),
            done);
    SPX_TRY(st,
            spx_ot_sender_create(&b->ot, session, b->key.delta, &b->coins, hello_bytes,
                                 sizeof hello_bytes, points),
            done);
    SPX_TRY(st, spx_channel_send(p->channel, SPX_PI_OT_POINTS, points, sizeof points), done);
    SPX_TRY(st, spx_channel_recv(p->channel, SPX_PI_OT_TREES, trees, sizeof trees), done);
    SPX_TRY(st, spx_ot_sender_setup(b->ot, trees, sizeof trees), done);
    st = spx_pi_send(p->channel, SPX_PI_START, spx_pi_block_fields, &b->key.start);
done:
    spx_prg_clear(&b->coins);
    return st;
}

/* New encryption keys, and their public parts to the server. */
static spx_status renew_keys(batch *b, uint64_t query)
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

static spx_status send_request(batch *b, const spx_pi_exchange *x)
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

static spx_status recv_response(batch *b, const spx_pi_exchange *x)
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

static spx_pi_cost *linear_cost(const batch *b, const spx_pi_exchange *x)
{
    return b->layer != NULL ? &b->layer[x->segment].linear : NULL;
}

/* All linear values: the client's shares of them, level by level. */
static spx_status prepare_linear(batch *b)
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

static spx_status garble_chunk(batch *b, const spx_pi_unit *u, int relu, int chunk)
{
    const spx_pi_relu *r = &b->p->plan->relu[relu];
    const spx_pi_chunk k = spx_pi_chunk_of(r, chunk);
    const size_t bytes = spx_ot_bytes(k.wires);
    const spx_gc_batch g = spx_pi_gc_batch(b->p->plan, relu, &k, u->query, b->pool);
    const int64_t *in = spx_pi_share(&b->shares, r->in), *out = spx_pi_share(&b->shares, r->out);
    spx_block *answers = b->zero + spx_ot_room(k.wires);
    SPX_RETURN_IF(spx_channel_recv(b->p->channel, SPX_PI_EXTEND, b->message, bytes));
    SPX_RETURN_IF(spx_ot_sender_extend(b->ot, k.wires, b->message, bytes, b->zero));
    spx_pi_draw_answers(u, relu, chunk, k.wires, answers);
    spx_ot_xor(k.wires, b->zero, answers, b->zero); /* L0 = M0 ^ K, K independent of M0 */
    SPX_RETURN_IF(spx_gc_garble(&g, &b->key, b->zero, (const uint64_t *)in + k.first,
                                (const uint64_t *)out + k.first, b->message));
    return spx_channel_send(b->p->channel, SPX_PI_TABLES, b->message, k.table_bytes);
}

static spx_status store(batch *b, spx_pi_unit *u)
{
    const spx_deploy *m = b->p->model;
    char name[SPX_PI_NAME];
    spx_vault_writer *w;
    spx_status st;
    spx_pi_name(name, 'u', b->p->home, m->hash, (int64_t)u->number);
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
    return spx_pi_units_add(b->p->units, spx_pi_item_at(b->p->home, m->hash, u->number));
}

static spx_status prepare_one(batch *b, uint64_t number, uint64_t query)
{
    spx_pi_client *p = b->p;
    const spx_pi_plan *plan = p->plan;
    spx_pi_unit *u = &p->unit;
    spx_pi_mark mark;
    uint64_t stored;
    spx_status st;
    memset(u, 0, sizeof *u);
    memcpy(u->model, p->model->hash, SPX_PI_HASH);
    memcpy(u->server, p->server, SPX_PI_ID);
    u->version = SPX_PI_VERSION;
    u->number = number;
    u->query = query;
    u->key = b->key;
    spx_seed_derive(&u->seed, &b->seed, "unit", &query, sizeof query);
    generator(&b->encryption, &u->seed, "encryptions", NULL, 0);
    memset(b->shares.word, 0, spx_deploy_total(p->model) * sizeof *b->shares.word);
    SPX_TRY(st, draw_all_masks(u, &b->shares), done);
    if (query % spx_pi_key_queries(plan) == 0) {
        SPX_TRY(st, renew_keys(b, query), done);
    }
    SPX_TRY(st, prepare_linear(b), done);
    mark = spx_pi_mark_now(p->channel);
    for (int i = 0; i < plan->n_relus; i++) {
        for (int k = 0; k < plan->relu[i].chunks; k++) {
            SPX_TRY(st, garble_chunk(b, u, i, k), done);
        }
        spx_pi_mark_add(p->channel, &mark, b->layer != NULL ? &b->layer[i].relu : NULL);
    }
    SPX_TRY(st, spx_pi_recv(p->channel, SPX_PI_STORED, spx_pi_number_fields, &stored), done);
    if (stored != number) {
        st = SPX_FAIL(SPX_EFORMAT, "the server stored unit %llu, not %llu",
                      (unsigned long long)stored, (unsigned long long)number);
        goto done;
    }
    st = store(b, u);
done:
    spx_wipe(u, sizeof *u);
    return st;
}

spx_status spx_pi_client_prepare(spx_pi_client *p, uint64_t n, spx_pool *pool,
                                 spx_pi_progress progress, void *ctx, spx_pi_cost *cost,
                                 spx_pi_layer *layer)
{
    batch *b;
    void *memory;
    spx_pi_mark mark = spx_pi_mark_now(p->channel);
    uint64_t first = 0;
    spx_status st;
    if (n == 0 || n >= (uint64_t)1 << 32) {
        return SPX_FAIL(SPX_EINVAL, "preparing %llu queries: 1 to 2^32 - 1", (unsigned long long)n);
    }
    SPX_TRY(st, spx_secret_alloc(&memory, sizeof *b), none);
    b = memory;
    *b = (batch){.p = p, .pool = pool, .layer = layer};
    SPX_TRY(st, batch_buffers(b), done);
    SPX_TRY(st, batch_begin(b, n, &first), done);
    for (uint64_t i = 0; i < n; i++) {
        if (progress != NULL) {
            progress(ctx, "preparing", i, n);
        }
        SPX_TRY(st, prepare_one(b, first + i, i), done);
    }
    if (progress != NULL) {
        progress(ctx, "preparing", n, n);
    }
done:
    batch_destroy(b);
none:
    if (st != SPX_OK) {
        spx_channel_give_up(p->channel, spx_channel_broken(p->channel)
                                            ? spx_error_message()
                                            : "the client could not go on preparing");
    }
    spx_pi_mark_add(p->channel, &mark, cost);
    return st;
}
