/* ReLU layers: which elements which circuit evaluates, chunk by chunk. */
#include "host/secure/infer/pi_private.h"

#include <stdlib.h>

spx_pi_chunk spx_pi_chunk_of(const spx_pi_relu *r, int k)
{
    spx_pi_chunk c = {.first = (size_t)k * SPX_PI_CHUNK};
    c.n = r->n - c.first < SPX_PI_CHUNK ? r->n - c.first : SPX_PI_CHUNK;
    c.wires = spx_gc_wires(&r->gc, c.n);
    c.table_bytes = spx_gc_table_bytes(&r->gc, c.n);
    c.begin = r->begin != NULL ? r->begin[k] : c.first;
    return c;
}

/* The next element from `at` that r's circuit evaluates. */
static size_t next_of(const spx_deploy_op *op, const spx_pi_relu *r, size_t at)
{
    while (spx_deploy_keeps(op, at) == r->dropped) {
        at++;
    }
    return at;
}

int spx_pi_layer_end(const spx_pi_plan *p, int relu)
{
    const int op = p->relu[relu].op;
    while (relu < p->n_relus && p->relu[relu].op == op) {
        relu++;
    }
    return relu;
}

const uint64_t *spx_pi_gather(const spx_deploy *m, const spx_pi_relu *r, const spx_pi_chunk *k,
                              bool add, const int64_t *from, uint64_t *room)
{
    const spx_deploy_op *op = &m->op[r->op];
    size_t at = k->begin;
    if (r->begin == NULL) {
        return (const uint64_t *)from + k->first;
    }
    for (size_t i = 0; i < k->n; i++) {
        at = next_of(op, r, at);
        room[i] = (uint64_t)from[at++] + (add ? r->add : 0);
    }
    return room;
}

void spx_pi_scatter(const spx_deploy *m, const spx_pi_relu *r, const spx_pi_chunk *k,
                    const uint64_t *from, int64_t *to)
{
    const spx_deploy_op *op = &m->op[r->op];
    size_t at = k->begin;
    for (size_t i = 0; i < k->n && r->begin != NULL; i++) {
        at = next_of(op, r, at);
        to[at++] = (int64_t)(from[i] - r->take);
    }
}

static spx_status find_begins(const spx_deploy_op *op, spx_pi_relu *r)
{
    size_t at = 0;
    r->begin = calloc((size_t)r->chunks, sizeof *r->begin);
    if (r->begin == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%d chunks", r->chunks);
    }
    for (int k = 0; k < r->chunks; k++) {
        r->begin[k] = at;
        for (size_t i = spx_pi_chunk_of(r, k).n; i > 0; i--) {
            at = next_of(op, r, at) + 1;
        }
    }
    return SPX_OK;
}

/* The part of a segment's ReLU layer that one circuit evaluates, if it has any elements. */
static spx_status add_relu(spx_pi_plan *p, int segment, bool dropped)
{
    const spx_deploy *m = p->model;
    const spx_deploy_op *op = &m->op[m->relu[segment]];
    const size_t all = spx_deploy_count(m, op->out), none = (size_t)op->dropped;
    spx_pi_relu *r = &p->relu[p->n_relus];
    *r = (spx_pi_relu){.op = m->relu[segment],
                       .in = op->in,
                       .out = op->out,
                       .segment = segment,
                       .gc = {.l = op->width, .f = op->shift, .a = op->bits + dropped},
                       .add = dropped ? (uint64_t)1 << (op->shift + op->bits) : 0,
                       .take = dropped ? (uint64_t)1 << op->bits : 0,
                       .dropped = dropped,
                       .n = dropped ? none : all - none,
                       .choice = p->choices};
    if (r->n == 0) {
        return SPX_OK;
    }
    p->n_relus++;
    SPX_RETURN_IF(spx_gc_check(&r->gc));
    r->chunks = (int)((r->n + SPX_PI_CHUNK - 1) / SPX_PI_CHUNK);
    for (int k = 0; k < r->chunks; k++) {
        const spx_pi_chunk c = spx_pi_chunk_of(r, k);
        r->wires += c.wires;
        r->table_bytes += c.table_bytes;
    }
    p->choices += r->wires / 8;
    return none > 0 ? find_begins(op, r) : SPX_OK;
}

spx_status spx_pi_plan_relus(spx_pi_plan *p)
{
    const int layers = p->model->n_segments - 1;
    p->relu = calloc(2 * (size_t)layers + 1, sizeof *p->relu);
    if (p->relu == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%d ReLU layers", layers);
    }
    for (int i = 0; i < layers; i++) {
        SPX_RETURN_IF(add_relu(p, i, false));
        SPX_RETURN_IF(add_relu(p, i, true));
    }
    return SPX_OK;
}
