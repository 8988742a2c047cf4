/* sphynx bench: seconds and memory of one step on random data. */
#define _POSIX_C_SOURCE 200809L
#include "host/cli/bench_crypto.h"
#include "host/cli/bench_loader.h"
#include "host/cli/bench_peaks.h"
#include "host/cli/bench_pi.h"
#include "host/cli/commands.h"
#include "host/cli/net_talk.h"
#include "host/graph/tuning.h"
#include "host/train/device_arenas.h"
#include "host/train/device_text.h"
#include "host/train/feed.h"
#include "host/train/trainer.h"
#include "host/train/tuning_cache.h"
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "kernels/base/cpu.h"
#include "kernels/base/rng.h"
#include "kernels/device/device_memory.h"
#include "search/bilevel/bilevel.h"
#include "search/final/final.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

typedef struct values {
    spx_net_values net;
    int64_t batch, order, steps, block, warmup;
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
    spx_tuning *tuning;  /* NULL: default algorithms */
    int batches;         /* random ones that a step takes */
    spx_samples host[2]; /* those */
    spx_samples data[2]; /* the same in device memory */
    spx_status (*step)(struct bench *b);
    int n_programs;
    spx_program *program[MAX_PROGRAMS];
    int runs[MAX_PROGRAMS];
    size_t workspace_bytes;
    uint64_t done; /* steps */
    int64_t timed; /* of those */
    /* The cases' own. */
    spx_final_spec spec;
    spx_program *owned;
    spx_supernet net;
    spx_bilevel search;
    spx_trainer trainer;
    spx_buffer weights, state, workspace; /* evaluation */
    spx_recording recording;
} bench;

#define COMMON_OPTIONS(BATCH, STEPS)                                                               \
    SPX_OPT(INT, values, batch, "batch", "N", BATCH, "images per step", .min = 1, .max = 65536),   \
        SPX_OPT(INT, values, steps, "steps", "N", STEPS, "timed steps", .min = 1, .max = 1e6),     \
        SPX_OPT(INT, values, block, "block", "N", "1",                                             \
                "steps timed together: a GPU is not waited for between them", .min = 1,            \
                .max = 1e6),                                                                       \
        SPX_OPT(INT, values, warmup, "warmup", "N", "1",                                           \
                "steps before those; on a GPU two more, until a step is recorded", .min = 0,       \
                .max = 1e6),                                                                       \
        SPX_OPT(FLAG, values, tune, "tune", NULL, "true", "choose algorithms by measurement"),     \
        SPX_OPT(FLAG, values, profile, "profile", NULL, "false",                                   \
                "add the time of each kind of op (on a GPU launching it included), and the "       \
                "device's peaks")

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

static spx_status get_random(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    (void)epoch;
    (void)step;
    *out = *(const spx_samples *)ctx;
    return SPX_OK;
}

/* Copies a batch to the device: once, so that only the batch itself is held there. */
static spx_status bring(const bench *b, spx_samples *host, const spx_batch_shape *shape,
                        spx_samples *out)
{
    const spx_source from = {.get = get_random, .ctx = host, .steps = 1};
    const size_t labels = (size_t)shape->n * sizeof(int32_t);
    const size_t images =
        (size_t)(shape->n * shape->channels * shape->rows * shape->columns) * sizeof(float);
    spx_feed *feed;
    spx_source source;
    spx_samples there;
    void *p;
    spx_status st;
    SPX_RETURN_IF(spx_feed_open(&feed, b->stream, &from, shape));
    source = spx_feed_source(feed);
    SPX_TRY(st, source.get(source.ctx, 0, 0, &there), end);
    *out = there;
    out->images = NULL;
    out->labels = NULL;
    SPX_TRY(st, spx_device_alloc(b->stream, &p, images), end);
    out->images = p;
    SPX_TRY(st, spx_device_copy(b->stream, p, there.images, images), end);
    SPX_TRY(st, spx_device_alloc(b->stream, &p, labels), end);
    out->labels = p;
    st = spx_device_copy(b->stream, p, there.labels, labels);
end:
    spx_feed_close(feed);
    return st;
}

