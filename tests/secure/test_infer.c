#define _DEFAULT_SOURCE
#include "host/secure/infer/pi_private.h"
#include "tests/secure/pi_fixture.h"
#include "tests/secure/pi_proxy.h"

#include <limits.h>
#include <sys/stat.h>

#define CLASSES 10

/* One query; the logits must be the specification's. */
static void ask(pi_world *w, spx_pi_client *p, spx_pi_cost *online)
{
    const uint8_t *image = fixture_image(&w->fixture, w->model);
    int64_t got[CLASSES], want[CLASSES];
    CHECK_OK(spx_pi_client_infer(p, image, got, NULL, online, NULL));
    pi_expected(w, image, want);
    assert_memory_equal(got, want, sizeof got);
}

SPX_TEST(private_logits_are_the_integer_executors_bit_for_bit)
{
    SPX_UNUSED;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        pi_world w;
        pi_link l;
        spx_pi_client *p;
        pi_begin(&w, seed, NULL);
        spx_vault *v = pi_vault(&w, "client");
        pi_dial(&l, &w);
        CHECK_OK(spx_pi_client_open(&p, l.client, v, w.model->hash));
        CHECK_OK(spx_pi_client_prepare(p, 3, NULL, NULL, NULL, NULL, NULL));
        for (int i = 0; i < 3; i++) {
            ask(&w, p, NULL);
        }
        int64_t logits[CLASSES];
        CHECK_FAILS(SPX_ENOTFOUND, spx_pi_client_infer(p, fixture_image(&w.fixture, w.model),
                                                       logits, NULL, NULL, NULL));
        spx_pi_client_close(p);
        pi_hang_up(&l);
        assert_int_equal(l.st, SPX_OK);
        assert_int_equal(l.served.prepared, 3);
        assert_int_equal(l.served.answered, 3);
        spx_vault_close(v);
        pi_end(&w);
    }
}

SPX_TEST(material_waits_for_later_connections)
{
    SPX_UNUSED;
    pi_world w;
    pi_begin(&w, 4, NULL);
    spx_vault *v = pi_vault(&w, "client");
    for (int i = 0; i < 3; i++) {
        pi_link l;
        spx_pi_client *p;
        pi_dial(&l, &w);
        CHECK_OK(spx_pi_client_open(&p, l.client, v, NULL));
        assert_int_equal(spx_pi_client_ready(p), i == 0 ? 0 : 2);
        CHECK_OK(spx_pi_client_prepare(p, i == 0 ? 3 : 1, NULL, NULL, NULL, NULL, NULL));
        ask(&w, p, NULL);
        spx_pi_client_close(p);
        pi_hang_up(&l);
        assert_int_equal(l.st, SPX_OK);
    }
    spx_vault_close(v);
    pi_end(&w);
}

SPX_TEST(bytes_and_rounds_are_those_predicted)
{
    SPX_UNUSED;
    pi_world w;
    pi_link l;
    spx_pi_client *p;
    spx_pi_cost offline = {0}, online = {0};
    pi_begin(&w, 5, NULL);
    spx_vault *v = pi_vault(&w, "client");
    pi_dial(&l, &w);
    CHECK_OK(spx_pi_client_open(&p, l.client, v, NULL));
    const spx_pi_sizes *s = spx_pi_plan_sizes(spx_pi_client_plan(p));
    CHECK_OK(spx_pi_client_prepare(p, 2, NULL, NULL, NULL, &offline, NULL));
    ask(&w, p, &online);
    assert_int_equal(offline.sent, s->batch_to_server + 2 * s->offline_to_server);
    assert_int_equal(offline.received, s->batch_to_client + 2 * s->offline_to_client);
    assert_int_equal(offline.rounds, 2 + 2 * s->offline_rounds); /* allow, trees */
    assert_int_equal(online.sent, s->online_to_server);
    assert_int_equal(online.received, s->online_to_client);
    assert_int_equal(online.rounds, s->online_rounds);
    assert_int_equal(s->relus, spx_deploy_relus(w.model));
    spx_pi_client_close(p);
    pi_hang_up(&l);
    spx_vault_close(v);
    pi_end(&w);
}

