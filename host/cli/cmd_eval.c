/* sphynx eval: accuracy of a model on a data set. */
#include "data/loader/device_source.h"
#include "host/cli/commands.h"
#include "host/cli/deploy_talk.h"
#include "host/cli/preprocess_talk.h"
#include "host/cli/progress.h"
#include "host/graph/tuning.h"
#include "host/model/deploy.h"
#include "host/train/evaluate.h"
#include "host/train/tuning_cache.h"
#include "kernels/base/alloc.h"
#include "kernels/base/text.h"
#include "search/final/model.h"

#include <stdio.h>
#include <string.h>

typedef struct values {
    const char *model, *data;
    int split, executor, decoder;
    int64_t batch;
    bool allow_changed;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, model, "model", "RUN|FILE", NULL,
            "folder of a training, model, checkpoint of training, or deployed model",
            .flags = SPX_OPT_REQUIRED),
    SPX_OPT(STRING, values, data, "data", "FILE", NULL, "pack to evaluate on",
            .flags = SPX_OPT_REQUIRED),
    SPX_OPT(ENUM, values, split, "split", "test|train", "test", "which images"),
    SPX_OPT(ENUM, values, executor, "executor", "auto|float|integer", "auto",
            "integer: a deployed model as private inference computes it"),
    SPX_OPT(INT, values, batch, "batch", "N", "256", "images at a time", .min = 1, .max = 65536),
    SPX_DECODER_OPTION(values, decoder),
    SPX_ALLOW_CHANGED_OPTION(values, allow_changed),
    {0}};

/* The images must be of the model's kind, and are normalised as it was trained. */
static spx_status fit(const spx_model *m, spx_pack *pack, const values *v)
{
    SPX_RETURN_IF(spx_talk_fit(&m->images, v->model, pack, v->data, v->allow_changed));
    memcpy(pack->mean, m->spec.mean, sizeof pack->mean);
    memcpy(pack->std, m->spec.std, sizeof pack->std);
    return SPX_OK;
}

/* What a whole evaluation holds. */
typedef struct evaluation {
    spx_stream *stream;
    spx_device_source *images;
    spx_tuning *tuning;
    spx_model_runner *runner;
} evaluation;

static void evaluation_clear(evaluation *e)
{
    spx_model_runner_destroy(e->runner);
    spx_tuning_destroy(e->tuning);
    spx_device_source_close(e->images);
    spx_stream_destroy(e->stream);
}

static spx_status evaluate(evaluation *e, spx_cli *cli, const spx_model *m, const spx_pack *pack,
                           spx_split split, int64_t batch, bool nvjpeg, spx_metrics *out)
{
    const spx_loader_options o = {.split = split,
                                  .nvjpeg = nvjpeg,
                                  .batch = (size_t)batch,
                                  .height = (int)m->spec.input.rows,
                                  .width = (int)m->spec.input.columns,
                                  .augment = spx_preprocess_augment(&m->images)};
    spx_source source;
    SPX_RETURN_IF(spx_cli_stream(cli, &e->stream));
    SPX_RETURN_IF(spx_device_source_open(&e->images, e->stream, NULL, pack, &o));
    source = spx_device_source_of(e->images);
    SPX_RETURN_IF(spx_tuning_create(&e->tuning));
    spx_tuning_cache_load(e->tuning);
    SPX_RETURN_IF(spx_model_runner_create(&e->runner, e->stream, m, batch, e->tuning));
    spx_tuning_cache_store(e->tuning);
    return spx_model_runner_evaluate(e->runner, &source, out);
}

static spx_status print_result(const spx_cli *cli, const spx_metrics *m, const spx_relu_count *n)
{
    if (cli->json) {
        json_t *j = json_pack("{s:f, s:f, s:f, s:I}", "top1", spx_metrics_top1(m), "top5",
                              spx_metrics_top5(m), "loss", spx_metrics_loss(m), "images",
                              (json_int_t)m->images);
        spx_relu_count_json(j, n);
        return spx_cli_print_json(j);
    }
    (void)printf("top-1 %.2f %%, top-5 %.2f %%, loss %.4f on %lld %s\n", 100 * spx_metrics_top1(m),
                 100 * spx_metrics_top5(m), spx_metrics_loss(m), (long long)m->images,
                 SPX_PLURAL(m->images, "image", "images"));
    if (n->masked) {
        (void)printf("masks keep %lld of %lld ReLUs\n", (long long)n->kept, (long long)n->full);
    }
    return SPX_OK;
}

/* ---- deployed models ---- */

