#ifndef SPX_TRAIN_PRIVATE_H
#define SPX_TRAIN_PRIVATE_H
/* A training under way: what train_run.c opens and train_kind.c runs. */
#include "data/loader/device_source.h"
#include "data/preprocess/preprocess.h"
#include "search/final/train_run.h"

typedef struct spx_training {
    spx_run run;
    const spx_train_options *o;
    spx_device_split *split[SPX_SPLIT_COUNT]; /* or NULL */
    spx_device_source *batches[SPX_SPLIT_COUNT];
    spx_source source[SPX_SPLIT_COUNT];
    spx_program *train_program, *eval_program;
    spx_trainer trainer;
    spx_preprocess images; /* of the pack */
    spx_metrics last;
} spx_training;

/** The functions of a training; ctx is a spx_training. */
extern const spx_run_kind spx_training_kind;

/** Metrics of the test split into x->last, with averaged weights where kept. */
SPX_MUST_CHECK spx_status spx_training_measure(spx_training *x);

/** Writes the weights that were measured as NAME in the run's folder. */
SPX_MUST_CHECK spx_status spx_training_save(const spx_training *x, const char *name,
                                            const spx_loop_state *s, double top1);

#endif