SPX_TEST(another_model_than_the_wanted_is_refused_by_both)
{
    SPX_UNUSED;
    pi_world w;
    pi_link l;
    spx_pi_client *p;
    unsigned char hash[SPX_DEPLOY_HASH_BYTES];
    pi_begin(&w, 6, NULL);
    spx_vault *v = pi_vault(&w, "client");
    memcpy(hash, w.model->hash, sizeof hash);
    hash[5] ^= 1;
    pi_dial(&l, &w);
    CHECK_FAILS(SPX_EIO, spx_pi_client_open(&p, l.client, v, hash));
    assert_non_null(strstr(spx_error_message(), "another model"));
    pi_hang_up(&l);
    assert_int_equal(l.st, SPX_EINVAL);
    spx_vault_close(v);
    pi_end(&w);
}

/* ---- what is spent stays spent ---- */

/* Copies (or puts back) a vault's folder. */
static void copy_folder(pi_world *w, const char *from, const char *to)
{
    char command[1400];
    (void)snprintf(command, sizeof command, "rm -rf '%s/%s' && cp -a '%s/%s' '%s/%s'",
                   w->scratch.folder, to, w->scratch.folder, from, w->scratch.folder, to);
    assert_int_equal(system(command), 0);
}

static void prepare_and_ask(pi_world *w, spx_vault *v, uint64_t prepare, int queries)
{
    pi_link l;
    spx_pi_client *p;
    pi_dial(&l, w);
    CHECK_OK(spx_pi_client_open(&p, l.client, v, NULL));
    if (prepare > 0) {
        CHECK_OK(spx_pi_client_prepare(p, prepare, NULL, NULL, NULL, NULL, NULL));
    }
    for (int i = 0; i < queries; i++) {
        ask(w, p, NULL);
    }
    spx_pi_client_close(p);
    pi_hang_up(&l);
    assert_int_equal(l.st, SPX_OK);
}

SPX_TEST(a_client_put_back_to_an_earlier_state_cannot_spend_twice)
{
    SPX_UNUSED;
    pi_world w;
    pi_link l;
    spx_pi_client *p;
    pi_begin(&w, 7, NULL);
    spx_vault *v = pi_vault(&w, "client");
    prepare_and_ask(&w, v, 3, 0);
    spx_vault_close(v);
    copy_folder(&w, "client", "backup");
    v = pi_vault(&w, "client");
    prepare_and_ask(&w, v, 0, 2);
    spx_vault_close(v);
    copy_folder(&w, "backup", "client");
    v = pi_vault(&w, "client");
    pi_dial(&l, &w);
    CHECK_OK(spx_pi_client_open(&p, l.client, v, NULL));
    assert_int_equal(spx_pi_client_ready(p), 1); /* not 3: the server knows better */
    ask(&w, p, NULL);
    spx_pi_client_close(p);
    pi_hang_up(&l);
    spx_vault_close(v);
    pi_end(&w);
}

SPX_TEST(a_server_put_back_to_an_earlier_state_cannot_spend_twice)
{
    SPX_UNUSED;
    pi_world w;
    pi_link l;
    spx_pi_client *p;
    const spx_pi_server_options o = {0};
    pi_begin(&w, 8, NULL);
    spx_vault *v = pi_vault(&w, "client");
    prepare_and_ask(&w, v, 3, 0);
    spx_pi_server_destroy(w.server);
    spx_vault_close(w.server_vault);
    copy_folder(&w, "server", "backup");
    for (int i = 0; i < 2; i++) {
        w.server_vault = pi_vault(&w, "server");
        CHECK_OK(spx_pi_server_create(&w.server, w.model, w.server_vault, &o));
        if (i == 0) {
            prepare_and_ask(&w, v, 0, 2);
            spx_pi_server_destroy(w.server);
            spx_vault_close(w.server_vault);
            copy_folder(&w, "backup", "server");
        }
    }
    pi_dial(&l, &w);
    CHECK_OK(spx_pi_client_open(&p, l.client, v, NULL));
    assert_int_equal(spx_pi_client_ready(p), 1);
    ask(&w, p, NULL);
    /* New material is numbered above all that either party has seen. */
    CHECK_OK(spx_pi_client_prepare(p, 1, NULL, NULL, NULL, NULL, NULL));
    ask(&w, p, NULL);
    spx_pi_client_close(p);
    pi_hang_up(&l);
    spx_vault_close(v);
    pi_end(&w);
}

