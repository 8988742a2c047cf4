/* Prices of gated ReLUs against the formula, its differences, and the multiplier's path. */
#include "tests/support/spx_devices.h"

#include "kernels/base/rng.h"
#include "kernels/optim/gates.h"

#include <math.h>

enum { SITES = 3, P = 40 };

/* One that no edge reads, one read by two, one by four edges; rows of 4 candidates. */
static const spx_gate_site site[SITES] = {
    {.cost = 0.25, .gate = 1, .edges = 0, .rectify = 0xf},
    {.cost = 0.5, .gate = 3, .edges = 2, .edge = {8, 12}, .rectify = 0x5},
    {.cost = 1.5, .gate = 5, .edges = 4, .edge = {16, 20, 24, 28}, .rectify = 0xa},
};
static const double fixed = 0.125;

/* E, written once more. */
static double expected(const float *p)
{
    double e = fixed;
    for (int i = 0; i < SITES; i++) {
        const spx_gate_site *s = &site[i];
        double unread = s->edges > 0 ? 1 : 0;
        for (int k = 0; k < s->edges; k++) {
            const float *row = p + s->edge[k];
            unread *=
                1 - (i == 1 ? (double)row[0] + (double)row[2] : (double)row[1] + (double)row[3]);
        }
        e += s->cost * (double)p[s->gate] * (1 - unread);
    }
    return e;
}

static void prices_body(device_env *e, void *ctx)
{
    float p[P], price[P], untouched[P];
    const spx_gate_state state = {.lambda = 3};
    spx_gate_state got;
    spx_rng r;
    (void)ctx;
    spx_rng_init(&r, 1, SPX_RNG_TEST, 0);
    for (int i = 0; i < P; i++) {
        p[i] = 0.05f + 0.2f * spx_rng_uniform(&r);
    }
    for (int i = 0; i < P; i++) {
        untouched[i] = 7;
    }
    float *on = env_floats(e, p, P), *prices = env_floats(e, untouched, P);
    spx_gate_site *sites = env_copy(e, site, sizeof site);
    spx_gate_state *s = env_copy(e, &state, sizeof state);
    CHECK_OK(spx_gate_prices(e->s, SITES, sites, fixed, on, prices, s));
    env_fetch(e, price, prices, sizeof price);
    env_fetch(e, &got, s, sizeof got);
    assert_true(fabs(got.expected - expected(p)) < 1e-12);
    assert_true(got.lambda == 3 && got.push == (got.expected > 1 ? 3 : 0));
    int priced = 0;
    for (int i = 0; i < P; i++) {
        const float was = p[i];
        p[i] = was + 0x1p-6f;
        const double up = expected(p), a = (double)p[i];
        p[i] = was - 0x1p-6f;
        const double g = (up - expected(p)) / (a - (double)p[i]); /* E is linear in each */
        p[i] = was;
        if (g == 0) {
            assert_true(price[i] == 7);
        } else if (fabs(g - (double)price[i]) > 1e-6) {
            fail_msg("element %d: %.9g, expected %.9g", i, (double)price[i], g);
        }
        priced += g != 0;
    }
    assert_int_equal(priced, SITES + 2 * 2 + 4 * 2);
    CHECK_FAILS(SPX_EINVAL, spx_gate_prices(e->s, SPX_GATE_SITES + 1, sites, fixed, on, prices, s));
    CHECK_FAILS(SPX_EINVAL, spx_gate_prices(e->s, 1, NULL, fixed, on, prices, s));
    CHECK_FAILS(SPX_EINVAL, spx_gate_ascend(e->s, 1, NULL, s));
}

SPX_TEST(prices_are_the_gradient_of_what_is_expected)
{
    SPX_UNUSED;
    on_few(prices_body, NULL);
}

static void ascend_body(device_env *e, void *ctx)
{
    (void)ctx;
    static const struct {
        double expected, before, after;
        int32_t ok;
    } step[] = {{3, 0, 0.5, 1},   {1.5, 0.5, 0.625, 1}, {0, 0.5, 0.25, 1},
                {0, 0.125, 0, 1}, {3, 0.5, 0.5, 0},     {(double)NAN, 0.5, 0.5, 1}};
    for (size_t i = 0; i < sizeof step / sizeof *step; i++) {
        const spx_guard guard = {.clip = 1, .ok = step[i].ok};
        const spx_gate_state state = {.lambda = step[i].before, .expected = step[i].expected};
        spx_gate_state got, *s = env_copy(e, &state, sizeof state);
        CHECK_OK(spx_gate_ascend(e->s, 0.25, env_copy(e, &guard, sizeof guard), s));
        env_fetch(e, &got, s, sizeof got);
        assert_true(got.lambda == step[i].after);
    }
}

SPX_TEST(the_multiplier_rises_above_the_budget_and_falls_to_zero_below)
{
    SPX_UNUSED;
    on_few(ascend_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(prices_are_the_gradient_of_what_is_expected),
        SPX_UNIT(the_multiplier_rises_above_the_budget_and_falls_to_zero_below)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
