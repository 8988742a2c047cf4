/* sphynx train: train a final network. */
#include "host/cli/augment_talk.h"
#include "host/cli/commands.h"
#include "host/cli/linearize_talk.h"
#include "host/cli/net_talk.h"
#include "host/cli/preprocess_talk.h"
#include "host/cli/run_talk.h"
#include "host/cli/seeds_talk.h"
#include "kernels/base/text.h"
#include "search/budget/plan_file.h"
#include "search/final/model.h"
#include "search/final/recipe.h"
#include "search/final/train_run.h"
#include "search/location/location_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    spx_run_values run;
    const char *recipe, *data, *network, *genotype, *plan, *location, *init_from, *teacher,
        *attention_at, *resolutions, *warmup;
    spx_augment_values augment;
    spx_linearize_values linearize;
    int64_t init_channels, layers, batch, epochs, epoch_steps, eval_every, workers, test_every,
        seeds;
    double muon_lr, muon_momentum;
    int schedule, select, decoder;
    double val_fraction;
    spx_int_list input, reduce_at, milestones;
    double lr, lr_min, lr_factor, momentum, decay, clip, aux_weight, drop_path, smoothing, ema,
        distill_weight, distill_temperature, attention_weight;
    bool nesterov, norm_decay;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, data, "data", "FILE", NULL, "pack to train and evaluate on",
            .flags = SPX_OPT_REQUIRED | SPX_OPT_PATH),
    SPX_RECIPE_OPTION(values, recipe),
    SPX_RUN_OPTIONS(values),
    SPX_SEEDS_OPTION(values, seeds),
    SPX_NETWORK_OPTION(values, network),
    SPX_GENOTYPE_OPTION(values, genotype),
    SPX_PLAN_OPTION(values, plan),
    SPX_OPT(INT, values, init_channels, "init-channels", "C", "5", "initial channels", .min = 1,
            .max = 4096),
    SPX_OPT(INT, values, layers, "layers", "L", "10", "cells", .min = 1, .max = SPX_MAX_LAYERS),
    SPX_REDUCE_AT_OPTION(values, reduce_at),
    SPX_OPT(STRING, values, location, "location", "RUN|FILE", NULL,
            "folder of sphynx locate, or its location.json, in place of --reduce-at",
            .flags = SPX_OPT_PATH),
    SPX_INPUT_OPTION(values, input),
    SPX_BATCH_OPTION(values, batch),
    SPX_EPOCHS_OPTION(values, epochs),
    SPX_OPT(INT, values, epoch_steps, "epoch-steps", "N", "0",
            "an epoch ends after so many steps, where it has more; 0: when every image was shown",
            .min = 0, .max = 1e9),
    SPX_OPT(FLOAT, values, lr, "lr", "X", "0.025", "learning rate", .min = 0, .max = INFINITY),
    SPX_OPT(ENUM, values, schedule, "schedule", "cosine|step|cosine-steps|one-cycle", "cosine",
            "how it falls: by epoch, or at each step (for trainings of a few epochs); one-cycle "
            "goes straight up and down"),
    SPX_OPT(STRING, values, warmup, "warmup", "E|P%", "0",
            "epochs, or a share of all, over which it first rises at each step, straight from 0"),
    SPX_OPT(FLOAT, values, lr_min, "lr-min", "X", "0", "cosine, one-cycle: what it falls to",
            .min = 0, .max = INFINITY),
    SPX_OPT(FLOAT, values, lr_factor, "lr-factor", "X", "0.1", "step: factor at each milestone",
            .min = 0, .max = INFINITY),
    SPX_OPT(LIST, values, milestones, "milestones", "E,...", "30,60,90", "step: those epochs",
            .min = 1, .max = 1e6),
    SPX_OPT(FLOAT, values, momentum, "momentum", "X", "0.9", "momentum", .min = 0, .max = 1),
    SPX_OPT(FLAG, values, nesterov, "nesterov", NULL, "false", "Nesterov's momentum"),
    SPX_OPT(FLOAT, values, decay, "weight-decay", "X", "3e-4", "weight decay", .min = 0,
            .max = INFINITY),
    SPX_OPT(FLAG, values, norm_decay, "norm-decay", NULL, "true",
            "weight decay on scales and shifts of norms and on biases, too"),
    SPX_OPT(FLOAT, values, muon_lr, "muon-lr", "X", "0",
            "learning rate of convolutions by Muon, by the same schedule; 0: they have SGD, too",
            .min = 0, .max = INFINITY),
    SPX_OPT(FLOAT, values, muon_momentum, "muon-momentum", "X", "0.6", "its Nesterov momentum",
            .min = 0, .max = 0.999),
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
    SPX_AUGMENT_OPTIONS(values, augment),
    SPX_RESOLUTIONS_OPTION(values, resolutions),
    SPX_OPT(INT, values, workers, "workers", "N", "0", "threads that make batches; 0: chosen",
            .min = 0, .max = 64),
    SPX_DECODER_OPTION(values, decoder),
    SPX_OPT(INT, values, eval_every, "eval-every", "N", "1", "epochs between evaluations", .min = 1,
            .max = 1e6),
    SPX_VAL_FRACTION_OPTION(values, val_fraction),
    SPX_OPT(ENUM, values, select, "select", "auto|val|test", "auto",
            "what chooses the best epoch; auto: held-out images where there are, else the test "
            "split"),
    SPX_OPT(INT, values, test_every, "test-every", "N", "0",
            "with held-out images: epochs between measurements of the test split for the log; 0: "
            "it is measured at the end only",
            .min = 0, .max = 1e6),
    SPX_OPT(STRING, values, init_from, "init-from", "RUN|FILE", NULL,
            "begin with the weights of a training or model; where masks keep some of its ReLUs "
            "only, the training goes on with these masks; a published network need not be named "
            "again",
            .flags = SPX_OPT_PATH),
    SPX_OPT(STRING, values, teacher, "teacher", "RUN|FILE", NULL,
            "learn from this training or model, too", .flags = SPX_OPT_PATH),
    SPX_OPT(FLOAT, values, distill_weight, "distill-weight", "W", "0.5",
            "share of the loss that is the distance from the teacher's logits", .min = 0, .max = 1),
    SPX_OPT(FLOAT, values, distill_temperature, "distill-temperature", "T", "4",
            "by which logits are divided for that", .min = 0.01, .max = 1e6),
    SPX_OPT(FLOAT, values, attention_weight, "attention-weight", "B", "0",
            "weight of the distance from the teacher's attention maps; 0: none", .min = 0,
            .max = 1e12),
    SPX_OPT(STRING, values, attention_at, "attention-at", "NAME,...", NULL,
            "activations whose maps are compared, NAME or NAME=TEACHERS, such as cells.3; default: "
            "all cells, or stages.0 on"),
    SPX_LINEARIZE_OPTIONS(values, linearize),
    {0}};

