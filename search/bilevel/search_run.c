#include "search/bilevel/search_run.h"

#include "host/train/evaluate.h"
#include "host/train/tuning_cache.h"
#include "kernels/base/alloc.h"
#include "search/bilevel/search_data_private.h"

#include <stdio.h>
#include <string.h>

typedef struct search {
    spx_run run;
    const spx_search_options *o;
    spx_search_data data;
    spx_supernet net;
    spx_bilevel bilevel;
    float *alphas;           /* host memory, as of the last end of an epoch, save or finish */
    spx_genotype now, found; /* of those alphas; of the best epoch */
} search;

static spx_status open_net(search *x)
{
    spx_session *s = x->run.session;
    const unsigned passes =
        x->o->bilevel.second_order ? SPX_PASSES_SECOND_ORDER : SPX_PASSES_FIRST_ORDER;
    SPX_RETURN_IF(spx_supernet_init(&x->net, s->stream, &x->o->net,
                                    passes | SPX_PASS_BIT(SPX_PASS_EVAL), s->tuning));
    spx_tuning_cache_store(s->tuning);
    SPX_RETURN_IF(spx_layout_arena(x->net.layout, SPX_ROLE_ARCH, &x->alphas));
    return spx_bilevel_init(&x->bilevel, &x->net, &x->o->bilevel, x->o->run.seed);
}

#define N_INITIAL 3 /* of the arenas: what another search's checkpoint gives a new one */

static void describe_run(search *x)
{
    const spx_bilevel *b = &x->bilevel;
    const spx_source *source = x->data.source;
    const spx_ckpt_arena arena[] = {
        {"param", SPX_ROLE_WEIGHT, b->weights}, {"param", SPX_ROLE_ARCH, b->alphas},
        {"buffer", SPX_ROLE_STATE, b->state},   {"momentum", SPX_ROLE_WEIGHT, b->momentum},
        {"adam_m", SPX_ROLE_ARCH, b->adam_m},   {"adam_v", SPX_ROLE_ARCH, b->adam_v},
    };
    const int64_t weights = source[SPX_HALF_WEIGHTS].steps, alphas = source[SPX_HALF_ALPHAS].steps;
    x->run.epoch_steps = weights < alphas ? weights : alphas;
    x->run.queue = &x->bilevel.queue;
    x->run.layout = x->net.layout;
    x->run.n_arenas = sizeof arena / sizeof arena[0];
    memcpy(x->run.arena, arena, sizeof arena);
}

/* ---- what a search does its own way ---- */

static spx_status init_from(void *ctx, const char *given)
{
    const search *x = ctx;
    char path[4096];
    spx_ckpt c;
    spx_status st;
    SPX_RETURN_IF(spx_ckpt_path(given, path, sizeof path));
    SPX_RETURN_IF(spx_ckpt_open(&c, path));
    st = spx_device_arenas_load(&c, x->run.layout, x->net.stream, x->run.arena, N_INITIAL);
    spx_ckpt_close(&c);
    return st;
}

static spx_status restore(void *ctx, const json_t *about)
{
    search *x = ctx;
    const json_t *steps = json_object_get(about, "alpha_steps");
    if (!json_is_integer(steps) || json_integer_value(steps) < 0) {
        return SPX_FAIL(SPX_EFORMAT, "checkpoint: alpha_steps is missing");
    }
    x->bilevel.alpha_steps = (uint64_t)json_integer_value(steps);
    if (!x->run.best.any) {
        return SPX_OK;
    }
    return spx_fail_context(
        spx_genotype_of_value(&x->found,
                              json_object_get(json_object_get(about, "best"), "genotype")),
        "checkpoint");
}

/* The alphas as they are, and the genotype they stand for. */
static spx_status look(search *x)
{
    SPX_RETURN_IF(spx_bilevel_alphas(&x->bilevel, x->alphas));
    spx_supernet_genotype(&x->net, x->alphas, &x->now);
    return SPX_OK;
}

static spx_status describe(void *ctx, json_t *about)
{
    search *x = ctx;
    const spx_supernet_config *c = &x->o->net;
    json_t *best = json_object_get(about, "best");
    SPX_RETURN_IF(look(x));
    if (json_is_object(best)) {
        (void)json_object_set_new(best, "genotype", spx_genotype_value(&x->found));
    }
    (void)json_object_set_new(
        about, "supernet",
        json_pack("{s:[I,I,I], s:I, s:I, s:I}", "input", (json_int_t)c->input.channels,
                  (json_int_t)c->input.rows, (json_int_t)c->input.columns, "classes",
                  (json_int_t)c->classes, "init_channels", (json_int_t)c->init_channels, "layers",
                  (json_int_t)c->layers));
    (void)json_object_set_new(about, "genotype", spx_genotype_value(&x->now));
    (void)json_object_set_new(about, "alpha_steps",
                              json_integer((json_int_t)x->bilevel.alpha_steps));
    return SPX_OK;
}

