/* sphynx export: a trained network becomes the integers that two parties evaluate privately. */
#include "host/cli/commands.h"
#include "host/cli/deploy_talk.h"
#include "host/cli/preprocess_talk.h"
#include "host/cli/progress.h"
#include "search/final/export.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct values {
    const char *model, *out, *data;
    int64_t calibration, weight_bits, activation_bits, most_bits;
    bool allow_changed;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, model, "model", "RUN|FILE", NULL,
            "folder of a training, its model or its checkpoint", .flags = SPX_OPT_REQUIRED),
    SPX_OPT(STRING, values, out, "out", "FILE", NULL, "the deployed model to write",
            .flags = SPX_OPT_REQUIRED | SPX_OPT_TRANSIENT | SPX_OPT_OUTPUT, .letter = 'o'),
    SPX_OPT(STRING, values, data, "data", "FILE", NULL,
            "pack whose training images calibrate; default: the one it was trained on"),
    SPX_OPT(INT, values, calibration, "calibration", "N", "512", "images to calibrate on", .min = 1,
            .max = 1e6),
    SPX_OPT(INT, values, weight_bits, "weight-bits", "N", "8", "bits of weights", .min = 2,
            .max = 12),
    SPX_OPT(INT, values, activation_bits, "activation-bits", "N", "8", "bits a ReLU gives",
            .min = 2, .max = 12),
    SPX_OPT(INT, values, most_bits, "most-bits", "N", "58",
            "bits a ReLU reads at most; weights that would need more lose bits", .min = 16,
            .max = 62),
    SPX_ALLOW_CHANGED_OPTION(values, allow_changed),
    {0}};

static spx_status data_path(const values *v, const spx_model *m, const char **path)
{
    *path =
        v->data != NULL
            ? v->data
            : json_string_value(json_object_get(json_object_get(m->file.meta, "config"), "data"));
    if (*path == NULL) {
        return SPX_FAIL(SPX_EINVAL, "%s does not say what it was trained on: --data", v->model);
    }
    if (access(*path, F_OK) != 0) {
        return SPX_FAIL(SPX_ENOTFOUND, "%s was trained on %s, which is not there%s: give --data",
                        v->model, *path, (*path)[0] != '/' ? ", seen from the present folder" : "");
    }
    return SPX_OK;
}

/* ---- progress ---- */

typedef struct talk {
    spx_progress progress;
    const char *phase;
} talk;

static void show(void *ctx, const char *phase, int64_t done, int64_t total)
{
    talk *t = ctx;
    if (t->phase == NULL || strcmp(t->phase, phase) != 0) {
        if (t->phase != NULL) {
            spx_progress_end(&t->progress);
        }
        spx_progress_begin(&t->progress, stderr, "steps", (uint64_t)(done - 1), (uint64_t)total);
        t->phase = phase;
    }
    t->progress.total = (uint64_t)total; /* grows where widths are proven again */
    spx_progress_show(&t->progress, (uint64_t)done, "%s", phase);
}

/* ---- what was made ---- */

static json_t *segments_json(const spx_deploy *m, const spx_export_report *r)
{
    json_t *a = json_array();
    for (int s = 0; s < m->n_segments; s++) {
        json_t *j = json_pack("{s:f, s:b}", "weight_bits", r->segment[s].weight_bits, "composed",
                              r->segment[s].composed);
        if (s < m->n_segments - 1) {
            (void)json_object_set_new(j, "saturated", json_real(r->saturated[s]));
        }
        (void)json_array_append_new(a, j);
    }
    return a;
}

static spx_status print(const spx_cli *cli, const values *v, const spx_deploy *m,
                        const spx_export_report *r)
{
    if (cli->json) {
        json_t *j = spx_deploy_json(m);
        if (j == NULL || json_object_set_new(j, "file", spx_cli_name_json(v->out)) != 0 ||
            json_object_set_new(j, "calibration_images", json_integer(r->images)) != 0 ||
            json_object_set_new(j, "segments", segments_json(m, r)) != 0) {
            json_decref(j);
            return SPX_FAIL(SPX_ENOMEM, "export: JSON");
        }
        return spx_cli_print_json(j);
    }
    spx_deploy_print(m);
    for (int s = 0; s < m->n_segments; s++) {
        if (r->segment[s].weight_bits < (double)v->weight_bits) {
            (void)printf("Segment %d has weights of %.1f bits, so that its sums fit %lld.\n", s,
                         r->segment[s].weight_bits, (long long)v->most_bits);
        }
        if (!r->segment[s].composed) {
            (void)printf("Segment %d is bounded by intervals: composing it would take too long.\n",
                         s);
        }
    }
    return SPX_OK;
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    char path[4096];
    const char *data;
    spx_model m = {0};
    spx_pack *pack = NULL;
    spx_stream *stream = NULL;
    spx_deploy *deployed = NULL;
    spx_export_report report = {0};
    talk t = {.phase = NULL};
    spx_status st;
    const spx_export_options o = {.quantise = {.weight_bits = (int)v->weight_bits,
                                               .activation_bits = (int)v->activation_bits,
                                               .most_bits = (int)v->most_bits},
                                  .images = v->calibration,
                                  .show = show,
                                  .ctx = &t};
    SPX_TRY(st, spx_ckpt_path(v->model, path, sizeof path), end);
    SPX_TRY(st, spx_model_open(&m, path), end);
    SPX_TRY(st, data_path(v, &m, &data), end);
    SPX_TRY(st, spx_cli_distinct(cli, v->out, path), end);
    SPX_TRY(st, spx_cli_distinct(cli, v->out, data), end);
    SPX_TRY(st, spx_pack_open(&pack, data, SPX_PACK_NEED(SPX_SPLIT_TRAIN)), end);
    SPX_TRY(st, spx_talk_fit(&m.images, path, pack, data, v->allow_changed), end);
    SPX_TRY(st, spx_cli_stream(cli, &stream), end);
    st = spx_export(&deployed, &m, pack, stream, &o, &report);
    if (t.phase != NULL) {
        spx_progress_end(&t.progress);
    }
    SPX_TRY(st, st, end);
    SPX_TRY(st, spx_deploy_write(deployed, v->out), end);
    st = print(cli, v, deployed, &report);
end:
    spx_export_report_clear(&report);
    spx_deploy_destroy(deployed);
    spx_stream_destroy(stream);
    spx_pack_close(pack);
    spx_model_close(&m);
    return st;
}

const spx_command spx_cmd_export = {
    .name = "export",
    .summary = "Makes the integer model of private inference of a trained network.",
    .example = "sphynx export --model runs/train -o deployed.h5",
    .options = options,
    .values_size = sizeof(values),
    .run = run};
