#include "tests/secure/gc_twin.h"

#include "kernels/crypto/ct.h"

#include <string.h>

/* One ReLU of one side. */
typedef struct one {
    int l, f, a;
    spx_block delta, start;
    uint64_t domain, group;
    uint64_t key;       /* number of the next */
    size_t lanes, lane; /* rows of a group's lanes lie beside each other */
    uint8_t *rows;      /* of the group, as far as used */
    const uint8_t *rows_in;
} one;

static spx_block hash(one *o, spx_block x)
{
    const spx_block key = {{o->start.w[0] ^ (o->group << 16 | o->key), o->start.w[1] ^ o->domain}};
    const spx_block s = {{x.w[1], x.w[0] ^ x.w[1]}};
    spx_aes_key k;
    spx_block y;
    spx_aes_expand(&k, &key, 1);
    spx_aes_encrypt(&k, &s, &y, 1);
    return spx_block_xor(y, s);
}

static spx_block label(const one *o, spx_block zero, int value)
{
    return value ? spx_block_xor(zero, o->delta) : zero;
}

static int colour(spx_block x)
{
    return (int)(x.w[0] & 1);
}

static void put(one *o, spx_block row)
{
    memcpy(o->rows + 16 * o->lane, &row, 16);
    o->rows += 16 * o->lanes;
}

static spx_block get(one *o)
{
    spx_block row;
    memcpy(&row, o->rows_in + 16 * o->lane, 16);
    o->rows_in += 16 * o->lanes;
    return row;
}

/* A garbler's half gate for value & known: the row is the hash's difference of the two outcomes. */
static spx_block garble_half(one *o, spx_block a, int known)
{
    const spx_block h0 = hash(o, a), h1 = hash(o, label(o, a, 1));
    const spx_block row = label(o, spx_block_xor(h0, h1), known);
    put(o, row);
    o->key++;
    return colour(a) ? spx_block_xor(h0, row) : h0;
}

static spx_block garble_and(one *o, spx_block a, spx_block b)
{
    const spx_block g = garble_half(o, a, colour(b));
    const spx_block h0 = hash(o, b), h1 = hash(o, label(o, b, 1));
    const spx_block row = spx_block_xor(spx_block_xor(h0, h1), a);
    put(o, row);
    o->key++;
    return spx_block_xor(g, colour(b) ? h1 : h0);
}

static spx_block evaluate_half(one *o, spx_block a)
{
    const spx_block row = get(o), h = hash(o, a);
    o->key++;
    return colour(a) ? spx_block_xor(h, row) : h;
}

static spx_block evaluate_and(one *o, spx_block a, spx_block b)
{
    const spx_block g = evaluate_half(o, a);
    const spx_block row = get(o), h = hash(o, b);
    o->key++;
    return spx_block_xor(g, colour(b) ? spx_block_xor(h, spx_block_xor(row, a)) : h);
}

/*
 * A projection: what stands for values 0 and 1 becomes a number of its own for each colour's
 * holder, his hash alone (colour 0) or plus the row (colour 1), and both are off by *mask.
 */
static uint64_t garble_projection(one *o, spx_block zero, int half, const uint64_t value[2],
                                  uint64_t *mask)
{
    uint64_t h[2], worth[2];
    for (int v = 0; v < 2; v++) {
        const spx_block x = label(o, zero, v);
        h[colour(x)] = hash(o, x).w[half];
        worth[colour(x)] = value[v];
    }
    *mask += h[0] - worth[0];
    return worth[1] + (h[0] - worth[0]) - h[1];
}

static void garble_one(one *o, const spx_block *y, uint64_t c, uint64_t r)
{
    const uint64_t most = ((uint64_t)1 << o->a) - 1;
    spx_block x[64], carry = {{0, 0}}, pos, p, row, none = {{0, 0}};
    uint64_t u = 0, v = 0, w = 0, last;
    for (int i = 0; i < o->l; i++) {
        const int known = (int)(c >> i & 1);
        const spx_block sum = spx_block_xor(y[(size_t)i * o->lanes], carry);
        x[i] = label(o, sum, known); /* exclusive or with a known 1: labels change places */
        if (i == 0) {
            carry = garble_half(o, sum, known);
        } else if (i < o->l - 1) {
            carry = spx_block_xor(carry, garble_and(o, label(o, carry, known), sum));
        }
    }
    pos = p = label(o, x[o->l - 1], 1);
    for (int i = o->f + o->a; i < o->l - 1; i++) {
        p = garble_and(o, p, label(o, x[i], 1));
    }
    for (int i = 0; i < o->a; i++) {
        const uint64_t rho = (uint64_t)colour(p), low[2] = {0, rho << i};
        const uint64_t high[2] = {0, (1 - 2 * rho) << i};
        row.w[0] = garble_projection(o, x[o->f + i], 0, low, &u);
        row.w[1] = garble_projection(o, x[o->f + i], 1, high, &v);
        put(o, row);
        o->key++;
    }
    {
        /* p = value; its holder of colour 1 also adds v's sum, whose mask comes off here. */
        const uint64_t worth[2] = {0, 0 - most};
        row = none;
        row.w[0] = garble_projection(o, p, 0, worth, &w) - v;
        o->key++;
    }
    {
        const uint64_t worth[2] = {0, most};
        row.w[1] = garble_projection(o, pos, 0, worth, &w);
        o->key++;
    }
    put(o, row);
    last = 0 - r - u - w;
    memcpy(o->rows + 8 * o->lane, &last, 8);
}

