/* Which ReLUs to keep: equal to brute force, budgets are hard, refusals name what is possible. */
#define _DEFAULT_SOURCE
#include "kernels/base/clock.h"
#include "kernels/base/rng.h"
#include "search/budget/sites.h"
#include "tests/support/fresh_seed.h"
#include "tests/support/spx_test.h"

#define STEPS 4096

/* A network under construction. */
typedef struct world {
    spx_sites_step step[STEPS];
    bool read[STEPS];
    spx_site site[SPX_SITES_MAX];
    int n_steps, n;
    int most; /* sites it may have */
    spx_rng rng;
    int measure; /* of cost: MEASURES */
    bool real;   /* values are reals, else small whole numbers, with ties */
} world;
enum { RELUS, BYTES, TIME, MEASURES };

static int below(world *w, int n)
{
    return (int)spx_rng_below(&w->rng, (uint32_t)n);
}

static int add(world *w, spx_sites_kind kind, int x, int y)
{
    assert_true(w->n_steps < STEPS);
    w->step[w->n_steps] = (spx_sites_step){.kind = kind, .x = {x, y}};
    for (int k = 0; k < 2; k++) {
        if (w->step[w->n_steps].x[k] >= 0) {
            w->read[w->step[w->n_steps].x[k]] = true;
        }
    }
    return w->n_steps++;
}

/* What a site costs: ReLUs whatever the depth, bytes in proportion to a width that grows with it,
 * microseconds rising anyhow, or not. */
static void set_cost(world *w, spx_site *p)
{
    const int64_t elements = (int64_t)16 << 2 * below(w, 3);
    int64_t cost = w->measure == TIME ? below(w, 50) : elements;
    for (int d = 0; d <= SPX_SITES_MAX_DEPTH; d++) {
        p->cost[d] = w->measure == BYTES ? elements * (22 + 10 * d) : cost;
        cost += w->measure == TIME ? below(w, 3) * below(w, 40) : 0;
    }
}

static int relu(world *w, int x, int group)
{
    if (w->n == w->most) {
        return x;
    }
    spx_site *p = &w->site[w->n];
    const int i = add(w, SPX_SITES_RELU, x, -1);
    w->step[i].site = w->n++;
    p->group = group;
    p->value = w->real ? (double)spx_rng_uniform(&w->rng) : below(w, 6);
    set_cost(w, p);
    return i;
}

static int convs(world *w, int x, int n)
{
    for (; n > 0; n--) {
        x = add(w, SPX_SITES_CONV, x, -1);
    }
    return x;
}

/* A cell as the second space has them: states, one ReLU on each that edges take, four nodes of two
 * edges, an output with a ReLU. */
static int cell(world *w, int s0, int s1, int kind)
{
    int state[6], site[6] = {-1, -1, -1, -1, -1, -1}, out = -1;
    state[0] = convs(w, s0, 1);
    state[1] = convs(w, s1, 1);
    for (int i = 2; i < 6; i++) {
        int edge[2];
        for (int k = 0; k < 2; k++) {
            const int from = below(w, i);
            int x = state[from];
            if (below(w, 3) > 0) {
                if (site[from] < 0) {
                    site[from] = relu(w, x, kind * 6 + from);
                }
                x = convs(w, site[from], 1 + below(w, 2));
            }
            edge[k] = x;
        }
        state[i] = add(w, SPX_SITES_JOIN, edge[0], edge[1]);
    }
    for (int i = 0; i < 6; i++) {
        if (!w->read[state[i]] || i >= 2) {
            out = out < 0 ? state[i] : add(w, SPX_SITES_JOIN, out, state[i]);
        }
    }
    return relu(w, convs(w, out, 1), kind * 6 + 5);
}

/* n cells of two kinds, at most `most` sites. */
static spx_sites cells(world *w, int n)
{
    int s0 = add(w, SPX_SITES_FRESH, -1, -1), s1 = convs(w, s0, 1), s2;
    for (int i = 0; i < n; i++) {
        s2 = cell(w, s0, s1, i % 2);
        s0 = s1;
        s1 = s2;
    }
    if (!w->read[s0]) {
        s1 = add(w, SPX_SITES_JOIN, s0, s1);
    }
    (void)convs(w, s1, 1);
    return (spx_sites){w->step, w->site, w->n_steps, w->n};
}

