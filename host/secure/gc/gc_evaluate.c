/* The evaluator's pass over a group: the garbler's, with the labels it has. */
#include "host/secure/gc/gc_private.h"

typedef struct reader {
    const group *g;
    scratch *s;
    const spx_block *rows;
    size_t key;
} reader;

static void hash(reader *r, const spx_block *label)
{
    r->g->k->hash(&r->s->key[r->key++], label, r->s->hash[0], r->g->lanes);
}

static void known_and(reader *r, const spx_block *y, spx_block *out)
{
    hash(r, y);
    for (size_t v = 0; v < r->g->lanes; v++) {
        const spx_block row = spx_block_and(r->rows[v], spx_ct_mask(y[v].w[0]));
        out[v] = spx_block_xor(r->s->hash[0][v], row);
    }
    r->rows += r->g->lanes;
}

static void and_gate(reader *r, const spx_block *a, const spx_block *b, const spx_block *x,
                     spx_block *out)
{
    r->g->k->evaluate_and(&r->s->key[r->key], r->g->lanes, a, b, x, r->rows, out);
    r->rows += 2 * r->g->lanes;
    r->key += 2;
}

static void add(reader *r, const spx_block *y)
{
    const circuit *c = r->g->c;
    const size_t lanes = r->g->lanes;
    scratch *s = r->s;
    if (c->f == 0) {
        xor_lanes(lanes, y, s->none, s->sum[0]);
    }
    known_and(r, y, s->carry);
    for (int i = 1; i < c->l - 1; i++) {
        spx_block *sum = sum_of(s, c, i);
        y += lanes;
        xor_lanes(lanes, y, s->carry, sum);
        and_gate(r, s->carry, sum, s->carry, s->carry);
    }
    xor_lanes(lanes, y + lanes, s->carry, sum_of(s, c, c->l - 1));
}

static void project(reader *r, const spx_block *label)
{
    scratch *s = r->s;
    hash(r, label);
    for (size_t v = 0; v < r->g->lanes; v++) {
        const uint64_t mask = spx_ct_mask(label[v].w[0]);
        s->total[v][0] += s->hash[0][v].w[0] + (r->rows[v].w[0] & mask);
        s->total[v][1] += s->hash[0][v].w[1] + (r->rows[v].w[1] & mask);
    }
    r->rows += r->g->lanes;
}

static void finish(reader *r, uint64_t *out)
{
    const uint64_t *last = (const uint64_t *)(const void *)(r->rows + r->g->lanes);
    scratch *s = r->s;
    hash(r, s->p);
    for (size_t v = 0; v < r->g->lanes; v++) {
        const uint64_t mask = spx_ct_mask(s->p[v].w[0]);
        s->total[v][0] += s->hash[0][v].w[0] + ((s->total[v][1] + r->rows[v].w[0]) & mask);
    }
    hash(r, s->pos);
    for (size_t v = 0; v < r->g->valid; v++) {
        const uint64_t mask = spx_ct_mask(s->pos[v].w[0]);
        out[v] = s->total[v][0] + s->hash[0][v].w[0] + (r->rows[v].w[1] & mask) + last[v];
    }
}

void gc_evaluate_group(const group *g, scratch *s, const spx_block *labels, uint64_t *out)
{
    const circuit *c = g->c;
    reader r = {.g = g, .s = s, .rows = (const spx_block *)(const void *)g->rows_in};
    add(&r, labels);
    xor_lanes(g->lanes, s->sum[c->l - 1 - c->f], s->none, s->pos);
    xor_lanes(g->lanes, s->pos, s->none, s->p);
    for (int i = c->f + c->a; i < c->l - 1; i++) {
        and_gate(&r, s->p, s->sum[i - c->f], s->none, s->p);
    }
    for (size_t v = 0; v < g->lanes; v++) {
        s->total[v][0] = s->total[v][1] = 0;
    }
    for (int i = 0; i < c->a; i++) {
        project(&r, s->sum[i]);
    }
    finish(&r, out);
}
