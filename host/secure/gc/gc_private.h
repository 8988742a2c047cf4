#ifndef SPX_GC_PRIVATE_H
#define SPX_GC_PRIVATE_H
/* What both sides' passes over a group of ReLUs share. */
#include "host/secure/gc/gc.h"
#include "kernels/crypto/crypto_kernels.h"
#include "kernels/crypto/ct.h"

#include <stdbool.h>

#define LANES SPX_GC_GROUP
#define MAX_BITS 64
#define MAX_KEYS (1 + 4 * (MAX_BITS - 2) + 3) /* first carry, gates, one projection, p, pos */

/* The circuit: bits of the sum kept, gates behind the carries, keys and blocks of a ReLU. */
typedef struct circuit {
    int l, f, a, t;
    size_t keys, row_blocks; /* row_blocks: without the last element of 8 bytes */
} circuit;

/* A group's memory; wiped after use. One a thread. */
typedef struct scratch {
    spx_block tweak[MAX_KEYS];
    spx_aes_key key[MAX_KEYS];
    spx_block carry[LANES], p[LANES], pos[LANES], none[LANES]; /* none stays zero */
    spx_block sum[MAX_BITS][LANES];                            /* y_i ^ carry_i, at i - f */
    spx_block below[LANES];                                    /* the same for i < f */
    spx_block wire[LANES], other[LANES], hash[2][LANES];
    uint64_t bits[64]; /* the garbler's share, bit by bit: word i, lane v */
    uint64_t total[LANES][2], coefficient[LANES][2];
} scratch;

/* One group: what it reads and writes. */
typedef struct group {
    const spx_crypto_kernels *k;
    const circuit *c;
    size_t lanes, valid; /* valid: ReLUs, the other lanes are padding */
    uint8_t *rows;
    const uint8_t *rows_in;
} group;

/* out = a ^ b, lane by lane; any may be the same. */
static inline void xor_lanes(size_t lanes, const spx_block *a, const spx_block *b, spx_block *out)
{
    for (size_t v = 0; v < lanes; v++) {
        out[v] = spx_block_xor(a[v], b[v]);
    }
}

/* Where the sum's bit i is kept while the carry passes. */
static inline spx_block *sum_of(scratch *s, const circuit *c, int i)
{
    return i < c->f ? s->below : s->sum[i - c->f];
}

void gc_garble_group(const group *g, scratch *s, spx_block delta, const spx_block *zero,
                     const uint64_t *r);
void gc_evaluate_group(const group *g, scratch *s, const spx_block *labels, uint64_t *out);

#if defined(SPX_GC_TRACE)
/* Tests are told of each hash the garbler makes. */
void spx_gc_trace(const spx_block *key, const spx_block *input, size_t n);
#endif

#endif