/* Nodes in sequence with short cuts of any length, as reference networks have them. */
static spx_sites chain(world *w, int n)
{
    int x = add(w, SPX_SITES_FRESH, -1, -1), back = x;
    for (int i = 0; i < n; i++) {
        x = relu(w, convs(w, x, 1 + below(w, 2)), 0);
        if (below(w, 3) == 0) {
            x = add(w, SPX_SITES_JOIN, x, back);
            back = x;
        }
        if (below(w, 8) == 0) {
            x = add(w, SPX_SITES_FRESH, x, -1); /* max pooling */
        }
    }
    x = w->read[back] ? x : add(w, SPX_SITES_JOIN, x, back);
    (void)convs(w, x, 1);
    return (spx_sites){w->step, w->site, w->n_steps, w->n};
}

static spx_sites draw(world *w, uint64_t seed, uint64_t i, int most)
{
    memset(w, 0, sizeof *w);
    spx_rng_init(&w->rng, seed, SPX_RNG_TEST, i);
    w->most = most;
    w->measure = (int)(i % MEASURES);
    w->real = below(w, 2) == 0;
    return below(w, 3) == 0 ? chain(w, 3 + below(w, 8)) : cells(w, 1 + below(w, 3));
}

/* ---- brute force: another formulation, by paths from the value back ---- */

/* Most convolutions on a path that ends in step i and begins behind what makes a value anew. */
static int path(const spx_sites *s, uint32_t drop, int i)
{
    const spx_sites_step *t = &s->step[i];
    int longest = 0;
    if (t->kind == SPX_SITES_FRESH || (t->kind == SPX_SITES_RELU && (drop >> t->site & 1) == 0)) {
        return 0;
    }
    for (int k = 0; k < 2; k++) {
        const int p = t->x[k] < 0 ? 0 : path(s, drop, t->x[k]);
        longest = p > longest ? p : longest;
    }
    return longest + (t->kind == SPX_SITES_CONV);
}

/* Cost and dropped value of a choice; false where it is deeper than max_depth. */
static bool try_choice(const spx_sites *s, uint32_t drop, int max_depth, int64_t *cost,
                       double *dropped)
{
    *cost = 0;
    *dropped = 0;
    for (int i = 0; i < s->n_steps; i++) {
        const spx_sites_step *t = &s->step[i];
        if (path(s, drop, i) > max_depth) {
            return false;
        }
        if (t->kind == SPX_SITES_RELU) {
            const bool dropping = drop >> t->site & 1;
            *dropped += dropping ? s->site[t->site].value : 0;
            *cost += dropping ? 0 : s->site[t->site].cost[path(s, drop, t->x[0])];
        }
    }
    return true;
}

typedef struct truth {
    bool possible, fits; /* any choice of that depth; one within the budget */
    int64_t smallest, cost;
    double dropped;
} truth;

static uint32_t grouped(const spx_sites *s, uint32_t groups)
{
    uint32_t drop = 0;
    for (int i = 0; i < s->n; i++) {
        drop |= (groups >> s->site[i].group & 1) << i;
    }
    return drop;
}

static truth brute(const spx_sites *s, int64_t budget, int max_depth, bool by_group)
{
    const int bits = by_group ? 12 : s->n;
    truth t = {.smallest = INT64_MAX};
    for (uint32_t k = 0; k < (uint32_t)1 << bits; k++) {
        int64_t cost;
        double dropped;
        if (!try_choice(s, by_group ? grouped(s, k) : k, max_depth, &cost, &dropped)) {
            continue;
        }
        t.possible = true;
        t.smallest = cost < t.smallest ? cost : t.smallest;
        if (cost <= budget && (!t.fits || dropped < t.dropped - 1e-12 ||
                               (dropped < t.dropped + 1e-12 && cost < t.cost))) {
            t.fits = true;
            t.cost = cost;
            t.dropped = dropped;
        }
    }
    return t;
}

/* The last number of the last message. */
static int64_t last_number(void)
{
    const char *text = spx_error_message();
    size_t at = strlen(text);
    while (at > 0 && text[at - 1] >= '0' && text[at - 1] <= '9') {
        at--;
    }
    return strtoll(text + at, NULL, 10);
}

static void compare(const spx_sites *s, int64_t budget, int max_depth, bool by_group)
{
    const truth t = brute(s, budget, max_depth, by_group);
    spx_sites_choice c;
    const spx_status st = by_group ? spx_sites_solve_groups(s, budget, max_depth, &c)
                                   : spx_sites_solve(s, budget, max_depth, &c);
    if (!t.fits) {
        assert_int_equal(st, SPX_ENOTFOUND);
        if (t.possible) {
            assert_int_equal(last_number(), t.smallest);
            assert_int_equal(c.cost, t.smallest);
            assert_true(c.depth <= max_depth);
        } else {
            assert_non_null(strstr(spx_error_message(), "depth"));
            assert_int_equal(c.cost, -1);
        }
        return;
    }
    CHECK_OK(st);
    assert_true(c.cost <= budget && c.depth <= max_depth);
    assert_true(fabs(c.dropped - t.dropped) < 1e-9);
    assert_int_equal(c.cost, t.cost);
    spx_sites_choice again = c;
    CHECK_OK(spx_sites_measure(s, &again));
    assert_memory_equal(&again, &c, sizeof c);
}

