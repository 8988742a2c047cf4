/* sphynx search: find a genotype on a data set. */
#include "host/cli/commands.h"
#include "host/cli/finalists_talk.h"
#include "host/cli/net_talk.h"
#include "host/cli/run_talk.h"
#include "host/cli/seeds_talk.h"
#include "kernels/base/text.h"
#include "search/bilevel/search_run.h"
#include "search/budget/sites.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct values {
    spx_run_values run;
    spx_finalists_values finalists;
    const char *data, *init_from;
    bool random, published_hessian, flip;
    int space; /* spx_space */
    int64_t order, init_channels, layers, batch, epochs, validate_images, pad_crop, cutout, seeds;
    spx_int_list input, reduce_loc;
    int64_t cost_channels, max_depth;
    const char *cost_link;
    double lr, lr_min, momentum, decay, clip, alpha_lr, alpha_decay, cost_weight;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, data, "data", "FILE", NULL, "pack to search on", .flags = SPX_OPT_PATH),
    SPX_RUN_OPTIONS(values),
    SPX_SEEDS_OPTION(values, seeds),
    SPX_OPT(ENUM, values, space, "space", "sphynx|relu-ops", "sphynx",
            "primitives: linear ones, or ones with a ReLU on their input"),
    SPX_OPT(INT, values, order, "order", "1|2", "2", "order of the alphas' gradient", .min = 1,
            .max = 2),
    SPX_OPT(FLAG, values, published_hessian, "published-hessian", NULL, "false",
            "multiply by epsilon as the published code does"),
    SPX_OPT(FLAG, values, random, "random", NULL, "false",
            "draw a random genotype instead: the baseline of a search"),
    SPX_OPT(INT, values, init_channels, "init-channels", "C", "16", "initial channels", .min = 1,
            .max = 4096),
    SPX_OPT(INT, values, layers, "layers", "L", "8", "cells", .min = 1, .max = SPX_MAX_LAYERS),
    SPX_OPT(LIST, values, reduce_loc, "reduce-loc", "R,...", "2,4",
            "reduction cells, in sixths of the layers", .min = 0, .max = 5),
    SPX_OPT(SHAPE, values, input, "input", "CxHxW", NULL, SPX_RUN_INPUT_HELP, .min = 1,
            .max = 4096),
    SPX_OPT(INT, values, batch, "batch", "N", "64", "images per step, of each half", .min = 1,
            .max = 65536),
    SPX_OPT(INT, values, epochs, "epochs", "N", "50", "passes over a half", .min = 1, .max = 1e6),
    SPX_OPT(FLOAT, values, lr, "lr", "X", "0.025", "learning rate of the weights", .min = 0,
            .max = INFINITY),
    SPX_OPT(FLOAT, values, lr_min, "lr-min", "X", "0.001", "what it falls to, by a cosine",
            .min = 0, .max = INFINITY),
    SPX_OPT(FLOAT, values, momentum, "momentum", "X", "0.9", "momentum of the weights", .min = 0,
            .max = 1),
    SPX_OPT(FLOAT, values, decay, "weight-decay", "X", "3e-4", "weight decay of the weights",
            .min = 0, .max = INFINITY),
    SPX_OPT(FLOAT, values, clip, "clip", "X", "5", "largest norm of their gradient; 0: any",
            .min = 0, .max = INFINITY),
    SPX_OPT(FLOAT, values, alpha_lr, "alpha-lr", "X", "3e-4", "learning rate of the alphas",
            .min = 0, .max = INFINITY),
    SPX_OPT(FLOAT, values, alpha_decay, "alpha-decay", "X", "1e-3", "weight decay of the alphas",
            .min = 0, .max = INFINITY),
    SPX_OPT(FLOAT, values, cost_weight, "cost-weight", "X", "0",
            "weight beside the validation loss of the expected private cost, itself of 0 to 1",
            .min = 0, .max = 1e6),
    SPX_OPT(INT, values, cost_channels, "cost-channels", "C", "5",
            "initial channels of the network that it and a ReLU budget are reckoned for", .min = 1,
            .max = 4096),
    SPX_OPT(STRING, values, cost_link, "cost-link", "L", "lan",
            "and the link: loopback, lan, wan or RATE,RTT"),
    SPX_OPT(
        INT, values, max_depth, "max-depth", "D", "6",
        "with a ReLU budget: convolutions between ReLUs that masks may leave; 6: as many as the "
        "published cells have",
        .min = 1, .max = SPX_SITES_MAX_DEPTH),
    SPX_OPT(INT, values, pad_crop, "pad-crop", "N", "4", "random shift in pixels", .min = 0,
            .max = 64),
    SPX_OPT(FLAG, values, flip, "flip", NULL, "true", "mirror images at random"),
    SPX_OPT(INT, values, cutout, "cutout", "N", "0", "side of an erased square; 0: none", .min = 0,
            .max = 1024),
    SPX_OPT(INT, values, validate_images, "validate-images", "N", "0",
            "images of a validation; 0: the whole half", .min = 0, .max = 1e9),
    SPX_OPT(STRING, values, init_from, "init-from", "RUN|FILE", NULL,
            "begin with the weights and alphas of a search or its checkpoint",
            .flags = SPX_OPT_PATH),
    SPX_FINALISTS_OPTIONS(values, finalists),
    {0}};