/* Random batch i, on the host and on the device. */
static spx_status random_samples(bench *b, int i)
{
    const values *v = b->v;
    const spx_batch_shape shape = {v->batch, b->input.channels, b->input.rows, b->input.columns};
    const size_t pixels = (size_t)(b->input.channels * b->input.rows * b->input.columns);
    const size_t batch = (size_t)v->batch;
    spx_samples *host = &b->host[i];
    void *images = NULL, *labels = NULL;
    spx_rng r;
    SPX_RETURN_IF(spx_calloc(&images, batch * pixels, sizeof(float)));
    host->images = images;
    SPX_RETURN_IF(spx_calloc(&labels, batch, sizeof(int32_t)));
    host->labels = labels;
    host->valid = v->batch;
    spx_rng_init(&r, 1, SPX_RNG_BENCH, (uint64_t)i);
    for (size_t k = 0; k < batch * pixels; k++) {
        ((float *)images)[k] = spx_rng_normal(&r);
    }
    for (size_t k = 0; k < batch; k++) {
        ((int32_t *)labels)[k] = (int32_t)spx_rng_below(&r, (uint32_t)v->net.classes);
    }
    return bring(b, host, &shape, &b->data[i]);
}

static void bench_clear(bench *b)
{
    spx_bilevel_clear(&b->search);
    spx_supernet_clear(&b->net);
    spx_trainer_clear(&b->trainer);
    if (b->stream != NULL) {
        spx_buffer_free(&b->weights); /* waits for what uses the recording, too */
        spx_buffer_free(&b->state);
        spx_buffer_free(&b->workspace);
        for (int i = 0; i < 2; i++) {
            spx_device_free(b->stream, (void *)(uintptr_t)b->data[i].images);
            spx_device_free(b->stream, (void *)(uintptr_t)b->data[i].labels);
        }
    }
    spx_recording_clear(&b->recording);
    spx_program_destroy(b->owned);
    for (int i = 0; i < 2; i++) {
        spx_free((void *)(uintptr_t)b->host[i].images);
        spx_free((void *)(uintptr_t)b->host[i].labels);
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
        spx_tuning_cache_load(b->tuning);
    }
    return SPX_OK;
}

static void add_program(bench *b, spx_program *p, int runs)
{
    b->program[b->n_programs] = p;
    b->runs[b->n_programs++] = runs;
}

/* [{"op", "seconds", "calls", "gflops", "gbytes"}]: per step, over all programs; the last two a
 * second. */
static json_t *profile_json(const bench *b)
{
    json_t *list = json_array();
    const double steps = (double)b->timed;
    for (int op = 0; op < SPX_OP_COUNT; op++) {
        double seconds = 0, flops = 0, bytes = 0;
        int64_t calls = 0;
        for (int i = 0; i < b->n_programs; i++) {
            spx_op_profile p;
            spx_program_profile(b->program[i], (spx_op)op, &p);
            seconds += p.seconds / steps;
            calls += p.calls / b->timed;
            flops += p.flops * b->runs[i];
            bytes += p.bytes * b->runs[i];
        }
        if (calls > 0) {
            const double scale = seconds > 0 ? 1e-9 / seconds : 0;
            (void)json_array_append_new(list, json_pack("{s:s, s:f, s:I, s:f, s:f}", "op",
                                                        spx_op_name((spx_op)op), "seconds", seconds,
                                                        "calls", (json_int_t)calls, "gflops",
                                                        flops * scale, "gbytes", bytes * scale));
        }
    }
    return list;
}

static double field(const json_t *object, const char *name)
{
    return json_real_value(json_object_get(object, name));
}

static void print_profile(const json_t *profile, const json_t *peaks)
{
    const double gflops = field(peaks, "gflops"), gbytes = field(peaks, "gbytes");
    const json_t *row;
    size_t i;
    (void)printf("%-22s %9s %6s %18s %18s\n", "op", "seconds", "calls", "GFLOP/s, of peak",
                 "GB/s, of peak");
    json_array_foreach(profile, i, row)
    {
        (void)printf("%-22s %9.5f %6lld %12.1f %3.0f %% %12.1f %3.0f %%\n",
                     json_string_value(json_object_get(row, "op")), field(row, "seconds"),
                     (long long)json_integer_value(json_object_get(row, "calls")),
                     field(row, "gflops"), gflops > 0 ? 100 * field(row, "gflops") / gflops : 0.0,
                     field(row, "gbytes"), gbytes > 0 ? 100 * field(row, "gbytes") / gbytes : 0.0);
    }
    (void)printf("%-22s %9s %6s %12.1f %5s %12.1f\n", "peaks measured", "", "", gflops, "", gbytes);
}

