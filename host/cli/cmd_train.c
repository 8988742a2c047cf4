/* sphynx train: train a final network. */
#include "host/cli/commands.h"
#include "host/cli/preprocess_talk.h"
#include "host/cli/run_talk.h"
#include "kernels/base/alloc.h"
#include "kernels/base/text.h"
#include "search/final/model.h"
#include "search/final/train_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    spx_run_values run;
    const char *data, *genotype, *plan, *init_from;
    int64_t init_channels, layers, batch, epochs, eval_every, pad_crop, cutout;
    int schedule;
    spx_int_list input, reduce_at, milestones;
    double lr, lr_min, lr_factor, momentum, decay, clip, aux_weight, drop_path, smoothing, ema;
    bool flip;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, data, "data", "FILE", NULL, "pack to train and evaluate on",
            .flags = SPX_OPT_REQUIRED | SPX_OPT_PATH),
    SPX_RUN_OPTIONS(values),
    SPX_OPT(STRING, values, genotype, "genotype", "G", "published",
            "published, or a file in JSON or the published text form", .flags = SPX_OPT_PATH),
    SPX_OPT(STRING, values, plan, "plan", "FILE", NULL,
            "what sphynx plan --json printed; in place of the next three", .flags = SPX_OPT_PATH),
    SPX_OPT(INT, values, init_channels, "init-channels", "C", "5", "initial channels", .min = 1,
            .max = 4096),
    SPX_OPT(INT, values, layers, "layers", "L", "10", "cells", .min = 1, .max = SPX_MAX_LAYERS),
    SPX_OPT(LIST, values, reduce_at, "reduce-at", "I,...", "0,5", "cells that reduce", .min = 0,
            .max = SPX_MAX_LAYERS),
    SPX_OPT(SHAPE, values, input, "input", "CxHxW", NULL,
            "image shape; default: the pack's, 28x28 as 32x32", .min = 1, .max = 4096),
    SPX_OPT(INT, values, batch, "batch", "N", "96", "images per step", .min = 1, .max = 65536),
    SPX_OPT(INT, values, epochs, "epochs", "N", "600", "passes over the training split", .min = 1,
            .max = 1e6),
    SPX_OPT(FLOAT, values, lr, "lr", "X", "0.025", "learning rate", .min = 0, .max = INFINITY),
    SPX_OPT(ENUM, values, schedule, "schedule", "cosine|step|cosine-steps", "cosine",
            "how it falls: by epoch, or at each step (for trainings of a few epochs)"),
    SPX_OPT(FLOAT, values, lr_min, "lr-min", "X", "0", "cosine: what it falls to", .min = 0,
            .max = INFINITY),
    SPX_OPT(FLOAT, values, lr_factor, "lr-factor", "X", "0.1", "step: factor at each milestone",
            .min = 0, .max = INFINITY),
    SPX_OPT(LIST, values, milestones, "milestones", "E,...", "30,60,90", "step: those epochs",
            .min = 1, .max = 1e6),
    SPX_OPT(FLOAT, values, momentum, "momentum", "X", "0.9", "momentum", .min = 0, .max = 1),
    SPX_OPT(FLOAT, values, decay, "weight-decay", "X", "3e-4", "weight decay", .min = 0,
            .max = INFINITY),
    SPX_OPT(FLOAT, values, clip, "clip", "X", "5", "largest norm of the gradient; 0: any", .min = 0,
            .max = INFINITY),
    SPX_OPT(FLOAT, values, aux_weight, "aux-weight", "X", "0.4",
            "weight of the auxiliary loss; 0: no auxiliary head", .min = 0, .max = 10),
    SPX_OPT(FLOAT, values, drop_path, "drop-path", "P", "0.2",
            "drop-path probability it rises to; 0: none", .min = 0, .max = 0.99),
    SPX_OPT(FLOAT, values, smoothing, "label-smoothing", "X", "0", "label smoothing", .min = 0,
            .max = 0.99),
    SPX_OPT(FLOAT, values, ema, "ema", "X", "0",
            "decay of a moving average of the weights, which is then evaluated; 0: none", .min = 0,
            .max = 0.999999),
    SPX_OPT(INT, values, pad_crop, "pad-crop", "N", "4", "random shift in pixels", .min = 0,
            .max = 64),
    SPX_OPT(FLAG, values, flip, "flip", NULL, "true", "mirror images at random"),
    SPX_OPT(INT, values, cutout, "cutout", "N", "0", "side of an erased square; 0: none", .min = 0,
            .max = 1024),
    SPX_OPT(INT, values, eval_every, "eval-every", "N", "1", "epochs between evaluations", .min = 1,
            .max = 1e6),
    SPX_OPT(STRING, values, init_from, "init-from", "RUN|FILE", NULL,
            "begin with the weights of a training or model", .flags = SPX_OPT_PATH),
    {0}};

