/* Rates of the building blocks, measured on this machine. */
#include "host/secure/infer/pi_client_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "kernels/crypto/ct.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 5                 /* what counts online is the median of so many, taken in turns */
#define REPEATS 3                /* the rest the least of so many */
#define PIECE ((size_t)32 << 20) /* bytes, more than caches hold */

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* ---- ReLUs ---- */

/* A chunk of a layer at both parties. */
typedef struct chunk {
    spx_gc_batch batch;
    size_t wires, table_bytes;
    spx_pi_unit unit; /* whose seed the labels are drawn from */
    spx_block *label, *keys;
    uint64_t *c, *r, *out;
    uint8_t *tables, *bits, *choices;
} chunk;

enum { CHUNK_BUFFERS = 8 };

static void chunk_clear(chunk *b)
{
    void *m[CHUNK_BUFFERS] = {b->label, b->keys,   b->c,    b->r,
                              b->out,   b->tables, b->bits, b->choices};
    for (int i = 0; i < CHUNK_BUFFERS; i++) {
        spx_free(m[i]);
    }
    spx_wipe(&b->unit, sizeof b->unit);
}

static spx_status chunk_init(chunk *b, spx_prg *prg)
{
    const spx_gc_params params = {.l = 40, .f = 20, .a = 8};
    const size_t n = 8192, wires = spx_gc_wires(&params, n);
    const size_t bytes[CHUNK_BUFFERS] = {wires * sizeof(spx_block),
                                         wires * sizeof(spx_block),
                                         n * 8,
                                         n * 8,
                                         n * 8,
                                         spx_gc_table_bytes(&params, n),
                                         wires / 8,
                                         wires / 8};
    void *m[CHUNK_BUFFERS] = {NULL};
    spx_status st = SPX_OK;
    for (int i = 0; i < CHUNK_BUFFERS && st == SPX_OK; i++) {
        st = spx_calloc(&m[i], bytes[i], 1);
    }
    *b = (chunk){.batch = {.params = params, .n = n},
                 .wires = wires,
                 .table_bytes = bytes[5],
                 .label = m[0],
                 .keys = m[1],
                 .c = m[2],
                 .r = m[3],
                 .out = m[4],
                 .tables = m[5],
                 .bits = m[6],
                 .choices = m[7]};
    spx_gc_key_draw(&b->unit.key, prg);
    return st;
}

/* First use of a piece of memory. Caches hold nothing else afterwards. */
static spx_status touch(spx_pi_rates *r, void **piece)
{
    const double t0 = spx_thread_seconds();
    SPX_RETURN_IF(spx_alloc(piece, PIECE));
    memset(*piece, 1, PIECE);
    r->touch = (spx_thread_seconds() - t0) / (double)PIECE;
    return SPX_OK;
}

/* Both parties' work on a chunk, in the protocol's order, each part on what is not in a cache. */
static spx_status run_chunk(spx_pi_rates *r, chunk *b, void **piece)
{
    const double ands = (double)(b->batch.n * spx_gc_ands(&b->batch.params)),
                 wires = (double)b->wires;
    const spx_gc_key *key = &b->unit.key;
    double t[6];
    t[0] = spx_thread_seconds();
    SPX_RETURN_IF(spx_gc_garble(&b->batch, key, b->keys, b->c, b->r, b->tables));
    r->garble = (spx_thread_seconds() - t[0]) / ands;
    SPX_RETURN_IF(touch(r, piece));
    t[1] = spx_thread_seconds();
    spx_gc_input_bits(&b->batch.params, b->batch.n, b->c, b->bits);
    for (size_t i = 0; i < b->wires / 8; i++) {
        b->bits[i] ^= b->choices[i];
    }
    t[2] = spx_thread_seconds();
    spx_pi_draw_answers(&b->unit, 0, 0, b->wires, b->label);
    spx_ot_answer(b->wires, b->label, b->bits, key->delta, b->label);
    t[3] = spx_thread_seconds();
    spx_ot_xor(b->wires, b->label, b->keys, b->label);
    t[4] = spx_thread_seconds();
    SPX_RETURN_IF(
        spx_gc_evaluate(&b->batch, key->start, b->label, b->tables, b->table_bytes, b->out));
    t[5] = spx_thread_seconds();
    r->choose = (t[2] - t[1]) / wires;
    r->answer = (t[3] - t[2]) / wires;
    r->unmask = (t[4] - t[3]) / wires;
    r->evaluate = (t[5] - t[4]) / ands;
    return SPX_OK;
}

