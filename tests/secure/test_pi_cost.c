/* What private inference costs, beforehand: sums of parts that can be counted by hand. */
#define _DEFAULT_SOURCE
#include "host/secure/gc/gc.h"
#include "tests/secure/pi_fixture.h"

static void check_near(double got, double want, const char *what)
{
    if (!(got > want * (1 - 1e-9) && got < want * (1 + 1e-9))) {
        fail_msg("%s: %.17g, expected %.17g", what, got, want);
    }
}

/* ---- a ReLU ---- */

SPX_TEST(a_relu_costs_its_labels_tables_and_transfers)
{
    SPX_UNUSED;
    static const spx_pi_width width[] = {{16, 8, 8}, {22, 9, 8}, {37, 20, 8}, {58, 41, 8}};
    for (size_t i = 0; i < sizeof width / sizeof *width; i++) {
        const spx_pi_width w = width[i];
        const int a = w.a < w.l - 1 - w.f ? w.a : w.l - 1 - w.f, t = w.l - 1 - w.f - a;
        spx_pi_price p;
        CHECK_OK(spx_pi_relu_price(&p, &spx_pi_usual_rates, (spx_link){0}, w));
        check_near(p.online_bytes, w.l * (16 + 1.0 / 8), "labels and choices");
        check_near(p.offline_bytes, /* gc.h's tables, 31 bits a transfer */
                   16 + 32 * (w.l - 2) + 32 * t + 16 * a + 24 + w.l * 31.0 / 8,
                   "tables and transfers");
        assert_true(p.layer_ms >= 0);
    }
}

SPX_TEST(a_relu_of_a_width_that_cannot_be_garbled_is_refused)
{
    SPX_UNUSED;
    spx_pi_price p;
    CHECK_FAILS(SPX_EINVAL, spx_pi_relu_price(&p, &spx_pi_usual_rates, (spx_link){0},
                                              (spx_pi_width){65, 20, 8}));
    CHECK_FAILS(SPX_EINVAL, spx_pi_relu_price(&p, &spx_pi_usual_rates, (spx_link){0},
                                              (spx_pi_width){37, 36, 8}));
}

SPX_TEST(a_link_adds_its_bytes_and_a_round_a_layer)
{
    SPX_UNUSED;
    spx_link wan;
    spx_pi_price none, far;
    CHECK_OK(spx_link_parse("wan", &wan));
    CHECK_OK(spx_pi_relu_price(&none, &spx_pi_usual_rates, (spx_link){0}, spx_pi_usual_width));
    CHECK_OK(spx_pi_relu_price(&far, &spx_pi_usual_rates, wan, spx_pi_usual_width));
    check_near(far.online_ms - none.online_ms, 1e3 * none.online_bytes / 50e6, "online");
    check_near(far.offline_ms - none.offline_ms, 1e3 * none.offline_bytes / 50e6, "offline");
    check_near(far.layer_ms - none.layer_ms, 40, "a round");
}

SPX_TEST(a_wider_relu_costs_more_of_everything)
{
    SPX_UNUSED;
    spx_link lan;
    spx_pi_price last = {0};
    CHECK_OK(spx_link_parse("lan", &lan));
    for (int l = 16; l <= 58; l++) {
        spx_pi_price p;
        CHECK_OK(spx_pi_relu_price(&p, &spx_pi_usual_rates, lan, (spx_pi_width){l, 6, 8}));
        assert_true(p.online_bytes > last.online_bytes && p.offline_bytes > last.offline_bytes);
        assert_true(p.online_ms > last.online_ms && p.offline_ms > last.offline_ms);
        last = p;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_relu_costs_its_labels_tables_and_transfers),
        SPX_UNIT(a_relu_of_a_width_that_cannot_be_garbled_is_refused),
        SPX_UNIT(a_link_adds_its_bytes_and_a_round_a_layer),
        SPX_UNIT(a_wider_relu_costs_more_of_everything)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
