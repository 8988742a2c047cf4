#ifndef SPX_PI_FIXTURE_H
#define SPX_PI_FIXTURE_H
/* Two parties in one process: a server thread per connection, vaults in a scratch folder, and a
 * proxy between them that can cut, count and record what passes. Define _DEFAULT_SOURCE. */
#include "host/secure/infer/infer.h"
#include "tests/model/deploy_fixture.h"
#include "tests/support/spx_scratch.h"

#include <pthread.h>

typedef struct pi_world {
    spx_scratch scratch;
    deploy_fixture fixture;
    spx_deploy *model;
    spx_vault *server_vault;
    spx_pi_server *server;
    spx_channel_options channel;
} pi_world;

static inline spx_vault *pi_vault(pi_world *w, const char *name)
{
    spx_vault *v;
    CHECK_OK(spx_vault_open(&v, spx_scratch_path(&w->scratch, name)));
    return v;
}

static inline void pi_begin(pi_world *w, uint64_t seed, const spx_pi_server_options *o)
{
    const spx_pi_server_options none = {0};
    memset(w, 0, sizeof *w);
    w->channel.timeout = 20;
    assert_int_equal(spx_scratch_make(&w->scratch), 0);
    w->model = fixture_model(&w->fixture, seed);
    w->server_vault = pi_vault(w, "server");
    CHECK_OK(spx_pi_server_create(&w->server, w->model, w->server_vault, o != NULL ? o : &none));
}

static inline void pi_end(pi_world *w)
{
    spx_pi_server_destroy(w->server);
    spx_vault_close(w->server_vault);
    spx_deploy_destroy(w->model);
    fixture_clear(&w->fixture);
    spx_scratch_remove(&w->scratch);
}

/* ---- a connection, served by a thread ---- */

typedef struct pi_link {
    pi_world *w;
    spx_channel *client, *server;
    pthread_t thread;
    spx_pi_served served;
    spx_status st; /* of the server, after pi_hang_up */
    char message[512];
} pi_link;

static inline void *pi_serve_thread(void *arg)
{
    pi_link *l = arg;
    l->st = spx_pi_serve(l->w->server, l->server, &l->served);
    (void)snprintf(l->message, sizeof l->message, "%s", spx_error_message());
    spx_channel_close(l->server);
    return NULL;
}

static inline void pi_dial(pi_link *l, pi_world *w)
{
    memset(l, 0, sizeof *l);
    l->w = w;
    CHECK_OK(spx_channel_pair(&l->client, &l->server, &w->channel));
    assert_int_equal(pthread_create(&l->thread, NULL, pi_serve_thread, l), 0);
}

static inline void pi_hang_up(pi_link *l)
{
    spx_channel_close(l->client);
    assert_int_equal(pthread_join(l->thread, NULL), 0);
}

/* The logits the specification gives. */
static inline void pi_expected(const pi_world *w, const uint8_t *image, int64_t *logits)
{
    CHECK_OK(spx_deploy_run_integer(w->model, NULL, 1, image, logits));
}

#endif
