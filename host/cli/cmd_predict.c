/* sphynx predict: what a model sees in single images. */
#include "data/augment/augment.h"
#include "data/pack/pack.h"
#include "host/cli/commands.h"
#include "host/cli/picture_talk.h"
#include "host/cli/preprocess_talk.h"
#include "host/train/feed.h"
#include "host/train/metrics.h"
#include "kernels/base/alloc.h"
#include "search/final/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct values {
    const char *model, *data;
    int64_t index, top;
    bool resize, allow_changed;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, model, "model", "RUN|FILE", NULL,
            "folder of a training, model, checkpoint of training, or deployed model, as private "
            "inference computes it",
            .flags = SPX_OPT_REQUIRED),
    SPX_OPT(STRING, values, data, "data", "FILE", NULL,
            "take the image from the test split of a pack"),
    SPX_OPT(INT, values, index, "index", "I", "0", "which image of that split, from 0", .min = 0,
            .max = 4294967295.0),
    SPX_OPT(INT, values, top, "top", "N", "5", "classes to print", .min = 1, .max = 10000),
    SPX_RESIZE_OPTION(values, resize),
    SPX_ALLOW_CHANGED_OPTION(values, allow_changed),
    {0}};

static const spx_need needs[] = {
    {"data", "!operands"}, {"index allow-changed", "data"}, {"resize", "operands"}, {0}};

/* A model, or a deployed one, and the buffers a prediction needs. */
typedef struct predictor {
    spx_model m;
    spx_deploy *deployed; /* NULL: m is the model */
    spx_preprocess takes; /* of the deployed one */
    const spx_preprocess *images;
    int64_t classes;
    spx_stream *stream;
    int64_t *logits; /* of the deployed one */
    spx_model_runner *runner;
    spx_feed *feed;
    spx_normalise normalise;
    uint8_t *picture; /* (C, rows, columns) */
    float *image;     /* the same, normalised */
    float *probability;
    int64_t *order; /* classes, the most probable first */
} predictor;

/* The one image as a source of batches. */
static spx_status get_image(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    static const int32_t label[1] = {0};
    const predictor *p = ctx;
    (void)epoch;
    (void)step;
    *out = (spx_samples){.images = p->image, .labels = label, .valid = 1};
    return SPX_OK;
}

static spx_status float_init(predictor *p)
{
    const spx_input_shape *in = &p->m.spec.input;
    const spx_batch_shape shape = {1, in->channels, in->rows, in->columns};
    const spx_source host = {.get = get_image, .ctx = p, .steps = 1};
    SPX_RETURN_IF(spx_model_runner_create(&p->runner, p->stream, &p->m, 1, NULL));
    SPX_RETURN_IF(
        spx_normalise_init(&p->normalise, (int)in->channels, p->m.spec.mean, p->m.spec.std));
    SPX_RETURN_IF(SPX_NEW(p->image, (size_t)(in->channels * in->rows * in->columns)));
    return spx_feed_open(&p->feed, p->stream, &host, &shape);
}

static spx_status predictor_open(predictor *p, spx_cli *cli, const char *path)
{
    SPX_RETURN_IF(spx_model_open_any(&p->m, &p->deployed, path));
    p->images = &p->m.images;
    p->classes = p->m.spec.classes;
    if (p->deployed != NULL) {
        SPX_RETURN_IF(
            spx_fail_context(spx_preprocess_of_deployed(&p->takes, p->deployed), "%s", path));
        p->images = &p->takes;
        p->classes = p->takes.classes;
        SPX_RETURN_IF(SPX_NEW(p->logits, (size_t)p->classes));
    }
    const spx_preprocess *takes = p->images;
    SPX_RETURN_IF(spx_cli_stream(cli, &p->stream));
    SPX_RETURN_IF(p->deployed != NULL ? SPX_OK : float_init(p));
    SPX_RETURN_IF(SPX_NEW(p->picture, (size_t)(takes->channels * takes->rows * takes->columns)));
    SPX_RETURN_IF(SPX_NEW(p->probability, (size_t)p->classes));
    return SPX_NEW(p->order, (size_t)p->classes);
}

