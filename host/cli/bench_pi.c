/*
 * sphynx bench pi: private inference of a deployed model, or of a network with random weights, each
 * party a process. The model is read or made by a process of its own, so that its memory is not the
 * parties'; the server is this program's `serve`.
 */
#define _DEFAULT_SOURCE
#include "host/cli/bench_pi.h"

#include "host/cli/net_talk.h"
#include "host/cli/pi_talk.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/rng.h"
#include "kernels/crypto/secret_memory.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_BYTES (SPX_TEMP_FOLDER + 16)

typedef struct values {
    spx_net_values net;
    int64_t queries;
    const char *model, *link;
} values;

static const spx_option options[] = {
    SPX_DEPLOYED_OPTION(values, model),
    SPX_NET_OPTIONS(values, net),
    SPX_PLAN_OPTION(values, net.plan),
    SPX_OPT(INT, values, queries, "queries", "N", "1", "images to ask about, prepared as a batch",
            .min = 1, .max = 1000),
    SPX_OPT(STRING, values, link, "link", "L", NULL, "imitate lan, wan or RATE,RTT"),
    {0}};

static const spx_need needs[] = {SPX_DEPLOYED_NEEDS, {0}};

/* ---- the model ---- */

/* Image i of the benchmark. */
static void draw_image(uint64_t i, size_t n, uint8_t *image)
{
    spx_rng r;
    spx_rng_init(&r, 2, SPX_RNG_BENCH, i);
    for (size_t k = 0; k < n; k++) {
        image[k] = (uint8_t)spx_rng_u32(&r);
    }
}

/* Writes the model, and beside it the integer executor's logits of every image. */
static spx_status write_model(const values *v, const spx_final_spec *spec, const char *model,
                              const char *logits)
{
    const size_t queries = (size_t)v->queries;
    spx_stream *stream = NULL;
    spx_deploy *m = NULL;
    void *image = NULL, *out = NULL;
    spx_status st;
    SPX_TRY(st, spx_stream_create(&stream, SPX_DEVICE_CPU, 0), done);
    SPX_TRY(st, spx_net_deployed(&m, v->model, spec, stream), done);
    SPX_TRY(st, spx_deploy_write(m, model), done);
    const size_t n = spx_deploy_count(m, 0), k = spx_deploy_count(m, m->logits);
    SPX_TRY(st, spx_alloc(&image, queries * n), done);
    SPX_TRY(st, spx_calloc(&out, queries * k, sizeof(int64_t)), done);
    for (size_t i = 0; i < queries; i++) {
        draw_image(i, n, (uint8_t *)image + i * n);
    }
    SPX_TRY(st, spx_deploy_run_integer(m, spx_stream_pool(stream), queries, image, out), done);
    const spx_span part = {out, queries * k * sizeof(int64_t)};
    st = spx_file_replace(logits, &part, 1);
done:
    spx_free(image);
    spx_free(out);
    spx_deploy_destroy(m);
    spx_stream_destroy(stream);
    return st;
}

/* ---- processes ---- */

/* write_model in a child, whose message comes back through a pipe. */
static spx_status write_model_apart(const values *v, const spx_final_spec *spec, const char *model,
                                    const char *logits)
{
    char text[512] = "";
    int fd[2], status = 0;
    if (pipe(fd) != 0) {
        return SPX_FAIL(SPX_EIO, "pipe: %s", strerror(errno));
    }
    (void)fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        const spx_status st = write_model(v, spec, model, logits);
        if (st != SPX_OK) {
            (void)!write(fd[1], spx_error_message(), strlen(spx_error_message()));
        }
        _exit(st == SPX_OK ? 0 : 1);
    }
    (void)close(fd[1]);
    const ssize_t n = pid > 0 ? read(fd[0], text, sizeof text - 1) : 0;
    (void)close(fd[0]);
    text[n > 0 ? n : 0] = '\0';
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        return SPX_FAIL(SPX_EINVAL, "%s", text[0] != '\0' ? text : "making the model failed");
    }
    return SPX_OK;
}

typedef struct server {
    pid_t pid;
    FILE *talk; /* its stderr */
    char address[64];
} server;

/* `sphynx serve` for one connection; one of its first lines tells the port. */
static spx_status start_server(server *s, const char *model, const char *state, const char *link)
{
    char line[1024];
    const char *at = NULL;
    int fd[2];
    if (pipe(fd) != 0) {
        return SPX_FAIL(SPX_EIO, "pipe: %s", strerror(errno));
    }
    (void)fflush(NULL);
    s->pid = fork();
    if (s->pid == 0) {
        (void)dup2(fd[1], STDERR_FILENO);
        (void)dup2(fd[1], STDOUT_FILENO);
        (void)close(fd[0]);
        (void)close(fd[1]);
        (void)execl("/proc/self/exe", "sphynx", "serve", "--model", model, "--state", state,
                    "--listen", "127.0.0.1:0", "--connections", "1", link != NULL ? "--link" : NULL,
                    link, (char *)NULL);
        _exit(127);
    }
    (void)close(fd[1]);
    s->talk = fdopen(fd[0], "r");
    while (s->pid >= 0 && s->talk != NULL && at == NULL &&
           fgets(line, sizeof line, s->talk) != NULL) {
        at = strstr(line, "listening at ");
    }
    if (at == NULL) {
        return SPX_FAIL(SPX_EIO, "the server did not start");
    }
    (void)snprintf(s->address, sizeof s->address, "%.60s", at + strlen("listening at "));
    s->address[strcspn(s->address, "\n")] = '\0';
    return SPX_OK;
}

