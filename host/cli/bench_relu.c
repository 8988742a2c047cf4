/* A layer of garbled ReLUs between two threads, a thread a party, as one layer of a query runs. */
#define _POSIX_C_SOURCE 200809L
#include "host/cli/bench_crypto.h"
#include "host/secure/channel/channel.h"
#include "host/secure/ot/ot.h"
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define SLICE 1024 /* ReLUs: 1.5 MB of tables, which stay in the cache until they are sent */
#define AHEAD 8    /* slices whose requests travel before the first answer is read */

enum { HELLO = 1, POINTS, TREES, EXTEND, TABLES, REQUEST, ANSWER };

static const uint8_t session[SPX_OT_SESSION_BYTES] = "sphynx bench crypto";

typedef struct party party;
struct party {
    spx_gc_params params;
    size_t n, slices;
    size_t wires, room;  /* of a slice; room: with the transfers' padding */
    size_t table_bytes;  /* of a slice */
    spx_block *keys;     /* [slices * room] garbler: label ^ key; evaluator: key */
    uint64_t *share, *r; /* [n]; r: the garbler's masks, the evaluator's outputs */
    uint8_t *tables;     /* garbler: a slice's; evaluator: all */
    uint8_t *message, *bits, *choices;
    spx_block *labels; /* [room] */
    spx_channel *channel;
    spx_prg prg;
    spx_gc_key gc;
    spx_relu_times times; /* the evaluator's */
    spx_status (*run)(party *p);
    spx_status status;
    char why[512];
};

static spx_status get(size_t n, size_t size, void *out)
{
    void *p;
    SPX_RETURN_IF(spx_calloc(&p, n, size)); /* touched here, not while the clock runs */
    memcpy(out, &p, sizeof p);
    return SPX_OK;
}

static spx_status party_init(party *p, const spx_gc_params *params, size_t n, bool evaluator)
{
    memset(p, 0, sizeof *p);
    p->params = *params;
    p->n = n;
    p->slices = (n + SLICE - 1) / SLICE;
    p->wires = spx_gc_wires(params, SLICE);
    p->room = spx_ot_room(p->wires);
    p->table_bytes = spx_gc_table_bytes(params, SLICE);
    SPX_RETURN_IF(get(p->slices * p->room, sizeof *p->keys, &p->keys));
    SPX_RETURN_IF(get(n, sizeof *p->share, &p->share));
    SPX_RETURN_IF(get(n, sizeof *p->r, &p->r));
    SPX_RETURN_IF(get(evaluator ? p->slices : 1, p->table_bytes, &p->tables));
    SPX_RETURN_IF(get(1, spx_ot_bytes(p->wires), &p->message));
    SPX_RETURN_IF(get(1, p->room / 8, &p->bits));
    SPX_RETURN_IF(get(p->slices, p->room / 8, &p->choices));
    SPX_RETURN_IF(get(p->room, sizeof *p->labels, &p->labels));
    SPX_RETURN_IF(spx_prg_init(&p->prg));
    spx_prg_bytes(&p->prg, p->share, n * sizeof *p->share);
    spx_prg_bytes(&p->prg, p->r, n * sizeof *p->r);
    return SPX_OK;
}

static void party_clear(party *p)
{
    spx_channel_close(p->channel);
    spx_free(p->keys);
    spx_free(p->share);
    spx_free(p->r);
    spx_free(p->tables);
    spx_free(p->message);
    spx_free(p->bits);
    spx_free(p->choices);
    spx_free(p->labels);
    spx_prg_clear(&p->prg);
}

/* Slice i as a batch of the layer. */
static spx_gc_batch batch_of(const party *p, size_t i)
{
    const size_t left = p->n - i * SLICE;
    return (spx_gc_batch){
        .params = p->params, .first = i * SLICE, .n = left < SLICE ? left : SLICE};
}

static spx_status garbler_setup(party *p, spx_ot_sender **ot)
{
    uint8_t hello[SPX_OT_HELLO_BYTES], points[SPX_OT_POINTS_BYTES], trees[SPX_OT_TREES_BYTES];
    SPX_RETURN_IF(spx_channel_recv(p->channel, HELLO, hello, sizeof hello));
    SPX_RETURN_IF(
        spx_ot_sender_create(ot, session, p->gc.delta, &p->prg, hello, sizeof hello, points));
    SPX_RETURN_IF(spx_channel_send(p->channel, POINTS, points, sizeof points));
    SPX_RETURN_IF(spx_channel_recv(p->channel, TREES, trees, sizeof trees));
    return spx_ot_sender_setup(*ot, trees, sizeof trees);
}

