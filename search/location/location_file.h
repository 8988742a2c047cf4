#ifndef SPX_LOCATION_FILE_H
#define SPX_LOCATION_FILE_H
/*
 * What a location search found, as JSON: {"reduce_at": [i, j], "layers", "init_channels", "input":
 * [C, H, W], "classes", "genotype", "pairs": [[i, j], ...], "beta": [...], "history": [{"beta",
 * "epoch", "reduce_at", "tau", "val_top1"}, ...]}. Reading takes the first two and the genotype.
 */
#include "search/location/location.h"

/**
 * @param beta     [n]
 * @param best     index of the pair found
 * @param history  copied
 * @return NULL when out of memory
 */
json_t *spx_location_json(const spx_final_spec *f, const spx_location_pair *pair, int n,
                          const float *beta, int best, const json_t *history);

/**
 * Reads where a network's cells reduce: of location.json, or the folder of a search that has it.
 * @param g       the network's; a location holds for one genotype
 * @param layers  receives the number of cells it was found for
 * @return SPX_OK; SPX_EFORMAT (no location); SPX_EINVAL (another genotype's); SPX_ENOTFOUND,
 *         SPX_EIO, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_location_load(const char *path_or_folder, const spx_genotype *g,
                                            int64_t *layers, spx_location_pair *out);

#endif