/* The server goes back to before it had this client's material, the client keeps it. */
static void reset_server(pi_world *w, const char *to)
{
    const spx_pi_server_options o = {0};
    spx_pi_server_destroy(w->server);
    spx_vault_close(w->server_vault);
    copy_folder(w, to, "server");
    w->server_vault = pi_vault(w, "server");
    CHECK_OK(spx_pi_server_create(&w->server, w->model, w->server_vault, &o));
}

SPX_TEST(material_that_a_restored_server_never_made_is_passed_over)
{
    SPX_UNUSED;
    pi_world w;
    pi_link l;
    spx_pi_client *p;
    int64_t logits[CLASSES];
    pi_begin(&w, 15, NULL);
    spx_vault *v = pi_vault(&w, "client");
    copy_folder(&w, "server", "empty");
    prepare_and_ask(&w, v, 2, 0);
    reset_server(&w, "empty");
    pi_dial(&l, &w);
    CHECK_OK(spx_pi_client_open(&p, l.client, v, NULL));
    assert_int_equal(spx_pi_client_ready(p), 2);
    CHECK_FAILS(SPX_ENOTFOUND, spx_pi_client_infer(p, fixture_image(&w.fixture, w.model), logits,
                                                   NULL, NULL, NULL));
    CHECK_OK(spx_pi_client_prepare(p, 1, NULL, NULL, NULL, NULL, NULL));
    ask(&w, p, NULL);
    spx_pi_client_close(p);
    pi_hang_up(&l);
    spx_vault_close(v);
    pi_end(&w);
}

/* Numbers that a restored server gives out again: the parties' units differ, and must not meet. */
SPX_TEST(two_units_of_one_number_are_not_taken_for_one)
{
    SPX_UNUSED;
    pi_world w;
    pi_link l;
    spx_pi_client *p;
    int64_t logits[CLASSES];
    pi_begin(&w, 16, NULL);
    spx_vault *v = pi_vault(&w, "client");
    copy_folder(&w, "server", "empty");
    prepare_and_ask(&w, v, 2, 0);
    spx_vault_close(v);
    copy_folder(&w, "client", "backup");
    reset_server(&w, "empty");
    v = pi_vault(&w, "client");
    prepare_and_ask(&w, v, 2, 0);
    spx_vault_close(v);
    copy_folder(&w, "backup", "client");
    v = pi_vault(&w, "client");
    pi_dial(&l, &w);
    CHECK_OK(spx_pi_client_open(&p, l.client, v, NULL));
    assert_int_equal(spx_pi_client_ready(p), 2);
    CHECK_FAILS(SPX_ENOTFOUND, spx_pi_client_infer(p, fixture_image(&w.fixture, w.model), logits,
                                                   NULL, NULL, NULL));
    spx_pi_client_close(p);
    pi_hang_up(&l);
    assert_int_equal(l.served.answered, 0);
    spx_vault_close(v);
    pi_end(&w);
}

/* ---- a connection cut after every message ---- */

/* Prepares one query and asks it through a proxy that cuts after `limit` frames. Returns how it
 * ended at the client; the server's thread has ended too, without hanging. */
