/* The client's side: keys, requests, shares from responses. */
#include "host/secure/he/he_private.h"

#include "kernels/base/alloc.h"
#include "kernels/crypto/ct.h"
#include "kernels/crypto/sampler.h"
#include "kernels/crypto/secret_memory.h"

#include <stdlib.h>
#include <string.h>

/* One thread's scratch. */
typedef struct client_room {
    uint64_t *x;     /* [primes][n] */
    uint64_t *a;     /* [n] */
    uint64_t *words; /* [n] */
    int8_t *small;   /* [n] */
    spx_u128 *wide;  /* [2 n] */
    he_place *place; /* [n] */
} client_room;

static size_t room_bytes(size_t n)
{
    return n * ((HE_PRIMES + 2) * sizeof(uint64_t) + SPX_ALIGN + 2 * sizeof(spx_u128) +
                sizeof(he_place));
}

static client_room room_at(void *block, size_t n, int worker)
{
    client_room r;
    r.x = (uint64_t *)(void *)((char *)block + (size_t)worker * room_bytes(n));
    r.a = r.x + HE_PRIMES * n;
    r.words = r.a + n;
    r.wide = (spx_u128 *)(void *)(r.words + n);
    r.place = (he_place *)(void *)(r.wide + 2 * n);
    r.small = (int8_t *)(r.place + n);
    return r;
}

/* fn over [0, n), by the pool or here, with a room for every thread. */
static spx_status with_rooms(size_t poly_n, void **rooms, size_t *bytes, spx_pool *pool, size_t n,
                             spx_pool_fn fn, void *ctx)
{
    const size_t threads = pool != NULL ? (size_t)spx_pool_threads(pool) : 1;
    *bytes = threads * room_bytes(poly_n);
    SPX_RETURN_IF(spx_alloc(rooms, *bytes));
    if (pool != NULL) {
        spx_pool_run(pool, n, fn, ctx);
    } else if (n > 0) {
        fn(ctx, 0, 0, n);
    }
    spx_wipe(*rooms, *bytes);
    spx_free(*rooms);
    return SPX_OK;
}

/* x (coefficients) becomes x - a s, all primes, in values; a is public stream `index` of `seed`. */
static void hide(const spx_he_key *k, const spx_keystream *seed, uint64_t index, client_room *r)
{
    const he_params *p = k->params;
    const size_t n = p->set->n;
    for (int i = 0; i < HE_PRIMES; i++) {
        const uint64_t *const a[] = {r->a}, *const s[] = {k->minus_secret + (size_t)i * n};
        uint64_t *x = r->x + (size_t)i * n;
        he_uniform(p, seed, index, i, r->a, r->words);
        spx_ntt_forward(p->ntt[i], x);
        spx_ntt_dot(p->ntt[i], x, 1, a, s);
    }
}

/* sign * small, modulo every prime. */
static void lift(const he_params *p, const int8_t *small, int sign, uint64_t *out)
{
    const size_t n = p->set->n;
    for (int i = 0; i < HE_PRIMES; i++) {
        for (size_t j = 0; j < n; j++) {
            out[(size_t)i * n + j] = he_small((int8_t)(sign * small[j]), p->modq[i]->q);
        }
    }
}

static void draw_errors(const he_params *p, const spx_keystream *key, uint64_t index,
                        client_room *r)
{
    const size_t n = p->set->n;
    he_words(key, HE_ERROR, index, 0, r->words, n);
    spx_sample_cbd(r->small, r->words, n);
    lift(p, r->small, 1, r->x);
}

static void fill_key(spx_he_key *k, spx_prg *prg, client_room *r)
{
    const he_params *p = k->params;
    const size_t n = p->set->n;
    spx_keystream secret, public;
    spx_prg_bytes(prg, k->seed, sizeof k->seed);
    he_public_stream(&public, k->seed);
    he_secret_stream(&secret, prg);
    he_words(&secret, HE_SECRET, 0, 0, r->words, n);
    spx_sample_ternary(r->small, r->words, n);
    lift(p, r->small, -1, k->minus_secret);
    for (int i = 0; i < HE_PRIMES; i++) {
        spx_ntt_forward(p->ntt[i], k->minus_secret + (size_t)i * n);
    }
    draw_errors(p, &secret, 0, r);
    hide(k, &public, 0, r);
    memcpy(k->second, r->x, HE_PRIMES * n * sizeof *r->x);
    spx_wipe(&secret, sizeof secret);
}

