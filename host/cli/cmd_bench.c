/* sphynx bench: seconds and memory of one step on random data. */
#define _POSIX_C_SOURCE 200809L
#include "host/cli/commands.h"
#include "host/cli/net_talk.h"
#include "host/graph/tuning.h"
#include "host/train/trainer.h"
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "kernels/base/cpu.h"
#include "kernels/base/rng.h"
#include "search/bilevel/bilevel.h"
#include "search/final/final.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

typedef struct values {
    spx_net_values net;
    int64_t batch, order, steps, warmup;
    double aux_weight, drop_path;
    bool profile, tune;
} values;

#define MAX_PROGRAMS 3

/* One case: what a step is, and the programs it runs `runs` times each. */
typedef struct bench {
    const values *v;
    spx_cli *cli;
    spx_input_shape input;
    spx_stream *stream;
    spx_tuning *tuning; /* NULL: default algorithms */
    spx_samples data[2];
    spx_status (*step)(struct bench *b);
    int n_programs;
    spx_program *program[MAX_PROGRAMS];
    int runs[MAX_PROGRAMS];
    size_t workspace_bytes;
    uint64_t done;
    /* The cases' own. */
    spx_final_spec spec;
    spx_program *owned;
    spx_supernet net;
    spx_bilevel search;
    spx_trainer trainer;
    float *weights, *state; /* evaluation */
    void *workspace;
} bench;

#define COMMON_OPTIONS(BATCH, STEPS)                                                               \
    SPX_OPT(INT, values, batch, "batch", "N", BATCH, "images per step", .min = 1, .max = 65536),   \
        SPX_OPT(INT, values, steps, "steps", "N", STEPS, "timed steps", .min = 1, .max = 1e6),     \
        SPX_OPT(INT, values, warmup, "warmup", "N", "1", "steps before those", .min = 0,           \
                .max = 1e6),                                                                       \
        SPX_OPT(FLAG, values, tune, "tune", NULL, "true", "choose algorithms by measurement"),     \
        SPX_OPT(FLAG, values, profile, "profile", NULL, "false",                                   \
                "add the time of each kind of op")

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int64_t peak_rss_bytes(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (int64_t)u.ru_maxrss * 1024 : 0;
}

/* The processor's name as the system gives it, or its kind. */
static void machine_name(char *out, size_t room)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    (void)snprintf(out, room, "%s processor", spx_isa_name(spx_cpu_isa()));
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && value != NULL) {
            (void)snprintf(out, room, "%s", value + 2);
            out[strcspn(out, "\n")] = '\0';
            break;
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
}

static spx_status random_samples(const bench *b, uint64_t key, spx_samples *out)
{
    const values *v = b->v;
    const size_t pixels = (size_t)(b->input.channels * b->input.rows * b->input.columns);
    const size_t batch = (size_t)v->batch;
    void *images = NULL, *labels = NULL;
    spx_rng r;
    SPX_RETURN_IF(spx_calloc(&images, batch * pixels, sizeof(float)));
    out->images = images;
    SPX_RETURN_IF(spx_calloc(&labels, batch, sizeof(int32_t)));
    out->labels = labels;
    out->valid = v->batch;
    spx_rng_init(&r, 1, SPX_RNG_BENCH, key);
    for (size_t i = 0; i < batch * pixels; i++) {
        ((float *)images)[i] = spx_rng_normal(&r);
    }
    for (size_t i = 0; i < batch; i++) {
        ((int32_t *)labels)[i] = (int32_t)spx_rng_below(&r, (uint32_t)v->net.classes);
    }
    return SPX_OK;
}

static void bench_clear(bench *b)
{
    spx_bilevel_clear(&b->search);
    spx_supernet_clear(&b->net);
    spx_trainer_clear(&b->trainer);
    spx_program_destroy(b->owned);
    spx_free(b->weights);
    spx_free(b->state);
    spx_free(b->workspace);
    for (int i = 0; i < 2; i++) {
        spx_free((void *)(uintptr_t)b->data[i].images);
        spx_free((void *)(uintptr_t)b->data[i].labels);
    }
    spx_tuning_destroy(b->tuning);
    spx_stream_destroy(b->stream);
}