static spx_status cut_story(pi_world *w, spx_vault *v, const uint8_t *image, long limit, long *seen)
{
    spx_listener *l;
    spx_pi_client *p = NULL;
    pi_link link = {.w = w};
    pi_proxy x;
    char address[64];
    int64_t got[CLASSES], want[CLASSES];
    spx_status st;
    CHECK_OK(spx_listener_open(&l, "127.0.0.1:0", &w->channel));
    pi_proxy_begin(&x, spx_listener_port(l), limit);
    assert_int_equal(pthread_create(&x.thread, NULL, pi_run_proxy, &x), 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", x.port);
    CHECK_OK(spx_channel_connect(&link.client, address, &w->channel));
    CHECK_OK(spx_listener_accept(l, &link.server));
    assert_int_equal(pthread_create(&link.thread, NULL, pi_serve_thread, &link), 0);
    st = spx_pi_client_open(&p, link.client, v, NULL);
    if (st == SPX_OK) {
        st = spx_pi_client_prepare(p, 1, NULL, NULL, NULL, NULL, NULL);
    }
    if (st == SPX_OK) {
        st = spx_pi_client_infer(p, image, got, NULL, NULL, NULL);
    }
    if (st == SPX_OK) {
        pi_expected(w, image, want);
        assert_memory_equal(got, want, sizeof got);
    } else {
        assert_true(spx_error_message()[0] != '\0');
    }
    spx_pi_client_close(p);
    assert_null(strstr(spx_error_message(), "connection is broken")); /* but why it is */
    pi_hang_up(&link);
    assert_true(link.st == SPX_OK || link.message[0] != '\0');
    assert_int_equal(pthread_join(x.thread, NULL), 0);
    (void)close(x.listening);
    spx_listener_close(l);
    *seen = x.seen;
    return st;
}

SPX_TEST(a_connection_cut_at_any_message_ends_both_sides_and_the_server_lives_on)
{
    SPX_UNUSED;
    pi_world w;
    long all, seen;
    pi_begin(&w, 9, NULL);
    const uint8_t *image = fixture_image(&w.fixture, w.model);
    spx_vault *v = pi_vault(&w, "client");
    CHECK_OK(cut_story(&w, v, image, LONG_MAX, &all));
    assert_true(all > 20);
    for (long cut = 0; cut < all - 1; cut++) { /* the last message is the farewell */
        const spx_status st = cut_story(&w, v, image, cut, &seen);
        assert_int_equal(seen, cut);
        assert_int_not_equal(st, SPX_OK);
    }
    prepare_and_ask(&w, v, 1, 1);
    spx_vault_close(v);
    pi_end(&w);
}

/* ---- limits ---- */

SPX_TEST(what_a_server_claims_is_refused_with_the_limit)
{
    SPX_UNUSED;
    static const struct {
        uint64_t model_bytes, spent;
        const char *said;
    } row[] = {{((uint64_t)64 << 20) + 1, 0, "67108865 bytes, at most 67108864 are read"},
               {1, 1000000000000, "1000000000000 units are spent, there are at most 999999999999"}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        spx_pi_welcome m = {.magic = SPX_PI_MAGIC,
                            .version = SPX_PI_VERSION,
                            .model_bytes = row[i].model_bytes,
                            .spent = row[i].spent};
        spx_channel *client, *server;
        spx_pi_client *p;
        pi_world w;
        pi_begin(&w, 9, NULL);
        spx_vault *v = pi_vault(&w, "client");
        CHECK_OK(spx_channel_pair(&client, &server, &w.channel));
        CHECK_OK(spx_pi_send(server, SPX_PI_WELCOME, spx_pi_welcome_fields, &m));
        CHECK_OK(spx_channel_flush(server));
        CHECK_FAILS(SPX_EFORMAT, spx_pi_client_open(&p, client, v, NULL));
        assert_non_null(strstr(spx_error_message(), row[i].said));
        spx_channel_close(client);
        spx_channel_close(server);
        spx_vault_close(v);
        pi_end(&w);
    }
}

SPX_TEST(quotas_and_limits_are_told_to_the_client)
{
    SPX_UNUSED;
    const struct {
        spx_pi_server_options o;
        uint64_t prepare;
        const char *say;
    } row[] = {{{.quota_bytes = 1000}, 1, "may hold"}, {{.batch_limit = 2}, 3, "1 to 2"}};
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        pi_world w;
        pi_link l;
        spx_pi_client *p;
        pi_begin(&w, 10, &row[i].o);
        spx_vault *v = pi_vault(&w, "client");
        pi_dial(&l, &w);
        CHECK_OK(spx_pi_client_open(&p, l.client, v, NULL));
        CHECK_FAILS(SPX_EIO,
                    spx_pi_client_prepare(p, row[i].prepare, NULL, NULL, NULL, NULL, NULL));
        assert_non_null(strstr(spx_error_message(), row[i].say));
        spx_pi_client_close(p);
        pi_hang_up(&l);
        spx_vault_close(v);
        pi_end(&w);
    }
}

