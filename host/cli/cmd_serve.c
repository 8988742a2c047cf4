/* sphynx serve: answers private queries of a deployed model. */
#define _POSIX_C_SOURCE 200809L
#include "host/cli/commands.h"
#include "host/cli/pi_talk.h"
#include "host/cli/strangers.h"
#include "host/control/interrupt.h"
#include "kernels/base/alloc.h"
#include "kernels/base/text.h"
#include "kernels/crypto/secret_memory.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct values {
    spx_pi_values pi;
    const char *model, *listen, *state;
    uint64_t quota, memory;
    bool clean;
    int64_t query_limit, batch_limit, clients, connections;
    double expire, handshake;
    const char *allow;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, model, "model", "FILE", NULL, "deployed model (sphynx export)",
            .flags = SPX_OPT_REQUIRED),
    SPX_OPT(STRING, values, listen, "listen", "HOST:PORT", "127.0.0.1:7465",
            "where to wait for clients; port 0: any free one"),
    SPX_OPT(STRING, values, state, "state", "DIR", "serve-state",
            "where prepared material lies, encrypted", .flags = SPX_OPT_OUTPUT),
    SPX_OPT(SIZE, values, quota, "quota", "BYTES", "16G",
            "material of this model that one name (one client, where none authenticates) may hold "
            "here; 0: no limit",
            .min = 0, .max = 1e18),
    SPX_OPT(SIZE, values, memory, "memory", "BYTES", "0",
            "what the server may take of memory; 0: a quarter of the machine's", .min = 0,
            .max = 1e18),
    SPX_OPT(INT, values, query_limit, "query-limit", "N", "0",
            "queries one name may ever prepare; 0: no limit", .min = 0, .max = 1e15),
    SPX_OPT(INT, values, batch_limit, "batch-limit", "N", "1000",
            "queries prepared at a time at most", .min = 1, .max = 1e9),
    SPX_OPT(TIME, values, expire, "expire", "TIME", "0",
            "remove material that is older, by the time the server has run; 0: never", .min = 0,
            .max = 1e9),
    SPX_OPT(FLAG, values, clean, "clean", NULL, "false",
            "remove material of other models from the state folder"),
    SPX_OPT(INT, values, clients, "clients", "N", "64",
            "clients served at a time, three quarters of them of one name; others wait", .min = 1,
            .max = 256),
    SPX_OPT(TIME, values, handshake, "handshake-timeout", "TIME", "10",
            "what a connection has from its first byte to its hello", .min = 0.001, .max = 3600),
    SPX_OPT(STRING, values, allow, "allow", "FILE", NULL,
            "with --ca: names of clients that may come, one a line"),
    SPX_OPT(INT, values, connections, "connections", "N", "0",
            "end after so many connections; 0: go on", .min = 0, .max = 1e15),
    SPX_PI_OPTIONS(values, pi),
    {0}};

static atomic_int reload; /* counts SIGHUPs, as is custom: keys are read again */

static void on_hangup(int number)
{
    (void)number;
    (void)atomic_fetch_add(&reload, 1);
}

/* The server and what its threads add up. */
typedef struct serving {
    spx_pi_server *server;
    double handshake;
    spx_strangers strangers;
    pthread_mutex_t lock;
    pthread_cond_t left;
    int threads;
    bool any_ended; /* ended: the last thread to end, which nobody has joined */
    pthread_t ended;
    uint64_t connections, failed, prepared, answered;
    time_t second; /* whose lines about strangers are counted */
    int lines, hushed;
} serving;

typedef struct connection {
    serving *s;
    spx_channel *channel;
} connection;

#define LINES_A_SECOND 20 /* about strangers, who could else fill a disk */

/* Text fit for a log: what is not ASCII's, or one of `also`, becomes \xNN, so that two names that
 * differ still do. */
static void escape(char *out, size_t room, const char *text, const char *also)
{
    size_t n = 0;
    for (; *text != '\0' && n + 5 <= room; text++) {
        const bool plain = *text >= ' ' && *text <= '~' && strchr(also, *text) == NULL;
        n += plain ? (size_t)snprintf(out + n, room - n, "%c", *text)
                   : (size_t)snprintf(out + n, room - n, "\\x%02x", (unsigned char)*text);
    }
    out[n] = '\0';
}

/* A line of the log; s->lock is held, or nobody else is there. */
static void say(serving *s, bool stranger, const char *text)
{
    const time_t now = time(NULL);
    struct tm t;
    char when[32] = "", line[2048];
    if (now != s->second) {
        s->second = now;
        s->lines = 0;
    }
    if (stranger && ++s->lines > LINES_A_SECOND) {
        s->hushed++;
        return;
    }
    if (gmtime_r(&now, &t) != NULL) {
        (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &t);
    }
    if (s->hushed > 0) {
        (void)fprintf(stderr, "serve: %s %d more refused\n", when, s->hushed);
        s->hushed = 0;
    }
    escape(line, sizeof line, text, "");
    (void)fprintf(stderr, "serve: %s %s\n", when, line);
}

