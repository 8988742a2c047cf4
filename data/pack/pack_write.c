/*
 * Packing: threads read, decode and convert pictures ahead; the caller's thread writes them in the
 * order of the list. So the pack does not depend on the threads, and a failure is that of the first
 * picture that fails.
 */
#define _DEFAULT_SOURCE /* realpath */
#include "data/pack/pack_write_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define SHARD_BYTES ((uint64_t)4 << 30)
#define SLOTS_A_THREAD 4
#define WINDOW_BYTES ((size_t)256 << 20) /* of pictures that wait to be written */
#define KEPT_BYTES ((uint64_t)64 << 20)  /* a shorter log is sooner made again than kept */

/* ---- options ---- */

static bool side_is_fine(int side)
{
    return side >= 1 && side <= SPX_PACK_MAX_SIDE;
}

static spx_status check_options(const spx_store_options *o)
{
    const bool ok = (unsigned)o->form <= SPX_STORE_RAW &&
                    (o->form == SPX_STORE_ORIGINAL || side_is_fine(o->side)) &&
                    (o->form != SPX_STORE_JPEG || (o->quality >= 1 && o->quality <= 100)) &&
                    (o->channels == 0 || o->channels == 1 || o->channels == 3) && o->threads >= 1 &&
                    o->threads <= SPX_POOL_MAX_THREADS;
    return ok ? SPX_OK
              : SPX_FAIL(SPX_EINVAL,
                         "pack: side %d of 1 to %d, quality %d of 1 to 100, %d channels of 0, 1, "
                         "3, %d threads of 1 to %d",
                         o->side, SPX_PACK_MAX_SIDE, o->quality, o->channels, o->threads,
                         SPX_POOL_MAX_THREADS);
}

static void form_text(const spx_store_options *o, char *text, size_t n)
{
    if (o->form == SPX_STORE_ORIGINAL) {
        (void)snprintf(text, n, "original");
    } else if (o->form == SPX_STORE_JPEG) {
        (void)snprintf(text, n, "jpeg:%d:%d", o->side, o->quality);
    } else {
        (void)snprintf(text, n, "raw:%d", o->side);
    }
}

spx_status spx_store_parse(const char *text, spx_store_options *o)
{
    int side = 1, quality = 1, end = 0;
    if (strcmp(text, "original") == 0) {
        o->form = SPX_STORE_ORIGINAL;
        end = (int)strlen(text);
    } else if (sscanf(text, "jpeg:%5d:%4d%n", &side, &quality, &end) == 2) {
        o->form = SPX_STORE_JPEG;
    } else if (sscanf(text, "raw:%5d%n", &side, &end) == 1) {
        o->form = SPX_STORE_RAW;
    }
    if (end == 0 || text[end] != '\0' || !side_is_fine(side) || quality < 1 || quality > 100) {
        return SPX_FAIL(SPX_EINVAL,
                        "'%.40s': expected original, jpeg:SIDE:QUALITY or raw:SIDE, with a side of "
                        "1 to %d and a quality of 1 to 100",
                        text, SPX_PACK_MAX_SIDE);
    }
    o->side = side;
    o->quality = quality;
    return SPX_OK;
}

/* Of all that the pack depends on but for the pictures' bytes. */
static void fingerprint(const spx_pack_list *list, const spx_store_options *o, const char *form,
                        unsigned char print[32])
{
    const spx_pack *about = spx_pack_list_about(list);
    crypto_generichash_state state;
    char text[256];
    (void)crypto_generichash_init(&state, NULL, 0, 32);
    (void)snprintf(text, sizeof text, "pack %d %s %d %llu %zu %s %d %.9g %.9g ", SPX_STORE_SCHEMA,
                   form, o->channels,
                   (unsigned long long)(o->shard_bytes > 0 ? o->shard_bytes : SHARD_BYTES),
                   sizeof(crypto_hash_sha256_state), about->dataset, about->classes, about->mean[0],
                   about->std[0]);
    (void)crypto_generichash_update(&state, (const unsigned char *)text, strlen(text) + 1);
    (void)crypto_generichash_update(&state, (const unsigned char *)about->class_names,
                                    strlen(about->class_names) + 1);
    for (size_t i = 0; i < spx_pack_list_count(list); i++) {
        const spx_pack_item item = spx_pack_list_item(list, i);
        const unsigned char key[3] = {(unsigned char)item.label, (unsigned char)(item.label >> 8),
                                      (unsigned char)item.split};
        (void)crypto_generichash_update(&state, (const unsigned char *)item.name,
                                        strlen(item.name) + 1);
        (void)crypto_generichash_update(&state, key, sizeof key);
    }
    (void)crypto_generichash_final(&state, print, 32);
}

/* ---- the window ---- */

