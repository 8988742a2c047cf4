/* Rates of the building blocks, measured on this machine. */
#include "host/secure/infer/pi_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "kernels/crypto/ct.h"

#include <pthread.h>
#include <string.h>

#define REPEATS 3

typedef struct gc_buffers {
    spx_block *zero, *label;
    uint64_t *c, *r, *out;
    uint8_t *tables, *bits;
} gc_buffers;

static void gc_buffers_clear(gc_buffers *b)
{
    spx_free(b->zero);
    spx_free(b->label);
    spx_free(b->c);
    spx_free(b->r);
    spx_free(b->out);
    spx_free(b->tables);
    spx_free(b->bits);
}

static spx_status gc_buffers_init(gc_buffers *b, const spx_gc_params *p, size_t n)
{
    const size_t wires = spx_gc_wires(p, n);
    const size_t bytes[7] = {wires * sizeof(spx_block),
                             wires * sizeof(spx_block),
                             n * 8,
                             n * 8,
                             n * 8,
                             spx_gc_table_bytes(p, n),
                             wires / 8};
    void *m[7] = {NULL};
    spx_status st = SPX_OK;
    for (int i = 0; i < 7 && st == SPX_OK; i++) {
        st = spx_calloc(&m[i], bytes[i], 1);
    }
    *b = (gc_buffers){.zero = m[0],
                      .label = m[1],
                      .c = m[2],
                      .r = m[3],
                      .out = m[4],
                      .tables = m[5],
                      .bits = m[6]};
    return st;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

static spx_status measure_gc(spx_pi_rates *r, spx_prg *prg)
{
    const spx_gc_batch g = {.params = {.l = 40, .f = 12, .a = 8}, .n = 4096};
    const double ands = (double)(g.n * spx_gc_ands(&g.params));
    spx_gc_key key;
    gc_buffers b;
    spx_status st;
    spx_gc_key_draw(&key, prg);
    SPX_TRY(st, gc_buffers_init(&b, &g.params, g.n), done);
    spx_prg_bytes(prg, b.zero, spx_gc_wires(&g.params, g.n) * sizeof *b.zero);
    r->garble = r->evaluate = 1;
    for (int i = 0; i < REPEATS; i++) {
        const double t0 = spx_seconds();
        SPX_TRY(st, spx_gc_garble(&g, &key, b.zero, b.c, b.r, b.tables), done);
        const double t1 = spx_seconds();
        SPX_TRY(st,
                spx_gc_evaluate(&g, key.start, b.zero, b.tables, spx_gc_table_bytes(&g.params, g.n),
                                b.out),
                done);
        r->garble = least(r->garble, (t1 - t0) / ands);
        r->evaluate = least(r->evaluate, (spx_seconds() - t1) / ands);
    }
done:
    gc_buffers_clear(&b);
    spx_wipe(&key, sizeof key);
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
        const double t0 = spx_seconds();
        SPX_TRY(st, spx_ot_receiver_extend(v, N, choices, keys, message), done);
        SPX_TRY(st, spx_ot_sender_extend(s, N, message, spx_ot_bytes(N), keys), done);
        r->transfer = least(r->transfer, (spx_seconds() - t0) / N);
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
        const double t0 = spx_seconds();
        SPX_TRY(st, spx_he_encrypt(p, key, prg, 1, words, request, NULL), done);
        const double t1 = spx_seconds();
        SPX_TRY(st,
                spx_he_evaluate(p, pk, list, prg, 1, request, facts->request_bytes, response, words,
                                NULL),
                done);
        const double t2 = spx_seconds();
        SPX_TRY(st, spx_he_decrypt(p, key, 1, response, facts->response_bytes, words, NULL), done);
        r->request[set] = least(r->request[set], (t1 - t0) / (double)facts->request_polys);
        r->response[set] =
            least(r->response[set], (spx_seconds() - t2) / (double)facts->response_polys);
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

static spx_status measure_conv(spx_pi_rates *r)
{
    const spx_conv2d_ring_shape shape = {.c = 32,
                                         .h = 16,
                                         .w = 16,
                                         .k = 32,
                                         .p = 16,
                                         .q = 16,
                                         .size = 3,
                                         .stride = 1,
                                         .dilation = 1,
                                         .pad = 1};
    const spx_ring_range range = {.bits = 40};
    void *w = NULL, *x = NULL, *y = NULL, *scratch = NULL;
    spx_conv2d_ring *f = NULL;
    spx_status st;
    SPX_TRY(st, spx_calloc(&w, 32 * 32 * 9, sizeof(int32_t)), done);
    SPX_TRY(st, spx_calloc(&x, 32 * 256, sizeof(int64_t)), done);
    SPX_TRY(st, spx_calloc(&y, 32 * 256, sizeof(int64_t)), done);
    SPX_TRY(st, spx_conv2d_ring_create(&f, &shape, w), done);
    SPX_TRY(st, spx_alloc(&scratch, spx_conv2d_ring_scratch(f, range)), done);
    r->mac = 1;
    for (int i = 0; i < REPEATS; i++) {
        const double t0 = spx_seconds();
        spx_conv2d_ring_run(f, x, range, y, scratch, NULL);
        r->mac = least(r->mac, (spx_seconds() - t0) / (32.0 * 32 * 9 * 256));
    }
done:
    spx_conv2d_ring_destroy(f);
    spx_free(w);
    spx_free(x);
    spx_free(y);
    spx_free(scratch);
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

#define PASSED ((size_t)4 << 20)

static void *swallow(void *arg)
{
    void *data = NULL;
    spx_channel *c = arg;
    const bool ok = spx_alloc(&data, PASSED) == SPX_OK &&
                    spx_channel_recv(c, 1, data, PASSED) == SPX_OK &&
                    spx_channel_send(c, 2, NULL, 0) == SPX_OK && spx_channel_flush(c) == SPX_OK;
    spx_free(data);
    return ok ? c : NULL;
}

/* Bytes through a connection of this machine, both ends' copies included. */
static spx_status measure_pass(spx_pi_rates *r)
{
    const spx_channel_options o = {.timeout = 60};
    spx_channel *a, *b;
    pthread_t thread;
    void *data = NULL, *took = NULL;
    spx_status st;
    SPX_RETURN_IF(spx_channel_pair(&a, &b, &o));
    st = spx_calloc(&data, PASSED, 1);
    if (st == SPX_OK && pthread_create(&thread, NULL, swallow, b) != 0) {
        st = SPX_FAIL(SPX_EDEVICE, "a thread to measure with could not be started");
    } else if (st == SPX_OK) {
        const double t0 = spx_seconds();
        st = spx_channel_send(a, 1, data, PASSED);
        if (st == SPX_OK) {
            st = spx_channel_recv(a, 2, NULL, 0);
        }
        r->pass = (spx_seconds() - t0) / (double)PASSED;
        (void)pthread_join(thread, &took);
        if (st == SPX_OK && took == NULL) {
            st = SPX_FAIL(SPX_EIO, "bytes sent to ourselves did not arrive");
        }
    }
    spx_free(data);
    spx_channel_close(a);
    spx_channel_close(b);
    return st;
}

spx_status spx_pi_rates_measure(spx_pi_rates *out, spx_vault *v)
{
    spx_prg prg;
    spx_status st;
    memset(out, 0, sizeof *out);
    SPX_RETURN_IF(spx_prg_init(&prg));
    SPX_TRY(st, measure_gc(out, &prg), done);
    SPX_TRY(st, measure_ot(out, &prg), done);
    for (int set = 0; set < SPX_HE_SETS; set++) {
        SPX_TRY(st, measure_he(out, set, &prg), done);
    }
    SPX_TRY(st, measure_conv(out), done);
    SPX_TRY(st, measure_pass(out), done);
    st = measure_vault(out, v);
done:
    spx_prg_clear(&prg);
    return st;
}
