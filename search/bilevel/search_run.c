#include "search/bilevel/search_run.h"

#include "data/loader/device_source.h"
#include "host/train/device_arenas.h"
#include "host/train/evaluate.h"
#include "host/train/tuning_cache.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"

#include <stdlib.h>
#include <string.h>

/* The best epoch so far; part of the checkpoint. */
typedef struct best {
    bool any;
    int64_t epoch;
    double top1;
    spx_genotype genotype;
} best;

/* A half of the training split on its way to the device. */
typedef struct half {
    spx_device_source *batches;
    spx_source source;
} half;

typedef struct run {
    spx_session *session;
    const spx_search_options *o;
    spx_device_split *split;  /* the whole of it on the device; or NULL */
    half train, alpha, check; /* check: alphas' half as validation reads it */
    spx_supernet net;
    spx_bilevel search;
    spx_loop loop;
    bool counting; /* the metrics of this epoch are on the device */
    float *alphas; /* host memory, as of the last end of an epoch, save or finish */
    best best;
} run;

#define N_ARENAS 6

static void arenas(const run *r, spx_ckpt_arena list[N_ARENAS])
{
    const spx_ckpt_arena all[N_ARENAS] = {
        {"param", SPX_ROLE_WEIGHT, r->search.weights},
        {"param", SPX_ROLE_ARCH, r->search.alphas},
        {"buffer", SPX_ROLE_STATE, r->search.state},
        {"momentum", SPX_ROLE_WEIGHT, r->search.momentum},
        {"adam_m", SPX_ROLE_ARCH, r->search.adam_m},
        {"adam_v", SPX_ROLE_ARCH, r->search.adam_v},
    };
    memcpy(list, all, sizeof all);
}

/* ---- opening ---- */

static spx_status open_half(const run *r, const uint32_t *index, size_t n, bool train, half *h)
{
    const spx_search_options *o = r->o;
    const spx_loader_options lo = {.split = SPX_SPLIT_TRAIN,
                                   .subset = index,
                                   .subset_count = n,
                                   .train = train,
                                   .batch = (size_t)o->net.batch,
                                   .height = (int)o->net.input.rows,
                                   .width = (int)o->net.input.columns,
                                   .augment = o->augment,
                                   .seed = o->seed,
                                   .threads = train ? 1 : 0};
    SPX_RETURN_IF(spx_device_source_open(&h->batches, r->session->stream, r->split, o->pack, &lo));
    h->source = spx_device_source_of(h->batches);
    return SPX_OK;
}

static spx_status open_data(run *r)
{
    const spx_pack_split *s = &r->o->pack->split[SPX_SPLIT_TRAIN];
    const size_t most = (s->count + 1) / 2;
    size_t n[2];
    void *index = NULL;
    uint32_t *first, *second;
    spx_status st;
    SPX_RETURN_IF(spx_device_split_open(&r->split, r->session->stream, r->o->pack, SPX_SPLIT_TRAIN,
                                        SPX_DEVICE_SPLIT_SHARE));
    SPX_RETURN_IF(spx_calloc(&index, 2 * most, sizeof(uint32_t)));
    first = index;
    second = first + most;
    SPX_TRY(st,
            spx_split_halves(s->labels, s->count, r->o->pack->classes, r->o->seed, first, &n[0],
                             second, &n[1]),
            end);
    SPX_TRY(st, open_half(r, first, n[0], true, &r->train), end);
    SPX_TRY(st, open_half(r, second, n[1], true, &r->alpha), end);
    SPX_TRY(st, open_half(r, second, n[1], false, &r->check), end);
end:
    spx_free(index);
    return st;
}

static spx_status open_net(run *r)
{
    const unsigned passes =
        r->o->bilevel.second_order ? SPX_PASSES_SECOND_ORDER : SPX_PASSES_FIRST_ORDER;
    SPX_RETURN_IF(spx_supernet_init(&r->net, r->session->stream, &r->o->net,
                                    passes | SPX_PASS_BIT(SPX_PASS_EVAL), r->session->tuning));
    spx_tuning_cache_store(r->session->tuning);
    SPX_RETURN_IF(spx_layout_arena(r->net.layout, SPX_ROLE_ARCH, &r->alphas));
    return spx_bilevel_init(&r->search, &r->net, &r->o->bilevel, r->o->seed);
}

static spx_status parse_best(best *b, const json_t *j)
{
    json_int_t epoch;
    json_t *genotype;
    char *text;
    spx_status st;
    if (json_is_null(j)) {
        return SPX_OK;
    }
    if (json_unpack((json_t *)(uintptr_t)j, "{s:I, s:F, s:o}", "epoch", &epoch, "top1", &b->top1,
                    "genotype", &genotype) != 0) {
        return SPX_FAIL(SPX_EFORMAT, "checkpoint: best epoch is malformed");
    }
    text = json_dumps(genotype, JSON_COMPACT);
    if (text == NULL) {
        return SPX_FAIL(SPX_EFORMAT, "checkpoint: genotype is malformed");
    }
    st = spx_genotype_parse(&b->genotype, text, strlen(text));
    free(text);
    b->epoch = epoch;
    b->any = true;
    return st;
}

