#ifndef SPX_STEP_QUEUE_H
#define SPX_STEP_QUEUE_H
/*
 * Steps that a device does on its own. What varies from step to step is uploaded from a ring of
 * pinned memory, and what a step reports is downloaded into another. The host reads the reports
 * some steps later, so neither waits for the other. On the CPU every step is done when it is
 * queued.
 */
#include "host/train/metrics.h"
#include "host/train/recording.h"
#include "kernels/device/buffer.h"
#include "kernels/device/scalars.h"

#define SPX_STEP_NORMS 3
#define SPX_STEP_LOSSES 3
#define SPX_STEP_RING 8

/** What a step writes into device memory; the members' meaning is the step's. */
typedef struct spx_step_numbers {
    spx_metrics metrics; /* of all steps since spx_step_queue_count_from */
    double norm[SPX_STEP_NORMS];
    float loss[SPX_STEP_LOSSES];
    float eps;
    spx_guard guard;
} spx_step_numbers;

typedef struct spx_step_queue {
    spx_stream *stream;        /* borrowed */
    spx_scalars *scalars;      /* device memory: of the step that is running */
    spx_step_numbers *numbers; /* device memory, likewise */
    spx_buffer norm_workspace; /* likewise, of spx_norm2 */
    bool eager;                /* never record: a step has to be looked at from inside */
    /* Private. */
    spx_scalars *sent;          /* pinned, [SPX_STEP_RING] */
    spx_step_numbers *received; /* pinned, [SPX_STEP_RING] */
    spx_event *done[SPX_STEP_RING];
    uint64_t queued, read; /* steps */
    spx_recording recording;
} spx_step_queue;

/**
 * @param norm_floats  the most that a norm is taken of
 * @return SPX_OK, SPX_ENOMEM, SPX_EDEVICE; on failure q is cleared
 */
SPX_MUST_CHECK spx_status spx_step_queue_init(spx_step_queue *q, spx_stream *s, size_t norm_floats);
void spx_step_queue_clear(spx_step_queue *q); /* zeroed or initialised; waits for the stream */

/** Metrics go on from *m: a new epoch's (zero), or those of an epoch under way. */
SPX_MUST_CHECK spx_status spx_step_queue_count_from(spx_step_queue *q, const spx_metrics *m);

/** Brings scalars to the device: for parts of a step that are queued outside of a step. */
SPX_MUST_CHECK spx_status spx_step_queue_set(spx_step_queue *q, const spx_scalars *v);

/** Queues a step; key, fn and ctx as in spx_recording_run. At most SPX_STEP_RING may be unread. */
SPX_MUST_CHECK spx_status spx_step_queue_run(spx_step_queue *q, const spx_scalars *v,
                                             const void *const key[SPX_RECORDING_KEYS],
                                             spx_status (*fn)(void *ctx), void *ctx);

/** What a step was given and what it said. */
typedef struct spx_step_result {
    spx_scalars scalars;
    spx_step_numbers numbers;
} spx_step_result;

/**
 * Reads the oldest unread step, if it is due.
 * @param wait  true: any unread step is due; false: those with some steps queued behind them
 * @param any   whether there was one
 */
SPX_MUST_CHECK spx_status spx_step_queue_read(spx_step_queue *q, bool wait, spx_step_result *out,
                                              bool *any);

/** The numbers as they are now, after all work queued so far. */
SPX_MUST_CHECK spx_status spx_step_queue_look(spx_step_queue *q, spx_step_numbers *out);

#endif