static spx_status garbler_offline(party *p, spx_ot_sender *ot)
{
    for (size_t i = 0; i < p->slices; i++) {
        const spx_gc_batch b = batch_of(p, i);
        const size_t wires = spx_gc_wires(&b.params, b.n), bytes = spx_ot_bytes(wires);
        spx_block *keys = p->keys + i * p->room;
        spx_prg_bytes(&p->prg, p->labels, wires * sizeof *p->labels);
        SPX_RETURN_IF(spx_channel_recv(p->channel, EXTEND, p->message, bytes));
        SPX_RETURN_IF(spx_ot_sender_extend(ot, wires, p->message, bytes, keys));
        SPX_RETURN_IF(spx_gc_garble(&b, &p->gc, p->labels, p->share + i * SLICE, p->r + i * SLICE,
                                    p->tables));
        SPX_RETURN_IF(
            spx_channel_send(p->channel, TABLES, p->tables, spx_gc_table_bytes(&b.params, b.n)));
        spx_ot_xor(wires, keys, p->labels, keys);
    }
    return spx_channel_flush(p->channel);
}

static spx_status garbler_online(party *p)
{
    for (size_t i = 0; i < p->slices; i++) {
        const spx_gc_batch b = batch_of(p, i);
        const size_t wires = spx_gc_wires(&b.params, b.n);
        SPX_RETURN_IF(spx_channel_recv(p->channel, REQUEST, p->bits, wires / 8));
        spx_ot_answer(wires, p->keys + i * p->room, p->bits, p->gc.delta, p->labels);
        SPX_RETURN_IF(spx_channel_send(p->channel, ANSWER, p->labels, wires * sizeof *p->labels));
    }
    return spx_channel_flush(p->channel);
}

static spx_status run_garbler(party *p)
{
    spx_ot_sender *ot = NULL;
    spx_status st;
    SPX_TRY(st, garbler_setup(p, &ot), done);
    SPX_TRY(st, garbler_offline(p, ot), done);
    SPX_TRY(st, garbler_online(p), done);
done:
    spx_ot_sender_destroy(ot);
    return st;
}

static spx_status evaluator_setup(party *p, spx_ot_receiver **ot)
{
    uint8_t hello[SPX_OT_HELLO_BYTES], points[SPX_OT_POINTS_BYTES], trees[SPX_OT_TREES_BYTES];
    SPX_RETURN_IF(spx_ot_receiver_create(ot, session, &p->prg, hello));
    SPX_RETURN_IF(spx_channel_send(p->channel, HELLO, hello, sizeof hello));
    SPX_RETURN_IF(spx_channel_recv(p->channel, POINTS, points, sizeof points));
    SPX_RETURN_IF(spx_ot_receiver_setup(*ot, points, sizeof points, trees));
    SPX_RETURN_IF(spx_channel_send(p->channel, TREES, trees, sizeof trees));
    return spx_channel_flush(p->channel);
}

static spx_status evaluator_extend(party *p, spx_ot_receiver *ot, size_t i)
{
    const spx_gc_batch b = batch_of(p, i);
    const size_t wires = spx_gc_wires(&b.params, b.n);
    SPX_RETURN_IF(spx_ot_receiver_extend(ot, wires, p->choices + i * (p->room / 8),
                                         p->keys + i * p->room, p->message));
    SPX_RETURN_IF(spx_channel_send(p->channel, EXTEND, p->message, spx_ot_bytes(wires)));
    return spx_channel_flush(p->channel);
}

/* The next slice's transfers are on their way while this one's tables are made. */
static spx_status evaluator_offline(party *p, spx_ot_receiver *ot)
{
    SPX_RETURN_IF(evaluator_extend(p, ot, 0));
    for (size_t i = 0; i < p->slices; i++) {
        const spx_gc_batch b = batch_of(p, i);
        if (i + 1 < p->slices) {
            SPX_RETURN_IF(evaluator_extend(p, ot, i + 1));
        }
        SPX_RETURN_IF(spx_channel_recv(p->channel, TABLES, p->tables + i * p->table_bytes,
                                       spx_gc_table_bytes(&b.params, b.n)));
    }
    return SPX_OK;
}

static spx_status evaluator_request(party *p, size_t i)
{
    const spx_gc_batch b = batch_of(p, i);
    const size_t bytes = spx_gc_wires(&b.params, b.n) / 8;
    const uint8_t *choices = p->choices + i * (p->room / 8);
    spx_gc_input_bits(&b.params, b.n, p->share + i * SLICE, p->bits);
    for (size_t k = 0; k < bytes; k++) {
        p->bits[k] ^= choices[k];
    }
    SPX_RETURN_IF(spx_channel_send(p->channel, REQUEST, p->bits, bytes));
    return spx_channel_flush(p->channel);
}

