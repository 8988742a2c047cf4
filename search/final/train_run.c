#include "search/final/train_run.h"

#include "data/loader/device_source.h"
#include "host/control/build_info.h"
#include "host/train/evaluate.h"
#include "host/train/tuning_cache.h"
#include "search/final/model.h"

#include <string.h>

typedef struct training {
    spx_run run;
    const spx_train_options *o;
    spx_device_split *split[SPX_SPLIT_COUNT]; /* or NULL */
    spx_device_source *batches[SPX_SPLIT_COUNT];
    spx_source source[SPX_SPLIT_COUNT];
    spx_program *train_program, *eval_program;
    spx_trainer trainer;
    spx_preprocess images; /* of the pack */
    spx_metrics last;
} training;

/* ---- opening ---- */

static spx_status open_split(training *x, spx_split split)
{
    const spx_train_options *o = x->o;
    const bool train = split == SPX_SPLIT_TRAIN;
    const spx_loader_options lo = {.split = split,
                                   .train = train,
                                   .batch = (size_t)o->batch,
                                   .height = (int)o->spec.input.rows,
                                   .width = (int)o->spec.input.columns,
                                   .augment = o->augment,
                                   .seed = o->run.seed,
                                   .threads = train ? 1 : 0};
    spx_stream *s = x->run.session->stream;
    SPX_RETURN_IF(
        spx_device_split_open(&x->split[split], s, o->pack, split, SPX_DEVICE_SPLIT_SHARE));
    SPX_RETURN_IF(spx_device_source_open(&x->batches[split], s, x->split[split], o->pack, &lo));
    x->source[split] = spx_device_source_of(x->batches[split]);
    return SPX_OK;
}

static spx_status open_network(training *x)
{
    const spx_train_options *o = x->o;
    spx_session *s = x->run.session;
    SPX_RETURN_IF(spx_final_train_program(&x->train_program, s->stream, &o->spec, o->batch,
                                          o->aux_weight, o->smoothing, o->drop_path > 0,
                                          s->tuning));
    SPX_RETURN_IF(spx_final_eval_program(&x->eval_program, s->stream, &o->spec, o->batch,
                                         o->aux_weight > 0, s->tuning));
    spx_tuning_cache_store(s->tuning);
    if (!spx_layout_equal(spx_program_layout(x->train_program),
                          spx_program_layout(x->eval_program))) {
        return SPX_FAIL(SPX_EINVAL, "training and evaluation disagree about the layout");
    }
    return spx_trainer_init(&x->trainer, s->stream, x->train_program, &o->sgd, o->run.seed,
                            spx_program_workspace_bytes(x->eval_program));
}

#define N_INITIAL 2 /* of the arenas: what a model gives a new training */

static void describe_run(training *x)
{
    const spx_trainer *t = &x->trainer;
    const spx_ckpt_arena arena[] = {
        {"param", SPX_ROLE_WEIGHT, t->weights},
        {"buffer", SPX_ROLE_STATE, t->state},
        {"momentum", SPX_ROLE_WEIGHT, t->momentum},
        {"ema_param", SPX_ROLE_WEIGHT, t->ema_weights},
        {"ema_buffer", SPX_ROLE_STATE, t->ema_state},
    };
    x->run.epoch_steps = x->source[SPX_SPLIT_TRAIN].steps;
    x->run.eval_every = x->o->eval_every;
    x->run.queue = &x->trainer.queue;
    x->run.layout = t->layout;
    x->run.n_arenas = sizeof arena / sizeof arena[0];
    memcpy(x->run.arena, arena, sizeof arena);
}

/* ---- what a training does its own way ---- */

static spx_status init_from(void *ctx, const char *path)
{
    training *x = ctx;
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
        st = spx_device_arenas_load(&m.file, r->layout, r->session->stream, r->arena, N_INITIAL);
    }
    spx_model_close(&m);
    return st == SPX_OK ? spx_trainer_average_anew(&x->trainer) : st;
}

static spx_status describe(void *ctx, json_t *about)
{
    const training *x = ctx;
    json_t *model = spx_model_describe(&x->o->spec, &x->images);
    const bool ok = json_object_update(about, model) == 0;
    json_decref(model);
    (void)json_object_set_new(about, "averaged", json_boolean(x->o->sgd.ema > 0));
    return ok ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "checkpoint: description");
}

static spx_status save_model(const training *x, const char *name, const spx_loop_state *s,
                             double top1)
{
    char path[4096];
    json_t *j = json_object();
    const spx_layout *l = x->trainer.layout;
    spx_ckpt_arena device[2], host[2];
    spx_binding b;
    spx_status st;
    SPX_TRY(st, spx_run_dir_path(x->run.session->dir, name, path, sizeof path), end);
    (void)json_object_set_new(j, "step", json_integer(s->step));
    (void)json_object_set_new(j, "top1", json_real(top1));
    (void)json_object_set_new(j, "commit", json_string(spx_build_commit()));
    (void)json_object_set(j, "config", x->run.session->config);
    spx_trainer_bind_best(&x->trainer, &b);
    device[0] = (spx_ckpt_arena){"param", SPX_ROLE_WEIGHT, (float *)(uintptr_t)b.weights};
    device[1] = (spx_ckpt_arena){"buffer", SPX_ROLE_STATE, b.state};
    SPX_TRY(st, spx_host_twins(l, x->trainer.stream, device, 2, true, host), end);
    st = spx_model_save(path, &x->o->spec, &x->images, j, l, host[0].data, host[1].data);
    spx_host_twins_free(x->trainer.stream, host, 2);
end:
    json_decref(j);
    return st;
}

