/*
 * usage: constant_time CASE   (under valgrind by constant_time.sh, MemorySanitizer by
 * constant_time_msan.sh)
 * Runs one piece of code on secrets that are marked undefined, the generator's key among them: all
 * that is drawn is a secret until it is sent. The cases "leak" and "leak_drawn" branch on one on
 * purpose, to show that such a branch is found.
 */
#include "host/secure/gc/gc.h"
#include "host/secure/he/he_private.h"
#include "host/secure/ot/ot.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/crypto_isa.h"
#include "kernels/crypto/ct.h"
#include "kernels/crypto/ntt.h"
#include "kernels/crypto/sampler.h"
#include "kernels/crypto/transpose.h"
#include "kernels/nn/conv2d_ring/conv2d_ring.c" /* to reach its packed weights */
#include "tests/secure/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OTS 600

static spx_prg prg;

static void check(spx_status st)
{
    if (st != SPX_OK) {
        (void)fprintf(stderr, "%s\n", spx_error_message());
        exit(2);
    }
}

/* Random bytes that are taken for undefined. */
static void *secret(size_t n)
{
    void *p;
    check(spx_alloc(&p, n));
    spx_prg_bytes(&prg, p, n);
    SPX_SECRET(p, n);
    return p;
}

/* Which tables SPHYNX_ISA picks. */
static void run_tables(void)
{
    (void)printf("%s %s\n", spx_crypto_isa_name(spx_crypto_isa_used()), spx_ntt_variant());
}

static void run_leak(void)
{
#if !defined(SPX_HAVE_VALGRIND) && !defined(SPX_UNDER_MSAN)
    exit(77); /* built without valgrind's header: nothing can be marked */
#endif
    uint64_t *x = secret(sizeof *x);
    if (*x % 3 == 0) {
        (void)puts("a branch");
    }
    spx_free(x);
}

/* What is drawn from the generator is a secret without being marked. */
static void run_leak_drawn(void)
{
    if (spx_prg_u64(&prg) % 3 == 0) {
        (void)puts("a branch");
    }
}

static void run_ct(void)
{
    uint64_t *x = secret(4 * sizeof *x), y = spx_ct_nonzero(x[1]);
    y ^= spx_ct_select(spx_ct_mask(x[0] & 1), x[2], x[3]);
    x[0] = y;
    spx_wipe(x, 4 * sizeof *x);
    spx_free(x);
}

static void run_aes(void)
{
    spx_block *keys = secret(20 * sizeof *keys), *in = secret(100 * sizeof *in),
              *out = secret(512 * sizeof *out);
    uint64_t *words = secret(64 * sizeof *words);
    spx_block *columns = secret(512 * sizeof *columns);
    spx_aes_key k[20];
    spx_prg p;
    spx_aes_expand(k, keys, 20);
    spx_aes_encrypt(&k[3], in, out, 100);
    spx_aes_ctr(&k[4], 0, 0, out, 100);
    spx_transpose_64(words, words);
    spx_transpose_128((const uint8_t *)columns, 64, 512, out);
    p = (spx_prg){.stream.key = k[5]};
    spx_prg_bytes(&p, (uint8_t *)out + 1, 777);
    spx_free(keys);
    spx_free(in);
    spx_free(out);
    spx_free(words);
    spx_free(columns);
}

/*
 * Both sides; the session, which goes into each key, makes every key a secret. What is drawn is
 * not: scalars of the base transfers go to libsodium, which asks whether a product is zero.
 */
