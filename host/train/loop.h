#ifndef SPX_LOOP_H
#define SPX_LOOP_H
/*
 * The order of events of a long run, shared by search and training: steps, ends of epochs,
 * checkpoints, being stopped and going on. What a step is, is the caller's.
 */
#include "host/train/metrics.h"
#include "kernels/base/status.h"

#include <jansson.h>
#include <stdint.h>

/** Where a run stands; with the caller's arenas, all that resuming needs. */
typedef struct spx_loop_state {
    int64_t epoch;      /* epochs finished, their ends included */
    int64_t epoch_step; /* steps done in the epoch under way; if all: only its end is missing */
    int64_t step;       /* steps done in all */
    spx_metrics train;  /* of the epoch under way, added to by the step */
} spx_loop_state;

typedef struct spx_loop {
    int64_t epochs, epoch_steps; /* >= 1 each */
    int64_t max_steps;           /* end the run after so many steps in all; 0: no such limit */
    int64_t save_every;          /* steps between checkpoints inside an epoch; 0: none */
    void *ctx;
    /** Does, or queues, step s->epoch_step of epoch s->epoch and adds to s->train; the loop counts
     * it. */
    spx_status (*step)(void *ctx, spx_loop_state *s);
    /** Waits for the steps queued and adds what they say to s->train: before s is saved, or its
     * epoch ended. NULL: steps are done when they return. */
    spx_status (*drain)(void *ctx, spx_loop_state *s);
    /**
     * Validates and records an epoch, or at max_steps the part of one. May return SPX_EINTERRUPTED
     * having changed nothing: the run then stops and does this again when resumed.
     */
    spx_status (*end_epoch)(void *ctx, const spx_loop_state *s);
    spx_status (*save)(void *ctx, const spx_loop_state *s);
    /** Asked after every step: SPX_EINTERRUPTED, with a message saying why, to save and return. */
    spx_status (*stop)(void *ctx);
} spx_loop;

/**
 * Runs from *s (zeroed: a new run) to the end. A checkpoint is written at every end of an epoch,
 * every save_every steps, and when stopped. One is also written at max_steps, before the final
 * part's end_epoch: a run may be continued with a larger max_steps as if it had never been cut.
 * @return SPX_OK (all done), SPX_EINTERRUPTED (saved, to be resumed), SPX_EINVAL (a count below 1,
 * or a state outside the run), or a callback's failure (nothing saved since; the message of an
 * SPX_ENUMERIC gains what to do, and of end_epoch and save the step)
 */
SPX_MUST_CHECK spx_status spx_loop_run(const spx_loop *l, spx_loop_state *s);

/** Steps of the whole run: what a progress bar counts to. */
int64_t spx_loop_total(const spx_loop *l);

/** The state as JSON, exactly; NULL when out of memory. */
json_t *spx_loop_state_json(const spx_loop_state *s);
/** Reads it back. @return SPX_OK, SPX_EFORMAT */
SPX_MUST_CHECK spx_status spx_loop_state_parse(spx_loop_state *s, const json_t *j);

#endif