static void predictor_close(predictor *p)
{
    spx_model_runner_destroy(p->runner);
    spx_feed_close(p->feed);
    spx_stream_destroy(p->stream);
    spx_free(p->picture);
    spx_free(p->image);
    spx_free(p->logits);
    spx_free(p->probability);
    spx_free(p->order);
    spx_preprocess_clear(&p->takes);
    spx_deploy_destroy(p->deployed);
    spx_model_close(&p->m);
}

/* Classes by falling probability. Weights are finite, but what they add up to need not be. */
static spx_status rank(predictor *p)
{
    const int64_t classes = p->classes;
    for (int64_t k = 0; k < classes; k++) {
        if (!isfinite(p->probability[k])) {
            return SPX_FAIL(SPX_ENUMERIC, "the model's logit of class %lld is %g: no answer",
                            (long long)k, (double)p->probability[k]);
        }
    }
    spx_probabilities(classes, p->probability, p->probability);
    for (int64_t k = 0; k < classes; k++) { /* insertion: few classes, equal ones by index */
        int64_t at = k;
        for (; at > 0 && p->probability[p->order[at - 1]] < p->probability[k]; at--) {
            p->order[at] = p->order[at - 1];
        }
        p->order[at] = k;
    }
    return SPX_OK;
}

/* Logits of the picture, as the network reads it. */
static spx_status float_logits(predictor *p)
{
    const spx_input_shape *in = &p->m.spec.input;
    const spx_augment none = {0};
    const spx_augment_draw draw = {0};
    const int rows = (int)in->rows, columns = (int)in->columns;
    const spx_augment_shape shape = {(int)in->channels, rows, columns, rows, columns, false};
    spx_source device = spx_feed_source(p->feed);
    spx_samples samples;
    spx_augment_apply(&none, &draw, &p->normalise, &shape, p->picture, p->image);
    SPX_RETURN_IF(device.get(device.ctx, 0, 0, &samples));
    return spx_model_runner_logits(p->runner, samples.images, p->probability);
}

static spx_status integer_logits(predictor *p)
{
    SPX_RETURN_IF(
        spx_deploy_run_integer(p->deployed, spx_stream_pool(p->stream), 1, p->picture, p->logits));
    for (int64_t k = 0; k < p->classes; k++) {
        p->probability[k] = (float)((double)p->logits[k] * p->deployed->logit_scale);
    }
    return SPX_OK;
}

/* Fills probability and order for the picture. */
static spx_status predict(predictor *p)
{
    SPX_RETURN_IF(p->deployed != NULL ? integer_logits(p) : float_logits(p));
    return rank(p);
}

/* label: the true class, or -1 where it is not known. */
static json_t *answer(const predictor *p, const char *name, int64_t top, int label)
{
    json_t *list = json_array();
    json_t *j;
    int64_t i = 0;
    for (; i < top && i < p->classes; i++) {
        const int64_t k = p->order[i];
        (void)json_array_append_new(list, json_pack("{s:I, s:s, s:f}", "class", (json_int_t)k,
                                                    "name", spx_preprocess_class(p->images, k),
                                                    "probability", (double)p->probability[k]));
    }
    if (json_array_size(list) != (size_t)i) { /* an answer has all its classes, or is none */
        json_decref(list);
        return NULL;
    }
    j = json_pack("{s:o, s:o}", "image", spx_cli_name_json(name), "classes", list);
    if (label >= 0) {
        (void)json_object_set_new(j, "label", json_integer(label));
        (void)json_object_set_new(j, "label_name",
                                  json_string(spx_preprocess_class(p->images, label)));
    }
    return j;
}

static spx_status add_answer(const predictor *p, json_t *answers, const char *name, int64_t top,
                             int label)
{
    return json_array_append_new(answers, answer(p, name, top, label)) == 0
               ? SPX_OK
               : SPX_FAIL(SPX_ENOMEM, "%s: answer", name);
}

