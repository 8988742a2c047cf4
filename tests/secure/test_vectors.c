/*
 * Frozen vectors: known seeds to known bytes, the same on every instruction set and machine. A
 * digest that changes means that messages, or what lies in vaults, mean something else than before:
 * then SPX_PI_VERSION (host/secure/infer/pi_private.h) must rise with it.
 */
#define _DEFAULT_SOURCE
#include "host/secure/he/he_private.h"
#include "host/secure/infer/pi_client_private.h"
#include "host/secure/infer/pi_server_private.h"
#include "host/secure/ot/ot.h"
#include "kernels/base/file.h"
#include "tests/he/he_fixture.h"
#include "tests/secure/gc_case.h"
#include "tests/secure/pi_fixture.h"
#include "tests/secure/pi_proxy.h"
#include "tests/support/os_seeded.h"

#include <limits.h>

#define DIGEST 16
#define OTS 3000

static const char *const sets[] = {"portable", "aesni", "avx2", "vaes256", "vaes512", "avx512vl"};

/* Under every instruction set; what the machine lacks falls back to what it has. */
#define FOR_EACH_SET(i)                                                                            \
    for (size_t i = 0; i < sizeof sets / sizeof *sets && setenv("SPHYNX_ISA", sets[i], 1) == 0; i++)

typedef crypto_generichash_state hash;

static void begin(hash *h)
{
    assert_int_equal(crypto_generichash_init(h, NULL, 0, DIGEST), 0);
}

static void take(hash *h, const void *p, size_t n)
{
    assert_int_equal(crypto_generichash_update(h, p, n), 0);
}

static void must_be(hash *h, const char *what, const char *want)
{
    unsigned char d[DIGEST];
    char got[2 * DIGEST + 1];
    assert_int_equal(crypto_generichash_final(h, d, sizeof d), 0);
    (void)sodium_bin2hex(got, sizeof got, d, sizeof d);
    if (strcmp(got, want) != 0) {
        fail_msg("%s: %s, not %s as it was; does SPX_PI_VERSION rise with it?", what, got, want);
    }
}

SPX_TEST(seeds_and_generators)
{
    SPX_UNUSED;
    FOR_EACH_SET(i)
    {
        static uint8_t out[100003];
        const uint64_t number = 7;
        spx_seed s = spx_seed_fixed(1, 2);
        spx_prg p;
        hash h;
        begin(&h);
        spx_seed_derive(&s, &s, "purpose", &number, sizeof number);
        take(&h, s.byte, sizeof s.byte);
        spx_prg_from(&p, &s);
        for (size_t n = 1; n <= sizeof out; n = 10 * n + 3) { /* 1, 13, 133, ... */
            spx_prg_bytes(&p, out, n);
            take(&h, out, n);
        }
        must_be(&h, sets[i], "c039d2a1e0844335902452e82a9e74a5");
    }
}

SPX_TEST(transfers)
{
    SPX_UNUSED;
    FOR_EACH_SET(i)
    {
        uint8_t session[SPX_OT_SESSION_BYTES], hello[SPX_OT_HELLO_BYTES];
        uint8_t points[SPX_OT_POINTS_BYTES], trees[SPX_OT_TREES_BYTES];
        const size_t room = spx_ot_room(OTS), bytes = spx_ot_bytes(OTS);
        uint8_t *choices = gc_case_memory(room / 8), *message = gc_case_memory(bytes);
        spx_block *m = gc_case_memory(room * sizeof *m), *m0 = gc_case_memory(room * sizeof *m0);
        spx_block delta;
        spx_ot_receiver *r;
        spx_ot_sender *s;
        spx_prg prg[2];
        hash h;
        begin(&h);
        spx_prg_seed(&prg[0], 3, 1);
        spx_prg_seed(&prg[1], 3, 2);
        spx_prg_bytes(&prg[0], &delta, sizeof delta);
        delta.w[0] |= 1;
        memset(session, 5, sizeof session);
        CHECK_OK(spx_ot_receiver_create(&r, session, &prg[1], hello));
        CHECK_OK(spx_ot_sender_create(&s, session, delta, &prg[0], hello, sizeof hello, points));
        CHECK_OK(spx_ot_receiver_setup(r, points, sizeof points, trees));
        CHECK_OK(spx_ot_sender_setup(s, trees, sizeof trees));
        take(&h, hello, sizeof hello);
        take(&h, points, sizeof points);
        take(&h, trees, sizeof trees);
        for (int twice = 0; twice < 2; twice++) {
            CHECK_OK(spx_ot_receiver_extend(r, OTS, choices, m, message));
            CHECK_OK(spx_ot_sender_extend(s, OTS, message, bytes, m0));
            take(&h, message, bytes);
            take(&h, choices, OTS / 8);
            take(&h, m, OTS * sizeof *m);
            take(&h, m0, OTS * sizeof *m0);
        }
        must_be(&h, sets[i], "6c4d582c0046bb6fd2839c1f4822da9f");
        spx_ot_sender_destroy(s);
        spx_ot_receiver_destroy(r);
        spx_free(choices);
        spx_free(message);
        spx_free(m);
        spx_free(m0);
    }
}

