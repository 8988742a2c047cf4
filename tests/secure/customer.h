#ifndef SPX_CUSTOMER_H
#define SPX_CUSTOMER_H
/* A server's clients by TCP, each with keys of its own. Define _DEFAULT_SOURCE. */
#include "host/secure/infer/pi_server_private.h"
#include "tests/secure/pi_fixture.h"

#include <dirent.h>
#include <sys/stat.h>

#define CLASSES 10

typedef struct customer {
    pi_link link;
    spx_listener *listener;
    spx_channel_options own;
    char address[64];
    spx_pi_client *p; /* NULL: refused, or gone */
    pthread_t thread;
} customer;

static inline void pause_ms(long ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

/* A file of keys, "name:key" for each letter of who. */
static inline void write_keys(pi_world *w, const char *name, const char *who, char path[600])
{
    FILE *keys;
    (void)snprintf(path, 600, "%s", spx_scratch_path(&w->scratch, name));
    keys = fopen(path, "w");
    assert_non_null(keys);
    for (; *who != '\0'; who++) {
        (void)fprintf(keys, "%c:%064d\n", *who, *who);
    }
    assert_int_equal(fclose(keys), 0);
}

static inline void *run_dial(void *arg)
{
    customer *c = arg;
    if (spx_channel_connect(&c->link.client, c->address, &c->own) != SPX_OK) {
        c->link.client = NULL;
    }
    return NULL;
}

/* @param keys  NULL: plain */
static inline spx_status come(customer *c, pi_world *w, spx_vault *v, const char *keys)
{
    spx_channel_options server = w->channel;
    memset(c, 0, sizeof *c);
    c->link.w = w;
    c->own = w->channel;
    c->own.security.psk_path = keys;
    server.security.psk_path = keys != NULL ? w->channel.security.psk_path : NULL;
    CHECK_OK(spx_listener_open(&c->listener, "127.0.0.1:0", &server));
    (void)snprintf(c->address, sizeof c->address, "127.0.0.1:%d", spx_listener_port(c->listener));
    assert_int_equal(pthread_create(&c->thread, NULL, run_dial, c), 0);
    CHECK_OK(spx_listener_accept(c->listener, &c->link.server));
    CHECK_OK(spx_channel_handshake(c->link.server));
    assert_int_equal(pthread_join(c->thread, NULL), 0);
    assert_non_null(c->link.client);
    assert_int_equal(pthread_create(&c->link.thread, NULL, pi_serve_thread, &c->link), 0);
    return spx_pi_client_open(&c->p, c->link.client, v, NULL);
}

static inline void go(customer *c)
{
    spx_pi_client_close(c->p);
    pi_hang_up(&c->link);
    spx_listener_close(c->listener);
}

static inline spx_status prepare(customer *c, uint64_t n)
{
    return spx_pi_client_prepare(c->p, n, NULL, NULL, NULL, NULL, NULL);
}

/* One query; its logits, if it has any, must be the specification's. */
static inline spx_status ask(customer *c)
{
    const uint8_t *image = fixture_image(&c->link.w->fixture, c->link.w->model);
    int64_t got[CLASSES], want[CLASSES];
    const spx_status st = spx_pi_client_infer(c->p, image, got, NULL, NULL, NULL);
    if (st == SPX_OK) {
        pi_expected(c->link.w, image, want);
        assert_memory_equal(got, want, sizeof got);
    }
    return st;
}

/* Files of the server's vault that begin so. */
static inline int files(const pi_world *w, const char *prefix)
{
    char path[700];
    int n = 0;
    (void)snprintf(path, sizeof path, "%s/server", w->scratch.folder);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        n += e->d_name[0] != '.' && strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    }
    (void)closedir(d);
    return n;
}

/* A world whose server knows the keys of a and b. */
static inline void begin_with_keys(pi_world *w, uint64_t seed, const spx_pi_server_options *o,
                                   char a[600], char b[600])
{
    static char both[600];
    pi_begin(w, seed, o);
    write_keys(w, "a", "a", a);
    write_keys(w, "b", "b", b);
    write_keys(w, "both", "ab", both);
    w->channel.security.psk_path = both;
}

static inline void restart(pi_world *w, const spx_pi_server_options *o)
{
    spx_pi_server_destroy(w->server);
    CHECK_OK(spx_pi_server_create(&w->server, w->model, w->server_vault, o));
}

#endif
