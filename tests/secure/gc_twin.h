#ifndef SPX_TEST_GC_TWIN_H
#define SPX_TEST_GC_TWIN_H
/*
 * The garbled ReLU written from gc.h's definition, one ReLU and one gate after the other, with both
 * labels of every wire in hand. Slow; the batched code must give the same bytes.
 */
#include "host/secure/gc/gc.h"

/* Arguments as spx_gc_garble's; also the evaluator's side of the same. */
void gc_twin_garble(const spx_gc_batch *b, const spx_gc_key *key, const spx_block *zero,
                    const uint64_t *c, const uint64_t *r, uint8_t *tables);
void gc_twin_evaluate(const spx_gc_batch *b, spx_block start, const spx_block *labels,
                      const uint8_t *tables, uint64_t *out);

/* clamp(x >> f, 0, 2^a - 1) of x = c + s mod 2^l as a signed number. */
uint64_t gc_twin_relu(const spx_gc_params *p, uint64_t c, uint64_t s);

#endif
