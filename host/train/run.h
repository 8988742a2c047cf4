#ifndef SPX_RUN_H
#define SPX_RUN_H
/*
 * What runs of every kind do alike: going on or beginning from a file, queueing steps and reading
 * their reports, the log's lines, judging epochs and keeping the best, checkpoints. A kind of run
 * (searching, training) fills a table of functions with what is its own. The order of events is
 * loop.h's, the folder session.h's.
 */
#include "host/train/device_arenas.h"
#include "host/train/schedule.h"
#include "host/train/session.h"
#include "host/train/step_queue.h"

/** Options of every kind of run. */
typedef struct spx_run_options {
    spx_schedule schedule; /* of the weights' learning rate; its epochs are the run's */
    uint64_t seed;
    int64_t max_steps, save_every; /* see spx_loop */
    int64_t log_every;             /* steps; 0: no such lines */
    const char *init_from;         /* file or folder that a new run begins with; or NULL */
    /** Told after every step; may be NULL. */
    void (*show)(void *ctx, int64_t done, int64_t total, const char *note);
    /** Told what a person should know; may be NULL. */
    void (*warn)(void *ctx, const char *text);
    void *ctx;
} spx_run_options;

#define SPX_RUN_NUMBERS 5

/** What a step says of itself. */
typedef struct spx_run_report {
    uint64_t step;       /* steps done before it */
    float loss;          /* shown to people */
    spx_metrics metrics; /* of its epoch so far */
    struct {
        const char *name; /* NULL ends them */
        double value;
    } number[SPX_RUN_NUMBERS]; /* in the log, in this order */
} spx_run_report;

/** A kind of run; ctx is its own. */
typedef struct spx_run_kind {
    const char *name; /* before the messages of its reports */
    const char *kept; /* what keep writes and restore cannot; NULL: nothing */
    /** Learning rate of a step, as spx_schedule_lr has it; NULL: the schedule's. */
    float (*rate)(void *ctx, int64_t epoch, int64_t done, int64_t steps);
    /** Queues step s->epoch_step of epoch s->epoch on the run's queue. */
    spx_status (*queue)(void *ctx, const spx_loop_state *s, float lr);
    /** The next report, as spx_step_queue_read gives them; SPX_ENUMERIC where a step diverged. */
    spx_status (*report)(void *ctx, bool wait, spx_run_report *report, bool *any);
    /**
     * Judges the run as it stands. It may return SPX_EINTERRUPTED having changed nothing.
     * @param top1  decides which epoch is the best one; NaN: not this one
     * @param line  what the epoch's line of the log says beside what all say; the caller's to
     *              release, NULL makes the line fail as one with a number that is not finite
     */
    spx_status (*evaluate)(void *ctx, double *top1, json_t **line);
    /** Keeps what evaluate judged: it is the best so far. */
    spx_status (*keep)(void *ctx, const spx_loop_state *s, double top1);
    /** Adds to a checkpoint's description, in which "best" is null or an object. */
    spx_status (*describe)(void *ctx, json_t *about);
    /** Reads back what describe added; NULL: nothing. */
    spx_status (*restore)(void *ctx, const json_t *about);
    /** Begins a new run with a file. */
    spx_status (*init_from)(void *ctx, const char *path);
} spx_run_kind;

/** The best epoch so far; part of the checkpoint. */
typedef struct spx_run_best {
    bool any;
    int64_t epoch;
    double top1;
} spx_run_best;

typedef struct spx_run {
    spx_session *session; /* borrowed, as are the next three */
    const spx_run_options *options;
    const spx_run_kind *kind;
    void *ctx;
    /* The kind sets these between spx_run_init and spx_run_all. */
    int64_t epoch_steps;
    int64_t eval_every; /* epochs; the last one is always judged */
    spx_step_queue *queue;
    const spx_layout *layout;
    spx_ckpt_arena arena[SPX_DEVICE_ARENAS_MAX]; /* all that is saved and restored */
    size_t n_arenas;
    /* Private to run.c, but for reading. */
    spx_loop loop;
    bool counting; /* the metrics of this epoch are on the device */
    spx_run_best best;
} spx_run;

/** Fills a run with what is given, checks the schedule and says how the session goes on.
 * @return SPX_OK, SPX_EINVAL */
SPX_MUST_CHECK spx_status spx_run_init(spx_run *r, spx_session *session, const spx_run_options *o,
                                       const spx_run_kind *kind, void *ctx);

/**
 * Runs to the end, from the session's checkpoint, from options->init_from, or from the arenas as
 * they are.
 * @return SPX_OK; SPX_EINTERRUPTED (saved); SPX_ENUMERIC (diverged: the last checkpoint stays);
 *         SPX_EINVAL, SPX_EFORMAT, SPX_EIO, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_run_all(spx_run *r);

#endif
