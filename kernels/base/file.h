#ifndef SPX_BASE_FILE_H
#define SPX_BASE_FILE_H
/*
 * Files written as a whole or not at all. A file-size limit (RLIMIT_FSIZE) is reported like a full
 * disk provided that the program ignores SIGXFSZ, as main does.
 */
#include "kernels/base/status.h"

#include <stddef.h>

/** Borrowed bytes. */
typedef struct spx_span {
    const void *data; /* may be NULL when size is 0 */
    size_t size;
} spx_span;

/**
 * Makes path hold the concatenation of part[0..parts): written as path + ".tmp", synced, renamed
 * over path, and the folder synced. On failure path is as it was and the temporary file is gone
 * (but where only the last step fails, path holds the new bytes and the message says so); one left
 * by a killed process is overwritten by the next call. One writer per path at a time.
 * @return SPX_OK, SPX_EINVAL (path too long), SPX_EIO (the message names the path and the reason)
 */
SPX_MUST_CHECK spx_status spx_file_replace(const char *path, const spx_span *part, size_t parts);

/**
 * Reads the whole of path: a regular file, or a stream (a FIFO, a pipe such as /dev/stdin or a
 * shell's <(...), a terminal), until its end. "-" is standard input.
 * @param max_bytes  larger files are refused before anything is allocated, longer streams when
 * they pass it
 * @param data       receives size + 1 bytes, the last one 0, so that text may be used as a string;
 * free with spx_free. NULL on failure
 * @return SPX_OK, SPX_ENOTFOUND, SPX_EIO, SPX_EFORMAT (a folder, a device, too large), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_file_read(const char *path, size_t max_bytes, void **data,
                                        size_t *size);

#endif