static spx_status evaluator_online(party *p)
{
    size_t asked = 0;
    for (size_t i = 0; i < p->slices; i++) {
        const spx_gc_batch b = batch_of(p, i);
        const size_t wires = spx_gc_wires(&b.params, b.n);
        for (; asked < p->slices && asked < i + AHEAD; asked++) {
            SPX_RETURN_IF(evaluator_request(p, asked));
        }
        SPX_RETURN_IF(spx_channel_recv(p->channel, ANSWER, p->labels, wires * sizeof *p->labels));
        spx_ot_xor(wires, p->labels, p->keys + i * p->room, p->labels);
        SPX_RETURN_IF(spx_gc_evaluate(&b, p->gc.start, p->labels, p->tables + i * p->table_bytes,
                                      spx_gc_table_bytes(&b.params, b.n), p->r + i * SLICE));
    }
    return SPX_OK;
}

static uint64_t traffic(const party *p)
{
    const spx_traffic t = spx_channel_traffic(p->channel);
    return t.sent + t.received;
}

static spx_status run_evaluator(party *p)
{
    spx_relu_times *t = &p->times;
    const size_t wires = spx_gc_wires(&p->params, p->n);
    double began = spx_seconds(), now;
    uint64_t bytes;
    spx_ot_receiver *ot = NULL;
    spx_status st;
    SPX_TRY(st, evaluator_setup(p, &ot), done);
    now = spx_seconds();
    t->setup_seconds = now - began;
    bytes = traffic(p);
    began = now;
    SPX_TRY(st, evaluator_offline(p, ot), done);
    now = spx_seconds();
    t->offline_seconds = now - began;
    t->offline_bytes = traffic(p) - bytes;
    bytes = traffic(p);
    began = now;
    SPX_TRY(st, evaluator_online(p), done);
    t->online_seconds = spx_seconds() - began;
    t->online_bytes = traffic(p) - bytes;
    t->garbler_bytes = wires * sizeof(spx_block) + p->n * sizeof *p->r;
    t->evaluator_bytes =
        wires * sizeof(spx_block) + wires / 8 + spx_gc_table_bytes(&p->params, p->n);
done:
    spx_ot_receiver_destroy(ot);
    return st;
}

static void *run_party(void *arg)
{
    party *p = arg;
    p->status = p->run(p);
    if (p->status != SPX_OK) {
        (void)snprintf(p->why, sizeof p->why, "%s", spx_error_message());
        spx_channel_give_up(p->channel, p->why);
    }
    return NULL;
}

static spx_status connect_parties(party *client, party *server)
{
    const spx_channel_options o = {.timeout = 60};
    spx_listener *l = NULL;
    char address[32];
    spx_status st;
    SPX_RETURN_IF(spx_listener_open(&l, "127.0.0.1:0", &o));
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", spx_listener_port(l));
    st = spx_channel_connect(&client->channel, address, &o);
    if (st == SPX_OK) {
        st = spx_listener_accept(l, &server->channel);
    }
    spx_listener_close(l);
    return st;
}

static spx_status run_both(party *client, party *server)
{
    pthread_t thread;
    SPX_RETURN_IF(connect_parties(client, server));
    client->run = run_garbler;
    server->run = run_evaluator;
    if (pthread_create(&thread, NULL, run_party, client) != 0) {
        return SPX_FAIL(SPX_EDEVICE, "bench: a thread cannot start");
    }
    (void)run_party(server);
    (void)pthread_join(thread, NULL);
    if (server->status != SPX_OK) {
        return SPX_FAIL(server->status, "evaluator: %s", server->why);
    }
    if (client->status != SPX_OK) {
        return SPX_FAIL(client->status, "garbler: %s", client->why);
    }
    return SPX_OK;
}

static spx_status check_outputs(const party *client, const party *server)
{
    const spx_gc_params *p = &client->params;
    const int64_t most = ((int64_t)1 << p->a) - 1;
    for (size_t i = 0; i < client->n; i++) {
        const uint64_t sum = (client->share[i] + server->share[i]) << (64 - p->l);
        const int64_t x = (int64_t)sum >> (64 - p->l) >> p->f;
        const int64_t relu = x < 0 ? 0 : x > most ? most : x;
        if (server->r[i] + client->r[i] != (uint64_t)relu) {
            return SPX_FAIL(SPX_ENUMERIC, "bench: garbled ReLU %zu is wrong", i);
        }
    }
    return SPX_OK;
}

spx_status spx_bench_relu(const spx_gc_params *p, size_t n, spx_relu_times *out)
{
    party client, server;
    spx_status st, st2;
    st = party_init(&client, p, n, false);
    st2 = party_init(&server, p, n, true);
    st = st == SPX_OK ? st2 : st;
    if (st == SPX_OK) {
        spx_gc_key_draw(&client.gc, &client.prg);
        server.gc.start = client.gc.start;
        st = run_both(&client, &server);
    }
    if (st == SPX_OK) {
        *out = server.times;
        st = check_outputs(&client, &server);
    }
    party_clear(&client);
    party_clear(&server);
    return st;
}
