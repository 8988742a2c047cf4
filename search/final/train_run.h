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
#include "host/train/schedule.h"
#include "host/train/session.h"
#include "host/train/trainer.h"
#include "search/final/final.h"

typedef struct spx_train_options {
    const spx_pack *pack; /* borrowed; both splits loaded */
    spx_final_spec spec;  /* classes, mean and std are the pack's */
    int64_t batch;
    float aux_weight; /* 0: no auxiliary head */
    float smoothing;
    double drop_path; /* rises linearly to this */
    spx_sgd_options sgd;
    spx_schedule schedule; /* its epochs are the training's */
    spx_augment augment;
    uint64_t seed;
    int64_t max_steps, save_every; /* see spx_loop */
    int64_t log_every;             /* steps; 0: no such lines */
    int64_t eval_every;            /* epochs, >= 1; the last one is always evaluated */
    const char *init_from;         /* model whose weights begin a new run; or NULL */
    bool allow_changed;            /* init_from may be of other names, normalisation or data */
    /** Told after every step; may be NULL. */
    void (*show)(void *ctx, int64_t done, int64_t total, const char *note);
    /** Told what a person should know; may be NULL. */
    void (*warn)(void *ctx, const char *text);
    void *ctx;
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

#endif
