/* A query, both parties: READY, SHARE, then CHOICE and LABELS for every ReLU layer, LOGITS. Plain
 * integers on shares; one round for each ReLU layer. */
#include "host/secure/infer/pi_ahead_private.h"
#include "host/secure/infer/pi_client_private.h"
#include "host/secure/infer/pi_server_private.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/ct.h"

#include <string.h>

/* ---- what each party holds ---- */

/* A client's. */
typedef struct asking {
    spx_pi_client *p;
    const spx_pi_unit *unit;
    int64_t *logits;   /* its share of them, then they */
    uint8_t *d;        /* corrections of a layer, or the server's share of the logits */
    spx_block *answer; /* to a chunk of them */
    size_t d_bytes;
} asking;

/* A server's. */
typedef struct answering {
    spx_pi_session_state *t;
    spx_pi_ahead *ahead;
    spx_pi_server_unit unit;
    spx_pi_shares shares;
    uint64_t *masks;
    uint8_t *choices;
    uint8_t *d;        /* corrections of a layer, or the client's share of the image */
    spx_block *labels; /* of a chunk */
    uint64_t *apart;   /* a chunk's elements that do not lie together */
} answering;

/* Of a server's buffers, in the order of its pointers. */
enum { MASKS, CHOICES, CORRECTIONS, LABELS, APART, BUFFERS };
static void buffer_sizes(const spx_pi_plan *p, size_t bytes[BUFFERS])
{
    const size_t image = spx_deploy_count(p->model, 0) * p->share_bytes;
    bytes[MASKS] = p->masks * sizeof(uint64_t);
    bytes[CHOICES] = p->choices;
    bytes[CORRECTIONS] = image > p->most.choices ? image : p->most.choices;
    bytes[LABELS] = p->most.wires * sizeof(spx_block);
    bytes[APART] = p->most.apart * sizeof(uint64_t);
}

/* The shares take as much again for what an op needs beside them. */
size_t spx_pi_query_bytes(const spx_pi_plan *p)
{
    size_t bytes[BUFFERS], sum = 2 * spx_deploy_total(p->model) * sizeof(int64_t);
    buffer_sizes(p, bytes);
    for (int i = 0; i < BUFFERS; i++) {
        sum += bytes[i];
    }
    return sum;
}

static void answering_clear(answering *q)
{
    size_t bytes[BUFFERS];
    buffer_sizes(q->t->s->plan, bytes);
    spx_pi_ahead_close(q->ahead);
    spx_pi_shares_clear(&q->shares);
    spx_pi_free_secret(q->masks, bytes[MASKS]);
    spx_pi_free_secret(q->choices, bytes[CHOICES]);
    spx_pi_free_secret(q->labels, bytes[LABELS]);
    spx_pi_free_secret(q->apart, bytes[APART]);
    spx_free(q->d);
}

static spx_status answering_make(answering *q)
{
    const spx_pi_plan *p = q->t->s->plan;
    size_t bytes[BUFFERS];
    void *m[BUFFERS] = {NULL};
    spx_status st = SPX_OK;
    buffer_sizes(p, bytes);
    for (int i = 0; i < BUFFERS && st == SPX_OK; i++) {
        st = spx_alloc(&m[i], bytes[i]);
    }
    q->masks = m[MASKS];
    q->choices = m[CHOICES];
    q->d = m[CORRECTIONS];
    q->labels = m[LABELS];
    q->apart = m[APART];
    SPX_RETURN_IF(st);
    return spx_pi_shares_create(&q->shares, p->model, NULL);
}

/* Before anything is spent: who gets none keeps the unit. */
static spx_status take_memory(spx_pi_session_state *t, uint64_t number)
{
    const spx_pi_server *s = t->s;
    const size_t unit = (size_t)s->plan->sizes.server_bytes,
                 ahead = unit < SPX_PI_AHEAD ? unit : SPX_PI_AHEAD, least = 2 * s->piece_bytes;
    if (number < t->ledger.spent || number >= SPX_PI_MAX_NUMBER) {
        return SPX_FAIL(SPX_EINVAL, "unit %llu is spent, or cannot be", (unsigned long long)number);
    }
    return spx_pi_memory_take(t, s->query_bytes + least,
                              s->query_bytes + (ahead > least ? ahead : least));
}

/* ---- <- READY: whether the server has the unit that the command names ---- */