static void print_answer(const json_t *j)
{
    const json_t *label = json_object_get(j, "label"), *row;
    size_t i;
    (void)printf("%s", json_string_value(json_object_get(j, "image")));
    if (label != NULL) {
        (void)printf(" (labelled %lld %s)", (long long)json_integer_value(label),
                     json_string_value(json_object_get(j, "label_name")));
    }
    (void)printf("\n");
    json_array_foreach(json_object_get(j, "classes"), i, row)
    {
        (void)printf("  %6.2f %%  %lld %s\n",
                     100 * json_real_value(json_object_get(row, "probability")),
                     (long long)json_integer_value(json_object_get(row, "class")),
                     json_string_value(json_object_get(row, "name")));
    }
}

static spx_status predict_file(spx_cli *cli, predictor *p, const char *path, const values *v,
                               json_t *answers)
{
    SPX_RETURN_IF(spx_picture_take(cli, p->images, path, v->resize, p->picture));
    SPX_RETURN_IF(spx_fail_context(predict(p), "%s", path));
    return add_answer(p, answers, path, v->top, -1);
}

static spx_status predict_packed(predictor *p, const values *v, json_t *answers)
{
    const uint32_t index = (uint32_t)v->index;
    spx_pack *pack;
    char name[64];
    spx_status st;
    SPX_RETURN_IF(spx_pack_open(&pack, v->data, SPX_PACK_NEED(SPX_SPLIT_TEST)));
    (void)snprintf(name, sizeof name, "test image %lld", (long long)v->index);
    if (v->index < (int64_t)pack->split[SPX_SPLIT_TEST].count) { /* else told below */
        SPX_TRY(st, spx_talk_fit(p->images, v->model, pack, v->data, v->allow_changed), end);
    }
    SPX_TRY(
        st,
        spx_fail_context(spx_preprocess_packed(p->images, pack, SPX_SPLIT_TEST, index, p->picture),
                         "%s", v->data),
        end);
    SPX_TRY(st, predict(p), end);
    st = add_answer(p, answers, name, v->top, pack->split[SPX_SPLIT_TEST].labels[index]);
end:
    spx_pack_close(pack);
    return st;
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    json_t *answers = json_array(), *row;
    predictor p = {0};
    spx_status st;
    size_t i;
    if (v->data == NULL && cli->arg_count == 0) {
        json_decref(answers);
        return spx_cli_usage(cli, "either image files or --data with --index");
    }
    SPX_TRY(st, predictor_open(&p, cli, v->model), end);
    if (cli->arg_count == 0) {
        SPX_TRY(st, predict_packed(&p, v, answers), end);
    }
    if (cli->arg_count > 0 && !v->resize) {
        spx_talk_unknown_size(p.images, v->model);
    }
    for (size_t k = 0; k < cli->arg_count; k++) {
        const spx_status one = predict_file(cli, &p, cli->args[k], v, answers);
        if (one != SPX_OK) {
            (void)json_array_append_new(answers, spx_cli_bad_input(cli, cli->args[k]));
            st = one;
        }
    }
    if (cli->json) {
        const spx_status printed = spx_cli_print_json(json_incref(answers));
        cli->told = cli->told && printed == SPX_OK;
        st = printed != SPX_OK ? printed : st;
    } else {
        json_array_foreach(answers, i, row)
        {
            if (json_object_get(row, "error") == NULL) {
                print_answer(row);
            }
        }
    }
end:
    json_decref(answers);
    predictor_close(&p);
    return st;
}

const spx_command spx_cmd_predict = {.name = "predict",
                                     .args = "[IMAGE...]",
                                     .summary = "Says what a model sees in single images.",
                                     .example =
                                         "sphynx predict --model runs/train/model.h5 shoe.png",
                                     .options = options,
                                     .needs = needs,
                                     .values_size = sizeof(values),
                                     .max_args = SIZE_MAX,
                                     .run = run};