static spx_status measure_relus(spx_pi_rates *r, spx_prg *prg)
{
    chunk b;
    void *piece = NULL;
    spx_status st = chunk_init(&b, prg);
    if (st == SPX_OK) {
        st = run_chunk(r, &b, &piece);
    }
    const double t0 = spx_thread_seconds();
    if (piece != NULL) {
        spx_wipe(piece, PIECE);
    }
    spx_free(piece);
    r->drop = (spx_thread_seconds() - t0) / (double)PIECE;
    chunk_clear(&b);
    return st;
}

static spx_status measure_ot(spx_pi_rates *r, spx_prg *prg)
{
    enum { N = 1 << 17 };
    uint8_t hello[SPX_OT_HELLO_BYTES], points[SPX_OT_POINTS_BYTES], trees[SPX_OT_TREES_BYTES];
    const uint8_t session[SPX_OT_SESSION_BYTES] = {1};
    void *keys = NULL, *message = NULL, *choices = NULL;
    spx_ot_sender *s = NULL;
    spx_ot_receiver *v = NULL;
    spx_status st;
    SPX_TRY(st, spx_ot_receiver_create(&v, session, prg, hello), done);
    SPX_TRY(
        st,
        spx_ot_sender_create(&s, session, (spx_block){{1, 2}}, prg, hello, sizeof hello, points),
        done);
    SPX_TRY(st, spx_ot_receiver_setup(v, points, sizeof points, trees), done);
    SPX_TRY(st, spx_ot_sender_setup(s, trees, sizeof trees), done);
    SPX_TRY(st, spx_alloc(&keys, spx_ot_room(N) * sizeof(spx_block)), done);
    SPX_TRY(st, spx_alloc(&message, spx_ot_bytes(N)), done);
    SPX_TRY(st, spx_alloc(&choices, spx_ot_room(N) / 8), done);
    r->transfer = 1;
    for (int i = 0; i < REPEATS; i++) {
        const double t0 = spx_thread_seconds();
        SPX_TRY(st, spx_ot_receiver_extend(v, N, choices, keys, message), done);
        SPX_TRY(st, spx_ot_sender_extend(s, N, message, spx_ot_bytes(N), keys), done);
        r->transfer = least(r->transfer, (spx_thread_seconds() - t0) / N);
    }
done:
    spx_free(keys);
    spx_free(message);
    spx_free(choices);
    spx_ot_sender_destroy(s);
    spx_ot_receiver_destroy(v);
    return st;
}

