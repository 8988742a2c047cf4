#include "host/cli/seeds_talk.h"

#include "host/control/json_text.h"
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "kernels/base/file.h"
#include "search/evidence/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096

static spx_status path_of(const char *folder, const char *name, char path[PATH_BYTES])
{
    return snprintf(path, PATH_BYTES, "%s/%s", folder, name) < PATH_BYTES
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "%s: the path is too long", folder);
}

/* A single run's folder is its own: what is below it would be lost among its files. */
static spx_status check_folder(const char *folder)
{
    char path[PATH_BYTES];
    SPX_RETURN_IF(path_of(folder, "run.json", path));
    return access(path, F_OK) != 0
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "%s: it holds a run of one seed; give --out another folder",
                          folder);
}

/* Runs one seed; *left is what remains of the time limit, 0: there is none. */
static spx_status run_one(spx_cli *cli, const spx_run_values *run, const spx_seeded *s,
                          double *left, json_t *runs)
{
    const double begin = spx_seconds();
    spx_run_values one = *run;
    char name[40], path[PATH_BYTES];
    json_t *result = NULL;
    (void)snprintf(name, sizeof name, "seed-%lld", (long long)cli->seed);
    SPX_RETURN_IF(path_of(run->out, name, path));
    one.out = path;
    one.time_limit = *left;
    spx_cli_talk(cli, "seed %lld: %s", (long long)cli->seed, path);
    SPX_RETURN_IF(spx_fail_context(s->one(cli, s->ctx, &one, &result), "%s", name));
    if (json_array_append_new(runs, result) != 0) {
        return SPX_FAIL(SPX_ENOMEM, "seeds: results");
    }
    if (*left > 0) {
        *left -= spx_seconds() - begin;
        *left = *left > 0.001 ? *left : 0.001; /* the next one stops at its first step */
    }
    return SPX_OK;
}

/* {"seeds", "runs", "MEASURE_mean", "MEASURE_std"}; takes both over. NULL: no memory. */
static json_t *summary(const spx_seeded *s, json_t *seeds, json_t *runs)
{
    const size_t n = json_array_size(runs);
    char mean[64], deviation[64];
    double *x = NULL;
    json_t *j = json_pack("{s:O, s:O}", "seeds", seeds, "runs", runs);
    if (j != NULL && s->measure != NULL && SPX_NEW(x, n) == SPX_OK) {
        for (size_t i = 0; i < n; i++) {
            x[i] = json_number_value(json_object_get(json_array_get(runs, i), s->measure));
        }
        (void)snprintf(mean, sizeof mean, "%s_mean", s->measure);
        (void)snprintf(deviation, sizeof deviation, "%s_std", s->measure);
        (void)json_object_set_new(j, mean, json_real(spx_mean(x, n)));
        (void)json_object_set_new(j, deviation, json_real(spx_deviation(x, n)));
    }
    spx_free(x);
    json_decref(seeds);
    json_decref(runs);
    return j;
}

static spx_status write_result(const char *folder, const json_t *result)
{
    char path[PATH_BYTES];
    char *text = result != NULL ? spx_json_text(result, JSON_INDENT(2)) : NULL;
    spx_status st;
    if (text == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "seeds: result");
    }
    const spx_span part[2] = {{text, strlen(text)}, {"\n", 1}};
    st = path_of(folder, "result.json", path);
    st = st == SPX_OK ? spx_file_replace(path, part, 2) : st;
    free(text);
    return st;
}

static void print_text(const spx_seeded *s, const json_t *all, const char *folder)
{
    const json_t *runs = json_object_get(all, "runs"), *seeds = json_object_get(all, "seeds");
    char key[64];
    for (size_t i = 0; i < json_array_size(runs); i++) {
        const long long seed = (long long)json_integer_value(json_array_get(seeds, i));
        (void)printf("seed %lld: ", seed);
        if (s->measure != NULL) {
            (void)printf(
                "%s %.2f %%; ", s->name,
                100 * json_number_value(json_object_get(json_array_get(runs, i), s->measure)));
        }
        (void)printf("%s/seed-%lld\n", folder, seed);
    }
    if (s->measure == NULL) {
        return;
    }
    (void)snprintf(key, sizeof key, "%s_mean", s->measure);
    (void)printf("%s: mean %.2f %%", s->name, 100 * json_number_value(json_object_get(all, key)));
    (void)snprintf(key, sizeof key, "%s_std", s->measure);
    (void)printf(", standard deviation %.2f %% over %zu seeds\n",
                 100 * json_number_value(json_object_get(all, key)), json_array_size(runs));
}

spx_status spx_seeds_run(spx_cli *cli, const spx_run_values *run, const spx_seeded *s)
{
    const int64_t first = cli->seed;
    double left = run->time_limit;
    json_t *seeds = json_array(), *runs = json_array(), *all;
    spx_status st = check_folder(run->out);
    if (st == SPX_OK && first > INT64_MAX - s->n) {
        st = spx_cli_usage(cli, "--seeds %lld from --seed %lld: seeds end at %lld", (long long)s->n,
                           (long long)first, (long long)INT64_MAX);
    }
    for (int64_t i = 0; st == SPX_OK && i < s->n; i++) {
        cli->seed = first + i;
        (void)json_array_append_new(seeds, json_integer((json_int_t)cli->seed));
        st = run_one(cli, run, s, &left, runs);
    }
    cli->seed = first;
    all = summary(s, seeds, runs);
    st = st == SPX_OK ? write_result(run->out, all) : st;
    if (st != SPX_OK || cli->json) {
        st = st == SPX_OK ? spx_cli_print_json(json_incref(all)) : st;
    } else {
        print_text(s, all, run->out);
    }
    json_decref(all);
    return st;
}