SPX_TEST(a_server_keeps_the_names_of_its_files_to_itself)
{
    SPX_UNUSED;
    char name[SPX_PI_NAME], in_the_way[700];
    pi_world w;
    pi_link l;
    spx_pi_client *p;
    pi_begin(&w, 19, NULL);
    spx_vault *v = pi_vault(&w, "client");
    spx_pi_name(name, 'l', spx_vault_id(v), w.model->hash, -1);
    (void)snprintf(in_the_way, sizeof in_the_way, "%s/server/.tmp-%s", w.scratch.folder, name);
    assert_int_equal(mkdir(in_the_way, 0700), 0); /* so that no ledger can be written */
    pi_dial(&l, &w);
    CHECK_OK(spx_pi_client_open(&p, l.client, v, NULL));
    CHECK_FAILS(SPX_EIO, spx_pi_client_prepare(p, 1, NULL, NULL, NULL, NULL, NULL));
    assert_non_null(strstr(spx_error_message(), "gave up"));
    assert_null(strchr(spx_error_message(), '/'));
    spx_pi_client_close(p);
    pi_hang_up(&l);
    assert_int_equal(l.st, SPX_EIO);
    assert_non_null(strstr(l.message, name)); /* its own user is told */
    spx_vault_close(v);
    assert_int_equal(rmdir(in_the_way), 0);
    pi_end(&w);
}

/* ---- many clients ---- */

#define EACH 13 /* queries of each of 8 clients: over 100 */

typedef struct customer {
    pi_world *w;
    spx_vault *vault;
    const uint8_t *image[EACH];
    int64_t want[EACH][CLASSES];
    bool ok;
    pthread_t thread;
} customer;

static void *run_customer(void *arg)
{
    customer *c = arg;
    spx_channel *mine, *theirs;
    pi_link link = {.w = c->w};
    spx_pi_client *p = NULL;
    int64_t got[CLASSES];
    bool ok = spx_channel_pair(&mine, &theirs, &c->w->channel) == SPX_OK;
    link.server = theirs;
    ok = ok && pthread_create(&link.thread, NULL, pi_serve_thread, &link) == 0;
    ok = ok && spx_pi_client_open(&p, mine, c->vault, NULL) == SPX_OK &&
         spx_pi_client_prepare(p, EACH, NULL, NULL, NULL, NULL, NULL) == SPX_OK;
    for (int i = 0; ok && i < EACH; i++) {
        ok = spx_pi_client_infer(p, c->image[i], got, NULL, NULL, NULL) == SPX_OK &&
             memcmp(got, c->want[i], sizeof got) == 0;
    }
    spx_pi_client_close(p);
    spx_channel_close(mine);
    ok = pthread_join(link.thread, NULL) == 0 && ok;
    c->ok = ok && link.st == SPX_OK;
    return NULL;
}