/* Seconds of evaluating a 3x3 convolution of c to k channels, and per ciphertext of the rest. */
static spx_status time_exchange(int set, int64_t c, int64_t k, spx_prg *prg, spx_pi_rates *r,
                                double *evaluate, spx_he_facts *facts)
{
    const spx_he_value in = {c, 16, 16}, out = {k, 16, 16};
    const spx_he_conv conv = {
        .c = c, .k = k, .r = 3, .s = 3, .stride = 1, .dilation = 1, .pad_top = 1, .pad_left = 1};
    const spx_he_geometry g = {.l = 36,
                               .weight_bits = 8,
                               .set = set,
                               .inputs = 1,
                               .outputs = 1,
                               .convs = 1,
                               .input = &in,
                               .output = &out,
                               .conv = &conv};
    void *weights = NULL, *words = NULL, *request = NULL, *response = NULL, *public_key = NULL;
    const int32_t *list[1];
    spx_he_plan *p = NULL;
    spx_he_key *key = NULL;
    spx_he_public *pk = NULL;
    spx_status st;
    *evaluate = 1e9;
    SPX_TRY(st, spx_he_plan_create(&p, &g), done);
    *facts = *spx_he_plan_facts(p);
    SPX_TRY(st, spx_calloc(&weights, (size_t)(c * k * 9), sizeof(int32_t)), done);
    SPX_TRY(st, spx_calloc(&words, facts->input_elements + facts->output_elements, 8), done);
    SPX_TRY(st, spx_alloc(&request, facts->request_bytes), done);
    SPX_TRY(st, spx_alloc(&response, facts->response_bytes), done);
    SPX_TRY(st, spx_alloc(&public_key, spx_he_public_bytes(set)), done);
    SPX_TRY(st, spx_he_key_create(&key, set, prg), done);
    spx_he_key_public(key, public_key);
    SPX_TRY(st, spx_he_public_create(&pk, set, public_key, spx_he_public_bytes(set), 0), done);
    list[0] = weights;
    for (int i = 0; i < REPEATS; i++) {
        const double t0 = spx_thread_seconds();
        SPX_TRY(st, spx_he_encrypt(p, key, prg, 1, words, request, NULL), done);
        const double t1 = spx_thread_seconds();
        SPX_TRY(st,
                spx_he_evaluate(p, pk, list, prg, 1, request, facts->request_bytes, response, words,
                                NULL),
                done);
        const double t2 = spx_thread_seconds();
        SPX_TRY(st, spx_he_decrypt(p, key, 1, response, facts->response_bytes, words, NULL), done);
        r->request[set] = least(r->request[set], (t1 - t0) / (double)facts->request_polys);
        r->response[set] =
            least(r->response[set], (spx_thread_seconds() - t2) / (double)facts->response_polys);
        *evaluate = least(*evaluate, t2 - t1);
    }
done:
    spx_free(weights);
    spx_free(words);
    spx_free(request);
    spx_free(response);
    spx_free(public_key);
    spx_he_key_destroy(key);
    spx_he_public_destroy(pk);
    spx_he_plan_destroy(p);
    return st;
}

/* Two shapes tell a product's cost from a response's. */
static spx_status measure_he(spx_pi_rates *r, int set, spx_prg *prg)
{
    double few, many;
    spx_he_facts a, b;
    r->request[set] = r->response[set] = 1e9;
    SPX_RETURN_IF(time_exchange(set, 4, 32, prg, r, &few, &a));
    SPX_RETURN_IF(time_exchange(set, 64, 32, prg, r, &many, &b));
    const double wa = (double)a.weight_polys, wb = (double)b.weight_polys;
    const double pa = (double)a.response_polys, pb = (double)b.response_polys;
    const double det = wb * pa - wa * pb;
    r->product[set] = det > 0 ? (many * pa - few * pb) / det : many / wb;
    if (!(r->product[set] > 0)) {
        r->product[set] = many / wb;
    }
    const double rest = (few - r->product[set] * wa) / pa;
    r->response[set] += rest > 0 ? rest : 0;
    return SPX_OK;
}

/* ---- convolutions on a share ---- */

/* Processor seconds of a convolution, and how often its loops turn. */
static spx_status time_conv(int64_t c, int64_t size, double *seconds, double work[3])
{
    enum { SIDE = 16, K = 32 };
    const spx_conv2d_ring_shape shape = {.c = c,
                                         .h = SIDE,
                                         .w = SIDE,
                                         .k = K,
                                         .p = SIDE,
                                         .q = SIDE,
                                         .size = size,
                                         .stride = 1,
                                         .dilation = 1,
                                         .pad = size / 2};
    const spx_ring_range range = {.bits = 40};
    const size_t weights = (size_t)(K * c * size * size);
    const spx_conv2d_ring_work n = spx_conv2d_ring_count(&shape, range, 8);
    void *w = NULL, *x = NULL, *y = NULL, *scratch = NULL;
    spx_conv2d_ring *f = NULL;
    spx_status st;
    SPX_TRY(st, spx_calloc(&w, weights, sizeof(int32_t)), done);
    for (size_t i = 0; i < weights; i++) {
        ((int32_t *)w)[i] = 127; /* eight bits, so that limbs are cut as counted */
    }
    SPX_TRY(st, spx_calloc(&x, (size_t)c * SIDE * SIDE, sizeof(int64_t)), done);
    SPX_TRY(st, spx_calloc(&y, (size_t)K * SIDE * SIDE, sizeof(int64_t)), done);
    SPX_TRY(st, spx_conv2d_ring_create(&f, &shape, w), done);
    SPX_TRY(st, spx_alloc(&scratch, spx_conv2d_ring_scratch(f, range)), done);
    for (int i = 0; i < 2; i++) { /* the first makes memory and caches ready */
        const double t0 = spx_thread_seconds();
        spx_conv2d_ring_run(f, x, range, y, scratch, NULL);
        *seconds = spx_thread_seconds() - t0;
    }
    work[0] = n.steps;
    work[1] = n.sums;
    work[2] = n.packed;
done:
    spx_conv2d_ring_destroy(f);
    spx_free(w);
    spx_free(x);
    spx_free(y);
    spx_free(scratch);
    return st;
}

