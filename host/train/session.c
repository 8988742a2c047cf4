#include "host/train/session.h"

#include "host/control/build_info.h"
#include "host/control/json_text.h"
#include "host/train/device_arenas.h"
#include "host/train/device_text.h"
#include "host/train/tuning_cache.h"
#include "kernels/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096

static bool listed(const char *const *list, const char *name)
{
    for (; list != NULL && *list != NULL; list++) {
        if (strcmp(*list, name) == 0) {
            return true;
        }
    }
    return false;
}

/* "8" or "\"x\"", cut to fit a message */
static void value_text(const json_t *v, char *out, size_t room)
{
    char *text = v != NULL ? spx_json_text(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    (void)snprintf(out, room, "%.*s", (int)room - 1, text != NULL ? text : "not given");
    free(text);
}

/* Whether the content that an option names is known of the run and of this session: then its name
 * does not matter. */
static bool content_known(const spx_session *s, const spx_session_options *o, const char *key)
{
    return json_object_get(spx_run_dir_inputs(s->dir), key) != NULL &&
           json_object_get(o->inputs, key) != NULL;
}

/* A run's options are part of its numbers: all but the changeable ones must stay. */
static spx_status check_options(const spx_session *s, const spx_session_options *o)
{
    const json_t *first = spx_run_dir_first_config(s->dir);
    const char *key;
    json_t *value;
    json_object_foreach(o->config, key, value)
    {
        const json_t *before = json_object_get(first, key);
        before = before != NULL ? before : json_object_get(o->defaults, key);
        if (!listed(o->changeable, key) && !content_known(s, o, key) &&
            !json_equal(value, before) && !json_equal(json_object_get(o->typed, key), before)) {
            char was[64], is[64];
            value_text(before, was, sizeof was);
            value_text(value, is, sizeof is);
            return SPX_FAIL(SPX_EINVAL,
                            "%s: the run began with --%s %s, not %s; --config %s/config.ini keeps "
                            "its options",
                            o->path, key, was, is, o->path);
        }
    }
    return SPX_OK;
}

/* The numbers of a run are those of what it was begun with; known: what was recorded of that. */
static spx_status check_inputs(const spx_session_options *o, const json_t *known)
{
    const char *key;
    json_t *value;
    json_object_foreach(o->inputs, key, value)
    {
        const json_t *before = json_object_get(known, key);
        if (before != NULL && !json_equal(value, before) && !o->allow_changed) {
            const char *name = json_string_value(json_object_get(o->typed, key));
            return SPX_FAIL(SPX_EINVAL,
                            "%s: the run began with another --%s: the content of %s has changed; "
                            "give what it began with, or --allow-changed to go on with this",
                            o->path, key, name != NULL ? name : "it");
        }
    }
    return SPX_OK;
}

static spx_status parse_tuning(spx_session *s)
{
    const char *text = json_string_value(json_object_get(s->checkpoint.meta, "tuning"));
    if (text == NULL) {
        return SPX_FAIL(SPX_EFORMAT, "checkpoint: tuning is missing");
    }
    return spx_tuning_parse(s->tuning, text, strlen(text));
}

/* Beginning again would replace a result, which nobody asked for. */
static spx_status refuse_finished(const spx_session *s)
{
    char path[PATH_BYTES];
    SPX_RETURN_IF(spx_run_dir_path(s->dir, "result.json", path, sizeof path));
    return access(path, F_OK) != 0
               ? SPX_OK
               : SPX_FAIL(SPX_ENOTFOUND,
                          "%s: there is a result, but no checkpoint to go on from, neither last.h5 "
                          "nor last.h5.prev; give --out another folder to begin again",
                          path);
}

/* Opens last.h5 where there is one and takes over what it says. */
static spx_status resume(spx_session *s, const spx_session_options *o, int *threads,
                         uint64_t *metrics_bytes)
{
    char path[PATH_BYTES];
    const json_t *meta;
    json_int_t count;
    spx_status st;
    SPX_RETURN_IF(spx_run_dir_path(s->dir, "last.h5", path, sizeof path));
    st = spx_ckpt_open_latest(&s->checkpoint, path);
    if (st == SPX_ENOTFOUND) { /* killed before the first one: begin again */
        *metrics_bytes = 0;
        return o->of_parts ? SPX_OK : refuse_finished(s);
    }
    SPX_RETURN_IF(st);
    meta = s->checkpoint.meta;
    if (strcmp(spx_ckpt_kind(&s->checkpoint), s->verb) != 0) {
        return SPX_FAIL(SPX_EINVAL, "%s: a checkpoint of %s", path, spx_ckpt_kind(&s->checkpoint));
    }
    count = json_integer_value(json_object_get(meta, "threads"));
    *metrics_bytes = (uint64_t)json_integer_value(json_object_get(meta, "metrics_bytes"));
    if (count < 1 || count > SPX_POOL_MAX_THREADS) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %lld threads, expected 1 to %d", path, (long long)count,
                        SPX_POOL_MAX_THREADS);
    }
    if (*threads == 0) {
        *threads = (int)count;
    } else if (*threads != (int)count) {
        s->old_threads = (int)count;
    }
    SPX_RETURN_IF(check_inputs(o, json_object_get(meta, "inputs")));
    SPX_RETURN_IF(spx_fail_context(parse_tuning(s), "%s", path));
    return spx_fail_context(spx_loop_state_parse(&s->state, json_object_get(meta, "progress")),
                            "%s", path);
}

