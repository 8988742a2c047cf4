/* Writing the HDF5 files of a pack of stored pictures; the layout is in pack_store.h. */
#define _DEFAULT_SOURCE /* realpath */
#include "data/augment/augment.h"
#include "data/pack/pack_crc_private.h"
#include "data/pack/pack_private.h"
#include "data/pack/pack_write_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_BYTES 32
#define SHARD_DIGITS 8 /* of the digest, in a shard's name */

/* ---- the index ---- */

/* The log's records of one split. */
typedef struct rows {
    const spx_shard_job *j;
    spx_split split;
    const spx_record *at;
    size_t n;
    uint64_t begin; /* bytes before them */
} rows;

static spx_status add_column(spx_h5_out *w, const rows *r, const char *what, spx_h5_type type,
                             size_t n, const void *data)
{
    const int64_t dims = (int64_t)n;
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s/%s", spx_split_name(r->split), what);
    return spx_h5_add(w, name, type, 1, &dims, data);
}

static spx_status add_names(spx_h5_out *w, const rows *r)
{
    size_t bytes = 0, at = 0;
    char *names;
    spx_status st;
    for (size_t i = 0; i < r->n; i++) {
        bytes += strlen(spx_pack_list_item(r->j->list, r->at[i].item).name) + 1;
    }
    SPX_RETURN_IF(SPX_NEW(names, bytes));
    for (size_t i = 0; i < r->n; i++) {
        const char *name = spx_pack_list_item(r->j->list, r->at[i].item).name;
        const size_t n = strlen(name) + 1;
        memcpy(names + at, name, n);
        at += n;
    }
    st = add_column(w, r, "names", SPX_H5_U8, bytes, names);
    spx_free(names);
    return st;
}

/* The columns of r, each in turn in `cells` (8 bytes a row). */
static spx_status fill_columns(spx_h5_out *w, const rows *r, void *cells)
{
    uint16_t *words = cells;
    uint32_t *crc = cells;
    int64_t *ends = cells;
    int64_t end = (int64_t)r->begin;
    for (size_t i = 0; i < r->n; i++) {
        words[i] = spx_pack_list_item(r->j->list, r->at[i].item).label;
    }
    SPX_RETURN_IF(add_column(w, r, "labels", SPX_H5_U16, r->n, words));
    for (size_t i = 0; i < r->n; i++) {
        crc[i] = r->at[i].crc;
    }
    SPX_RETURN_IF(add_column(w, r, "crc", SPX_H5_U32, r->n, crc));
    SPX_RETURN_IF(add_names(w, r));
    if (r->j->o->form == SPX_STORE_RAW) {
        return SPX_OK;
    }
    for (size_t i = 0; i < r->n; i++) {
        end += r->at[i].size;
        ends[i] = end;
    }
    SPX_RETURN_IF(add_column(w, r, "ends", SPX_H5_I64, r->n, ends));
    for (size_t i = 0; i < r->n; i++) {
        words[i] = (uint16_t)r->at[i].height;
    }
    SPX_RETURN_IF(add_column(w, r, "heights", SPX_H5_U16, r->n, words));
    for (size_t i = 0; i < r->n; i++) {
        words[i] = (uint16_t)r->at[i].width;
    }
    return add_column(w, r, "widths", SPX_H5_U16, r->n, words);
}

static spx_status add_columns(spx_h5_out *w, const rows *r)
{
    void *cells;
    spx_status st;
    if (r->n == 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_calloc(&cells, r->n, sizeof(int64_t)));
    st = fill_columns(w, r, cells);
    spx_free(cells);
    return st;
}

/* Begins a file with the log's pictures and their index. */
static spx_status begin_file(const spx_shard_job *j, const char *format, spx_h5_out **w,
                             size_t count[SPX_SPLIT_COUNT])
{
    const spx_pack_log *log = j->log;
    const int64_t side = j->o->side, schema = SPX_STORE_SCHEMA;
    const int64_t raw[] = {(int64_t)log->records, log->sum.channels, side, side};
    const int64_t bytes = (int64_t)log->bytes;
    int64_t begin[SPX_SPLIT_COUNT] = {0, 0};
    count[SPX_SPLIT_TRAIN] = 0;
    while (count[SPX_SPLIT_TRAIN] < log->records &&
           spx_pack_list_item(j->list, log->record[count[SPX_SPLIT_TRAIN]].item).split ==
               SPX_SPLIT_TRAIN) {
        begin[1] += log->record[count[SPX_SPLIT_TRAIN]++].size;
    }
    count[SPX_SPLIT_TEST] = log->records - count[SPX_SPLIT_TRAIN];
    SPX_RETURN_IF(j->o->form == SPX_STORE_RAW ? spx_h5_create_apart(w, "data", 4, raw)
                                              : spx_h5_create_apart(w, "data", 1, &bytes));
    SPX_RETURN_IF(spx_h5_add_text(*w, "", "format", format));
    SPX_RETURN_IF(spx_h5_add_attr(*w, "", "schema", SPX_H5_I64, 1, &schema));
    SPX_RETURN_IF(spx_h5_add_attr(*w, "", "begin", SPX_H5_I64, SPX_SPLIT_COUNT, begin));
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        const rows r = {j, (spx_split)s,
                        log->record + (s == SPX_SPLIT_TRAIN ? 0 : count[SPX_SPLIT_TRAIN]), count[s],
                        (uint64_t)begin[s]};
        SPX_RETURN_IF(add_columns(*w, &r));
    }
    return SPX_OK;
}