static void on_notice(void *ctx, const char *line)
{
    serving *s = ctx;
    (void)pthread_mutex_lock(&s->lock);
    say(s, false, line);
    (void)pthread_mutex_unlock(&s->lock);
}

static void log_end(serving *s, const spx_channel *c, const spx_pi_served *done, spx_status st,
                    const char *why)
{
    const bool client = done->client[0] != '\0';
    char line[1400], name[512], number[16];
    escape(name, sizeof name, spx_channel_peer(c), " \\");
    (void)snprintf(number, sizeof number, "%.8s", done->client);
    if (client) {
        (void)snprintf(line, sizeof line, "%s %s client %s: %llu prepared, %llu answered%s%s",
                       spx_channel_address(c), name[0] != '\0' ? name : "-", number,
                       (unsigned long long)done->prepared, (unsigned long long)done->answered,
                       st != SPX_OK ? "; ended: " : "", why);
    } else {
        (void)snprintf(line, sizeof line, "%s %s refused: %s", spx_channel_address(c),
                       name[0] != '\0' ? name : "-", why);
    }
    say(s, !client, line);
}

/* A thread's last act. It joins the one that ended before it: who joins the last has waited for all
 * of them, and for what libraries free when a thread is over. */
static void leave(serving *s)
{
    (void)pthread_mutex_lock(&s->lock);
    const bool any = s->any_ended;
    const pthread_t before = s->ended;
    s->any_ended = true;
    s->ended = pthread_self();
    s->threads--;
    (void)pthread_cond_signal(&s->left);
    (void)pthread_mutex_unlock(&s->lock);
    if (any) {
        (void)pthread_join(before, NULL);
    }
}

static void *serve_one(void *arg)
{
    connection *c = arg;
    serving *s = c->s;
    spx_channel *channel = c->channel;
    spx_pi_served done = {0};
    char why[512];
    spx_status st;
    free(c);
    st = spx_channel_handshake(channel);
    if (st == SPX_OK) {
        st = spx_pi_hear(s->server, channel, &done);
    }
    spx_strangers_leave(&s->strangers, channel);
    if (st == SPX_OK) {
        st = spx_pi_serve_heard(s->server, channel, &done);
    }
    (void)snprintf(why, sizeof why, "%s", st != SPX_OK ? spx_error_message() : "");
    (void)pthread_mutex_lock(&s->lock);
    log_end(s, channel, &done, st, why);
    if (done.ever_prepared > 100 + 10 * done.ever_answered) {
        (void)snprintf(why, sizeof why,
                       "client %.8s: %llu prepared and %llu answered, ever: preparing alone can "
                       "tell of the weights",
                       done.client, (unsigned long long)done.ever_prepared,
                       (unsigned long long)done.ever_answered);
        say(s, false, why);
    }
    s->prepared += done.prepared;
    s->answered += done.answered;
    s->failed += st != SPX_OK;
    (void)pthread_mutex_unlock(&s->lock);
    spx_channel_close(channel);
    leave(s);
    return NULL;
}

/* Takes the channel, also on failure: it is closed without a word, which could block. */
static spx_status start_one(serving *s, spx_channel *channel)
{
    pthread_t thread;
    bool started = false;
    connection *c = calloc(1, sizeof *c);
    s->connections++;
    if (c != NULL) {
        *c = (connection){.s = s, .channel = channel};
        spx_channel_deadline(channel, s->handshake);
        spx_strangers_join(&s->strangers, channel);
        (void)pthread_mutex_lock(&s->lock);
        started = pthread_create(&thread, NULL, serve_one, c) == 0;
        s->threads += started;
        (void)pthread_mutex_unlock(&s->lock);
    }
    if (!started) {
        spx_strangers_leave(&s->strangers, channel);
        spx_channel_close(channel);
        free(c);
        return SPX_FAIL(SPX_ENOMEM, "a thread for a client");
    }
    return SPX_OK;
}

