/* The server's side: products with weights, blinding, flooding, masks. */
#include "host/secure/he/he_private.h"

#include "kernels/base/alloc.h"
#include "kernels/crypto/ct.h"
#include "kernels/crypto/sampler.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)4) /* weight polynomials between sums: 256 KB stay in the second cache */

spx_status spx_he_public_create(spx_he_public **out, int set, const uint8_t *bytes, size_t size,
                                uint64_t returned)
{
    spx_he_public *p;
    const he_params *params;
    spx_status st;
    spx_keystream seed;
    void *block;
    size_t n;
    *out = NULL;
    SPX_RETURN_IF(he_params_get(&params, set));
    if (size != spx_he_public_bytes(set)) {
        return SPX_FAIL(SPX_EFORMAT, "public key of %zu bytes, expected %zu", size,
                        spx_he_public_bytes(set));
    }
    n = params->set->n;
    p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "public key: %zu bytes", sizeof *p);
    }
    p->params = params;
    p->set = set;
    p->returned = returned;
    SPX_TRY(st, spx_alloc(&block, (2 * HE_PRIMES + 1) * n * sizeof *p->first), fail);
    p->first = block;
    p->second = p->first + HE_PRIMES * n;
    he_public_stream(&seed, bytes);
    for (int i = 0; i < HE_PRIMES; i++) {
        he_uniform(params, &seed, 0, i, p->first + (size_t)i * n, p->second + HE_PRIMES * n);
    }
    if (!he_read_poly(params, p->second, bytes + HE_SEED_BYTES)) {
        st = SPX_FAIL(SPX_EFORMAT, "public key with a coefficient beyond its modulus");
        goto fail;
    }
    *out = p;
    return SPX_OK;
fail:
    spx_he_public_destroy(p);
    return st;
}

void spx_he_public_destroy(spx_he_public *p)
{
    if (p != NULL) {
        spx_free(p->first);
        free(p);
    }
}

uint64_t spx_he_public_returned(const spx_he_public *p)
{
    return p->returned;
}

typedef struct evaluation {
    const spx_he_plan *p;
    const spx_he_public *pk;
    const int32_t *const *weights;
    spx_keystream key;
    size_t queries;
    const uint8_t *request;
    uint8_t *response;
    uint64_t *masks;
    uint64_t *first, *second; /* [queries][request_polys][primes][n] */
    bool *bad;                /* [queries * request_polys] */
    char *rooms;
    he_probe probe;
    void *probe_ctx;
} evaluation;

/* One thread's scratch. */
typedef struct server_room {
    uint64_t *weight; /* [CHUNK][n] */
    uint64_t *sum;    /* [queries * tiles][2][primes][n] */
    uint64_t *blind;  /* [n] */
    uint64_t *words;  /* [SPX_FLOOD_WORDS * n] */
    spx_u128 *wide;   /* [n] */
    spx_i128 *flood;  /* [n] */
    he_place *place;  /* [n] */
    int8_t *small;    /* [n] */
} server_room;

static size_t room_bytes(const evaluation *e)
{
    const size_t words =
        CHUNK + e->queries * (size_t)e->p->tiles * 2 * HE_PRIMES + 1 + SPX_FLOOD_WORDS;
    return e->p->facts.n * (words * sizeof(uint64_t) + sizeof(spx_u128) + sizeof(spx_i128) +
                            sizeof(he_place) + SPX_ALIGN);
}

static server_room room_at(const evaluation *e, int worker)
{
    const size_t n = e->p->facts.n;
    server_room r;
    r.weight = (uint64_t *)(void *)(e->rooms + (size_t)worker * room_bytes(e));
    r.sum = r.weight + CHUNK * n;
    r.blind = r.sum + e->queries * (size_t)e->p->tiles * 2 * HE_PRIMES * n;
    r.words = r.blind + n;
    r.wide = (spx_u128 *)(void *)(r.words + SPX_FLOOD_WORDS * n);
    r.flood = (spx_i128 *)(void *)(r.wide + n);
    r.place = (he_place *)(void *)(r.flood + n);
    r.small = (int8_t *)(r.place + n);
    return r;
}

static uint64_t *poly_of(const evaluation *e, uint64_t *polys, size_t i, size_t prime)
{
    return polys + (i * HE_PRIMES + prime) * e->p->facts.n;
}

static void read_request(void *ctx, int worker, size_t begin, size_t end)
{
    evaluation *e = ctx;
    const spx_he_facts *f = &e->p->facts;
    const he_params *params = e->p->params;
    server_room r = room_at(e, worker);
    for (size_t i = begin; i < end; i++) {
        const uint8_t *in = e->request + i / f->request_polys * f->request_bytes;
        const size_t poly = i % f->request_polys;
        spx_keystream seed;
        he_public_stream(&seed, in);
        for (int j = 0; j < HE_PRIMES; j++) {
            he_uniform(params, &seed, poly, j, poly_of(e, e->first, i, (size_t)j), r.words);
        }
        e->bad[i] = !he_read_poly(params, poly_of(e, e->second, i, 0),
                                  in + HE_SEED_BYTES + poly * he_poly_bytes(params->set));
    }
}