static double determinant(double m[3][3])
{
    double d = 0;
    for (int i = 0; i < 3; i++) {
        d += m[0][i] *
             (m[1][(i + 1) % 3] * m[2][(i + 2) % 3] - m[1][(i + 2) % 3] * m[2][(i + 1) % 3]);
    }
    return d;
}

/* Three shapes, in each of which another loop counts most, tell the loops' rates apart. */
static spx_status measure_conv(spx_pi_rates *r)
{
    static const struct {
        int64_t c, size;
    } shape[3] = {{32, 3}, {2, 1}, {96, 1}};
    double *rate[3] = {&r->step, &r->sum, &r->pack};
    double seconds[3], work[3][3];
    for (int i = 0; i < 3; i++) {
        SPX_RETURN_IF(time_conv(shape[i].c, shape[i].size, &seconds[i], work[i]));
    }
    const double all = determinant(work);
    for (int k = 0; k < 3; k++) {
        double m[3][3];
        memcpy(m, work, sizeof m);
        for (int i = 0; i < 3; i++) {
            m[i][k] = seconds[i];
        }
        *rate[k] = determinant(m) / all;        /* Cramer's rule */
        *rate[k] = *rate[k] > 0 ? *rate[k] : 0; /* one too small to be told */
    }
    return SPX_OK;
}

/* Adding elements to elements, as biases and public ops do. */
static spx_status measure_element(spx_pi_rates *r)
{
    enum { N = 1 << 18 };
    void *x = NULL, *y = NULL;
    spx_status st = spx_calloc(&x, N, sizeof(uint64_t));
    st = st == SPX_OK ? spx_calloc(&y, N, sizeof(uint64_t)) : st;
    for (int i = 0; i < 2 && st == SPX_OK; i++) {
        volatile uint64_t *to = y;
        const uint64_t *from = x;
        const double t0 = spx_thread_seconds();
        for (size_t k = 0; k < N; k++) {
            to[k] += from[k];
        }
        r->element = (spx_thread_seconds() - t0) / N;
    }
    spx_free(x);
    spx_free(y);
    return st;
}

static spx_status measure_vault(spx_pi_rates *r, spx_vault *v)
{
    const size_t n = (size_t)8 << 20;
    void *data;
    spx_status st;
    double t0 = spx_seconds();
    SPX_RETURN_IF(spx_calloc(&data, n, 1));
    st = spx_vault_put(v, "rate", data, n);
    r->seal = (spx_seconds() - t0) / (double)n;
    t0 = spx_seconds();
    if (st == SPX_OK) {
        st = spx_vault_get(v, "rate", data, n);
    }
    r->open = (spx_seconds() - t0) / (double)n;
    spx_free(data);
    SPX_RETURN_IF(st);
    return spx_vault_remove(v, "rate");
}

/* ---- a connection of this machine ---- */

#define PASSED ((size_t)4 << 20)
#define TURNS 20

static spx_status swallow_all(spx_channel *c, void *data)
{
    for (int i = 0; i < 2 + TURNS; i++) {
        SPX_RETURN_IF(spx_channel_recv(c, 1, data, i < 2 ? PASSED : 0));
        SPX_RETURN_IF(spx_channel_send(c, 2, NULL, 0));
        SPX_RETURN_IF(spx_channel_flush(c));
    }
    return SPX_OK;
}

static void *swallow(void *address)
{
    const spx_channel_options o = {.timeout = 60};
    spx_channel *c = NULL;
    void *data = NULL;
    const bool ok = spx_alloc(&data, PASSED) == SPX_OK &&
                    spx_channel_connect(&c, address, &o) == SPX_OK &&
                    swallow_all(c, data) == SPX_OK;
    spx_free(data);
    spx_channel_close(c);
    return ok ? address : NULL;
}

