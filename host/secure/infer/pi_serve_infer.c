/* The online phase at the server: plain integers on its share, one round per ReLU layer. */
#include "host/secure/infer/pi_server_private.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/ct.h"

#include <string.h>

typedef struct query {
    spx_pi_session_state *t;
    spx_pi_ahead *unit;
    spx_pi_unit_head head;
    spx_pi_shares shares;
    uint64_t *masks;
    uint8_t *choices;
    uint8_t *d;        /* corrections of a layer */
    spx_block *labels; /* of a chunk */
    size_t labels_bytes;
} query;

static void query_clear(query *q)
{
    const spx_pi_plan *p = q->t->s->plan;
    spx_pi_ahead_close(q->unit);
    spx_pi_shares_clear(&q->shares);
    spx_pi_free_secret(q->masks, p->masks * sizeof *q->masks);
    spx_pi_free_secret(q->choices, p->choices);
    spx_pi_free_secret(q->labels, q->labels_bytes);
    spx_free(q->d);
}

/* Of a query's buffers, in the order of query_buffers. */
enum { BUFFERS = 4 };
static void buffer_sizes(const spx_pi_plan *p, size_t bytes[BUFFERS])
{
    size_t wires = 0, d = spx_deploy_count(p->model, 0) * p->share_bytes;
    for (int i = 0; i < p->n_relus; i++) {
        const spx_pi_chunk c = spx_pi_chunk_of(&p->relu[i], 0);
        wires = c.wires > wires ? c.wires : wires;
        d = p->relu[i].wires / 8 > d ? p->relu[i].wires / 8 : d;
    }
    const size_t all[BUFFERS] = {p->masks * sizeof(uint64_t), p->choices, d,
                                 wires * sizeof(spx_block)};
    memcpy(bytes, all, sizeof all);
}

/* The shares take as much again for what an op needs beside them. */
void spx_pi_query_bytes(spx_pi_server *s)
{
    const spx_pi_plan *p = s->plan;
    size_t bytes[BUFFERS];
    buffer_sizes(p, bytes);
    s->query_bytes = 2 * spx_deploy_total(p->model) * sizeof(int64_t);
    for (int i = 0; i < BUFFERS; i++) {
        s->query_bytes += bytes[i];
    }
    for (int i = 0; i < p->n_relus; i++) {
        const spx_pi_chunk c = spx_pi_chunk_of(&p->relu[i], 0);
        const size_t n = c.wires * sizeof(spx_block) + c.table_bytes;
        s->piece_bytes = n > s->piece_bytes ? n : s->piece_bytes;
    }
}

static spx_status query_buffers(query *q)
{
    const spx_pi_plan *p = q->t->s->plan;
    size_t bytes[BUFFERS];
    void *m[BUFFERS] = {NULL};
    spx_status st = SPX_OK;
    buffer_sizes(p, bytes);
    for (int i = 0; i < BUFFERS && st == SPX_OK; i++) {
        st = spx_alloc(&m[i], bytes[i]);
    }
    q->masks = m[0];
    q->choices = m[1];
    q->d = m[2];
    q->labels = m[3];
    q->labels_bytes = bytes[3];
    SPX_RETURN_IF(st);
    return spx_pi_shares_create(&q->shares, p->model, NULL);
}

/* Before anything is spent: who gets none keeps the unit. */
static spx_status take_memory(spx_pi_session_state *t)
{
    const spx_pi_server *s = t->s;
    const size_t unit = (size_t)s->plan->sizes.server_bytes,
                 ahead = unit < SPX_PI_AHEAD ? unit : SPX_PI_AHEAD, least = 2 * s->piece_bytes;
    return spx_pi_memory_take(t, s->query_bytes + least,
                              s->query_bytes + (ahead > least ? ahead : least));
}

/* The server's shares of linear values begin as its masks. */
static void put_masks(query *q)
{
    const spx_pi_plan *p = q->t->s->plan;
    for (int i = 0; i < p->n_exchanges; i++) {
        const spx_pi_exchange *x = &p->exchange[i];
        const uint64_t *mask = q->masks + x->mask;
        for (int j = 0; j < x->n_out; j++) {
            const size_t n = spx_deploy_count(p->model, x->out[j]);
            int64_t *share = spx_pi_share(&q->shares, x->out[j]);
            for (size_t k = 0; k < n; k++) {
                share[k] = (int64_t)((uint64_t)share[k] + mask[k]);
            }
            mask += n;
        }
    }
}

static spx_status receive_image(query *q)
{
    const spx_pi_plan *p = q->t->s->plan;
    const size_t n = spx_deploy_count(p->model, 0), width = p->share_bytes;
    int64_t *share = spx_pi_share(&q->shares, 0);
    SPX_RETURN_IF(spx_channel_recv(q->t->channel, SPX_PI_SHARE, q->d, n * width));
    for (size_t i = 0; i < n; i++) {
        share[i] = (int64_t)spx_pi_get_word(q->d + i * width, width);
    }
    return SPX_OK;
}

