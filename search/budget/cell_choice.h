#ifndef SPX_CELL_CHOICE_H
#define SPX_CELL_CHOICE_H
/* The best mask of a genotype's cells for every number of ReLUs on states. */
#include "search/space/cell_masks.h"

/** What each state's ReLU is worth, by kind of cell: normal, reduction; 0..1. */
typedef double spx_cell_values[2][SPX_CELL_SITES];

/**
 * For every possible number of sites the mask that keeps most value, exactly, by trying all. A mask
 * is possible where no cell has more convolutions between ReLUs than `max_depth`, or than it has
 * with all of them kept. As every cell's output keeps its ReLU, this is the same in all networks.
 * Ties: the one whose `reduce` is the lower number, then `normal`. A mask's value is (2 + those it
 * keeps) / (2 + all), rounded to six digits: a cell's output counts 1.
 * @return SPX_OK; SPX_EINVAL (the genotype, values); SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_cell_masks_choose(spx_cell_masks *out, const spx_genotype *g,
                                                spx_cell_values value, int max_depth);

#endif