/* Copies the pictures from the log. */
static spx_status write_pictures(void *ctx, int fd, const char *path)
{
    const spx_pack_log *log = ctx;
    uint32_t largest = 0;
    unsigned char *bytes;
    spx_status st = SPX_OK;
    for (size_t i = 0; i < log->records; i++) {
        largest = log->record[i].size > largest ? log->record[i].size : largest;
    }
    SPX_RETURN_IF(SPX_NEW(bytes, largest));
    for (size_t i = 0; i < log->records && st == SPX_OK; i++) {
        const spx_record *r = &log->record[i];
        st = spx_file_read_at(log->fd, log->path, r->at, bytes, r->size);
        if (st == SPX_OK && spx_pack_crc(bytes, r->size) != r->crc) {
            st = SPX_FAIL(SPX_EIO, "%s: offset %llu: not the bytes that were written there",
                          log->path, (unsigned long long)r->at);
        } else if (st == SPX_OK && !spx_write_fully(fd, bytes, r->size)) {
            st = SPX_FAIL(SPX_EIO, "%s: cannot write: %s", path, strerror(errno));
        }
    }
    spx_free(bytes);
    return st;
}

/* ---- shards ---- */

/* Length of the pack's path without ".h5", and where its last part begins. */
static size_t stem(const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    const size_t n = strlen(path);
    *name = slash != NULL ? slash + 1 : path;
    return n > 3 && strcmp(path + n - 3, ".h5") == 0 && path + n - 3 > *name ? n - 3 : n;
}

/* "DIR/X.001-01234567.h5" for shard number i. */
static spx_status shard_path(const spx_shard_job *j, uint32_t i, const char *digest,
                             char to[PATH_MAX])
{
    const char *name;
    const int n = (int)stem(j->path, &name);
    const int length =
        snprintf(to, PATH_MAX, "%.*s.%03u-%.*s.h5", n, j->path, i + 1, SHARD_DIGITS, digest);
    return length < PATH_MAX ? SPX_OK : SPX_FAIL(SPX_EINVAL, "%s: the path is too long", j->path);
}

spx_status spx_shard_write(const spx_shard_job *j, spx_shard *shard)
{
    char path[PATH_MAX];
    size_t count[SPX_SPLIT_COUNT];
    spx_h5_out *w = NULL;
    spx_status st;
    SPX_TRY(st, begin_file(j, SPX_SHARD_FORMAT, &w, count), done);
    SPX_TRY(st, spx_h5_finish_apart(w, shard->digest), done);
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        shard->count[s] = (uint32_t)count[s];
    }
    SPX_TRY(st, shard_path(j, j->log->sum.shards, shard->digest, path), done);
    st = spx_h5_commit_apart(w, path, write_pictures, j->log);
done:
    spx_h5_discard(w);
    return st;
}

/* ---- the pack's own file ---- */

static spx_status add_shards(spx_h5_out *w, const spx_shard_job *j)
{
    const spx_packed *sum = &j->log->sum;
    const size_t room = (size_t)sum->shards * (NAME_MAX + SPX_H5_DIGEST_CHARS + 32) + 1;
    char *text, path[PATH_MAX], link[32];
    size_t at = 0;
    spx_status st = SPX_OK;
    SPX_RETURN_IF(SPX_NEW(text, room));
    for (uint32_t i = 0; i < sum->shards && st == SPX_OK; i++) {
        const spx_shard *s = &sum->shard[i];
        const char *name;
        SPX_TRY(st, shard_path(j, i, s->digest, path), done);
        (void)stem(path, &name);
        at += (size_t)snprintf(text + at, room - at, "%s %u %u %s\n", s->digest,
                               s->count[SPX_SPLIT_TRAIN], s->count[SPX_SPLIT_TEST], name);
        (void)snprintf(link, sizeof link, "shards/%03u", i + 1);
        st = spx_h5_add_link(w, link, name);
    }
    if (st == SPX_OK) {
        st = spx_h5_add_text(w, "", "shards", text);
    }
done:
    spx_free(text);
    return st;
}

