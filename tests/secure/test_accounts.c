/* What a server's clients may have, counted by who authenticates; memory. */
#define _DEFAULT_SOURCE
#include "tests/secure/customer.h"

#include <stdatomic.h>

/* ---- limits ---- */

static void prepare_up_to(unsigned limit)
{
    const spx_pi_server_options o = {.query_limit = limit};
    char said[80];
    pi_world w;
    customer c;
    pi_begin(&w, 11, &o);
    spx_vault *v = pi_vault(&w, "client");
    CHECK_OK(come(&c, &w, v, NULL));
    CHECK_FAILS(SPX_EIO, prepare(&c, limit + 1));
    (void)snprintf(said, sizeof said, "may prepare %u more of its %u queries, not %u", limit, limit,
                   limit + 1);
    assert_non_null(strstr(spx_error_message(), said));
    go(&c);
    CHECK_OK(come(&c, &w, v, NULL));
    CHECK_OK(prepare(&c, limit));
    for (unsigned i = 0; i < limit; i++) {
        CHECK_OK(ask(&c));
    }
    go(&c);
    assert_int_equal(c.link.served.ever_prepared, limit);
    assert_int_equal(c.link.served.ever_answered, limit);
    CHECK_OK(come(&c, &w, v, NULL));
    CHECK_FAILS(SPX_EIO, prepare(&c, 1)); /* it is preparing that tells of the weights */
    assert_non_null(strstr(spx_error_message(), "0 more"));
    go(&c);
    spx_vault_close(v);
    pi_end(&w);
}

SPX_TEST(a_limit_counts_what_is_prepared)
{
    SPX_UNUSED;
    prepare_up_to(1);
    prepare_up_to(2);
}

/* Leaves in the middle of preparing its second unit of four. */
static void leave_early(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)what;
    (void)total;
    if (done == 1) {
        spx_channel_give_up(ctx, "enough");
    }
}

SPX_TEST(units_that_were_begun_count_and_those_never_begun_do_not)
{
    SPX_UNUSED;
    const spx_pi_server_options o = {.query_limit = 4};
    pi_world w;
    customer c;
    pi_begin(&w, 12, &o);
    spx_vault *v = pi_vault(&w, "client");
    CHECK_OK(come(&c, &w, v, NULL));
    assert_int_not_equal(
        spx_pi_client_prepare(c.p, 4, NULL, leave_early, c.link.client, NULL, NULL), SPX_OK);
    go(&c);
    assert_int_equal(c.link.served.ever_prepared, 2);
    CHECK_OK(come(&c, &w, v, NULL));
    CHECK_FAILS(SPX_EIO, prepare(&c, 3));
    assert_non_null(strstr(spx_error_message(), "2 more of its 4"));
    go(&c);
    CHECK_OK(come(&c, &w, v, NULL));
    CHECK_OK(prepare(&c, 2));
    CHECK_OK(ask(&c));
    go(&c);
    spx_vault_close(v);
    pi_end(&w);
}

SPX_TEST(limit_and_quota_are_those_of_a_name_whatever_identity_it_makes_up)
{
    SPX_UNUSED;
    for (int i = 0; i < 2; i++) {
        spx_pi_server_options o = {.query_limit = i == 0 ? 2 : 0};
        char a[600], b[600];
        pi_world w;
        customer c;
        begin_with_keys(&w, 18, NULL, a, b);
        spx_pi_server_destroy(w.server);
        if (i == 1) { /* room for two units and no third */
            spx_pi_plan *p;
            CHECK_OK(spx_pi_plan_create(&p, w.model));
            o.quota_bytes = 5 * (spx_pi_plan_sizes(p)->server_bytes + 65536) / 2;
            spx_pi_plan_destroy(p);
        }
        CHECK_OK(spx_pi_server_create(&w.server, w.model, w.server_vault, &o));
        for (int k = 0; k < 3; k++) { /* each time a new vault, so a new identity */
            char name[16];
            (void)snprintf(name, sizeof name, "client%d", k);
            spx_vault *v = pi_vault(&w, name);
            CHECK_OK(come(&c, &w, v, a));
            const spx_status st = prepare(&c, 1);
            assert_int_equal(st, k < 2 ? SPX_OK : SPX_EIO);
            assert_true(k < 2 ||
                        strstr(spx_error_message(), i == 0 ? "0 more" : "may hold") != NULL);
            go(&c);
            spx_vault_close(v);
        }
        spx_vault *v = pi_vault(&w, "another");
        CHECK_OK(come(&c, &w, v, b)); /* another's are its own */
        CHECK_OK(prepare(&c, 2));
        go(&c);
        spx_vault_close(v);
        pi_end(&w);
    }
}

