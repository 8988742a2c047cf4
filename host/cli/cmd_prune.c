/* sphynx prune: a trained model with fewer ReLUs, at once. */
#include "host/cli/budget_talk.h"
#include "host/cli/commands.h"
#include "host/cli/preprocess_talk.h"
#include "host/cli/progress.h"

#include <stdio.h>
#include <string.h>

typedef struct values {
    const char *model, *data, *out, *like;
    spx_budget_values budget;
    int granularity;
    bool per_kind, random, allow_changed;
    int64_t rounds, max_depth, batch, images;
    double val_fraction;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, model, "model", "RUN|FILE", NULL,
            "folder of a training, its model or its checkpoint", .flags = SPX_OPT_REQUIRED),
    SPX_BUDGET_OPTIONS(values, budget),
    SPX_OPT(
        ENUM, values, granularity, "granularity", "edge|channel|pixel", "edge",
        "what is kept or dropped: a whole layer of ReLUs, by what the loss rises when it alone "
        "is linear; a channel or a position, by first-order scores. Dropped positions, and many "
        "channels, still cost a private query (interactive positions)"),
    SPX_OPT(STRING, values, data, "data", "FILE", NULL, "pack whose training images measure",
            .flags = SPX_OPT_REQUIRED),
    SPX_OPT(STRING, values, out, "out", "FILE", NULL, "the model to write",
            .flags = SPX_OPT_REQUIRED | SPX_OPT_TRANSIENT | SPX_OPT_OUTPUT, .letter = 'o'),
    SPX_OPT(FLAG, values, per_kind, "per-kind", NULL, "false",
            "edge: the same ReLUs in all cells of a kind"),
    SPX_OPT(FLAG, values, random, "random", NULL, "false",
            "keep by chance instead (--seed): the baseline of values and scores"),
    SPX_OPT(STRING, values, like, "like", "RUN|FILE", NULL,
            "pixel: as many positions of each layer as this masked model keeps, in place of a "
            "budget"),
    SPX_OPT(INT, values, rounds, "rounds", "N", "1",
            "edge: times that values are measured, of which each drops its share", .min = 1,
            .max = 64),
    SPX_OPT(INT, values, max_depth, "max-depth", "N", "0",
            "edge: convolutions between ReLUs at most; 0: 4, or what the model has", .min = 0,
            .max = SPX_SITES_MAX_DEPTH),
    SPX_OPT(FLOAT, values, val_fraction, "val-fraction", "F", "0.1",
            "share of the training images whose loss is measured; default: those the model's "
            "training held out, where it did",
            .min = 0.0001, .max = 0.9),
    SPX_OPT(INT, values, images, "images", "N", "2048",
            "other training images, for batch norm's statistics and scores", .min = 1, .max = 1e6),
    SPX_OPT(INT, values, batch, "batch", "N", "128", "images at a time", .min = 1, .max = 65536),
    SPX_ALLOW_CHANGED_OPTION(values, allow_changed),
    {0}};

static const spx_need needs[] = {SPX_BUDGET_NEEDS,
                                 {"per-kind rounds max-depth", "granularity=edge"},
                                 {"like", "granularity=pixel"},
                                 {"relu-budget budget", "!like"},
                                 {0}};

/* ---- progress ---- */

typedef struct talk {
    spx_progress progress;
    const char *phase;
} talk;

static void show(void *ctx, const char *phase, int64_t done, int64_t total)
{
    talk *t = ctx;
    if (t->phase == NULL) {
        spx_progress_begin(&t->progress, stderr,
                           strcmp(phase, "scoring") == 0 ? "batches" : "layers",
                           (uint64_t)(done - 1), (uint64_t)total);
        t->phase = phase;
    }
    spx_progress_show(&t->progress, (uint64_t)done, "%s", phase);
    if (done == total) {
        spx_progress_end(&t->progress);
        t->phase = NULL;
    }
}

/* ---- the result ---- */

static json_t *layer_json(const spx_pruned_layer *l)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:f}", "relu", l->relu, "relus_full",
                     (json_int_t)l->full, "relus_before", (json_int_t)l->before, "relus",
                     (json_int_t)l->kept, "value", l->value);
}

static json_t *layers_json(const spx_prune_result *r)
{
    json_t *a = json_array();
    for (int i = 0; i < r->n; i++) {
        (void)json_array_append_new(a, layer_json(&r->layer[i]));
    }
    return a;
}

