#include "host/secure/gc/gc.h"

#include "host/secure/gc/gc_private.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/transpose.h"

#include <string.h>

void spx_gc_key_draw(spx_gc_key *key, spx_prg *prg)
{
    spx_prg_bytes(prg, key, sizeof *key);
    key->delta.w[0] |= 1;
}

spx_status spx_gc_check(const spx_gc_params *p)
{
    if (p->l < 2 || p->l > MAX_BITS) {
        return SPX_FAIL(SPX_EINVAL, "garbled ReLU: %d bits, 2 to 64 are possible", p->l);
    }
    if (p->f < 0 || p->f > p->l - 2) {
        return SPX_FAIL(SPX_EINVAL, "garbled ReLU: %d of %d bits dropped, 0 to %d are possible",
                        p->f, p->l, p->l - 2);
    }
    if (p->a < 1 || p->a > 32) {
        return SPX_FAIL(SPX_EINVAL, "garbled ReLU: %d bits kept, 1 to 32 are possible", p->a);
    }
    return SPX_OK;
}

static circuit circuit_of(const spx_gc_params *p)
{
    const int most = p->l - 1 - p->f;
    circuit c = {.l = p->l, .f = p->f, .a = p->a < most ? p->a : most};
    c.t = most - c.a;
    c.keys = (size_t)(1 + 2 * (c.l - 2 + c.t) + c.a + 2);
    c.row_blocks = (size_t)(1 + 2 * (c.l - 2 + c.t) + c.a + 1);
    return c;
}

/* ReLUs with padding; 0 if that overflows anything below (more than 2^40). */
static size_t padded(size_t n)
{
    return n <= (size_t)1 << 40 ? (n + 7) / 8 * 8 : 0;
}

size_t spx_gc_ands(const spx_gc_params *p)
{
    const circuit c = circuit_of(p);
    return (size_t)(c.l - 1 + c.t);
}

size_t spx_gc_wires(const spx_gc_params *p, size_t n)
{
    return padded(n) * (size_t)p->l;
}

static size_t relu_bytes(const circuit *c)
{
    return c->row_blocks * sizeof(spx_block) + sizeof(uint64_t);
}

size_t spx_gc_table_bytes(const spx_gc_params *p, size_t n)
{
    const circuit c = circuit_of(p);
    return padded(n) * relu_bytes(&c);
}

/* Up to 64 words of a group, bit by bit: word i of bits has lane v's bit i; padding is 0. */
static void words_to_bits(const uint64_t *words, size_t n, uint64_t bits[64])
{
    memset(bits, 0, 64 * sizeof *bits);
    memcpy(bits, words, n * sizeof *words);
    spx_transpose_64(bits, bits);
}

void spx_gc_input_bits(const spx_gc_params *p, size_t n, const uint64_t *words, uint8_t *bits)
{
    uint64_t transposed[64];
    for (size_t done = 0; done < n; done += LANES) {
        const size_t valid = n - done < LANES ? n - done : LANES, bytes = padded(valid) / 8;
        words_to_bits(words + done, valid, transposed);
        for (int i = 0; i < p->l; i++) {
            memcpy(bits, &transposed[i], bytes);
            bits += bytes;
        }
    }
    spx_wipe(transposed, sizeof transposed);
}

/* A call's arguments for the threads. */
typedef struct job {
    const spx_gc_batch *b;
    circuit c;
    const spx_crypto_kernels *k;
    scratch *scratch; /* one a thread */
    spx_block start, delta;
    const spx_block *wires;
    const uint64_t *share, *r;
    uint64_t *out;
    uint8_t *tables;
    const uint8_t *tables_in;
} job;

static void make_keys(const job *j, scratch *s, uint64_t number)
{
    for (size_t i = 0; i < j->c.keys; i++) {
        s->tweak[i].w[0] = j->start.w[0] ^ (number << 16 | i);
        s->tweak[i].w[1] = j->start.w[1] ^ j->b->domain;
    }
    j->k->expand(s->key, s->tweak, j->c.keys);
}

