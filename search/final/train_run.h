#ifndef SPX_TRAIN_RUN_H
#define SPX_TRAIN_RUN_H
/*
 * The whole training of a final network: epochs, evaluation on the test split, best and last model;
 * resumable at any step.
 *
 * In the run's folder, beside what a session keeps: best.h5 and model.h5 (the best evaluation's and
 * the last weights, averaged ones where kept; see model.h), result.json (at the end). metrics.jsonl
 * has a line per evaluated epoch ("epoch") and one per log_every steps ("step" only).
 */
#include "data/augment/augment.h"
#include "data/pack/pack.h"
#include "host/train/run.h"
#include "host/train/trainer.h"
#include "search/final/final.h"

typedef struct spx_train_options {
    spx_run_options run;  /* init_from: a model */
    const spx_pack *pack; /* borrowed; both splits loaded */
    spx_final_spec spec;  /* classes, mean and std are the pack's */
    int64_t batch;
    float aux_weight; /* 0: no auxiliary head */
    float smoothing;
    double drop_path; /* rises linearly to this */
    spx_sgd_options sgd;
    spx_augment augment; /* its centre box is that of evaluation */
    int workers;         /* threads that make batches; 0: chosen */
    int64_t eval_every;  /* epochs, >= 1; the last one is always evaluated */
    bool allow_changed;  /* run.init_from may be of other names, normalisation or data */
} spx_train_options;

typedef struct spx_train_result {
    int64_t steps;
    spx_metrics last; /* of the final evaluation: the result to report */
    double best_top1; /* of the best epoch: selected on the test split, so flattered */
    int64_t best_epoch;
    spx_counts counts;
} spx_train_result;

/**
 * Runs or goes on with a training.
 * @return SPX_OK; SPX_EINTERRUPTED (saved); SPX_ENUMERIC (diverged: the last checkpoint stays);
 *         SPX_EINVAL, SPX_EFORMAT, SPX_EIO, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_train_run(spx_session *session, const spx_train_options *o,
                                        spx_train_result *result);

/** What result.json holds, and the command prints; NULL when out of memory. */
json_t *spx_train_result_json(const spx_train_result *result);

#endif