spx_status spx_he_key_create(spx_he_key **out, int set, spx_prg *prg)
{
    spx_he_key *k;
    const he_params *p;
    spx_status st;
    void *block;
    client_room r;
    size_t n;
    *out = NULL;
    SPX_RETURN_IF(he_params_get(&p, set));
    n = p->set->n;
    k = calloc(1, sizeof *k);
    if (k == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "encryption key: %zu bytes", sizeof *k);
    }
    k->params = p;
    k->set = set;
    SPX_TRY(st, spx_secret_alloc(&block, 2 * HE_PRIMES * n * sizeof *k->second), fail);
    k->minus_secret = block;
    k->second = k->minus_secret + HE_PRIMES * n;
    SPX_TRY(st, spx_alloc(&block, room_bytes(n)), fail);
    r = room_at(block, n, 0);
    fill_key(k, prg, &r);
    spx_wipe(block, room_bytes(n));
    spx_free(block);
    *out = k;
    return SPX_OK;
fail:
    spx_he_key_destroy(k);
    return st;
}

void spx_he_key_destroy(spx_he_key *k)
{
    if (k != NULL) {
        spx_secret_free(k->minus_secret);
        free(k);
    }
}

size_t spx_he_public_bytes(int set)
{
    return set < 0 || set >= SPX_HE_SETS ? 0 : HE_SEED_BYTES + he_poly_bytes(&he_sets[set]);
}

void spx_he_key_public(const spx_he_key *k, uint8_t *out)
{
    memcpy(out, k->seed, HE_SEED_BYTES);
    he_write_poly(k->params, out + HE_SEED_BYTES, k->second);
}

typedef struct encryption {
    const spx_he_plan *p;
    const spx_he_key *k;
    spx_keystream errors;
    const spx_keystream *seeds; /* [queries] */
    const uint64_t *shares;
    uint8_t *request;
    void *rooms;
} encryption;

/* Adds round(q m / t) of every element that lies in polynomial (tile, group). */
static void add_shares(const spx_he_plan *p, const uint64_t *shares, int64_t tile, size_t group,
                       client_room *r)
{
    const size_t n = p->facts.n;
    const int64_t base = he_tile_base(p, tile);
    for (int64_t c = 0; c < p->per_in; c++) {
        const size_t i = group * (size_t)p->per_in + (size_t)c;
        const he_sub *s = &p->in[i];
        const spx_he_value *v;
        if (i >= p->in_n) {
            return;
        }
        v = &p->input[s->value];
        for (int64_t y = base < 0 ? 0 : base; y < base + p->in_rows && y < s->rows; y++) {
            const uint64_t *m = shares + p->input_at[s->value] +
                                (s->channel * v->h + y * s->split + s->py) * v->w + s->px;
            uint64_t *x = r->x + c * p->per_out * p->block + (y - base) * p->row;
            for (int64_t j = 0; j < s->cols; j++) {
                for (size_t q = 0; q < HE_PRIMES; q++) {
                    x[q * n + (size_t)j] =
                        spx_modq_add(x[q * n + (size_t)j], he_encode(p, (int)q, m[j * s->split]),
                                     p->params->modq[q]->q);
                }
            }
        }
    }
}

static void encrypt_polys(void *ctx, int worker, size_t begin, size_t end)
{
    const encryption *e = ctx;
    const spx_he_plan *p = e->p;
    const size_t polys = p->facts.request_polys, bytes = he_poly_bytes(p->params->set);
    client_room r = room_at(e->rooms, p->facts.n, worker);
    for (size_t i = begin; i < end; i++) {
        const size_t query = i / polys, poly = i % polys;
        draw_errors(p->params, &e->errors, i, &r);
        add_shares(p, e->shares + query * p->facts.input_elements,
                   (int64_t)(poly % (size_t)p->tiles), poly / (size_t)p->tiles, &r);
        hide(e->k, &e->seeds[query], poly, &r);
        he_write_poly(p->params,
                      e->request + query * p->facts.request_bytes + HE_SEED_BYTES + poly * bytes,
                      r.x);
    }
}

static spx_status check_set(const spx_he_plan *p, int set, size_t queries)
{
    if (set != p->facts.set || queries < 1) {
        return SPX_FAIL(SPX_EINVAL, "%zu queries, a key of parameter set %d; the plan wants set %d",
                        queries, set, p->facts.set);
    }
    return SPX_OK;
}

