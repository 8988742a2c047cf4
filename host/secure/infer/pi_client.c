/* The client: opening, asking. */
#include "host/secure/infer/pi_client_private.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/ct.h"
#include "kernels/crypto/secret_memory.h"

#include <string.h>

/* ---- messages ---- */

void spx_pi_hello_fields(spx_wire *w, void *hello)
{
    spx_pi_hello *h = hello;
    spx_wire_u32(w, &h->magic);
    spx_wire_u32(w, &h->version);
    spx_wire_bytes(w, h->client, SPX_PI_ID);
    spx_wire_bytes(w, h->model, SPX_PI_HASH);
}

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

void spx_pi_command_fields(spx_wire *w, void *command)
{
    spx_pi_command *c = command;
    spx_wire_u64(w, &c->verb);
    spx_wire_u64(w, &c->arg);
    spx_pi_block_fields(w, &c->start);
}

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

/* ---- opening ---- */

static spx_status receive_model(spx_pi_client *p, const spx_pi_welcome *w)
{
    void *data;
    spx_status st;
    if (w->model_bytes > SPX_PI_MAX_MODEL) {
        return SPX_FAIL(SPX_EFORMAT, "the server's model has %llu bytes",
                        (unsigned long long)w->model_bytes);
    }
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

/* Where this server's and model's units begin that are numbered from `number` on. */
static spx_pi_item units_from(const spx_pi_client *p, uint64_t number)
{
    return spx_pi_item_at(p->home, p->model->hash, number);
}

static spx_status put_spent(spx_pi_client *p, uint64_t spent)
{
    char name[SPX_PI_NAME];
    spx_pi_name(name, 's', p->home, p->model->hash, -1);
    SPX_RETURN_IF(spx_pi_record_put(p->vault, name, spx_pi_number_fields, &spent));
    p->spent = spent;
    return SPX_OK;
}

/* What this client has spent. A record of this version is written before any unit: where there is
 * none, the units that lie there are of an earlier program, whose seeds mean something else. They
 * count as spent. */
static spx_status own_spent(spx_pi_client *p)
{
    char name[SPX_PI_NAME];
    uint64_t version = 0, end;
    spx_pi_name(name, 's', p->home, p->model->hash, -1);
    p->spent = 0;
    const spx_status st =
        spx_pi_record_get(p->vault, name, spx_pi_number_fields, &p->spent, &version);
    if (st == SPX_OK && version == SPX_PI_VERSION) {
        return SPX_OK;
    }
    if (st != SPX_OK && st != SPX_ENOTFOUND) {
        return st;
    }
    end = p->spent;
    for (spx_pi_item x = units_from(p, end); spx_pi_units_next_own(p->units, &x); x.number++) {
        p->removed++;
        end = x.number + 1;
    }
    return put_spent(p, end);
}

/* Both sides say what they think is spent; the higher number holds. */
static spx_status agree(spx_pi_client *p, const spx_pi_welcome *w)
{
    SPX_RETURN_IF(own_spent(p));
    SPX_RETURN_IF(spx_pi_send(p->channel, SPX_PI_STATE, spx_pi_number_fields, &p->spent));
    SPX_RETURN_IF(spx_channel_flush(p->channel));
    if (w->spent > p->spent) {
        SPX_RETURN_IF(put_spent(p, w->spent));
    }
    return spx_pi_units_remove_below(p->units, units_from(p, p->spent));
}

static spx_status hello(spx_pi_client *p, const unsigned char *hash)
{
    spx_pi_hello h = {.magic = SPX_PI_MAGIC, .version = SPX_PI_VERSION};
    spx_pi_welcome w;
    spx_status st;
    memcpy(h.client, spx_vault_id(p->vault), SPX_PI_ID);
    if (hash != NULL) {
        memcpy(h.model, hash, SPX_PI_HASH);
    }
    SPX_RETURN_IF(spx_pi_send(p->channel, SPX_PI_HELLO, spx_pi_hello_fields, &h));
    st = spx_pi_recv(p->channel, SPX_PI_WELCOME, spx_pi_welcome_fields, &w);
    if (st != SPX_OK && spx_channel_ended(p->channel) && spx_channel_peer(p->channel)[0] == '\0') {
        return SPX_FAIL(st, "the other party closed the connection: does the server want --psk or "
                            "certificates?");
    }
    SPX_RETURN_IF(st);
    if (w.magic != SPX_PI_MAGIC || w.version != SPX_PI_VERSION) {
        return SPX_FAIL(SPX_EFORMAT, "the server speaks version %u of the protocol, this is %d",
                        w.version, SPX_PI_VERSION);
    }
    if (hash != NULL && memcmp(hash, w.model, SPX_PI_HASH) != 0) {
        return SPX_FAIL(SPX_EINVAL, "the server offers another model than the one asked for");
    }
    if (w.spent > SPX_PI_MAX_NUMBER) {
        return SPX_FAIL(SPX_EFORMAT, "the server claims that %llu units are spent",
                        (unsigned long long)w.spent);
    }
    spx_channel_alive(p->channel,
                      true); /* for as long as it is open: whatever is computed between */
    memcpy(p->server, w.server, SPX_PI_ID);
    spx_pi_owner(p->server, spx_channel_peer(p->channel), p->home);
    SPX_RETURN_IF(receive_model(p, &w));
    SPX_RETURN_IF(spx_pi_plan_create(&p->plan, p->model));
    return agree(p, &w);
}

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
    SPX_TRY(st, spx_prg_init(&p->prg), fail);
    SPX_TRY(st, spx_pi_units_open(&p->units, v, 'u'), fail);
    SPX_TRY(st, hello(p, hash), fail);
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

spx_status spx_pi_client_command(spx_pi_client *p, spx_pi_verb verb, uint64_t arg,
                                 const spx_pi_unit *u)
{
    spx_pi_command c = {.verb = verb, .arg = arg};
    if (u != NULL) {
        c.start = u->key.start;
    }
    return spx_pi_send(p->channel, SPX_PI_COMMAND, spx_pi_command_fields, &c);
}

void spx_pi_client_close(spx_pi_client *p)
{
    if (p == NULL) {
        return;
    }
    spx_channel_alive(p->channel, false);
    /* Not where it failed before: the reason must stay the message of the thread. */
    if (p->plan != NULL && !spx_channel_broken(p->channel) &&
        spx_pi_client_command(p, SPX_PI_BYE, 0, NULL) == SPX_OK) {
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
    for (spx_pi_item x = units_from(p, p->spent); spx_pi_units_next_own(p->units, &x); x.number++) {
        n++;
    }
    return n;
}

/* ---- the online phase ---- */

/* Reads a unit; ENOTFOUND where there is none. */
static spx_status load_unit(spx_pi_client *p, spx_pi_unit *u, int64_t *logits)
{
    const spx_deploy *m = p->model;
    char name[SPX_PI_NAME];
    spx_vault_reader *r;
    spx_pi_item x = units_from(p, p->spent);
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
    if (st == SPX_OK && (u->version != SPX_PI_VERSION || u->number != x.number ||
                         memcmp(u->model, m->hash, SPX_PI_HASH) != 0 ||
                         memcmp(u->server, p->server, SPX_PI_ID) != 0)) {
        st = SPX_FAIL(SPX_EFORMAT, "%s holds another unit's material", name);
    }
    return st;
}

/* Marks everything up to u spent, durably, and removes it. */
static spx_status spend(spx_pi_client *p, const spx_pi_unit *u)
{
    SPX_RETURN_IF(put_spent(p, u->number + 1));
    return spx_pi_units_remove_below(p->units, units_from(p, p->spent));
}

static spx_status claim(spx_pi_client *p, spx_pi_unit *u, int64_t *logits)
{
    for (;;) {
        uint64_t ready;
        SPX_RETURN_IF(load_unit(p, u, logits));
        SPX_RETURN_IF(spx_pi_client_command(p, SPX_PI_INFER, u->number, u));
        SPX_RETURN_IF(spx_pi_recv(p->channel, SPX_PI_READY, spx_pi_number_fields, &ready));
        SPX_RETURN_IF(spend(p, u));
        if (ready == 1) {
            return SPX_OK;
        }
        if (ready != 0) {
            return SPX_FAIL(SPX_EFORMAT, "the server answered %llu to a query, not 0 or 1",
                            (unsigned long long)ready);
        }
    }
}

static spx_status send_image(spx_pi_client *p, const spx_pi_unit *u, const uint8_t *image)
{
    const size_t n = spx_deploy_count(p->model, 0), width = p->plan->share_bytes;
    void *mask, *message;
    uint8_t *out;
    spx_status st;
    SPX_RETURN_IF(spx_alloc(&mask, n * sizeof(int64_t)));
    st = spx_alloc(&message, n * width);
    out = message;
    if (st == SPX_OK) {
        int64_t *r = mask;
        spx_pi_draw_masks(u, 0, n, r);
        for (size_t i = 0; i < n; i++) {
            spx_pi_put_word((uint64_t)image[i] - (uint64_t)r[i], out + i * width, width);
        }
        st = spx_channel_send(p->channel, SPX_PI_SHARE, message, n * width);
    }
    spx_pi_free_secret(mask, n * sizeof(int64_t));
    spx_free(message);
    return st;
}

/* One round: the server's corrections of its choices, and what answers them. */
static spx_status answer_layer(spx_pi_client *p, const spx_pi_unit *u, int relu, uint8_t *d,
                               spx_block *answer)
{
    const spx_pi_relu *r = &p->plan->relu[relu];
    const uint8_t *at = d;
    SPX_RETURN_IF(spx_channel_recv(p->channel, SPX_PI_CHOICE, d, r->wires / 8));
    for (int k = 0; k < r->chunks; k++) {
        const spx_pi_chunk c = spx_pi_chunk_of(r, k);
        spx_pi_draw_answers(u, relu, k, c.wires, answer);
        spx_ot_answer(c.wires, answer, at, u->key.delta, answer);
        SPX_RETURN_IF(
            spx_channel_send(p->channel, SPX_PI_LABELS, answer, c.wires * sizeof *answer));
        at += c.wires / 8;
    }
    return spx_channel_flush(p->channel);
}

static spx_status run_online(spx_pi_client *p, const spx_pi_unit *u, const uint8_t *image,
                             int64_t *logits, spx_pi_layer *layer)
{
    const spx_pi_plan *plan = p->plan;
    const size_t classes = spx_deploy_count(p->model, p->model->logits);
    size_t d_bytes = 0, wires = 0, most = classes * sizeof(int64_t);
    spx_pi_mark mark = spx_pi_mark_now(p->channel);
    void *d = NULL, *answer = NULL;
    spx_status st;
    for (int i = 0; i < plan->n_relus; i++) {
        const spx_pi_chunk c = spx_pi_chunk_of(&plan->relu[i], 0);
        d_bytes = plan->relu[i].wires / 8 > d_bytes ? plan->relu[i].wires / 8 : d_bytes;
        wires = c.wires > wires ? c.wires : wires;
    }
    d_bytes = d_bytes > most ? d_bytes : most;
    SPX_TRY(st, spx_alloc(&d, d_bytes), done);
    SPX_TRY(st, spx_alloc(&answer, wires * sizeof(spx_block)), done);
    SPX_TRY(st, send_image(p, u, image), done);
    for (int i = 0; i < plan->n_relus; i++) {
        SPX_TRY(st, answer_layer(p, u, i, d, answer), done);
        spx_pi_mark_add(p->channel, &mark, layer != NULL ? &layer[i].online : NULL);
    }
    SPX_TRY(st, spx_channel_recv(p->channel, SPX_PI_LOGITS, d, classes * sizeof(int64_t)), done);
    for (size_t i = 0; i < classes; i++) {
        const uint64_t theirs = spx_pi_get_word((const uint8_t *)d + i * 8, 8);
        logits[i] =
            spx_pi_signed((uint64_t)logits[i] + theirs, p->model->value[p->model->logits].ring);
    }
    spx_pi_mark_add(p->channel, &mark, layer != NULL ? &layer[plan->n_relus].online : NULL);
done:
    spx_pi_free_secret(d, d_bytes);
    spx_free(answer);
    return st;
}

spx_status spx_pi_client_infer(spx_pi_client *p, const uint8_t *image, int64_t *logits,
                               spx_pi_cost *load, spx_pi_cost *online, spx_pi_layer *layer)
{
    spx_pi_mark mark = spx_pi_mark_now(p->channel);
    spx_status st = claim(p, &p->unit, logits);
    spx_pi_mark_add(p->channel, &mark, load);
    if (st == SPX_OK) {
        st = run_online(p, &p->unit, image, logits, layer);
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