static spx_status restore(run *r)
{
    const json_t *meta = r->session->checkpoint.meta;
    const json_t *steps = json_object_get(meta, "alpha_steps");
    spx_ckpt_arena list[N_ARENAS];
    if (!json_is_integer(steps) || json_integer_value(steps) < 0) {
        return SPX_FAIL(SPX_EFORMAT, "checkpoint: alpha_steps is missing");
    }
    r->search.alpha_steps = (uint64_t)json_integer_value(steps);
    SPX_RETURN_IF(parse_best(&r->best, json_object_get(meta, "best")));
    arenas(r, list);
    return spx_session_load(r->session, r->net.layout, list, N_ARENAS);
}

static spx_status init_from(run *r, const char *given)
{
    spx_ckpt_arena list[N_ARENAS];
    char path[4096];
    spx_ckpt c;
    spx_status st;
    arenas(r, list);
    SPX_RETURN_IF(spx_ckpt_path(given, path, sizeof path));
    SPX_RETURN_IF(spx_ckpt_open(&c, path));
    /* param, param, buffer */
    st = spx_device_arenas_load(&c, r->net.layout, r->net.stream, list, 3);
    spx_ckpt_close(&c);
    return st;
}

/* ---- saving ---- */

static json_t *genotype_value(const spx_genotype *g)
{
    char *text = spx_genotype_json(g);
    json_t *j = text != NULL ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return j;
}

static json_t *best_value(const best *b)
{
    return b->any ? json_pack("{s:I, s:f, s:o}", "epoch", (json_int_t)b->epoch, "top1", b->top1,
                              "genotype", genotype_value(&b->genotype))
                  : json_null();
}

static spx_status save(void *ctx, const spx_loop_state *state)
{
    run *r = ctx;
    const spx_supernet_config *c = &r->o->net;
    spx_ckpt_arena list[N_ARENAS];
    spx_genotype now;
    json_t *extra;
    SPX_RETURN_IF(spx_bilevel_alphas(&r->search, r->alphas));
    spx_supernet_genotype(&r->net, r->alphas, &now);
    extra = json_pack("{s:{s:[I,I,I], s:I, s:I, s:I}, s:o, s:o, s:I}", "supernet", "input",
                      (json_int_t)c->input.channels, (json_int_t)c->input.rows,
                      (json_int_t)c->input.columns, "classes", (json_int_t)c->classes,
                      "init_channels", (json_int_t)c->init_channels, "layers",
                      (json_int_t)c->layers, "genotype", genotype_value(&now), "best",
                      best_value(&r->best), "alpha_steps", (json_int_t)r->search.alpha_steps);
    arenas(r, list);
    return spx_session_save(r->session, state, extra, r->net.layout, list, N_ARENAS);
}

spx_status spx_genotype_save(const spx_session *session, const spx_genotype *g)
{
    char *json = spx_genotype_json(g), *text = spx_genotype_text(g);
    spx_status st = SPX_OK;
    if (json == NULL || text == NULL) {
        st = SPX_FAIL(SPX_ENOMEM, "genotype: text");
    }
    if (st == SPX_OK) {
        st = spx_session_write(session, "genotype.json", json);
    }
    if (st == SPX_OK) {
        st = spx_session_write(session, "genotype.txt", text);
    }
    free(json);
    free(text);
    return st;
}

/* ---- the loop's callbacks ---- */

static spx_status log_step(const run *r, const spx_bilevel_report *p)
{
    const int64_t done = (int64_t)p->step + 1;
    char note[64];
    if (r->o->show != NULL) {
        (void)snprintf(note, sizeof note, "loss %.3f", (double)p->train_loss);
        r->o->show(r->o->ctx, done, spx_loop_total(&r->loop), note);
    }
    if (r->o->log_every == 0 || done % r->o->log_every != 0) {
        return SPX_OK;
    }
    return spx_jsonl_append(r->session->metrics,
                            json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "step", (json_int_t)done,
                                      "train_loss", (double)p->train_loss, "alpha_loss",
                                      (double)p->val_loss, "weight_norm", p->weight_norm,
                                      "alpha_norm", p->alpha_norm, "dw_norm", p->dw_norm));
}