static const spx_need needs[] = {
    {"milestones lr-factor", "schedule=step"},
    {"lr-min", "schedule=cosine|schedule=cosine-steps|schedule=one-cycle"},
    {"test-every", "val-fraction"},
    SPX_AUGMENT_NEEDS,
    {"resolutions", "resized-crop"},
    {"muon-momentum", "muon-lr"},
    SPX_PLAN_NEEDS,
    {"reduce-at", "!location"},
    SPX_NETWORK_NEED,
    {"allow-changed", "resume|init-from|teacher"},
    {"distill-weight distill-temperature attention-weight", "teacher"},
    {"attention-at", "attention-weight"},
    SPX_LINEARIZE_NEEDS,
    {0}};

static spx_status fill_location(const values *v, spx_final_spec *f)
{
    spx_location_pair pair;
    int64_t layers;
    SPX_RETURN_IF(spx_location_load(v->location, &f->genotype, &layers, &pair));
    f->n_reduce = 2;
    memcpy(f->reduce_at, pair.at, sizeof pair.at);
    return layers == f->layers
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "%s: it was found for --layers %lld, not %lld", v->location,
                          (long long)layers, (long long)f->layers);
}

/* A masked model's masks would take the place of the plan's. */
static spx_status fill_plan(spx_cli *cli, const values *v, spx_final_spec *f)
{
    const bool masked = f->masked;
    SPX_RETURN_IF(spx_plan_load(v->plan, f));
    return masked && (f->dropped.normal | f->dropped.reduce) != 0
               ? spx_cli_usage(cli,
                               "--plan with a mask needs an --init-from without; --init-channels, "
                               "--layers and --reduce-at go on with the model's own masks")
               : SPX_OK;
}

