/* A search within a ReLU budget: what gates are worth and cost, their gradient, the multiplier, and
 * masks as the controller would choose them. */
#include "kernels/base/rng.h"
#include "search/bilevel/bilevel.h"
#include "search/budget/relu_sites.h"
#include "search/space/audit.h"
#include "search/supernet/relu_budget.h"
#include "tests/support/spx_test.h"

#include <math.h>

enum { BATCH = 2, CLASSES = 3, SIDE = 8, PIXELS = BATCH * 3 * SIDE * SIDE, KINDS = 2 };
#define CHANNELS 2

static const spx_supernet_config config = {.space = SPX_SPACE_RELU_OPS,
                                           .batch = BATCH,
                                           .input = {3, SIDE, SIDE},
                                           .classes = CLASSES,
                                           .init_channels = 1,
                                           .layers = 3,
                                           .n_reduce = 1,
                                           .reduce_loc = {4},
                                           .gated = true};

/* ---- what ReLUs cost ---- */

static const spx_cell_genes all = {{{{SPX_VAN_CONV_3X3, 0}, {SPX_VAN_DIL_CONV_3X3, 1}},
                                    {{SPX_VAN_CONV_5X5, 2}, {SPX_VAN_CONV_5X5, 1}},
                                    {{SPX_VAN_CONV_5X5, 3}, {SPX_SKIP_CONNECT, 1}},
                                    {{SPX_VAN_CONV_5X5, 4}, {SPX_AVG_POOL_3X3, 1}}}};

static spx_final_spec final_of(spx_cell_sites dropped)
{
    return (spx_final_spec){.genotype = {SPX_SPACE_RELU_OPS, all, all},
                            .input = config.input,
                            .classes = CLASSES,
                            .init_channels = CHANNELS,
                            .layers = config.layers,
                            .n_reduce = 1,
                            .reduce_at = {2},
                            .masked = true,
                            .dropped = dropped};
}

static int64_t kept(spx_cell_sites dropped)
{
    const spx_final_spec f = final_of(dropped);
    spx_audit a;
    CHECK_OK(spx_audit_final(&a, &f, false));
    return a.relus.kept;
}

/* A search on random images, at its beginning. */
typedef struct story {
    spx_stream *stream;
    spx_supernet net;
    spx_bilevel b;
    spx_relu_prices prices;
    spx_buffer alphas, shown[2]; /* host: as they begin, what was traced */
    float images[PIXELS];
    int32_t labels[BATCH];
} story;

static void trace(void *ctx, spx_bilevel_quantity q, const spx_buffer *data)
{
    story *s = ctx;
    if (q == SPX_BILEVEL_HESSIAN || q == SPX_BILEVEL_ALPHA_GRAD) {
        memcpy(s->shown[q == SPX_BILEVEL_ALPHA_GRAD].data, data->data, data->bytes);
    }
}

static void begin(story *s, bool second_order)
{
    spx_bilevel_options o = spx_bilevel_defaults;
    spx_rng r;
    memset(s, 0, sizeof *s);
    o.second_order = second_order;
    CHECK_OK(spx_stream_create(&s->stream, SPX_DEVICE_CPU, 1));
    CHECK_OK(spx_supernet_init(&s->net, s->stream, &config,
                               second_order ? SPX_PASSES_SECOND_ORDER : SPX_PASSES_FIRST_ORDER,
                               NULL));
    CHECK_OK(spx_bilevel_init(&s->b, &s->net, &o, 1));
    spx_buffer *const host[] = {&s->alphas, &s->shown[0], &s->shown[1]};
    for (size_t i = 0; i < sizeof host / sizeof *host; i++) {
        CHECK_OK(spx_layout_arena(s->net.layout, NULL, SPX_ROLE_ARCH, host[i]));
    }
    CHECK_OK(spx_bilevel_alphas(&s->b, &s->alphas));
    spx_rng_init(&r, 3, SPX_RNG_TEST, 0);
    for (int i = 0; i < PIXELS; i++) {
        s->images[i] = spx_rng_normal(&r);
    }
    for (int i = 0; i < BATCH; i++) {
        s->labels[i] = i % CLASSES;
    }
    s->b.trace = trace;
    s->b.trace_ctx = s;
}

