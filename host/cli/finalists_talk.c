#include "host/cli/finalists_talk.h"

#include "host/cli/commands.h"
#include "kernels/base/clock.h"
#include "search/evidence/finalists.h"

#include <stdio.h>
#include <string.h>

/* A selection under way, as its callbacks see it. */
typedef struct selection {
    spx_cli *cli;
    const spx_finalists_values *v;
    const spx_run_values *run;
    const char *data;
    const spx_search_options *search;
    spx_run_talk *talk;
    spx_session top; /* of the whole: folder, record, what networks are measured with */
    double begin;
    json_t *result;
} selection;

static void tell(void *ctx, const char *text)
{
    const selection *x = ctx;
    spx_run_talk_end(x->talk);
    *x->talk = (spx_run_talk){0}; /* each run has a progress of its own */
    spx_cli_talk(x->cli, "%s", text);
}

static spx_status open_run(void *ctx, const char *name, const char *verb, json_t *inputs,
                           spx_session *s)
{
    selection *x = ctx;
    const char *const was = x->cli->verb;
    spx_run_values one = *x->run;
    char path[4096];
    spx_status st;
    if (snprintf(path, sizeof path, "%s/%s", x->run->out, name) >= (int)sizeof path) {
        json_decref(inputs);
        return SPX_FAIL(SPX_EINVAL, "%s: the path is too long", x->run->out);
    }
    one.out = path;
    one.resume = true;
    if (one.time_limit > 0) {
        const double left = one.time_limit - (spx_seconds() - x->begin);
        one.time_limit = left > 0.001 ? left : 0.001;
    }
    x->cli->verb = verb;
    st = spx_run_open(x->cli, &one, inputs, s);
    x->cli->verb = was;
    x->top.state.step += st == SPX_OK; /* from now on there is something to go on with */
    return st;
}

/* ---- what it says ---- */

static double percent(const json_t *j, const char *key)
{
    return 100 * json_number_value(json_object_get(j, key));
}

static const char *word(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));
    return text != NULL ? text : "";
}

static void print_text(const json_t *all, const char *folder)
{
    const json_t *margin = json_object_get(all, "margin"), *test = json_object_get(all, "test");
    json_t *c;
    size_t i;
    json_array_foreach(json_object_get(all, "finalists"), i, c)
    {
        (void)printf("%-14s top-1 %.2f %%, standard deviation %.2f, %zu seeds\n", word(c, "name"),
                     percent(c, "top1_mean"), percent(c, "top1_std"),
                     json_array_size(json_object_get(c, "top1")));
    }
    (void)printf("winner: %s, %.2f points above %s (95 %% interval %.2f to %.2f), on %lld test "
                 "images\n%s\n",
                 word(all, "winner"), percent(margin, "difference"), word(margin, "over"),
                 percent(margin, "low"), percent(margin, "high"),
                 (long long)json_integer_value(json_object_get(test, "images")),
                 word(all, "verdict"));
    (void)printf(
        "%s/result.json, %s/finalists.json: with all cells; %s/genotype.json: the winner's "
        "cell\n",
        folder, folder, folder);
}

/* The answers without what they were come by: images, cells and rungs. */
static spx_status save_summary(selection *x)
{
    json_t *j = json_copy(x->result);
    json_t *aside = json_copy(json_object_get(j, "images_set_aside"));
    (void)json_object_del(aside, "images");
    (void)json_object_set_new(j, "images_set_aside", aside);
    (void)json_object_del(j, "cells");
    (void)json_object_del(j, "rungs");
    const spx_status st = j != NULL && aside != NULL
                              ? spx_session_write_json(&x->top, "result.json", j)
                              : SPX_FAIL(SPX_ENOMEM, "finalists: result");
    json_decref(j);
    return st;
}