SPX_TEST(clients_are_served_at_the_same_time_each_bit_exact)
{
    SPX_UNUSED;
    enum { CLIENTS = 8 };
    customer c[CLIENTS];
    pi_world w;
    pi_begin(&w, 12, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "client%d", i);
        c[i] = (customer){.w = &w, .vault = pi_vault(&w, name)};
        for (int k = 0; k < EACH; k++) {
            c[i].image[k] = fixture_image(&w.fixture, w.model);
            pi_expected(&w, c[i].image[k], c[i].want[k]);
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_create(&c[i].thread, NULL, run_customer, &c[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_join(c[i].thread, NULL), 0);
        assert_true(c[i].ok);
        spx_vault_close(c[i].vault);
    }
    pi_end(&w);
}

SPX_TEST(a_newer_connection_of_a_client_takes_the_place_of_its_older)
{
    SPX_UNUSED;
    pi_world w;
    pi_link l, second;
    spx_pi_client *p, *q;
    pi_begin(&w, 13, NULL);
    spx_vault *v = pi_vault(&w, "client");
    pi_dial(&l, &w); /* whose line died: it says nothing more, and does not close */
    CHECK_OK(spx_pi_client_open(&p, l.client, v, NULL));
    pi_dial(&second, &w);
    CHECK_OK(spx_pi_client_open(&q, second.client, v, NULL));
    CHECK_OK(spx_pi_client_prepare(q, 1, NULL, NULL, NULL, NULL, NULL));
    ask(&w, q, NULL);
    assert_int_equal(pthread_join(l.thread, NULL), 0);
    assert_int_equal(l.st, SPX_EIO);
    assert_non_null(strstr(l.message, "newer connection"));
    CHECK_FAILS(SPX_EIO, spx_pi_client_prepare(p, 1, NULL, NULL, NULL, NULL, NULL));
    assert_non_null(strstr(spx_error_message(), "newer connection")); /* it is told */
    spx_pi_client_close(p);
    spx_channel_close(l.client);
    spx_pi_client_close(q);
    pi_hang_up(&second);
    assert_int_equal(second.st, SPX_OK);
    spx_vault_close(v);
    pi_end(&w);
}

/* ---- hostile peers ---- */

SPX_TEST(noise_in_place_of_a_client_is_refused_without_harm)
{
    SPX_UNUSED;
    pi_world w;
    spx_rng r;
    pi_begin(&w, 14, NULL);
    spx_rng_init(&r, 14, SPX_RNG_TEST, 1);
    w.channel.timeout = 0.2;
    for (int i = 0; i < 200; i++) {
        unsigned char noise[256];
        pi_link l;
        const size_t n = spx_rng_below(&r, sizeof noise);
        for (size_t k = 0; k < n; k++) {
            noise[k] = (unsigned char)spx_rng_u32(&r);
        }
        pi_dial(&l, &w);
        CHECK_OK(spx_channel_send(l.client, 1 + spx_rng_below(&r, 22), noise, n));
        pi_hang_up(&l);
        assert_int_not_equal(l.st, SPX_OK);
        assert_true(l.message[0] != '\0');
    }
    pi_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(private_logits_are_the_integer_executors_bit_for_bit),
        SPX_UNIT(material_waits_for_later_connections),
        SPX_UNIT(bytes_and_rounds_are_those_predicted),
        SPX_UNIT(another_model_than_the_wanted_is_refused_by_both),
        SPX_UNIT(a_client_put_back_to_an_earlier_state_cannot_spend_twice),
        SPX_UNIT(a_server_put_back_to_an_earlier_state_cannot_spend_twice),
        SPX_UNIT(material_that_a_restored_server_never_made_is_passed_over),
        SPX_UNIT(two_units_of_one_number_are_not_taken_for_one),
        SPX_UNIT(a_connection_cut_at_any_message_ends_both_sides_and_the_server_lives_on),
        SPX_UNIT(what_a_server_claims_is_refused_with_the_limit),
        SPX_UNIT(quotas_and_limits_are_told_to_the_client),
        SPX_UNIT(a_server_keeps_the_names_of_its_files_to_itself),
        SPX_UNIT(clients_are_served_at_the_same_time_each_bit_exact),
        SPX_UNIT(a_newer_connection_of_a_client_takes_the_place_of_its_older),
        SPX_UNIT(noise_in_place_of_a_client_is_refused_without_harm),
    };
    (void)umask(077); /* keys that others can read are refused */
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
