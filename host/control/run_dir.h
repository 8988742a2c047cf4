#ifndef SPX_CONTROL_RUN_DIR_H
#define SPX_CONTROL_RUN_DIR_H
/*
 * The folder of one search or training run:
 * - config.ini: the resolved options, readable by --config
 * - run.json: verb, the same options, what the run was begun with ("inputs": contents, not names),
 *   and one entry per session: when, version, commit, compiler, device
 * - metrics.jsonl: one line per report
 * - lock: held while a process works here
 *
 * and whatever the run saves beside them.
 */
#include "host/control/jsonl.h"
#include "kernels/base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct spx_run_dir spx_run_dir;

/**
 * Opens path for one process; the lock is freed by close, and by the process's death.
 * A folder that is absent (its parents too) or empty becomes a new run. One that holds a run is
 * continued if resume is set and refused otherwise, so that nothing is overwritten by accident; one
 * that holds anything else is always refused. A folder refused is left as it was.
 * @param verb    command that works here; a run of another verb is refused
 * @return SPX_OK, SPX_EINVAL (refused), SPX_EDEVICE (locked by another process), SPX_EIO,
 *         SPX_EFORMAT (run.json is damaged), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_run_dir_open(spx_run_dir **out, const char *path, bool resume,
                                           const char *verb);

/**
 * Records this session in run.json, and with it a new run. A new run that cannot be recorded leaves
 * no traces.
 * @param ini     resolved options as text, borrowed
 * @param config  the same as an object, borrowed
 * @param inputs  by name, what tells the contents apart; borrowed; added to those that are recorded
 * @param device  where the session works, "cpu"
 * @return SPX_OK, SPX_EIO, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_run_dir_record(spx_run_dir *run, const char *ini, json_t *config,
                                             json_t *inputs, const char *device);

void spx_run_dir_close(spx_run_dir *run); /* NULL is a no-op */

/** Removes the traces of a run that never began: its files, and the folder if it is empty then. */
void spx_run_dir_discard(const spx_run_dir *run);

/** False where the file system has no locks: then nothing keeps a second process out. */
bool spx_run_dir_locked(const spx_run_dir *run);

/** Whether the folder held a run before. */
bool spx_run_dir_resumed(const spx_run_dir *run);

/** The options of the first session, to refuse a resume that changes what may not change; borrowed;
 * NULL before a new run is recorded. */
const json_t *spx_run_dir_first_config(const spx_run_dir *run);

/** What the run was begun with, as recorded; borrowed; NULL of a new run and of one begun before
 * version 0.2. */
const json_t *spx_run_dir_inputs(const spx_run_dir *run);

/** "path/name". @return SPX_OK, SPX_EINVAL (longer than room) */
SPX_MUST_CHECK spx_status spx_run_dir_path(const spx_run_dir *run, const char *name, char *path,
                                           size_t room);

/** metrics.jsonl opened by spx_jsonl_open; the caller closes it. */
SPX_MUST_CHECK spx_status spx_run_dir_metrics(const spx_run_dir *run, uint64_t keep,
                                              spx_jsonl **out);

#endif
