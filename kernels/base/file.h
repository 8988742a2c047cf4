#ifndef SPX_BASE_FILE_H
#define SPX_BASE_FILE_H
/*
 * The one place that writes files: as a whole or not at all. A file-size limit (RLIMIT_FSIZE) is
 * reported like a full disk provided that the program ignores SIGXFSZ, as main does.
 */
#include "kernels/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Borrowed bytes. */
typedef struct spx_span {
    const void *data; /* may be NULL when size is 0 */
    size_t size;
} spx_span;

/**
 * Makes path hold the concatenation of part[0..parts): written under a name of its own beside it
 * (".NAME.<16 hexadecimal digits>.tmp"), synced, renamed over it, and the folder synced. Readers
 * see the old file or the new one, whole; of several writers the last to rename wins.
 * - A symbolic link stays: the file it means is written, also where that one is absent.
 * - A file that is there keeps its mode, and owner and group where the process may set them (a
 *   group that cannot be kept gets what others may). Access lists and other names of the old file
 *   (hard links) do not follow. A new file has mode 0666 less the umask.
 * - A pipe, a terminal or another character device (/dev/null), and the process's own descriptors
 *   (/dev/stdout, /dev/fd/N) are written straight.
 * - What a killed writer left beside path is removed by a later call for path, an hour after its
 *   last write.
 * On failure path is as it was and the temporary file is gone (but where only the last step fails,
 * path holds the new bytes and the message says so).
 * @return SPX_OK, SPX_EINVAL (path too long), SPX_EIO (the message names the path and the reason)
 */
SPX_MUST_CHECK spx_status spx_file_replace(const char *path, const spx_span *part, size_t parts);

/** Writes a file's bytes to fd; path is for messages. */
typedef spx_status (*spx_file_fill)(void *ctx, int fd, const char *path);

/** spx_file_replace by what fill writes, for what is larger than memory. @return also what fill
 * returns */
SPX_MUST_CHECK spx_status spx_file_replace_by(const char *path, spx_file_fill fill, void *ctx);

/**
 * The same for what only its owner may read: weights, keys. A new file has mode 0600; one that is
 * there loses whatever its mode allows to group and others.
 */
SPX_MUST_CHECK spx_status spx_file_replace_secret(const char *path, const spx_span *part,
                                                  size_t parts);

#define SPX_TEMP_FOLDER 1024

/**
 * Makes a new folder that only its owner may enter, "sphynx-WHAT-XXXXXX" in $TMPDIR, or in /tmp
 * where that is unset or empty. The caller removes it.
 * @param what  a word
 * @return SPX_OK, SPX_EINVAL ($TMPDIR is too long), SPX_EIO (names the folder, $TMPDIR and why)
 */
SPX_MUST_CHECK spx_status spx_temp_folder(char path[SPX_TEMP_FOLDER], const char *what);

/** The folder of path, synced: names in it are durable then. */
SPX_MUST_CHECK spx_status spx_file_sync_folder(const char *path);

/** Writes all of n bytes, also where it takes several calls; false leaves the reason in errno. */
SPX_MUST_CHECK bool spx_write_fully(int fd, const void *data, size_t n);

/**
 * Reads all of the n bytes at an offset, without moving fd's own.
 * @param path  for the message, which names the offset
 * @return SPX_OK, SPX_EIO (also where the file ends before)
 */
SPX_MUST_CHECK spx_status spx_file_read_at(int fd, const char *path, uint64_t at, void *data,
                                           size_t n);

/**
 * fsync of an open file or folder; a file system that has no such thing is no failure.
 * @param path  for the message
 * @return SPX_OK, SPX_EIO
 */
SPX_MUST_CHECK spx_status spx_file_sync(int fd, const char *path);

/** Whether a folder's entry is what a killed spx_file_replace leaves (see there). */
bool spx_file_is_leftover(const char *name);

/**
 * The file that an input names: given itself, or where that is a folder, NAME in it.
 * @return SPX_OK, also where there is no such file; SPX_EINVAL (longer than room)
 */
SPX_MUST_CHECK spx_status spx_file_within(char *path, size_t room, const char *given,
                                          const char *name);

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

/** The same from an open descriptor; name is for messages. */
SPX_MUST_CHECK spx_status spx_file_read_open(int fd, const char *name, size_t max_bytes,
                                             void **data, size_t *size);

#endif
