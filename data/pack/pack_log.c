/*
 * The log of a packing: X.h5.part. A header says from what it is made and what finished shards
 * hold; then a record a picture. Each part has a checksum, and what follows the last whole record
 * is cut off when it is opened again. Its form is no format: no other version of the program reads
 * it.
 */
#define _DEFAULT_SOURCE /* PATH_MAX */
#include "data/pack/pack_write_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/lock.h"
#include "kernels/base/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define MAGIC "SPXPART1"
#define MAGIC_BYTES 8
#define SYNC_BYTES ((uint64_t)64 << 20)
#define NEW_SUFFIX ".new"

/* ---- fields ---- */

static void moments_fields(spx_wire *w, spx_store_moments *m)
{
    spx_wire_u64(w, &m->pixels);
    for (int c = 0; c < SPX_STORE_CHANNELS; c++) {
        spx_wire_u64(w, &m->sum[c]);
        spx_wire_u64(w, &m->squares[c]);
    }
}

static void record_fields(spx_wire *w, void *message)
{
    spx_record *r = message;
    spx_wire_u32(w, &r->item);
    spx_wire_u32(w, &r->bad);
    spx_wire_u32(w, &r->size);
    spx_wire_u32(w, &r->crc);
    spx_wire_u32(w, &r->height);
    spx_wire_u32(w, &r->width);
    spx_wire_bytes(w, r->sha, sizeof r->sha);
    moments_fields(w, &r->moments);
}

/* Of the header but for its lists. */
static void packed_fields(spx_wire *w, void *message)
{
    spx_pack_log *log = message;
    spx_packed *p = &log->sum;
    spx_wire_bytes(w, log->print, sizeof log->print);
    spx_wire_u32(w, &p->next);
    spx_wire_u32(w, &p->channels);
    spx_wire_u32(w, &p->height);
    spx_wire_u32(w, &p->width);
    spx_wire_u32(w, &p->bads);
    spx_wire_u32(w, &p->shards);
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        spx_wire_u32(w, &p->count[s]);
        moments_fields(w, &p->moments[s]);
    }
    spx_wire_bytes(w, &p->sources, sizeof p->sources); /* this program reads it again */
    spx_wire_bytes(w, p->why, sizeof p->why);
}

static void lists_fields(spx_wire *w, void *message)
{
    spx_packed *p = &((spx_pack_log *)message)->sum;
    for (uint32_t i = 0; i < p->bads; i++) {
        spx_wire_u32(w, &p->bad[i]);
    }
    for (uint32_t i = 0; i < p->shards; i++) {
        spx_wire_bytes(w, p->shard[i].digest, sizeof p->shard[i].digest);
        for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
            spx_wire_u32(w, &p->shard[i].count[s]);
        }
    }
}

/* ---- writing ---- */

static spx_status put(spx_pack_log *log, const void *data, size_t n)
{
    if (!spx_write_fully(log->fd, data, n)) {
        return SPX_FAIL(SPX_EIO, "%s: cannot write: %s", log->path, strerror(errno));
    }
    log->size += n;
    log->total += n;
    return SPX_OK;
}

/* A block of fields followed by its checksum. */
static spx_status put_fields(spx_pack_log *log, spx_wire_fields *fields, void *message)
{
    const size_t n = spx_wire_size(fields, message);
    unsigned char *block;
    spx_wire crc;
    uint32_t sum;
    spx_status st;
    SPX_RETURN_IF(SPX_NEW(block, n + 4));
    (void)spx_wire_put(fields, message, block, n);
    sum = (uint32_t)crc32_z(0, block, n);
    crc = spx_wire_to(block + n, 4);
    spx_wire_u32(&crc, &sum);
    st = put(log, block, n + 4);
    spx_free(block);
    return st;
}

static spx_status in_use(const char *path)
{
    return SPX_FAIL(SPX_EINVAL, "%s: another process is packing into it", path);
}

static spx_status lock(int fd, const char *path)
{
    spx_lock held;
    SPX_RETURN_IF(spx_lock_take(fd, path, &held));
    return held == SPX_LOCK_IN_USE ? in_use(path) : SPX_OK;
}

/* Fills a new log, which is locked, and gives it its name. */
static spx_status put_header(spx_pack_log *log, const char *fresh)
{
    if (ftruncate(log->fd, 0) != 0) {
        return SPX_FAIL(SPX_EIO, "%s: %s", fresh, strerror(errno));
    }
    SPX_RETURN_IF(put(log, MAGIC, MAGIC_BYTES));
    SPX_RETURN_IF(put_fields(log, packed_fields, log));
    SPX_RETURN_IF(put_fields(log, lists_fields, log));
    SPX_RETURN_IF(spx_file_sync(log->fd, fresh));
    log->synced = log->size;
    return rename(fresh, log->path) == 0
               ? SPX_OK
               : SPX_FAIL(SPX_EIO, "%s: cannot rename onto it: %s", log->path, strerror(errno));
}

