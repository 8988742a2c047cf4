/* sphynx query: asks a server about images that it does not get to see. */
#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack.h"
#include "host/cli/commands.h"
#include "host/cli/pi_talk.h"
#include "host/cli/picture_talk.h"
#include "host/cli/preprocess_talk.h"
#include "host/cli/progress.h"
#include "host/control/interrupt.h"
#include "kernels/base/alloc.h"
#include "kernels/base/text.h"
#include "kernels/crypto/ct.h"
#include "kernels/crypto/secret_memory.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    spx_pi_values pi;
    const char *connect, *image, *data, *state, *hash, *verify;
    spx_int_list index;
    int64_t prepare;
    bool resize, allow_changed;
    double wait;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, connect, "connect", "HOST:PORT", NULL, "the server",
            .flags = SPX_OPT_REQUIRED),
    SPX_OPT(STRING, values, image, "image", "FILE", NULL, "a JPEG or PNG image; more as operands"),
    SPX_OPT(STRING, values, data, "data", "FILE", NULL, "take images of a pack's test split"),
    SPX_OPT(LIST, values, index, "index", "I,...", "0", "which of them, from 0", .min = 0,
            .max = 4294967295.0),
    SPX_OPT(INT, values, prepare, "prepare", "N", "0",
            "have material for so many queries ready beforehand; 0: as many as there are images",
            .min = 0, .max = 1e9),
    SPX_OPT(STRING, values, state, "state", "DIR", "query-state",
            "where prepared material lies, encrypted", .flags = SPX_OPT_OUTPUT),
    SPX_OPT(STRING, values, hash, "model-hash", "HEX", NULL, "accept only the model of this hash"),
    SPX_OPT(STRING, values, verify, "verify", "FILE", NULL,
            "for tests: hold each answer against the integer executor of this deployed model"),
    SPX_RESIZE_OPTION(values, resize),
    SPX_ALLOW_CHANGED_OPTION(values, allow_changed),
    SPX_OPT(TIME, values, wait, "wait", "TIME", "0",
            "try for so long to connect to a server that is not up yet", .min = 0, .max = 1e7),
    SPX_PI_OPTIONS(values, pi),
    {0}};

static const spx_need needs[] = {{"index allow-changed", "data"},
                                 {"resize", "image|operands"},
                                 {"verify", "image|data|operands"},
                                 {0}};

/* Images to ask about, in the model's shape. */
typedef struct asking {
    spx_preprocess takes; /* what the model says it takes */
    bool resize;
    size_t n, pixels;
    uint8_t *image; /* [n][pixels] */
    char **name;
    int *label; /* -1: not known */
    json_t *
        *failed; /* what stands for an answer where the image cannot be asked about, else NULL */
    size_t n_failed;
    spx_pack *pack;
} asking;

static void asking_clear(asking *a)
{
    for (size_t i = 0; i < a->n && a->name != NULL && a->failed != NULL; i++) {
        free(a->name[i]);
        json_decref(a->failed[i]);
    }
    spx_preprocess_clear(&a->takes);
    if (a->image != NULL) {
        spx_wipe(a->image, a->n * a->pixels);
    }
    spx_free(a->image);
    free(a->name);
    free(a->failed);
    free(a->label);
    spx_pack_close(a->pack);
}

static spx_status name_image(asking *a, size_t i, const char *name)
{
    a->name[i] = strdup(name);
    return a->name[i] != NULL ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "%s", name);
}

static spx_status take_file(const spx_cli *cli, asking *a, size_t i, const char *path)
{
    SPX_RETURN_IF(name_image(a, i, path));
    return spx_picture_take(cli, &a->takes, path, a->resize, a->image + i * a->pixels);
}

static spx_status take_packed(asking *a, size_t i, const char *path, int64_t index)
{
    char name[64];
    (void)snprintf(name, sizeof name, "test image %lld", (long long)index);
    SPX_RETURN_IF(name_image(a, i, name));
    SPX_RETURN_IF(spx_fail_context(spx_preprocess_packed(&a->takes, a->pack, SPX_SPLIT_TEST,
                                                         (uint32_t)index, a->image + i * a->pixels),
                                   "%s", path));
    a->label[i] = a->pack->split[SPX_SPLIT_TEST].labels[index];
    return SPX_OK;
}