SPX_TEST(a_name_has_so_many_state_folders)
{
    SPX_UNUSED;
    const spx_pi_server_options o = {.identities = 2};
    char a[600], b[600];
    pi_world w;
    customer c[3];
    spx_vault *v[3];
    begin_with_keys(&w, 19, &o, a, b);
    for (int i = 0; i < 3; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "client%d", i);
        v[i] = pi_vault(&w, name);
    }
    CHECK_OK(come(&c[0], &w, v[0], a));
    CHECK_OK(come(&c[1], &w, v[1], a));
    CHECK_OK(prepare(&c[0], 1));
    CHECK_OK(prepare(&c[1], 1));
    go(&c[0]);
    CHECK_OK(come(&c[2], &w, v[2], a));
    CHECK_FAILS(SPX_EIO, prepare(&c[2], 1));
    assert_non_null(strstr(spx_error_message(), "2 state folders"));
    go(&c[2]);
    CHECK_OK(prepare(&c[1], 1));
    go(&c[1]);
    for (int i = 0; i < 3; i++) {
        spx_vault_close(v[i]);
    }
    pi_end(&w);
}

typedef struct late {
    customer c;
    pi_world *w;
    spx_vault *v;
    const char *keys;
    spx_status st;
    atomic_bool there;
} late;

static void *come_late(void *arg)
{
    late *l = arg;
    l->st = come(&l->c, l->w, l->v, l->keys);
    atomic_store(&l->there, true);
    return NULL;
}

/* Of four places one name has three; its next connection waits, another name's does not. */
SPX_TEST(a_name_has_its_share_of_places)
{
    SPX_UNUSED;
    const spx_pi_server_options o = {.clients = 4};
    char a[600], b[600];
    pi_world w;
    customer c[4];
    spx_vault *v[5];
    pthread_t thread;
    begin_with_keys(&w, 27, &o, a, b);
    for (int i = 0; i < 5; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "client%d", i);
        v[i] = pi_vault(&w, name);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_OK(come(&c[i], &w, v[i], a));
    }
    late l = {.w = &w, .v = v[3], .keys = a};
    assert_int_equal(pthread_create(&thread, NULL, come_late, &l), 0);
    pause_ms(300);
    assert_false(atomic_load(&l.there));
    CHECK_OK(come(&c[3], &w, v[4], b));
    CHECK_OK(prepare(&c[3], 1));
    assert_false(atomic_load(&l.there));
    go(&c[0]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(l.st, SPX_OK);
    go(&l.c);
    for (int i = 1; i < 4; i++) {
        go(&c[i]);
    }
    for (int i = 0; i < 5; i++) {
        spx_vault_close(v[i]);
    }
    pi_end(&w);
}

SPX_TEST(a_quota_is_of_one_model)
{
    SPX_UNUSED;
    spx_pi_server_options o = {0};
    char name[SPX_PI_NAME];
    uint8_t other[SPX_PI_HASH];
    pi_world w;
    customer c;
    pi_begin(&w, 29, NULL);
    spx_vault *v = pi_vault(&w, "client");
    const size_t unit = (size_t)spx_pi_plan_sizes(w.server->plan)->server_bytes + 65536;
    void *anything = calloc(1, unit);
    assert_non_null(anything);
    memcpy(other, w.model->hash, sizeof other);
    other[0] ^= 1;
    spx_pi_name(name, 't', spx_vault_id(v), other, 0);
    CHECK_OK(spx_vault_put(w.server_vault, name, anything, unit));
    free(anything);
    o.quota_bytes = unit + unit / 2;
    restart(&w, &o);
    CHECK_OK(come(&c, &w, v, NULL));
    CHECK_OK(prepare(&c, 1));
    CHECK_FAILS(SPX_EIO, prepare(&c, 1));
    assert_non_null(strstr(spx_error_message(), "may hold"));
    go(&c);
    spx_vault_close(v);
    pi_end(&w);
}

/* ---- whose material is whose ---- */

SPX_TEST(material_is_kept_for_each_name_and_for_none)
{
    SPX_UNUSED;
    char a[600], b[600];
    const char *as[3];
    pi_world w;
    customer c;
    begin_with_keys(&w, 20, NULL, a, b);
    spx_vault *v = pi_vault(&w, "client"); /* b has a copy of it, say */
    as[0] = NULL;                          /* plain at first, then with keys */
    as[1] = a;
    as[2] = b;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++) {
            CHECK_OK(come(&c, &w, v, as[i]));
            assert_int_equal(spx_pi_client_ready(c.p), round == 0 ? 0 : 1);
            if (round == 0) {
                CHECK_OK(prepare(&c, 2));
            }
            CHECK_OK(ask(&c));
            go(&c);
        }
    }
    spx_vault_close(v);
    pi_end(&w);
}

