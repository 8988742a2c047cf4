/* What an earlier version of the protocol left in vaults. */
#define _DEFAULT_SOURCE
#include "host/secure/infer/pi_server_private.h"
#include "tests/secure/pi_fixture.h"

/* A vault as the program before this version of the protocol left it: records without a version,
 * and units whose form is another. */
static void age(pi_world *w, spx_vault *v, const uint8_t *id, char record, const void *data,
                size_t n, char unit, int units)
{
    char name[SPX_PI_NAME];
    spx_pi_name(name, record, id, w->model->hash, -1);
    CHECK_OK(n > 0 ? spx_vault_put(v, name, data, n) : spx_vault_remove(v, name));
    for (int i = 0; i < units; i++) {
        spx_pi_name(name, unit, id, w->model->hash, i);
        CHECK_OK(spx_vault_put(v, name, "an earlier unit", 15));
    }
}

SPX_TEST(material_of_an_earlier_version_is_spent_and_removed)
{
    SPX_UNUSED;
    const uint64_t spent = 1;
    spx_pi_ledger old = {.spent = 1, .next = 5, .answered = 1};
    uint8_t ledger[512];
    const size_t n = spx_wire_size(spx_pi_ledger_fields, &old);
    assert_true(n <= sizeof ledger && spx_wire_put(spx_pi_ledger_fields, &old, ledger, n));
    for (int i = 0; i < 6; i++) {
        const bool client = i % 3 != 1, server = i % 3 != 0, used = i < 3;
        int64_t got[10], want[10];
        pi_world w;
        pi_link l;
        spx_pi_client *p;
        pi_begin(&w, 40, NULL);
        spx_vault *v = pi_vault(&w, "client");
        if (client) { /* a client that spent nothing had no record either */
            age(&w, v, spx_vault_id(w.server_vault), 's', &spent, used ? sizeof spent : 0, 'u', 3);
        }
        if (server) { /* which finds it when it starts */
            const spx_pi_server_options o = {0};
            spx_pi_server_destroy(w.server);
            age(&w, w.server_vault, spx_vault_id(v), 'l', ledger, n, 't', 4);
            CHECK_OK(spx_pi_server_create(&w.server, w.model, w.server_vault, &o));
        }
        pi_dial(&l, &w);
        CHECK_OK(spx_pi_client_open(&p, l.client, v, NULL));
        assert_int_equal(spx_pi_client_ready(p), 0);
        assert_int_equal(spx_pi_client_removed(p), client ? (used ? 2 : 3) : 0);
        CHECK_OK(spx_pi_client_prepare(p, 1, NULL, NULL, NULL, NULL, NULL));
        const uint8_t *image = fixture_image(&w.fixture, w.model);
        CHECK_OK(spx_pi_client_infer(p, image, got, NULL, NULL, NULL));
        pi_expected(&w, image, want);
        assert_memory_equal(got, want, sizeof got);
        spx_pi_client_close(p);
        pi_hang_up(&l);
        assert_int_equal(l.st, SPX_OK);

        char name[SPX_PI_NAME];
        spx_pi_ledger now;
        uint64_t version;
        spx_pi_name(name, 'l', spx_vault_id(v), w.model->hash, -1);
        CHECK_OK(spx_pi_record_get(w.server_vault, name, spx_pi_ledger_fields, &now, &version));
        assert_int_equal(version, SPX_PI_VERSION);
        assert_int_equal(now.spent, server ? 6 : 4); /* no number serves twice */
        assert_int_equal(now.answered, server ? 2 : 1);
        for (int k = 0; k < 6; k++) {
            spx_vault_reader *r;
            spx_pi_name(name, 't', spx_vault_id(v), w.model->hash, k);
            CHECK_FAILS(SPX_ENOTFOUND, spx_vault_reader_open(&r, w.server_vault, name));
            spx_pi_name(name, 'u', spx_vault_id(w.server_vault), w.model->hash, k);
            CHECK_FAILS(SPX_ENOTFOUND, spx_vault_reader_open(&r, v, name));
        }
        pi_dial(&l, &w); /* told once */
        CHECK_OK(spx_pi_client_open(&p, l.client, v, NULL));
        assert_int_equal(spx_pi_client_removed(p), 0);
        spx_pi_client_close(p);
        pi_hang_up(&l);
        spx_vault_close(v);
        pi_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(material_of_an_earlier_version_is_spent_and_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