/* Its peak memory; it ends by itself after the connection, or is told to. */
static uint64_t end_server(server *s, bool failed)
{
    struct rusage u = {0};
    int status;
    if (s->pid > 0) {
        if (failed) {
            (void)kill(s->pid, SIGTERM);
        }
        while (s->talk != NULL && fgetc(s->talk) != EOF) {
        }
        (void)wait4(s->pid, &status, 0, &u);
    }
    if (s->talk != NULL) {
        (void)fclose(s->talk);
    }
    return (uint64_t)u.ru_maxrss * 1024;
}

/* ---- the client ---- */

typedef struct result {
    spx_pi_cost offline, load, online;
    spx_pi_layer *layer;
    int segments;
    spx_pi_sizes sizes;
    spx_pi_forecast forecast;
    bool matches, bytes_equal;
} result;

static spx_status ask(spx_pi_client *p, const values *v, const char *logits, result *r)
{
    const spx_deploy *m = spx_pi_client_model(p);
    const size_t n = spx_deploy_count(m, 0), k = spx_deploy_count(m, m->logits);
    void *image = NULL, *got = NULL, *want = NULL;
    size_t size;
    spx_status st;
    r->matches = true;
    SPX_TRY(st, spx_alloc(&image, n), done);
    SPX_TRY(st, spx_calloc(&got, k, sizeof(int64_t)), done);
    SPX_TRY(st, spx_file_read(logits, (size_t)1 << 30, &want, &size), done);
    for (int64_t i = 0; i < v->queries; i++) {
        draw_image((uint64_t)i, n, image);
        SPX_TRY(st, spx_pi_client_infer(p, image, got, &r->load, &r->online, r->layer), done);
        r->matches =
            r->matches && memcmp(got, (int64_t *)want + (size_t)i * k, k * sizeof(int64_t)) == 0;
    }
done:
    spx_free(image);
    spx_free(got);
    spx_free(want);
    return st;
}

static bool as_predicted(const result *r, uint64_t queries)
{
    const spx_pi_sizes *s = &r->sizes;
    return r->offline.sent == s->batch_to_server + queries * s->offline_to_server &&
           r->offline.received == s->batch_to_client + queries * s->offline_to_client &&
           r->online.sent == queries * s->online_to_server &&
           r->online.received == queries * s->online_to_client &&
           r->online.rounds == queries * s->online_rounds;
}

static spx_status be_client(spx_cli *cli, const values *v, const char *address, const char *state,
                            const char *logits, result *r)
{
    const uint64_t queries = (uint64_t)v->queries;
    spx_channel_options co = {.timeout = 600};
    spx_channel *channel = NULL;
    spx_vault *vault = NULL;
    spx_pi_client *p = NULL;
    spx_stream *stream = NULL;
    spx_pi_rates rates;
    spx_status st;
    if (v->link != NULL) {
        SPX_RETURN_IF(spx_link_parse(v->link, &co.link));
    }
    if (cli->threads > 1) { /* else the calling thread alone */
        SPX_RETURN_IF(spx_stream_create(&stream, SPX_DEVICE_CPU, (int)cli->threads));
    }
    SPX_TRY(st, spx_vault_open(&vault, state), done);
    SPX_TRY(st, spx_channel_connect(&channel, address, &co), done);
    SPX_TRY(st, spx_pi_client_open(&p, channel, vault, NULL), done);
    r->sizes = *spx_pi_plan_sizes(spx_pi_client_plan(p));
    r->segments = spx_pi_client_model(p)->n_segments;
    r->layer = calloc((size_t)r->segments, sizeof *r->layer);
    if (r->layer == NULL) {
        st = SPX_FAIL(SPX_ENOMEM, "%d layers", r->segments);
        goto done;
    }
    SPX_TRY(st, spx_pi_rates_measure(&rates, vault), done);
    r->forecast = spx_pi_predict(spx_pi_client_plan(p), &rates, co.link, -1);
    SPX_TRY(st,
            spx_pi_client_prepare(p, queries, stream != NULL ? spx_stream_pool(stream) : NULL, NULL,
                                  NULL, &r->offline, r->layer),
            done);
    SPX_TRY(st, ask(p, v, logits, r), done);
    r->bytes_equal = as_predicted(r, queries);
done:
    spx_pi_client_close(p);
    spx_channel_close(channel);
    spx_vault_close(vault);
    spx_stream_destroy(stream);
    return st;
}

/* ---- the report ---- */