SPX_TEST(circuits)
{
    static const spx_gc_params params[] = {{2, 0, 1}, {20, 6, 8}, {37, 9, 8}, {64, 30, 32}};
    SPX_UNUSED;
    FOR_EACH_SET(i)
    {
        spx_prg prg;
        hash h;
        begin(&h);
        spx_prg_seed(&prg, 4, 0);
        for (size_t k = 0; k < sizeof params / sizeof *params; k++) {
            gc_case t;
            gc_case_make(&t, &prg, params[k], 200);
            gc_case_give(&t);
            gc_case_run(&t);
            take(&h, &t.key, sizeof t.key);
            take(&h, t.labels, t.wires * sizeof *t.labels);
            take(&h, t.tables, t.bytes);
            take(&h, t.out, t.b.n * sizeof *t.out);
            gc_case_clear(&t);
        }
        must_be(&h, sets[i], "593e7b1242ccb523173eb29345917401");
    }
}

SPX_TEST(encryptions)
{
    static const struct {
        int set;
        const char *digest;
    } known[] = {{0, "61527c6d1576753484b69cda8b6d3f44"},
                 {1, "49bae8d1d2c91879bc3bc13d6f631658"},
                 {2, "f837c31baac9c317296b8c4a47fb8b46"}};
    SPX_UNUSED;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        const he_case c = {"3x3",
                           35,
                           8,
                           known[k].set,
                           1,
                           1,
                           1,
                           {{5, 9, 9}},
                           {{6, 9, 9}},
                           {{.c = 5,
                             .k = 6,
                             .r = 3,
                             .s = 3,
                             .stride = 1,
                             .dilation = 1,
                             .pad_top = 1,
                             .pad_left = 1}}};
        FOR_EACH_SET(i)
        {
            uint8_t *message = he_room(spx_he_public_bytes(c.set));
            he_run run;
            hash h;
            begin(&h);
            he_start(&run, &c, 2, 0, 11);
            he_keys(&run);
            spx_he_key_public(run.key, message);
            he_exchange(&run, NULL);
            he_check(&run, &c);
            take(&h, message, spx_he_public_bytes(c.set));
            take(&h, run.request, 2 * run.facts->request_bytes);
            take(&h, run.response, 2 * run.facts->response_bytes);
            take(&h, run.masks, 2 * run.facts->output_elements * sizeof *run.masks);
            he_end(&run);
            free(message);
            must_be(&h, sets[i], known[k].digest);
        }
    }
    unsetenv("SPHYNX_ISA");
}

/* A file of a vault whose key, salt, name and contents are known. */
SPX_TEST(files_in_vaults)
{
    SPX_UNUSED;
    spx_scratch scratch;
    spx_vault *v;
    spx_vault_writer *w;
    void *data;
    size_t n;
    hash h;
    assert_int_equal(spx_scratch_make(&scratch), 0);
    const char *folder = spx_scratch_path(&scratch, "vault");
    os_begin(5); /* key and id */
    CHECK_OK(spx_vault_open(&v, folder));
    os_begin(6); /* salt */
    CHECK_OK(spx_vault_writer_open(&w, v, "a-name"));
    CHECK_OK(spx_vault_write(w, "the first section", 17));
    CHECK_OK(spx_vault_write(w, "", 0));
    CHECK_OK(spx_vault_write(w, "the last", 8));
    CHECK_OK(spx_vault_commit(w));
    begin(&h);
    take(&h, spx_vault_id(v), SPX_VAULT_ID_BYTES);
    spx_vault_close(v);
    char path[600];
    (void)snprintf(path, sizeof path, "%s/a-name", folder);
    CHECK_OK(spx_file_read(path, 4096, &data, &n));
    take(&h, data, n);
    spx_free(data);
    must_be(&h, "a sealed file", "10451a061e5e27d270bd9ba3b3cabe7d");
    spx_scratch_remove(&scratch);
}