/* Reads the client's next unit; ENOTFOUND where there is none. */
static spx_status load_unit(spx_pi_client *p, spx_pi_unit *u, int64_t *logits)
{
    const spx_deploy *m = p->model;
    char name[SPX_PI_NAME];
    spx_vault_reader *r;
    spx_pi_item x = spx_pi_client_units(p, p->spent);
    spx_status st;
    if (!spx_pi_units_next_own(p->units, &x)) {
        return SPX_FAIL(SPX_ENOTFOUND, "no material is ready: prepare some first");
    }
    spx_pi_units_name(p->units, &x, name);
    SPX_RETURN_IF(spx_vault_reader_open(&r, p->vault, name));
    st = spx_pi_read(r, spx_pi_unit_fields, u);
    if (st == SPX_OK) {
        st = spx_vault_read(r, logits, spx_deploy_count(m, m->logits) * sizeof *logits);
    }
    spx_vault_reader_close(r);
    if (st == SPX_OK && !spx_pi_unit_is(&u->head, m->hash, p->server, x.number)) {
        st = SPX_FAIL(SPX_EFORMAT, "%s holds another unit's material", name);
    }
    return st;
}

/* Asks with one unit after the other until the server has its part. */
static spx_status client_claim(spx_pi_client *p, spx_pi_unit *u, int64_t *logits)
{
    for (;;) {
        uint64_t ready;
        SPX_RETURN_IF(load_unit(p, u, logits));
        SPX_RETURN_IF(spx_pi_send_command(p->channel, SPX_PI_INFER, u->head.number, &u->key.start));
        SPX_RETURN_IF(spx_pi_recv(p->channel, SPX_PI_READY, spx_pi_number_fields, &ready));
        SPX_RETURN_IF(spx_pi_spent_spend(p, u->head.number));
        if (ready == 1) {
            return SPX_OK;
        }
        if (ready != 0) {
            return SPX_FAIL(SPX_EFORMAT, "the server answered %llu to a query, not 0 or 1",
                            (unsigned long long)ready);
        }
    }
}

/* Whether the unit is there; it is marked spent, durably, and its file removed. One that was never
 * made is as one that is gone: this vault may have been put back to an earlier state. */
static spx_status server_claim(answering *q, uint64_t number, spx_block start, uint64_t *ready)
{
    spx_pi_session_state *t = q->t;
    const spx_pi_server *s = t->s;
    char name[SPX_PI_NAME];
    bool same;
    spx_status st;
    *ready = 0;
    spx_pi_name(name, 't', t->client, s->model->hash, (int64_t)number);
    st = spx_pi_ahead_open(&q->ahead, s->plan, s->vault, name, &q->unit, q->masks, q->choices,
                           t->memory - s->query_bytes);
    same = st == SPX_OK && memcmp(&q->unit.start, &start, sizeof start) == 0;
    if (same) {
        SPX_RETURN_IF(spx_pi_account_answer(t));
        t->ledger.answered++;
    }
    SPX_RETURN_IF(spx_pi_ledger_spend(t, number));
    if (st == SPX_ENOTFOUND) {
        return SPX_OK;
    }
    SPX_RETURN_IF(st);
    if (!spx_pi_unit_is(&q->unit.head, s->model->hash, t->client, number)) {
        return SPX_FAIL(SPX_EFORMAT, "unit %llu holds another's material",
                        (unsigned long long)number);
    }
    *ready = same;
    return SPX_OK;
}

/* ---- -> SHARE: image - mask, share_bytes an element ---- */

static spx_status send_image(const asking *q, const uint8_t *image)
{
    const spx_pi_client *p = q->p;
    const size_t n = spx_deploy_count(p->model, 0), width = p->plan->share_bytes;
    void *mask, *message;
    uint8_t *out;
    spx_status st;
    SPX_RETURN_IF(spx_alloc(&mask, n * sizeof(int64_t)));
    st = spx_alloc(&message, n * width);
    out = message;
    if (st == SPX_OK) {
        int64_t *r = mask;
        spx_pi_draw_masks(q->unit, 0, n, r);
        for (size_t i = 0; i < n; i++) {
            spx_pi_put_word((uint64_t)image[i] - (uint64_t)r[i], out + i * width, width);
        }
        st = spx_channel_send(p->channel, SPX_PI_SHARE, message, n * width);
    }
    spx_pi_free_secret(mask, n * sizeof(int64_t));
    spx_free(message);
    return st;
}

static spx_status receive_image(answering *q)
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

/* ---- <- CHOICE: for every wire of a layer, a bit: input ^ choice of its transfer ---- */