static void end(story *s)
{
    spx_bilevel_clear(&s->b);
    spx_supernet_clear(&s->net);
    spx_buffer_free(&s->alphas);
    spx_buffer_free(&s->shown[0]);
    spx_buffer_free(&s->shown[1]);
    spx_stream_destroy(s->stream);
}

static void step(story *s)
{
    const spx_samples batch = {.images = s->images, .labels = s->labels, .valid = BATCH};
    const spx_bilevel_args a = {.xi = 0.025f, .lr = 0.025f};
    spx_bilevel_report report;
    CHECK_OK(spx_bilevel_step(&s->b, &batch, &batch, &a, &report));
}

static spx_status prices(story *s, int64_t budget)
{
    const spx_relu_budget b = {.relus = budget, .channels = CHANNELS, .max_depth = 6};
    return spx_relu_prices_of(&s->prices, &s->net, &b);
}

SPX_TEST(a_site_costs_what_a_final_network_without_it_lacks)
{
    SPX_UNUSED;
    const int64_t budget = 1000, most = kept((spx_cell_sites){0, 0}),
                  least = kept((spx_cell_sites){0x1f, 0x1f});
    story s;
    begin(&s, false);
    CHECK_OK(prices(&s, budget));
    assert_int_equal(s.prices.most, most);
    assert_int_equal(s.prices.least, least);
    assert_true(s.prices.fixed == (double)least / (double)budget);
    for (int i = 0; i < KINDS * SPX_CELL_SITES; i++) {
        const uint8_t bit = (uint8_t)(1u << i % SPX_CELL_SITES);
        const spx_cell_sites one = {i < SPX_CELL_SITES ? bit : 0, i < SPX_CELL_SITES ? 0 : bit};
        assert_true(s.prices.site[i].cost == (double)(most - kept(one)) / (double)budget);
    }
    CHECK_FAILS(SPX_EINVAL, prices(&s, least - 1));
    char range[64];
    (void)snprintf(range, sizeof range, "have %lld to %lld ReLUs", (long long)least,
                   (long long)most);
    assert_non_null(strstr(spx_error_message(), range));
    CHECK_FAILS(SPX_EINVAL, prices(&s, most + 1));
    assert_non_null(strstr(spx_error_message(), range));
    CHECK_OK(prices(&s, least));
    CHECK_OK(prices(&s, most));
    s.net.config.gated = false;
    CHECK_FAILS(SPX_EINVAL, prices(&s, most));
    s.net.config.gated = true;
    end(&s);
}

/* ---- gradient ---- */

static double softmax(const float *row, int n, int k)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        sum += exp((double)row[i] - (double)row[k]);
    }
    return 1 / sum;
}

/* Share of an edge's candidates that read the state's ReLU. */
static double share(const float *row, bool strides)
{
    double q = 0;
    for (int p = 0; p < SPX_PRIMITIVE_COUNT; p++) {
        const bool reads = p == SPX_VAN_CONV_3X3 || p == SPX_VAN_CONV_5X5 ||
                           p == SPX_VAN_DIL_CONV_3X3 || p == SPX_VAN_DIL_CONV_5X5 ||
                           (p == SPX_SKIP_CONNECT && strides);
        q += reads ? softmax(row, SPX_PRIMITIVE_COUNT, p) : 0.0;
    }
    return q;
}

