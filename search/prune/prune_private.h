#ifndef SPX_PRUNE_PRIVATE_H
#define SPX_PRUNE_PRIVATE_H
/* The parts of a pruning: what each granularity does with an open bench. */
#include "search/prune/prune_bench_private.h"

/** Whole layers, by measured values: sets the bench's masks and fills the result's layers, depth,
 * private cost and predicted loss. out->before is there already. */
SPX_MUST_CHECK spx_status spx_prune_edges(spx_prune_bench *b, spx_prune_result *out);

/** Channels or positions, by first-order scores: likewise. */
SPX_MUST_CHECK spx_status spx_prune_scored(spx_prune_bench *b, spx_prune_result *out);

/** What a private query of the model with the bench's masks takes; its weights are proven with the
 * bench's statistics. */
SPX_MUST_CHECK spx_status spx_prune_private_cost(spx_prune_bench *b, spx_prune_private *out);

/** Writes the model with the bench's masks and statistics. */
SPX_MUST_CHECK spx_status spx_prune_save(const spx_prune_bench *b, const json_t *about,
                                         const char *path);

/** One of several things to keep or leave. */
typedef struct spx_choose_item {
    int64_t size; /* >= 1 */
    float score;  /* >= 0 */
    bool keep;    /* the answer */
} spx_choose_item;

#define SPX_CHOOSE_UNITS 200000

/**
 * Keeps items of the largest sum of scores among those of at most `budget` together; of equal items
 * those first in the list. Exact where all sizes are multiples of a number above budget /
 * SPX_CHOOSE_UNITS; else they count as rounded up to multiples of that.
 * @return SPX_OK, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_choose(spx_choose_item *item, size_t n, int64_t budget);

#endif