static spx_status bench_begin(bench *b, spx_cli *cli, const values *v)
{
    memset(b, 0, sizeof *b);
    b->v = v;
    b->cli = cli;
    SPX_RETURN_IF(spx_net_input(cli, &v->net.input, &b->input));
    SPX_RETURN_IF(spx_cli_stream(cli, &b->stream));
    if (v->tune) {
        SPX_RETURN_IF(spx_tuning_create(&b->tuning));
    }
    return SPX_OK;
}

static void add_program(bench *b, spx_program *p, int runs)
{
    b->program[b->n_programs] = p;
    b->runs[b->n_programs++] = runs;
}

/* [{"op", "seconds", "calls", "gflops"}]: per step, over all programs. */
static json_t *profile_json(const bench *b)
{
    json_t *list = json_array();
    const double steps = (double)b->v->steps;
    for (int op = 0; op < SPX_OP_COUNT; op++) {
        double seconds = 0, flops = 0;
        int64_t calls = 0;
        for (int i = 0; i < b->n_programs; i++) {
            spx_op_profile p;
            spx_program_profile(b->program[i], (spx_op)op, &p);
            seconds += p.seconds / steps;
            calls += p.calls / b->v->steps;
            flops += p.flops * b->runs[i];
        }
        if (calls > 0) {
            (void)json_array_append_new(
                list, json_pack("{s:s, s:f, s:I, s:f}", "op", spx_op_name((spx_op)op), "seconds",
                                seconds, "calls", (json_int_t)calls, "gflops",
                                seconds > 0 ? flops / seconds * 1e-9 : 0.0));
        }
    }
    return list;
}

static spx_status print_result(const bench *b, spx_cli *cli, double *seconds)
{
    const size_t n = (size_t)b->v->steps;
    char machine[128];
    json_t *j;
    qsort(seconds, n, sizeof *seconds, by_value);
    machine_name(machine, sizeof machine);
    j = json_pack("{s:f, s:f, s:I, s:I, s:i, s:I, s:s}", "seconds_median",
                  0.5 * (seconds[(n - 1) / 2] + seconds[n / 2]), "seconds_min", seconds[0],
                  "peak_rss_bytes", (json_int_t)peak_rss_bytes(), "workspace_bytes",
                  (json_int_t)b->workspace_bytes, "threads", spx_stream_threads(b->stream), "steps",
                  (json_int_t)n, "machine", machine);
    if (b->v->profile) {
        (void)json_object_set_new(j, "profile", profile_json(b));
    }
    if (cli->json) {
        return spx_cli_print_json(j);
    }
    (void)printf("%.4f s median, %.4f s least of %zu steps; peak memory %.0f MiB, workspace %.0f "
                 "MiB; %d threads on %s\n",
                 json_real_value(json_object_get(j, "seconds_median")), seconds[0], n,
                 (double)peak_rss_bytes() / 0x1p20, (double)b->workspace_bytes / 0x1p20,
                 spx_stream_threads(b->stream), machine);
    for (size_t i = 0; i < json_array_size(json_object_get(j, "profile")); i++) {
        const json_t *row = json_array_get(json_object_get(j, "profile"), i);
        (void)printf("%-22s %9.4f s %6lld calls %8.1f GFLOP/s\n",
                     json_string_value(json_object_get(row, "op")),
                     json_real_value(json_object_get(row, "seconds")),
                     (long long)json_integer_value(json_object_get(row, "calls")),
                     json_real_value(json_object_get(row, "gflops")));
    }
    json_decref(j);
    return SPX_OK;
}

