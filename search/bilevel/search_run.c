#include "search/bilevel/search_run.h"

#include "data/loader/loader.h"
#include "data/loader/loader_source.h"
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

typedef struct run {
    spx_session *session;
    const spx_search_options *o;
    spx_loader *train, *alpha, *check; /* the halves; check: alphas' half as validation reads it */
    spx_source train_source, alpha_source, check_source;
    spx_supernet net;
    spx_bilevel search;
    spx_loop loop;
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

static spx_status open_half(run *r, const uint32_t *index, size_t n, bool train, spx_loader **out)
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
    return spx_loader_open(out, o->pack, &lo);
}

static spx_status open_data(run *r)
{
    const spx_pack_split *s = &r->o->pack->split[SPX_SPLIT_TRAIN];
    const size_t half = (s->count + 1) / 2;
    size_t n[2];
    void *index = NULL;
    uint32_t *first, *second;
    spx_status st;
    SPX_RETURN_IF(spx_calloc(&index, 2 * half, sizeof(uint32_t)));
    first = index;
    second = first + half;
    SPX_TRY(st,
            spx_split_halves(s->labels, s->count, r->o->pack->classes, r->o->seed, first, &n[0],
                             second, &n[1]),
            end);
    SPX_TRY(st, open_half(r, first, n[0], true, &r->train), end);
    SPX_TRY(st, open_half(r, second, n[1], true, &r->alpha), end);
    SPX_TRY(st, open_half(r, second, n[1], false, &r->check), end);
    r->train_source = spx_loader_source(r->train);
    r->alpha_source = spx_loader_source(r->alpha);
    r->check_source = spx_loader_source(r->check);
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
    if (r->session->checkpoint.fallback && r->o->warn != NULL) {
        r->o->warn(r->o->ctx, "the last checkpoint is damaged; going on from the one before it");
    }
    arenas(r, list);
    return spx_session_load(r->session, r->net.layout, list, N_ARENAS);
}

static spx_status init_from(run *r, const char *path)
{
    spx_ckpt_arena list[N_ARENAS];
    spx_ckpt c;
    spx_status st;
    arenas(r, list);
    SPX_RETURN_IF(spx_ckpt_open(&c, path));
    st = spx_ckpt_load(&c, r->net.layout, list, 3); /* param, param, buffer */
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
    spx_supernet_genotype(&r->net, r->search.alphas, &now);
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

static spx_status log_step(run *r, const spx_loop_state *s, const spx_bilevel_report *p)
{
    const int64_t done = s->step + 1;
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

static spx_status step(void *ctx, spx_loop_state *s)
{
    run *r = ctx;
    const float lr = spx_schedule_lr(&r->o->schedule, s->epoch);
    spx_samples train, alpha;
    spx_bilevel_report report;
    SPX_RETURN_IF(r->train_source.get(r->train_source.ctx, s->epoch, s->epoch_step, &train));
    SPX_RETURN_IF(r->alpha_source.get(r->alpha_source.ctx, s->epoch, s->epoch_step, &alpha));
    SPX_RETURN_IF(spx_fail_context(spx_bilevel_step(&r->search, &train, &alpha, lr, lr, &report),
                                   "search step %lld", (long long)s->step));
    spx_metrics_add(&s->train, train.valid, r->o->net.classes, report.logits, train.labels);
    return log_step(r, s, &report);
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
    return spx_evaluate(r->net.program[SPX_PASS_EVAL], &b, &r->check_source, r->o->net.classes,
                        (r->o->validate_images + batch - 1) / batch, spx_session_stop, r->session,
                        m);
}

static json_t *epoch_line(const run *r, const spx_loop_state *s, const spx_metrics *m,
                          const spx_genotype *g, const spx_collapse *c)
{
    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "epoch",
                     (json_int_t)s->epoch, "step", (json_int_t)s->step, "lr",
                     (double)spx_schedule_lr(&r->o->schedule, s->epoch), "train_loss",
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
    spx_supernet_genotype(&r->net, r->search.alphas, &now.genotype);
    spx_supernet_collapse(&r->net, r->search.alphas, &c);
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
    json_t *j;
    char *text;
    spx_status st;
    *result = (spx_search_result){.steps = r->session->state.step,
                                  .epoch = r->best.epoch,
                                  .top1 = r->best.top1,
                                  .genotype = r->best.genotype};
    spx_supernet_collapse(&r->net, r->search.alphas, &result->collapse);
    j = json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:o}", "steps", (json_int_t)result->steps,
                  "epoch", (json_int_t)result->epoch, "val_top1", result->top1, "skip_share",
                  result->collapse.skip_share, "none_share", result->collapse.none_share,
                  "alpha_entropy", result->collapse.entropy, "genotype",
                  genotype_value(&result->genotype));
    text = j != NULL ? json_dumps(j, JSON_INDENT(2)) : NULL;
    st = text != NULL ? spx_session_write(r->session, "result.json", text)
                      : SPX_FAIL(SPX_ENOMEM, "search: result");
    free(text);
    json_decref(j);
    return st;
}

static void run_clear(run *r)
{
    spx_bilevel_clear(&r->search);
    spx_supernet_clear(&r->net);
    spx_loader_close(r->train);
    spx_loader_close(r->alpha);
    spx_loader_close(r->check);
}

spx_status spx_search_run(spx_session *session, const spx_search_options *o,
                          spx_search_result *result)
{
    run r = {.session = session, .o = o};
    spx_status st;
    SPX_RETURN_IF(spx_schedule_check(&o->schedule));
    SPX_TRY(st, open_data(&r), end);
    SPX_TRY(st, open_net(&r), end);
    if (spx_session_resumes(session)) {
        SPX_TRY(st, restore(&r), end);
    } else if (o->init_from != NULL) {
        SPX_TRY(st, init_from(&r, o->init_from), end);
    }
    r.loop = (spx_loop){.epochs = o->schedule.epochs,
                        .epoch_steps = r.train_source.steps < r.alpha_source.steps
                                           ? r.train_source.steps
                                           : r.alpha_source.steps,
                        .max_steps = o->max_steps,
                        .save_every = o->save_every,
                        .ctx = &r,
                        .step = step,
                        .end_epoch = end_epoch,
                        .save = save,
                        .stop = stop};
    SPX_TRY(st, spx_loop_run(&r.loop, &session->state), end);
    st = finish(&r, result);
end:
    run_clear(&r);
    return st;
}
