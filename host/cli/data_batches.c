/* sphynx data batches: what a training gets to see, for people and other programs. */
#include "data/loader/loader.h"
#include "host/cli/augment_talk.h"
#include "host/cli/commands.h"
#include "host/cli/data_talk.h"
#include "host/cli/run_talk.h"
#include "host/h5/h5_file.h"
#include "kernels/base/alloc.h"
#include "kernels/base/text.h"
#include "search/final/train_run.h"

#include <stdio.h>
#include <string.h>

typedef struct values {
    const char *output, *recipe, *resolutions;
    spx_augment_values augment;
    spx_int_list input;
    int64_t steps, batch, epoch, epochs;
    double val_fraction;
    bool test;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, output, "output", "FILE", NULL, "the file to write (.h5)",
            .flags = SPX_OPT_REQUIRED | SPX_OPT_TRANSIENT | SPX_OPT_OUTPUT, .letter = 'o'),
    SPX_OPT(INT, values, steps, "steps", "N", "0", "batches; 0: as many as an epoch has", .min = 0,
            .max = 1e9),
    SPX_OPT(INT, values, epoch, "epoch", "E", "0", "which epoch they begin with", .min = 0,
            .max = 1e6),
    SPX_RECIPE_OPTION(values, recipe),
    SPX_INPUT_OPTION(values, input),
    SPX_BATCH_OPTION(values, batch),
    SPX_EPOCHS_OPTION(values, epochs),
    SPX_AUGMENT_OPTIONS(values, augment),
    SPX_RESOLUTIONS_OPTION(values, resolutions),
    SPX_VAL_FRACTION_OPTION(values, val_fraction),
    SPX_OPT(FLAG, values, test, "test", NULL, "false",
            "batches of the test split, as evaluation gets them"),
    {0}};

/* train's own come when its options are read. */
static const spx_need needs[] = {{"epoch resolutions val-fraction", "!test"}, {0}};

/* What is written; arrays of `rows` batches. */
typedef struct dump {
    int64_t rows, batch;
    spx_input_shape in;
    float *images;
    int32_t *labels;
    int64_t *indices;
} dump;

static spx_status make(dump *d)
{
    const int64_t numbers = d->in.channels * d->in.rows * d->in.columns; /* at most 4096^3 */
    size_t pictures, count;
    if (__builtin_mul_overflow((size_t)d->rows, (size_t)d->batch, &pictures) ||
        __builtin_mul_overflow(pictures, (size_t)numbers, &count)) {
        return SPX_FAIL(SPX_EINVAL, "%lld batches do not fit in memory; ask for fewer (--steps)",
                        (long long)d->rows);
    }
    SPX_RETURN_IF(SPX_NEW(d->images, count));
    SPX_RETURN_IF(SPX_NEW(d->labels, pictures));
    return SPX_NEW(d->indices, pictures);
}

static spx_status fill(dump *d, spx_loader *l, int64_t epoch)
{
    const size_t per_epoch = spx_loader_steps(l);
    const size_t numbers = (size_t)(d->batch * d->in.channels * d->in.rows * d->in.columns);
    for (int64_t i = 0; i < d->rows; i++) {
        const size_t at = (size_t)i, first = at * (size_t)d->batch;
        spx_batch b;
        SPX_RETURN_IF(spx_loader_get(l, (uint64_t)epoch + at / per_epoch, at % per_epoch, &b));
        memcpy(d->images + at * numbers, b.images, numbers * sizeof *b.images);
        memcpy(d->labels + first, b.labels, b.count * sizeof *b.labels);
        for (size_t k = 0; k < b.count; k++) { /* rows that only fill up are no image */
            d->indices[first + k] = k < b.valid ? (int64_t)b.indices[k] : -1;
        }
    }
    return SPX_OK;
}

static spx_status save(const dump *d, const char *path)
{
    const int64_t dims[] = {d->rows, d->batch, d->in.channels, d->in.rows, d->in.columns};
    spx_h5_out *w;
    spx_status st;
    SPX_RETURN_IF(spx_h5_create(&w));
    SPX_TRY(st, spx_h5_add(w, "images", SPX_H5_F32, 5, dims, d->images), end);
    SPX_TRY(st, spx_h5_add(w, "labels", SPX_H5_I32, 2, dims, d->labels), end);
    SPX_TRY(st, spx_h5_add(w, "indices", SPX_H5_I64, 2, dims, d->indices), end);
    st = spx_h5_commit(w, path);
end:
    spx_h5_discard(w);
    return st;
}

/* What is opened, with train's options at hand. */
typedef struct opening {
    const values *v;
    const char *path; /* of pack */
    const spx_pack *pack;
    dump *d;
    spx_loader **loader;
} opening;

/* The stage of an epoch. */
static int stage_of(const spx_train_options *o, int64_t epoch)
{
    int stage = 0;
    while (stage + 1 < o->n_stages && o->stage[stage + 1].epoch <= epoch) {
        stage++;
    }
    return stage;
}

