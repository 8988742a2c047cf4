#ifndef SPX_CELL_MASKS_H
#define SPX_CELL_MASKS_H
/*
 * Which ReLUs of its cells a genotype should keep, for every number of them: what a search within a
 * ReLU budget leaves in its genotype file, beside the cells, and a plan chooses from.
 *
 *     "masks": [{"sites": 2, "value": 0.75, "normal": [0], "reduce": [1]}, ...]
 *
 * Here "normal" and "reduce" list states whose ReLUs are kept in every cell of the kind, ascending.
 * How many these are is "sites", ascending from mask to mask. What the mask is worth beside all
 * ReLUs is "value", above 0 and at most 1.
 */
#include "search/space/genotype.h"

#define SPX_MAX_CELL_MASKS (2 * SPX_CELL_SITES + 1)

typedef struct spx_cell_mask {
    spx_cell_sites keep;
    double value;
} spx_cell_mask;

typedef struct spx_cell_masks {
    spx_cell_mask mask[SPX_MAX_CELL_MASKS]; /* by number of sites, ascending */
    int n;                                  /* 0: there are none, all is kept */
} spx_cell_masks;

int spx_cell_sites_count(spx_cell_sites s);

/** What a mask drops of a genotype's ReLUs. */
spx_cell_sites spx_cell_mask_dropped(const spx_genotype *g, spx_cell_sites keep);

/** {"normal": [...], "reduce": [...]}, a new reference; NULL when out of memory. */
json_t *spx_cell_sites_value(spx_cell_sites s);
/**
 * Reads these two members; others are left alone.
 * @param what  begins messages
 * @param g     whose ReLUs they must be
 * @return SPX_OK; SPX_EFORMAT naming the list and what is wrong
 */
SPX_MUST_CHECK spx_status spx_cell_sites_of_value(spx_cell_sites *out, const json_t *value,
                                                  const spx_genotype *g, const char *what);

/** The list, a new reference; NULL when out of memory. */
json_t *spx_cell_masks_value(const spx_cell_masks *m);
/** Reads it back; NULL has none. @return SPX_OK; SPX_EFORMAT naming the mask and what is wrong */
SPX_MUST_CHECK spx_status spx_cell_masks_of_value(spx_cell_masks *out, const json_t *list,
                                                  const spx_genotype *g);

/** spx_genotype_load, and the masks of the file; none of the text form. */
SPX_MUST_CHECK spx_status spx_genotype_load_masked(spx_genotype *g, spx_cell_masks *m,
                                                   const char *name_or_path);
/** spx_genotype_json with masks, where there are some. */
char *spx_genotype_masked_json(const spx_genotype *g, const spx_cell_masks *m);

#endif