/* Keeps what goes wrong with one image, so that the others are asked about. */
static void keep(spx_cli *cli, asking *a, size_t i, const char *name, spx_status st)
{
    if (st != SPX_OK) {
        a->failed[i] = spx_cli_bad_input(cli, name);
        a->n_failed++;
    }
}

static spx_status take_images(asking *a, spx_cli *cli, const values *v, const spx_deploy *m)
{
    size_t at = 0;
    void *image;
    SPX_RETURN_IF(spx_preprocess_of_deployed(&a->takes, m));
    a->resize = v->resize;
    a->pixels = spx_deploy_count(m, 0);
    a->n = cli->arg_count + (v->image != NULL) + (v->data != NULL ? v->index.n : 0);
    SPX_RETURN_IF(spx_calloc(&image, a->n, a->pixels));
    a->image = image;
    a->name = calloc(a->n, sizeof *a->name);
    a->failed = calloc(a->n, sizeof *a->failed);
    a->label = malloc(a->n * sizeof *a->label);
    if (a->name == NULL || a->failed == NULL || a->label == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%zu images", a->n);
    }
    for (size_t i = 0; i < a->n; i++) {
        a->label[i] = -1;
    }
    if (a->n > v->index.n * (v->data != NULL) && !v->resize) {
        spx_talk_unknown_size(&a->takes, "the served model");
    }
    if (v->image != NULL) {
        keep(cli, a, at, v->image, take_file(cli, a, at, v->image));
        at++;
    }
    for (size_t i = 0; i < cli->arg_count; i++, at++) {
        keep(cli, a, at, cli->args[i], take_file(cli, a, at, cli->args[i]));
    }
    if (v->data != NULL) {
        SPX_RETURN_IF(spx_pack_open(&a->pack, v->data, SPX_PACK_NEED(SPX_SPLIT_TEST)));
        SPX_RETURN_IF(
            spx_talk_fit(&a->takes, "the served model", a->pack, v->data, v->allow_changed));
        for (size_t i = 0; i < v->index.n; i++, at++) {
            char name[64];
            (void)snprintf(name, sizeof name, "test image %lld", (long long)v->index.v[i]);
            keep(cli, a, at, name, take_packed(a, at, v->data, v->index.v[i]));
        }
    }
    return SPX_OK;
}

/* ---- talk ---- */

static void show(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)total;
    spx_progress_show(ctx, done, "%s", what);
}

static json_t *answer(const asking *a, size_t i, const spx_deploy *m, const int64_t *logits,
                      const spx_pi_cost *load, const spx_pi_cost *online)
{
    const size_t classes = spx_deploy_count(m, m->logits);
    json_t *list = json_array(), *j;
    size_t best = 0;
    for (size_t k = 0; k < classes; k++) {
        (void)json_array_append_new(list, json_integer((json_int_t)logits[k]));
        best = logits[k] > logits[best] ? k : best;
    }
    j = json_pack("{s:o, s:I, s:s, s:o, s:f, s:o, s:o, s:o}", "image",
                  spx_cli_name_json(a->name[i]), "class", (json_int_t)best, "name",
                  spx_preprocess_class(&a->takes, (int64_t)best), "logits", list, "logit_scale",
                  m->logit_scale, "load", spx_pi_cost_json(load, 1), "online",
                  spx_pi_cost_json(online, 1), "answer", spx_pi_answer_json(load, online, 1));
    if (a->label[i] >= 0) {
        (void)json_object_set_new(j, "label", json_integer(a->label[i]));
        (void)json_object_set_new(j, "label_name",
                                  json_string(spx_preprocess_class(&a->takes, a->label[i])));
    }
    return j;
}

static void print_answer(const json_t *j)
{
    const json_t *online = json_object_get(j, "online"), *load = json_object_get(j, "load"),
                 *label = json_object_get(j, "label"), *answer = json_object_get(j, "answer");
    const char *name = json_string_value(json_object_get(j, "name"));
    (void)printf("%s: class %lld%s%s", json_string_value(json_object_get(j, "image")),
                 (long long)json_integer_value(json_object_get(j, "class")),
                 name[0] != '\0' ? " " : "", name);
    if (label != NULL) {
        const char *true_name = json_string_value(json_object_get(j, "label_name"));
        (void)printf(" (labelled %lld%s%s)", (long long)json_integer_value(label),
                     true_name[0] != '\0' ? " " : "", true_name);
    }
    (void)printf(
        "; answered in %.3f s (reading the material %.3f, online %.3f), %.2f MB, %lld rounds\n",
        json_real_value(json_object_get(answer, "seconds")),
        json_real_value(json_object_get(load, "seconds")),
        json_real_value(json_object_get(online, "seconds")),
        1e-6 * (double)(json_integer_value(json_object_get(online, "bytes_sent")) +
                        json_integer_value(json_object_get(online, "bytes_received"))),
        (long long)json_integer_value(json_object_get(online, "rounds")));
}

