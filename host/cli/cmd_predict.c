/* sphynx predict: what a model sees in single images. */
#include "data/augment/augment.h"
#include "data/pack/pack.h"
#include "host/cli/commands.h"
#include "host/cli/picture_talk.h"
#include "host/train/feed.h"
#include "host/train/metrics.h"
#include "kernels/base/alloc.h"
#include "search/final/model.h"

#include <stdio.h>
#include <string.h>

typedef struct values {
    const char *model, *data;
    int64_t index, top;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, model, "model", "FILE", NULL, "model, or checkpoint of training",
            .flags = SPX_OPT_REQUIRED),
    SPX_OPT(STRING, values, data, "data", "FILE", NULL,
            "take the image from the test split of a pack"),
    SPX_OPT(INT, values, index, "index", "I", "0", "which image of that split, from 0", .min = 0,
            .max = 4294967295.0),
    SPX_OPT(INT, values, top, "top", "N", "5", "classes to print", .min = 1, .max = 10000),
    {0}};

/* One network and the buffers a prediction needs. */
typedef struct predictor {
    const spx_model *m;
    spx_stream *stream;
    spx_model_runner runner;
    spx_feed *feed;
    spx_normalise normalise;
    float *image; /* (C, rows, columns) */
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

static spx_status predictor_init(predictor *p, spx_cli *cli, const spx_model *m)
{
    const spx_input_shape *in = &m->spec.input;
    const size_t classes = (size_t)m->spec.classes;
    const spx_batch_shape shape = {1, in->channels, in->rows, in->columns};
    const spx_source host = {.get = get_image, .ctx = p, .steps = 1};
    void *memory = NULL;
    p->m = m;
    SPX_RETURN_IF(spx_cli_stream(cli, &p->stream));
    SPX_RETURN_IF(spx_model_runner_init(&p->runner, p->stream, m, 1, NULL));
    SPX_RETURN_IF(spx_normalise_init(&p->normalise, (int)in->channels, m->spec.mean, m->spec.std));
    SPX_RETURN_IF(
        spx_calloc(&memory, (size_t)(in->channels * in->rows * in->columns), sizeof(float)));
    p->image = memory;
    SPX_RETURN_IF(spx_feed_open(&p->feed, p->stream, &host, &shape));
    SPX_RETURN_IF(spx_calloc(&memory, classes, sizeof(float)));
    p->probability = memory;
    SPX_RETURN_IF(spx_calloc(&memory, classes, sizeof(int64_t)));
    p->order = memory;
    return SPX_OK;
}

static void predictor_clear(predictor *p)
{
    spx_model_runner_clear(&p->runner);
    spx_feed_close(p->feed);
    spx_stream_destroy(p->stream);
    spx_free(p->image);
    spx_free(p->probability);
    spx_free(p->order);
}

/* Fills probability and order for 8-bit planes (C, height, width), padded to
 * the network's input. */
static spx_status predict(predictor *p, const uint8_t *pixels, int height, int width)
{
    const spx_input_shape *in = &p->m->spec.input;
    const spx_augment none = {0};
    const spx_augment_draw draw = {0};
    const spx_augment_shape shape = {(int)in->channels, height,           width,
                                     (int)in->rows,     (int)in->columns, false};
    const int64_t classes = p->m->spec.classes;
    const void *input[2] = {NULL, NULL};
    spx_binding b = spx_model_runner_binding(&p->runner);
    spx_source device = spx_feed_source(p->feed);
    spx_samples samples;
    if (height > in->rows || width > in->columns) {
        return SPX_FAIL(SPX_EINVAL, "an image of %dx%d pixels; the model takes up to %lldx%lld",
                        height, width, (long long)in->rows, (long long)in->columns);
    }
    spx_augment_apply(&none, &draw, &p->normalise, &shape, pixels, p->image);
    SPX_RETURN_IF(device.get(device.ctx, 0, 0, &samples));
    input[0] = samples.images;
    b.input = input;
    SPX_RETURN_IF(spx_program_run(p->runner.program, &b));
    SPX_RETURN_IF(spx_program_read(p->runner.program, &b, 0, p->probability)); /* logits */
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

/* label: the true class, or -1 where it is not known. */
static json_t *answer(const predictor *p, const char *name, int64_t top, int label)
{
    json_t *list = json_array();
    json_t *j;
    for (int64_t i = 0; i < top && i < p->m->spec.classes; i++) {
        const int64_t k = p->order[i];
        const char *class = spx_model_class(p->m, k);
        (void)json_array_append_new(list, json_pack("{s:I, s:s, s:f}", "class", (json_int_t)k,
                                                    "name", class != NULL ? class : "",
                                                    "probability", (double)p->probability[k]));
    }
    j = json_pack("{s:o, s:o}", "image", spx_cli_name_json(name), "classes", list);
    if (label >= 0) {
        (void)json_object_set_new(j, "label", json_integer(label));
    }
    return j;
}

static void print_answer(const predictor *p, const json_t *j)
{
    const json_t *label = json_object_get(j, "label"), *row;
    size_t i;
    (void)printf("%s", json_string_value(json_object_get(j, "image")));
    if (label != NULL) {
        const char *name = spx_model_class(p->m, json_integer_value(label));
        (void)printf(" (labelled %lld %s)", (long long)json_integer_value(label),
                     name != NULL ? name : "");
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
    spx_image image;
    spx_status st;
    SPX_RETURN_IF(spx_picture_read(cli, &image, path, (int)p->m->spec.input.channels));
    st = spx_fail_context(predict(p, image.pixels, image.height, image.width), "%s", path);
    spx_image_clear(&image);
    if (st == SPX_OK) {
        (void)json_array_append_new(answers, answer(p, path, v->top, -1));
    }
    return st;
}

static spx_status predict_packed(predictor *p, const values *v, json_t *answers)
{
    const spx_pack_split *s;
    spx_pack *pack;
    char name[64];
    spx_status st;
    SPX_RETURN_IF(spx_pack_open(&pack, v->data, SPX_PACK_LOAD(SPX_SPLIT_TEST)));
    s = &pack->split[SPX_SPLIT_TEST];
    (void)snprintf(name, sizeof name, "test image %lld", (long long)v->index);
    if (v->index >= (int64_t)s->count) {
        st = SPX_FAIL(SPX_EINVAL, "%s: no image %lld: the test split has %zu, from 0", v->data,
                      (long long)v->index, s->count);
    } else if (pack->channels != p->m->spec.input.channels) {
        st = SPX_FAIL(SPX_EINVAL, "%s: images of %d channels; the model takes %lld", v->data,
                      pack->channels, (long long)p->m->spec.input.channels);
    } else {
        const size_t pixels = (size_t)(pack->channels * pack->height * pack->width);
        st = predict(p, s->images + (size_t)v->index * pixels, pack->height, pack->width);
    }
    if (st == SPX_OK) {
        (void)json_array_append_new(answers, answer(p, name, v->top, s->labels[v->index]));
    }
    spx_pack_close(pack);
    return st;
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    json_t *answers = json_array(), *row;
    predictor p = {0};
    spx_model m = {0};
    spx_status st;
    size_t i;
    if ((v->data != NULL) == (cli->arg_count > 0) ||
        (v->data == NULL && spx_cli_given(cli, "index"))) {
        json_decref(answers);
        return spx_cli_usage(cli, "either image files or --data with --index");
    }
    SPX_TRY(st, spx_model_open(&m, v->model), end);
    SPX_TRY(st, predictor_init(&p, cli, &m), end);
    if (v->data != NULL) {
        SPX_TRY(st, predict_packed(&p, v, answers), end);
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
                print_answer(&p, row);
            }
        }
    }
end:
    json_decref(answers);
    predictor_clear(&p);
    spx_model_close(&m);
    return st;
}

const spx_command spx_cmd_predict = {.name = "predict",
                                     .args = "[IMAGE.png...]",
                                     .summary = "Says what a model sees in single images.",
                                     .example =
                                         "sphynx predict --model runs/train/model.h5 shoe.png",
                                     .options = options,
                                     .values_size = sizeof(values),
                                     .max_args = SIZE_MAX,
                                     .run = run};
