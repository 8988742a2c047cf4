/* sphynx eval: accuracy of a model on a data set. */
#include "data/loader/device_source.h"
#include "host/cli/commands.h"
#include "host/graph/tuning.h"
#include "host/train/evaluate.h"
#include "host/train/tuning_cache.h"
#include "search/final/model.h"

#include <stdio.h>
#include <string.h>

typedef struct values {
    const char *model, *data;
    int split;
    int64_t batch;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, model, "model", "FILE", NULL, "model, or checkpoint of training",
            .flags = SPX_OPT_REQUIRED),
    SPX_OPT(STRING, values, data, "data", "FILE", NULL, "pack to evaluate on",
            .flags = SPX_OPT_REQUIRED),
    SPX_OPT(ENUM, values, split, "split", "test|train", "test", "which images"),
    SPX_OPT(INT, values, batch, "batch", "N", "256", "images at a time", .min = 1, .max = 65536),
    {0}};

/* The images must be of the model's kind, and are normalised as it was trained. */
static spx_status fit(const spx_model *m, spx_pack *pack, const values *v)
{
    if (pack->classes != m->spec.classes || pack->channels != m->spec.input.channels ||
        pack->height > m->spec.input.rows || pack->width > m->spec.input.columns) {
        return SPX_FAIL(SPX_EINVAL,
                        "%s: %d classes of %dx%dx%d images; the model takes %lld of %lldx%lldx%lld",
                        v->data, pack->classes, pack->channels, pack->height, pack->width,
                        (long long)m->spec.classes, (long long)m->spec.input.channels,
                        (long long)m->spec.input.rows, (long long)m->spec.input.columns);
    }
    memcpy(pack->mean, m->spec.mean, sizeof pack->mean);
    memcpy(pack->std, m->spec.std, sizeof pack->std);
    return SPX_OK;
}

/* What a whole evaluation holds. */
typedef struct evaluation {
    spx_stream *stream;
    spx_device_source *images;
    spx_tuning *tuning;
    spx_model_runner runner;
} evaluation;

static void evaluation_clear(evaluation *e)
{
    spx_model_runner_clear(&e->runner);
    spx_tuning_destroy(e->tuning);
    spx_device_source_close(e->images);
    spx_stream_destroy(e->stream);
}

static spx_status evaluate(evaluation *e, spx_cli *cli, const spx_model *m, const spx_pack *pack,
                           spx_split split, int64_t batch, spx_metrics *out)
{
    const spx_loader_options o = {.split = split,
                                  .batch = (size_t)batch,
                                  .height = (int)m->spec.input.rows,
                                  .width = (int)m->spec.input.columns,
                                  .threads = 1};
    spx_source source;
    spx_binding b;
    SPX_RETURN_IF(spx_cli_stream(cli, &e->stream));
    SPX_RETURN_IF(spx_device_source_open(&e->images, e->stream, NULL, pack, &o));
    source = spx_device_source_of(e->images);
    SPX_RETURN_IF(spx_tuning_create(&e->tuning));
    spx_tuning_cache_load(e->tuning);
    SPX_RETURN_IF(spx_model_runner_init(&e->runner, e->stream, m, batch, e->tuning));
    spx_tuning_cache_store(e->tuning);
    b = spx_model_runner_binding(&e->runner);
    return spx_evaluate(e->stream, e->runner.program, &b, &source, 0, NULL, NULL, out);
}

static spx_status print_result(const spx_cli *cli, const spx_metrics *m)
{
    if (cli->json) {
        return spx_cli_print_json(json_pack("{s:f, s:f, s:f, s:I}", "top1", spx_metrics_top1(m),
                                            "top5", spx_metrics_top5(m), "loss",
                                            spx_metrics_loss(m), "images", (json_int_t)m->images));
    }
    (void)printf("top-1 %.2f %%, top-5 %.2f %%, loss %.4f on %lld images\n",
                 100 * spx_metrics_top1(m), 100 * spx_metrics_top5(m), spx_metrics_loss(m),
                 (long long)m->images);
    return SPX_OK;
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    const spx_split split = v->split == 0 ? SPX_SPLIT_TEST : SPX_SPLIT_TRAIN;
    spx_model m = {0};
    spx_pack *pack = NULL;
    evaluation e = {0};
    spx_metrics metrics;
    int64_t batch = v->batch;
    spx_status st;
    SPX_TRY(st, spx_model_open(&m, v->model), end);
    SPX_TRY(st, spx_pack_open(&pack, v->data, SPX_PACK_LOAD(split)), end);
    SPX_TRY(st, fit(&m, pack, v), end);
    if (batch > (int64_t)pack->split[split].count) {
        batch = (int64_t)pack->split[split].count; /* rows beyond would be computed for nothing */
    }
    SPX_TRY(st, evaluate(&e, cli, &m, pack, split, batch, &metrics), end);
    st = print_result(cli, &metrics);
end:
    evaluation_clear(&e);
    spx_pack_close(pack);
    spx_model_close(&m);
    return st;
}

const spx_command spx_cmd_eval = {
    .name = "eval",
    .summary = "Measures a model's accuracy on a data set.",
    .example = "sphynx eval --model runs/train/model.h5 --data cifar100.h5 --json",
    .options = options,
    .values_size = sizeof(values),
    .run = run};