static void run_ot(void)
{
    uint8_t *session = secret(SPX_OT_SESSION_BYTES), *choices = secret(spx_ot_room(OTS) / 8);
    spx_block *delta = secret(sizeof *delta), *m0 = secret(spx_ot_room(OTS) * sizeof *m0);
    spx_block *m = secret(spx_ot_room(OTS) * sizeof *m);
    uint8_t hello[SPX_OT_HELLO_BYTES], points[SPX_OT_POINTS_BYTES], trees[SPX_OT_TREES_BYTES];
    uint8_t *message = secret(spx_ot_bytes(OTS));
    spx_ot_sender *s;
    spx_ot_receiver *r;
    delta->w[0] |= 1; /* which is no secret */
    SPX_PUBLIC(&prg.stream, sizeof prg.stream);
    check(spx_ot_receiver_create(&r, session, &prg, hello));
    SPX_PUBLIC(hello, sizeof hello); /* what is sent is public from there on */
    check(spx_ot_sender_create(&s, session, *delta, &prg, hello, sizeof hello, points));
    SPX_PUBLIC(points, sizeof points);
    check(spx_ot_receiver_setup(r, points, sizeof points, trees));
    check(spx_ot_sender_setup(s, trees, sizeof trees));
    check(spx_ot_receiver_extend(r, OTS, choices, m, message));
    check(spx_ot_sender_extend(s, OTS, message, spx_ot_bytes(OTS), m0));
    spx_ot_answer(OTS, m0, choices, *delta, m);
    spx_ot_sender_destroy(s);
    spx_ot_receiver_destroy(r);
    spx_free(session);
    spx_free(choices);
    spx_free(delta);
    spx_free(m0);
    spx_free(m);
    spx_free(message);
}

static void run_gc(void)
{
    const spx_gc_params p = {20, 6, 8};
    const spx_gc_batch b = {.params = p, .domain = 5, .n = 70};
    const size_t wires = spx_gc_wires(&p, b.n), bytes = spx_gc_table_bytes(&p, b.n);
    spx_block *zero = secret(wires * sizeof *zero), *labels = secret(wires * sizeof *labels);
    uint64_t *c = secret(b.n * sizeof *c), *r = secret(b.n * sizeof *r);
    uint64_t *out = secret(b.n * sizeof *out);
    uint8_t *tables = secret(bytes), *bits = secret(wires / 8);
    spx_gc_key *key = secret(sizeof *key);
    key->delta.w[0] |= 1;
    SPX_PUBLIC(&key->start, sizeof key->start);
    check(spx_gc_garble(&b, key, zero, c, r, tables));
    spx_gc_input_bits(&p, b.n, c, bits);
    check(spx_gc_evaluate(&b, key->start, labels, tables, bytes, out));
    spx_free(zero);
    spx_free(labels);
    spx_free(c);
    spx_free(r);
    spx_free(out);
    spx_free(tables);
    spx_free(bits);
    spx_free(key);
}

static void run_samplers(void)
{
    uint64_t *words = secret(100 * SPX_FLOOD_WORDS * sizeof *words);
    int8_t small[100];
    spx_i128 flood[100];
    spx_sample_ternary(small, words, 100);
    spx_sample_cbd(small, words, 100);
    spx_sample_flood(flood, 100, 66, words);
    spx_sample_flood(flood, 100, 63, words);
    spx_free(words);
}

/*
 * In the place of he_uniform, by the linker: it draws the polynomials of seeds that travel in
 * messages, by rejection. The seeds come from the generator and are public from birth.
 */
void __real_he_uniform(const he_params *p, const spx_keystream *key, uint64_t index, int prime,
                       uint64_t *out, uint64_t *words);
void __wrap_he_uniform(const he_params *p, const spx_keystream *key, uint64_t index, int prime,
                       uint64_t *out, uint64_t *words);
void __wrap_he_uniform(const he_params *p, const spx_keystream *key, uint64_t index, int prime,
                       uint64_t *out, uint64_t *words)
{
    spx_keystream seed = *key;
    SPX_PUBLIC(&seed, sizeof seed);
    __real_he_uniform(p, &seed, index, prime, out, words);
}

/* Likewise: whether a weight is beyond the range ends everything, so the answer is public; how it
 * is found is not. */
uint64_t __real_he_weights_beyond(const spx_he_plan *p, const int32_t *const *weights);
uint64_t __wrap_he_weights_beyond(const spx_he_plan *p, const int32_t *const *weights);
uint64_t __wrap_he_weights_beyond(const spx_he_plan *p, const int32_t *const *weights)
{
    uint64_t beyond = __real_he_weights_beyond(p, weights);
    SPX_PUBLIC(&beyond, sizeof beyond);
    return beyond;
}