/* Takes what steps say of themselves: of all of them, or of those that are due. */
static spx_status read_reports(run *r, spx_loop_state *s, bool wait)
{
    for (;;) {
        spx_bilevel_report report;
        bool any;
        SPX_RETURN_IF(
            spx_fail_context(spx_bilevel_report_next(&r->search, wait, &report, &any), "search"));
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
    const float lr = spx_schedule_lr(&r->o->schedule, s->epoch, 0, 1);
    const spx_bilevel_args a = {.xi = lr, .lr = lr, .step = (uint64_t)s->step};
    const spx_source *train_half = &r->train.source, *alpha_half = &r->alpha.source;
    spx_samples train, alpha;
    if (!r->counting || s->epoch_step == 0) {
        SPX_RETURN_IF(spx_step_queue_count_from(&r->search.queue, &s->train));
        r->counting = true;
    }
    SPX_RETURN_IF(train_half->get(train_half->ctx, s->epoch, s->epoch_step, &train));
    SPX_RETURN_IF(alpha_half->get(alpha_half->ctx, s->epoch, s->epoch_step, &alpha));
    SPX_RETURN_IF(spx_fail_context(spx_bilevel_queue(&r->search, &train, &alpha, &a),
                                   "search: step %lld", (long long)s->step + 1));
    return read_reports(r, s, false);
}

static spx_status stop(void *ctx)
{
    const run *r = ctx;
    return spx_session_stop(r->session);
}

static spx_status validate(run *r, spx_metrics *m)
{
    const spx_binding b = {.weights = r->search.weights,
                           .arch = r->search.alphas,
                           .state = r->search.state,
                           .workspace = r->net.workspace};
    const int64_t batch = r->o->net.batch;
    return spx_evaluate(r->net.stream, r->net.program[SPX_PASS_EVAL], &b, &r->check.source,
                        (r->o->validate_images + batch - 1) / batch, spx_session_stop, r->session,
                        m);
}

static json_t *epoch_line(const run *r, const spx_loop_state *s, const spx_metrics *m,
                          const spx_genotype *g, const spx_collapse *c)
{
    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "epoch",
                     (json_int_t)s->epoch, "step", (json_int_t)s->step, "lr",
                     (double)spx_schedule_lr(&r->o->schedule, s->epoch, 0, 1), "train_loss",
                     spx_metrics_loss(&s->train), "train_top1", spx_metrics_top1(&s->train),
                     "val_loss", spx_metrics_loss(m), "val_top1", spx_metrics_top1(m), "skip_share",
                     c->skip_share, "none_share", c->none_share, "alpha_entropy", c->entropy,
                     "genotype", genotype_value(g));
}

static void warn_of_collapse(const run *r, const spx_collapse *c)
{
    char text[160];
    if (c->warn && r->o->warn != NULL) {
        (void)snprintf(
            text, sizeof text,
            "the search may be collapsing: %.0f %% of the normal cell's edges skip, none "
            "leads on %.0f %% of all edges",
            100 * c->skip_share, 100 * c->none_share);
        r->o->warn(r->o->ctx, text);
    }
}

static spx_status end_epoch(void *ctx, const spx_loop_state *s)
{
    run *r = ctx;
    spx_metrics m;
    spx_collapse c;
    best now = {.any = true, .epoch = s->epoch};
    SPX_RETURN_IF(validate(r, &m));
    now.top1 = spx_metrics_top1(&m);
    SPX_RETURN_IF(spx_bilevel_alphas(&r->search, r->alphas));
    spx_supernet_genotype(&r->net, r->alphas, &now.genotype);
    spx_supernet_collapse(&r->net, r->alphas, &c);
    SPX_RETURN_IF(spx_jsonl_append(r->session->metrics, epoch_line(r, s, &m, &now.genotype, &c)));
    warn_of_collapse(r, &c);
    if (r->best.any && now.top1 <= r->best.top1) {
        return SPX_OK;
    }
    r->best = now;
    return spx_genotype_save(r->session, &now.genotype);
}

/* ---- the whole ---- */

static spx_status finish(run *r, spx_search_result *result)
{
    *result = (spx_search_result){.steps = r->session->state.step,
                                  .epoch = r->best.epoch,
                                  .top1 = r->best.top1,
                                  .genotype = r->best.genotype};
    SPX_RETURN_IF(spx_bilevel_alphas(&r->search, r->alphas));
    spx_supernet_collapse(&r->net, r->alphas, &result->collapse);
    return spx_session_result(
        r->session,
        json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:o}", "steps", (json_int_t)result->steps,
                  "epoch", (json_int_t)result->epoch, "val_top1", result->top1, "skip_share",
                  result->collapse.skip_share, "none_share", result->collapse.none_share,
                  "alpha_entropy", result->collapse.entropy, "genotype",
                  genotype_value(&result->genotype)));
}

static void run_clear(run *r)
{
    spx_bilevel_clear(&r->search);
    spx_supernet_clear(&r->net);
    spx_free(r->alphas);
    spx_device_source_close(r->train.batches);
    spx_device_source_close(r->alpha.batches);
    spx_device_source_close(r->check.batches);
    spx_device_split_close(r->split);
}

spx_status spx_search_run(spx_session *session, const spx_search_options *o,
                          spx_search_result *result)
{
    run r = {.session = session, .o = o};
    spx_status st;
    SPX_RETURN_IF(spx_schedule_check(&o->schedule));
    spx_session_warn(session, o->warn, o->ctx);
    SPX_TRY(st, open_data(&r), end);
    SPX_TRY(st, open_net(&r), end);
    if (spx_session_resumes(session)) {
        SPX_TRY(st, restore(&r), end);
    } else if (o->init_from != NULL) {
        SPX_TRY(st, init_from(&r, o->init_from), end);
    }
    r.loop = (spx_loop){.epochs = o->schedule.epochs,
                        .epoch_steps = r.train.source.steps < r.alpha.source.steps
                                           ? r.train.source.steps
                                           : r.alpha.source.steps,
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