static spx_status add_profile(const bench *b, json_t *j)
{
    spx_peaks peaks;
    SPX_RETURN_IF(spx_measure_peaks(b->stream, &peaks));
    (void)json_object_set_new(j, "profile", profile_json(b));
    (void)json_object_set_new(
        j, "peaks",
        json_pack("{s:f, s:f}", "gflops", peaks.flops * 1e-9, "gbytes", peaks.bytes * 1e-9));
    return SPX_OK;
}

static spx_status print_result(const bench *b, spx_cli *cli, double *seconds, size_t n)
{
    const size_t held = spx_device_bytes(b->stream); /* steps allocate nothing: their peak */
    char machine[128], device[160];
    json_t *j;
    spx_status st;
    qsort(seconds, n, sizeof *seconds, by_value);
    machine_name(machine, sizeof machine);
    spx_device_text(b->stream, device, sizeof device);
    j = json_pack("{s:f, s:f, s:I, s:I, s:I, s:s, s:s, s:i, s:I, s:s}", "seconds_median",
                  0.5 * (seconds[(n - 1) / 2] + seconds[n / 2]), "seconds_min", seconds[0],
                  "device_bytes_peak", (json_int_t)held, "peak_rss_bytes",
                  (json_int_t)peak_rss_bytes(), "workspace_bytes", (json_int_t)b->workspace_bytes,
                  "device", device, "precision",
                  spx_precision_name(spx_stream_precision(b->stream)), "threads",
                  spx_stream_threads(b->stream), "steps", (json_int_t)b->timed, "machine", machine);
    st = b->v->profile ? add_profile(b, j) : SPX_OK;
    if (cli->json && st == SPX_OK) {
        return spx_cli_print_json(j);
    }
    if (st == SPX_OK) {
        (void)printf("%.5f s median, %.5f s least of %zu steps on %s (%s); %.0f MiB on the device, "
                     "workspace %.0f MiB; peak of the process %.0f MiB; %d threads on %s\n",
                     field(j, "seconds_median"), seconds[0], (size_t)b->timed, device,
                     spx_precision_name(spx_stream_precision(b->stream)), (double)held / 0x1p20,
                     (double)b->workspace_bytes / 0x1p20, (double)peak_rss_bytes() / 0x1p20,
                     spx_stream_threads(b->stream), machine);
    }
    if (st == SPX_OK && b->v->profile) {
        print_profile(json_object_get(j, "profile"), json_object_get(j, "peaks"));
    }
    json_decref(j);
    return st;
}

/* Steps queued one behind the other, then waited for; *seconds a step. */
static spx_status run_block(bench *b, int64_t steps, double *seconds)
{
    const double began = spx_seconds();
    for (int64_t i = 0; i < steps; i++) {
        SPX_RETURN_IF(b->step(b));
        b->done++;
    }
    SPX_RETURN_IF(spx_stream_sync(b->stream));
    *seconds = (spx_seconds() - began) / (double)steps;
    return SPX_OK;
}

static spx_status begin_profile(bench *b)
{
    b->trainer.queue.eager = b->search.queue.eager = true; /* to see each node */
    for (int p = 0; p < b->n_programs; p++) {
        SPX_RETURN_IF(spx_program_profile_begin(b->program[p]));
    }
    return SPX_OK;
}

static spx_status bench_run(bench *b, spx_cli *cli)
{
    const values *v = b->v;
    const int64_t block = v->block < v->steps ? v->block : v->steps, blocks = v->steps / block;
    const int64_t warmup = v->warmup + (spx_stream_can_record(b->stream) ? 2 : 0);
    double *seconds = calloc((size_t)blocks, sizeof *seconds);
    double unused;
    spx_status st;
    if (seconds == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "bench: %lld times", (long long)blocks);
    }
    b->timed = blocks * block;
    if (b->tuning != NULL) {
        spx_tuning_cache_store(b->tuning); /* the programs are made */
    }
    SPX_TRY(st, warmup > 0 ? run_block(b, warmup, &unused) : SPX_OK, end);
    SPX_TRY(st, v->profile ? begin_profile(b) : SPX_OK, end);
    for (int64_t i = 0; i < blocks; i++) {
        SPX_TRY(st, run_block(b, block, &seconds[i]), end);
    }
    st = print_result(b, cli, seconds, (size_t)blocks);
end:
    free(seconds);
    return st;
}

/* ---- the supernet's search step ---- */

