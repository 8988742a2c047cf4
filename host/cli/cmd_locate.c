/* sphynx locate: which two cells of a network reduce. */
#include "host/cli/commands.h"
#include "host/cli/net_talk.h"
#include "host/cli/run_talk.h"
#include "kernels/base/text.h"
#include "search/location/location_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct values {
    spx_run_values run;
    const char *data, *genotype;
    bool flip;
    int64_t init_channels, layers, batch, epochs, subsampling, validate_images, pad_crop, cutout;
    spx_int_list input;
    double lr, lr_min, momentum, decay, clip, beta_lr, beta_decay, tau_max, tau_min;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, data, "data", "FILE", NULL, "pack to search on",
            .flags = SPX_OPT_REQUIRED | SPX_OPT_PATH),
    SPX_RUN_OPTIONS(values),
    SPX_GENOTYPE_OPTION(values, genotype),
    SPX_OPT(INT, values, init_channels, "init-channels", "C", "5", "initial channels", .min = 1,
            .max = 4096),
    SPX_OPT(INT, values, layers, "layers", "L", "10",
            "cells; two of the first two thirds of them reduce", .min = 3, .max = SPX_MAX_LAYERS),
    SPX_OPT(SHAPE, values, input, "input", "CxHxW", NULL, SPX_RUN_INPUT_HELP, .min = 1,
            .max = 4096),
    SPX_OPT(INT, values, subsampling, "subsampling", "N", "3",
            "networks that a step compares, the one drawn and others; 0: the one drawn alone",
            .min = 0, .max = SPX_LOCATION_RUN_MAX),
    SPX_OPT(FLOAT, values, tau_max, "tau-max", "X", "10",
            "temperature of the drawing in the first epoch", .min = 1e-6, .max = 1e6),
    SPX_OPT(FLOAT, values, tau_min, "tau-min", "X", "0.1", "in the last", .min = 1e-6, .max = 1e6),
    SPX_OPT(INT, values, batch, "batch", "N", "96", "images per step, of each half", .min = 1,
            .max = 65536),
    SPX_OPT(INT, values, epochs, "epochs", "N", "50", "passes over a half", .min = 1, .max = 1e6),
    SPX_OPT(FLOAT, values, lr, "lr", "X", "0.025", "learning rate of the weights", .min = 0,
            .max = INFINITY),
    SPX_OPT(FLOAT, values, lr_min, "lr-min", "X", "0.001", "what it falls to, by a cosine",
            .min = 0, .max = INFINITY),
    SPX_OPT(FLOAT, values, momentum, "momentum", "X", "0.9", "momentum of the weights", .min = 0,
            .max = 0.999),
    SPX_OPT(FLOAT, values, decay, "weight-decay", "X", "3e-4",
            "weight decay of the weights of the network drawn", .min = 0, .max = 0.999),
    SPX_OPT(FLOAT, values, clip, "clip", "X", "5", "largest norm of their gradient; 0: any",
            .min = 0, .max = INFINITY),
    SPX_OPT(FLOAT, values, beta_lr, "beta-lr", "X", "3e-4", "learning rate of the pairs' scores",
            .min = 0, .max = 999),
    SPX_OPT(FLOAT, values, beta_decay, "beta-decay", "X", "1e-3", "weight decay of the scores",
            .min = 0, .max = 0.999),
    SPX_OPT(INT, values, pad_crop, "pad-crop", "N", "4", "random shift in pixels", .min = 0,
            .max = 64),
    SPX_OPT(FLAG, values, flip, "flip", NULL, "true", "mirror images at random"),
    SPX_OPT(INT, values, cutout, "cutout", "N", "0", "side of an erased square; 0: none", .min = 0,
            .max = 1024),
    SPX_OPT(INT, values, validate_images, "validate-images", "N", "0",
            "images of a validation; 0: the whole half", .min = 0, .max = 1e9),
    {0}};

static const spx_need needs[] = {{"allow-changed", "resume"}, {0}};

static spx_status fill(spx_cli *cli, const values *v, const spx_pack *pack, spx_run_talk *talk,
                       spx_locate_options *o)
{
    if (v->tau_min > v->tau_max) {
        return spx_cli_usage(cli, "--tau-min %g is above --tau-max %g: the temperature falls",
                             v->tau_min, v->tau_max);
    }
    *o = (spx_locate_options){
        .run = spx_run_options_of(cli, &v->run, NULL, talk),
        .pack = pack,
        .spec = {.classes = pack->classes, .init_channels = v->init_channels, .layers = v->layers},
        .batch = v->batch,
        .location = spx_location_defaults,
        .tau_max = v->tau_max,
        .tau_min = v->tau_min,
        .augment = {.pad_crop = (int)v->pad_crop, .flip = v->flip, .cutout = (int)v->cutout},
        .validate_images = v->validate_images};
    o->run.schedule = (spx_schedule){
        .kind = SPX_SCHEDULE_COSINE, .lr = v->lr, .lr_min = v->lr_min, .epochs = v->epochs};
    o->location.subsampling = (int)v->subsampling;
    o->location.momentum = (float)v->momentum;
    o->location.decay = (float)v->decay;
    o->location.clip = v->clip;
    o->location.beta_lr = (float)v->beta_lr;
    o->location.beta_decay = (float)v->beta_decay;
    memcpy(o->spec.mean, pack->mean, sizeof o->spec.mean);
    memcpy(o->spec.std, pack->std, sizeof o->spec.std);
    SPX_RETURN_IF(spx_genotype_load(&o->spec.genotype, v->genotype));
    return spx_run_input(cli, &v->input, pack, false, &o->spec.input);
}

static void print_result(const values *v, const spx_locate_result *r)
{
    (void)printf("%lld %s, %d networks, %.1f MiB: cells %d and %d reduce, validation top-1 %.2f "
                 "%%\n%s/location.json: what train and plan take by --location\n",
                 (long long)r->steps, SPX_PLURAL(r->steps, "step", "steps"), r->networks,
                 (double)r->bytes / 0x1p20, r->pair.at[0], r->pair.at[1], 100 * r->top1,
                 v->run.out);
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    spx_run_talk talk = {0};
    spx_locate_options o;
    spx_locate_result r = {0};
    spx_session s = {0};
    spx_pack *pack = NULL;
    json_t *inputs;
    spx_status st;
    SPX_TRY(st, spx_pack_open(&pack, v->data, SPX_PACK_NEED(SPX_SPLIT_TRAIN)), end);
    SPX_TRY(st, fill(cli, v, pack, &talk, &o), end);
    inputs = json_pack("{s:s, s:o}", "data", pack->hash, "genotype",
                       spx_genotype_value(&o.spec.genotype));
    SPX_TRY(st, spx_run_open(cli, &v->run, inputs, &s), end);
    st = spx_locate_run(&s, &o, &r);
    spx_run_talk_end(&talk);
end:
    spx_session_close(&s, st);
    spx_pack_close(pack);
    if (st == SPX_OK && cli->json) {
        st = spx_cli_print_json(spx_locate_result_json(&r));
    } else if (st == SPX_OK) {
        print_result(v, &r);
    }
    json_decref(r.location);
    return st;
}

const spx_command spx_cmd_locate = {
    .name = "locate",
    .summary = "Searches which two cells of a network reduce: one network a pair, one stem.",
    .example = "sphynx locate --data cifar100.h5 --genotype runs/search/genotype.json "
               "--init-channels 5 --layers 10 --out runs/locate",
    .options = options,
    .needs = needs,
    .values_size = sizeof(values),
    .run = run};
