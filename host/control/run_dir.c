#define _POSIX_C_SOURCE 200809L
#include "host/control/run_dir.h"

#include "host/control/build_info.h"
#include "host/control/json_text.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define RECORD_BYTES_MAX ((size_t)16 << 20)

struct spx_run_dir {
    char *path;
    int lock;
    spx_lock held;
    bool resumed;
    const char *verb;
    json_t *record; /* run.json */
};

/* mkdir -p */
static spx_status make_folders(const char *path)
{
    char part[PATH_BYTES];
    const size_t n = strlen(path);
    if (n == 0 || n >= sizeof part) {
        return SPX_FAIL(SPX_EINVAL, "run folder '%.40s': name is empty or too long", path);
    }
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) { /* ENOENT: the folder above is there */
            return SPX_FAIL(SPX_EIO, "%s: cannot create this folder: %s", part,
                            errno == ENOENT ? "none can be created there" : strerror(errno));
        }
    }
    return SPX_OK;
}

static spx_status take_lock(spx_run_dir *run)
{
    char path[PATH_BYTES], holder[32] = "";
    SPX_RETURN_IF(spx_run_dir_path(run, "lock", path, sizeof path));
    run->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (run->lock < 0) {
        return SPX_FAIL(SPX_EIO, "%s: %s", path, strerror(errno));
    }
    SPX_RETURN_IF(spx_lock_take(run->lock, path, &run->held));
    if (run->held == SPX_LOCK_IN_USE) {
        (void)!pread(run->lock, holder, sizeof holder - 1, 0);
        holder[strcspn(holder, "\n")] = '\0';
        return SPX_FAIL(SPX_EDEVICE, "%s: in use by process %s", run->path, holder);
    }
    /* only for the message above: the lock itself is the kernel's */
    (void)snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
    if (ftruncate(run->lock, 0) != 0 ||
        pwrite(run->lock, holder, strlen(holder), 0) != (ssize_t)strlen(holder)) {
        return SPX_FAIL(SPX_EIO, "%s: %s", path, strerror(errno));
    }
    return SPX_OK;
}