static void draw_masks(void *ctx, int worker, size_t begin, size_t end)
{
    const evaluation *e = ctx;
    const size_t total = e->p->facts.output_elements, n = e->p->facts.n;
    const uint64_t ring = UINT64_MAX >> (64 - e->p->l);
    server_room r = room_at(e, worker);
    for (size_t q = begin; q < end; q++) {
        for (size_t first = 0; first < total; first += n) {
            const size_t m = total - first < n ? total - first : n;
            uint64_t *out = e->masks + q * total + first;
            he_words(&e->key, HE_MASK, q, first, r.words, m);
            for (size_t i = 0; i < m; i++) {
                out[i] = r.words[i] & ring;
            }
        }
    }
}

/* Indices [*from, *to) of a group's slots that a convolution's channels fill. */
static void overlap(size_t group, size_t per, size_t first, size_t count, size_t *from, size_t *to)
{
    const size_t base = group * per;
    *from = first > base ? first - base : 0;
    *to = first + count < base + per ? (first + count > base ? first + count - base : 0) : per;
}

/* Adds convolution i's weights between two groups to a polynomial of residues. */
static void add_weights(const evaluation *e, int i, size_t out_group, size_t in_group, uint64_t q,
                        uint64_t *x)
{
    const spx_he_plan *p = e->p;
    const spx_he_conv *c = &p->conv[i];
    const size_t in2 = he_phases(p->input_split[c->in]);
    const size_t out2 = he_phases(p->output_split[c->out]);
    const size_t in0 = p->in_at[i] + (size_t)c->c0 * in2;
    const size_t out0 = p->out_at[i] + (size_t)c->k0 * out2;
    const size_t per_in = (size_t)p->per_in, per_out = (size_t)p->per_out;
    const size_t block = (size_t)p->block, n = p->facts.n;
    size_t a0, a1, b0, b1;
    overlap(in_group, per_in, in0, (size_t)c->c * in2, &a0, &a1);
    overlap(out_group, per_out, out0, (size_t)c->k * out2, &b0, &b1);
    for (size_t b = b0; b < b1; b++) {
        const size_t out = out_group * per_out + b - out0;
        for (size_t a = a0; a < a1; a++) {
            const size_t in = in_group * per_in + a - in0;
            const he_taps taps = p->taps[p->taps_at[i] + out % out2 * in2 + in % in2];
            const int32_t *w =
                e->weights[i] + (out / out2 * (size_t)c->c + in / in2) * (size_t)(c->r * c->s);
            const size_t at = ((per_in - 1 - a) * per_out + b) * block;
            for (size_t t = taps.first; t < taps.first + taps.count; t++) {
                const size_t k = at + p->tap[t].at; /* beyond n it returns with the other sign */
                const uint64_t v = he_small(w[p->tap[t].weight], q); /* 30 bits at most */
                uint64_t *y = &x[k & (n - 1)];
                *y = k < n ? spx_modq_add(*y, v, q) : spx_modq_sub(*y, v, q);
            }
        }
    }
}

static void encode_weights(const evaluation *e, size_t out_group, size_t in_group, int prime,
                           uint64_t *x)
{
    const he_params *params = e->p->params;
    memset(x, 0, e->p->facts.n * sizeof *x);
    for (int i = 0; i < e->p->convs; i++) {
        add_weights(e, i, out_group, in_group, params->modq[prime]->q, x);
    }
    spx_ntt_forward(params->ntt[prime], x);
}

/* Sums of products of a group of outputs: each weight polynomial is made once for all queries. */
static void multiply(const evaluation *e, size_t group, int prime, server_room *r)
{
    const spx_he_plan *p = e->p;
    const size_t n = p->facts.n, tiles = (size_t)p->tiles, all = e->queries * tiles;
    const spx_ntt *t = p->params->ntt[prime];
    for (size_t next = 0; next < p->in_groups;) {
        const uint64_t *w[CHUNK], *x[CHUNK];
        size_t in[CHUNK], m = 0;
        for (; next < p->in_groups && m < CHUNK; next++) {
            if (p->joined[group * p->in_groups + next]) {
                encode_weights(e, group, next, prime, r->weight + m * n);
                w[m] = r->weight + m * n;
                in[m++] = next;
            }
        }
        for (size_t i = 0; i < all; i++) {
            for (size_t side = 0; side < 2; side++) {
                for (size_t j = 0; j < m; j++) {
                    x[j] = poly_of(e, side ? e->second : e->first,
                                   i / tiles * p->facts.request_polys + in[j] * tiles + i % tiles,
                                   (size_t)prime);
                }
                spx_ntt_dot(t, r->sum + ((i * 2 + side) * HE_PRIMES + (size_t)prime) * n, m, x, w);
            }
        }
    }
}