static spx_status save(selection *x)
{
    const char *winner = word(x->result, "winner");
    spx_genotype g = {0};
    json_t *c;
    size_t i;
    SPX_RETURN_IF(spx_session_write_json(&x->top, "finalists.json", x->result));
    json_array_foreach(json_object_get(x->result, "cells"), i, c)
    {
        if (strcmp(word(c, "name"), winner) == 0) {
            SPX_RETURN_IF(spx_genotype_of_value(&g, json_object_get(c, "genotype")));
        }
    }
    SPX_RETURN_IF(save_summary(x));
    return spx_genotype_save(&x->top, &g, NULL);
}

/* ---- the whole ---- */

/* With train's options at hand. */
static spx_status select_cells(spx_cli *inner, const void *values, void *ctx)
{
    selection *x = ctx;
    const spx_search_options *s = x->search;
    spx_train_options t;
    SPX_RETURN_IF(spx_train_options_of(inner, values, s->pack, &t));
    t.run.show = s->run.show;
    t.run.warn = s->run.warn;
    t.run.ctx = s->run.ctx;
    t.run.save_every = s->run.save_every;
    t.run.log_every = s->run.log_every;
    t.run.max_steps = 0;
    if (t.run.init_from != NULL || t.spec.reference[0] != '\0') {
        return spx_cli_usage(x->cli, "--final-recipe %s: finalists are cells, and begin anew",
                             x->v->recipe);
    }
    const spx_finalists_options o = {.pool = (int)x->v->pool,
                                     .extra = (int)x->v->extra,
                                     .seeds = (int)x->v->seeds,
                                     .set_aside = x->v->set_aside,
                                     .relus = x->v->relus,
                                     .data = x->data,
                                     .folder = x->run->out,
                                     .search = s,
                                     .train = &t,
                                     .stream = x->top.stream,
                                     .tuning = x->top.tuning,
                                     .open = open_run,
                                     .tell = tell,
                                     .ctx = x};
    SPX_RETURN_IF(spx_finalists_run(&o, &x->result));
    return save(x);
}

/* An option whose number stands in for the recipe's; 0: it does not. */
static void own_word(const char **words, int *n, const char *option, int64_t value, char text[24])
{
    if (value > 0) {
        (void)snprintf(text, 24, "%lld", (long long)value);
        words[(*n)++] = option;
        words[(*n)++] = text;
    }
}

spx_status spx_finalists_command(spx_cli *cli, const spx_finalists_values *v,
                                 const spx_run_values *run, const char *data,
                                 const spx_search_options *s, spx_run_talk *talk)
{
    selection x = {.cli = cli, .v = v, .run = run, .data = data, .search = s, .talk = talk};
    char input[80], epochs[24], batch[24];
    const char *words[12] = {"--data",   data,      "--out",   run->out,
                             "--recipe", v->recipe, "--input", input};
    char *argv[sizeof words / sizeof words[0]];
    int argc = 8;
    spx_status st;
    if (v->relus < 1) {
        return spx_cli_usage(cli, "--finalists needs --relu-budget");
    }
    (void)snprintf(input, sizeof input, "%lldx%lldx%lld", (long long)s->net.input.channels,
                   (long long)s->net.input.rows, (long long)s->net.input.columns);
    own_word(words, &argc, "--epochs", v->epochs, epochs);
    own_word(words, &argc, "--batch", v->batch, batch);
    for (int i = 0; i < argc; i++) {
        argv[i] = (char *)(uintptr_t)words[i]; /* only their order is changed */
    }
    spx_run_values top = *run;
    top.of_parts = true;
    x.begin = spx_seconds();
    SPX_RETURN_IF(spx_run_open(cli, &top, json_pack("{s:s}", "data", s->pack->hash), &x.top));
    st = spx_cli_inner(cli, &spx_cmd_train, false, argc, argv, select_cells, &x);
    spx_run_talk_end(talk);
    spx_session_close(&x.top, st);
    if (st == SPX_OK && cli->json) {
        st = spx_cli_print_json(json_incref(x.result));
    } else if (st == SPX_OK) {
        print_text(x.result, run->out);
    }
    json_decref(x.result);
    return st;
}
