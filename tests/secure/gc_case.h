#ifndef SPX_TEST_GC_CASE_H
#define SPX_TEST_GC_CASE_H
/* One batch of garbled ReLUs with everything both sides hold, for the tests. */
#include "host/secure/gc/gc.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/ct.h"
#include "tests/support/prg_seeded.h"
#include "tests/support/spx_test.h"

typedef struct gc_case {
    spx_gc_batch b;
    spx_gc_key key;
    size_t wires, bytes;
    spx_block *zero, *labels;
    uint64_t *c, *s, *r, *out;
    uint8_t *bits, *tables;
} gc_case;

static inline void *gc_case_memory(size_t bytes)
{
    void *p;
    CHECK_OK(spx_calloc(&p, bytes + 16, 1));
    return p;
}

/* Random shares, masks and labels. */
static inline void gc_case_make(gc_case *t, spx_prg *prg, spx_gc_params params, size_t n)
{
    *t = (gc_case){.b = {.params = params, .domain = spx_prg_u64(prg), .n = n}};
    t->b.first = 64 * (size_t)(spx_prg_u64(prg) % 1000);
    t->wires = spx_gc_wires(&params, n);
    t->bytes = spx_gc_table_bytes(&params, n);
    t->zero = gc_case_memory(t->wires * sizeof *t->zero);
    t->labels = gc_case_memory(t->wires * sizeof *t->labels);
    t->c = gc_case_memory(n * sizeof *t->c);
    t->s = gc_case_memory(n * sizeof *t->s);
    t->r = gc_case_memory(n * sizeof *t->r);
    t->out = gc_case_memory(n * sizeof *t->out);
    t->bits = gc_case_memory(t->wires / 8);
    t->tables = gc_case_memory(t->bytes);
    spx_gc_key_draw(&t->key, prg);
    spx_prg_bytes(prg, t->zero, t->wires * sizeof *t->zero);
    spx_prg_bytes(prg, t->c, n * sizeof *t->c);
    spx_prg_bytes(prg, t->s, n * sizeof *t->s);
    spx_prg_bytes(prg, t->r, n * sizeof *t->r);
}

/* Labels of the evaluator's shares, as transfers would give them. */
static inline void gc_case_give(gc_case *t)
{
    spx_gc_input_bits(&t->b.params, t->b.n, t->s, t->bits);
    for (size_t j = 0; j < t->wires; j++) {
        const uint64_t mask = 0 - ((uint64_t)t->bits[j / 8] >> (j % 8) & 1);
        t->labels[j] = spx_block_xor(t->zero[j], spx_block_and(t->key.delta, mask));
    }
}

static inline void gc_case_run(gc_case *t)
{
    CHECK_OK(spx_gc_garble(&t->b, &t->key, t->zero, t->c, t->r, t->tables));
    gc_case_give(t);
    CHECK_OK(spx_gc_evaluate(&t->b, t->key.start, t->labels, t->tables, t->bytes, t->out));
}

static inline void gc_case_clear(gc_case *t)
{
    spx_free(t->zero);
    spx_free(t->labels);
    spx_free(t->c);
    spx_free(t->s);
    spx_free(t->r);
    spx_free(t->out);
    spx_free(t->bits);
    spx_free(t->tables);
}

#endif
