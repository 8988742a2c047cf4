#ifndef SPX_CONTROL_JSONL_H
#define SPX_CONTROL_JSONL_H
/* A log of JSON objects, one a line, that survives being killed at any moment. */
#include "kernels/base/status.h"

#include <jansson.h>
#include <stdint.h>

typedef struct spx_jsonl spx_jsonl;

#define SPX_JSONL_KEEP_ALL UINT64_MAX

/**
 * Opens for appending, creating the file where it is absent. A last line without its end (torn by
 * a kill or a full disk) is cut off.
 * @param keep  bytes to keep: what spx_jsonl_size gave when the checkpoint was written, so that a
 *              resumed run does not repeat lines; a keep inside a line also drops that line
 * @return SPX_OK, SPX_EIO, SPX_EFORMAT (not a regular file), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_jsonl_open(spx_jsonl **out, const char *path, uint64_t keep);

/**
 * Appends one line and releases record. The line reaches the kernel before the call returns, the
 * disk at the next spx_jsonl_sync. On failure the file is as it was.
 * @param record  NULL is refused: jansson makes it of a number that is not finite
 * @return SPX_OK, SPX_EINVAL (NULL), SPX_EIO, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_jsonl_append(spx_jsonl *log, json_t *record);

/** Bytes of whole lines, for the checkpoint. */
uint64_t spx_jsonl_size(const spx_jsonl *log);

/** Forces the lines to disk; call it before a checkpoint that relies on them. */
SPX_MUST_CHECK spx_status spx_jsonl_sync(spx_jsonl *log);

void spx_jsonl_close(spx_jsonl *log); /* NULL is a no-op; sync first where loss matters */

#endif
