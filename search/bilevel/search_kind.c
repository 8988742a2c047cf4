/* What a search does its own way, as a kind of run. */
#include "host/train/evaluate.h"
#include "search/bilevel/search_private.h"

#include <stdio.h>

#define N_INITIAL 3 /* of the arenas: what another search's checkpoint gives a new one */

static spx_status init_from(void *ctx, const char *given)
{
    const spx_search *x = ctx;
    char path[4096];
    spx_ckpt c;
    spx_status st;
    SPX_RETURN_IF(spx_ckpt_path(given, path, sizeof path));
    SPX_RETURN_IF(spx_ckpt_open(&c, path));
    st = spx_device_arenas_load(&c, x->run.layout, x->net.stream, x->run.arena, N_INITIAL);
    spx_ckpt_close(&c);
    return st;
}

static spx_status restore_budget(spx_search *x, const json_t *about)
{
    const json_t *lambda = json_object_get(about, "lambda");
    if (x->o->budget.relus == 0) {
        return SPX_OK;
    }
    if (!json_is_number(lambda)) {
        return SPX_FAIL(SPX_EFORMAT, "checkpoint: lambda is missing");
    }
    return spx_bilevel_set_lambda(&x->bilevel, json_number_value(lambda));
}

static spx_status restore(void *ctx, const json_t *about)
{
    spx_search *x = ctx;
    const json_t *steps = json_object_get(about, "alpha_steps"),
                 *best = json_object_get(about, "best");
    if (!json_is_integer(steps) || json_integer_value(steps) < 0) {
        return SPX_FAIL(SPX_EFORMAT, "checkpoint: alpha_steps is missing");
    }
    x->bilevel.alpha_steps = (uint64_t)json_integer_value(steps);
    SPX_RETURN_IF(restore_budget(x, about));
    if (!x->run.best.any) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_fail_context(
        spx_genotype_of_value(&x->found, json_object_get(best, "genotype")), "checkpoint"));
    SPX_RETURN_IF(spx_fail_context(
        spx_cell_masks_of_value(&x->found_masks, json_object_get(best, "masks"), &x->found),
        "checkpoint"));
    /* its files may have gone lost since */
    return spx_genotype_save(x->run.session, &x->found, &x->found_masks);
}

static spx_status describe(void *ctx, json_t *about)
{
    spx_search *x = ctx;
    const spx_supernet_config *c = &x->o->net;
    json_t *best = json_object_get(about, "best");
    SPX_RETURN_IF(spx_search_look(x));
    if (json_is_object(best)) {
        (void)json_object_set_new(best, "genotype", spx_genotype_value(&x->found));
    }
    if (json_is_object(best) && c->gated) {
        (void)json_object_set_new(best, "masks", spx_cell_masks_value(&x->found_masks));
    }
    (void)json_object_set_new(
        about, "supernet",
        json_pack("{s:s, s:[I,I,I], s:I, s:I, s:I}", "space", spx_space_name(c->space), "input",
                  (json_int_t)c->input.channels, (json_int_t)c->input.rows,
                  (json_int_t)c->input.columns, "classes", (json_int_t)c->classes, "init_channels",
                  (json_int_t)c->init_channels, "layers", (json_int_t)c->layers));
    (void)json_object_set_new(about, "genotype", spx_genotype_value(&x->now));
    (void)json_object_set_new(about, "alpha_steps",
                              json_integer((json_int_t)x->bilevel.alpha_steps));
    if (c->gated) {
        (void)json_object_set_new(about, "lambda", json_real(x->gates.lambda));
    }
    return SPX_OK;
}

static spx_status queue(void *ctx, const spx_loop_state *s, float lr)
{
    spx_search *x = ctx;
    const spx_bilevel_args a = {.xi = lr, .lr = lr, .step = (uint64_t)s->step};
    const spx_source *weights = &x->halves.source[SPX_HALF_WEIGHTS],
                     *alphas = &x->halves.source[SPX_HALF_ALPHAS];
    spx_samples train, val;
    SPX_RETURN_IF(weights->get(weights->ctx, s->epoch, s->epoch_step, &train));
    SPX_RETURN_IF(alphas->get(alphas->ctx, s->epoch, s->epoch_step, &val));
    return spx_fail_context(spx_bilevel_queue(&x->bilevel, &train, &val, &a), "search: step %lld",
                            (long long)s->step + 1);
}

static spx_status report(void *ctx, bool wait, spx_run_report *out, bool *any)
{
    spx_search *x = ctx;
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
    spx_search *x = ctx;
    const spx_binding b = {.weights = x->bilevel.weights,
                           .arch = x->bilevel.alphas,
                           .state = x->bilevel.state,
                           .workspace = x->net.workspace};
    const int64_t batch = x->o->net.batch, batches = (x->o->validate_images + batch - 1) / batch;
    spx_metrics m;
    spx_collapse c;
    double cost = 0;
    SPX_RETURN_IF(spx_evaluate(x->net.stream, x->net.program[SPX_PASS_EVAL], &b,
                               &x->halves.source[SPX_HALF_CHECK], batches, spx_session_stop,
                               x->run.session, &m));
    SPX_RETURN_IF(spx_search_look(x));
    SPX_RETURN_IF(spx_supernet_collapse(&x->net, &x->alphas, &c));
    warn_of_collapse(&x->o->run, &c);
    if (x->costs.data != NULL) {
        SPX_RETURN_IF(spx_private_expected(&x->net, &x->alphas, &x->costs, &cost));
    }
    *top1 = spx_metrics_top1(&m);
    *line = json_pack("{s:f, s:f, s:f, s:f, s:f, s:o}", "val_loss", spx_metrics_loss(&m),
                      "val_top1", *top1, "skip_share", c.skip_share, "none_share", c.none_share,
                      "alpha_entropy", c.entropy, "genotype", spx_genotype_value(&x->now));
    if (x->costs.data != NULL) {
        (void)json_object_set_new(*line, "private_cost", json_real(cost / x->o->cost_weight));
    }
    if (x->o->budget.relus > 0) {
        const double relus = x->gates.expected * (double)x->o->budget.relus;
        (void)json_object_set_new(*line, "expected_relus", json_real(relus));
        (void)json_object_set_new(*line, "lambda", json_real(x->gates.lambda));
        (void)json_object_set_new(*line, "masks", spx_cell_masks_value(&x->now_masks));
    }
    return SPX_OK;
}

static spx_status keep(void *ctx, const spx_loop_state *s, double top1)
{
    spx_search *x = ctx;
    (void)s;
    (void)top1;
    x->found = x->now;
    x->found_masks = x->now_masks;
    return spx_genotype_save(x->run.session, &x->found, &x->found_masks);
}

const spx_run_kind spx_search_kind = {.name = "search",
                                      .queue = queue,
                                      .report = report,
                                      .evaluate = evaluate,
                                      .keep = keep,
                                      .describe = describe,
                                      .restore = restore,
                                      .init_from = init_from};
