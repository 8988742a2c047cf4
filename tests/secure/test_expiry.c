/* What a server cleans, and when: old material and clients, what another version left. */
#define _DEFAULT_SOURCE
#include "tests/secure/customer.h"

SPX_TEST(old_material_and_old_clients_go_and_no_number_comes_again)
{
    SPX_UNUSED;
    const spx_pi_server_options o = {.expire_seconds = 0.2};
    pi_world w;
    customer c;
    spx_pi_ledger now;
    uint64_t version;
    char name[SPX_PI_NAME];
    pi_begin(&w, 17, &o);
    spx_vault *gone = pi_vault(&w, "gone"), *v = pi_vault(&w, "client");
    CHECK_OK(come(&c, &w, gone, NULL));
    CHECK_OK(prepare(&c, 2));
    go(&c);
    assert_int_equal(files(&w, "l-"), 1);
    pause_ms(1000);
    CHECK_OK(come(&c, &w, v, NULL));
    CHECK_OK(prepare(&c, 1)); /* whoever prepares sweeps */
    CHECK_OK(ask(&c));
    go(&c);
    assert_int_equal(files(&w, "t-"), 0);
    assert_int_equal(files(&w, "l-"), 1);
    assert_int_equal(files(&w, "a-"), 1);
    CHECK_OK(come(&c, &w, gone, NULL));
    assert_int_equal(spx_pi_client_ready(c.p), 0); /* told that its two are spent */
    CHECK_OK(prepare(&c, 1));
    spx_pi_name(name, 'l', spx_vault_id(gone), w.model->hash, -1);
    CHECK_OK(spx_pi_record_get(w.server_vault, name, spx_pi_ledger_fields, &now, &version));
    assert_true(now.next > 2); /* above all there ever was */
    CHECK_OK(ask(&c));
    go(&c);
    spx_vault_close(gone);
    spx_vault_close(v);
    pi_end(&w);
}

/* Puts a folder where a unit's file was, which nobody can unlink, or the file back. */
static void block(const pi_world *w, const spx_vault *v, uint64_t number, bool on)
{
    char name[SPX_PI_NAME], file[700], aside[700];
    spx_pi_name(name, 't', spx_vault_id(v), w->model->hash, (int64_t)number);
    (void)snprintf(file, sizeof file, "%s/server/%s", w->scratch.folder, name);
    (void)snprintf(aside, sizeof aside, "%s/aside", w->scratch.folder);
    if (on) {
        assert_int_equal(rename(file, aside), 0);
        assert_int_equal(mkdir(file, 0700), 0);
    } else {
        assert_int_equal(rmdir(file), 0);
        assert_int_equal(rename(aside, file), 0);
    }
}

SPX_TEST(a_file_that_cannot_go_stays_counted_and_holds_up_no_other)
{
    SPX_UNUSED;
    const spx_pi_server_options o = {.expire_seconds = 0.1};
    pi_world w;
    customer c;
    pi_begin(&w, 30, &o);
    spx_vault *v = pi_vault(&w, "client");
    CHECK_OK(come(&c, &w, v, NULL));
    CHECK_OK(prepare(&c, 2));
    go(&c);
    block(&w, v, 0, true);
    pause_ms(300);
    assert_int_not_equal(spx_pi_server_expire_units(w.server), SPX_OK);
    assert_int_equal(files(&w, "t-"), 1); /* the second went all the same */
    block(&w, v, 0, false);
    pause_ms(300);
    CHECK_OK(spx_pi_server_expire_units(w.server));
    assert_int_equal(files(&w, "t-"), 0);
    spx_vault_close(v);
    pi_end(&w);
}

/* No list says that the file is there; what is asked for is gone before READY all the same. */
SPX_TEST(a_unit_that_is_asked_for_goes_whether_it_is_listed_or_not)
{
    SPX_UNUSED;
    const spx_pi_server_options o = {0};
    char name[SPX_PI_NAME], file[700], aside[700];
    pi_world w;
    customer c;
    pi_begin(&w, 31, &o);
    spx_vault *v = pi_vault(&w, "client");
    CHECK_OK(come(&c, &w, v, NULL));
    CHECK_OK(prepare(&c, 1));
    go(&c);
    spx_pi_name(name, 't', spx_vault_id(v), w.model->hash, 0);
    (void)snprintf(file, sizeof file, "%s/server/%s", w.scratch.folder, name);
    (void)snprintf(aside, sizeof aside, "%s/aside", w.scratch.folder);
    assert_int_equal(rename(file, aside), 0);
    restart(&w, &o);
    assert_int_equal(rename(aside, file), 0);
    CHECK_OK(come(&c, &w, v, NULL));
    CHECK_OK(ask(&c));
    assert_int_equal(files(&w, "t-"), 0);
    go(&c);
    spx_vault_close(v);
    pi_end(&w);
}

/* A server that starts learns of each unit's head when it was made; one that has none goes. */
SPX_TEST(material_grows_old_over_a_servers_lives)
{
    SPX_UNUSED;
    spx_pi_server_options o = {.expire_seconds = 3600};
    char name[SPX_PI_NAME];
    pi_world w;
    customer c;
    pi_begin(&w, 28, &o);
    spx_vault *v = pi_vault(&w, "client");
    CHECK_OK(come(&c, &w, v, NULL));
    CHECK_OK(prepare(&c, 1));
    go(&c);
    spx_pi_name(name, 't', spx_vault_id(v), w.model->hash, 7);
    CHECK_OK(spx_vault_put(w.server_vault, name, "unit", 4));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(files(&w, "t-"), 2 - i);
        o.expire_seconds = i == 0 ? 3600 : 0.1;
        pause_ms(300);
        spx_pi_server_destroy(w.server);
        CHECK_OK(spx_pi_server_create(&w.server, w.model, w.server_vault, &o));
    }
    assert_int_equal(files(&w, "t-"), 0);
    spx_vault_close(v);
    pi_end(&w);
}