static void run_groups(void *ctx, int worker, size_t begin, size_t end)
{
    const job *j = ctx;
    scratch *s = &j->scratch[worker];
    for (size_t i = begin; i < end; i++) {
        const size_t at = i * LANES, valid = j->b->n - at < LANES ? j->b->n - at : LANES;
        const size_t offset = at * relu_bytes(&j->c);
        const spx_block *wires = j->wires + at * (size_t)j->c.l;
        group g = {.k = j->k, .c = &j->c, .lanes = padded(valid), .valid = valid};
        make_keys(j, s, j->b->first / LANES + i);
        if (j->tables != NULL) {
            g.rows = j->tables + offset;
            words_to_bits(j->share + at, valid, s->bits);
            gc_garble_group(&g, s, j->delta, wires, j->r + at);
        } else {
            g.rows_in = j->tables_in + offset;
            gc_evaluate_group(&g, s, wires, j->out + at);
        }
    }
}

static spx_status run(job *j)
{
    const size_t groups = (j->b->n + LANES - 1) / LANES;
    const int threads = j->b->pool == NULL ? 1 : spx_pool_threads(j->b->pool);
    void *memory;
    SPX_RETURN_IF(spx_calloc(&memory, (size_t)threads, sizeof(scratch)));
    j->scratch = memory;
    j->c = circuit_of(&j->b->params);
    j->k = spx_crypto_table();
    if (j->b->pool == NULL) {
        run_groups(j, 0, 0, groups);
    } else {
        spx_pool_run(j->b->pool, groups, run_groups, j);
    }
    spx_wipe(memory, (size_t)threads * sizeof(scratch));
    spx_free(memory);
    return SPX_OK;
}

static spx_status check_batch(const spx_gc_batch *b, const uint8_t *tables)
{
    SPX_RETURN_IF(spx_gc_check(&b->params));
    if (b->first % LANES != 0 || b->first > (size_t)1 << 40) {
        return SPX_FAIL(SPX_EINVAL, "garbled ReLU: a batch begins at %zu, not a multiple of %d",
                        b->first, LANES);
    }
    if (b->n > (size_t)1 << 40 || (uintptr_t)tables % sizeof(spx_block) != 0) {
        return SPX_FAIL(SPX_EINVAL, "garbled ReLU: %zu of them, tables at %p", b->n,
                        (const void *)tables);
    }
    return SPX_OK;
}

spx_status spx_gc_garble(const spx_gc_batch *b, const spx_gc_key *key, const spx_block *zero,
                         const uint64_t *c, const uint64_t *r, uint8_t *tables)
{
    job j = {.b = b, .wires = zero, .share = c, .r = r, .tables = tables};
    spx_status st;
    SPX_RETURN_IF(check_batch(b, tables));
    if ((key->delta.w[0] & 1) == 0) {
        return SPX_FAIL(SPX_EINVAL, "garbled ReLU: delta's lowest bit must be 1");
    }
    j.start = key->start;
    j.delta = key->delta;
    st = b->n == 0 ? SPX_OK : run(&j);
    spx_wipe(&j.delta, sizeof j.delta);
    return st;
}

spx_status spx_gc_evaluate(const spx_gc_batch *b, spx_block start, const spx_block *labels,
                           const uint8_t *tables, size_t n_tables, uint64_t *out)
{
    job j = {.b = b, .start = start, .wires = labels, .tables_in = tables, .out = out};
    SPX_RETURN_IF(check_batch(b, tables));
    if (n_tables != spx_gc_table_bytes(&b->params, b->n)) {
        return SPX_FAIL(SPX_EFORMAT, "garbled ReLU: %zu bytes of tables, expected %zu", n_tables,
                        spx_gc_table_bytes(&b->params, b->n));
    }
    return b->n == 0 ? SPX_OK : run(&j);
}