spx_status spx_he_encrypt(const spx_he_plan *p, const spx_he_key *k, spx_prg *prg, size_t queries,
                          const uint64_t *shares, uint8_t *request, spx_pool *pool)
{
    encryption e = {.p = p, .k = k, .shares = shares, .request = request};
    spx_keystream *seeds;
    void *block;
    size_t bytes;
    spx_status st;
    SPX_RETURN_IF(check_set(p, k->set, queries));
    SPX_RETURN_IF(spx_calloc(&block, queries, sizeof *seeds));
    e.seeds = seeds = block;
    he_secret_stream(&e.errors, prg);
    for (size_t i = 0; i < queries; i++) {
        uint8_t *seed = request + i * p->facts.request_bytes;
        spx_prg_bytes(prg, seed, HE_SEED_BYTES);
        he_public_stream(&seeds[i], seed);
    }
    st = with_rooms(p->facts.n, &e.rooms, &bytes, pool, queries * p->facts.request_polys,
                    encrypt_polys, &e);
    spx_wipe(&e.errors, sizeof e.errors);
    spx_free(seeds);
    return st;
}

typedef struct decryption {
    const spx_he_plan *p;
    const spx_he_key *k;
    const uint8_t *response;
    uint64_t *shares;
    void *rooms;
    int primes; /* enough for the product of a response and the secret */
} decryption;

/* r->x: coefficients of -(a s) by residues; a of first_bits bits at in. */
static void times_secret(const decryption *d, const uint8_t *in, client_room *r)
{
    const he_params *p = d->p->params;
    const size_t n = p->set->n;
    he_unpack_wide(r->wide, in, n, d->p->facts.first_bits);
    memset(r->x, 0, HE_PRIMES * n * sizeof *r->x);
    for (int i = 0; i < d->primes; i++) {
        const uint64_t *const a[] = {r->a}, *const s[] = {d->k->minus_secret + (size_t)i * n};
        uint64_t *x = r->x + (size_t)i * n;
        for (size_t j = 0; j < n; j++) {
            r->a[j] = spx_modq_reduce_wide(r->wide[j], p->modq[i]);
        }
        spx_ntt_forward(p->ntt[i], r->a);
        spx_ntt_dot(p->ntt[i], x, 1, a, s);
        spx_ntt_inverse(p->ntt[i], x);
    }
}

static void decrypt_response(const decryption *d, size_t response, const uint8_t *in,
                             uint64_t *shares, client_room *r)
{
    const spx_he_plan *p = d->p;
    const spx_he_facts *f = &p->facts;
    const size_t tiles = (size_t)p->tiles, n = f->n;
    const size_t count = he_returned(p, response / tiles, (int64_t)(response % tiles), r->place);
    const int k = f->first_bits, drop = k - f->second_bits;
    const spx_u128 half = he_shift_right((spx_u128){(uint64_t)1 << 63, 0}, 128 - k + p->l);
    times_secret(d, in, r);
    in += he_wide_bytes(n, k);
    he_unpack_wide(r->wide, in, count, f->second_bits);
    for (size_t j = 0; j < count; j++) {
        uint64_t x[HE_PRIMES];
        spx_u128 m = he_shift_left(r->wide[j], drop);
        for (size_t i = 0; i < HE_PRIMES; i++) {
            x[i] = r->x[i * n + r->place[j].coefficient];
        }
        m = spx_u128_add(m, he_negate(he_lift(p->params, d->primes, x)));
        m = he_shift_right(he_low_bits(spx_u128_add(m, half), k), k - p->l);
        shares[r->place[j].element] = m.lo;
    }
}

static void decrypt_responses(void *ctx, int worker, size_t begin, size_t end)
{
    const decryption *d = ctx;
    const spx_he_facts *f = &d->p->facts;
    client_room r = room_at(d->rooms, f->n, worker);
    for (size_t i = begin; i < end; i++) {
        const size_t query = i / f->response_polys, response = i % f->response_polys;
        decrypt_response(d, response,
                         d->response + query * f->response_bytes + d->p->response_at[response],
                         d->shares + query * f->output_elements, &r);
    }
}

spx_status spx_he_decrypt(const spx_he_plan *p, const spx_he_key *k, size_t queries,
                          const uint8_t *response, size_t size, uint64_t *shares, spx_pool *pool)
{
    decryption d = {.p = p, .k = k, .response = response, .shares = shares};
    const he_set *s = p->params->set;
    int have = 0;
    size_t bytes;
    SPX_RETURN_IF(check_set(p, k->set, queries));
    if (size / queries != p->facts.response_bytes || size % queries != 0) {
        return SPX_FAIL(SPX_EFORMAT, "response of %zu bytes, expected %zu times %zu", size, queries,
                        p->facts.response_bytes);
    }
    while (have < p->facts.first_bits + 16) { /* n 2^k < Q / 4, with n at most 2^13 */
        have += s->bits[d.primes++];
    }
    return with_rooms(p->facts.n, &d.rooms, &bytes, pool, queries * p->facts.response_polys,
                      decrypt_responses, &d);
}