/* One exchange of two convolutions that share an output, with stride; what is sent is public. */
static void run_he(void)
{
    static const spx_he_value in = {3, 8, 8}, out = {4, 4, 4};
    static const spx_he_conv conv[2] = {
        {.c = 3, .k = 4, .r = 3, .s = 3, .stride = 2, .dilation = 1, .pad_top = 1, .pad_left = 1},
        {.c = 2, .k0 = 1, .k = 2, .r = 1, .s = 1, .stride = 2, .dilation = 1}};
    const spx_he_geometry g = {37, 8, SPX_HE_ANY_SET, 1, 1, 2, &in, &out, conv};
    spx_he_plan *p;
    spx_he_key *k;
    spx_he_public *pk;
    check(spx_he_plan_create(&p, &g));
    const spx_he_facts *f = spx_he_plan_facts(p);
    const size_t bytes = spx_he_public_bytes(f->set);
    uint64_t *shares = secret(f->input_elements * sizeof *shares);
    uint64_t *masks = secret(f->output_elements * sizeof *masks);
    int32_t *w0 = secret(108 * sizeof *w0), *w1 = secret(4 * sizeof *w1);
    uint8_t *request = secret(f->request_bytes), *response = secret(f->response_bytes);
    uint8_t *message = secret(bytes);
    const int32_t *const weights[2] = {w0, w1};
    for (int i = 0; i < 108; i++) {
        w0[i] %= 129; /* a division by a constant: no branch */
        w1[i % 4] %= 129;
    }
    check(spx_he_key_create(&k, f->set, &prg));
    spx_he_key_public(k, message);
    SPX_PUBLIC(message, bytes);
    check(spx_he_public_create(&pk, f->set, message, bytes, 0));
    SPX_SECRET(k->minus_secret, HE_PRIMES * f->n * sizeof *k->minus_secret);
    check(spx_he_encrypt(p, k, &prg, 1, shares, request, NULL));
    SPX_PUBLIC(request, f->request_bytes);
    check(
        spx_he_evaluate(p, pk, weights, &prg, 1, request, f->request_bytes, response, masks, NULL));
    check(spx_he_decrypt(p, k, 1, response, f->response_bytes, shares, NULL));
    spx_he_public_destroy(pk);
    spx_he_key_destroy(k);
    spx_he_plan_destroy(p);
    spx_free(shares);
    spx_free(masks);
    spx_free(w0);
    spx_free(w1);
    spx_free(request);
    spx_free(response);
    spx_free(message);
}

/* A party's own linear map: secret weights on its share. */
static void run_ring(void)
{
    static const spx_conv2d_ring_shape shape = {3, 9, 9, 5, 5, 5, 3, 2, 1, 1};
    const spx_ring_range range = {37, false};
    int64_t *x = secret(3 * 81 * sizeof *x), *y = secret(5 * 25 * sizeof *y);
    static const int32_t w[135] = {127, -128, 5};
    spx_conv2d_ring *f;
    void *scratch;
    /* The bits of the largest weight are public and are asked for: marked once they are packed. How
     * they are found is looked at apart. */
    int32_t *v = secret(135 * sizeof *v);
    int32_t all = sizes(v, 135);
    SPX_PUBLIC(&all, sizeof all);
    (void)printf("%s", all == 0 ? "all zero\n" : "");
    spx_free(v);
    check(spx_conv2d_ring_create(&f, &shape, w));
    SPX_SECRET(f->w, f->w_bytes);
    check(spx_alloc(&scratch, spx_conv2d_ring_scratch(f, range)));
    spx_conv2d_ring_run(f, x, range, y, scratch, NULL);
    spx_conv2d_ring_destroy(f);
    spx_free(scratch);
    spx_free(x);
    spx_free(y);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"tables", run_tables}, {"leak", run_leak},         {"leak_drawn", run_leak_drawn},
                 {"ct", run_ct},         {"aes", run_aes},           {"ot", run_ot},
                 {"gc", run_gc},         {"samplers", run_samplers}, {"he", run_he},
                 {"ring", run_ring}};
    check(spx_prg_init(&prg));
    SPX_SECRET(&prg.stream, sizeof prg.stream);
    for (size_t i = 0; argc == 2 && i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    return 2;
}
