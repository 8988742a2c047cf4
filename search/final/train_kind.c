/* What a training does its own way, as a kind of run. */
#include "host/control/build_info.h"
#include "host/train/evaluate.h"
#include "kernels/base/alloc.h"
#include "search/final/model.h"
#include "search/final/train_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FIRST_BEST "first.h5" /* of a linearization's first stage */
#define N_INITIAL 2           /* of the arenas: what a model gives a new training */

static spx_status init_from(void *ctx, const char *path)
{
    spx_training *x = ctx;
    const spx_preprocess_rules rules = {.any_size = true,
                                        .allow_changed = x->o->allow_changed,
                                        .warn = x->o->run.warn,
                                        .ctx = x->o->run.ctx};
    const spx_run *r = &x->run;
    spx_model m;
    spx_status st;
    SPX_RETURN_IF(spx_model_open(&m, path));
    st = spx_preprocess_fit(&m.images, path, &x->images, "the pack", &rules);
    if (st == SPX_OK) {
        st = spx_model_load(&m, r->layout, r->session->stream, r->arena, N_INITIAL);
    }
    spx_model_close(&m);
    if (st == SPX_OK && x->linearizer != NULL) {
        st = spx_linearizer_begin(x->linearizer, &x->trainer);
    }
    return st == SPX_OK ? spx_trainer_average_anew(&x->trainer) : st;
}

static spx_status describe(void *ctx, json_t *about)
{
    const spx_training *x = ctx;
    json_t *model = spx_model_describe(&x->o->spec, &x->images);
    const bool ok = json_object_update(about, model) == 0;
    json_decref(model);
    (void)json_object_set_new(about, "averaged", json_boolean(x->o->sgd.ema > 0));
    if (!ok) {
        return SPX_FAIL(SPX_ENOMEM, "checkpoint: description");
    }
    return x->linearizer != NULL ? spx_linearizer_describe(x->linearizer, about) : SPX_OK;
}

static spx_status restore(void *ctx, const json_t *about)
{
    const spx_training *x = ctx;
    return x->linearizer != NULL ? spx_linearizer_restore(x->linearizer, about) : SPX_OK;
}

bool spx_training_holds(const spx_train_options *o)
{
    return o->held_out > 0 || o->held_count > 0;
}

int spx_training_judge(const spx_train_options *o)
{
    return spx_training_holds(o) && !o->by_test ? SPX_HELD_OUT : SPX_TESTED;
}

spx_status spx_training_measure(spx_training *x, int source)
{
    spx_binding b;
    spx_trainer_bind_best(&x->trainer, &b);
    return spx_evaluate(x->run.session->stream, x->eval_program, &b, &x->source[source], 0,
                        spx_session_stop, x->run.session, &x->last[source]);
}

static spx_status save_arenas(const spx_training *x, const char *path, const json_t *about,
                              const spx_buffer *weights, const spx_buffer *state)
{
    spx_layout l = *x->trainer.layout;
    spx_buffer states = {0};
    spx_status st;
    if (!x->o->spec.masks_trained) {
        return spx_model_save(path, &x->o->spec, &x->images, about, &l, weights, state);
    }
    SPX_RETURN_IF(spx_linearizer_states(x->linearizer, state, &l, &states));
    st = spx_model_save(path, &x->o->spec, &x->images, about, &l, weights, &states);
    spx_buffer_free(&states);
    spx_free(l.entry);
    return st;
}

spx_status spx_training_save(const spx_training *x, const char *name, const spx_loop_state *s,
                             const char *chosen_by)
{
    char path[4096];
    json_t *j = json_object();
    const spx_layout *l = x->trainer.layout;
    const spx_ckpt_arena device[2] = {
        {"param", SPX_ROLE_WEIGHT, *spx_trainer_best(&x->trainer, SPX_ROLE_WEIGHT)},
        {"buffer", SPX_ROLE_STATE, *spx_trainer_best(&x->trainer, SPX_ROLE_STATE)}};
    const spx_metrics *test = &x->last[SPX_TESTED], *held = &x->last[SPX_HELD_OUT];
    spx_ckpt_arena host[2];
    spx_status st;
    SPX_TRY(st, spx_run_dir_path(x->run.session->dir, name, path, sizeof path), end);
    (void)json_object_set_new(j, "step", json_integer(s->step));
    if (test->images > 0) {
        (void)json_object_set_new(j, "top1", json_real(spx_metrics_top1(test)));
    }
    if (held->images > 0) {
        (void)json_object_set_new(j, "val_top1", json_real(spx_metrics_top1(held)));
    }
    if (chosen_by != NULL) {
        (void)json_object_set_new(j, "chosen_by", json_string(chosen_by));
    }
    (void)json_object_set_new(j, "commit", json_string(spx_build_commit()));
    (void)json_object_set(j, "config", x->run.session->config);
    SPX_TRY(st, spx_host_twins(l, x->trainer.stream, device, 2, true, host), end);
    st = save_arenas(x, path, j, &host[0].data, &host[1].data);
    spx_host_twins_free(device, host, 2);
end:
    json_decref(j);
    return st;
}