/* Material for n queries; what is missing is prepared as one batch. */
static spx_status prepare(spx_cli *cli, spx_pi_client *p, uint64_t n, spx_pi_cost *cost,
                          uint64_t *made)
{
    const uint64_t ready = spx_pi_client_ready(p);
    spx_progress bar;
    spx_stream_options so;
    spx_stream *stream = NULL;
    spx_status st;
    *made = n > ready ? n - ready : 0;
    if (*made == 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_cli_stream_options(cli, &so));
    SPX_RETURN_IF(spx_stream_create(&stream, SPX_DEVICE_CPU, so.threads));
    spx_progress_begin(&bar, stderr, "queries", 0, *made);
    st = spx_pi_client_prepare(p, *made, spx_stream_pool(stream), show, &bar, cost, NULL);
    spx_progress_end(&bar);
    spx_stream_destroy(stream);
    return st;
}

/* Whether the logits are those of the whole model; it must be the one that is served. */
static spx_status verify(const spx_deploy *whole, const spx_deploy *served, const char *path,
                         const uint8_t *image, const int64_t *logits, json_t *answer_json)
{
    const size_t bytes = spx_deploy_count(served, served->logits) * sizeof(int64_t);
    void *want = NULL;
    spx_status st;
    if (memcmp(whole->hash, served->hash, SPX_DEPLOY_HASH_BYTES) != 0) {
        return SPX_FAIL(SPX_EINVAL, "%s is not the model that is served", path);
    }
    SPX_RETURN_IF(spx_alloc(&want, bytes));
    st = spx_deploy_run_integer(whole, NULL, 1, image, want);
    if (st == SPX_OK && memcmp(want, logits, bytes) != 0) {
        st = SPX_FAIL(SPX_ENUMERIC, "the private logits are not the integer executor's");
    }
    if (st == SPX_OK) {
        (void)json_object_set_new(answer_json, "matches_integer_executor", json_true());
    }
    spx_wipe(want, bytes);
    spx_free(want);
    return st;
}

/* A signal ended it: what to do then, in place of where it was. */
static spx_status tell_stop(spx_status st)
{
    return st == SPX_EINTERRUPTED
               ? SPX_FAIL(st, "interrupted; prepared material stays, run again to go on")
               : st;
}

static spx_status ask(spx_cli *cli, const values *v, spx_pi_client *p, const spx_deploy *whole,
                      json_t *answers)
{
    const spx_deploy *m = spx_pi_client_model(p);
    spx_pi_cost offline = {0};
    uint64_t made, wanted;
    asking a = {0};
    void *logits = NULL;
    spx_status st;
    SPX_TRY(st, take_images(&a, cli, v, m), done);
    cli->told = false; /* what fails from here on is something else */
    SPX_TRY(st, spx_calloc(&logits, spx_deploy_count(m, m->logits), sizeof(int64_t)), done);
    wanted = v->prepare > 0 ? (uint64_t)v->prepare : a.n - a.n_failed;
    SPX_TRY(st, prepare(cli, p, wanted, &offline, &made), done);
    for (size_t i = 0; i < a.n; i++) {
        spx_pi_cost load = {0}, online = {0};
        json_t *j;
        if (a.failed[i] != NULL) {
            (void)json_array_append(answers, a.failed[i]);
            continue;
        }
        SPX_TRY(st, spx_interrupt_check(NULL), done);
        st =
            tell_stop(spx_pi_client_infer(p, a.image + i * a.pixels, logits, &load, &online, NULL));
        if (st != SPX_OK) {
            (void)json_array_append_new(answers, spx_cli_bad_input(cli, a.name[i]));
            goto done;
        }
        j = answer(&a, i, m, logits, &load, &online);
        (void)json_object_set_new(j, "offline", spx_pi_cost_json(&offline, made));
        if (json_array_append_new(answers, j) != 0) {
            st = SPX_FAIL(SPX_ENOMEM, "%s: answer", a.name[i]);
            goto done;
        }
        if (!cli->json) {
            print_answer(j); /* at once: what is answered is spent */
            (void)fflush(stdout);
        }
        if (whole != NULL) {
            SPX_TRY(st, verify(whole, m, v->verify, a.image + i * a.pixels, logits, j), done);
        }
    }
    if (a.n_failed > 0) {
        cli->told = true;
        st = SPX_FAIL(SPX_EINVAL, "%zu of %zu images were not asked about", a.n_failed, a.n);
    }
done:
    if (logits != NULL) {
        spx_wipe(logits, spx_deploy_count(m, m->logits) * sizeof(int64_t));
    }
    spx_free(logits);
    asking_clear(&a);
    return st;
}