/* Adds a fresh encryption of zero to (first, second), values of one prime each,
 * and leaves values. */
static void blind(const evaluation *e, int prime, uint64_t *first, uint64_t *second, server_room *r)
{
    const spx_he_public *pk = e->pk;
    const size_t n = e->p->facts.n;
    const spx_ntt *t = e->p->params->ntt[prime];
    const uint64_t *const u[] = {r->blind};
    const uint64_t *const a[] = {pk->first + (size_t)prime * n};
    const uint64_t *const b[] = {pk->second + (size_t)prime * n};
    for (size_t k = 0; k < n; k++) {
        r->blind[k] = he_small(r->small[k], spx_ntt_modulus(t)->q);
    }
    spx_ntt_forward(t, r->blind);
    spx_ntt_dot(t, first, 1, a, u);
    spx_ntt_dot(t, second, 1, b, u);
}

/* The first component: every coefficient, an error added, at first_bits bits. */
static uint8_t *send_first(const evaluation *e, uint64_t stream, const uint64_t *sum, uint8_t *out,
                           server_room *r)
{
    const he_params *params = e->p->params;
    const size_t n = e->p->facts.n;
    const int bits = e->p->facts.first_bits;
    he_words(&e->key, HE_ERROR, stream, 0, r->words, n);
    spx_sample_cbd(r->small, r->words, n);
    for (size_t k = 0; k < n; k++) {
        uint64_t x[HE_PRIMES];
        for (size_t i = 0; i < HE_PRIMES; i++) {
            const uint64_t q = params->modq[i]->q;
            x[i] = spx_modq_add(sum[i * n + k], he_small(r->small[k], q), q);
        }
        r->wide[k] = he_round(he_fraction(params, x), bits);
    }
    he_pack_wide(out, r->wide, n, bits);
    return out + he_wide_bytes(n, bits);
}

/* The second: coefficients that are outputs, masked and flooded (which takes in the error that a
 * fresh encryption has there), at second_bits bits. */
static void send_second(const evaluation *e, uint64_t stream, const uint64_t *sum,
                        const uint64_t *masks, size_t count, uint8_t *out, server_room *r)
{
    const spx_he_plan *p = e->p;
    const he_params *params = p->params;
    const size_t n = p->facts.n;
    const int bits = p->facts.second_bits;
    he_words(&e->key, HE_FLOOD, stream, 0, r->words, count * SPX_FLOOD_WORDS);
    spx_sample_flood(r->flood, count, p->facts.flood_width, r->words);
    for (size_t j = 0; j < count; j++) {
        const spx_i128 f = r->flood[j];
        uint64_t x[HE_PRIMES];
        for (size_t i = 0; i < HE_PRIMES; i++) {
            const spx_modq *q = params->modq[i];
            const uint64_t below = params->wrap[i] & (0 - (f.hi >> 63));
            const uint64_t flood =
                spx_modq_sub(spx_modq_reduce_wide((spx_u128){f.hi, f.lo}, q), below, q->q);
            const uint64_t mask = he_encode(p, (int)i, masks[r->place[j].element]);
            x[i] = spx_modq_sub(sum[i * n + r->place[j].coefficient], mask, q->q);
            x[i] = spx_modq_add(x[i], flood, q->q);
        }
        r->wide[j] = he_round(he_fraction(params, x), bits);
    }
    he_pack_wide(out, r->wide, count, bits);
}

static void respond(const evaluation *e, size_t group, size_t query, size_t tile, server_room *r)
{
    const spx_he_plan *p = e->p;
    const spx_he_facts *f = &p->facts;
    const size_t n = f->n, tiles = (size_t)p->tiles, response = group * tiles + tile;
    const uint64_t stream = query * f->response_polys + response;
    uint64_t *first = r->sum + (query * tiles + tile) * 2 * HE_PRIMES * n;
    uint64_t *second = first + HE_PRIMES * n;
    uint8_t *out = e->response + query * f->response_bytes + p->response_at[response];
    he_words(&e->key, HE_BLIND, stream, 0, r->words, n);
    spx_sample_ternary(r->small, r->words, n);
    for (int i = 0; i < HE_PRIMES; i++) {
        blind(e, i, first + (size_t)i * n, second + (size_t)i * n, r);
        spx_ntt_inverse(p->params->ntt[i], first + (size_t)i * n);
        spx_ntt_inverse(p->params->ntt[i], second + (size_t)i * n);
    }
    if (e->probe != NULL) {
        e->probe(e->probe_ctx, query, response, first, second);
    }
    out = send_first(e, stream, first, out, r);
    send_second(e, stream, second, e->masks + query * f->output_elements,
                he_returned(p, group, (int64_t)tile, r->place), out, r);
}