static spx_status fill_shape(spx_cli *cli, const values *v, spx_final_spec *f)
{
    if (v->plan != NULL) {
        return fill_plan(cli, v, f);
    }
    f->init_channels = v->init_channels;
    f->layers = v->layers;
    if (v->location != NULL) {
        return fill_location(v, f);
    }
    return spx_net_cells(cli, "reduce-at", &v->reduce_at, f->reduce_at, &f->n_reduce);
}

static const char *resumed(const values *v)
{
    return v->run.resume ? v->run.out : NULL;
}

/* What the model that is begun with says of the network: whether it is masked; a published one's
 * name and keys, which are the network's unless they are given. Where no model tells it, who needs
 * one says so. */
static void fill_begun(const values *v, spx_final_spec *f)
{
    spx_model m;
    if (v->init_from == NULL || spx_open_begun(&m, resumed(v), v->init_from, NULL) != SPX_OK) {
        return;
    }
    f->masked = m.spec.masked;
    memcpy(f->reference, m.spec.reference, sizeof f->reference);
    spx_model_close(&m);
}

static spx_status fill_reference(spx_cli *cli, const char *text, spx_final_spec *f)
{
    char what[SPX_REFERENCE_CHARS + 64];
    (void)snprintf(what, sizeof what, "--init-from a model of %s", text);
    SPX_RETURN_IF(spx_cli_exclude(cli, SPX_OF_CELLS " plan location", what));
    return spx_net_reference(cli, text, f);
}

static spx_status fill_spec(spx_cli *cli, const values *v, const spx_pack *pack, spx_final_spec *f)
{
    if (v->linearize.method != SPX_LINEARIZE_NONE) {
        const spx_linearize_from from = {.init_from = v->init_from,
                                         .teacher = v->teacher,
                                         .run = resumed(v),
                                         .data = v->data,
                                         .pack = pack,
                                         .any_size = v->augment.resized_crop != NULL};
        return spx_linearize_spec(cli, &v->linearize, &from, f);
    }
    f->classes = pack->classes;
    memcpy(f->mean, pack->mean, sizeof f->mean);
    memcpy(f->std, pack->std, sizeof f->std);
    fill_begun(v, f);
    SPX_RETURN_IF(spx_run_input(cli, &v->input, pack, true, &f->input));
    if (v->network != NULL) {
        return spx_net_reference(cli, v->network, f);
    }
    if (f->reference[0] != '\0') {
        char text[SPX_REFERENCE_CHARS];
        memcpy(text, f->reference, sizeof text);
        return fill_reference(cli, text, f);
    }
    SPX_RETURN_IF(spx_genotype_load(&f->genotype, v->genotype));
    return fill_shape(cli, v, f);
}

/* "8", or "20%" of all epochs; below 0 where it is neither. *end: behind it. */
static double take_epochs(const char *text, int64_t all, char **end)
{
    double n = *text >= '0' && *text <= '9' ? strtod(text, end) : -1;
    if (n >= 0 && **end == '%') {
        n *= (double)all / 100;
        ++*end;
    }
    return n;
}