static spx_status supernet_step(bench *b)
{
    const spx_bilevel_args a = {.xi = 0.025f, .lr = 0.025f, .step = b->done};
    spx_bilevel_report report;
    bool any = true;
    SPX_RETURN_IF(spx_bilevel_queue(&b->search, &b->data[0], &b->data[1], &a));
    while (any) { /* as a search does */
        SPX_RETURN_IF(spx_bilevel_report_next(&b->search, false, &report, &any));
    }
    return SPX_OK;
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
    b->batches = 2; /* of the weights' half and of the alphas' */
    b->workspace_bytes = b->net.workspace.bytes;
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
    for (int i = 0; i < b.batches; i++) {
        SPX_TRY(st, random_samples(&b, i), end);
    }
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
    return spx_net_spec(b->cli, &b->v->net, &b->spec);
}

static spx_status train_step(bench *b)
{
    const spx_step_args a = {
        .lr = 0.025f, .drop_prob = (float)b->v->drop_path, .seed = 1, .step = b->done};
    spx_step_report report;
    bool any = true;
    SPX_RETURN_IF(spx_trainer_queue(&b->trainer, &b->data[0], &a));
    while (any) { /* as a training does */
        SPX_RETURN_IF(spx_trainer_report(&b->trainer, false, &report, &any));
    }
    return SPX_OK;
}

static spx_status train_begin(bench *b)
{
    const spx_sgd_options o = {.momentum = 0.9f, .decay = 3e-4f, .clip = 5};
    const values *v = b->v;
    const spx_final_losses losses = {.aux_weight =
                                         v->net.network == NULL ? (float)v->aux_weight : 0,
                                     .drop_path = v->drop_path > 0};
    SPX_RETURN_IF(final_spec(b));
    SPX_RETURN_IF(
        spx_final_train_program(&b->owned, b->stream, &b->spec, v->batch, &losses, b->tuning));
    SPX_RETURN_IF(spx_trainer_init(&b->trainer, b->stream, b->owned, &o, 1, 0));
    b->step = train_step;
    b->batches = 1;
    b->workspace_bytes = b->trainer.workspace.bytes;
    add_program(b, b->owned, 1);
    return SPX_OK;
}

static spx_status run_train(spx_cli *cli, const void *options_values)
{
    return run_case(cli, options_values, train_begin);
}

static spx_status queue_eval(void *ctx)
{
    bench *b = ctx;
    const void *input[2] = {b->data[0].images, b->data[0].labels};
    const spx_binding bind = {
        .weights = b->weights, .state = b->state, .workspace = b->workspace, .input = input};
    return spx_program_run(b->owned, &bind);
}

static spx_status eval_step(bench *b)
{
    const void *const key[SPX_RECORDING_KEYS] = {b->data[0].images};
    return b->v->profile ? queue_eval(b)
                         : spx_recording_run(&b->recording, b->stream, key, queue_eval, b);
}

static spx_status eval_begin(bench *b)
{
    const spx_layout *l;
    SPX_RETURN_IF(final_spec(b));
    SPX_RETURN_IF(
        spx_final_eval_program(&b->owned, b->stream, &b->spec, b->v->batch, false, b->tuning));
    l = spx_program_layout(b->owned);
    SPX_RETURN_IF(spx_layout_arena(l, b->stream, SPX_ROLE_WEIGHT, &b->weights));
    SPX_RETURN_IF(spx_layout_arena(l, b->stream, SPX_ROLE_STATE, &b->state));
    b->workspace_bytes = spx_program_workspace_bytes(b->owned);
    SPX_RETURN_IF(spx_buffer_alloc(&b->workspace, b->stream, b->workspace_bytes));
    SPX_RETURN_IF(spx_device_arenas_init(l, b->stream, 1, &b->weights, NULL, &b->state));
    b->step = eval_step;
    b->batches = 1;
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

static const spx_need net_needs[] = {SPX_NETWORK_NEED, {0}};

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
    .needs = net_needs,
    .values_size = sizeof(values),
    .run = run_train};
static const spx_command eval_command = {
    .name = "eval",
    .summary = "Evaluation of one batch by a final network.",
    .example = "sphynx bench eval --init-channels 5 --layers 10 --reduce-at 0,5 --batch 256",
    .options = eval_options,
    .needs = net_needs,
    .values_size = sizeof(values),
    .run = run_eval};

const spx_command spx_cmd_bench = {
    .name = "bench",
    .summary =
        "Times a step of search, training or evaluation, the cryptography, or reading pictures.",
    .example = "sphynx bench supernet-step --order 1 --json",
    .sub = (const spx_command *const[]){&supernet_command, &train_command, &eval_command,
                                        &spx_bench_crypto, &spx_bench_pi, &spx_bench_loader, NULL}};
