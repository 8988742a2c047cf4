#ifndef SPX_SESSION_H
#define SPX_SESSION_H
/*
 * One process's work on a run: its folder, its log, its checkpoint, and when to stop. A run is many
 * sessions, one after another; each goes on where the last checkpoint stands.
 *
 * The checkpoint is last.h5 in the run's folder. Its description holds, beside what the run adds,
 * "kind" (the verb), "progress" (spx_loop_state), "device", "commit", "config" and "inputs".
 * "metrics_bytes" is the length of metrics.jsonl: resuming drops lines after it. "threads" and
 * "tuning" are choices that decide the order of additions: without them a resumed run would differ
 * in the last bits. Arenas are written as the layout orders them, whatever the device: a run may go
 * on on another one.
 */
#include "host/ckpt/ckpt.h"
#include "host/control/interrupt.h"
#include "host/control/run_dir.h"
#include "host/graph/tuning.h"
#include "host/train/loop.h"

typedef struct spx_session_options {
    const char *path; /* folder of the run */
    bool resume;      /* go on with the run that is there; without one, begin it */
    bool of_parts;    /* the run is made of others in folders below, which have the checkpoints */
    const char *verb; /* "search", "train" */
    const char *ini;  /* resolved options, as text and as an object; borrowed */
    json_t *config;   /* files by their paths from the root */
    json_t *typed;    /* files as they were given, which is how version 0.1 recorded them */
    json_t *inputs; /* contents of the files that options name, by the options' names: a digest, or
                       the content itself where it is small */
    bool allow_changed; /* go on with other contents than the run was begun with */
    json_t *defaults; /* an object too: of options that a run began without, before they existed */
    const char *const *changeable; /* options a resumed run may change; NULL-terminated */
    spx_stream_options stream;     /* threads: 0 of a resumed run are those of its checkpoint */
    double time_limit;             /* seconds of this session; 0: none */
} spx_session_options;

typedef struct spx_session {
    const char *verb;
    json_t *config, *inputs; /* owned references */
    spx_run_dir *dir;
    spx_jsonl *metrics;
    spx_ckpt checkpoint; /* the one resumed from; file NULL where there is none */
    spx_deadline deadline;
    spx_stream *stream;
    char device[160];     /* "cpu", "cuda:0 NVIDIA H100 80GB HBM3" */
    int old_threads;      /* of the checkpoint, where this session has others; 0: the same */
    bool moved;           /* the checkpoint is of another device: bits differ from here on */
    spx_tuning *tuning;   /* the checkpoint's choices, and the cache's where it has none */
    spx_loop_state state; /* where to go on; zero for a new run */
} spx_session;

/**
 * Opens folder, checkpoint (its predecessor where it is damaged), log and stream.
 * @return SPX_OK; SPX_EINVAL (the folder is refused, an option or a file's content differs from
 * the run's, the run is of another verb); what the files give. On failure *s is cleared
 */
SPX_MUST_CHECK spx_status spx_session_open(spx_session *s, const spx_session_options *o);
/**
 * Closes a session, zeroed or open. st says how the session went. If it is a failure, what a new
 * run wrote before its first step is removed, and the folder too if nothing else is in it. So the
 * corrected command can be given.
 */
void spx_session_close(spx_session *s, spx_status st);

/** Whether there is a checkpoint to load from. */
bool spx_session_resumes(const spx_session *s);

/**
 * Fills arenas, memory of the stream's device, from the checkpoint, then lets go of the file; its
 * description stays. Nothing without a checkpoint.
 */
SPX_MUST_CHECK spx_status spx_session_load(spx_session *s, const spx_layout *l,
                                           const spx_ckpt_arena *arena, size_t n);

/** Writes the checkpoint, waiting for the stream. @param extra merged into its description;
 * released, NULL is SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_session_save(spx_session *s, const spx_loop_state *state,
                                           json_t *extra, const spx_layout *l,
                                           const spx_ckpt_arena *arena, size_t n);

/** A spx_stop_fn; ctx is the session. SPX_EINTERRUPTED after a signal or at the time limit. */
SPX_MUST_CHECK spx_status spx_session_stop(void *session);

/** Tells warn what a person should know of how the run goes on; nothing where warn is NULL. */
void spx_session_warn(const spx_session *s, void (*warn)(void *ctx, const char *text), void *ctx);

/** Writes text as NAME in the run's folder, whole or not at all. */
SPX_MUST_CHECK spx_status spx_session_write(const spx_session *s, const char *name,
                                            const char *text);
/** Likewise JSON, which stays the caller's. NULL is SPX_ENOMEM. */
SPX_MUST_CHECK spx_status spx_session_write_json(const spx_session *s, const char *name,
                                                 const json_t *j);
/** Writes an object as result.json, with the device added; released, NULL is SPX_ENOMEM. */
SPX_MUST_CHECK spx_status spx_session_result(const spx_session *s, json_t *result);

#endif
