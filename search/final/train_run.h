#ifndef SPX_TRAIN_RUN_H
#define SPX_TRAIN_RUN_H
/*
 * The whole training of a final network: epochs, evaluation, best and last model; resumable at
 * any step. The best epoch is chosen by images held out of the training split, where some are; then
 * the test split is measured at the end, with the best and the last weights. Without, it is chosen
 * by the test split, which flatters it.
 *
 * In the run's folder, beside what a session keeps: best.h5 and model.h5 (the best evaluation's and
 * the last weights, averaged ones where kept; see model.h), result.json (at the end). metrics.jsonl
 * has a line per evaluated epoch ("epoch") and one per log_every steps ("step" only).
 */
#include "data/augment/augment.h"
#include "data/pack/pack.h"
#include "host/train/run.h"
#include "host/train/trainer.h"
#include "search/final/linearizer.h"
#include "search/final/teacher.h"

#define SPX_TRAIN_STAGES 8

/** From an epoch on, training is on images of side x side. */
typedef struct spx_train_stage {
    int64_t epoch;
    int side;
} spx_train_stage;

typedef struct spx_train_options {
    spx_run_options run;  /* init_from: a model */
    const spx_pack *pack; /* borrowed; both splits loaded */
    spx_final_spec spec;  /* classes, mean and std are the pack's */
    int64_t batch;
    float aux_weight; /* 0: no auxiliary head */
    float smoothing;
    double drop_path; /* rises linearly to this */
    spx_sgd_options sgd;
    int n_stages; /* 0: all epochs are on the input's size; evaluation always is */
    spx_train_stage stage[SPX_TRAIN_STAGES]; /* ascending, the first from epoch 0, the last of the
                                                input's size; with resized crops */
    spx_augment augment;                     /* its centre box is that of evaluation */
    int workers;                             /* threads that make batches; 0: chosen */
    bool nvjpeg;                             /* JPEGs are decoded by the GPU */
    int64_t eval_every;                      /* epochs, >= 1; the last one is always evaluated */
    double held_out; /* share of the training split, 0..1 exclusive; 0: none */
    /** Held out instead: these images of the training split, ascending; borrowed; NULL: none. */
    const uint32_t *held;
    size_t held_count;
    bool no_test; /* with images held out: the test split is not read; the pack may be without */
    int64_t epoch_steps; /* an epoch ends after so many steps; 0: when every image was shown */
    bool by_test;        /* choose by the test split although images are held out */
    int64_t test_every;  /* with held_out: measure the test split too, for the log, in every such
                           epoch that is evaluated; 0: in none */
    spx_distill_options distill;
    spx_linearize_options linearize; /* spec is masked; run.schedule.epochs are those of both
                                        stages; attention is compared in the second alone */
    bool allow_changed; /* run.init_from and the teacher may be of other names, normalisation or
                           data */
} spx_train_options;

typedef struct spx_train_result {
    int64_t steps;
    spx_metrics last; /* of the test split with the last weights: the result to report */
    spx_metrics held; /* of the held-out images with them; no images: none held out */
    bool best_by_test;
    int64_t best_epoch;
    bool best_by_loss;  /* as linearizations choose: within the budget the lowest loss */
    double best_judged; /* its top-1, or loss, on what it was chosen by */
    double best_top1;   /* of best.h5 on the test split; below 0: the file is gone */
    spx_counts counts;
    spx_relu_count relus; /* of model.h5 */
    const char *teacher;  /* as given, the caller's; NULL: there was none */
    char teacher_digest[SPX_H5_DIGEST_CHARS];
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