spx_status spx_log_begin(spx_pack_log *log)
{
    char fresh[PATH_MAX + sizeof NEW_SUFFIX];
    const int old = log->fd;
    spx_status st;
    (void)snprintf(fresh, sizeof fresh, "%s" NEW_SUFFIX, log->path);
    log->fd = open(fresh, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (log->fd < 0) {
        log->fd = old;
        return SPX_FAIL(SPX_EIO, "%s: cannot create it: %s", fresh, strerror(errno));
    }
    log->size = 0;
    st = lock(log->fd, log->path); /* before it has the name by which others find it */
    if (st == SPX_OK) {
        st = old < 0 && access(log->path, F_OK) == 0 ? in_use(log->path) : put_header(log, fresh);
        if (st == SPX_OK) {
            st = spx_file_sync_folder(log->path);
        } else {
            (void)unlink(fresh);
        }
    }
    if (old >= 0) {
        (void)close(old);
    }
    return st;
}

/* ---- what a record adds ---- */

static spx_status take(spx_pack_log *log, const spx_pack_list *list, const spx_record *r,
                       const char *why)
{
    const spx_split split = spx_pack_list_item(list, r->item).split;
    spx_packed *p = &log->sum;
    spx_store_moments *m = &p->moments[split];
    p->next = r->item + 1;
    if (r->bad != 0) {
        SPX_RETURN_IF(SPX_GROW(p->bad, p->bads, p->bad_room));
        if (p->bads == 0) {
            (void)snprintf(p->why, sizeof p->why, "%.*s", (int)r->size, why);
        }
        p->bad[p->bads++] = r->item;
        return SPX_OK;
    }
    SPX_RETURN_IF(SPX_GROW(log->record, log->records, log->record_room));
    log->record[log->records++] = *r;
    log->bytes += r->size;
    if (p->count[0] + p->count[1] == 0) {
        p->height = r->height;
        p->width = r->width;
    } else if (p->height != r->height || p->width != r->width) {
        p->height = p->width = 0;
    }
    p->count[split]++;
    m->pixels += r->moments.pixels;
    for (int c = 0; c < SPX_STORE_CHANNELS; c++) {
        m->sum[c] += r->moments.sum[c];
        m->squares[c] += r->moments.squares[c];
    }
    (void)crypto_hash_sha256_update(&p->sources, r->sha, sizeof r->sha);
    return SPX_OK;
}

spx_status spx_log_append(spx_pack_log *log, const spx_pack_list *list, const spx_record *r,
                          const void *bytes)
{
    spx_record copy = *r;
    SPX_RETURN_IF(put_fields(log, record_fields, &copy));
    copy.at = log->size;
    SPX_RETURN_IF(put(log, bytes, r->size));
    if (log->size - log->synced >= SYNC_BYTES) {
        SPX_RETURN_IF(spx_file_sync(log->fd, log->path));
        log->synced = log->size;
    }
    return take(log, list, &copy, bytes);
}

spx_status spx_log_add_shard(spx_pack_log *log, const spx_shard *shard)
{
    spx_packed *p = &log->sum;
    SPX_RETURN_IF(SPX_GROW(p->shard, p->shards, p->shard_room));
    p->shard[p->shards++] = *shard;
    log->records = 0;
    log->bytes = 0;
    return spx_log_begin(log);
}

/* ---- reading ---- */

/* A block of fields at *at; false where it is not whole. */
static bool get_fields(spx_pack_log *log, spx_wire_fields *fields, void *message, uint64_t *at)
{
    const size_t n = spx_wire_size(fields, message);
    unsigned char *block;
    uint32_t sum = 0;
    bool whole = false;
    if (*at > log->size || n + 4 > log->size - *at || SPX_NEW(block, n + 4) != SPX_OK) {
        return false;
    }
    if (spx_file_read_at(log->fd, log->path, *at, block, n + 4) == SPX_OK) {
        spx_wire crc = spx_wire_from(block + n, 4);
        spx_wire_u32(&crc, &sum);
        whole = sum == (uint32_t)crc32_z(0, block, n) && spx_wire_get(fields, message, block, n);
    }
    spx_free(block);
    *at += whole ? n + 4 : 0;
    return whole;
}

static spx_status read_header(spx_pack_log *log, uint64_t *at)
{
    unsigned char print[sizeof log->print];
    spx_packed *p = &log->sum;
    memcpy(print, log->print, sizeof print);
    *at = MAGIC_BYTES;
    if (!get_fields(log, packed_fields, log, at)) {
        return SPX_FAIL(SPX_EINVAL, "%s: damaged: leave out --resume to begin again", log->path);
    }
    if (memcmp(print, log->print, sizeof print) != 0) {
        return SPX_FAIL(SPX_EINVAL,
                        "%s: was begun with other pictures or options: give those, or leave out "
                        "--resume to begin again",
                        log->path);
    }
    SPX_RETURN_IF(SPX_NEW(p->bad, p->bads));
    SPX_RETURN_IF(SPX_NEW(p->shard, p->shards));
    p->bad_room = p->bads;
    p->shard_room = p->shards;
    return get_fields(log, lists_fields, log, at)
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "%s: damaged: leave out --resume to begin again", log->path);
}