/* Batches of one file are of one size. */
static spx_status check_stages(spx_cli *cli, const values *v, const spx_train_options *t,
                               int64_t rows, int64_t steps)
{
    const int stage = stage_of(t, v->epoch);
    const int64_t last = v->epoch + (rows - 1) / steps;
    return v->test || stage_of(t, last) == stage
               ? SPX_OK
               : spx_cli_usage(cli,
                               "epoch %lld is of another resolution: --steps up to %lld are of "
                               "that of epoch %lld",
                               (long long)t->stage[stage + 1].epoch,
                               (long long)((t->stage[stage + 1].epoch - v->epoch) * steps),
                               (long long)v->epoch);
}

/* Those that are trained on: [*n]; NULL: all. */
static spx_status part_of(const spx_train_options *t, uint64_t seed, uint32_t **part, size_t *n)
{
    const spx_pack_split *all = &t->pack->split[SPX_SPLIT_TRAIN];
    uint32_t *held = NULL;
    size_t n_held;
    *part = NULL;
    if (!(t->held_out > 0)) {
        return SPX_OK;
    }
    SPX_RETURN_IF(SPX_NEW(*part, all->count));
    spx_status st = SPX_NEW(held, all->count);
    st = st == SPX_OK ? spx_split_held_out(all->labels, all->count, t->pack->classes, seed,
                                           t->held_out, held, &n_held, *part, n)
                      : st;
    spx_free(held);
    return st;
}

static spx_status open_loader(spx_cli *inner, const void *train_values, void *ctx)
{
    const opening *x = ctx;
    const values *v = x->v;
    dump *d = x->d;
    spx_train_options t;
    uint32_t *part = NULL;
    spx_status st;
    SPX_RETURN_IF(spx_train_options_of(inner, train_values, x->pack, &t));
    const int side = v->test ? 0 : t.stage[stage_of(&t, v->epoch)].side;
    spx_loader_options o = {.split = v->test ? SPX_SPLIT_TEST : SPX_SPLIT_TRAIN,
                            .train = !v->test,
                            .batch = (size_t)t.batch,
                            .height = side > 0 ? side : (int)t.spec.input.rows,
                            .width = side > 0 ? side : (int)t.spec.input.columns,
                            .augment = t.augment,
                            .seed = (uint64_t)inner->seed};
    SPX_TRY(st, v->test ? SPX_OK : part_of(&t, o.seed, &part, &o.subset_count), end);
    o.subset = part;
    SPX_TRY(st, spx_fail_context(spx_loader_open(x->loader, x->pack, &o), "%s", x->path), end);
    *d = (dump){.batch = t.batch, .in = {t.spec.input.channels, o.height, o.width}};
    d->rows = (int64_t)spx_loader_steps(*x->loader);
    const int64_t steps = d->rows;
    if (v->steps > 0 && (v->steps < d->rows || !v->test)) {
        d->rows = v->steps;
    }
    st = check_stages(inner, v, &t, d->rows, steps);
end:
    spx_free(part);
    return st;
}

/* By train's own reading of the options that both have. */
static spx_status open_batches(spx_cli *cli, const values *v, const spx_pack *p, dump *d,
                               spx_loader **l)
{
    opening x = {v, cli->args[0], p, d, l};
    const char *const words[] = {"--data", cli->args[0], "--out", "none"}; /* nothing is written */
    char *argv[4];
    for (int i = 0; i < 4; i++) {
        argv[i] = (char *)(uintptr_t)words[i];
    }
    return spx_cli_inner(cli, &spx_cmd_train, true, 4, argv, open_loader, &x);
}

static spx_status run(spx_cli *cli, const void *given)
{
    const values *v = given;
    dump d = {0};
    spx_loader *l = NULL;
    spx_pack *p = NULL;
    spx_status st;
    SPX_RETURN_IF(spx_cli_distinct(cli, v->output, cli->args[0]));
    SPX_TRY(
        st,
        spx_pack_open(&p, cli->args[0], SPX_PACK_NEED(v->test ? SPX_SPLIT_TEST : SPX_SPLIT_TRAIN)),
        end);
    SPX_TRY(st, open_batches(cli, v, p, &d, &l), end);
    SPX_TRY(st, make(&d), end);
    SPX_TRY(st, fill(&d, l, v->epoch), end);
    SPX_TRY(st, save(&d, v->output), end);
    if (cli->json) {
        st = spx_cli_print_json(
            json_pack("{s:I, s:I}", "steps", (json_int_t)d.rows, "batch", (json_int_t)d.batch));
    } else {
        (void)printf("%s: %lld %s of %lld %s of %lldx%lldx%lld\n", v->output, (long long)d.rows,
                     SPX_PLURAL(d.rows, "batch", "batches"), (long long)d.batch,
                     SPX_PLURAL(d.batch, "image", "images"), (long long)d.in.channels,
                     (long long)d.in.rows, (long long)d.in.columns);
    }
end:
    spx_free(d.images);
    spx_free(d.labels);
    spx_free(d.indices);
    spx_loader_close(l);
    spx_pack_close(p);
    return st;
}

const spx_command spx_data_batches = {
    .name = "batches",
    .args = "PACK",
    .summary = "Writes the batches that a training with these options and this seed sees, as "
               "images, labels and indices.",
    .example = "sphynx data batches tiny.h5 --steps 100 --batch 96 -o batches.h5",
    .options = options,
    .needs = needs,
    .values_size = sizeof(values),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