typedef struct slot {
    bool done;
    spx_status st;
    char why[SPX_WHY_BYTES];
    spx_record record;
    void *bytes;
} slot;

/* Items [written, claimed) are under way, item i in slot i % slots. */
typedef struct window {
    const spx_pack_list *list;
    const spx_store_options *o;
    int channels;
    pthread_mutex_t lock;
    pthread_cond_t room, done;
    size_t items, claimed, written, slots, bytes;
    bool stop;
    slot *slot;
    pthread_t *thread;
    int threads;
} window;

static void make(const window *w, size_t item, slot *s)
{
    size_t size;
    memset(&s->record, 0, sizeof s->record);
    s->record.item = (uint32_t)item;
    s->st = spx_pack_list_read(w->list, item, &s->bytes, &size);
    if (s->st == SPX_OK) {
        s->st = spx_convert(w->o, w->channels, spx_pack_list_item(w->list, item).name, &s->bytes,
                            size, &s->record);
    }
    if (s->st != SPX_OK) {
        (void)snprintf(s->why, sizeof s->why, "%s", spx_error_message());
        spx_free(s->bytes);
        s->bytes = NULL;
    }
}

/* The item to be written next is always taken on, however full the window is. */
static bool may_claim(const window *w)
{
    return w->claimed - w->written < w->slots &&
           (w->bytes < WINDOW_BYTES || w->claimed == w->written);
}

