#include "host/cli/run_talk.h"

#include "host/ckpt/ckpt.h"

#include <stdlib.h>

spx_status spx_run_add_file(json_t *inputs, const char *name, const char *path, bool resume)
{
    char hex[SPX_H5_DIGEST_CHARS], file[4096];
    spx_status st;
    if (path == NULL) {
        return SPX_OK;
    }
    st = spx_ckpt_path(path, file, sizeof file);
    st = st == SPX_OK ? spx_h5_file_digest(file, hex) : st;
    if (st == SPX_ENOTFOUND && resume) {
        return SPX_OK;
    }
    if (st == SPX_OK && json_object_set_new(inputs, name, json_string(hex)) != 0) {
        st = SPX_FAIL(SPX_ENOMEM, "%s", path);
    }
    return st;
}

spx_status spx_run_open(spx_cli *cli, const spx_run_values *v, json_t *inputs, spx_session *s)
{
    static const char *const changeable[] = {
        "data",    "max-steps",     "save-every", "log-every", "time-limit",
        "threads", "deterministic", "device",     "workers",   NULL};
    spx_session_options o = {.path = v->out,
                             .resume = v->resume,
                             .of_parts = v->of_parts,
                             .verb = cli->verb,
                             .inputs = inputs,
                             .allow_changed = v->allow_changed,
                             .changeable = changeable,
                             .time_limit = v->time_limit};
    char *ini = NULL;
    spx_status st;
    SPX_TRY(st, spx_cli_stream_options(cli, &o.stream), end);
    SPX_TRY(st, spx_cli_resolved_ini(cli, &ini), end); /* first: it says what cannot be kept */
    o.ini = ini;
    o.config = spx_cli_resolved_json(cli);
    o.typed = spx_cli_typed_json(cli);
    o.defaults = spx_cli_default_json(cli);
    st = inputs != NULL && o.config != NULL && o.typed != NULL && o.defaults != NULL
             ? spx_session_open(s, &o)
             : SPX_FAIL(SPX_ENOMEM, "configuration");
end:
    json_decref(o.config); /* the session keeps its own reference */
    json_decref(o.typed);
    json_decref(o.defaults);
    json_decref(inputs);
    free(ini);
    return st;
}

static void show(void *ctx, int64_t done, int64_t total, const char *note)
{
    spx_run_talk *t = ctx;
    if (!t->began) { /* the first call comes after the first step of this session */
        spx_progress_begin(&t->progress, stderr, "steps", (uint64_t)(done - 1), (uint64_t)total);
        t->began = true;
    }
    spx_progress_show(&t->progress, (uint64_t)done, "%s", note);
}

void spx_run_warn(void *ctx, const char *text)
{
    spx_run_talk_end(ctx);
    (void)fprintf(stderr, "sphynx: warning: %s\n", text);
}

spx_run_options spx_run_options_of(const spx_cli *cli, const spx_run_values *v,
                                   const char *init_from, spx_run_talk *talk)
{
    return (spx_run_options){.seed = (uint64_t)cli->seed,
                             .max_steps = v->max_steps,
                             .save_every = v->save_every,
                             .log_every = v->log_every,
                             .init_from = init_from,
                             .show = show,
                             .warn = spx_run_warn,
                             .ctx = talk};
}

void spx_run_talk_end(spx_run_talk *t)
{
    if (t->began) {
        spx_progress_end(&t->progress);
    }
}

spx_status spx_run_input(spx_cli *cli, const spx_int_list *given, const spx_pack *pack,
                         bool resized, spx_input_shape *out)
{
    const int side = pack->height == 28 && pack->width == 28 ? 32 : 0;
    if (pack->height == 0 && !resized) {
        return SPX_FAIL(SPX_EINVAL,
                        "the pictures of the %s pack differ in size: pack them as one size (data "
                        "pack --store raw:SIDE)",
                        pack->dataset);
    }
    if (pack->height == 0 && given->n == 0) {
        return spx_cli_usage(cli,
                             "the pictures of the %s pack differ in size: give --input CxHxW, such "
                             "as %dx224x224",
                             pack->dataset, pack->channels);
    }
    *out = side > 0 ? (spx_input_shape){pack->channels, side, side}
                    : (spx_input_shape){pack->channels, pack->height, pack->width};
    if (given->n == 0) {
        return SPX_OK;
    }
    if (given->n != 3) {
        return spx_cli_usage(cli, "--input takes channels, rows and columns, such as 3x32x32");
    }
    *out = (spx_input_shape){given->v[0], given->v[1], given->v[2]};
    if (out->channels != pack->channels ||
        (!resized && (out->rows < pack->height || out->columns < pack->width))) {
        return spx_cli_usage(cli, "--input %lldx%lldx%lld: the images are %dx%dx%d",
                             (long long)out->channels, (long long)out->rows,
                             (long long)out->columns, pack->channels, pack->height, pack->width);
    }
    return SPX_OK;
}