/* Whether the checkpoint, if there is one, is of another device than the stream's. */
static bool is_moved(const spx_session *s)
{
    const char *device = json_string_value(json_object_get(s->checkpoint.meta, "device"));
    return spx_session_resumes(s) &&
           !spx_device_text_agrees(device != NULL ? device : "cpu", s->device);
}

spx_status spx_session_open(spx_session *s, const spx_session_options *o)
{
    uint64_t metrics_bytes = 0;
    spx_stream_options stream = o->stream;
    spx_status st;
    memset(s, 0, sizeof *s);
    s->verb = o->verb;
    s->config = json_incref(o->config);
    s->inputs = json_incref(o->inputs);
    s->deadline = spx_deadline_in(o->time_limit);
    SPX_TRY(st, spx_interrupt_install(), fail);
    SPX_TRY(st, spx_tuning_create(&s->tuning), fail);
    spx_tuning_cache_load(s->tuning);
    SPX_TRY(st, spx_run_dir_open(&s->dir, o->path, o->resume, o->verb), fail);
    if (spx_run_dir_resumed(s->dir)) {
        SPX_TRY(st, check_options(s, o), fail);
        SPX_TRY(st, check_inputs(o, spx_run_dir_inputs(s->dir)), fail);
        SPX_TRY(st, resume(s, o, &stream.threads, &metrics_bytes), fail);
    }
    SPX_TRY(st, spx_stream_open(&s->stream, &stream), fail);
    spx_device_text(s->stream, s->device, sizeof s->device);
    s->moved = is_moved(s);
    SPX_TRY(st, spx_run_dir_record(s->dir, o->ini, o->config, o->inputs, s->device), fail);
    SPX_TRY(st, spx_run_dir_metrics(s->dir, metrics_bytes, &s->metrics), fail);
    return SPX_OK;
fail:
    spx_session_close(s, st);
    return st;
}

void spx_session_close(spx_session *s, spx_status st)
{
    const bool began = s->dir == NULL || spx_run_dir_resumed(s->dir) || s->state.step > 0;
    if (!began && st != SPX_OK && st != SPX_EINTERRUPTED) {
        spx_run_dir_discard(s->dir);
    }
    spx_ckpt_close(&s->checkpoint);
    spx_jsonl_close(s->metrics);
    spx_run_dir_close(s->dir);
    spx_tuning_destroy(s->tuning);
    spx_stream_destroy(s->stream);
    json_decref(s->config);
    json_decref(s->inputs);
    memset(s, 0, sizeof *s);
}

bool spx_session_resumes(const spx_session *s)
{
    return s->checkpoint.meta != NULL;
}

spx_status spx_session_load(spx_session *s, const spx_layout *l, const spx_ckpt_arena *arena,
                            size_t n)
{
    spx_status st;
    if (s->checkpoint.file == NULL) {
        return SPX_OK;
    }
    st = spx_device_arenas_load(&s->checkpoint, l, s->stream, arena, n);
    spx_h5_close(s->checkpoint.file); /* it holds the whole file in memory */
    s->checkpoint.file = NULL;
    return st;
}

/* The whole description; takes over extra. */
static json_t *describe(const spx_session *s, const spx_loop_state *state, json_t *extra)
{
    char *tuning = spx_tuning_text(s->tuning);
    json_t *j = json_pack(
        "{s:s, s:o, s:I, s:i, s:s, s:s, s:s, s:O, s:O}", "kind", s->verb, "progress",
        spx_loop_state_json(state), "metrics_bytes", (json_int_t)spx_jsonl_size(s->metrics),
        "threads", spx_stream_threads(s->stream), "tuning", tuning != NULL ? tuning : "", "device",
        s->device, "commit", spx_build_commit(), "config", s->config, "inputs", s->inputs);
    if (tuning == NULL || extra == NULL || json_object_update(j, extra) != 0) {
        json_decref(j);
        j = NULL;
    }
    free(tuning);
    json_decref(extra);
    return j;
}

