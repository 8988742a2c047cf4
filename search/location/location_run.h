#ifndef SPX_LOCATION_RUN_H
#define SPX_LOCATION_RUN_H
/*
 * A whole location search: the training split halved, one half for the weights and one for beta;
 * the temperature falls from epoch to epoch; resumable at any step. The pair of the largest beta at
 * the end is the result.
 *
 * In the run's folder, beside what a session keeps: location.json (at the end; see
 * location_file.h), result.json (the same and what was measured).
 */
#include "data/augment/augment.h"
#include "data/pack/pack.h"
#include "host/train/run.h"
#include "search/location/location.h"

typedef struct spx_locate_options {
    spx_run_options run;  /* without init_from */
    const spx_pack *pack; /* borrowed; training split loaded */
    spx_final_spec spec;  /* classes and channels are the pack's; its reductions are not read */
    int64_t batch;
    spx_location_options location;
    double tau_max,
        tau_min; /* of the first and the last epoch, straight between; 0 < tau_min <= tau_max */
    spx_augment augment;     /* of both halves; validation has none */
    int64_t validate_images; /* at most about so many per validation; 0: the whole half */
} spx_locate_options;

typedef struct spx_locate_result {
    int64_t steps;
    double top1;      /* of the network found, on the validation half */
    json_t *location; /* owned by the caller: what location.json holds */
    spx_location_pair pair;
    size_t bytes; /* of device memory held */
    int networks;
} spx_locate_result;

/**
 * Runs or goes on with a location search.
 * @return SPX_OK; SPX_EINTERRUPTED (saved); SPX_ENUMERIC (diverged: the last checkpoint stays);
 *         SPX_EINVAL, SPX_EFORMAT, SPX_EIO, SPX_ENOMEM; then result->location is NULL
 */
SPX_MUST_CHECK spx_status spx_locate_run(spx_session *session, const spx_locate_options *o,
                                         spx_locate_result *result);

/** What result.json holds, and the command prints; NULL when out of memory. */
json_t *spx_locate_result_json(const spx_locate_result *r);

#endif
