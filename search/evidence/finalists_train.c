/* Trainings of the cells that compete, and what their networks answer. */
#include "data/loader/device_source.h"
#include "host/train/tuning_cache.h"
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "search/evidence/finalists_private.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIVERGED "diverged.json" /* {"message"}: beside what a training left that diverged */

bool spx_finalists_done(const spx_finalists *x, const char *name)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s/result.json", x->o->folder, name);
    return access(path, F_OK) == 0;
}

spx_status spx_finalists_diverged(const spx_finalists *x, const char *name)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s/" DIVERGED, x->o->folder, name);
    if (access(path, F_OK) != 0) {
        return SPX_OK;
    }
    json_t *j = json_load_file(path, 0, NULL);
    const char *message = json_string_value(json_object_get(j, "message"));
    const spx_status st =
        SPX_FAIL(SPX_ENUMERIC, "%s", message != NULL ? message : "it diverged before");
    json_decref(j);
    return st;
}

spx_status spx_finalists_note(const spx_session *s)
{
    char message[512];
    json_t *j;
    spx_status st;
    (void)snprintf(message, sizeof message, "%s", spx_error_message());
    j = json_pack("{s:s}", "message", message);
    st = spx_session_write_json(s, DIVERGED, j);
    json_decref(j);
    return st == SPX_OK ? SPX_FAIL(SPX_ENUMERIC, "%s", message) : st;
}

/* The options of a training of a cell, but for its seed and length. */
static spx_train_options options_of(const spx_finalists *x, const spx_finalist *c)
{
    spx_train_options t = *x->o->train;
    t.pack = x->o->search->pack;
    t.spec = x->spec;
    t.spec.genotype = c->genotype;
    t.held = x->aside;
    t.held_count = x->n_aside;
    t.held_out = 0;
    t.by_test = false;
    t.no_test = true;
    t.test_every = 0;
    t.eval_every = t.run.schedule.epochs; /* at the end only */
    return t;
}

spx_status spx_finalists_train(const spx_finalists *x, const spx_finalist *c, const char *name,
                               uint64_t seed, int part)
{
    const spx_finalists_options *o = x->o;
    spx_train_options t = options_of(x, c);
    spx_train_result r;
    spx_session session;
    spx_status st;
    char text[128];
    if (spx_finalists_done(x, name)) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_fail_context(spx_finalists_diverged(x, name), "%s", name));
    t.run.seed = seed;
    t.epoch_steps = x->full_steps / part;
    (void)snprintf(text, sizeof text, "%s, seed %llu, %lld steps", name, (unsigned long long)seed,
                   (long long)(t.epoch_steps * t.run.schedule.epochs));
    o->tell(o->ctx, text);
    SPX_RETURN_IF(o->open(o->ctx, name, "train",
                          json_pack("{s:s, s:o, s:I, s:I}", "data", t.pack->hash, "genotype",
                                    spx_genotype_value(&c->genotype), "seed", (json_int_t)seed,
                                    "epoch_steps", (json_int_t)t.epoch_steps),
                          &session));
    st = spx_train_run(&session, &t, &r);
    st = st == SPX_ENUMERIC ? spx_finalists_note(&session) : st;
    spx_session_close(&session, st);
    return spx_fail_context(st, "%s", name);
}

/* ---- evaluation ---- */

static void count_rows(const float *logits, int64_t classes, const spx_pack_split *all,
                       const uint32_t *subset, size_t first, size_t rows, double *loss, double *hit)
{
    for (size_t i = 0; i < rows; i++) {
        const float *l = logits + (int64_t)i * classes;
        const size_t at = first + i;
        const int32_t label = all->labels[subset != NULL ? subset[at] : at];
        spx_hits one = {0};
        spx_hits_add(&one, 1, classes, l, &label);
        if (loss != NULL) {
            loss[at] = one.loss;
        }
        if (hit != NULL) {
            hit[at] = (double)one.top1;
        }
    }
}

