#include "search/final/train_run.h"

#include "data/loader/device_source.h"
#include "host/control/build_info.h"
#include "host/train/device_arenas.h"
#include "host/train/evaluate.h"
#include "host/train/tuning_cache.h"
#include "kernels/device/device_memory.h"
#include "search/final/model.h"

#include <stdlib.h>
#include <string.h>

/* The best epoch so far; part of the checkpoint. */
typedef struct best {
    bool any;
    int64_t epoch;
    double top1;
} best;

/* A split on its way to the device. */
typedef struct way {
    spx_device_split *split; /* or NULL */
    spx_device_source *batches;
    spx_source source;
} way;

typedef struct run {
    spx_session *session;
    const spx_train_options *o;
    way train, test;
    spx_program *train_program, *eval_program;
    spx_trainer trainer;
    spx_preprocess images; /* of the pack */
    spx_loop loop;
    bool counting; /* the metrics of this epoch are on the device */
    best best;
    spx_metrics last;
} run;

#define N_ARENAS 5

static void arenas(const run *r, spx_ckpt_arena list[N_ARENAS])
{
    const spx_trainer *t = &r->trainer;
    const spx_ckpt_arena all[N_ARENAS] = {
        {"param", SPX_ROLE_WEIGHT, t->weights},
        {"buffer", SPX_ROLE_STATE, t->state},
        {"momentum", SPX_ROLE_WEIGHT, t->momentum},
        {"ema_param", SPX_ROLE_WEIGHT, t->ema_weights},
        {"ema_buffer", SPX_ROLE_STATE, t->ema_state},
    };
    memcpy(list, all, sizeof all);
}

/* ---- opening ---- */

static spx_status open_way(const run *r, spx_split split, way *w)
{
    const spx_train_options *o = r->o;
    const bool train = split == SPX_SPLIT_TRAIN;
    const spx_loader_options lo = {.split = split,
                                   .train = train,
                                   .batch = (size_t)o->batch,
                                   .height = (int)o->spec.input.rows,
                                   .width = (int)o->spec.input.columns,
                                   .augment = o->augment,
                                   .seed = o->seed,
                                   .threads = train ? 1 : 0};
    spx_stream *s = r->session->stream;
    SPX_RETURN_IF(spx_device_split_open(&w->split, s, o->pack, split, SPX_DEVICE_SPLIT_SHARE));
    SPX_RETURN_IF(spx_device_source_open(&w->batches, s, w->split, o->pack, &lo));
    w->source = spx_device_source_of(w->batches);
    return SPX_OK;
}

static void close_way(way *w)
{
    spx_device_source_close(w->batches);
    spx_device_split_close(w->split);
}

static spx_status open_run(run *r)
{
    const spx_train_options *o = r->o;
    spx_session *s = r->session;
    SPX_RETURN_IF(spx_preprocess_of_pack(&r->images, o->pack));
    SPX_RETURN_IF(open_way(r, SPX_SPLIT_TRAIN, &r->train));
    SPX_RETURN_IF(open_way(r, SPX_SPLIT_TEST, &r->test));
    SPX_RETURN_IF(spx_final_train_program(&r->train_program, s->stream, &o->spec, o->batch,
                                          o->aux_weight, o->smoothing, o->drop_path > 0,
                                          s->tuning));
    SPX_RETURN_IF(spx_final_eval_program(&r->eval_program, s->stream, &o->spec, o->batch,
                                         o->aux_weight > 0, s->tuning));
    spx_tuning_cache_store(s->tuning);
    if (!spx_layout_equal(spx_program_layout(r->train_program),
                          spx_program_layout(r->eval_program))) {
        return SPX_FAIL(SPX_EINVAL, "training and evaluation disagree about the layout");
    }
    return spx_trainer_init(&r->trainer, s->stream, r->train_program, &o->sgd, o->seed,
                            spx_program_workspace_bytes(r->eval_program));
}

static spx_status restore(run *r)
{
    const json_t *j = json_object_get(r->session->checkpoint.meta, "best");
    spx_ckpt_arena list[N_ARENAS];
    json_int_t epoch;
    if (!json_is_null(j)) {
        if (json_unpack((json_t *)(uintptr_t)j, "{s:I, s:F}", "epoch", &epoch, "top1",
                        &r->best.top1) != 0) {
            return SPX_FAIL(SPX_EFORMAT, "checkpoint: best epoch is malformed");
        }
        r->best.epoch = epoch;
        r->best.any = true;
    }
    arenas(r, list);
    return spx_session_load(r->session, r->trainer.layout, list, N_ARENAS);
}