static spx_status parse_hash(spx_cli *cli, const char *text, unsigned char *hash)
{
    size_t n;
    if (sodium_hex2bin(hash, SPX_DEPLOY_HASH_BYTES, text, strlen(text), NULL, &n, NULL) != 0 ||
        n != SPX_DEPLOY_HASH_BYTES || text[2 * n] != '\0') {
        return spx_cli_usage(cli, "--model-hash takes %d hexadecimal digits",
                             2 * SPX_DEPLOY_HASH_BYTES);
    }
    return SPX_OK;
}

/* What the server says of its queue. */
static void on_notice(void *ctx, const char *line)
{
    (void)ctx;
    (void)fprintf(stderr, "query: %s\n", line);
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    unsigned char hash[SPX_DEPLOY_HASH_BYTES];
    spx_channel_options co;
    spx_channel *channel = NULL;
    spx_vault *vault = NULL;
    spx_pi_client *p = NULL;
    spx_deploy *whole = NULL;
    json_t *answers = json_array();
    spx_status st;
    spx_secret_guard();
    SPX_TRY(st, spx_pi_channel_options(cli, &v->pi, &co), done);
    co.wait = v->wait;
    co.notice = on_notice;
    co.stop = spx_interrupt_flag();
    if (v->image == NULL && v->data == NULL && cli->arg_count == 0 && v->prepare == 0) {
        st = spx_cli_usage(cli, "nothing to ask: give --image, --data or --prepare");
        goto done;
    }
    SPX_TRY(st, spx_pi_address(cli, "connect", v->connect, &co, false), done);
    if (v->hash != NULL) {
        SPX_TRY(st, parse_hash(cli, v->hash, hash), done);
    }
    if (v->verify != NULL) {
        SPX_TRY(st, spx_deploy_read(&whole, v->verify), done); /* before anything is spent */
    }
    SPX_TRY(st, spx_vault_open(&vault, v->state), done);
    spx_pi_warn_unlocked(vault, v->state);
    SPX_TRY(st, spx_interrupt_install(), done);
    SPX_TRY(st, spx_channel_connect(&channel, v->connect, &co), done);
    SPX_TRY(st, spx_pi_client_open(&p, channel, vault, v->hash != NULL ? hash : NULL), done);
    if (spx_pi_client_removed(p) > 0) {
        (void)fprintf(stderr,
                      "query: material of an earlier version was removed (%llu %s); "
                      "make new with query --prepare N\n",
                      (unsigned long long)spx_pi_client_removed(p),
                      SPX_PLURAL(spx_pi_client_removed(p), "query", "queries"));
    }
    st = ask(cli, v, p, whole, answers);
    if (cli->json && (st == SPX_OK || json_array_size(answers) > 0)) {
        /* Answers were paid for: they are printed even where a later one failed. */
        const spx_status printed = spx_cli_print_json(json_incref(answers));
        st = st != SPX_OK ? st : printed;
    }
    if (st == SPX_OK && !cli->json && v->prepare > 0) {
        (void)printf("material for %llu %s is ready\n", (unsigned long long)spx_pi_client_ready(p),
                     SPX_PLURAL(spx_pi_client_ready(p), "query", "queries"));
    }
done:
    spx_pi_client_close(p);
    spx_channel_close(channel);
    st = tell_stop(st);
    spx_vault_close(vault);
    spx_deploy_destroy(whole);
    json_decref(answers);
    return st;
}

const spx_command spx_cmd_query = {
    .name = "query",
    .args = "[IMAGE...]",
    .summary = "Asks a server about images without showing them to it.",
    .example = "sphynx query --connect localhost:7465 --data fashion.h5 --index 0,1",
    .options = options,
    .needs = needs,
    .values_size = sizeof(values),
    .max_args = SIZE_MAX,
    .run = run};