static spx_status queue(void *ctx, const spx_loop_state *s, float lr)
{
    search *x = ctx;
    const spx_bilevel_args a = {.xi = lr, .lr = lr, .step = (uint64_t)s->step};
    const spx_source *weights = &x->data.source[SPX_HALF_WEIGHTS],
                     *alphas = &x->data.source[SPX_HALF_ALPHAS];
    spx_samples train, val;
    SPX_RETURN_IF(weights->get(weights->ctx, s->epoch, s->epoch_step, &train));
    SPX_RETURN_IF(alphas->get(alphas->ctx, s->epoch, s->epoch_step, &val));
    return spx_fail_context(spx_bilevel_queue(&x->bilevel, &train, &val, &a), "search: step %lld",
                            (long long)s->step + 1);
}

static spx_status report(void *ctx, bool wait, spx_run_report *out, bool *any)
{
    search *x = ctx;
    spx_bilevel_report p = {0};
    const spx_status st = spx_bilevel_report_next(&x->bilevel, wait, &p, any);
    *out = (spx_run_report){.step = p.step,
                            .loss = p.train_loss,
                            .metrics = p.metrics,
                            .number = {{"train_loss", (double)p.train_loss},
                                       {"alpha_loss", (double)p.val_loss},
                                       {"weight_norm", p.weight_norm},
                                       {"alpha_norm", p.alpha_norm},
                                       {"dw_norm", p.dw_norm}}};
    return st;
}

static void warn_of_collapse(const spx_run_options *o, const spx_collapse *c)
{
    char text[160];
    if (c->warn && o->warn != NULL) {
        (void)snprintf(
            text, sizeof text,
            "the search may be collapsing: %.0f %% of the normal cell's edges skip, none "
            "leads on %.0f %% of all edges",
            100 * c->skip_share, 100 * c->none_share);
        o->warn(o->ctx, text);
    }
}

static spx_status evaluate(void *ctx, double *top1, json_t **line)
{
    search *x = ctx;
    const spx_binding b = {.weights = x->bilevel.weights,
                           .arch = x->bilevel.alphas,
                           .state = x->bilevel.state,
                           .workspace = x->net.workspace};
    const int64_t batch = x->o->net.batch, batches = (x->o->validate_images + batch - 1) / batch;
    spx_metrics m;
    spx_collapse c;
    SPX_RETURN_IF(spx_evaluate(x->net.stream, x->net.program[SPX_PASS_EVAL], &b,
                               &x->data.source[SPX_HALF_CHECK], batches, spx_session_stop,
                               x->run.session, &m));
    SPX_RETURN_IF(look(x));
    spx_supernet_collapse(&x->net, x->alphas, &c);
    warn_of_collapse(&x->o->run, &c);
    *top1 = spx_metrics_top1(&m);
    *line = json_pack("{s:f, s:f, s:f, s:f, s:f, s:o}", "val_loss", spx_metrics_loss(&m),
                      "val_top1", *top1, "skip_share", c.skip_share, "none_share", c.none_share,
                      "alpha_entropy", c.entropy, "genotype", spx_genotype_value(&x->now));
    return SPX_OK;
}

static spx_status keep(void *ctx, const spx_loop_state *s, double top1)
{
    search *x = ctx;
    (void)s;
    (void)top1;
    x->found = x->now;
    return spx_genotype_save(x->run.session, &x->found);
}

static const spx_run_kind kind = {.name = "search",
                                  .queue = queue,
                                  .report = report,
                                  .evaluate = evaluate,
                                  .keep = keep,
                                  .describe = describe,
                                  .restore = restore,
                                  .init_from = init_from};

/* ---- the whole ---- */

static spx_status finish(search *x, spx_search_result *result)
{
    *result = (spx_search_result){.steps = x->run.session->state.step,
                                  .epoch = x->run.best.epoch,
                                  .top1 = x->run.best.top1,
                                  .genotype = x->found};
    SPX_RETURN_IF(look(x));
    spx_supernet_collapse(&x->net, x->alphas, &result->collapse);
    return spx_session_result(x->run.session, spx_search_result_json(result));
}

spx_status spx_search_run(spx_session *session, const spx_search_options *o,
                          spx_search_result *result)
{
    search x = {.o = o};
    spx_status st;
    SPX_RETURN_IF(spx_run_init(&x.run, session, &o->run, &kind, &x));
    SPX_TRY(st, spx_search_data_open(&x.data, session->stream, o), end);
    SPX_TRY(st, open_net(&x), end);
    describe_run(&x);
    SPX_TRY(st, spx_run_all(&x.run), end);
    st = finish(&x, result);
end:
    spx_bilevel_clear(&x.bilevel);
    spx_supernet_clear(&x.net);
    spx_free(x.alphas);
    spx_search_data_close(&x.data);
    return st;
}