static void evaluate_groups(void *ctx, int worker, size_t begin, size_t end)
{
    const evaluation *e = ctx;
    const spx_he_plan *p = e->p;
    const size_t tiles = (size_t)p->tiles;
    server_room r = room_at(e, worker);
    for (size_t g = begin; g < end; g++) {
        memset(r.sum, 0, e->queries * tiles * 2 * HE_PRIMES * p->facts.n * sizeof *r.sum);
        for (int i = 0; i < HE_PRIMES; i++) {
            multiply(e, g, i, &r);
        }
        for (size_t i = 0; i < e->queries * tiles; i++) {
            respond(e, g, i / tiles, i % tiles, &r);
        }
    }
}

static spx_status check(const spx_he_plan *p, const spx_he_public *pk, size_t queries, size_t size)
{
    const uint64_t life = (uint64_t)1 << SPX_HE_KEY_LIFE;
    if (pk->set != p->facts.set || queries < 1) {
        return SPX_FAIL(SPX_EINVAL, "%zu queries, a key of parameter set %d; the plan wants set %d",
                        queries, pk->set, p->facts.set);
    }
    if (size / queries != p->facts.request_bytes || size % queries != 0) {
        return SPX_FAIL(SPX_EFORMAT, "request of %zu bytes, expected %zu times %zu", size, queries,
                        p->facts.request_bytes);
    }
    if (pk->returned > life || queries > (life - pk->returned) / p->facts.returned) {
        return SPX_FAIL(SPX_EINVAL,
                        "the client's encryption key has served %llu of %llu coefficients: it "
                        "must send a new one",
                        (unsigned long long)pk->returned, (unsigned long long)life);
    }
    return SPX_OK;
}

static void run(spx_pool *pool, size_t n, spx_pool_fn fn, void *ctx)
{
    if (pool != NULL) {
        spx_pool_run(pool, n, fn, ctx);
    } else {
        fn(ctx, 0, 0, n);
    }
}

spx_status spx_he_evaluate(const spx_he_plan *p, spx_he_public *pk, const int32_t *const *weights,
                           spx_prg *prg, size_t queries, const uint8_t *request, size_t size,
                           uint8_t *response, uint64_t *masks, spx_pool *pool)
{
    return he_evaluate(p, pk, weights, prg, queries, request, size, response, masks, pool, NULL,
                       NULL);
}

spx_status he_evaluate(const spx_he_plan *p, spx_he_public *pk, const int32_t *const *weights,
                       spx_prg *prg, size_t queries, const uint8_t *request, size_t size,
                       uint8_t *response, uint64_t *masks, spx_pool *pool, he_probe probe,
                       void *ctx)
{
    evaluation e = {.p = p, .pk = pk, .weights = weights, .queries = queries, .probe = probe};
    const size_t threads = pool != NULL ? (size_t)spx_pool_threads(pool) : 1;
    size_t polys, bytes;
    void *block;
    spx_status st;
    SPX_RETURN_IF(check(p, pk, queries, size));
    if (he_weights_beyond(p, weights) != 0) {
        return SPX_FAIL(SPX_EINVAL, "a weight has more than %d bits", p->weight_bits);
    }
    e.probe_ctx = ctx;
    e.request = request;
    e.response = response;
    e.masks = masks;
    polys = queries * p->facts.request_polys;
    bytes = threads * room_bytes(&e);
    SPX_TRY(st, spx_alloc(&block, 2 * polys * HE_PRIMES * p->facts.n * sizeof *e.first), done);
    e.first = block;
    e.second = e.first + polys * HE_PRIMES * p->facts.n;
    SPX_TRY(st, SPX_NEW(e.bad, polys), done);
    SPX_TRY(st, spx_alloc(&block, bytes), done);
    e.rooms = block;
    run(pool, polys, read_request, &e);
    for (size_t i = 0; i < polys; i++) {
        if (e.bad[i]) {
            st = SPX_FAIL(SPX_EFORMAT, "request with a coefficient beyond its modulus");
            goto done;
        }
    }
    he_secret_stream(&e.key, prg);
    run(pool, queries, draw_masks, &e);
    run(pool, p->out_groups, evaluate_groups, &e);
    spx_wipe(&e.key, sizeof e.key);
    pk->returned += queries * p->facts.returned;
done:
    if (e.rooms != NULL) {
        spx_wipe(e.rooms, bytes);
    }
    spx_free(e.rooms);
    spx_free(e.bad);
    spx_free(e.first);
    return st;
}