static void wait_for_threads(serving *s)
{
    (void)pthread_mutex_lock(&s->lock);
    while (s->threads > 0) {
        (void)pthread_cond_wait(&s->left, &s->lock);
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (s->any_ended) { /* no other thread is left to change it */
        (void)pthread_join(s->ended, NULL);
    }
}

static spx_status accept_clients(serving *s, spx_listener *l, const values *v)
{
    const struct timespec pause = {.tv_nsec = 200000000};
    spx_status st = SPX_OK;
    while (v->connections == 0 || s->connections < (uint64_t)v->connections) {
        spx_channel *channel;
        st = spx_listener_accept(l, &channel);
        if (st == SPX_OK) {
            st = start_one(s, channel);
        }
        if (st == SPX_EINTERRUPTED) {
            st = SPX_OK; /* a signal is how a server is meant to end */
            break;
        }
        if (st != SPX_OK) {
            on_notice(s, spx_error_message());
            (void)nanosleep(&pause, NULL); /* no file to be had, say: not at once again */
            st = SPX_OK;
        }
    }
    wait_for_threads(s);
    return st;
}

/* Whatever asks programs to end does; but a hang-up rereads keys, where there are any. */
static spx_status catch_signals(bool keys)
{
    const struct sigaction each = {.sa_handler = on_hangup, .sa_flags = SA_RESTART};
    SPX_RETURN_IF(spx_interrupt_install());
    return !keys || sigaction(SIGHUP, &each, NULL) == 0 ? SPX_OK : SPX_FAIL(SPX_EIO, "SIGHUP");
}

static spx_status report(spx_cli *cli, const serving *s)
{
    if (cli->json) {
        return spx_cli_print_json(
            json_pack("{s:I, s:I, s:I, s:I}", "connections", (json_int_t)s->connections, "failed",
                      (json_int_t)s->failed, "prepared", (json_int_t)s->prepared, "answered",
                      (json_int_t)s->answered));
    }
    (void)printf("%llu %s, %llu of them failed; %llu %s prepared, %llu answered\n",
                 (unsigned long long)s->connections,
                 SPX_PLURAL(s->connections, "connection", "connections"),
                 (unsigned long long)s->failed, (unsigned long long)s->prepared,
                 SPX_PLURAL(s->prepared, "query", "queries"), (unsigned long long)s->answered);
    return SPX_OK;
}

/* The weights are what the protocol hides; a model made before files were the owner's alone still
 * opens. */
static void warn_if_open(const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0 && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        (void)fprintf(stderr, "serve: %s: others can read these secret weights; chmod 600 it\n",
                      path);
    }
}

/* What clients' work may take of --memory: the rest is what the program holds already, and a little
 * for each connection. */
static void share_memory(const values *v, spx_pi_server_options *o)
{
    const size_t physical = spx_memory_physical(),
                 all = v->memory > 0 ? (size_t)v->memory : physical / 4,
                 each = (size_t)v->clients * ((size_t)1 << 20);
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f != NULL) {
        pages = fscanf(f, "%*s %ld", &pages) == 1 ? pages : 0;
        (void)fclose(f);
    }
    o->beside_bytes = (size_t)pages * (size_t)sysconf(_SC_PAGESIZE) + each;
    o->memory_bytes = all == 0 ? 0 : all > o->beside_bytes ? all - o->beside_bytes : 1;
}

static void tell_of_others(const values *v, spx_pi_others o)
{
    if (o.units > 0) {
        (void)fprintf(stderr, "serve: %s: %llu units (%llu MB) of other models %s\n", v->state,
                      (unsigned long long)o.units, (unsigned long long)(o.bytes >> 20),
                      v->clean ? "removed" : "lie there; --clean removes them");
    }
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    spx_pi_server_options so = {.quota_bytes = v->quota,
                                .query_limit = (uint64_t)v->query_limit,
                                .batch_limit = (uint64_t)v->batch_limit,
                                .expire_seconds = v->expire,
                                .clients = (int)v->clients,
                                .remove_others = v->clean};
    serving s = {.lock = PTHREAD_MUTEX_INITIALIZER,
                 .left = PTHREAD_COND_INITIALIZER,
                 .strangers = {.lock = PTHREAD_MUTEX_INITIALIZER},
                 .handshake = v->handshake};
    spx_channel_options co;
    spx_listener *l = NULL;
    spx_deploy *m = NULL;
    spx_vault *vault = NULL;
    spx_status st;
    spx_secret_guard();
#ifdef M_MMAP_THRESHOLD
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 18); /* what is freed goes back, whatever was before */
#endif
    SPX_RETURN_IF(spx_pi_channel_options(cli, &v->pi, &co));
    co.security.allow = v->allow;
    SPX_RETURN_IF(spx_pi_address(cli, "listen", v->listen, &co, true));
    co.stop = spx_interrupt_flag();
    co.reload = &reload;
    co.notice = on_notice;
    co.notice_ctx = &s;
    SPX_TRY(st, spx_deploy_read(&m, v->model), done);
    warn_if_open(v->model);
    SPX_TRY(st, spx_vault_open(&vault, v->state), done);
    spx_pi_warn_unlocked(vault, v->state);
    share_memory(v, &so);
    SPX_TRY(st, spx_pi_server_create(&s.server, m, vault, &so), done);
    tell_of_others(v, spx_pi_server_others(s.server));
    SPX_TRY(st, catch_signals(v->pi.psk != NULL || v->pi.cert != NULL), done);
    SPX_TRY(st, spx_listener_open(&l, v->listen, &co), done);
    (void)fprintf(stderr, "serve: %s, listening at %.*s:%d\n", v->model,
                  (int)(strrchr(v->listen, ':') - v->listen), v->listen, spx_listener_port(l));
    SPX_TRY(st, accept_clients(&s, l, v), done);
    st = report(cli, &s);
done:
    spx_listener_close(l);
    spx_pi_server_destroy(s.server);
    spx_vault_close(vault);
    spx_deploy_destroy(m);
    return st;
}

const spx_command spx_cmd_serve = {
    .name = "serve",
    .summary = "Answers private queries of a deployed model, until a signal ends it.",
    .example = "sphynx serve --model shoes.h5 --listen 0.0.0.0:7465 --psk keys",
    .options = options,
    .values_size = sizeof(values),
    .run = run};
