/* The garbler's pass over a group; gc.h has the circuit. "Zero" is a wire's label of value 0. */
#include "host/secure/gc/gc_private.h"

/* The group's rows and keys are used up in order. */
typedef struct writer {
    const group *g;
    scratch *s;
    spx_block delta;
    spx_block *rows;
    size_t key;
} writer;

static void trace(const writer *w, size_t key, const spx_block *input)
{
#if defined(SPX_GC_TRACE)
    for (size_t v = 0; v < w->g->lanes; v++) {
        const spx_block both[2] = {input[v], spx_block_xor(input[v], w->delta)};
        spx_gc_trace(&w->s->tweak[key], both, 2);
    }
#else
    (void)w, (void)key, (void)input;
#endif
}

/* s->hash[0], [1] = hashes of the labels of 0 and of 1, by the next key. */
static void hash_both(writer *w, const spx_block *zero)
{
    scratch *s = w->s;
    trace(w, w->key, zero);
    for (size_t v = 0; v < w->g->lanes; v++) {
        s->other[v] = spx_block_xor(zero[v], w->delta);
    }
    w->g->k->hash(&s->key[w->key], zero, s->hash[0], w->g->lanes);
    w->g->k->hash(&s->key[w->key], s->other, s->hash[1], w->g->lanes);
    w->key++;
}

/* The same by colour, the label's lowest bit: first the hash of the label of colour 0. */
static void hash_by_colour(writer *w, const spx_block *zero)
{
    hash_both(w, zero);
    for (size_t v = 0; v < w->g->lanes; v++) {
        const uint64_t mask = spx_ct_mask(zero[v].w[0]);
        const spx_block h0 = w->s->hash[0][v], h1 = w->s->hash[1][v];
        const spx_block swap = spx_block_and(spx_block_xor(h0, h1), mask);
        w->s->hash[0][v] = spx_block_xor(h0, swap);
        w->s->hash[1][v] = spx_block_xor(h1, swap);
    }
}

static void flip(const writer *w, const spx_block *in, uint64_t bits, spx_block *out)
{
    w->g->k->flip(in, (const uint8_t *)&bits, w->delta, out, w->g->lanes);
}

/* A garbler's half gate: out = zero of y c, c the garbler's. */
static void known_and(writer *w, const spx_block *y, uint64_t c, spx_block *out)
{
    hash_both(w, y);
    for (size_t v = 0; v < w->g->lanes; v++) {
        const spx_block h = w->s->hash[0][v];
        const spx_block row = spx_block_xor(spx_block_xor(h, w->s->hash[1][v]),
                                            spx_block_and(w->delta, spx_ct_mask(c >> v)));
        w->rows[v] = row;
        out[v] = spx_block_xor(h, spx_block_and(row, spx_ct_mask(y[v].w[0])));
    }
    w->rows += w->g->lanes;
}

/* out = zero of x ^ a (b ^ flips). */
static void and_gate(writer *w, const spx_block *a, uint64_t flip_a, const spx_block *b,
                     uint64_t flip_b, const spx_block *x, spx_block *out)
{
    const group *g = w->g;
    trace(w, w->key, a);
    trace(w, w->key + 1, b);
    g->k->garble_and(&w->s->key[w->key], g->lanes, w->delta, a, flip_a, b, flip_b, x, out, w->rows);
    w->rows += 2 * g->lanes;
    w->key += 2;
}

/* The sum's bits f..l-1 without the garbler's own (s->sum), by the carries. */
static void add(writer *w, const spx_block *y)
{
    const circuit *c = w->g->c;
    const size_t lanes = w->g->lanes;
    scratch *s = w->s;
    if (c->f == 0) {
        xor_lanes(lanes, y, s->none, s->sum[0]);
    }
    known_and(w, y, s->bits[0], s->carry);
    for (int i = 1; i < c->l - 1; i++) {
        spx_block *sum = sum_of(s, c, i);
        y += lanes;
        xor_lanes(lanes, y, s->carry, sum);
        and_gate(w, s->carry, s->bits[i], sum, 0, s->carry, s->carry);
    }
    xor_lanes(lanes, y + lanes, s->carry, sum_of(s, c, c->l - 1));
}

/*
 * One row a lane projects bit i of X onto the pair coefficient << i. The evaluator adds what it
 * gets; the masks add up in s->total.
 */
static void project(writer *w, const spx_block *zero, int i)
{
    scratch *s = w->s;
    hash_by_colour(w, zero);
    for (size_t v = 0; v < w->g->lanes; v++) {
        const uint64_t mask = spx_ct_mask(zero[v].w[0]); /* colour 0 means the bit is 1 */
        for (int k = 0; k < 2; k++) {
            const uint64_t value = s->coefficient[v][k] << i, h = s->hash[0][v].w[k];
            w->rows[v].w[k] = h - s->hash[1][v].w[k] + ((value ^ mask) - mask);
            s->total[v][k] += h - (value & mask);
        }
    }
    w->rows += w->g->lanes;
}

/* The rows of p and of pos, and the element that makes all masks into r. */
static void finish(writer *w, const uint64_t *r)
{
    const uint64_t most = ((uint64_t)1 << w->g->c->a) - 1;
    const size_t lanes = w->g->lanes;
    scratch *s = w->s;
    uint64_t *last = (uint64_t *)(void *)(w->rows + lanes);
    hash_by_colour(w, s->p);
    for (size_t v = 0; v < lanes; v++) {
        const uint64_t rho = spx_ct_mask(s->p[v].w[0]), saturated = (most ^ ~rho) - ~rho;
        const uint64_t h = s->hash[0][v].w[0];
        w->rows[v].w[0] = h - s->hash[1][v].w[0] - s->total[v][1] + saturated;
        last[v] = s->total[v][0] + h + (most & rho);
    }
    hash_by_colour(w, s->pos);
    for (size_t v = 0; v < lanes; v++) {
        const uint64_t mask = spx_ct_mask(s->pos[v].w[0]), h = s->hash[0][v].w[0];
        w->rows[v].w[1] = h - s->hash[1][v].w[0] + ((most ^ mask) - mask);
        last[v] = 0 - last[v] - (h - (most & mask)) - (v < w->g->valid ? r[v] : 0);
    }
}

void gc_garble_group(const group *g, scratch *s, spx_block delta, const spx_block *zero,
                     const uint64_t *r)
{
    const circuit *c = g->c;
    writer w = {.g = g, .s = s, .delta = delta, .rows = (spx_block *)(void *)g->rows};
    add(&w, zero);
    flip(&w, s->sum[c->l - 1 - c->f], ~s->bits[c->l - 1], s->pos);
    xor_lanes(g->lanes, s->pos, s->none, s->p);
    for (int i = c->f + c->a; i < c->l - 1; i++) {
        and_gate(&w, s->p, 0, s->sum[i - c->f], ~s->bits[i], s->none, s->p);
    }
    for (size_t v = 0; v < g->lanes; v++) {
        const uint64_t rho = s->p[v].w[0] & 1;
        s->coefficient[v][0] = rho;
        s->coefficient[v][1] = 1 - 2 * rho;
        s->total[v][0] = s->total[v][1] = 0;
    }
    for (int i = 0; i < c->a; i++) {
        flip(&w, s->sum[i], s->bits[c->f + i], s->wire);
        project(&w, s->wire, i);
    }
    finish(&w, r);
    spx_wipe(&w.delta, sizeof w.delta);
}