/* E of the story's alphas: written once more, from alphas and gates by name. */
static double expected(const story *s)
{
    float *alpha[KINDS][SPX_CELL_NODES], *gate[KINDS];
    double e = s->prices.fixed;
    CHECK_OK(spx_supernet_alphas(&s->net, &s->alphas, alpha[0], alpha[1]));
    CHECK_OK(spx_supernet_gates(&s->net, &s->alphas, gate));
    for (int i = 0; i < KINDS * SPX_CELL_SITES; i++) {
        const int kind = i / SPX_CELL_SITES, state = i % SPX_CELL_SITES;
        double unread = 1;
        for (int node = 0; node < SPX_CELL_NODES; node++) {
            if (state < node + 2) {
                const float *row = alpha[kind][node] + state * SPX_PRIMITIVE_COUNT;
                unread *= 1 - share(row, kind == 1 && state < 2);
            }
        }
        e += s->prices.site[i].cost * softmax(gate[kind] + 2 * state, 2, 0) * (1 - unread);
    }
    return e;
}

/* alpha_grad with the budget less that without is the penalty's gradient: central differences. */
static void check_gradient(bool second_order)
{
    const double lambda = 20, h = 1.0 / 512;
    story plain, dear;
    spx_gate_state state;
    double largest = 0;
    begin(&plain, second_order);
    step(&plain);
    begin(&dear, second_order);
    CHECK_OK(prices(&dear, 1000));
    CHECK_FAILS(SPX_EINVAL, spx_bilevel_set_lambda(&dear.b, lambda)); /* no budget yet */
    CHECK_OK(spx_bilevel_set_budget(&dear.b, &dear.prices));
    CHECK_FAILS(SPX_EINVAL, spx_bilevel_set_budget(&dear.b, &dear.prices));
    CHECK_FAILS(SPX_EINVAL, spx_bilevel_set_lambda(&dear.b, -1));
    CHECK_OK(spx_bilevel_set_lambda(&dear.b, lambda));
    step(&dear);
    CHECK_OK(spx_bilevel_budget(&dear.b, &state));
    assert_true(state.expected > 1);
    assert_true(fabs(state.expected - expected(&dear)) < 1e-6);
    assert_true(fabs(state.lambda - lambda - 0.01 * (state.expected - 1)) < 1e-12);
    if (second_order) {
        assert_memory_equal(plain.shown[0].data, dear.shown[0].data, plain.shown[0].bytes);
    }
    float *x = dear.alphas.data;
    const float *with = dear.shown[1].data, *without = plain.shown[1].data;
    for (size_t i = 0; i < dear.alphas.bytes / sizeof *x; i++) {
        const float was = x[i];
        x[i] = was + (float)h;
        const double up = expected(&dear), a = (double)x[i];
        x[i] = was - (float)h;
        const double g = lambda * (up - expected(&dear)) / (a - (double)x[i]);
        const double got = (double)with[i] - (double)without[i];
        x[i] = was;
        largest = fabs(g) > largest ? fabs(g) : largest;
        /* the sum of two floats below 16 and the third derivative times h^2 */
        if (fabs(got - g) > 2e-5) {
            fail_msg("alpha or gate at %zu: %.9g, expected %.9g", i, got, g);
        }
    }
    assert_true(largest > 0.1); /* else nothing was tested */
    end(&plain);
    end(&dear);
}

SPX_TEST(the_first_order_step_descends_the_penalty_too)
{
    SPX_UNUSED;
    check_gradient(false);
}

SPX_TEST(the_second_order_step_descends_the_penalty_too)
{
    SPX_UNUSED;
    check_gradient(true);
}