static uint64_t evaluate_one(one *o, const spx_block *y)
{
    spx_block sum[64], carry = {{0, 0}}, pos, p, row;
    uint64_t u = 0, v = 0, last;
    for (int i = 0; i < o->l; i++) {
        sum[i] = spx_block_xor(y[(size_t)i * o->lanes], carry);
        if (i == 0) {
            carry = evaluate_half(o, sum[i]);
        } else if (i < o->l - 1) {
            carry = spx_block_xor(carry, evaluate_and(o, carry, sum[i]));
        }
    }
    pos = p = sum[o->l - 1];
    for (int i = o->f + o->a; i < o->l - 1; i++) {
        p = evaluate_and(o, p, sum[i]);
    }
    for (int i = 0; i < o->a; i++) {
        const spx_block h = hash(o, sum[o->f + i]);
        row = get(o);
        o->key++;
        u += h.w[0] + (colour(sum[o->f + i]) ? row.w[0] : 0);
        v += h.w[1] + (colour(sum[o->f + i]) ? row.w[1] : 0);
    }
    row = get(o);
    u += hash(o, p).w[0] + (colour(p) ? v + row.w[0] : 0);
    o->key++;
    u += hash(o, pos).w[0] + (colour(pos) ? row.w[1] : 0);
    memcpy(&last, o->rows_in + 8 * o->lane, 8);
    return u + last;
}

static one begin(const spx_gc_batch *b, spx_block start, size_t i)
{
    const spx_gc_params *p = &b->params;
    const int most = p->l - 1 - p->f;
    const size_t group = i / 64, left = b->n - 64 * group;
    one o = {.l = p->l, .f = p->f, .a = p->a < most ? p->a : most, .start = start};
    o.domain = b->domain;
    o.group = b->first / 64 + group;
    o.lanes = left >= 64 ? 64 : (left + 7) / 8 * 8;
    o.lane = i % 64;
    return o;
}

void gc_twin_garble(const spx_gc_batch *b, const spx_gc_key *key, const spx_block *zero,
                    const uint64_t *c, const uint64_t *r, uint8_t *tables)
{
    const size_t bytes = spx_gc_table_bytes(&b->params, 8) / 8;
    for (size_t i = 0; i < (b->n + 7) / 8 * 8; i++) { /* padding is garbled too, for 0 */
        one o = begin(b, key->start, i);
        o.delta = key->delta;
        o.rows = tables + i / 64 * 64 * bytes;
        garble_one(&o, zero + i / 64 * 64 * (size_t)o.l + o.lane, i < b->n ? c[i] : 0,
                   i < b->n ? r[i] : 0);
    }
}

void gc_twin_evaluate(const spx_gc_batch *b, spx_block start, const spx_block *labels,
                      const uint8_t *tables, uint64_t *out)
{
    const size_t bytes = spx_gc_table_bytes(&b->params, 8) / 8;
    for (size_t i = 0; i < b->n; i++) {
        one o = begin(b, start, i);
        o.rows_in = tables + i / 64 * 64 * bytes;
        out[i] = evaluate_one(&o, labels + i / 64 * 64 * (size_t)o.l + o.lane);
    }
}

uint64_t gc_twin_relu(const spx_gc_params *p, uint64_t c, uint64_t s)
{
    const uint64_t x = (c + s) << (64 - p->l), most = ((uint64_t)1 << p->a) - 1;
    int64_t v = (int64_t)x >> (64 - p->l) >> p->f;
    v = v < 0 ? 0 : v;
    return (uint64_t)v > most ? most : (uint64_t)v;
}