static const spx_need needs[] = {{"^ random space seeds out resume allow-changed", "!random"},
                                 {"published-hessian", "order=2"},
                                 {"allow-changed", "resume"},
                                 SPX_FINALISTS_NEEDS,
                                 {"cost-link", "cost-weight"},
                                 {"cost-channels", "cost-weight|relu-budget"},
                                 {"max-depth", "relu-budget"},
                                 {0}};

static spx_status fill(spx_cli *cli, const values *v, const spx_pack *pack, spx_run_talk *talk,
                       spx_search_options *o)
{
    *o = (spx_search_options){
        .run = spx_run_options_of(cli, &v->run, v->init_from, talk),
        .pack = pack,
        .net = {.space = (spx_space)v->space,
                .batch = v->batch,
                .classes = pack->classes,
                .init_channels = v->init_channels,
                .layers = v->layers},
        .bilevel = spx_bilevel_defaults,
        .augment = {.pad_crop = (int)v->pad_crop, .flip = v->flip, .cutout = (int)v->cutout},
        .validate_images = v->validate_images};
    o->run.schedule = (spx_schedule){
        .kind = SPX_SCHEDULE_COSINE, .lr = v->lr, .lr_min = v->lr_min, .epochs = v->epochs};
    o->cost_weight = v->cost_weight;
    o->private.channels = v->cost_channels;
    if (v->finalists.pool == 0 && v->finalists.relus > 0) {
        o->budget = (spx_relu_budget){.relus = v->finalists.relus,
                                      .channels = v->cost_channels,
                                      .max_depth = (int)v->max_depth};
        o->net.gated = true;
    }
    if (spx_link_parse(v->cost_link, &o->private.link) != SPX_OK) {
        return spx_cli_usage(cli, "--cost-%s", spx_error_message());
    }
    o->bilevel.second_order = v->order == 2;
    o->bilevel.published_hessian = v->published_hessian;
    o->bilevel.momentum = (float)v->momentum;
    o->bilevel.decay = (float)v->decay;
    o->bilevel.clip = v->clip;
    o->bilevel.alpha_lr = (float)v->alpha_lr;
    o->bilevel.alpha_decay = (float)v->alpha_decay;
    SPX_RETURN_IF(
        spx_net_cells(cli, "reduce-loc", &v->reduce_loc, o->net.reduce_loc, &o->net.n_reduce));
    return spx_run_input(cli, &v->input, pack, false, &o->net.input);
}

/* What the command prints: the genotype, how it was come by, where it lies; takes about over. */
static spx_status print_result(const spx_cli *cli, const values *v, const spx_genotype *g,
                               json_t *about)
{
    const json_t *top1 = json_object_get(about, "val_top1");
    char *text;
    if (cli->json) {
        return spx_cli_print_json(about);
    }
    text = spx_genotype_text(g);
    if (text != NULL && top1 != NULL) {
        const long long steps = (long long)json_integer_value(json_object_get(about, "steps"));
        (void)printf("best of %lld %s: epoch %lld, validation top-1 %.2f %%\n", steps,
                     SPX_PLURAL(steps, "step", "steps"),
                     (long long)json_integer_value(json_object_get(about, "epoch")),
                     100 * json_real_value(top1));
    }
    if (text != NULL) {
        (void)fputs(text, stdout); /* ends its own line */
        (void)printf("%s/genotype.json: what plan, train and inspect take by --genotype %s\n",
                     v->run.out, v->run.out);
    }
    json_decref(about);
    free(text);
    return text != NULL ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "search: result");
}