static spx_status add_bad(spx_h5_out *w, const spx_shard_job *j)
{
    const spx_packed *sum = &j->log->sum;
    int64_t bytes = 0;
    size_t size;
    char *names;
    spx_status st;
    if (sum->bads == 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_pack_bad_names(j->list, sum, &names, &size));
    bytes = (int64_t)size;
    st = spx_h5_add(w, "bad", SPX_H5_U8, 1, &bytes, names);
    spx_free(names);
    return st;
}

static spx_status add_moments(spx_h5_out *w, const spx_shard_job *j)
{
    const spx_packed *sum = &j->log->sum;
    const spx_pack *about = spx_pack_list_about(j->list);
    const int channels = (int)sum->channels;
    const spx_split split = sum->count[SPX_SPLIT_TRAIN] > 0 ? SPX_SPLIT_TRAIN : SPX_SPLIT_TEST;
    double mean[SPX_PACK_MAX_CHANNELS], std[SPX_PACK_MAX_CHANNELS];
    int64_t v[SPX_SPLIT_COUNT * SPX_STORE_MOMENTS], *at = v;
    memcpy(mean, about->mean, sizeof mean);
    memcpy(std, about->std, sizeof std);
    if (!(std[0] > 0)) {
        spx_store_moments_take(&sum->moments[split], channels, mean, std);
        for (int c = 0; c < channels; c++) {
            std[c] = std[c] < SPX_STD_MIN ? 1 : std[c];
        }
    }
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        *at++ = (int64_t)sum->moments[s].pixels;
        for (int c = 0; c < SPX_STORE_CHANNELS; c++) {
            *at++ = (int64_t)sum->moments[s].sum[c];
        }
        for (int c = 0; c < SPX_STORE_CHANNELS; c++) {
            *at++ = (int64_t)sum->moments[s].squares[c];
        }
    }
    SPX_RETURN_IF(spx_h5_add_attr(w, "", "mean", SPX_H5_F64, (size_t)channels, mean));
    SPX_RETURN_IF(spx_h5_add_attr(w, "", "std", SPX_H5_F64, (size_t)channels, std));
    return spx_h5_add_attr(w, "", "moments", SPX_H5_I64, sizeof v / sizeof v[0], v);
}

/* Not where they were: equal pictures give equal packs wherever they lie. */
static spx_status add_sources(spx_h5_out *w, const spx_shard_job *j)
{
    const spx_packed *sum = &j->log->sum;
    const char *before = spx_pack_list_about(j->list)->sources;
    crypto_hash_sha256_state state = sum->sources;
    unsigned char digest[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof digest + 1], *text;
    size_t room;
    spx_status st;
    before = before != NULL ? before : "";
    room = strlen(before) + sizeof hex + 80;
    (void)crypto_hash_sha256_final(&state, digest);
    (void)sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
    SPX_RETURN_IF(SPX_NEW(text, room));
    (void)snprintf(text, room, "%s%s  %u pictures (of their SHA-256, in order)\n", before, hex,
                   sum->count[0] + sum->count[1]);
    st = spx_h5_add_text(w, "", "sources", text);
    spx_free(text);
    return st;
}

static spx_status describe(spx_h5_out *w, const spx_shard_job *j)
{
    const spx_packed *sum = &j->log->sum;
    const spx_pack *about = spx_pack_list_about(j->list);
    const int64_t channels = sum->channels, size[] = {sum->height, sum->width};
    const int64_t counts[] = {sum->count[SPX_SPLIT_TRAIN], sum->count[SPX_SPLIT_TEST]};
    char print[2 * sizeof j->log->print + 1];
    (void)sodium_bin2hex(print, sizeof print, j->log->print, sizeof j->log->print);
    SPX_RETURN_IF(spx_h5_add_text(w, "", "dataset", about->dataset));
    SPX_RETURN_IF(spx_h5_add_text(w, "", "classes", about->class_names));
    SPX_RETURN_IF(spx_h5_add_text(w, "", "form", j->form));
    SPX_RETURN_IF(spx_h5_add_text(w, "", "fingerprint", print));
    SPX_RETURN_IF(spx_h5_add_attr(w, "", "channels", SPX_H5_I64, 1, &channels));
    SPX_RETURN_IF(spx_h5_add_attr(w, "", "size", SPX_H5_I64, 2, size));
    SPX_RETURN_IF(spx_h5_add_attr(w, "", "counts", SPX_H5_I64, SPX_SPLIT_COUNT, counts));
    SPX_RETURN_IF(add_moments(w, j));
    SPX_RETURN_IF(add_sources(w, j));
    SPX_RETURN_IF(add_shards(w, j));
    return add_bad(w, j);
}