static spx_status send_choice(answering *q, const spx_pi_relu *r)
{
    const int64_t *in = spx_pi_share(&q->shares, r->in);
    const uint8_t *choices = q->choices + r->choice;
    uint8_t *d = q->d;
    for (int k = 0; k < r->chunks; k++) {
        const spx_pi_chunk c = spx_pi_chunk_of(r, k);
        spx_gc_input_bits(&r->gc, c.n, spx_pi_gather(q->t->s->model, r, &c, true, in, q->apart), d);
        for (size_t i = 0; i < c.wires / 8; i++) {
            d[i] ^= choices[i];
        }
        d += c.wires / 8;
        choices += c.wires / 8;
    }
    SPX_RETURN_IF(spx_channel_send(q->t->channel, SPX_PI_CHOICE, q->d, r->wires / 8));
    return spx_channel_flush(q->t->channel); /* the client answers while the last chunk goes */
}

/* Of all circuits of a layer, before any answer: one party sends at a time. */
static spx_status recv_choices(const asking *q, int relu, int end)
{
    const spx_pi_relu *r = q->p->plan->relu;
    for (int i = relu; i < end; i++) {
        SPX_RETURN_IF(spx_channel_recv(q->p->channel, SPX_PI_CHOICE,
                                       q->d + (r[i].choice - r[relu].choice), r[i].wires / 8));
    }
    return SPX_OK;
}

/* ---- -> LABELS: of a chunk, under the transfers' keys ---- */

static spx_status send_labels(const asking *q, int relu, const uint8_t *at)
{
    const spx_pi_relu *r = &q->p->plan->relu[relu];
    for (int k = 0; k < r->chunks; k++) {
        const spx_pi_chunk c = spx_pi_chunk_of(r, k);
        spx_pi_draw_answers(q->unit, relu, k, c.wires, q->answer);
        spx_ot_answer(c.wires, q->answer, at, q->unit->key.delta, q->answer);
        SPX_RETURN_IF(
            spx_channel_send(q->p->channel, SPX_PI_LABELS, q->answer, c.wires * sizeof *q->answer));
        at += c.wires / 8;
    }
    return SPX_OK;
}

/* And the circuits that they are for. */
static spx_status recv_labels(answering *q, int relu)
{
    const spx_pi_plan *p = q->t->s->plan;
    const spx_pi_relu *r = &p->relu[relu];
    int64_t *out = spx_pi_share(&q->shares, r->out);
    for (int k = 0; k < r->chunks; k++) {
        const spx_pi_chunk c = spx_pi_chunk_of(r, k);
        const spx_gc_batch g = spx_pi_gc_batch(p, relu, &c, q->unit.head.query, NULL);
        const spx_block *keys;
        const uint8_t *tables;
        uint64_t *to = r->begin != NULL ? q->apart : (uint64_t *)out + c.first;
        SPX_RETURN_IF(spx_pi_ahead_next(q->ahead, &keys, &tables));
        SPX_RETURN_IF(
            spx_channel_recv(q->t->channel, SPX_PI_LABELS, q->labels, c.wires * sizeof *q->labels));
        spx_ot_xor(c.wires, q->labels, keys, q->labels);
        SPX_RETURN_IF(IN_TURN(
            q->t, true, spx_gc_evaluate(&g, q->unit.start, q->labels, tables, c.table_bytes, to)));
        spx_pi_scatter(p->model, r, &c, to, out);
    }
    return SPX_OK;
}

/* ---- <- LOGITS: the server's share of them, 8 bytes an element ---- */

/* No bit more than the ring holds: above it, where nothing is masked, lie carries of sums with
 * weights. */
static spx_status send_logits(answering *q)
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

static spx_status recv_logits(const asking *q)
{
    const spx_deploy *m = q->p->model;
    const size_t n = spx_deploy_count(m, m->logits);
    SPX_RETURN_IF(spx_channel_recv(q->p->channel, SPX_PI_LOGITS, q->d, n * sizeof(uint64_t)));
    for (size_t i = 0; i < n; i++) {
        const uint64_t theirs = spx_pi_get_word(q->d + 8 * i, 8);
        q->logits[i] = spx_pi_signed((uint64_t)q->logits[i] + theirs, m->value[m->logits].ring);
    }
    return SPX_OK;
}

/* ---- the client's half ---- */