/* A record as it lies in a vault, under its seal. */
static void must_be_record(spx_vault *v, spx_wire_fields *fields, void *m, const char *what,
                           const char *want)
{
    uint8_t bytes[4096];
    const size_t n = sizeof(uint64_t) + spx_wire_size(fields, m);
    hash h;
    CHECK_OK(spx_pi_record_put(v, "record", fields, m));
    CHECK_OK(spx_vault_get(v, "record", bytes, n));
    begin(&h);
    take(&h, bytes, n);
    must_be(&h, what, want);
}

SPX_TEST(records_of_parties)
{
    SPX_UNUSED;
    spx_pi_ledger ledger = {.spent = 1, .next = 2, .answered = 3, .peer = "name"};
    spx_pi_tally tally = {.named = 1, .given = 2, .answered = 3, .n = 4};
    spx_pi_server_record server = {.reserved = 1, .floor = 2, .age_ms = 3};
    uint64_t spent = 7;
    spx_scratch scratch;
    spx_vault *v;
    assert_int_equal(spx_scratch_make(&scratch), 0);
    CHECK_OK(spx_vault_open(&v, spx_scratch_path(&scratch, "vault")));
    for (uint8_t i = 0; i < 4; i++) {
        memset(tally.identity[i].client, i + 5, SPX_PI_ID);
        tally.identity[i].seen_ms = i + 9u;
    }
    must_be_record(v, spx_pi_ledger_fields, &ledger, "a ledger",
                   "85cf83878116d2487e1ceb853ef6fdce");
    must_be_record(v, spx_pi_tally_fields, &tally, "a tally", "0275397efd62afdacb44b4a29c48eddb");
    must_be_record(v, spx_pi_server_record_fields, &server, "a server's record",
                   "4dfd4e51f6116414449b4f5e20e48f99");
    must_be_record(v, spx_pi_number_fields, &spent, "what a client has spent",
                   "8dd1e1a6e93db3f98631f05e9f368939");
    spx_vault_close(v);
    spx_scratch_remove(&scratch);
}

typedef struct heard {
    hash to_server, to_client, at_server, at_client; /* what passes, and a unit at rest */
    uint8_t start[sizeof(spx_block)];
} heard;

static void hear(void *ctx, bool to_server, uint32_t type, const unsigned char *p, size_t n)
{
    heard *h = ctx;
    const uint64_t head[2] = {type, n};
    if (type == SPX_PI_START && n == sizeof h->start) {
        memcpy(h->start, p, n);
    }
    if (type <= SPX_PI_LOGITS) { /* others pass by the clock: "still here" */
        take(to_server ? &h->to_server : &h->to_client, head, sizeof head);
        take(to_server ? &h->to_server : &h->to_client, p, n);
    }
}

static uint64_t server_party;

static void *serve(void *link)
{
    os_begin(server_party);
    return pi_serve_thread(link);
}

static void take_section(hash *h, spx_vault_reader *r, size_t n)
{
    uint8_t *data = malloc(n + 1);
    assert_non_null(data);
    CHECK_OK(spx_vault_read(r, data, n));
    take(h, &n, sizeof n);
    take(h, data, n);
    free(data);
}

/* The batch's first unit at both parties; but for when it was made. */
static void take_units(heard *out, pi_world *w, spx_pi_client *p)
{
    const spx_pi_plan *plan = p->plan;
    spx_pi_server_unit u;
    spx_vault_reader *r;
    char name[SPX_PI_NAME];
    uint8_t bytes[4096];
    spx_pi_name(name, 't', spx_vault_id(p->vault), w->model->hash, 0);
    CHECK_OK(spx_vault_reader_open(&r, w->server_vault, name));
    CHECK_OK(spx_pi_read(r, spx_pi_server_unit_fields, &u));
    u.head.made_ms = 0;
    const size_t n = spx_wire_size(spx_pi_server_unit_fields, &u);
    assert_true(spx_wire_put(spx_pi_server_unit_fields, &u, bytes, n));
    take(&out->at_server, bytes, n);
    take_section(&out->at_server, r, plan->masks * sizeof(uint64_t));
    for (int i = 0; i < plan->n_relus; i++) {
        for (int k = 0; k < plan->relu[i].chunks; k++) {
            const spx_pi_chunk c = spx_pi_chunk_of(&plan->relu[i], k);
            take_section(&out->at_server, r, c.wires * sizeof(spx_block));
            take_section(&out->at_server, r, c.table_bytes);
        }
    }
    take_section(&out->at_server, r, plan->choices);
    spx_vault_reader_close(r);
    spx_pi_name(name, 'u', p->home, w->model->hash, 0);
    CHECK_OK(spx_vault_reader_open(&r, p->vault, name));
    take_section(&out->at_client, r, 144);
    take_section(&out->at_client, r, spx_deploy_count(p->model, p->model->logits) * 8);
    spx_vault_reader_close(r);
}

