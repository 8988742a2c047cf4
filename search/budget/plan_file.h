#ifndef SPX_PLAN_FILE_H
#define SPX_PLAN_FILE_H
/*
 * A plan as JSON: what `sphynx plan --json` prints and `sphynx train --plan` reads. One object:
 * {"relu_budget", "init_channels", "layers", "reduce_at": [...], "relus", "params", "macs",
 * "score"}, and where the genotype has masks "mask": {"normal": [...], "reduce": [...]}, the states
 * whose ReLUs are kept (search/space/cell_masks.h). Reading takes the shape, the mask, and "relus"
 * where there is one; other members are left alone.
 */
#include "search/budget/budget.h"

#include <jansson.h>

/** A choice and the budget it was made for; NULL when out of memory. */
json_t *spx_plan_json(const spx_plan_choice *c, int64_t relu_budget);

/**
 * Reads a plan's shape into a description and counts the network it makes: a plan holds for one
 * genotype and input, and its ReLU count tells whether these are they.
 * @param f  genotype, input and classes are set; receives init_channels, layers, reductions and
 *           what a mask drops, for which it becomes masked
 * @return SPX_OK; SPX_EFORMAT (no plan); SPX_EINVAL (another network's, or none can be built);
 *         SPX_ENOTFOUND, SPX_EIO, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_plan_load(const char *path, spx_final_spec *f);

#endif