static const spx_need needs[] = {{"milestones lr-factor", "schedule=step"},
                                 {"lr-min", "schedule=cosine|schedule=cosine-steps"},
                                 {"init-channels layers reduce-at", "!plan"},
                                 {"allow-changed", "resume|init-from"},
                                 {0}};

#define PLAN_BYTES ((size_t)1 << 20)

static spx_status read_json(const char *path, json_t **out)
{
    json_error_t err;
    char *text;
    size_t size;
    SPX_RETURN_IF(spx_text_read(path, PLAN_BYTES, &text, &size));
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &err);
    spx_free(text);
    return *out != NULL ? SPX_OK
                        : SPX_FAIL(SPX_EFORMAT, "%s: line %d: %s", path, err.line, err.text);
}

/* Takes the shape from a plan; *relus is what it counted, 0 where it does not say. */
static spx_status parse_plan(const char *path, const json_t *j, spx_final_spec *f, int64_t *relus)
{
    json_int_t channels = 0, layers = 0, count = 0;
    json_t *at;
    json_error_t err;
    if (json_unpack_ex((json_t *)(uintptr_t)j, &err, 0, "{s:I, s:I, s:o, s?I}", "init_channels",
                       &channels, "layers", &layers, "reduce_at", &at, "relus", &count) != 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s: no plan (sphynx plan --json): %s", path, err.text);
    }
    if (channels < 1 || channels > 4096 || layers < 1 || layers > SPX_MAX_LAYERS ||
        json_array_size(at) > SPX_MAX_REDUCE) {
        return SPX_FAIL(SPX_EFORMAT, "%s: a number is out of range", path);
    }
    f->init_channels = channels;
    f->layers = layers;
    f->n_reduce = (int)json_array_size(at);
    for (size_t i = 0; i < json_array_size(at); i++) {
        const json_int_t cell = json_integer_value(json_array_get(at, i));
        if (!json_is_integer(json_array_get(at, i)) || cell < 0 || cell >= layers) {
            return SPX_FAIL(SPX_EFORMAT, "%s: reduce_at: a cell index expected", path);
        }
        f->reduce_at[i] = (int)cell;
    }
    *relus = count;
    return SPX_OK;
}

/* A plan holds for one genotype and input; its ReLU count tells whether these are they. */
static spx_status check_plan(const char *path, const spx_final_spec *f, int64_t relus)
{
    spx_counts c;
    SPX_RETURN_IF(spx_final_count(f, false, &c));
    if (relus > 0 && c.relus != relus) {
        return SPX_FAIL(SPX_EINVAL,
                        "%s: it counts %lld ReLUs, this network has %lld: the plan is for another "
                        "genotype or input",
                        path, (long long)relus, (long long)c.relus);
    }
    return SPX_OK;
}

static spx_status fill_shape(spx_cli *cli, const values *v, spx_final_spec *f)
{
    json_t *plan = NULL;
    int64_t relus = 0;
    spx_status st;
    if (v->plan != NULL) {
        SPX_RETURN_IF(read_json(v->plan, &plan));
        st = parse_plan(v->plan, plan, f, &relus);
        json_decref(plan);
        return st == SPX_OK ? check_plan(v->plan, f, relus) : st;
    }
    if (v->reduce_at.n > SPX_MAX_REDUCE) {
        return spx_cli_usage(cli, "--reduce-at: at most %d cells", SPX_MAX_REDUCE);
    }
    f->init_channels = v->init_channels;
    f->layers = v->layers;
    f->n_reduce = (int)v->reduce_at.n;
    for (size_t i = 0; i < v->reduce_at.n; i++) {
        f->reduce_at[i] = (int)v->reduce_at.v[i];
    }
    return SPX_OK;
}

static spx_status fill_spec(spx_cli *cli, const values *v, const spx_pack *pack, spx_final_spec *f)
{
    f->classes = pack->classes;
    memcpy(f->mean, pack->mean, sizeof f->mean);
    memcpy(f->std, pack->std, sizeof f->std);
    SPX_RETURN_IF(spx_run_input(cli, &v->input, pack, &f->input));
    SPX_RETURN_IF(spx_genotype_load(&f->genotype, v->genotype));
    return fill_shape(cli, v, f);
}