/* Two units prepared, two questions; both parties' randomness known. @param server  tells the
 * server's from another's */
static void converse(heard *out, uint64_t server)
{
    pi_world w;
    pi_link link = {0};
    pi_proxy x;
    spx_listener *l;
    spx_pi_client *p;
    char address[64];
    int64_t got[10], want[10];
    begin(&out->to_server);
    begin(&out->to_client);
    begin(&out->at_server);
    begin(&out->at_client);
    server_party = server;
    os_begin(2);
    pi_begin(&w, 50, NULL);
    os_begin(1);
    spx_vault *v = pi_vault(&w, "client");
    CHECK_OK(spx_listener_open(&l, "127.0.0.1:0", &w.channel));
    pi_proxy_begin(&x, spx_listener_port(l), LONG_MAX);
    x.see = hear;
    x.ctx = out;
    assert_int_equal(pthread_create(&x.thread, NULL, pi_run_proxy, &x), 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", x.port);
    CHECK_OK(spx_channel_connect(&link.client, address, &w.channel));
    CHECK_OK(spx_listener_accept(l, &link.server));
    link.w = &w;
    assert_int_equal(pthread_create(&link.thread, NULL, serve, &link), 0);
    CHECK_OK(spx_pi_client_open(&p, link.client, v, NULL));
    CHECK_OK(spx_pi_client_prepare(p, 2, NULL, NULL, NULL, NULL, NULL));
    take_units(out, &w, p);
    for (int i = 0; i < 2; i++) {
        const uint8_t *image = fixture_image(&w.fixture, w.model);
        CHECK_OK(spx_pi_client_infer(p, image, got, NULL, NULL, NULL));
        pi_expected(&w, image, want);
        assert_memory_equal(got, want, sizeof got);
    }
    spx_pi_client_close(p);
    pi_hang_up(&link);
    assert_int_equal(link.st, SPX_OK);
    assert_int_equal(pthread_join(x.thread, NULL), 0);
    (void)close(x.listening);
    spx_listener_close(l);
    spx_vault_close(v);
    pi_end(&w);
}

SPX_TEST(a_whole_conversation)
{
    static const char *const ends[] = {"portable", "avx512vl"};
    SPX_UNUSED;
    for (size_t i = 0; i < 2; i++) {
        heard h;
        assert_int_equal(setenv("SPHYNX_ISA", ends[i], 1), 0);
        converse(&h, 10);
        must_be(&h.to_server, "what the client sends", "ec1535a0a71d709e741e5c56a004adcf");
        must_be(&h.to_client, "what the server sends", "8d59e7a3926176fbd5eafcf8c8c0af93");
        must_be(&h.at_server, "a unit at the server", "bee11931c30991033890f18e8647c4e6");
        must_be(&h.at_client, "a unit at the client", "63a4a89ad304da6789dfb86ea7e7313c");
    }
    unsetenv("SPHYNX_ISA");
}

/* Two copies of one client, as of a cloned machine, draw alike; the server's nonce tells them
 * apart before anything of theirs is used. */
SPX_TEST(a_client_that_repeats_itself_prepares_unlike_material)
{
    SPX_UNUSED;
    heard a, b;
    converse(&a, 10);
    converse(&b, 11);
    assert_memory_not_equal(a.start, b.start, sizeof a.start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(seeds_and_generators),
        SPX_UNIT(transfers),
        SPX_UNIT(circuits),
        SPX_UNIT(encryptions),
        SPX_UNIT(files_in_vaults),
        SPX_UNIT(records_of_parties),
        SPX_UNIT(a_whole_conversation),
        SPX_UNIT(a_client_that_repeats_itself_prepares_unlike_material),
    };
    if (sodium_init() < 0) {
        return 2;
    }
    os_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