static spx_status fill_schedule(spx_cli *cli, const values *v, spx_schedule *s)
{
    static const spx_schedule_kind kinds[] = {SPX_SCHEDULE_COSINE, SPX_SCHEDULE_STEP,
                                              SPX_SCHEDULE_COSINE_STEPS, SPX_SCHEDULE_ONE_CYCLE};
    char *end = NULL;
    const double warmup = take_epochs(v->warmup, v->epochs, &end);
    if (!(warmup >= 0) || *end != '\0') {
        return spx_cli_usage(cli, "--warmup '%.100s': expected epochs, or a share such as 20%%",
                             v->warmup);
    }
    *s = (spx_schedule){.kind = kinds[v->schedule],
                        .lr = v->lr,
                        .lr_min = v->lr_min,
                        .epochs = v->epochs,
                        .warmup = warmup,
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

/* "160:0,224:60" or "160:0,224:50%" as stages. In a short training shares may come to one epoch:
 * then it is the last one's. */
static spx_status fill_stages(spx_cli *cli, const char *text, spx_train_options *o)
{
    for (const char *at = text != NULL && *text != '\0' ? text : NULL; at != NULL;) {
        char *end;
        const long side = strtol(at, &end, 10);
        const double from = *end == ':' ? take_epochs(end + 1, o->run.schedule.epochs, &end) : -1;
        const bool share = end > at && end[-1] == '%';
        const int64_t epoch = from >= 0 && from <= 1e6 ? (int64_t)from : -1;
        if (side < 1 || side > SPX_RESIZE_MAX || epoch < 0 || (!share && (double)epoch < from) ||
            (*end != ',' && *end != '\0') || o->n_stages == SPX_TRAIN_STAGES) {
            return spx_cli_usage(cli,
                                 "--resolutions '%.100s': expected up to %d of SIDE:EPOCH with "
                                 "commas between",
                                 text, SPX_TRAIN_STAGES);
        }
        if (share && o->n_stages > 0 && o->stage[o->n_stages - 1].epoch == epoch) {
            o->n_stages--;
        }
        o->stage[o->n_stages++] = (spx_train_stage){.epoch = epoch, .side = (int)side};
        at = *end == ',' ? end + 1 : NULL;
    }
    return SPX_OK;
}

enum { SELECT_AUTO, SELECT_VAL, SELECT_TEST };

static spx_status fill(spx_cli *cli, const values *v, const spx_pack *pack, spx_run_talk *talk,
                       spx_train_options *o)
{
    if (v->select == SELECT_VAL && !(v->val_fraction > 0)) {
        return spx_cli_usage(cli, "--select val needs --val-fraction");
    }
    *o = (spx_train_options){.run = spx_run_options_of(cli, &v->run, v->init_from, talk),
                             .pack = pack,
                             .batch = v->batch,
                             .smoothing = (float)v->smoothing,
                             .sgd = {.momentum = (float)v->momentum,
                                     .decay = (float)v->decay,
                                     .clip = v->clip,
                                     .ema = (float)v->ema,
                                     .nesterov = v->nesterov,
                                     .spare_vectors = !v->norm_decay,
                                     .muon = v->lr > 0 ? (float)(v->muon_lr / v->lr) : 0,
                                     .muon_momentum = (float)v->muon_momentum},
                             .workers = (int)v->workers,
                             .nvjpeg = v->decoder == 1,
                             .eval_every = v->eval_every,
                             .epoch_steps = v->epoch_steps,
                             .held_out = v->val_fraction,
                             .by_test = v->select == SELECT_TEST,
                             .test_every = v->test_every,
                             .distill = {.teacher = v->teacher,
                                         .weight = (float)v->distill_weight,
                                         .temperature = (float)v->distill_temperature,
                                         .attention = (float)v->attention_weight,
                                         .attention_at = v->attention_at},
                             .allow_changed = v->run.allow_changed};
    SPX_RETURN_IF(fill_schedule(cli, v, &o->run.schedule));
    SPX_RETURN_IF(fill_spec(cli, v, pack, &o->spec));
    if (o->spec.reference[0] == '\0') {
        o->aux_weight = (float)v->aux_weight;
        o->drop_path = v->drop_path;
    }
    SPX_RETURN_IF(fill_stages(cli, v->resolutions, o));
    SPX_RETURN_IF(spx_linearize_of(&v->linearize, o));
    return spx_augment_of(cli, &v->augment, o->spec.input.rows, &o->augment);
}

spx_status spx_train_options_of(spx_cli *cli, const void *options_values,
                                const struct spx_pack *pack, struct spx_train_options *o)
{
    return fill(cli, options_values, pack, NULL, o);
}

/* What the run is begun with; see spx_run_open. */
static spx_status inputs_of(const values *v, const spx_train_options *o, json_t **out)
{
    json_t *network = spx_final_spec_json(&o->spec);
    const char *which = o->spec.reference[0] != '\0' ? "reference" : "genotype";
    json_t *j =
        json_pack("{s:s, s:O}", "data", o->pack->hash, which, json_object_get(network, which));
    spx_status st;
    if (v->plan != NULL) {
        json_t *plan = json_pack(
            "{s:O, s:O, s:O}", "init_channels", json_object_get(network, "init_channels"), "layers",
            json_object_get(network, "layers"), "reduce_at", json_object_get(network, "reduce_at"));
        if ((o->spec.dropped.normal | o->spec.dropped.reduce) != 0) {
            (void)json_object_set_new(plan, "dropped", spx_cell_sites_value(o->spec.dropped));
        }
        (void)json_object_set_new(j, "plan", plan);
    }
    if (v->location != NULL) {
        (void)json_object_set(j, "location", json_object_get(network, "reduce_at"));
    }
    json_decref(network);
    st = spx_run_add_file(j, "init-from", v->init_from, v->run.resume);
    st = st == SPX_OK ? spx_run_add_file(j, "teacher", v->teacher, false) : st;
    if (st != SPX_OK) {
        json_decref(j);
        j = NULL;
    }
    *out = j;
    return st;
}

/* Within the budget by the lowest loss. */
static void print_linearized(const spx_train_result *r, int64_t budget)
{
    if (r->best_top1 < 0) {
        (void)printf("best.h5 is not there: %s\n",
                     r->relus.kept > budget
                         ? "no epoch was within the budget yet"
                         : "no whole epoch was within the budget, or the file is "
                           "gone");
        return;
    }
    (void)printf(
        "best.h5: epoch %lld, of those within the budget the lowest loss, %.4f, on %s: top-1 "
        "%.2f %% on the test split\n",
        (long long)r->best_epoch, r->best_judged,
        r->best_by_test ? "the test split, so flattered" : "the held-out images",
        100 * r->best_top1);
}

/* A best by the test split is told only where it was asked for. */
static void print_best(const values *v, const spx_train_result *r)
{
    const long long epoch = (long long)r->best_epoch;
    if (r->best_by_loss) {
        print_linearized(r, v->linearize.budget);
        return;
    }
    if (r->held.images > 0) {
        (void)printf("on %lld held-out %s: top-1 %.2f %%\n", (long long)r->held.images,
                     SPX_PLURAL(r->held.images, "image", "images"),
                     100 * spx_metrics_top1(&r->held));
    }
    if (!r->best_by_test && r->best_top1 < 0) {
        (void)printf("best.h5: best by the held-out images, epoch %lld: top-1 %.2f %% there; the "
                     "file is gone\n",
                     epoch, 100 * r->best_judged);
    } else if (!r->best_by_test) {
        (void)printf("best.h5: best by the held-out images, epoch %lld: top-1 %.2f %% there, "
                     "%.2f %% on the test split\n",
                     epoch, 100 * r->best_judged, 100 * r->best_top1);
    } else if (v->select == SELECT_TEST) {
        (void)printf("best.h5: best by the test split, so flattered, epoch %lld: top-1 %.2f %%\n",
                     epoch, 100 * r->best_top1);
    } else {
        (void)printf("best.h5: epoch %lld, chosen by the test split (--val-fraction holds out "
                     "images to choose by)\n",
                     epoch);
    }
}

static spx_status print_result(const spx_cli *cli, const values *v, const spx_train_result *r)
{
    if (cli->json) {
        return spx_cli_print_json(spx_train_result_json(r));
    }
    (void)printf("top-1 %.2f %%, top-5 %.2f %%, loss %.4f on %lld test %s after %lld %s\n",
                 100 * spx_metrics_top1(&r->last), 100 * spx_metrics_top5(&r->last),
                 spx_metrics_loss(&r->last), (long long)r->last.images,
                 SPX_PLURAL(r->last.images, "image", "images"), (long long)r->steps,
                 SPX_PLURAL(r->steps, "step", "steps"));
    print_best(v, r);
    (void)printf("%lld %s, %lld parameters; %s/model.h5\n", (long long)r->relus.kept,
                 SPX_PLURAL(r->relus.kept, "ReLU", "ReLUs"), (long long)r->counts.params,
                 v->run.out);
    if (r->best_by_loss && r->relus.kept > v->linearize.budget) {
        (void)printf("that is more than the budget of %lld: the run was cut before its epochs came "
                     "down to it; --resume goes on\n",
                     (long long)v->linearize.budget);
    }
    return SPX_OK;
}

static spx_status open_pack(const values *v, spx_pack **pack)
{
    return spx_pack_open(pack, v->data,
                         SPX_PACK_NEED(SPX_SPLIT_TRAIN) | SPX_PACK_NEED(SPX_SPLIT_TEST));
}

static spx_status train(spx_cli *cli, const values *v, spx_train_result *r)
{
    spx_run_talk talk = {0};
    spx_train_options o;
    spx_session s = {0};
    spx_pack *pack = NULL;
    json_t *inputs;
    spx_status st;
    SPX_TRY(st, open_pack(v, &pack), end);
    SPX_TRY(st, fill(cli, v, pack, &talk, &o), end);
    SPX_TRY(st, inputs_of(v, &o, &inputs), end);
    SPX_TRY(st, spx_run_open(cli, &v->run, inputs, &s), end);
    st = spx_train_run(&s, &o, r);
    spx_run_talk_end(&talk);
end:
    spx_session_close(&s, st);
    spx_pack_close(pack);
    return st;
}

/* One of several seeds. */
static spx_status train_one(spx_cli *cli, const void *ctx, const spx_run_values *run, json_t **out)
{
    values v = *(const values *)ctx;
    spx_train_result r;
    v.run = *run;
    SPX_RETURN_IF(train(cli, &v, &r));
    *out = spx_train_result_json(&r);
    return SPX_OK;
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    spx_train_result r;
    if (v->seeds > 1) {
        return spx_seeds_run(
            cli, &v->run,
            &(spx_seeded){
                .n = v->seeds, .measure = "top1", .name = "top-1", .one = train_one, .ctx = v});
    }
    SPX_RETURN_IF(train(cli, v, &r));
    return print_result(cli, v, &r);
}

/* Whether the options ask for a network with the ImageNet stem; what is wrong with the pack is told
 * by who reads it all. */
static bool is_imagenet(const values *v)
{
    spx_input_shape in = {0};
    spx_pack *pack;
    if (v->input.n == 3) {
        in = (spx_input_shape){v->input.v[0], v->input.v[1], v->input.v[2]};
    } else if (v->data != NULL && spx_pack_open(&pack, v->data, 0) == SPX_OK) {
        in = (spx_input_shape){pack->channels, pack->height, pack->width};
        spx_pack_close(pack);
    }
    return spx_is_imagenet(&in);
}

static const char *recipe(const void *options_values, const char *name)
{
    const values *v = options_values;
    if (name == NULL) {
        return spx_linearize_recipe(&v->linearize);
    }
    return spx_recipe_text(name, is_imagenet(options_values));
}

const spx_command spx_cmd_train = {
    .name = "train",
    .summary = "Trains a final network and evaluates it on the test split.",
    .example = "sphynx train --data cifar100.h5 --genotype runs/search/genotype.json "
               "--init-channels 5 --layers 10 --reduce-at 0,5 --out runs/train",
    .options = options,
    .needs = needs,
    .values_size = sizeof(values),
    .run = run,
    .recipe = recipe};