static spx_status turn(spx_channel *c, const void *data, size_t n, double *seconds)
{
    const double t0 = spx_seconds();
    SPX_RETURN_IF(spx_channel_send(c, 1, data, n));
    SPX_RETURN_IF(spx_channel_recv(c, 2, NULL, 0));
    *seconds = spx_seconds() - t0;
    return SPX_OK;
}

/* Time that passes, both ends' copies included: a party waits for the other's. */
static spx_status time_passing(spx_pi_rates *r, spx_channel *c, const void *data)
{
    double bulk = 0, all = 0, t;
    SPX_RETURN_IF(spx_channel_handshake(c));
    for (int i = 0; i < 2; i++) { /* the first makes buffers grow */
        SPX_RETURN_IF(turn(c, data, PASSED, &bulk));
    }
    for (int i = 0; i < TURNS; i++) {
        SPX_RETURN_IF(turn(c, data, 0, &t));
        all += t;
    }
    r->turn = all / TURNS;
    bulk = bulk > r->turn ? bulk - r->turn : bulk;
    r->pass = bulk / (double)PASSED;
    return SPX_OK;
}

static spx_status measure_pass(spx_pi_rates *r)
{
    const spx_channel_options o = {.timeout = 60};
    char address[SPX_CHANNEL_ADDRESS];
    spx_listener *l = NULL;
    spx_channel *c = NULL;
    pthread_t thread;
    void *data = NULL, *took = NULL;
    bool started = false;
    spx_status st;
    SPX_TRY(st, spx_calloc(&data, PASSED, 1), done);
    SPX_TRY(st, spx_listener_open(&l, "127.0.0.1:0", &o), done);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", spx_listener_port(l));
    started = pthread_create(&thread, NULL, swallow, address) == 0;
    if (!started) {
        st = SPX_FAIL(SPX_EDEVICE, "a thread to measure with could not be started");
        goto done;
    }
    SPX_TRY(st, spx_listener_accept(l, &c), done);
    st = time_passing(r, c, data);
done:
    spx_channel_close(c);
    spx_listener_close(l);
    if (started) {
        (void)pthread_join(thread, &took);
        if (st == SPX_OK && took == NULL) {
            st = SPX_FAIL(SPX_EIO, "bytes sent to ourselves did not arrive");
        }
    }
    spx_free(data);
    return st;
}

/* ---- all ---- */

/* What counts online, once. */
static spx_status measure_round(spx_pi_rates *r, spx_prg *prg)
{
    SPX_RETURN_IF(measure_relus(r, prg));
    SPX_RETURN_IF(measure_conv(r));
    SPX_RETURN_IF(measure_element(r));
    return measure_pass(r);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#define RATES (sizeof(spx_pi_rates) / sizeof(double)) /* all its fields are rates */

static spx_status measure_rounds(spx_pi_rates *out, spx_prg *prg)
{
    double rate[ROUNDS][RATES], median[RATES];
    for (int i = 0; i < ROUNDS; i++) {
        spx_pi_rates r = {0};
        SPX_RETURN_IF(measure_round(&r, prg));
        memcpy(rate[i], &r, sizeof r);
    }
    for (size_t k = 0; k < RATES; k++) {
        double one[ROUNDS];
        for (int i = 0; i < ROUNDS; i++) {
            one[i] = rate[i][k];
        }
        qsort(one, ROUNDS, sizeof *one, by_size);
        median[k] = one[ROUNDS / 2];
    }
    memcpy(out, median, sizeof *out);
    return SPX_OK;
}

spx_status spx_pi_rates_measure(spx_pi_rates *out, spx_vault *v)
{
    spx_prg prg;
    spx_status st;
    memset(out, 0, sizeof *out);
    SPX_RETURN_IF(spx_prg_init(&prg));
    SPX_TRY(st, measure_rounds(out, &prg), done);
    SPX_TRY(st, measure_ot(out, &prg), done);
    for (int set = 0; set < SPX_HE_SETS; set++) {
        SPX_TRY(st, measure_he(out, set, &prg), done);
    }
    st = measure_vault(out, v);
done:
    spx_prg_clear(&prg);
    return st;
}