/* One round: corrections out, labels back, circuits evaluated. */
static spx_status run_relu(query *q, int relu)
{
    const spx_pi_plan *p = q->t->s->plan;
    const spx_pi_relu *r = &p->relu[relu];
    const uint64_t *in = (const uint64_t *)spx_pi_share(&q->shares, r->in);
    uint64_t *out = (uint64_t *)spx_pi_share(&q->shares, r->out);
    const uint8_t *choices = q->choices + r->choice;
    uint8_t *d = q->d;
    for (int k = 0; k < r->chunks; k++) {
        const spx_pi_chunk c = spx_pi_chunk_of(r, k);
        spx_gc_input_bits(&r->gc, c.n, in + c.first, d);
        for (size_t i = 0; i < c.wires / 8; i++) {
            d[i] ^= choices[i];
        }
        d += c.wires / 8;
        choices += c.wires / 8;
    }
    SPX_RETURN_IF(spx_channel_send(q->t->channel, SPX_PI_CHOICE, q->d, r->wires / 8));
    for (int k = 0; k < r->chunks; k++) {
        const spx_pi_chunk c = spx_pi_chunk_of(r, k);
        const spx_gc_batch g = spx_pi_gc_batch(p, relu, &c, q->head.query, NULL);
        const spx_block *keys;
        const uint8_t *tables;
        SPX_RETURN_IF(spx_pi_ahead_next(q->unit, &keys, &tables));
        SPX_RETURN_IF(
            spx_channel_recv(q->t->channel, SPX_PI_LABELS, q->labels, c.wires * sizeof *q->labels));
        spx_ot_xor(c.wires, q->labels, keys, q->labels);
        SPX_RETURN_IF(IN_TURN(
            q->t, true,
            spx_gc_evaluate(&g, q->head.start, q->labels, tables, c.table_bytes, out + c.first)));
    }
    return SPX_OK;
}

/* The server's share of the logits, no bit more: above their ring, where nothing is masked, lie
 * carries of sums with weights. */
static spx_status send_logits(query *q)
{
    const spx_deploy *m = q->t->s->model;
    const size_t n = spx_deploy_count(m, m->logits);
    int64_t *share = spx_pi_share(&q->shares, m->logits);
    for (size_t i = 0; i < n; i++) {
        const int64_t mine = spx_pi_signed((uint64_t)share[i], m->value[m->logits].ring);
        spx_pi_put_word((uint64_t)mine, (uint8_t *)&share[i], sizeof *share);
    }
    SPX_RETURN_IF(spx_channel_send(q->t->channel, SPX_PI_LOGITS, share, n * sizeof *share));
    return spx_channel_flush(q->t->channel);
}

static spx_status run_online(query *q)
{
    const spx_deploy *m = q->t->s->model;
    int relu = 0;
    SPX_RETURN_IF(receive_image(q));
    for (int i = 0; i < m->n_ops; i++) {
        const spx_deploy_op *op = &m->op[i];
        if (op->kind == SPX_DEPLOY_RELU) {
            SPX_RETURN_IF(run_relu(q, relu++));
        } else {
            SPX_RETURN_IF(spx_pi_turn(q->t, true));
            spx_deploy_apply(m, i, op->in >= 0 ? spx_pi_share(&q->shares, op->in) : NULL,
                             spx_pi_share(&q->shares, op->out), q->shares.scratch, NULL);
            SPX_RETURN_IF(spx_pi_turn_end(q->t, SPX_OK));
        }
    }
    return send_logits(q);
}

/* Records all up to `number` as spent, durably. */
static spx_status spend(spx_pi_session_state *t, uint64_t number, bool answered)
{
    if (answered) {
        SPX_RETURN_IF(spx_pi_account_answer(t));
    }
    t->ledger.spent = number + 1;
    t->ledger.next = t->ledger.spent > t->ledger.next ? t->ledger.spent : t->ledger.next;
    t->ledger.answered += answered;
    return spx_pi_ledger_put(t);
}

/* Whether the unit is there; it is marked spent, durably, and its file removed. One that was never
 * made is as one that is gone: this vault may have been put back to an earlier state. */
static spx_status claim(query *q, uint64_t number, spx_block start, uint64_t *ready)
{
    spx_pi_session_state *t = q->t;
    spx_pi_server *s = t->s;
    char name[SPX_PI_NAME];
    bool same;
    spx_status st;
    *ready = 0;
    if (number < t->ledger.spent || number >= SPX_PI_MAX_NUMBER) {
        return SPX_FAIL(SPX_EINVAL, "unit %llu is spent, or cannot be", (unsigned long long)number);
    }
    spx_pi_name(name, 't', t->client, s->model->hash, (int64_t)number);
    st = spx_pi_ahead_open(&q->unit, s->plan, s->vault, name, &q->head, q->masks, q->choices,
                           t->memory - s->query_bytes);
    same = st == SPX_OK && memcmp(&q->head.start, &start, sizeof start) == 0;
    SPX_RETURN_IF(spend(t, number, same));
    SPX_RETURN_IF(spx_pi_units_remove_below(
        s->units, spx_pi_item_at(t->client, s->model->hash, t->ledger.spent)));
    if (st == SPX_ENOTFOUND) {
        return SPX_OK;
    }
    SPX_RETURN_IF(st);
    if (q->head.version != SPX_PI_VERSION || q->head.number != number ||
        memcmp(q->head.client, t->client, SPX_PI_ID) != 0 ||
        memcmp(q->head.model, s->model->hash, SPX_PI_HASH) != 0) {
        return SPX_FAIL(SPX_EFORMAT, "unit %llu holds another's material",
                        (unsigned long long)number);
    }
    *ready = same;
    return SPX_OK;
}

spx_status spx_pi_serve_infer(spx_pi_session_state *t, uint64_t number, spx_block start)
{
    query q = {.t = t};
    uint64_t ready;
    spx_status st;
    SPX_TRY(st, take_memory(t), done);
    SPX_TRY(st, query_buffers(&q), done);
    SPX_TRY(st, claim(&q, number, start, &ready), done);
    if (ready == 1) {
        put_masks(&q);
    }
    SPX_TRY(st, spx_pi_send(t->channel, SPX_PI_READY, spx_pi_number_fields, &ready), done);
    SPX_TRY(st, spx_channel_flush(t->channel), done);
    if (ready == 1) {
        st = run_online(&q);
        t->served->answered += st == SPX_OK;
    }
done:
    query_clear(&q);
    spx_pi_memory_give(t);
    return st;
}