static spx_status client_online(asking *q, const uint8_t *image, spx_pi_layer *layer)
{
    const spx_pi_plan *plan = q->p->plan;
    const spx_deploy *m = q->p->model;
    const size_t logits = spx_deploy_count(m, m->logits) * sizeof(uint64_t);
    spx_pi_mark mark = spx_pi_mark_now(q->p->channel);
    void *d = NULL, *answer = NULL;
    spx_status st;
    q->d_bytes = logits > plan->most.choices ? logits : plan->most.choices;
    SPX_TRY(st, spx_alloc(&d, q->d_bytes), done);
    SPX_TRY(st, spx_alloc(&answer, plan->most.wires * sizeof *q->answer), done);
    q->d = d;
    q->answer = answer;
    SPX_TRY(st, send_image(q, image), done);
    for (int i = 0, end; i < plan->n_relus; i = end) {
        const spx_pi_relu *r = &plan->relu[i];
        end = spx_pi_layer_end(plan, i);
        SPX_TRY(st, recv_choices(q, i, end), done);
        for (int j = i; j < end; j++) {
            SPX_TRY(st, send_labels(q, j, q->d + (plan->relu[j].choice - r->choice)), done);
        }
        SPX_TRY(st, spx_channel_flush(q->p->channel), done);
        spx_pi_mark_add(q->p->channel, &mark, layer != NULL ? &layer[r->segment].online : NULL);
    }
    SPX_TRY(st, recv_logits(q), done);
    spx_pi_mark_add(q->p->channel, &mark, layer != NULL ? &layer[m->n_segments - 1].online : NULL);
done:
    spx_pi_free_secret(d, q->d_bytes);
    spx_free(answer);
    return st;
}

spx_status spx_pi_client_infer(spx_pi_client *p, const uint8_t *image, int64_t *logits,
                               spx_pi_cost *load, spx_pi_cost *online, spx_pi_layer *layer)
{
    spx_pi_mark mark = spx_pi_mark_now(p->channel);
    asking q = {.p = p, .unit = &p->unit, .logits = logits};
    spx_status st = client_claim(p, &p->unit, logits);
    spx_pi_mark_add(p->channel, &mark, load);
    if (st == SPX_OK) {
        st = client_online(&q, image, layer);
        spx_pi_mark_add(p->channel, &mark, online);
    }
    if (st != SPX_OK && st != SPX_ENOTFOUND) {
        spx_channel_give_up(p->channel, spx_channel_broken(p->channel)
                                            ? spx_error_message()
                                            : "the client could not go on with the query");
    }
    spx_wipe(&p->unit, sizeof p->unit);
    return st;
}

/* ---- the server's half ---- */

/* The server's shares of linear values begin as its masks. */
static void put_masks(answering *q)
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

static spx_status server_online(answering *q)
{
    const spx_deploy *m = q->t->s->model;
    const spx_pi_plan *p = q->t->s->plan;
    int relu = 0;
    SPX_RETURN_IF(receive_image(q));
    for (int i = 0; i < m->n_ops; i++) {
        const spx_deploy_op *op = &m->op[i];
        if (op->kind == SPX_DEPLOY_RELU) {
            const int end = spx_pi_layer_end(p, relu);
            for (int j = relu; j < end; j++) {
                SPX_RETURN_IF(send_choice(q, &p->relu[j]));
            }
            for (; relu < end; relu++) {
                SPX_RETURN_IF(recv_labels(q, relu));
            }
        } else {
            SPX_RETURN_IF(spx_pi_turn(q->t, true));
            spx_deploy_apply(m, i, op->in >= 0 ? spx_pi_share(&q->shares, op->in) : NULL,
                             spx_pi_share(&q->shares, op->out), q->shares.scratch, NULL);
            SPX_RETURN_IF(spx_pi_turn_end(q->t, SPX_OK));
        }
    }
    return send_logits(q);
}

spx_status spx_pi_serve_infer(spx_pi_session_state *t, uint64_t number, spx_block start)
{
    answering q = {.t = t};
    uint64_t ready;
    spx_status st;
    SPX_TRY(st, take_memory(t, number), done);
    SPX_TRY(st, answering_make(&q), done);
    SPX_TRY(st, server_claim(&q, number, start, &ready), done);
    if (ready == 1) {
        put_masks(&q);
    }
    SPX_TRY(st, spx_pi_send(t->channel, SPX_PI_READY, spx_pi_number_fields, &ready), done);
    SPX_TRY(st, spx_channel_flush(t->channel), done);
    if (ready == 1) {
        st = server_online(&q);
        t->served->answered += st == SPX_OK;
    }
done:
    answering_clear(&q);
    spx_pi_memory_give(t);
    return st;
}