static spx_status fill_schedule(spx_cli *cli, const values *v, spx_schedule *s)
{
    static const spx_schedule_kind kinds[] = {SPX_SCHEDULE_COSINE, SPX_SCHEDULE_STEP,
                                              SPX_SCHEDULE_COSINE_STEPS};
    *s = (spx_schedule){.kind = kinds[v->schedule],
                        .lr = v->lr,
                        .lr_min = v->lr_min,
                        .epochs = v->epochs,
                        .factor = v->lr_factor};
    if (v->milestones.n > SPX_SCHEDULE_MILESTONES) {
        return spx_cli_usage(cli, "--milestones: at most %d", SPX_SCHEDULE_MILESTONES);
    }
    s->n_milestones = (int)v->milestones.n;
    for (size_t i = 0; i < v->milestones.n; i++) {
        s->milestone[i] = v->milestones.v[i];
    }
    return SPX_OK;
}

static spx_status fill(spx_cli *cli, const values *v, const spx_pack *pack, spx_run_talk *talk,
                       spx_train_options *o)
{
    *o = (spx_train_options){
        .run = spx_run_options_of(cli, &v->run, v->init_from, talk),
        .pack = pack,
        .batch = v->batch,
        .aux_weight = (float)v->aux_weight,
        .smoothing = (float)v->smoothing,
        .drop_path = v->drop_path,
        .sgd = {.momentum = (float)v->momentum,
                .decay = (float)v->decay,
                .clip = v->clip,
                .ema = (float)v->ema},
        .augment = {.pad_crop = (int)v->pad_crop, .flip = v->flip, .cutout = (int)v->cutout},
        .eval_every = v->eval_every,
        .allow_changed = v->run.allow_changed};
    SPX_RETURN_IF(fill_schedule(cli, v, &o->run.schedule));
    return fill_spec(cli, v, pack, &o->spec);
}

/* What the run is begun with; see spx_run_open. */
static spx_status inputs_of(const values *v, const spx_train_options *o, json_t **out)
{
    const spx_final_spec *f = &o->spec;
    json_t *j = json_pack("{s:s, s:o?}", "data", o->pack->hash, "genotype",
                          spx_genotype_value(&f->genotype));
    json_t *at = json_array();
    spx_status st;
    for (int i = 0; i < f->n_reduce; i++) {
        (void)json_array_append_new(at, json_integer(f->reduce_at[i]));
    }
    if (v->plan != NULL) {
        (void)json_object_set_new(j, "plan",
                                  json_pack("{s:I, s:I, s:O}", "init_channels",
                                            (json_int_t)f->init_channels, "layers",
                                            (json_int_t)f->layers, "reduce_at", at));
    }
    json_decref(at);
    st = spx_run_add_file(j, "init-from", v->init_from, v->run.resume);
    if (st != SPX_OK) {
        json_decref(j);
        j = NULL;
    }
    *out = j;
    return st;
}

static spx_status print_result(const spx_cli *cli, const char *folder, const spx_train_result *r)
{
    if (cli->json) {
        return spx_cli_print_json(spx_train_result_json(r));
    }
    (void)printf("top-1 %.2f %%, top-5 %.2f %%, loss %.4f on %lld images after %lld steps (best "
                 "%.2f %%, epoch %lld)\n%lld ReLUs, %lld parameters; %s/model.h5\n",
                 100 * spx_metrics_top1(&r->last), 100 * spx_metrics_top5(&r->last),
                 spx_metrics_loss(&r->last), (long long)r->last.images, (long long)r->steps,
                 100 * r->best_top1, (long long)r->best_epoch, (long long)r->counts.relus,
                 (long long)r->counts.params, folder);
    return SPX_OK;
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    spx_run_talk talk = {0};
    spx_train_options o;
    spx_train_result r;
    spx_session s = {0};
    spx_pack *pack = NULL;
    json_t *inputs;
    spx_status st;
    SPX_TRY(st,
            spx_pack_open(&pack, v->data,
                          SPX_PACK_NEED(SPX_SPLIT_TRAIN) | SPX_PACK_NEED(SPX_SPLIT_TEST)),
            end);
    SPX_TRY(st, fill(cli, v, pack, &talk, &o), end);
    SPX_TRY(st, inputs_of(v, &o, &inputs), end);
    SPX_TRY(st, spx_run_open(cli, &v->run, inputs, &s), end);
    st = spx_train_run(&s, &o, &r);
    spx_run_talk_end(&talk);
end:
    spx_session_close(&s, st);
    spx_pack_close(pack);
    return st == SPX_OK ? print_result(cli, v->run.out, &r) : st;
}

const spx_command spx_cmd_train = {
    .name = "train",
    .summary = "Trains a final network and evaluates it on the test split.",
    .example = "sphynx train --data cifar100.h5 --genotype runs/search/genotype.json "
               "--init-channels 5 --layers 10 --reduce-at 0,5 --out runs/train",
    .options = options,
    .needs = needs,
    .values_size = sizeof(values),
    .run = run};