static json_t *rounds_json(const spx_prune_result *r, int64_t n)
{
    json_t *a = json_array();
    for (int64_t i = 0; i < n; i++) {
        (void)json_array_append_new(a, json_pack("{s:I, s:f, s:f}", "relus",
                                                 (json_int_t)r->round[i].relus, "loss_predicted",
                                                 r->round[i].predicted, "loss", r->round[i].loss));
    }
    return a;
}

/* null: it cannot be deployed. */
static json_t *private_json(const spx_prune_private *p)
{
    return p->known ? json_pack("{s:f, s:f}", "bytes", p->bytes, "online_ms", 1e3 * p->online)
                    : json_null();
}

static spx_status print_json(const values *v, const spx_prune_budget *b, const spx_prune_result *r)
{
    json_t *j = json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:s, s:I, s:o, s:o}", "relus_before",
                          (json_int_t)r->relus_before, "loss_before", spx_metrics_loss(&r->before),
                          "loss_predicted", r->predicted, "loss_after", spx_metrics_loss(&r->after),
                          "top1_before", spx_metrics_top1(&r->before), "top1_after",
                          spx_metrics_top1(&r->after), "budget", b->text, "images",
                          (json_int_t)r->after.images, "file", spx_cli_name_json(v->out), "layers",
                          layers_json(r));
    spx_relu_count_json(j, &r->relus);
    if (j != NULL) {
        (void)json_object_set_new(j, "private_before", private_json(&r->private_before));
        (void)json_object_set_new(j, "private_after", private_json(&r->private_after));
    }
    if (j != NULL && v->granularity == SPX_PRUNE_EDGE) {
        (void)json_object_set_new(j, "depth", json_integer(r->depth));
        (void)json_object_set_new(j, "rounds", rounds_json(r, v->rounds));
    }
    if (j != NULL && b->kind != SPX_BUDGET_RELUS) {
        const bool bytes = b->kind == SPX_BUDGET_BYTES;
        (void)json_object_set_new(j, bytes ? "bytes" : "online_ms",
                                  bytes ? json_integer((json_int_t)r->private_cost)
                                        : json_real(r->private_cost / 1000));
    }
    return spx_cli_print_json(j);
}

static void print_private(const spx_prune_budget *b, const spx_prune_result *r)
{
    const spx_prune_private *x = &r->private_before, *y = &r->private_after;
    if (!x->known || !y->known) {
        (void)printf("It cannot be evaluated privately as it is (sphynx export says why).\n");
        return;
    }
    (void)printf("A private query takes %.0f bytes and, over %s, %.1f ms online (before: %.0f "
                 "bytes, %.1f ms), as sphynx cost predicts it by usual rates.\n",
                 y->bytes, b->kind == SPX_BUDGET_ONLINE ? "that link" : "lan", 1e3 * y->online,
                 x->bytes, 1e3 * x->online);
}

static void print(const values *v, const spx_prune_budget *b, const spx_prune_result *r)
{
    for (int64_t i = 0; v->rounds > 1 && i < v->rounds; i++) {
        (void)printf("Round %lld: %lld ReLUs, loss %.4f, predicted %.4f.\n", (long long)(i + 1),
                     (long long)r->round[i].relus, r->round[i].loss, r->round[i].predicted);
    }
    (void)printf("%-40s %10s %10s %10s %12s\n", "ReLU", "full", "before", "kept", "value");
    for (int i = 0; i < r->n; i++) {
        const spx_pruned_layer *l = &r->layer[i];
        (void)printf("%-40s %10lld %10lld %10lld %12.4g\n", l->relu, (long long)l->full,
                     (long long)l->before, (long long)l->kept, l->value);
    }
    (void)printf("%lld of %lld ReLUs kept", (long long)r->relus.kept, (long long)r->relus_before);
    if (r->relus.counted) {
        (void)printf(", %lld interactive positions", (long long)r->relus.interactive);
    }
    (void)printf(".\n");
    print_private(b, r);
    (void)printf("Loss on %lld held-out images, batch norm estimated anew: %.4f before, %.4f "
                 "predicted, %.4f after; top-1 "
                 "%.2f %% before, %.2f %% after.\n",
                 (long long)r->after.images, spx_metrics_loss(&r->before), r->predicted,
                 spx_metrics_loss(&r->after), 100 * spx_metrics_top1(&r->before),
                 100 * spx_metrics_top1(&r->after));
}

/* The images that the model's training held out, by its own share and seed, unless others are asked
 * for. False where it does not say. */