/* Takes in the records that are whole and cuts off what follows. */
static spx_status read_records(spx_pack_log *log, const spx_pack_list *list, uint64_t at)
{
    unsigned char *bytes = NULL;
    size_t room = 0;
    spx_status st = SPX_OK;
    while (st == SPX_OK) {
        uint64_t next = at;
        spx_record r = {0};
        if (!get_fields(log, record_fields, &r, &next) || r.item != log->sum.next ||
            r.item >= spx_pack_list_count(list) || r.size > log->size - next ||
            r.size > SPX_STORE_MAX_PICTURE) {
            break;
        }
        if (r.size > room) {
            spx_free(bytes);
            room = r.size;
            SPX_TRY(st, SPX_NEW(bytes, room), done);
        }
        SPX_TRY(st, spx_file_read_at(log->fd, log->path, next, bytes, r.size), done);
        if (r.crc != (uint32_t)crc32_z(0, bytes, r.size)) {
            break;
        }
        r.at = next;
        at = next + r.size;
        st = take(log, list, &r, (const char *)bytes);
    }
    if (st == SPX_OK &&
        (ftruncate(log->fd, (off_t)at) != 0 || lseek(log->fd, (off_t)at, SEEK_SET) != (off_t)at)) {
        st = SPX_FAIL(SPX_EIO, "%s: cannot go on: %s", log->path, strerror(errno));
    }
    log->size = log->synced = log->total = at;
done:
    spx_free(bytes);
    return st;
}

/* Somebody's file of that name is neither read nor replaced. */
static spx_status check_magic(const spx_pack_log *log)
{
    unsigned char magic[MAGIC_BYTES] = {0};
    if (log->size >= MAGIC_BYTES) {
        SPX_RETURN_IF(spx_file_read_at(log->fd, log->path, 0, magic, sizeof magic));
    }
    return memcmp(magic, MAGIC, sizeof magic) == 0
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "%s: is there, and is no log of a packing: move it away",
                          log->path);
}

/* Opens and locks the log that has the name now; none is no failure. */
static spx_status open_old(spx_pack_log *log)
{
    struct stat mine, named;
    spx_status st;
    log->fd = open(log->path, O_RDWR | O_CLOEXEC);
    if (log->fd < 0) {
        return errno == ENOENT ? SPX_OK : SPX_FAIL(SPX_EIO, "%s: %s", log->path, strerror(errno));
    }
    st = lock(log->fd, log->path);
    if (st == SPX_OK && (fstat(log->fd, &mine) != 0 || stat(log->path, &named) != 0 ||
                         mine.st_dev != named.st_dev || mine.st_ino != named.st_ino)) {
        st = in_use(log->path);
    }
    if (st == SPX_OK) {
        log->size = (uint64_t)mine.st_size;
        st = check_magic(log);
    }
    if (st != SPX_OK) {
        (void)close(log->fd);
        log->fd = -1;
    }
    return st;
}

spx_status spx_log_open(spx_pack_log *log, const char *pack, const spx_pack_list *list, bool resume,
                        bool *resumed)
{
    uint64_t at;
    log->fd = -1;
    *resumed = false;
    if ((size_t)snprintf(log->path, sizeof log->path, "%s" SPX_PART_SUFFIX, pack) >=
        sizeof log->path) {
        return SPX_FAIL(SPX_EINVAL, "%s: the path is too long", pack);
    }
    SPX_RETURN_IF(open_old(log));
    if (log->fd < 0 || !resume) {
        return SPX_OK;
    }
    *resumed = true;
    SPX_RETURN_IF(read_header(log, &at));
    return read_records(log, list, at);
}

void spx_log_remove(spx_pack_log *log)
{
    if (log->fd >= 0) {
        (void)unlink(log->path);
    }
}

void spx_log_close(spx_pack_log *log)
{
    if (log->fd >= 0) {
        (void)close(log->fd);
    }
    spx_free(log->record);
    spx_free(log->sum.bad);
    spx_free(log->sum.shard);
    *log = (spx_pack_log){.fd = -1};
}