/* ---- what strangers leave, and what a query costs ---- */

SPX_TEST(who_only_comes_leaves_no_file)
{
    SPX_UNUSED;
    pi_world w;
    pi_begin(&w, 21, NULL);
    const int before = files(&w, "");
    for (int i = 0; i < 20; i++) {
        spx_pi_hello h = {.magic = SPX_PI_MAGIC, .version = SPX_PI_VERSION};
        spx_pi_command bye = {.verb = SPX_PI_BYE};
        uint64_t spent = 1 + (uint64_t)i; /* what made a ledger once */
        spx_pi_welcome welcome;
        pi_link l;
        void *model;
        h.client[0] = (uint8_t)i;
        pi_dial(&l, &w);
        CHECK_OK(spx_pi_send(l.client, SPX_PI_HELLO, spx_pi_hello_fields, &h));
        CHECK_OK(spx_pi_recv(l.client, SPX_PI_WELCOME, spx_pi_welcome_fields, &welcome));
        model = malloc(welcome.model_bytes);
        assert_non_null(model);
        CHECK_OK(spx_channel_recv(l.client, SPX_PI_MODEL, model, welcome.model_bytes));
        free(model);
        CHECK_OK(spx_pi_send(l.client, SPX_PI_STATE, spx_pi_number_fields, &spent));
        CHECK_OK(spx_pi_send(l.client, SPX_PI_COMMAND, spx_pi_command_fields, &bye));
        CHECK_OK(spx_channel_flush(l.client));
        pi_hang_up(&l);
        assert_int_equal(l.st, SPX_OK);
    }
    assert_int_equal(files(&w, ""), before);
    pi_end(&w);
}

/* Every look at a folder's next entry, by whatever part of the program (--wrap). */
static atomic_long entries_read;
struct dirent *__real_readdir(DIR *d);
struct dirent *__wrap_readdir(DIR *d);
struct dirent *__wrap_readdir(DIR *d)
{
    (void)atomic_fetch_add(&entries_read, 1);
    return __real_readdir(d);
}

/* A conversation with limit and quota opens no file of another account, since damage in them is
 * not even noticed, and does not list the folder: neither preparing nor asking takes longer the
 * more clients there are. */
SPX_TEST(a_query_looks_at_no_other_clients_files)
{
    SPX_UNUSED;
    enum { OTHERS = 300 };
    const spx_pi_server_options o = {.query_limit = 1000, .quota_bytes = (uint64_t)1 << 40};
    char a[600], b[600];
    pi_world w;
    customer c;
    begin_with_keys(&w, 22, &o, a, b);
    spx_vault *v = pi_vault(&w, "client");
    for (int i = 0; i < OTHERS; i++) {
        char name[SPX_PI_NAME];
        uint8_t id[SPX_PI_ID] = {(uint8_t)i, (uint8_t)(i >> 8), 9};
        const char kind[] = {'l', 'a', 't'};
        for (size_t k = 0; k < sizeof kind; k++) {
            char path[800];
            spx_pi_name(name, kind[k], id, w.model->hash, kind[k] == 't' ? 0 : -1);
            (void)snprintf(path, sizeof path, "%s/server/%s", w.scratch.folder, name);
            assert_int_equal(mkfifo(path, 0600), 0); /* who opened it would fail */
        }
    }
    const long before = atomic_load(&entries_read);
    assert_true(before > 0); /* both vaults were looked through when they were opened */
    CHECK_OK(come(&c, &w, v, a));
    CHECK_OK(prepare(&c, 2));
    CHECK_OK(ask(&c));
    CHECK_OK(ask(&c));
    go(&c);
    assert_int_equal(c.link.st, SPX_OK);
    assert_in_range(atomic_load(&entries_read) - before, 0, 20); /* the client's own folder, once */
    spx_vault_close(v);
    pi_end(&w);
}

/* ---- memory ---- */