/* One of several seeds, or the only one. */
static spx_status random_one(spx_cli *cli, const void *ctx, const spx_run_values *run, json_t **out)
{
    const values *v = ctx;
    spx_run_talk talk = {0};
    spx_session s;
    spx_genotype g;
    spx_genotype_random((uint64_t)cli->seed, &g);
    g.space = (spx_space)v->space;
    SPX_RETURN_IF(spx_run_open(cli, run, json_object(), &s));
    spx_session_warn(&s, spx_run_warn, &talk);
    const spx_status st = spx_genotype_save(&s, &g, NULL);
    spx_session_close(&s, st);
    SPX_RETURN_IF(st);
    *out = json_pack("{s:b, s:o}", "random", 1, "genotype", spx_genotype_value(&g));
    return *out != NULL ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "search: result");
}

static spx_status run_random(spx_cli *cli, const values *v)
{
    spx_genotype g;
    json_t *about;
    SPX_RETURN_IF(random_one(cli, v, &v->run, &about));
    spx_genotype_random((uint64_t)cli->seed, &g);
    g.space = (spx_space)v->space;
    return print_result(cli, v, &g, about);
}

static spx_status search(spx_cli *cli, const values *v, spx_search_result *r)
{
    spx_run_talk talk = {0};
    spx_search_options o;
    spx_session s = {0};
    spx_pack *pack = NULL;
    json_t *inputs = NULL;
    spx_status st;
    SPX_TRY(st, spx_pack_open(&pack, v->data, SPX_PACK_NEED(SPX_SPLIT_TRAIN)), end);
    SPX_TRY(st, fill(cli, v, pack, &talk, &o), end);
    inputs = json_pack("{s:s}", "data", pack->hash);
    st = spx_run_add_file(inputs, "init-from", v->init_from, v->run.resume);
    if (st != SPX_OK) {
        json_decref(inputs);
        goto end;
    }
    SPX_TRY(st, spx_run_open(cli, &v->run, inputs, &s), end);
    st = spx_search_run(&s, &o, r);
    spx_run_talk_end(&talk);
end:
    spx_session_close(&s, st);
    spx_pack_close(pack);
    return st;
}

static spx_status finalists(spx_cli *cli, const values *v)
{
    spx_run_talk talk = {0};
    spx_search_options o;
    spx_pack *pack = NULL;
    spx_status st;
    SPX_TRY(st, spx_pack_open(&pack, v->data, SPX_PACK_NEED(SPX_SPLIT_TRAIN)), end);
    SPX_TRY(st, fill(cli, v, pack, &talk, &o), end);
    st = spx_finalists_command(cli, &v->finalists, &v->run, v->data, &o, &talk);
end:
    spx_pack_close(pack);
    return st;
}

/* One of several seeds. */
static spx_status search_one(spx_cli *cli, const void *ctx, const spx_run_values *run, json_t **out)
{
    values v = *(const values *)ctx;
    spx_search_result r;
    v.run = *run;
    SPX_RETURN_IF(search(cli, &v, &r));
    *out = spx_search_result_json(&r);
    return SPX_OK;
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    spx_search_result r;
    if (v->random && v->seeds == 1) {
        return run_random(cli, v);
    }
    if (v->data == NULL && !v->random) {
        return spx_cli_usage(cli, "--data is missing");
    }
    if (v->finalists.pool > 0) {
        return finalists(cli, v);
    }
    if (v->seeds > 1) {
        return spx_seeds_run(cli, &v->run,
                             &(spx_seeded){.n = v->seeds,
                                           .measure = v->random ? NULL : "val_top1",
                                           .name = "validation top-1",
                                           .one = v->random ? random_one : search_one,
                                           .ctx = v});
    }
    SPX_RETURN_IF(search(cli, v, &r));
    return print_result(cli, v, &r.genotype, spx_search_result_json(&r));
}

const spx_command spx_cmd_search = {
    .name = "search",
    .summary = "Searches a genotype: weights and alphas in turns, on two halves of a training set.",
    .example = "sphynx search --data cifar10.h5 --init-channels 16 --layers 8 --out runs/search",
    .options = options,
    .needs = needs,
    .values_size = sizeof(values),
    .run = run};