/* Far above the budget the multiplier rises; within it nothing is paid, to the bit. */
SPX_TEST(only_what_is_above_the_budget_has_a_price)
{
    SPX_UNUSED;
    story plain, rich, poor;
    spx_gate_state state;
    begin(&plain, false);
    begin(&rich, false);
    CHECK_OK(prices(&rich, kept((spx_cell_sites){0, 0})));
    CHECK_OK(spx_bilevel_set_budget(&rich.b, &rich.prices));
    begin(&poor, false);
    CHECK_OK(prices(&poor, kept((spx_cell_sites){0x1f, 0x1f})));
    CHECK_OK(spx_bilevel_set_budget(&poor.b, &poor.prices));
    double before = 0;
    for (int i = 0; i < 3; i++) {
        step(&plain);
        step(&rich);
        step(&poor);
        CHECK_OK(spx_bilevel_budget(&poor.b, &state));
        assert_true(state.lambda > before);
        before = state.lambda;
    }
    CHECK_OK(spx_bilevel_budget(&rich.b, &state));
    assert_true(state.lambda == 0 && state.expected < 1);
    CHECK_OK(spx_bilevel_budget(&plain.b, &state));
    assert_true(state.lambda == 0 && state.expected == 0);
    CHECK_OK(spx_bilevel_alphas(&plain.b, &plain.alphas));
    CHECK_OK(spx_bilevel_alphas(&rich.b, &rich.alphas));
    CHECK_OK(spx_bilevel_alphas(&poor.b, &poor.alphas));
    assert_memory_equal(plain.alphas.data, rich.alphas.data, plain.alphas.bytes);
    spx_cell_values v, w;
    CHECK_OK(spx_gate_values(&plain.net, &plain.alphas, v));
    CHECK_OK(spx_gate_values(&poor.net, &poor.alphas, w));
    for (int i = 0; i < KINDS * SPX_CELL_SITES; i++) {
        const int kind = i / SPX_CELL_SITES, state_index = i % SPX_CELL_SITES;
        assert_true(w[kind][state_index] < v[kind][state_index]);
    }
    end(&plain);
    end(&rich);
    end(&poor);
}

/* ---- masks ---- */

/* The most value of at most k sites of a kind, by the controller; below 0: no mask is possible. */
static double controller(const spx_genotype *g, bool reduce, const double *value, int k,
                         int max_depth)
{
    enum { ALWAYS = SPX_CELL_SITES };
    const spx_final_spec f = {.genotype = *g,
                              .input = {3, 16, 16},
                              .classes = 2,
                              .init_channels = 4,
                              .layers = 2,
                              .n_reduce = reduce ? 2 : 0,
                              .reduce_at = {0, 1}};
    const spx_final_config c = spx_spec_config(&f, 1);
    spx_site site[SPX_SITES_MAX] = {{0}};
    spx_sites_choice choice;
    spx_relu_sites r;
    spx_network n;
    bool seen[SPX_CELL_SITES + 1] = {false};
    double all_value = 0;
    CHECK_OK(spx_build_spec(&n, &f, &c));
    CHECK_OK(spx_relu_sites_of(&r, n.graph, n.logits));
    for (int i = 0; i < r.n; i++) {
        const int state = spx_cell_site_of(&n.graph->node[r.node[i]]);
        const int group = state < 0 ? ALWAYS : state;
        site[i].group = group;
        if (!seen[group]) { /* the group's value and cost are its first one's */
            site[i].value = state < 0 ? 1000 : value[state];
            all_value += state < 0 ? 0 : value[state];
            for (int d = 0; d <= SPX_SITES_MAX_DEPTH; d++) {
                site[i].cost[d] = state < 0 ? 0 : 1;
            }
        }
        seen[group] = true;
    }
    /* groups are numbered without gaps: those that are not there stay empty */
    const spx_sites sites = {r.step, site, r.n_steps, r.n};
    memset(&choice, 0, sizeof choice);
    memset(choice.keep, true, sizeof choice.keep);
    CHECK_OK(spx_sites_measure(&sites, &choice));
    const int depth = choice.depth > max_depth ? choice.depth : max_depth;
    const spx_status st = spx_sites_solve_groups(&sites, k, depth, &choice);
    assert_true(st == SPX_OK || st == SPX_ENOTFOUND);
    spx_relu_sites_clear(&r);
    spx_network_clear(&n);
    return st == SPX_OK && choice.dropped < 1000 ? all_value - choice.dropped : -1;
}