SPX_TEST(choices_equal_brute_force_on_small_instances)
{
    SPX_UNUSED;
    static world w;
    const uint64_t seed = spx_fresh_seed();
    const int n = spx_test_whole_tables() ? 1000 : 60;
    int found = 0;
    for (int i = 0; i < n; i++) {
        const spx_sites s = draw(&w, seed, (uint64_t)i, 9);
        spx_sites_choice all = {0}, c;
        memset(all.keep, true, sizeof all.keep);
        CHECK_OK(spx_sites_measure(&s, &all));
        const int depth = all.depth - 1 + below(&w, 5);
        const int64_t budget =
            all.cost > 0 ? (int64_t)spx_rng_below(&w.rng, (uint32_t)all.cost + 2) : 0;
        compare(&s, budget, depth > 0 ? depth : 0, false);
        found += spx_sites_solve(&s, budget, depth > 0 ? depth : 0, &c) == SPX_OK;
    }
    assert_in_range(found, n / 5,
                    n - n / 20); /* the instances are neither all easy nor all impossible */
}

SPX_TEST(masks_of_groups_equal_brute_force)
{
    SPX_UNUSED;
    static world w;
    const uint64_t seed = spx_fresh_seed();
    for (int i = 0; i < (spx_test_whole_tables() ? 12 : 3); i++) {
        memset(&w, 0, sizeof w);
        spx_rng_init(&w.rng, seed, SPX_RNG_TEST, (uint64_t)i);
        w.most = 24;
        w.measure = i % MEASURES;
        const spx_sites s = cells(&w, 4);
        spx_sites_choice all = {0};
        memset(all.keep, true, sizeof all.keep);
        CHECK_OK(spx_sites_measure(&s, &all));
        compare(&s, all.cost * (1 + below(&w, 5)) / 6, all.depth + below(&w, 4), true);
    }
}

/* Sites that do not touch each other are a knapsack: its table over costs is another algorithm. */
SPX_TEST(more_sites_than_can_be_tried_equal_the_knapsack_table)
{
    SPX_UNUSED;
    enum { N = 60, MOST = 3000 };
    static world w;
    static double kept[N * MOST + 1];
    int64_t total = 0;
    memset(&w, 0, sizeof w);
    spx_rng_init(&w.rng, spx_fresh_seed(), SPX_RNG_TEST, 0);
    w.most = N;
    w.real = true;
    for (int i = 0; i < N; i++) {
        const int y = relu(&w, i == 0 ? add(&w, SPX_SITES_FRESH, -1, -1) : w.n_steps - 1, 0);
        const int cost = 1 + below(&w, MOST);
        for (int d = 0; d <= SPX_SITES_MAX_DEPTH; d++) {
            w.site[w.step[y].site].cost[d] = cost;
        }
        total += cost;
    }
    const spx_sites s = {w.step, w.site, w.n_steps, w.n};
    const int64_t budget = total / 3;
    double all = 0;
    memset(kept, 0, sizeof kept);
    for (int i = 0; i < N; i++) {
        all += w.site[i].value;
        for (int64_t b = budget; b >= w.site[i].cost[0]; b--) {
            const double with = kept[b - w.site[i].cost[0]] + w.site[i].value;
            kept[b] = with > kept[b] ? with : kept[b];
        }
    }
    spx_sites_choice c;
    CHECK_OK(spx_sites_solve(&s, budget, 0, &c));
    assert_true(c.cost <= budget);
    assert_true(fabs(c.dropped - (all - kept[budget])) < 1e-9);
}

SPX_TEST(the_smallest_budget_is_possible_and_one_less_is_not)
{
    SPX_UNUSED;
    static world w;
    const uint64_t seed = spx_fresh_seed();
    for (uint64_t i = 0; i < 50; i++) {
        const spx_sites s = draw(&w, seed, i, 40);
        spx_sites_choice all = {0}, least, c;
        memset(all.keep, true, sizeof all.keep);
        CHECK_OK(spx_sites_measure(&s, &all));
        CHECK_FAILS(SPX_ENOTFOUND, spx_sites_solve(&s, -1, all.depth, &least));
        CHECK_OK(spx_sites_solve(&s, least.cost, all.depth, &c));
        assert_int_equal(c.cost, least.cost);
        if (least.cost > 0) {
            CHECK_FAILS(SPX_ENOTFOUND, spx_sites_solve(&s, least.cost - 1, all.depth, &c));
            assert_int_equal(last_number(), least.cost);
        }
        if (all.depth > 0) {
            CHECK_FAILS(SPX_ENOTFOUND, spx_sites_solve(&s, all.cost, all.depth - 1, &c));
        }
        CHECK_OK(spx_sites_solve(&s, all.cost, all.depth, &c));
        assert_true(c.dropped == 0);
    }
}