static bool held_out(const spx_cli *cli, const values *v, const spx_model *m, spx_prune_options *o)
{
    const json_t *config = json_object_get(m->file.meta, "config");
    const json_t *share = json_object_get(config, "val-fraction");
    const json_t *seed = json_object_get(config, "seed");
    o->held_out = v->val_fraction;
    o->seed = (uint64_t)cli->seed;
    if (spx_cli_given(cli, "val-fraction")) {
        return true;
    }
    if (!(json_number_value(share) > 0) || !json_is_integer(seed)) {
        return false;
    }
    o->held_out = json_number_value(share);
    o->seed = (uint64_t)json_integer_value(seed);
    return true;
}

static spx_status prune(spx_cli *cli, const values *v, const spx_model *m, const spx_pack *pack,
                        const spx_prune_budget *budget, const spx_masks *like,
                        spx_prune_result *out)
{
    talk t = {.phase = NULL};
    spx_prune_options o = {.budget = *budget,
                           .granularity = (spx_prune_granularity)v->granularity,
                           .per_kind = v->per_kind,
                           .rounds = (int)v->rounds,
                           .max_depth = (int)v->max_depth,
                           .batch = v->batch,
                           .images = v->images,
                           .random = v->random,
                           .random_seed = (uint64_t)cli->seed,
                           .like = v->like != NULL ? like : NULL,
                           .show = show,
                           .ctx = &t};
    spx_stream *stream;
    const bool known = held_out(cli, v, m, &o);
    SPX_RETURN_IF(spx_talk_fit(&m->images, v->model, pack, v->data, v->allow_changed));
    SPX_RETURN_IF(spx_cli_stream(cli, &stream));
    const spx_status st = spx_prune(out, m, pack, stream, &o, v->out);
    if (t.phase != NULL) {
        spx_progress_end(&t.progress);
    }
    spx_stream_destroy(stream);
    if (st == SPX_OK && !known) {
        spx_cli_talk(cli,
                     "%s does not say which images its training held out: losses may be of images "
                     "it was trained on",
                     v->model);
    }
    return st;
}

/* The masks of --like, and the budget that they are. */
static spx_status counts_of(const char *given, spx_masks *like, spx_prune_budget *budget)
{
    spx_model m;
    SPX_RETURN_IF(spx_model_open(&m, given));
    spx_status st = spx_model_masks(like, &m);
    spx_model_close(&m);
    if (st == SPX_OK && like->n == 0) {
        st = SPX_FAIL(SPX_EINVAL, "%s: keeps all its ReLUs", given);
    }
    *budget = (spx_prune_budget){.kind = SPX_BUDGET_RELUS, .value = spx_masks_relus(like)};
    (void)snprintf(budget->text, sizeof budget->text, "relus:%lld", (long long)budget->value);
    return st;
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    spx_masks like = {0};
    char path[4096];
    spx_prune_budget budget;
    spx_prune_result r = {0};
    spx_model m = {0};
    spx_pack *pack = NULL;
    spx_status st;
    SPX_RETURN_IF(v->like != NULL ? counts_of(v->like, &like, &budget)
                                  : spx_talk_budget(cli, &v->budget, &budget));
    if (budget.kind != SPX_BUDGET_ONLINE) {
        SPX_RETURN_IF(spx_link_parse("lan", &budget.link));
    }
    if (budget.kind != SPX_BUDGET_RELUS && v->granularity != SPX_PRUNE_EDGE) {
        return spx_cli_usage(cli, "--budget %s is for --granularity edge", budget.text);
    }
    SPX_TRY(st, spx_ckpt_path(v->model, path, sizeof path), end);
    SPX_TRY(st, spx_model_open(&m, path), end);
    SPX_TRY(st, spx_cli_distinct(cli, v->out, path), end);
    SPX_TRY(st, spx_cli_distinct(cli, v->out, v->data), end);
    SPX_TRY(st, spx_pack_open(&pack, v->data, SPX_PACK_NEED(SPX_SPLIT_TRAIN)), end);
    SPX_TRY(st, prune(cli, v, &m, pack, &budget, &like, &r), end);
    if (cli->json) {
        st = print_json(v, &budget, &r);
    } else {
        print(v, &budget, &r);
    }
end:
    spx_prune_result_clear(&r);
    spx_masks_clear(&like);
    spx_pack_close(pack);
    spx_model_close(&m);
    return st;
}

const spx_command spx_cmd_prune = {
    .name = "prune",
    .summary = "Makes a trained model do with fewer ReLUs: the most valuable ones within a budget.",
    .example = "sphynx prune --model runs/train --relu-budget 20000 --granularity pixel "
               "--data cifar100.h5 -o small.h5",
    .options = options,
    .needs = needs,
    .values_size = sizeof(values),
    .run = run};