static void draw(spx_rng *r, spx_genotype *g, spx_cell_values value)
{
    g->space = SPX_SPACE_RELU_OPS;
    for (int i = 0; i < SPX_CELL_NODES * SPX_NODE_EDGES; i++) {
        const int node = i / SPX_NODE_EDGES, edge = i % SPX_NODE_EDGES;
        const unsigned states = (unsigned)node + 2;
        g->normal.edge[node][edge] =
            (spx_gene){(spx_primitive)spx_rng_below(r, SPX_NONE), (int)spx_rng_below(r, states)};
        g->reduce.edge[node][edge] =
            (spx_gene){(spx_primitive)spx_rng_below(r, SPX_NONE), (int)spx_rng_below(r, states)};
    }
    for (int i = 0; i < KINDS * SPX_CELL_SITES; i++) {
        value[i / SPX_CELL_SITES][i % SPX_CELL_SITES] = (double)(1 + spx_rng_below(r, 1000)) / 1000;
    }
}

SPX_TEST(masks_are_the_controllers_for_every_number_of_sites)
{
    SPX_UNUSED;
    spx_rng r;
    int masks = 0, limited = 0;
    spx_rng_init(&r, 11, SPX_RNG_TEST, 0);
    for (int round = 0; round < 40; round++) {
        spx_genotype g;
        spx_cell_values value;
        spx_cell_masks m;
        const int max_depth = 3 + round % 5;
        draw(&r, &g, value);
        CHECK_OK(spx_cell_masks_choose(&m, &g, value, max_depth));
        const spx_cell_sites there = spx_genotype_sites(&g);
        const int sites = spx_cell_sites_count(there);
        double total = 2, best[KINDS][SPX_CELL_SITES + 1];
        for (int i = 0; i < KINDS * SPX_CELL_SITES; i++) {
            const int kind = i / SPX_CELL_SITES, state = i % SPX_CELL_SITES;
            const bool is = ((kind == 0 ? there.normal : there.reduce) >> state & 1) != 0;
            total += is ? value[kind][state] : 0;
        }
        for (int kind = 0; kind < KINDS; kind++) {
            for (int k = 0; k <= SPX_CELL_SITES; k++) {
                best[kind][k] = controller(&g, kind == 1, value[kind], k, max_depth);
            }
        }
        int at = 0;
        for (int k = 0; k <= sites; k++) {
            double most = -1;
            for (int a = 0; a <= k && a <= SPX_CELL_SITES; a++) {
                const int b = k - a;
                if (b <= SPX_CELL_SITES && best[0][a] >= 0 && best[1][b] >= 0) {
                    most = fmax(most, best[0][a] + best[1][b]);
                }
            }
            if (most < 0) {
                limited++;
                continue;
            }
            assert_true(at < m.n);
            assert_int_equal(spx_cell_sites_count(m.mask[at].keep), k);
            assert_true(fabs(m.mask[at].value - (2 + most) / total) < 1e-6);
            at++;
        }
        assert_int_equal(at, m.n);
        assert_true(m.n > 0 && m.mask[m.n - 1].value == 1);
        masks += m.n;
    }
    assert_true(masks > 80 && limited > 40); /* else little was tested */
    spx_genotype g;
    spx_cell_values value;
    spx_cell_masks m;
    draw(&r, &g, value);
    value[1][2] = 1.5;
    CHECK_FAILS(SPX_EINVAL, spx_cell_masks_choose(&m, &g, value, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_site_costs_what_a_final_network_without_it_lacks),
        SPX_UNIT(the_first_order_step_descends_the_penalty_too),
        SPX_UNIT(the_second_order_step_descends_the_penalty_too),
        SPX_UNIT(only_what_is_above_the_budget_has_a_price),
        SPX_UNIT(masks_are_the_controllers_for_every_number_of_sites)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