spx_status spx_training_enter(spx_training *x, int64_t epoch)
{
    const spx_train_options *o = x->o;
    int stage = x->linearizer != NULL && epoch >= spx_linearizer_second(x->linearizer);
    while (stage + 1 < o->n_stages && o->stage[stage + 1].epoch <= epoch) {
        stage++;
    }
    if (stage == x->stage) {
        return SPX_OK;
    }
    spx_device_source_close(x->batches[SPX_TRAINED]); /* waits for the stream */
    x->batches[SPX_TRAINED] = NULL;
    SPX_RETURN_IF(
        spx_training_source(x, SPX_TRAINED, o->stage[stage].side, x->part, x->part_count));
    x->trainer.program = x->train_program[stage];
    x->trainer.guide = spx_teacher_guide(x->teacher[stage]);
    x->trainer.watch = NULL; /* a linearization's second stage chooses no more */
    x->stage = stage;
    return SPX_OK;
}

/* A linearization's second stage begins with the best epoch of the first, which is kept apart:
 * best.h5 may be a later one's, of a session that was killed. */
static spx_status begin_second(spx_training *x)
{
    const spx_run *r = &x->run;
    const spx_trainer *t = &x->trainer;
    char path[4096];
    spx_model m;
    spx_status st;
    if (r->best.any) { /* else none was judged: it goes on where the first ended */
        SPX_RETURN_IF(spx_run_dir_path(r->session->dir, FIRST_BEST, path, sizeof path));
        SPX_RETURN_IF(spx_model_open(&m, path));
        st = spx_device_arenas_load(&m.file, t->layout, t->stream, r->arena, N_INITIAL);
        spx_model_close(&m);
        SPX_RETURN_IF(st);
    }
    return spx_device_zero(t->stream, t->momentum.data, t->momentum.bytes);
}

static spx_status queue(void *ctx, const spx_loop_state *s, float lr)
{
    spx_training *x = ctx;
    const spx_run_options *o = &x->o->run;
    const spx_source *source = &x->source[SPX_TRAINED];
    spx_step_args a = {.lr = lr,
                       .drop_prob =
                           spx_drop_path_ramp(x->o->drop_path, s->epoch, o->schedule.epochs),
                       .seed = o->seed,
                       .step = (uint64_t)s->step};
    spx_samples batch;
    if (x->linearizer != NULL) {
        SPX_RETURN_IF(spx_linearizer_prepare(x->linearizer, &x->trainer, s->epoch, s->epoch_step));
        a.lr = spx_linearizer_rate(x->linearizer, s->epoch, s->epoch_step, x->run.epoch_steps);
    }
    SPX_RETURN_IF(spx_training_enter(x, s->epoch));
    if (x->linearizer != NULL && s->epoch == spx_linearizer_second(x->linearizer) &&
        s->epoch_step == 0) {
        SPX_RETURN_IF(begin_second(x));
    }
    SPX_RETURN_IF(source->get(source->ctx, s->epoch, s->epoch_step, &batch));
    SPX_RETURN_IF(spx_fail_context(spx_trainer_queue(&x->trainer, &batch, &a), "training"));
    return x->linearizer != NULL ? spx_linearizer_choose(x->linearizer, &x->trainer, s->epoch,
                                                         s->epoch_step, s->step + 1)
                                 : SPX_OK;
}

static float rate(void *ctx, int64_t epoch, int64_t done, int64_t steps)
{
    const spx_training *x = ctx;
    return x->linearizer != NULL ? spx_linearizer_rate(x->linearizer, epoch, done, steps)
                                 : spx_schedule_lr(&x->o->run.schedule, epoch, done, steps);
}