/* What a process killed while it created the run may have left: no run, and nothing to lose. */
static bool is_leftover(const char *name)
{
    static const char *const names[] = {
        ".", "..", "lock", "run.json.tmp", "config.ini", "config.ini.tmp"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return spx_file_is_leftover(name);
}

/* Sets run->resumed if there is a run.json; refuses a folder with anything else in it. */
static spx_status look_inside(spx_run_dir *run)
{
    const struct dirent *entry;
    bool foreign = false;
    DIR *dir = opendir(run->path);
    if (dir == NULL) {
        return SPX_FAIL(SPX_EIO, "%s: %s", run->path, strerror(errno));
    }
    while ((entry = readdir(dir)) != NULL) {
        run->resumed = run->resumed || strcmp(entry->d_name, "run.json") == 0;
        foreign = foreign || !is_leftover(entry->d_name);
    }
    (void)closedir(dir);
    if (foreign && !run->resumed) {
        return SPX_FAIL(SPX_EINVAL, "%s: is not empty and holds no run", run->path);
    }
    return SPX_OK;
}

static spx_status read_record(spx_run_dir *run)
{
    char path[PATH_BYTES];
    const char *stored;
    json_error_t error;
    void *text;
    size_t n;
    SPX_RETURN_IF(spx_run_dir_path(run, "run.json", path, sizeof path));
    SPX_RETURN_IF(spx_file_read(path, RECORD_BYTES_MAX, &text, &n));
    run->record = json_loadb(text, n, 0, &error);
    spx_free(text);
    stored = json_string_value(json_object_get(run->record, "verb"));
    if (stored == NULL || !json_is_object(json_object_get(run->record, "config")) ||
        !json_is_array(json_object_get(run->record, "sessions"))) {
        return SPX_FAIL(SPX_EFORMAT, "%s: not the record of a run", path);
    }
    if (strcmp(stored, run->verb) != 0) {
        return SPX_FAIL(SPX_EINVAL, "%s: holds a run of '%s', not of '%s'", run->path, stored,
                        run->verb);
    }
    return SPX_OK;
}

static spx_status add_session(spx_run_dir *run, json_t *config, json_t *inputs, const char *device)
{
    char when[32] = "";
    const time_t now = time(NULL);
    struct tm utc;
    json_t *session, *known;
    if (gmtime_r(&now, &utc) != NULL) {
        (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
    if (run->record == NULL) {
        run->record = json_pack("{s:s, s:O, s:{}, s:[]}", "verb", run->verb, "config", config,
                                "inputs", "sessions");
    }
    known = json_object_get(run->record, "inputs");
    if (known == NULL) {
        known = json_object();
        (void)json_object_set_new(run->record, "inputs", known);
    }
    session = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:O, s:O}", "began", when, "version",
                        spx_build_version(), "commit", spx_build_commit(), "compiler",
                        spx_build_compiler(), "build", spx_build_type(), "device", device, "config",
                        config, "inputs", inputs);
    if (known == NULL || json_object_update(known, inputs) != 0 ||
        json_array_append_new(json_object_get(run->record, "sessions"), session) != 0) {
        return SPX_FAIL(SPX_ENOMEM, "%s", run->path);
    }
    return SPX_OK;
}

static spx_status write_texts(const spx_run_dir *run, const char *ini)
{
    char path[PATH_BYTES];
    spx_status st;
    spx_span part[2] = {{ini, strlen(ini)}, {"\n", 1}};
    char *text = spx_json_text(run->record, JSON_INDENT(1));
    if (text == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%s", run->path);
    }
    if (!run->resumed) { /* a resumed run keeps its options */
        SPX_TRY(st, spx_run_dir_path(run, "config.ini", path, sizeof path), done);
        SPX_TRY(st, spx_file_replace(path, part, 1), done);
    }
    part[0] = (spx_span){text, strlen(text)};
    SPX_TRY(st, spx_run_dir_path(run, "run.json", path, sizeof path), done);
    SPX_TRY(st, spx_file_replace(path, part, 2), done); /* last: this makes it a run */
done:
    free(text);
    return st;
}

static spx_status look(spx_run_dir *run, bool resume)
{
    SPX_RETURN_IF(make_folders(run->path));
    SPX_RETURN_IF(look_inside(run)); /* before the lock, which would litter a foreign folder */
    SPX_RETURN_IF(take_lock(run));
    SPX_RETURN_IF(look_inside(run)); /* another process may have begun a run meanwhile */
    if (run->resumed && !resume) {
        return SPX_FAIL(SPX_EINVAL, "%s: holds a run already; continue it with --resume",
                        run->path);
    }
    return run->resumed ? read_record(run) : SPX_OK;
}

spx_status spx_run_dir_open(spx_run_dir **out, const char *path, bool resume, const char *verb)
{
    spx_status st;
    spx_run_dir *run = calloc(1, sizeof *run);
    *out = NULL;
    if (run == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%s", path);
    }
    run->lock = -1;
    run->verb = verb;
    run->path = strdup(path);
    st = run->path != NULL ? look(run, resume) : SPX_FAIL(SPX_ENOMEM, "%s", path);
    if (st != SPX_OK) {
        spx_run_dir_close(run);
        return st;
    }
    *out = run;
    return SPX_OK;
}

spx_status spx_run_dir_record(spx_run_dir *run, const char *ini, json_t *config, json_t *inputs,
                              const char *device)
{
    spx_status st = add_session(run, config, inputs, device);
    if (st == SPX_OK) {
        st = write_texts(run, ini);
    }
    if (st != SPX_OK && !run->resumed) {
        spx_run_dir_discard(run);
    }
    return st;
}

void spx_run_dir_close(spx_run_dir *run)
{
    if (run == NULL) {
        return;
    }
    if (run->lock >= 0) {
        (void)close(run->lock);
    }
    json_decref(run->record);
    free(run->path);
    free(run);
}

void spx_run_dir_discard(const spx_run_dir *run)
{
    static const char *const names[] = {"run.json", "config.ini", "metrics.jsonl", "lock", ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[PATH_BYTES];
        if (spx_run_dir_path(run, names[i], path, sizeof path) == SPX_OK) {
            (void)remove(path); /* "" is the folder, which goes only if it is empty then */
        }
    }
}

bool spx_run_dir_locked(const spx_run_dir *run)
{
    return run->held == SPX_LOCK_HELD;
}

bool spx_run_dir_resumed(const spx_run_dir *run)
{
    return run->resumed;
}

const json_t *spx_run_dir_first_config(const spx_run_dir *run)
{
    return json_object_get(run->record, "config");
}

const json_t *spx_run_dir_inputs(const spx_run_dir *run)
{
    return json_object_get(run->record, "inputs");
}

spx_status spx_run_dir_path(const spx_run_dir *run, const char *name, char *path, size_t room)
{
    const int n = snprintf(path, room, "%s/%s", run->path, name);
    if (n < 0 || (size_t)n >= room) {
        return SPX_FAIL(SPX_EINVAL, "%s: name is too long", run->path);
    }
    return SPX_OK;
}

spx_status spx_run_dir_metrics(const spx_run_dir *run, uint64_t keep, spx_jsonl **out)
{
    char path[PATH_BYTES];
    *out = NULL;
    SPX_RETURN_IF(spx_run_dir_path(run, "metrics.jsonl", path, sizeof path));
    return spx_jsonl_open(out, path, keep);
}