static spx_status init_from(run *r, const char *path)
{
    const spx_trainer *t = &r->trainer;
    const int64_t *n = t->layout->floats;
    const spx_preprocess_rules rules = {.any_size = true,
                                        .allow_changed = r->o->allow_changed,
                                        .warn = r->o->warn,
                                        .ctx = r->o->ctx};
    spx_ckpt_arena list[N_ARENAS];
    spx_model m;
    spx_status st;
    arenas(r, list);
    SPX_RETURN_IF(spx_model_open(&m, path));
    st = spx_preprocess_fit(&m.images, path, &r->images, "the pack", &rules);
    if (st == SPX_OK) {
        st = spx_device_arenas_load(&m.file, t->layout, t->stream, list, 2); /* param, buffer */
    }
    spx_model_close(&m);
    if (st != SPX_OK || t->ema_weights == NULL) {
        return st;
    }
    SPX_RETURN_IF(spx_device_copy(t->stream, t->ema_weights, t->weights,
                                  (size_t)n[SPX_ROLE_WEIGHT] * sizeof(float)));
    return spx_device_copy(t->stream, t->ema_state, t->state,
                           (size_t)n[SPX_ROLE_STATE] * sizeof(float));
}

/* ---- saving ---- */

static spx_status save(void *ctx, const spx_loop_state *state)
{
    run *r = ctx;
    spx_ckpt_arena list[N_ARENAS];
    json_t *extra = spx_model_describe(&r->o->spec, &r->images);
    if (extra != NULL) {
        (void)json_object_set_new(extra, "averaged", json_boolean(r->o->sgd.ema > 0));
        (void)json_object_set_new(
            extra, "best",
            r->best.any
                ? json_pack("{s:I, s:f}", "epoch", (json_int_t)r->best.epoch, "top1", r->best.top1)
                : json_null());
    }
    arenas(r, list);
    return spx_session_save(r->session, state, extra, r->trainer.layout, list, N_ARENAS);
}

static spx_status save_model(const run *r, const char *name, const spx_loop_state *s, double top1)
{
    char path[4096];
    json_t *j = json_object();
    const spx_layout *l = r->trainer.layout;
    spx_ckpt_arena device[2], host[2];
    spx_binding b;
    spx_status st;
    SPX_TRY(st, spx_run_dir_path(r->session->dir, name, path, sizeof path), end);
    (void)json_object_set_new(j, "step", json_integer(s->step));
    (void)json_object_set_new(j, "top1", json_real(top1));
    (void)json_object_set_new(j, "commit", json_string(spx_build_commit()));
    (void)json_object_set(j, "config", r->session->config);
    spx_trainer_bind_best(&r->trainer, &b);
    device[0] = (spx_ckpt_arena){"param", SPX_ROLE_WEIGHT, (float *)(uintptr_t)b.weights};
    device[1] = (spx_ckpt_arena){"buffer", SPX_ROLE_STATE, b.state};
    SPX_TRY(st, spx_host_twins(l, r->trainer.stream, device, 2, true, host), end);
    st = spx_model_save(path, &r->o->spec, &r->images, j, l, host[0].data, host[1].data);
    spx_host_twins_free(r->trainer.stream, host, 2);
end:
    json_decref(j);
    return st;
}

/* ---- the loop's callbacks ---- */

static spx_status stop(void *ctx)
{
    const run *r = ctx;
    return spx_session_stop(r->session);
}

static spx_status log_step(const run *r, const spx_step_report *p)
{
    const int64_t done = (int64_t)p->step + 1;
    if (r->o->show != NULL) {
        char note[64];
        (void)snprintf(note, sizeof note, "loss %.3f", (double)p->loss);
        r->o->show(r->o->ctx, done, spx_loop_total(&r->loop), note);
    }
    if (r->o->log_every == 0 || done % r->o->log_every != 0) {
        return SPX_OK;
    }
    return spx_jsonl_append(r->session->metrics,
                            json_pack("{s:I, s:f, s:f}", "step", (json_int_t)done, "loss",
                                      (double)p->loss, "norm", p->norm));
}

/* Takes what steps say of themselves: of all of them, or of those that are due. */
static spx_status read_reports(run *r, spx_loop_state *s, bool wait)
{
    for (;;) {
        spx_step_report report;
        bool any;
        SPX_RETURN_IF(
            spx_fail_context(spx_trainer_report(&r->trainer, wait, &report, &any), "training"));
        if (!any) {
            return SPX_OK;
        }
        s->train = report.metrics;
        SPX_RETURN_IF(log_step(r, &report));
    }
}

static spx_status drain(void *ctx, spx_loop_state *s)
{
    return read_reports(ctx, s, true);
}

static spx_status step(void *ctx, spx_loop_state *s)
{
    run *r = ctx;
    const spx_train_options *o = r->o;
    const spx_step_args a = {
        .lr = spx_schedule_lr(&o->schedule, s->epoch, s->epoch_step, r->train.source.steps),
        .drop_prob = spx_drop_path_ramp(o->drop_path, s->epoch, o->schedule.epochs),
        .seed = o->seed,
        .step = (uint64_t)s->step};
    spx_samples batch;
    if (!r->counting || s->epoch_step == 0) {
        SPX_RETURN_IF(spx_step_queue_count_from(&r->trainer.queue, &s->train));
        r->counting = true;
    }
    SPX_RETURN_IF(r->train.source.get(r->train.source.ctx, s->epoch, s->epoch_step, &batch));
    SPX_RETURN_IF(spx_fail_context(spx_trainer_queue(&r->trainer, &batch, &a), "training"));
    return read_reports(r, s, false);
}