/* n <= batch images from `first` on. */
static spx_status count_batch(const spx_deploy *m, const spx_preprocess *takes, spx_pool *pool,
                              const spx_pack *pack, spx_split split, size_t first, size_t n,
                              uint8_t *images, int64_t *logits, spx_metrics *out)
{
    const int64_t classes = pack->classes;
    float real[SPX_PACK_MAX_CLASSES];
    for (size_t i = 0; i < n; i++) {
        SPX_RETURN_IF(spx_preprocess_packed(takes, pack, split, (uint32_t)(first + i),
                                            images + i * spx_deploy_count(m, 0)));
    }
    SPX_RETURN_IF(spx_deploy_run_integer(m, pool, n, images, logits));
    for (size_t i = 0; i < n; i++) {
        const int32_t label = pack->split[split].labels[first + i];
        for (int64_t k = 0; k < classes; k++) {
            real[k] = (float)((double)logits[(int64_t)i * classes + k] * m->logit_scale);
        }
        spx_hits_add(out, 1, classes, real, &label);
    }
    return SPX_OK;
}

static spx_status evaluate_deployed(spx_cli *cli, const spx_deploy *m, const spx_preprocess *takes,
                                    const spx_pack *pack, spx_split split, size_t batch,
                                    spx_metrics *out)
{
    const size_t count = pack->split[split].count;
    spx_stream *stream = NULL;
    spx_progress progress;
    void *images = NULL, *logits = NULL;
    spx_status st;
    memset(out, 0, sizeof *out);
    SPX_TRY(st, spx_cli_stream(cli, &stream), end);
    SPX_TRY(st, spx_calloc(&images, batch, spx_deploy_count(m, 0)), end);
    SPX_TRY(st, spx_calloc(&logits, batch * (size_t)pack->classes, sizeof(int64_t)), end);
    spx_progress_begin(&progress, stderr, "images", 0, count);
    for (size_t i = 0; i < count && st == SPX_OK; i += batch) {
        const size_t n = count - i < batch ? count - i : batch;
        st = count_batch(m, takes, spx_stream_pool(stream), pack, split, i, n, images, logits, out);
        spx_progress_show(&progress, i + n, "top-1 %.2f %%", 100 * spx_metrics_top1(out));
    }
    spx_progress_end(&progress);
end:
    spx_free(images);
    spx_free(logits);
    spx_stream_destroy(stream);
    return st;
}

static spx_status run_deployed(spx_cli *cli, const values *v, const spx_deploy *m, spx_pack *pack,
                               spx_split split, spx_metrics *out)
{
    spx_preprocess takes;
    spx_status st;
    if (v->decoder == 1) {
        return spx_cli_usage(cli, "--decoder nvjpeg: images of a deployed model are decoded by "
                                  "the CPU");
    }
    SPX_RETURN_IF(spx_fail_context(spx_preprocess_of_deployed(&takes, m), "%s", v->model));
    st = spx_talk_fit(&takes, v->model, pack, v->data, v->allow_changed);
    if (st == SPX_OK) {
        st = evaluate_deployed(cli, m, &takes, pack, split, (size_t)v->batch, out);
    }
    spx_preprocess_clear(&takes);
    return st;
}

/* ---- float models ---- */

static spx_status run_float(spx_cli *cli, const values *v, const spx_model *m, spx_pack *pack,
                            spx_split split, spx_metrics *out)
{
    const int64_t images = (int64_t)pack->split[split].count;
    evaluation e = {0};
    spx_status st;
    SPX_RETURN_IF(fit(m, pack, v));
    /* rows beyond would be computed for nothing */
    st = evaluate(&e, cli, m, pack, split, v->batch > images ? images : v->batch, v->decoder == 1,
                  out);
    evaluation_clear(&e);
    return st;
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    enum { AUTO, FLOAT, INTEGER };
    const values *v = options_values;
    const spx_split split = v->split == 0 ? SPX_SPLIT_TEST : SPX_SPLIT_TRAIN;
    spx_model m = {0};
    spx_deploy *deployed = NULL;
    spx_pack *pack = NULL;
    spx_metrics metrics;
    spx_relu_count relus;
    spx_status st;
    SPX_TRY(st,
            v->executor == AUTO    ? spx_model_open_any(&m, &deployed, v->model)
            : v->executor == FLOAT ? spx_model_open(&m, v->model)
                                   : spx_deploy_read(&deployed, v->model),
            end);
    SPX_TRY(st, spx_pack_open(&pack, v->data, SPX_PACK_NEED(split)), end);
    SPX_TRY(st,
            deployed != NULL ? run_deployed(cli, v, deployed, pack, split, &metrics)
                             : run_float(cli, v, &m, pack, split, &metrics),
            end);
    if (deployed != NULL) {
        relus = spx_deploy_relu_count(deployed);
    } else {
        SPX_TRY(st, spx_model_relus(&relus, &m), end);
    }
    st = print_result(cli, &metrics, &relus);
end:
    spx_pack_close(pack);
    spx_deploy_destroy(deployed);
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