/* Age is the time for which the server has run, across its lives: the machine's clock is not
 * asked, so that setting it forward removes nothing. */
SPX_TEST(age_is_counted_in_the_servers_own_time)
{
    SPX_UNUSED;
    pi_world w;
    uint64_t before;
    bool fresh;
    const spx_pi_server_options o = {.expire_seconds = 3600};
    pi_begin(&w, 23, &o);
    pause_ms(60);
    before = spx_pi_server_age(w.server);
    assert_in_range(before, 50, 600000);
    spx_pi_server_destroy(w.server);
    pause_ms(60); /* it does not run */
    CHECK_OK(spx_pi_server_create(&w.server, w.model, w.server_vault, &o));
    assert_true(spx_pi_server_age(w.server) >= before);
    CHECK_OK(spx_pi_server_load(w.server, &fresh));
    assert_false(fresh);
    pi_end(&w);
}

SPX_TEST(material_of_another_model_is_counted_and_removed_by_a_word)
{
    SPX_UNUSED;
    spx_pi_server_options o = {0};
    char name[SPX_PI_NAME];
    uint8_t other[SPX_PI_HASH];
    pi_world w;
    customer c;
    pi_begin(&w, 24, NULL);
    spx_vault *v = pi_vault(&w, "client");
    CHECK_OK(come(&c, &w, v, NULL));
    CHECK_OK(prepare(&c, 1));
    go(&c);
    memcpy(other, w.model->hash, sizeof other);
    other[0] ^= 1;
    for (int i = 0; i < 3; i++) {
        spx_pi_name(name, 't', spx_vault_id(v), other, i);
        CHECK_OK(spx_vault_put(w.server_vault, name, "unit", 4));
    }
    for (int i = 0; i < 3; i++) {
        o.remove_others = i == 1;
        spx_pi_server_destroy(w.server);
        CHECK_OK(spx_pi_server_create(&w.server, w.model, w.server_vault, &o));
        assert_int_equal(spx_pi_server_others(w.server).units, i < 2 ? 3 : 0);
        assert_int_equal(files(&w, "t-"), i < 1 ? 4 : 1);
    }
    CHECK_OK(come(&c, &w, v, NULL));
    CHECK_OK(ask(&c));
    go(&c);
    spx_vault_close(v);
    pi_end(&w);
}

/* Ledgers of the program before names and ids were counted together. */
SPX_TEST(what_an_earlier_program_counted_goes_on_counting)
{
    SPX_UNUSED;
    const spx_pi_server_options o = {.query_limit = 5};
    spx_pi_ledger old = {.spent = 2, .next = 3, .answered = 1, .peer = "a"};
    char a[600], b[600], name[SPX_PI_NAME];
    pi_world w;
    customer c;
    begin_with_keys(&w, 25, NULL, a, b);
    spx_vault *v = pi_vault(&w, "client");
    spx_pi_server_destroy(w.server);
    CHECK_OK(spx_vault_remove(w.server_vault, "server"));
    spx_pi_name(name, 'l', spx_vault_id(v), w.model->hash, -1);
    uint8_t bytes[512]; /* without a version before them */
    const size_t n = spx_wire_size(spx_pi_ledger_fields, &old);
    assert_true(n <= sizeof bytes && spx_wire_put(spx_pi_ledger_fields, &old, bytes, n));
    CHECK_OK(spx_vault_put(w.server_vault, name, bytes, n));
    spx_pi_name(name, 't', spx_vault_id(v), w.model->hash, 2);
    CHECK_OK(spx_vault_put(w.server_vault, name, "unit", 4));
    CHECK_OK(spx_pi_server_create(&w.server, w.model, w.server_vault, &o));
    assert_int_equal(files(&w, "t-"), 0);
    assert_int_equal(files(&w, "l-"), 0);
    CHECK_OK(come(&c, &w, v, a));
    CHECK_FAILS(SPX_EIO, prepare(&c, 3));
    assert_non_null(strstr(spx_error_message(), "2 more of its 5"));
    go(&c);
    CHECK_OK(come(&c, &w, v, a));
    CHECK_OK(prepare(&c, 2));
    CHECK_OK(ask(&c));
    go(&c);
    spx_vault_close(v);
    pi_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(old_material_and_old_clients_go_and_no_number_comes_again),
        SPX_UNIT(a_file_that_cannot_go_stays_counted_and_holds_up_no_other),
        SPX_UNIT(a_unit_that_is_asked_for_goes_whether_it_is_listed_or_not),
        SPX_UNIT(material_grows_old_over_a_servers_lives),
        SPX_UNIT(age_is_counted_in_the_servers_own_time),
        SPX_UNIT(material_of_another_model_is_counted_and_removed_by_a_word),
        SPX_UNIT(what_an_earlier_program_counted_goes_on_counting),
    };
    (void)umask(077); /* keys that others can read are refused */
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