spx_status spx_shard_write_last(const spx_shard_job *j)
{
    char digest[SPX_H5_DIGEST_CHARS];
    size_t count[SPX_SPLIT_COUNT];
    spx_h5_out *w = NULL;
    spx_status st;
    SPX_TRY(st, begin_file(j, SPX_PACK_FORMAT, &w, count), done);
    SPX_TRY(st, describe(w, j), done);
    SPX_TRY(st, spx_h5_finish_apart(w, digest), done);
    st = spx_h5_commit_apart(w, j->path, write_pictures, j->log);
done:
    spx_h5_discard(w);
    return st;
}

/* ---- what is left of packs before ---- */

/* Whether name is "STEM.<digits>-<8 hexadecimal digits>.h5". */
static bool is_shard_name(const char *name, const char *of, size_t n)
{
    size_t digits;
    if (strncmp(name, of, n) != 0 || name[n] != '.') {
        return false;
    }
    name += n + 1;
    digits = strspn(name, "0123456789");
    return digits >= 3 && name[digits] == '-' &&
           strspn(name + digits + 1, "0123456789abcdef") == SHARD_DIGITS &&
           strcmp(name + digits + 1 + SHARD_DIGITS, ".h5") == 0;
}

/* Whether the list of shards has a line that ends in " file". */
static bool is_named(const char *shards, const char *file)
{
    const size_t n = strlen(file);
    for (const char *at = strstr(shards, file); at != NULL; at = strstr(at + 1, file)) {
        if (at > shards && at[-1] == ' ' && at[n] == '\n') {
            return true;
        }
    }
    return false;
}

/* What a killed packing left half written: ".NAME.<16 digits>.tmp" of a shard or the pack. */
static bool is_half_written(const char *name, const char *pack, const char *of, size_t n)
{
    const size_t length = strlen(name), tail = sizeof ".0123456789abcdef.tmp" - 1;
    char base[NAME_MAX + 1];
    if (!spx_file_is_leftover(name) || length < 1 + tail || length > NAME_MAX) {
        return false;
    }
    (void)snprintf(base, sizeof base, "%.*s", (int)(length - 1 - tail), name + 1);
    return strcmp(base, pack) == 0 || is_shard_name(base, of, n);
}

void spx_shard_sweep_half_written(const char *pack)
{
    char folder[PATH_MAX], path[PATH_MAX];
    const struct dirent *entry;
    const char *of;
    const size_t n = stem(pack, &of) - (size_t)(of - pack);
    DIR *dir;
    (void)snprintf(folder, sizeof folder, "%.*s.", (int)(of - pack), pack);
    dir = opendir(folder);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (is_half_written(entry->d_name, of, of, n) &&
            spx_path_join(path, folder, entry->d_name)) {
            (void)unlink(path);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

/* A file of ours, not one that merely is called so. */
static bool is_shard(const char *path)
{
    char *format = NULL;
    spx_h5 *f;
    bool is = false;
    if (spx_h5_open(&f, path, SPX_H5_CHECKED) == SPX_OK) {
        is = spx_h5_read_text(f, "", "format", &format) == SPX_OK &&
             strcmp(format, SPX_SHARD_FORMAT) == 0;
        spx_free(format);
        spx_h5_close(f);
    }
    return is;
}

/* The list of shards of the pack at path; "" where it has none. */
static spx_status read_shards(const char *path, char **shards)
{
    spx_h5 *f;
    spx_status st;
    SPX_RETURN_IF(spx_h5_open(&f, path, SPX_H5_CHECKED));
    st = spx_h5_has_attr(f, "", "shards") ? spx_h5_read_text(f, "", "shards", shards)
                                          : spx_pack_copy_text(shards, "");
    spx_h5_close(f);
    return st;
}

void spx_shard_sweep(const char *pack)
{
    char folder[PATH_MAX], path[PATH_MAX], real[PATH_MAX], *shards = NULL;
    const struct dirent *entry;
    const char *of;
    size_t n;
    DIR *dir;
    if (realpath(pack, real) == NULL || read_shards(real, &shards) != SPX_OK) {
        return;
    }
    n = stem(real, &of) - (size_t)(of - real);
    (void)snprintf(folder, sizeof folder, "%.*s.", (int)(of - real), real);
    dir = opendir(folder);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (is_shard_name(entry->d_name, of, n) && !is_named(shards, entry->d_name) &&
            spx_path_join(path, folder, entry->d_name) && is_shard(path)) {
            (void)unlink(path);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    spx_free(shards);
}