spx_status spx_session_save(spx_session *s, const spx_loop_state *state, json_t *extra,
                            const spx_layout *l, const spx_ckpt_arena *arena, size_t n)
{
    char path[PATH_BYTES];
    json_t *meta = describe(s, state, extra);
    spx_ckpt_arena host[SPX_DEVICE_ARENAS_MAX];
    spx_status st;
    if (meta == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "checkpoint: description");
    }
    SPX_TRY(st, spx_run_dir_path(s->dir, "last.h5", path, sizeof path), end);
    SPX_TRY(st, spx_jsonl_sync(s->metrics), end);
    SPX_TRY(st, spx_host_twins(l, s->stream, arena, n, true, host), end);
    st = spx_ckpt_save(path, meta, l, host, n, true);
    spx_host_twins_free(arena, host, n);
end:
    json_decref(meta);
    return st;
}

spx_status spx_session_stop(void *session)
{
    const spx_session *s = session;
    return spx_interrupt_check(&s->deadline);
}

/* A log shorter than when the checkpoint was written. */
static void warn_of_log(const spx_session *s, void (*warn)(void *ctx, const char *text), void *ctx)
{
    const json_t *recorded = json_object_get(s->checkpoint.meta, "metrics_bytes");
    const unsigned long long was = (unsigned long long)json_integer_value(recorded);
    const unsigned long long is = (unsigned long long)spx_jsonl_size(s->metrics);
    char text[192];
    if (is < was) {
        (void)snprintf(text, sizeof text,
                       "metrics.jsonl has lost lines: %llu of the %llu bytes that it had at the "
                       "checkpoint are left; the run goes on, its log has a gap",
                       is, was);
        warn(ctx, text);
    }
}

void spx_session_warn(const spx_session *s, void (*warn)(void *ctx, const char *text), void *ctx)
{
    if (warn == NULL) {
        return;
    }
    if (!spx_run_dir_locked(s->dir)) {
        warn(ctx,
             "the file system has no locks: take care that no other process works on this run");
    }
    if (s->checkpoint.fallback != SPX_OK) {
        warn(ctx, s->checkpoint.fallback == SPX_ENOTFOUND
                      ? "last.h5 is absent; going on from the checkpoint before it, last.h5.prev"
                      : "last.h5 is damaged; going on from the checkpoint before it, last.h5.prev");
    }
    if (spx_run_dir_resumed(s->dir) && !spx_session_resumes(s)) {
        warn(ctx, "the run has no checkpoint, neither last.h5 nor last.h5.prev: it begins again");
    }
    warn_of_log(s, warn, ctx);
    if (s->old_threads != 0) {
        char text[128];
        (void)snprintf(text, sizeof text,
                       "the checkpoint is of %d threads; going on with %d, the last bits will "
                       "differ",
                       s->old_threads, spx_stream_threads(s->stream));
        warn(ctx, text);
    }
    if (s->moved) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       "the checkpoint is of another device; going on on %s, the last bits will "
                       "differ",
                       s->device);
        warn(ctx, text);
    }
}

static spx_status write_file(const spx_session *s, const char *name, const char *text,
                             const char *end)
{
    char path[PATH_BYTES];
    const spx_span part[2] = {{text, strlen(text)}, {end, strlen(end)}};
    SPX_RETURN_IF(spx_run_dir_path(s->dir, name, path, sizeof path));
    return spx_file_replace(path, part, 2);
}

spx_status spx_session_write(const spx_session *s, const char *name, const char *text)
{
    return write_file(s, name, text, "");
}

spx_status spx_session_write_json(const spx_session *s, const char *name, const json_t *j)
{
    char *text = spx_json_text(j, JSON_INDENT(2));
    const spx_status st =
        text != NULL ? write_file(s, name, text, "\n") : SPX_FAIL(SPX_ENOMEM, "%s", name);
    free(text);
    return st;
}

spx_status spx_session_result(const spx_session *s, json_t *result)
{
    char *text = NULL;
    spx_status st;
    if (result != NULL && json_object_set_new(result, "device", json_string(s->device)) == 0) {
        text = spx_json_text(result, JSON_INDENT(2));
    }
    st = text != NULL ? write_file(s, "result.json", text, "\n") : SPX_FAIL(SPX_ENOMEM, "result");
    free(text);
    json_decref(result);
    return st;
}
