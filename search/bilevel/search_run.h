#ifndef SPX_SEARCH_RUN_H
#define SPX_SEARCH_RUN_H
/*
 * A whole search: the training split halved, one half for the weights and one for the alphas,
 * epochs of search steps, validation, a genotype at every end of an epoch; resumable at any step.
 *
 * In the run's folder, beside what a session keeps: genotype.json and genotype.txt (of the best
 * epoch by validation top-1 so far), result.json (at the end). metrics.jsonl has a line per epoch
 * ("epoch") and one per log_every steps ("step" only).
 */
#include "data/augment/augment.h"
#include "data/pack/pack.h"
#include "host/train/run.h"
#include "search/bilevel/bilevel.h"
#include "search/supernet/private_cost.h"

typedef struct spx_search_options {
    spx_run_options run;    /* init_from: a checkpoint with weights, alphas and statistics */
    const spx_pack *pack;   /* borrowed; training split loaded */
    const uint32_t *subset; /* its images to search on, borrowed; NULL: all */
    size_t subset_count;
    spx_supernet_config net; /* classes and channels are the pack's */
    spx_bilevel_options bilevel;
    double cost_weight;          /* of private cost beside the validation loss; 0: none */
    spx_private_network private; /* what it is reckoned for */
    spx_relu_budget budget;      /* with net.gated; of no ReLUs: there is none */
    spx_augment augment;         /* of both halves; validation has none */
    int64_t validate_images;     /* at most about so many per validation; 0: the whole half */
} spx_search_options;

typedef struct spx_search_result {
    int64_t steps;
    int64_t epoch;         /* in which the genotype was found, from 0 */
    double top1;           /* of that epoch's validation */
    spx_genotype genotype; /* of that epoch */
    spx_collapse collapse; /* of the last alphas */
    spx_cell_masks masks;  /* of the genotype; none without a ReLU budget */
    double relus, lambda;  /* with one: expected of the last alphas; its multiplier */
} spx_search_result;

/**
 * Runs or goes on with a search.
 * @return SPX_OK; SPX_EINTERRUPTED (saved); SPX_ENUMERIC (diverged: the last checkpoint stays);
 *         SPX_EINVAL, SPX_EFORMAT, SPX_EIO, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_search_run(spx_session *session, const spx_search_options *o,
                                         spx_search_result *result);

/** What result.json holds, and the command prints; NULL when out of memory. */
json_t *spx_search_result_json(const spx_search_result *result);

/**
 * The baseline every search is compared with: per node two different earlier states and a primitive
 * each, all uniform, none excluded; drawn from (seed, SPX_RNG_RANDOM_SEARCH). Said to be of SPHYNX;
 * a draw is the same in either space.
 */
void spx_genotype_random(uint64_t seed, spx_genotype *out);

/** Writes genotype.json, with masks unless m is NULL, and genotype.txt into the run's folder. */
SPX_MUST_CHECK spx_status spx_genotype_save(const spx_session *session, const spx_genotype *g,
                                            const spx_cell_masks *m);

#endif