/* Stops in the middle of a query, right after READY. */
static void stall(customer *c, pi_world *w, spx_vault *v, uint64_t *ready)
{
    spx_pi_command ask_for = {.verb = SPX_PI_INFER};
    spx_vault_reader *r;
    spx_pi_unit u;
    char name[SPX_PI_NAME];
    CHECK_OK(come(c, w, v, NULL));
    CHECK_OK(prepare(c, 1));
    spx_pi_name(name, 'u', spx_vault_id(w->server_vault), w->model->hash, 0);
    CHECK_OK(spx_vault_reader_open(&r, v, name));
    CHECK_OK(spx_pi_read(r, spx_pi_unit_fields, &u));
    spx_vault_reader_close(r);
    ask_for.arg = u.head.number;
    ask_for.start = u.key.start;
    CHECK_OK(spx_pi_send(c->link.client, SPX_PI_COMMAND, spx_pi_command_fields, &ask_for));
    spx_channel_alive(c->link.client, false);
    CHECK_OK(spx_pi_recv(c->link.client, SPX_PI_READY, spx_pi_number_fields, ready));
}

SPX_TEST(clients_that_stall_hold_no_more_memory_than_there_is)
{
    SPX_UNUSED;
    enum { CLIENTS = 4 };
    spx_pi_server_options o = {.memory_bytes = 1};
    customer c[CLIENTS];
    spx_vault *v[CLIENTS];
    pi_world w;
    size_t least;
    char wanted[48];
    pi_begin(&w, 26, NULL);
    least = w.server->query_bytes + 2 * w.server->piece_bytes;
    least = least > w.server->prepare_bytes ? least : w.server->prepare_bytes;
    spx_pi_server_destroy(w.server);
    CHECK_FAILS(SPX_EINVAL, spx_pi_server_create(&w.server, w.model, w.server_vault, &o));
    (void)snprintf(wanted, sizeof wanted, "give at least %zuM", (least >> 20) + 2);
    assert_non_null(strstr(spx_error_message(), wanted));
    o.memory_bytes = 2 * least; /* the later clients take what the first hold on to */
    CHECK_OK(spx_pi_server_create(&w.server, w.model, w.server_vault, &o));
    for (int i = 0; i < CLIENTS; i++) {
        char name[16];
        uint64_t ready = 0;
        (void)snprintf(name, sizeof name, "client%d", i);
        v[i] = pi_vault(&w, name);
        stall(&c[i], &w, v[i], &ready);
        assert_int_equal(ready, 1);
        assert_true(w.server->queue.left < o.memory_bytes);
    }
    for (int i = 0; i < CLIENTS; i++) {
        go(&c[i]);
        spx_vault_close(v[i]);
    }
    assert_non_null(strstr(c[0].link.message, "kept the server waiting"));
    assert_int_equal(w.server->queue.left, o.memory_bytes); /* all came back */
    pi_end(&w);
}

/* Who may not have what it asks for is told at once, though another holds the memory, and does not
 * stand in a line for which that other is cut. */
SPX_TEST(who_is_refused_does_not_wait_for_memory)
{
    SPX_UNUSED;
    spx_pi_server_options o = {.query_limit = 1};
    customer c[2];
    uint64_t ready;
    pi_world w;
    pi_begin(&w, 32, NULL);
    o.memory_bytes = w.server->query_bytes + 2 * w.server->piece_bytes;
    o.memory_bytes =
        o.memory_bytes > w.server->prepare_bytes ? o.memory_bytes : w.server->prepare_bytes;
    restart(&w, &o);
    spx_vault *v = pi_vault(&w, "holds"), *refused = pi_vault(&w, "refused");
    stall(&c[0], &w, v, &ready);
    assert_true(w.server->queue.left < w.server->prepare_bytes);
    CHECK_OK(come(&c[1], &w, refused, NULL));
    CHECK_FAILS(SPX_EIO, prepare(&c[1], 2));
    assert_non_null(strstr(spx_error_message(), "may prepare 1 more"));
    go(&c[1]);
    go(&c[0]);
    assert_null(strstr(c[0].link.message, "kept the server waiting"));
    spx_vault_close(v);
    spx_vault_close(refused);
    pi_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_limit_counts_what_is_prepared),
        SPX_UNIT(units_that_were_begun_count_and_those_never_begun_do_not),
        SPX_UNIT(limit_and_quota_are_those_of_a_name_whatever_identity_it_makes_up),
        SPX_UNIT(a_name_has_so_many_state_folders),
        SPX_UNIT(a_name_has_its_share_of_places),
        SPX_UNIT(a_quota_is_of_one_model),
        SPX_UNIT(material_is_kept_for_each_name_and_for_none),
        SPX_UNIT(who_only_comes_leaves_no_file),
        SPX_UNIT(a_query_looks_at_no_other_clients_files),
        SPX_UNIT(clients_that_stall_hold_no_more_memory_than_there_is),
        SPX_UNIT(who_is_refused_does_not_wait_for_memory),
    };
    (void)umask(077); /* keys that others can read are refused */
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