/* Twenty cells of up to six sites: the time is printed, not judged. */
SPX_TEST(twenty_cells_are_solved)
{
    SPX_UNUSED;
    static world w;
    static const char *const name[MEASURES] = {"ReLUs", "bytes", "microseconds"};
    for (int m = 0; m < MEASURES; m++) {
        memset(&w, 0, sizeof w);
        spx_rng_init(&w.rng, 1, SPX_RNG_TEST, (uint64_t)m);
        w.most = SPX_SITES_MAX;
        w.measure = m;
        w.real = true;
        const spx_sites s = cells(&w, spx_test_whole_tables() ? 20 : 5);
        spx_sites_choice all = {0}, least, c;
        memset(all.keep, true, sizeof all.keep);
        CHECK_OK(spx_sites_measure(&s, &all));
        const int depth = all.depth + 4;
        CHECK_FAILS(SPX_ENOTFOUND, spx_sites_solve(&s, -1, depth, &least));
        const int64_t budget = (all.cost + least.cost) / 2;
        const double began = spx_seconds();
        CHECK_OK(spx_sites_solve(&s, budget, depth, &c));
        (void)fprintf(stderr, "%d sites, half of the %s: %.1f ms\n", s.n, name[m],
                      1e3 * (spx_seconds() - began));
        assert_true(c.cost <= budget && c.depth <= depth);
    }
}

SPX_TEST(bad_instances_are_refused)
{
    SPX_UNUSED;
    static spx_site site[2];
    spx_sites_step step[4] = {{.kind = SPX_SITES_FRESH, .x = {-1, -1}},
                              {.kind = SPX_SITES_CONV, .x = {0, -1}},
                              {.kind = SPX_SITES_RELU, .x = {1, -1}, .site = 0},
                              {.kind = SPX_SITES_CONV, .x = {2, -1}}};
    spx_sites s = {step, site, 4, 1};
    spx_sites_choice c = {0};
    CHECK_OK(spx_sites_solve(&s, 0, 2, &c));
    CHECK_FAILS(SPX_ENOTFOUND, spx_sites_solve(&s, 0, 0, &c));
    CHECK_FAILS(SPX_EINVAL, spx_sites_solve(&s, 0, SPX_SITES_MAX_DEPTH + 1, &c));
    s.n = 2; /* a site without a step */
    CHECK_FAILS(SPX_EINVAL, spx_sites_solve(&s, 0, 2, &c));
    s.n = 1;
    site[0].value = -1;
    CHECK_FAILS(SPX_EINVAL, spx_sites_solve(&s, 0, 2, &c));
    site[0].value = (double)NAN;
    CHECK_FAILS(SPX_EINVAL, spx_sites_solve(&s, 0, 2, &c));
    site[0].value = 0;
    site[0].cost[0] = 1; /* falls */
    CHECK_FAILS(SPX_EINVAL, spx_sites_solve(&s, 0, 2, &c));
    site[0].cost[0] = 0;
    step[3].x[0] = 1; /* the site's value is read by none */
    CHECK_FAILS(SPX_EINVAL, spx_sites_solve(&s, 0, 2, &c));
    step[3].x[0] = 3;
    CHECK_FAILS(SPX_EINVAL, spx_sites_solve(&s, 0, 2, &c));
    step[3].x[0] = 2;
    step[2].site = 1;
    CHECK_FAILS(SPX_EINVAL, spx_sites_solve(&s, 0, 2, &c));
    step[2].site = 0;
    site[0].group = SPX_SITES_MAX_GROUPS;
    CHECK_FAILS(SPX_EINVAL, spx_sites_solve_groups(&s, 0, 2, &c));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SPX_UNIT(choices_equal_brute_force_on_small_instances),
        SPX_UNIT(masks_of_groups_equal_brute_force),
        SPX_UNIT(more_sites_than_can_be_tried_equal_the_knapsack_table),
        SPX_UNIT(the_smallest_budget_is_possible_and_one_less_is_not),
        SPX_UNIT(twenty_cells_are_solved),
        SPX_UNIT(bad_instances_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