static spx_status run_batches(const spx_source *src, spx_model_runner *r, float *logits,
                              int64_t classes, const spx_pack_split *all, const uint32_t *subset,
                              double *loss, double *hit)
{
    size_t first = 0;
    for (int64_t i = 0; i < src->steps; i++) {
        spx_samples b;
        SPX_RETURN_IF(src->get(src->ctx, 0, i, &b));
        SPX_RETURN_IF(spx_model_runner_logits(r, b.images, logits));
        count_rows(logits, classes, all, subset, first, (size_t)b.valid, loss, hit);
        first += (size_t)b.valid;
    }
    return SPX_OK;
}

spx_status spx_finalists_measure(const spx_finalists *x, const char *name, const spx_pack *pack,
                                 spx_split split, const uint32_t *subset, size_t n, double *loss,
                                 double *hit)
{
    const spx_finalists_options *o = x->o;
    const int64_t batch = o->train->batch, classes = x->spec.classes;
    const spx_loader_options lo = {.split = split,
                                   .subset = subset,
                                   .subset_count = subset != NULL ? n : 0,
                                   .batch = (size_t)batch,
                                   .height = (int)x->spec.input.rows,
                                   .width = (int)x->spec.input.columns,
                                   .augment = o->train->augment};
    char path[4096];
    spx_model m;
    spx_model_runner *r = NULL;
    spx_device_source *source = NULL;
    float *logits = NULL;
    spx_status st;
    (void)snprintf(path, sizeof path, "%s/%s/model.h5", o->folder, name);
    SPX_RETURN_IF(spx_model_open(&m, path));
    SPX_TRY(st, SPX_NEW(logits, (size_t)(batch * classes)), end);
    SPX_TRY(st, spx_model_runner_create(&r, o->stream, &m, batch, o->tuning), end);
    spx_tuning_cache_store(o->tuning);
    SPX_TRY(st, spx_device_source_open(&source, o->stream, NULL, pack, &lo), end);
    const spx_source src = spx_device_source_of(source);
    st = run_batches(&src, r, logits, classes, &pack->split[split], subset, loss, hit);
end:
    spx_device_source_close(source);
    spx_model_runner_destroy(r);
    spx_free(logits);
    spx_model_close(&m);
    return st;
}

/* ---- how long it will take ---- */

spx_status spx_finalists_probe(const spx_finalists *x, const spx_finalist *c, double *seconds)
{
    const spx_train_options t = options_of(x, c);
    const spx_final_losses losses = {
        .aux_weight = t.aux_weight, .smoothing = t.smoothing, .drop_path = t.drop_path > 0};
    const spx_loader_options lo = {.split = SPX_SPLIT_TRAIN,
                                   .subset = x->rest,
                                   .subset_count = x->n_rest,
                                   .train = true,
                                   .batch = (size_t)t.batch,
                                   .height = (int)t.spec.input.rows,
                                   .width = (int)t.spec.input.columns,
                                   .augment = t.augment};
    const spx_step_args a = {.lr = 0};
    spx_program *p = NULL;
    spx_trainer trainer = {0};
    spx_device_source *source = NULL;
    spx_step_report report;
    spx_samples batch;
    double begin = 0;
    spx_status st;
    SPX_TRY(st, spx_final_train_program(&p, x->o->stream, &t.spec, t.batch, &losses, x->o->tuning),
            end);
    SPX_TRY(st, spx_trainer_init(&trainer, x->o->stream, p, &t.sgd, 1, 0), end);
    SPX_TRY(st, spx_device_source_open(&source, x->o->stream, NULL, t.pack, &lo), end);
    const spx_source src = spx_device_source_of(source);
    for (int i = 0; i < 3; i++) { /* the first one warms up */
        begin = i == 1 ? spx_seconds() : begin;
        SPX_TRY(st, src.get(src.ctx, 0, i % src.steps, &batch), end);
        SPX_TRY(st, spx_trainer_step(&trainer, &batch, &a, &report), end);
    }
    *seconds = (spx_seconds() - begin) / 2;
end:
    spx_device_source_close(source);
    spx_trainer_clear(&trainer);
    spx_program_destroy(p);
    return st;
}