static spx_status queue(void *ctx, const spx_loop_state *s, float lr)
{
    training *x = ctx;
    const spx_run_options *o = &x->o->run;
    const spx_source *source = &x->source[SPX_SPLIT_TRAIN];
    const spx_step_args a = {.lr = lr,
                             .drop_prob =
                                 spx_drop_path_ramp(x->o->drop_path, s->epoch, o->schedule.epochs),
                             .seed = o->seed,
                             .step = (uint64_t)s->step};
    spx_samples batch;
    SPX_RETURN_IF(source->get(source->ctx, s->epoch, s->epoch_step, &batch));
    return spx_fail_context(spx_trainer_queue(&x->trainer, &batch, &a), "training");
}

static spx_status report(void *ctx, bool wait, spx_run_report *out, bool *any)
{
    training *x = ctx;
    spx_step_report p = {0};
    const spx_status st = spx_trainer_report(&x->trainer, wait, &p, any);
    *out = (spx_run_report){.step = p.step,
                            .loss = p.loss,
                            .metrics = p.metrics,
                            .number = {{"loss", (double)p.loss}, {"norm", p.norm}}};
    return st;
}

static spx_status measure(training *x)
{
    spx_binding b;
    spx_trainer_bind_best(&x->trainer, &b);
    return spx_evaluate(x->run.session->stream, x->eval_program, &b, &x->source[SPX_SPLIT_TEST], 0,
                        spx_session_stop, x->run.session, &x->last);
}

static spx_status evaluate(void *ctx, double *top1, json_t **line)
{
    training *x = ctx;
    SPX_RETURN_IF(measure(x));
    *top1 = spx_metrics_top1(&x->last);
    *line = json_pack("{s:f, s:f, s:f}", "test_loss", spx_metrics_loss(&x->last), "test_top1",
                      *top1, "test_top5", spx_metrics_top5(&x->last));
    return SPX_OK;
}

static spx_status keep(void *ctx, const spx_loop_state *s, double top1)
{
    return save_model(ctx, "best.h5", s, top1);
}

static const spx_run_kind kind = {.name = "training",
                                  .queue = queue,
                                  .report = report,
                                  .evaluate = evaluate,
                                  .keep = keep,
                                  .describe = describe,
                                  .init_from = init_from};

/* ---- the whole ---- */

json_t *spx_train_result_json(const spx_train_result *r)
{
    return json_pack("{s:I, s:f, s:f, s:f, s:I, s:f, s:I, s:I, s:I, s:I}", "steps",
                     (json_int_t)r->steps, "top1", spx_metrics_top1(&r->last), "top5",
                     spx_metrics_top5(&r->last), "loss", spx_metrics_loss(&r->last), "images",
                     (json_int_t)r->last.images, "best_top1", r->best_top1, "best_epoch",
                     (json_int_t)r->best_epoch, "relus", (json_int_t)r->counts.relus, "params",
                     (json_int_t)r->counts.params, "macs", (json_int_t)r->counts.macs);
}

static spx_status finish(training *x, spx_train_result *result)
{
    const spx_run *r = &x->run;
    const spx_loop_state *s = &r->session->state;
    if (x->last.images == 0) { /* resumed after its end */
        SPX_RETURN_IF(measure(x));
    }
    *result = (spx_train_result){
        .steps = s->step, .last = x->last, .best_top1 = r->best.top1, .best_epoch = r->best.epoch};
    SPX_RETURN_IF(spx_final_count(&x->o->spec, x->o->aux_weight > 0, &result->counts));
    SPX_RETURN_IF(save_model(x, "model.h5", s, spx_metrics_top1(&x->last)));
    return spx_session_result(r->session, spx_train_result_json(result));
}

static spx_status check(const spx_train_options *o)
{
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
    training x = {.o = o};
    spx_status st;
    SPX_RETURN_IF(check(o));
    SPX_RETURN_IF(spx_run_init(&x.run, session, &o->run, &kind, &x));
    SPX_TRY(st, spx_preprocess_of_pack(&x.images, o->pack), end);
    SPX_TRY(st, open_split(&x, SPX_SPLIT_TRAIN), end);
    SPX_TRY(st, open_split(&x, SPX_SPLIT_TEST), end);
    SPX_TRY(st, open_network(&x), end);
    describe_run(&x);
    SPX_TRY(st, spx_run_all(&x.run), end);
    st = finish(&x, result);
end:
    spx_trainer_clear(&x.trainer);
    spx_program_destroy(x.train_program);
    spx_program_destroy(x.eval_program);
    for (int i = 0; i < SPX_SPLIT_COUNT; i++) {
        spx_device_source_close(x.batches[i]);
        spx_device_split_close(x.split[i]);
    }
    spx_preprocess_clear(&x.images);
    return st;
}