static spx_status report(void *ctx, bool wait, spx_run_report *out, bool *any)
{
    spx_training *x = ctx;
    spx_step_report p = {0};
    const int guided = x->trainer.guide != NULL ? x->trainer.guide->n_loss : 0;
    const spx_status st = spx_trainer_report(&x->trainer, wait, &p, any);
    *out = (spx_run_report){.step = p.step,
                            .loss = p.loss,
                            .metrics = p.metrics,
                            .number = {{"loss", (double)p.loss},
                                       {"norm", p.norm},
                                       {guided > 0 ? "distillation" : NULL, (double)p.guide[0]},
                                       {guided > 1 ? "attention" : NULL, (double)p.guide[1]}}};
    return st;
}

/* Measures a source and adds NAME_loss, NAME_top1 and NAME_top5 to the line. */
static spx_status judge(spx_training *x, int source, const char *name, json_t **line)
{
    static const char *const what[3] = {"loss", "top1", "top5"};
    const spx_metrics *m = &x->last[source];
    char key[3][16];
    json_t *numbers;
    for (int i = 0; i < 3; i++) {
        (void)snprintf(key[i], sizeof key[i], "%s_%s", name, what[i]);
    }
    SPX_RETURN_IF(spx_training_measure(x, source));
    numbers = json_pack("{s:f, s:f, s:f}", key[0], spx_metrics_loss(m), key[1], spx_metrics_top1(m),
                        key[2], spx_metrics_top5(m));
    if (numbers == NULL || json_object_update(*line, numbers) != 0) {
        json_decref(*line); /* NULL stays NULL */
        *line = NULL;
    }
    json_decref(numbers);
    return SPX_OK;
}

/* Of the epochs within the budget the one of the lowest loss is the best. */
static spx_status judge_masks(const spx_training *x, double *judged, json_t *line)
{
    int64_t kept;
    SPX_RETURN_IF(spx_linearizer_kept(x->linearizer, &x->trainer, &kept));
    (void)json_object_set_new(line, "relus", json_integer((json_int_t)kept)); /* NULL stays NULL */
    *judged = kept <= x->o->linearize.budget && spx_linearizer_second(x->linearizer) < INT64_MAX
                  ? -spx_metrics_loss(&x->last[spx_training_judge(x->o)])
                  : (double)NAN;
    return SPX_OK;
}

static spx_status evaluate(void *ctx, double *top1, json_t **line)
{
    spx_training *x = ctx;
    const spx_train_options *o = x->o;
    const int by = spx_training_judge(o);
    const int64_t epoch = x->run.session->state.epoch + 1;
    spx_status st = SPX_OK;
    memset(x->last, 0, sizeof x->last);
    *line = json_object();
    if (spx_training_holds(o)) {
        SPX_TRY(st, judge(x, SPX_HELD_OUT, "val", line), fail);
    }
    if (by == SPX_TESTED || (o->test_every > 0 && epoch % o->test_every == 0)) {
        SPX_TRY(st, judge(x, SPX_TESTED, "test", line), fail);
    }
    *top1 = spx_metrics_top1(&x->last[by]);
    if (x->linearizer != NULL) {
        SPX_TRY(st, judge_masks(x, top1, *line), fail);
    }
    return SPX_OK;
fail:
    json_decref(*line);
    *line = NULL;
    return st;
}

static spx_status keep(void *ctx, const spx_loop_state *s, double top1)
{
    const spx_training *x = ctx;
    const char *by = spx_training_judge(x->o) == SPX_TESTED ? "test" : "val";
    (void)top1;
    /* Not at max_steps within an epoch: the checkpoint that a longer run goes on from is older. */
    if (x->linearizer != NULL && s->epoch < spx_linearizer_second(x->linearizer) &&
        s->epoch_step == x->run.epoch_steps) {
        SPX_RETURN_IF(spx_training_save(x, FIRST_BEST, s, by));
    }
    return spx_training_save(x, "best.h5", s, by);
}

const spx_run_kind spx_training_kind = {.name = "training",
                                        .kept = "best.h5",
                                        .rate = rate,
                                        .queue = queue,
                                        .report = report,
                                        .evaluate = evaluate,
                                        .keep = keep,
                                        .describe = describe,
                                        .restore = restore,
                                        .init_from = init_from};
