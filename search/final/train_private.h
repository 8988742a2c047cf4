#ifndef SPX_TRAIN_PRIVATE_H
#define SPX_TRAIN_PRIVATE_H
/* A training under way: what train_run.c opens and train_kind.c runs. */
#include "data/loader/device_source.h"
#include "data/preprocess/preprocess.h"
#include "search/final/train_run.h"

/* Where batches come from: the training split, or what is left of it, the test split, and the
 * held-out images. */
enum { SPX_TRAINED, SPX_TESTED, SPX_HELD_OUT, SPX_TRAINING_SOURCES };

typedef struct spx_training {
    spx_run run;
    const spx_train_options *o;
    spx_device_split *split[SPX_SPLIT_COUNT]; /* or NULL */
    spx_device_source *batches[SPX_TRAINING_SOURCES];
    spx_source source[SPX_TRAINING_SOURCES];
    uint32_t *part; /* images that are trained on; NULL: the whole split */
    size_t part_count;
    spx_program *train_program[SPX_TRAIN_STAGES], *eval_program;
    int stage;                              /* whose batches, program and teacher are in use */
    spx_teacher *teacher[SPX_TRAIN_STAGES]; /* the same at each side; NULL: none */
    spx_distill_options distill[SPX_TRAIN_STAGES]; /* what they teach */
    spx_trainer trainer;
    spx_linearizer *linearizer; /* NULL: an ordinary training */
    spx_preprocess images;      /* of the pack */
    spx_metrics
        last[SPX_TRAINING_SOURCES]; /* of the weights as they are; no images: not measured */
} spx_training;

/** The functions of a training; ctx is a spx_training. */
extern const spx_run_kind spx_training_kind;

/**
 * Opens a source.
 * @param side    of its images; 0: of the input's size
 * @param subset  of the split, copied; NULL: all of it
 */
SPX_MUST_CHECK spx_status spx_training_source(spx_training *x, int source, int side,
                                              const uint32_t *subset, size_t count);

/** Goes over to the batches and the program of an epoch's stage, where that is another one. */
SPX_MUST_CHECK spx_status spx_training_enter(spx_training *x, int64_t epoch);

/** Whether images are held out of the training split. */
bool spx_training_holds(const spx_train_options *o);

/** What the best epoch is chosen by: SPX_HELD_OUT or SPX_TESTED. */
int spx_training_judge(const spx_train_options *o);

/** Metrics of a source into x->last, with averaged weights where kept. */
SPX_MUST_CHECK spx_status spx_training_measure(spx_training *x, int source);

/** Writes the weights that were measured as NAME in the run's folder.
 * @param chosen_by  what its epoch was chosen by; NULL: it was not chosen */
SPX_MUST_CHECK spx_status spx_training_save(const spx_training *x, const char *name,
                                            const spx_loop_state *s, const char *chosen_by);

#endif