static void *work(void *context)
{
    window *w = context;
    (void)pthread_mutex_lock(&w->lock);
    while (!w->stop && w->claimed < w->items) {
        if (may_claim(w)) {
            const size_t item = w->claimed++;
            slot *s = &w->slot[item % w->slots];
            (void)pthread_mutex_unlock(&w->lock);
            make(w, item, s);
            (void)pthread_mutex_lock(&w->lock);
            w->bytes += s->record.size;
            s->done = true;
            (void)pthread_cond_signal(&w->done);
        } else {
            (void)pthread_cond_wait(&w->room, &w->lock);
        }
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void stop_threads(window *w)
{
    (void)pthread_mutex_lock(&w->lock);
    w->stop = true;
    (void)pthread_cond_broadcast(&w->room);
    (void)pthread_mutex_unlock(&w->lock);
    while (w->threads > 0) {
        (void)pthread_join(w->thread[--w->threads], NULL);
    }
}

static void window_close(window *w)
{
    stop_threads(w);
    for (size_t i = 0; w->slot != NULL && i < w->slots; i++) {
        spx_free(w->slot[i].bytes);
    }
    spx_free(w->slot);
    spx_free(w->thread);
    (void)pthread_mutex_destroy(&w->lock);
    (void)pthread_cond_destroy(&w->room);
    (void)pthread_cond_destroy(&w->done);
}

static spx_status window_open(window *w, int threads)
{
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->room, NULL);
    (void)pthread_cond_init(&w->done, NULL);
    w->slots = SLOTS_A_THREAD * (size_t)threads;
    SPX_RETURN_IF(SPX_NEW(w->slot, w->slots));
    SPX_RETURN_IF(SPX_NEW(w->thread, (size_t)threads));
    for (; w->threads < threads; w->threads++) {
        if (pthread_create(&w->thread[w->threads], NULL, work, w) != 0) {
            return SPX_FAIL(SPX_EDEVICE, "pack: could not start thread %d of %d", w->threads + 1,
                            threads);
        }
    }
    return SPX_OK;
}

/* Waits for the next item. */
static slot *window_next(window *w)
{
    slot *s = &w->slot[w->written % w->slots];
    (void)pthread_mutex_lock(&w->lock);
    while (!s->done) {
        (void)pthread_cond_wait(&w->done, &w->lock);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return s;
}

static void window_written(window *w, slot *s)
{
    (void)pthread_mutex_lock(&w->lock);
    w->bytes -= s->record.size;
    spx_free(s->bytes);
    s->bytes = NULL;
    s->done = false;
    w->written++;
    (void)pthread_cond_broadcast(&w->room);
    (void)pthread_mutex_unlock(&w->lock);
}

/* ---- writing ---- */

static bool is_bad(spx_status st)
{
    return st == SPX_EFORMAT || st == SPX_EUNSUPPORTED;
}

/* why: of the first. */
static spx_status too_many(uint32_t bads, const char *why)
{
    return SPX_FAIL(
        SPX_EFORMAT,
        "%s; %u picture%s cannot be decoded so far, --allow-bad N leaves out up to N of "
        "them",
        why, bads, bads > 1 ? "s" : "");
}

/* A picture that does not decode is left out, or one too many. */
static spx_status take_bad(const spx_shard_job *j, const slot *s)
{
    spx_packed *sum = &j->log->sum;
    spx_record r = {.item = s->record.item, .bad = 1, .size = (uint32_t)strlen(s->why)};
    if (sum->bads >= j->o->allow_bad) { /* not in the log, but in the report */
        SPX_RETURN_IF(SPX_GROW(sum->bad, sum->bads, sum->bad_room));
        sum->bad[sum->bads++] = r.item;
        return too_many(sum->bads, sum->bads > 1 ? sum->why : s->why);
    }
    r.crc = (uint32_t)crc32_z(0, (const unsigned char *)s->why, r.size);
    return spx_log_append(j->log, j->list, &r, s->why);
}

static spx_status take_good(const spx_shard_job *j, const slot *s)
{
    const uint64_t most = j->o->shard_bytes > 0 ? j->o->shard_bytes : SHARD_BYTES;
    if (j->log->records > 0 && j->log->bytes + s->record.size > most) {
        spx_shard shard;
        SPX_RETURN_IF(spx_shard_write(j, &shard));
        SPX_RETURN_IF(spx_log_add_shard(j->log, &shard));
    }
    return spx_log_append(j->log, j->list, &s->record, s->bytes);
}

static spx_status take_all(const spx_shard_job *j, window *w)
{
    spx_status st = SPX_OK;
    while (st == SPX_OK && w->written < w->items) {
        slot *s;
        if (j->o->stop != NULL && j->o->stop(j->o->ctx)) {
            return SPX_FAIL(SPX_EINTERRUPTED,
                            "%s: stopped after %zu of %zu pictures: --resume goes on", j->path,
                            w->written, w->items);
        }
        if (j->o->show != NULL) {
            j->o->show(j->o->ctx, w->written, w->items);
        }
        s = window_next(w);
        if (s->st == SPX_OK) {
            st = take_good(j, s);
        } else if (is_bad(s->st)) {
            st = take_bad(j, s);
        } else {
            st = SPX_FAIL(s->st, "%s", s->why);
        }
        window_written(w, s);
    }
    return st;
}

static spx_status pack_rest(const spx_shard_job *j)
{
    window w = {.list = j->list,
                .o = j->o,
                .channels = (int)j->log->sum.channels,
                .items = spx_pack_list_count(j->list),
                .claimed = j->log->sum.next,
                .written = j->log->sum.next};
    spx_status st = window_open(&w, j->o->threads);
    if (st == SPX_OK) {
        st = take_all(j, &w);
    }
    window_close(&w);
    SPX_RETURN_IF(st);
    assert(w.bytes == 0); /* else too few or too many pictures were under way */
    if (j->log->records == 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s: no picture is left to pack; the first: %s", j->path,
                        j->log->sum.why);
    }
    if (j->o->show != NULL) {
        j->o->show(j->o->ctx, w.items, w.items);
    }
    return spx_shard_write_last(j);
}

/* ---- the whole ---- */

void spx_store_report_clear(spx_store_report *r)
{
    spx_free(r->bad_names);
    *r = (spx_store_report){0};
}

spx_status spx_pack_bad_names(const spx_pack_list *list, const spx_packed *sum, char **names,
                              size_t *size)
{
    size_t at = 0;
    *size = 0;
    for (uint32_t i = 0; i < sum->bads; i++) {
        *size += strlen(spx_pack_list_item(list, sum->bad[i]).name) + 1;
    }
    SPX_RETURN_IF(SPX_NEW(*names, *size));
    for (uint32_t i = 0; i < sum->bads; i++) {
        const char *name = spx_pack_list_item(list, sum->bad[i]).name;
        memcpy(*names + at, name, strlen(name) + 1);
        at += strlen(name) + 1;
    }
    return SPX_OK;
}

static spx_status report_log(const spx_shard_job *j, spx_store_report *r)
{
    size_t size;
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        r->count[s] = j->log->sum.count[s];
    }
    SPX_RETURN_IF(spx_pack_bad_names(j->list, &j->log->sum, &r->bad_names, &size));
    r->bad = j->log->sum.bads;
    return SPX_OK;
}

/* With resume and no log: whether the pack is there already. */
static spx_status find_finished(const spx_shard_job *j, spx_store_report *r)
{
    char print[2 * sizeof j->log->print + 1];
    const spx_store_about *about;
    spx_pack *p;
    size_t size = 0;
    spx_status st = spx_pack_open(&p, j->path, SPX_PACK_LOAD_ALL);
    if (st == SPX_ENOTFOUND) {
        return SPX_OK;
    }
    if (st != SPX_OK) {
        return spx_fail_context(st, "leave out --resume to make it again");
    }
    (void)sodium_bin2hex(print, sizeof print, j->log->print, sizeof j->log->print);
    about = p->store != NULL ? spx_store_describe(p) : NULL;
    if (about == NULL || strcmp(about->fingerprint, print) != 0) {
        st = SPX_FAIL(SPX_EINVAL,
                      "%s: is there, made from other pictures or with other options: leave out "
                      "--resume to replace it",
                      j->path);
        goto done;
    }
    r->finished_before = true;
    r->bad = about->bad;
    for (size_t i = 0; i < about->bad; i++) {
        size += strlen(about->bad_names + size) + 1;
    }
    SPX_TRY(st, SPX_NEW(r->bad_names, size), done);
    if (size > 0) {
        memcpy(r->bad_names, about->bad_names, size);
    }
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        r->count[s] = p->split[s].count;
    }
