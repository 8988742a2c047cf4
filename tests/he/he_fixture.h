#ifndef SPX_HE_FIXTURE_H
#define SPX_HE_FIXTURE_H
/* Exchanges with random operands, and what they must come to by plain integers. */
#include "tests/lattice/lattice_fixture.h"

#include "host/secure/he/he.h"
#include "tests/support/prg_seeded.h"

#define HE_MOST_VALUES 4
#define HE_MOST_CONVS 8

typedef struct he_case {
    const char *name;
    int l, weight_bits, set;
    int inputs, outputs, convs;
    spx_he_value input[HE_MOST_VALUES], output[HE_MOST_VALUES];
    spx_he_conv conv[HE_MOST_CONVS];
} he_case;

static inline spx_he_geometry he_geometry(const he_case *c)
{
    const spx_he_geometry g = {c->l,     c->weight_bits, c->set,    c->inputs, c->outputs,
                               c->convs, c->input,       c->output, c->conv};
    return g;
}

/* Everything of one exchange, both sides. */
typedef struct he_run {
    spx_he_plan *plan;
    const spx_he_facts *facts;
    spx_he_key *key;
    spx_he_public *pk;
    spx_prg client, server;
    size_t queries;
    int32_t *weights[HE_MOST_CONVS];
    uint64_t *shares, *masks, *got, *want;
    uint8_t *request, *response;
} he_run;

static inline void *he_room(size_t bytes)
{
    void *p = calloc(bytes > 0 ? bytes : 1, 1); /* exact, so that ASan sees every overrun */
    assert_non_null(p);
    return p;
}

/* out = sum of convolutions of in, modulo 2^64, element by element from the definition. */
static inline void he_plain(const he_case *c, int32_t *const *weights, const uint64_t *in,
                            uint64_t *out)
{
    const uint64_t *in_at[HE_MOST_VALUES];
    uint64_t *out_at[HE_MOST_VALUES];
    size_t total = 0;
    for (int i = 0; i < c->inputs; i++) {
        in_at[i] = in;
        in += c->input[i].c * c->input[i].h * c->input[i].w;
    }
    for (int i = 0; i < c->outputs; i++) {
        out_at[i] = out + total;
        total += (size_t)(c->output[i].c * c->output[i].h * c->output[i].w);
    }
    memset(out, 0, total * sizeof *out);
    for (int i = 0; i < c->convs; i++) {
        const spx_he_conv *v = &c->conv[i];
        const spx_he_value *a = &c->input[v->in], *b = &c->output[v->out];
        const int64_t taps = v->c * v->r * v->s;
        for (int64_t k = 0; k < v->k * b->h * b->w; k++) {
            const int64_t y = k / b->w % b->h, x = k % b->w, o = k / (b->h * b->w);
            for (int64_t t = 0; t < taps; t++) {
                const int64_t r = t / v->s % v->r, s = t % v->s, m = t / (v->r * v->s);
                const int64_t iy = y * v->stride + r * v->dilation - v->pad_top;
                const int64_t ix = x * v->stride + s * v->dilation - v->pad_left;
                if (iy >= 0 && iy < a->h && ix >= 0 && ix < a->w) {
                    out_at[v->out][((v->k0 + o) * b->h + y) * b->w + x] +=
                        (uint64_t)(int64_t)weights[i][o * taps + t] *
                        in_at[v->in][((v->c0 + m) * a->h + iy) * a->w + ix];
                }
            }
        }
    }
}

/* kind 0: random; 1: weights at the ends of their range, shares of all ones or nearly; 2: weights
 * zero; 3: weights at the ends, shares random */
