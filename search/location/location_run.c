#include "search/location/location_run.h"

#include "data/loader/halves.h"
#include "host/train/evaluate.h"
#include "host/train/tuning_cache.h"
#include "kernels/base/alloc.h"
#include "search/location/location_file.h"

#include <string.h>

/* A location search under way. */
typedef struct search {
    spx_run run;
    const spx_locate_options *o;
    spx_halves halves;
    spx_location x;
    double *noise; /* [x.n], of the step being queued */
    double top1;   /* of the last evaluation */
    int best;      /* pair of the largest beta then */
    json_t *history;
} search;

static double temperature(const spx_locate_options *o, int64_t epoch)
{
    const int64_t last = o->run.schedule.epochs - 1;
    const double at = last < 1 ? 0 : (double)epoch / (double)last;
    return (1 - at) * o->tau_max + at * o->tau_min;
}

/* ---- as a kind of run ---- */

static spx_status queue(void *ctx, const spx_loop_state *s, float lr)
{
    search *x = ctx;
    const spx_source *weights = &x->halves.source[SPX_HALF_WEIGHTS],
                     *beta = &x->halves.source[SPX_HALF_ALPHAS];
    int others[SPX_LOCATION_RUN_MAX];
    spx_location_args a = {.lr = lr,
                           .tau = temperature(x->o, s->epoch),
                           .noise = x->noise,
                           .others = others,
                           .step = (uint64_t)s->step};
    SPX_RETURN_IF(weights->get(weights->ctx, s->epoch, s->epoch_step, &a.train));
    SPX_RETURN_IF(beta->get(beta->ctx, s->epoch, s->epoch_step, &a.val));
    spx_location_draw(&x->x, x->o->run.seed, a.step, x->noise, others);
    return spx_fail_context(spx_location_queue(&x->x, &a), "step %lld", (long long)s->step + 1);
}

static spx_status report(void *ctx, bool wait, spx_run_report *out, bool *any)
{
    search *x = ctx;
    spx_location_report p = {0};
    const spx_status st = spx_location_report_next(&x->x, wait, &p, any);
    *out = (spx_run_report){.step = p.step,
                            .loss = p.train_loss,
                            .metrics = p.metrics,
                            .number = {{"train_loss", (double)p.train_loss},
                                       {"beta_loss", (double)p.val_loss},
                                       {"weight_norm", p.weight_norm},
                                       {"beta_norm", p.beta_norm}}};
    return st;
}

static json_t *betas(const spx_location *x)
{
    json_t *a = json_array();
    for (int i = 0; i < x->n; i++) {
        (void)json_array_append_new(a, json_real((double)x->host_beta[i]));
    }
    return a;
}

/* Measures the network of the largest beta. */
static spx_status measure(search *x, spx_metrics *m)
{
    const int64_t batch = x->o->batch, batches = (x->o->validate_images + batch - 1) / batch;
    spx_program *p;
    spx_binding b;
    SPX_RETURN_IF(spx_location_look(&x->x, &x->best));
    SPX_RETURN_IF(spx_location_bind(&x->x, x->best, &p, &b));
    SPX_RETURN_IF(spx_evaluate(x->x.stream, p, &b, &x->halves.source[SPX_HALF_CHECK], batches,
                               spx_session_stop, x->run.session, m));
    x->top1 = spx_metrics_top1(m);
    return SPX_OK;
}

static spx_status evaluate(void *ctx, double *top1, json_t **line)
{
    search *x = ctx;
    const int64_t epoch = x->run.session->state.epoch;
    spx_metrics m;
    SPX_RETURN_IF(measure(x, &m));
    *top1 = x->top1;
    *line = json_pack("{s:f, s:f, s:o, s:f, s:o}", "val_loss", spx_metrics_loss(&m), "val_top1",
                      *top1, "reduce_at", spx_reduce_at_json(x->x.pair[x->best].at, 2), "tau",
                      temperature(x->o, epoch), "beta", betas(&x->x));
    /* in the order of the alphabet, in which a checkpoint gives it back */
    json_t *entry =
        json_pack("{s:o, s:I, s:o, s:f, s:f}", "beta", betas(&x->x), "epoch", (json_int_t)epoch,
                  "reduce_at", spx_reduce_at_json(x->x.pair[x->best].at, 2), "tau",
                  temperature(x->o, epoch), "val_top1", *top1);
    return json_array_append_new(x->history, entry) == 0 ? SPX_OK
                                                         : SPX_FAIL(SPX_ENOMEM, "locate: history");
}

/* No epoch is better than another: the last beta decides. */
static spx_status keep(void *ctx, const spx_loop_state *s, double top1)
{
    (void)ctx;
    (void)s;
    (void)top1;
    return SPX_OK;
}

static spx_status describe(void *ctx, json_t *about)
{
    search *x = ctx;
    (void)json_object_set_new(about, "beta_steps", json_integer((json_int_t)x->x.beta_steps));
    return json_object_set_new(about, "history", json_deep_copy(x->history)) == 0
               ? SPX_OK
               : SPX_FAIL(SPX_ENOMEM, "locate: history");
}