done:
    spx_pack_close(p);
    return st;
}

static spx_status begin(const spx_shard_job *j, spx_store_report *r)
{
    spx_packed *sum = &j->log->sum;
    bool resumed;
    SPX_RETURN_IF(spx_log_open(j->log, j->path, j->list, j->o->resume, &resumed));
    if (resumed) {
        r->resumed_at = sum->next;
        return SPX_OK;
    }
    if (j->o->resume) {
        SPX_RETURN_IF(find_finished(j, r));
        if (r->finished_before) {
            return SPX_OK;
        }
    }
    (void)crypto_hash_sha256_init(&sum->sources);
    sum->channels = (uint32_t)j->o->channels;
    if (sum->channels == 0) {
        SPX_RETURN_IF(spx_convert_channels(j->list, j->o, &sum->channels));
    }
    return spx_log_begin(j->log);
}

static spx_status run(const spx_shard_job *j, spx_store_report *r)
{
    const spx_packed *sum = &j->log->sum;
    spx_status st;
    SPX_RETURN_IF(begin(j, r));
    if (r->finished_before) {
        return SPX_OK;
    }
    st = sum->bads <= j->o->allow_bad ? pack_rest(j) : too_many(sum->bads, sum->why);
    if (st == SPX_OK || sum->bads > j->o->allow_bad) {
        SPX_RETURN_IF(report_log(j, r));
    }
    SPX_RETURN_IF(st);
    spx_shard_sweep_half_written(j->path);
    spx_shard_sweep(j->path);
    spx_log_remove(j->log); /* until now nobody else packs here */
    return SPX_OK;
}

/* The file that path means, no link, so that what lies beside it is found again. */
static spx_status resolve(const char *path, char to[PATH_MAX])
{
    struct stat info;
    if (strchr(path, '\n') != NULL || strlen(path) >= PATH_MAX) {
        return SPX_FAIL(SPX_EINVAL, "%.80s...: a path with a new line, or too long", path);
    }
    if (lstat(path, &info) != 0 || !S_ISLNK(info.st_mode) || realpath(path, to) == NULL) {
        (void)strcpy(to, path); /* as it was given: messages name it, too */
    }
    if (stat(to, &info) == 0 && !S_ISREG(info.st_mode)) {
        return SPX_FAIL(SPX_EINVAL, "%s: exists and is %s", path,
                        S_ISDIR(info.st_mode) ? "a folder" : "no regular file");
    }
    return SPX_OK;
}

/* After a failure: keeps the log where that is worth it, and says so. */
static spx_status leave(spx_pack_log *log, spx_status st)
{
    char why[SPX_WHY_BYTES];
    if (log->total == 0 || st == SPX_EINTERRUPTED) { /* not ours yet; said already */
        return st;
    }
    if (log->total < KEPT_BYTES && log->sum.shards == 0) {
        spx_log_remove(log);
        return st;
    }
    (void)snprintf(why, sizeof why, "%s", spx_error_message());
    return SPX_FAIL(st, "%s; %s keeps what is done, --resume goes on from there", why, log->path);
}

spx_status spx_pack_store(const spx_pack_list *list, const char *path, const spx_store_options *o,
                          spx_store_report *report)
{
    char real[PATH_MAX], form[32];
    spx_pack_log log = {.fd = -1};
    const spx_shard_job j = {list, o, &log, real, form};
    spx_status st;
    *report = (spx_store_report){0};
    if (sodium_init() < 0) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "libsodium does not start");
    }
    SPX_RETURN_IF(check_options(o));
    SPX_RETURN_IF(resolve(path, real));
    if (spx_pack_list_count(list) == 0 || spx_pack_list_count(list) > UINT32_MAX) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %zu pictures, expected 1 to %u",
                        spx_pack_list_source(list), spx_pack_list_count(list), UINT32_MAX);
    }
    form_text(o, form, sizeof form);
    fingerprint(list, o, form, log.print);
    st = run(&j, report);
    if (st != SPX_OK) {
        st = leave(&log, st);
    }
    spx_log_close(&log);
    return st;
}