static spx_status bench_run(bench *b, spx_cli *cli)
{
    double *seconds = calloc((size_t)b->v->steps, sizeof *seconds);
    spx_status st = SPX_OK;
    if (seconds == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "bench: %lld times", (long long)b->v->steps);
    }
    for (int64_t i = -b->v->warmup; i < b->v->steps && st == SPX_OK; i++) {
        double began;
        for (int p = 0; i == 0 && b->v->profile && p < b->n_programs && st == SPX_OK; p++) {
            st = spx_program_profile_begin(b->program[p]);
        }
        began = spx_seconds();
        st = st == SPX_OK ? b->step(b) : st;
        if (st == SPX_OK) {
            st = spx_stream_sync(b->stream);
        }
        seconds[i < 0 ? 0 : i] = spx_seconds() - began;
        b->done++;
    }
    if (st == SPX_OK) {
        st = print_result(b, cli, seconds);
    }
    free(seconds);
    return st;
}

/* ---- the supernet's search step ---- */

static spx_status supernet_step(bench *b)
{
    const spx_bilevel_args a = {.xi = 0.025f, .lr = 0.025f, .step = b->done};
    spx_bilevel_report report;
    return spx_bilevel_step(&b->search, &b->data[0], &b->data[1], &a, &report);
}

static spx_status supernet_begin(bench *b)
{
    const values *v = b->v;
    const bool second = v->order == 2;
    const spx_supernet_config c = {.batch = v->batch,
                                   .input = b->input,
                                   .classes = v->net.classes,
                                   .init_channels = v->net.init_channels,
                                   .layers = v->net.layers,
                                   .n_reduce = 2,
                                   .reduce_loc = {2, 4}};
    spx_bilevel_options o = spx_bilevel_defaults;
    o.second_order = second;
    SPX_RETURN_IF(spx_supernet_init(&b->net, b->stream, &c,
                                    second ? SPX_PASSES_SECOND_ORDER : SPX_PASSES_FIRST_ORDER,
                                    b->tuning));
    SPX_RETURN_IF(spx_bilevel_init(&b->search, &b->net, &o, 1));
    b->step = supernet_step;
    b->workspace_bytes = b->net.workspace_bytes;
    add_program(b, b->net.program[SPX_PASS_WEIGHTS], second ? 2 : 1);
    add_program(b, b->net.program[SPX_PASS_ALPHAS], second ? 2 : 1);
    if (second) {
        add_program(b, b->net.program[SPX_PASS_BOTH], 1);
    }
    return SPX_OK;
}

static spx_status run_case(spx_cli *cli, const values *v, spx_status (*begin)(bench *b))
{
    bench b;
    spx_status st;
    SPX_TRY(st, bench_begin(&b, cli, v), end);
    SPX_TRY(st, begin(&b), end); /* before the data: it refuses what is too large */
    SPX_TRY(st, random_samples(&b, 0, &b.data[0]), end);
    SPX_TRY(st, random_samples(&b, 1, &b.data[1]), end);
    st = bench_run(&b, cli);
end:
    bench_clear(&b);
    return st;
}

static spx_status run_supernet(spx_cli *cli, const void *options_values)
{
    return run_case(cli, options_values, supernet_begin);
}

/* ---- final networks ---- */

static spx_status final_spec(bench *b)
{
    spx_genotype g;
    spx_final_config c;
    SPX_RETURN_IF(spx_net_config(b->cli, &b->v->net, &g, &c));
    b->spec = spx_net_spec(&g, &c);
    return SPX_OK;
}

static spx_status train_step(bench *b)
{
    const spx_step_args a = {
        .lr = 0.025f, .drop_prob = (float)b->v->drop_path, .seed = 1, .step = b->done};
    spx_step_report report;
    return spx_trainer_step(&b->trainer, &b->data[0], &a, &report);
}

static spx_status train_begin(bench *b)
{
    const spx_sgd_options o = {.momentum = 0.9f, .decay = 3e-4f, .clip = 5};
    const values *v = b->v;
    SPX_RETURN_IF(final_spec(b));
    SPX_RETURN_IF(spx_final_train_program(&b->owned, b->stream, &b->spec, v->batch,
                                          (float)v->aux_weight, 0, v->drop_path > 0, b->tuning));
    SPX_RETURN_IF(spx_trainer_init(&b->trainer, b->stream, b->owned, &o, 1, 0));
    b->step = train_step;
    b->workspace_bytes = b->trainer.workspace_bytes;
    add_program(b, b->owned, 1);
    return SPX_OK;
}

