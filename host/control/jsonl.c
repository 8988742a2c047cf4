#define _POSIX_C_SOURCE 200809L
#include "host/control/jsonl.h"
#include "host/control/json_text.h"

#include "kernels/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct spx_jsonl {
    int fd;
    uint64_t size;
    char *path;
};

static spx_status fail_io(const spx_jsonl *log, const char *what)
{
    return SPX_FAIL(SPX_EIO, "%s: %s: %s", log->path, what, strerror(errno));
}

/* Shortens *size to the end of the last whole line within it. */
static spx_status last_whole_line(const spx_jsonl *log, uint64_t *size)
{
    char block[4096];
    while (*size > 0) {
        const size_t want = *size < sizeof block ? (size_t)*size : sizeof block;
        const ssize_t got = pread(log->fd, block, want, (off_t)(*size - want));
        if (got != (ssize_t)want) {
            return fail_io(log, "read");
        }
        for (size_t i = want; i > 0; i--) {
            if (block[i - 1] == '\n') {
                *size -= want - i;
                return SPX_OK;
            }
        }
        *size -= want;
    }
    return SPX_OK;
}

static spx_status open_at(spx_jsonl *log, uint64_t keep)
{
    struct stat info;
    log->fd = open(log->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log->fd < 0 || fstat(log->fd, &info) != 0) {
        return fail_io(log, "open");
    }
    if (!S_ISREG(info.st_mode)) {
        return SPX_FAIL(SPX_EFORMAT, "%s: not a regular file", log->path);
    }
    log->size = (uint64_t)info.st_size < keep ? (uint64_t)info.st_size : keep;
    SPX_RETURN_IF(last_whole_line(log, &log->size));
    if (log->size != (uint64_t)info.st_size && ftruncate(log->fd, (off_t)log->size) != 0) {
        return fail_io(log, "truncate");
    }
    return SPX_OK;
}

spx_status spx_jsonl_open(spx_jsonl **out, const char *path, uint64_t keep)
{
    spx_status st;
    spx_jsonl *log = calloc(1, sizeof *log);
    *out = NULL;
    if (log == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%s", path);
    }
    log->fd = -1;
    log->path = strdup(path);
    st = log->path != NULL ? open_at(log, keep) : SPX_FAIL(SPX_ENOMEM, "%s", path);
    if (st != SPX_OK) {
        spx_jsonl_close(log);
        return st;
    }
    *out = log;
    return SPX_OK;
}

/* All n bytes or none. */
static spx_status append_bytes(spx_jsonl *log, const char *bytes, size_t n)
{
    if (!spx_write_fully(log->fd, bytes, n)) {
        const spx_status st = fail_io(log, "write");
        (void)!ftruncate(log->fd, (off_t)log->size); /* the first error is the one to tell */
        return st;
    }
    log->size += n;
    return SPX_OK;
}

spx_status spx_jsonl_append(spx_jsonl *log, json_t *record)
{
    spx_status st;
    char *text;
    size_t n;
    if (record == NULL) {
        return SPX_FAIL(SPX_EINVAL, "%s: a value is not a finite number", log->path);
    }
    text = spx_json_text(record, JSON_COMPACT); /* doubles are kept exactly */
    json_decref(record);
    if (text == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%s", log->path);
    }
    n = strlen(text);
    text[n] = '\n'; /* takes the terminator's place */
    st = append_bytes(log, text, n + 1);
    free(text);
    return st;
}

uint64_t spx_jsonl_size(const spx_jsonl *log)
{
    return log->size;
}

spx_status spx_jsonl_sync(spx_jsonl *log)
{
    return spx_file_sync(log->fd, log->path);
}

void spx_jsonl_close(spx_jsonl *log)
{
    if (log == NULL) {
        return;
    }
    if (log->fd >= 0) {
        (void)close(log->fd);
    }
    free(log->path);
    free(log);
}