static spx_status print_result(const spx_cli *cli, const values *v, const result *r, uint64_t peak)
{
    const uint64_t n = (uint64_t)v->queries;
    const double online = r->online.seconds / (double)n,
                 ratio = online > 0 ? r->forecast.online / online : 0;
    json_t *j = json_pack(
        "{s:I, s:I, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:b, s:{s:f, s:f, s:f, s:o, s:b}, s:f, "
        "s:s, s:o}",
        "relus", (json_int_t)r->sizes.relus, "interactive_positions",
        (json_int_t)r->sizes.interactive, "offline", spx_pi_cost_json(&r->offline, n), "load",
        spx_pi_cost_json(&r->load, n), "online", spx_pi_cost_json(&r->online, n), "answer",
        spx_pi_answer_json(&r->load, &r->online, n), "storage_bytes",
        (json_int_t)r->sizes.server_bytes, "client_storage_bytes",
        (json_int_t)r->sizes.client_bytes, "table_bytes", (json_int_t)r->sizes.table_bytes,
        "peak_rss_bytes", (json_int_t)peak, "matches_integer_executor", r->matches, "predicted",
        "offline_seconds", r->forecast.offline, "load_seconds", r->forecast.load, "online_seconds",
        r->forecast.online, "online_parts", spx_pi_parts_json(&r->forecast.part), "bytes_equal",
        r->bytes_equal, "online_ratio", ratio, "link", v->link != NULL ? v->link : "loopback",
        "layers", spx_pi_layers_json(r->layer, r->segments, n));
    if (cli->json) {
        return spx_cli_print_json(j);
    }
    json_decref(j);
    (void)printf("%llu ReLUs, %llu interactive positions; per query: offline %.3f s, %.1f MB; "
                 "answer %.3f s (reading the "
                 "material %.3f, online %.3f), %.2f MB, %llu rounds; stored %.1f MB\npredicted: "
                 "online %.3f s, %.2f of what it took\nlogits %s the integer executor's\n",
                 (unsigned long long)r->sizes.relus, (unsigned long long)r->sizes.interactive,
                 r->offline.seconds / (double)n,
                 1e-6 * (double)(r->offline.sent + r->offline.received) / (double)n,
                 (r->load.seconds + r->online.seconds) / (double)n, r->load.seconds / (double)n,
                 online, 1e-6 * (double)(r->online.sent + r->online.received) / (double)n,
                 (unsigned long long)(r->online.rounds / n), 1e-6 * (double)r->sizes.server_bytes,
                 r->forecast.online, ratio, r->matches ? "are" : "ARE NOT");
    return SPX_OK;
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    char folder[SPX_TEMP_FOLDER];
    char model[PATH_BYTES], logits[PATH_BYTES], theirs[PATH_BYTES], ours[PATH_BYTES];
    server s = {0};
    result r = {0};
    struct rusage u;
    uint64_t peak;
    spx_final_spec spec = {0};
    spx_link link;
    spx_status st;
    spx_secret_guard();
    if (v->link != NULL && spx_link_parse(v->link, &link) != SPX_OK) {
        return spx_cli_usage(cli, "%s", spx_error_message());
    }
    /* before any process is made: what options lack is a usage error */
    SPX_RETURN_IF(v->model == NULL ? spx_net_random_spec(cli, &v->net, &spec) : SPX_OK);
    SPX_RETURN_IF(spx_temp_folder(folder, "bench"));
    (void)snprintf(model, sizeof model, "%s/model.h5", folder);
    (void)snprintf(logits, sizeof logits, "%s/logits", folder);
    (void)snprintf(theirs, sizeof theirs, "%s/server", folder);
    (void)snprintf(ours, sizeof ours, "%s/client", folder);
    SPX_TRY(st, write_model_apart(v, &spec, model, logits), done);
    SPX_TRY(st, start_server(&s, model, theirs, v->link), done);
    st = be_client(cli, v, s.address, ours, logits, &r);
done:
    peak = end_server(&s, st != SPX_OK);
    spx_vault_destroy(theirs);
    spx_vault_destroy(ours);
    (void)unlink(model);
    (void)unlink(logits);
    (void)rmdir(folder);
    if (st == SPX_OK) {
        (void)getrusage(RUSAGE_SELF, &u);
        peak = (uint64_t)u.ru_maxrss * 1024 > peak ? (uint64_t)u.ru_maxrss * 1024 : peak;
        st = print_result(cli, v, &r, peak);
    }
    if (st == SPX_OK && !r.matches) {
        st = SPX_FAIL(SPX_EDEVICE, "the private logits differ from the integer executor's");
    }
    free(r.layer);
    return st;
}

const spx_command spx_bench_pi = {
    .name = "pi",
    .summary = "Private inference of a network with random weights or of a deployed model, two "
               "processes.",
    .example = "sphynx bench pi --init-channels 5 --layers 10 --reduce-at 0,5 --link wan --json",
    .options = options,
    .needs = needs,
    .values_size = sizeof(values),
    .run = run};