static spx_status run_train(spx_cli *cli, const void *options_values)
{
    return run_case(cli, options_values, train_begin);
}

static spx_status eval_step(bench *b)
{
    const void *input[2] = {b->data[0].images, b->data[0].labels};
    const spx_binding bind = {
        .weights = b->weights, .state = b->state, .workspace = b->workspace, .input = input};
    return spx_program_run(b->owned, &bind);
}

static spx_status eval_begin(bench *b)
{
    const spx_layout *l;
    SPX_RETURN_IF(final_spec(b));
    SPX_RETURN_IF(
        spx_final_eval_program(&b->owned, b->stream, &b->spec, b->v->batch, false, b->tuning));
    l = spx_program_layout(b->owned);
    SPX_RETURN_IF(spx_layout_arena(l, SPX_ROLE_WEIGHT, &b->weights));
    SPX_RETURN_IF(spx_layout_arena(l, SPX_ROLE_STATE, &b->state));
    b->workspace_bytes = spx_program_workspace_bytes(b->owned);
    SPX_RETURN_IF(spx_alloc(&b->workspace, b->workspace_bytes));
    spx_layout_init(l, 1, b->weights, NULL, b->state);
    b->step = eval_step;
    add_program(b, b->owned, 1);
    return SPX_OK;
}

static spx_status run_eval(spx_cli *cli, const void *options_values)
{
    return run_case(cli, options_values, eval_begin);
}

/* ---- commands ---- */

static const spx_option supernet_options[] = {
    SPX_OPT(INT, values, order, "order", "1|2", "2", "order of the alphas' gradient", .min = 1,
            .max = 2),
    SPX_OPT(INT, values, net.init_channels, "init-channels", "C", "16", "initial channels",
            .min = 1, .max = 4096),
    SPX_OPT(INT, values, net.layers, "layers", "L", "8", "cells", .min = 1, .max = SPX_MAX_LAYERS),
    SPX_OPT(INT, values, net.classes, "classes", "K", "10", "classes", .min = 2, .max = 10000),
    SPX_OPT(SHAPE, values, net.input, "input", "CxHxW", "3x32x32", "image shape", .min = 1,
            .max = 4096),
    COMMON_OPTIONS("64", "3"),
    {0}};

static const spx_option train_options[] = {
    SPX_NET_OPTIONS(values, net),
    SPX_OPT(FLOAT, values, aux_weight, "aux-weight", "X", "0.4",
            "weight of the auxiliary loss, 0: no head", .min = 0, .max = 10),
    SPX_OPT(FLOAT, values, drop_path, "drop-path", "P", "0.2", "drop-path probability", .min = 0,
            .max = 0.99),
    COMMON_OPTIONS("96", "5"),
    {0}};

static const spx_option eval_options[] = {
    SPX_NET_OPTIONS(values, net), COMMON_OPTIONS("256", "5"), {0}};

static const spx_command supernet_command = {
    .name = "supernet-step",
    .summary = "One search step of the supernet: alphas, then weights.",
    .example = "sphynx bench supernet-step --order 2 --init-channels 16 --layers 8 --json",
    .options = supernet_options,
    .values_size = sizeof(values),
    .run = run_supernet};
static const spx_command train_command = {
    .name = "train-step",
    .summary = "One training step of a final network.",
    .example = "sphynx bench train-step --init-channels 5 --layers 10 --reduce-at 0,5 --json",
    .options = train_options,
    .values_size = sizeof(values),
    .run = run_train};
static const spx_command eval_command = {
    .name = "eval",
    .summary = "Evaluation of one batch by a final network.",
    .example = "sphynx bench eval --init-channels 5 --layers 10 --reduce-at 0,5 --batch 256",
    .options = eval_options,
    .values_size = sizeof(values),
    .run = run_eval};

const spx_command spx_cmd_bench = {
    .name = "bench",
    .summary = "Times one step of search, training or evaluation on random data.",
    .example = "sphynx bench supernet-step --order 1 --json",
    .sub = (const spx_command *const[]){&supernet_command, &train_command, &eval_command, NULL}};
