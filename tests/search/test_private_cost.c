/* Private costs of the supernet's choices, and their gradient in a step of the search. */
#include "kernels/base/rng.h"
#include "search/bilevel/bilevel.h"
#include "search/supernet/private_cost.h"
#include "tests/support/spx_test.h"

#include <math.h>

enum { BATCH = 2, CLASSES = 3, SIDE = 8, PIXELS = BATCH * 3 * SIDE * SIDE };

static const spx_private_network network = {.channels = 2};

/* A search on random images, at its beginning. */
typedef struct story {
    spx_stream *stream;
    spx_supernet net;
    spx_bilevel b;
    spx_buffer costs, alphas, shown[2]; /* host: costs, alphas as they begin, what was traced */
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
    const spx_supernet_config c = {.batch = BATCH,
                                   .input = {3, SIDE, SIDE},
                                   .classes = CLASSES,
                                   .init_channels = 2,
                                   .layers = 2,
                                   .n_reduce = 1,
                                   .reduce_loc = {3}};
    spx_bilevel_options o = spx_bilevel_defaults;
    spx_rng r;
    memset(s, 0, sizeof *s);
    o.second_order = second_order;
    CHECK_OK(spx_stream_create(&s->stream, SPX_DEVICE_CPU, 1));
    CHECK_OK(spx_supernet_init(&s->net, s->stream, &c,
                               second_order ? SPX_PASSES_SECOND_ORDER : SPX_PASSES_FIRST_ORDER,
                               NULL));
    CHECK_OK(spx_bilevel_init(&s->b, &s->net, &o, 1));
    spx_buffer *const host[] = {&s->costs, &s->alphas, &s->shown[0], &s->shown[1]};
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
    spx_buffer_free(&s->costs);
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

static double expected(const story *s)
{
    double c;
    CHECK_OK(spx_private_expected(&s->net, &s->alphas, &s->costs, &c));
    return c;
}

static float *row(const story *s, const spx_buffer *arena, bool reduce, int node)
{
    float *cell[2][SPX_CELL_NODES];
    CHECK_OK(spx_supernet_alphas(&s->net, arena, cell[0], cell[1]));
    return cell[reduce][node];
}

/* Alphas as if primitive p(cell, from) were chosen on every edge. */
static void choose(story *s, bool dearest, spx_primitive p)
{
    for (int at = 0; at < 2 * SPX_CELL_NODES; at++) {
        const int node = at / 2;
        float *alpha = row(s, &s->alphas, at % 2, node), *cost = row(s, &s->costs, at % 2, node);
        for (int from = 0; from < 2 + node; from++) {
            int best = (int)p;
            for (int k = 0; k < SPX_PRIMITIVE_COUNT; k++) {
                const float *c = cost + from * SPX_PRIMITIVE_COUNT;
                best = dearest && c[k] > c[best] ? k : best;
            }
            for (int k = 0; k < SPX_PRIMITIVE_COUNT; k++) {
                alpha[from * SPX_PRIMITIVE_COUNT + k] = k == best ? 100 : 0;
            }
        }
    }
}

SPX_TEST(costs_lie_between_nothing_and_the_dearest_of_all)
{
    SPX_UNUSED;
    story s;
    begin(&s, false);
    CHECK_OK(spx_private_costs(&s.net, &network, 1, &s.costs));
    assert_true(expected(&s) > 0 && expected(&s) < 1);
    choose(&s, true, SPX_AVG_POOL_3X3);
    assert_true(fabs(expected(&s) - 1) < 1e-6);
    choose(&s, false, SPX_NONE);
    assert_true(fabs(expected(&s)) < 1e-6);
    CHECK_OK(spx_private_costs(&s.net, &network, 8, &s.costs));
    choose(&s, true, SPX_AVG_POOL_3X3);
    assert_true(fabs(expected(&s) - 8) < 1e-5);
    end(&s);
}

/* Two convolutions cost more than one, wide ones no less than narrow ones, and slow links more. */
SPX_TEST(primitives_cost_what_is_secret_in_them)
{
    SPX_UNUSED;
    spx_link none = {0}, wan;
    double ms[SPX_PRIMITIVE_COUNT], far, more;
    CHECK_OK(spx_link_parse("wan", &wan));
    for (int p = 0; p < SPX_PRIMITIVE_COUNT; p++) {
        CHECK_OK(spx_private_primitive(&ms[p], SPX_SPACE_SPHYNX, (spx_primitive)p, 4, 16, 16, false,
                                       none));
        CHECK_OK(
            spx_private_primitive(&far, SPX_SPACE_SPHYNX, (spx_primitive)p, 4, 16, 16, false, wan));
        CHECK_OK(spx_private_primitive(&more, SPX_SPACE_SPHYNX, (spx_primitive)p, 16, 16, 16, false,
                                       none));
        const bool secret = p >= SPX_VAN_CONV_3X3 && p != SPX_NONE;
        assert_true(secret ? ms[p] > 0 && far > ms[p] && more > ms[p] : ms[p] == 0);
    }
    assert_true(ms[SPX_VAN_CONV_3X3] > ms[SPX_VAN_DIL_CONV_3X3]);
    assert_true(ms[SPX_VAN_CONV_5X5] > ms[SPX_VAN_CONV_3X3]);
    CHECK_OK(
        spx_private_primitive(&far, SPX_SPACE_SPHYNX, SPX_SKIP_CONNECT, 4, 16, 16, true, none));
    assert_true(far > 0); /* a factorized reduce */
    spx_pi_price relu;
    CHECK_OK(spx_pi_relu_price(&relu, &spx_pi_usual_rates, none, spx_pi_usual_width));
    CHECK_OK(
        spx_private_primitive(&more, SPX_SPACE_RELU_OPS, SPX_VAN_CONV_3X3, 4, 16, 16, false, none));
    const double relus = 4 * 16 * 16 * (relu.offline_ms + relu.online_ms);
    assert_true(fabs(more - ms[SPX_VAN_CONV_3X3] - relus) < 1e-9 * more);
    for (int p = SPX_VAN_DIL_CONV_3X3; p < SPX_NONE; p++) { /* depthwise separable ones */
        CHECK_OK(spx_private_primitive(&more, SPX_SPACE_RELU_OPS, (spx_primitive)p, 4, 16, 16,
                                       false, none));
        assert_true(more > relus);
    }
}

/* alpha_grad with costs less that without is the costs' gradient: central differences of C. */
static void check_gradient(bool second_order)
{
    const double weight = 20, h = 1.0 / 512;
    story plain, dear;
    begin(&plain, second_order);
    step(&plain);
    begin(&dear, second_order);
    CHECK_OK(spx_private_costs(&dear.net, &network, weight, &dear.costs));
    CHECK_OK(spx_bilevel_set_costs(&dear.b, &dear.costs));
    CHECK_FAILS(SPX_EINVAL, spx_bilevel_set_costs(&dear.b, &dear.costs));
    step(&dear);
    assert_memory_equal(plain.shown[0].data, dear.shown[0].data, plain.shown[0].bytes);
    double largest = 0;
    for (int at = 0; at < 2 * SPX_CELL_NODES; at++) {
        const int node = at / 2;
        float *alpha = row(&dear, &dear.alphas, at % 2, node);
        const float *with = row(&dear, &dear.shown[1], at % 2, node),
                    *without = row(&plain, &plain.shown[1], at % 2, node);
        for (int k = 0; k < (2 + node) * SPX_PRIMITIVE_COUNT; k++) {
            const float was = alpha[k];
            alpha[k] = was + (float)h;
            const double up = expected(&dear), a = (double)alpha[k];
            alpha[k] = was - (float)h;
            const double g = (up - expected(&dear)) / (a - (double)alpha[k]),
                         got = (double)with[k] - (double)without[k];
            alpha[k] = was;
            largest = fabs(g) > largest ? fabs(g) : largest;
            /* the sum of two floats below 4 and the third derivative times h^2 */
            if (fabs(got - g) > 2e-6) {
                fail_msg("cell kind %d, node %d, alpha %d: %.9g, expected %.9g", at % 2, node, k,
                         got, g);
            }
        }
    }
    assert_true(largest > 1e-2); /* else nothing was tested */
    end(&plain);
    end(&dear);
}

SPX_TEST(the_first_order_step_descends_the_costs_too)
{
    SPX_UNUSED;
    check_gradient(false);
}

SPX_TEST(the_second_order_step_descends_the_costs_too)
{
    SPX_UNUSED;
    check_gradient(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {SPX_UNIT(costs_lie_between_nothing_and_the_dearest_of_all),
                                       SPX_UNIT(primitives_cost_what_is_secret_in_them),
                                       SPX_UNIT(the_first_order_step_descends_the_costs_too),
                                       SPX_UNIT(the_second_order_step_descends_the_costs_too)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