static spx_status restore(void *ctx, const json_t *about)
{
    search *x = ctx;
    const json_t *steps = json_object_get(about, "beta_steps");
    json_t *history = json_object_get(about, "history");
    if (!json_is_integer(steps) || json_integer_value(steps) < 0 || !json_is_array(history)) {
        return SPX_FAIL(SPX_EFORMAT, "checkpoint: beta_steps or history is missing");
    }
    x->x.beta_steps = (uint64_t)json_integer_value(steps);
    return json_array_extend(x->history, history) == 0 ? SPX_OK
                                                       : SPX_FAIL(SPX_ENOMEM, "locate: history");
}

static const spx_run_kind kind = {.name = "locate",
                                  .queue = queue,
                                  .report = report,
                                  .evaluate = evaluate,
                                  .keep = keep,
                                  .describe = describe,
                                  .restore = restore};

/* ---- the whole ---- */

static void describe_run(search *s)
{
    spx_location *x = &s->x;
    const spx_ckpt_arena arena[] = {
        {"param", SPX_ROLE_WEIGHT, x->weights}, {"param", SPX_ROLE_ARCH, x->beta},
        {"buffer", SPX_ROLE_STATE, x->state},   {"momentum", SPX_ROLE_WEIGHT, x->momentum},
        {"adam_m", SPX_ROLE_ARCH, x->adam_m},   {"adam_v", SPX_ROLE_ARCH, x->adam_v},
    };
    s->run.epoch_steps = spx_halves_steps(&s->halves);
    s->run.queue = &x->queue;
    s->run.layout = &x->layout;
    s->run.n_arenas = sizeof arena / sizeof arena[0];
    _Static_assert(sizeof arena <= sizeof s->run.arena, "room for all");
    memcpy(s->run.arena, arena, sizeof arena);
}

json_t *spx_locate_result_json(const spx_locate_result *r)
{
    json_t *j = json_pack("{s:I, s:f, s:i, s:I}", "steps", (json_int_t)r->steps, "val_top1",
                          r->top1, "networks", r->networks, "device_bytes", (json_int_t)r->bytes);
    if (j == NULL || json_object_update_missing(j, r->location) != 0) {
        json_decref(j);
        j = NULL;
    }
    return j;
}

static spx_status finish(search *s, spx_locate_result *result)
{
    spx_location *x = &s->x;
    if (json_array_size(s->history) == 0 || s->top1 < 0) { /* resumed behind its end */
        spx_metrics m;
        SPX_RETURN_IF(measure(s, &m));
    }
    *result = (spx_locate_result){.steps = s->run.session->state.step,
                                  .top1 = s->top1,
                                  .pair = x->pair[s->best],
                                  .bytes = spx_location_bytes(x),
                                  .networks = x->n};
    result->location =
        spx_location_json(&x->spec, x->pair, x->n, x->host_beta, s->best, s->history);
    SPX_RETURN_IF(spx_session_write_json(s->run.session, "location.json", result->location));
    return spx_session_result(s->run.session, spx_locate_result_json(result));
}

static spx_status open_all(search *s)
{
    const spx_locate_options *o = s->o;
    spx_session *session = s->run.session;
    const spx_loader_options lo = {.batch = (size_t)o->batch,
                                   .height = (int)o->spec.input.rows,
                                   .width = (int)o->spec.input.columns,
                                   .augment = o->augment,
                                   .seed = o->run.seed};
    if (!(o->tau_min > 0 && o->tau_min <= o->tau_max)) {
        return SPX_FAIL(SPX_EINVAL, "locate: temperatures %g to %g, must be above 0 and not rise",
                        o->tau_max, o->tau_min);
    }
    s->history = json_array();
    s->top1 = -1;
    SPX_RETURN_IF(spx_halves_open(&s->halves, session->stream, o->pack, &lo));
    SPX_RETURN_IF(spx_location_init(&s->x, session->stream, &o->spec, o->batch, &o->location,
                                    o->run.seed, session->tuning));
    spx_tuning_cache_store(session->tuning);
    return SPX_NEW(s->noise, (size_t)s->x.n);
}

spx_status spx_locate_run(spx_session *session, const spx_locate_options *o,
                          spx_locate_result *result)
{
    search s = {.o = o};
    spx_status st;
    *result = (spx_locate_result){0};
    SPX_RETURN_IF(spx_run_init(&s.run, session, &o->run, &kind, &s));
    SPX_TRY(st, open_all(&s), end);
    describe_run(&s);
    SPX_TRY(st, spx_run_all(&s.run), end);
    st = finish(&s, result);
end:
    if (st != SPX_OK) {
        json_decref(result->location);
        result->location = NULL;
    }
    spx_location_clear(&s.x);
    spx_halves_close(&s.halves);
    spx_free(s.noise);
    json_decref(s.history);
    return st;
}