static inline void he_start(he_run *h, const he_case *c, size_t queries, int kind, uint64_t seed)
{
    const spx_he_geometry g = he_geometry(c);
    const int64_t bound = (int64_t)1 << (c->weight_bits - 1);
    const uint64_t ring = UINT64_MAX >> (64 - c->l);
    spx_rng r;
    memset(h, 0, sizeof *h);
    CHECK_OK(spx_he_plan_create(&h->plan, &g));
    h->facts = spx_he_plan_facts(h->plan);
    h->queries = queries;
    spx_prg_seed(&h->client, seed, 1);
    spx_prg_seed(&h->server, seed, 2);
    spx_rng_init(&r, seed, SPX_RNG_TEST, 9);
    for (int i = 0; i < c->convs; i++) {
        const spx_he_conv *v = &c->conv[i];
        const size_t n = (size_t)(v->k * v->c * v->r * v->s);
        h->weights[i] = he_room(n * sizeof(int32_t));
        for (size_t j = 0; j < n; j++) {
            const int64_t w = (int64_t)(lattice_u64(&r) % (uint64_t)(2 * bound + 1)) - bound;
            h->weights[i][j] =
                (int32_t)(kind == 2 ? 0 : (kind % 2 == 1 ? (w < 0 ? -bound : bound) : w));
        }
    }
    h->shares = he_room(queries * h->facts->input_elements * sizeof *h->shares);
    h->masks = he_room(queries * h->facts->output_elements * sizeof *h->masks);
    h->got = he_room(queries * h->facts->output_elements * sizeof *h->got);
    h->want = he_room(queries * h->facts->output_elements * sizeof *h->want);
    for (size_t i = 0; i < queries * h->facts->input_elements; i++) {
        h->shares[i] = kind == 1 ? ring >> (lattice_u64(&r) & 1) : lattice_u64(&r) & ring;
    }
    h->request = he_room(queries * h->facts->request_bytes);
    h->response = he_room(queries * h->facts->response_bytes);
}

static inline void he_keys(he_run *h)
{
    const size_t bytes = spx_he_public_bytes(h->facts->set);
    uint8_t *message = he_room(bytes);
    CHECK_OK(spx_he_key_create(&h->key, h->facts->set, &h->client));
    spx_he_key_public(h->key, message);
    CHECK_OK(spx_he_public_create(&h->pk, h->facts->set, message, bytes, 0));
    free(message);
}

static inline spx_status he_server(he_run *h, spx_pool *pool)
{
    return spx_he_evaluate(h->plan, h->pk, (const int32_t *const *)h->weights, &h->server,
                           h->queries, h->request, h->queries * h->facts->request_bytes,
                           h->response, h->masks, pool);
}

static inline void he_exchange(he_run *h, spx_pool *pool)
{
    CHECK_OK(spx_he_encrypt(h->plan, h->key, &h->client, h->queries, h->shares, h->request, pool));
    CHECK_OK(he_server(h, pool));
    CHECK_OK(spx_he_decrypt(h->plan, h->key, h->queries, h->response,
                            h->queries * h->facts->response_bytes, h->got, pool));
}

/* The shares and masks of every output add up to the plain convolutions. */
static inline void he_check(he_run *h, const he_case *c)
{
    const uint64_t ring = UINT64_MAX >> (64 - c->l);
    const size_t ins = h->facts->input_elements, outs = h->facts->output_elements;
    for (size_t q = 0; q < h->queries; q++) {
        he_plain(c, h->weights, h->shares + q * ins, h->want + q * outs);
    }
    for (size_t i = 0; i < h->queries * outs; i++) {
        if (((h->got[i] + h->masks[i] - h->want[i]) & ring) != 0 || h->got[i] > ring ||
            h->masks[i] > ring) {
            fail_msg("%s, set %d, query %zu, element %zu of %zu: %llx + %llx, expected %llx",
                     c->name, h->facts->set, i / outs, i % outs, outs,
                     (unsigned long long)h->got[i], (unsigned long long)h->masks[i],
                     (unsigned long long)(h->want[i] & ring));
        }
    }
}

static inline void he_end(he_run *h)
{
    spx_he_plan_destroy(h->plan);
    spx_he_key_destroy(h->key);
    spx_he_public_destroy(h->pk);
    spx_prg_clear(&h->client);
    spx_prg_clear(&h->server);
    for (int i = 0; i < HE_MOST_CONVS; i++) {
        free(h->weights[i]);
    }
    free(h->shares);
    free(h->masks);
    free(h->got);
    free(h->want);
    free(h->request);
    free(h->response);
}

#endif