static spx_status log_epoch(const run *r, const spx_loop_state *s)
{
    return spx_jsonl_append(
        r->session->metrics,
        json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "epoch", (json_int_t)s->epoch, "step",
                  (json_int_t)s->step, "lr",
                  (double)spx_schedule_lr(&r->o->schedule, s->epoch, 0, 1), "train_loss",
                  spx_metrics_loss(&s->train), "train_top1", spx_metrics_top1(&s->train),
                  "test_loss", spx_metrics_loss(&r->last), "test_top1", spx_metrics_top1(&r->last),
                  "test_top5", spx_metrics_top5(&r->last)));
}

static spx_status evaluate(run *r)
{
    spx_binding b;
    spx_trainer_bind_best(&r->trainer, &b);
    return spx_evaluate(r->session->stream, r->eval_program, &b, &r->test.source, 0,
                        spx_session_stop, r->session, &r->last);
}

static spx_status end_epoch(void *ctx, const spx_loop_state *s)
{
    run *r = ctx;
    const bool last = s->step >= spx_loop_total(&r->loop);
    double top1;
    if (!last && (s->epoch + 1) % r->o->eval_every != 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(evaluate(r));
    top1 = spx_metrics_top1(&r->last);
    SPX_RETURN_IF(log_epoch(r, s));
    if (r->best.any && top1 <= r->best.top1) {
        return SPX_OK;
    }
    r->best = (best){.any = true, .epoch = s->epoch, .top1 = top1};
    return save_model(r, "best.h5", s, top1);
}

/* ---- the whole ---- */

static spx_status finish(run *r, spx_train_result *result)
{
    const spx_loop_state *s = &r->session->state;
    const spx_counts *c = &result->counts;
    if (r->last.images == 0) { /* resumed after its end */
        SPX_RETURN_IF(evaluate(r));
    }
    *result = (spx_train_result){
        .steps = s->step, .last = r->last, .best_top1 = r->best.top1, .best_epoch = r->best.epoch};
    SPX_RETURN_IF(spx_final_count(&r->o->spec, r->o->aux_weight > 0, &result->counts));
    SPX_RETURN_IF(save_model(r, "model.h5", s, spx_metrics_top1(&r->last)));
    return spx_session_result(
        r->session,
        json_pack("{s:I, s:f, s:f, s:f, s:I, s:f, s:I, s:I, s:I, s:I}", "steps",
                  (json_int_t)s->step, "top1", spx_metrics_top1(&r->last), "top5",
                  spx_metrics_top5(&r->last), "loss", spx_metrics_loss(&r->last), "images",
                  (json_int_t)r->last.images, "best_top1", r->best.top1, "best_epoch",
                  (json_int_t)r->best.epoch, "relus", (json_int_t)c->relus, "params",
                  (json_int_t)c->params, "macs", (json_int_t)c->macs));
}

static void run_clear(run *r)
{
    spx_trainer_clear(&r->trainer);
    spx_program_destroy(r->train_program);
    spx_program_destroy(r->eval_program);
    close_way(&r->train);
    close_way(&r->test);
    spx_preprocess_clear(&r->images);
}

static spx_status check(const spx_train_options *o)
{
    SPX_RETURN_IF(spx_schedule_check(&o->schedule));
    if (o->eval_every < 1) {
        return SPX_FAIL(SPX_EINVAL, "evaluation every %lld epochs", (long long)o->eval_every);
    }
    if (!(o->drop_path >= 0 && o->drop_path < 1)) {
        return SPX_FAIL(SPX_EINVAL, "drop-path probability %g, expected 0 <= p < 1", o->drop_path);
    }
    return SPX_OK;
}

spx_status spx_train_run(spx_session *session, const spx_train_options *o, spx_train_result *result)
{
    run r = {.session = session, .o = o};
    spx_status st;
    SPX_RETURN_IF(check(o));
    spx_session_warn(session, o->warn, o->ctx);
    SPX_TRY(st, open_run(&r), end);
    if (spx_session_resumes(session)) {
        SPX_TRY(st, restore(&r), end);
    } else if (o->init_from != NULL) {
        SPX_TRY(st, init_from(&r, o->init_from), end);
    }
    r.loop = (spx_loop){.epochs = o->schedule.epochs,
                        .epoch_steps = r.train.source.steps,
                        .max_steps = o->max_steps,
                        .save_every = o->save_every,
                        .ctx = &r,
                        .step = step,
                        .drain = drain,
                        .end_epoch = end_epoch,
                        .save = save,
                        .stop = stop};
    SPX_TRY(st, spx_loop_run(&r.loop, &session->state), end);
    st = finish(&r, result);
end:
    run_clear(&r);
    return st;
}
