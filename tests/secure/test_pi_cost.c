/* What private inference costs, beforehand: sums of parts that can be counted by hand. */
#define _DEFAULT_SOURCE
#include "host/secure/he/he.h"
#include "tests/secure/pi_fixture.h"

#include <stddef.h>

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

/* ---- a convolution ---- */

SPX_TEST(a_convolution_costs_its_exchange_and_its_loops)
{
    SPX_UNUSED;
    const spx_conv2d_ring_shape d = {4, 16, 16, 8, 16, 16, 3, 1, 1, 1};
    const spx_he_value in = {4, 16, 16}, out = {8, 16, 16};
    const spx_he_conv conv = {
        .c = 4, .k = 8, .r = 3, .s = 3, .stride = 1, .dilation = 1, .pad_top = 1, .pad_left = 1};
    const spx_he_geometry g = {.l = spx_pi_usual_width.l,
                               .weight_bits = 8,
                               .set = SPX_HE_ANY_SET,
                               .inputs = 1,
                               .outputs = 1,
                               .convs = 1,
                               .input = &in,
                               .output = &out,
                               .conv = &conv};
    const spx_pi_rates encrypt = {.request = {1, 1, 1, 1}}, step = {.step = 1}, seal = {.seal = 1};
    spx_he_plan *plan;
    spx_pi_price p;
    CHECK_OK(spx_he_plan_create(&plan, &g));
    const spx_he_facts *f = spx_he_plan_facts(plan);
    CHECK_OK(spx_pi_conv_price(&p, &encrypt, (spx_link){0}, &d));
    check_near(p.offline_bytes, (double)(f->request_bytes + f->response_bytes), "bytes");
    check_near(p.offline_ms, 1e3 * (double)f->request_polys, "encrypting");
    assert_true(p.online_ms == 0 && p.online_bytes == 0);
    CHECK_OK(spx_pi_conv_price(&p, &step, (spx_link){0}, &d));
    check_near(p.online_ms, /* blocks, groups, limbs; pairs, taps */ 1e3 * 1 * 43 * 3 * 2 * 9,
               "steps");
    CHECK_OK(spx_pi_conv_price(&p, &seal, (spx_link){0}, &d));
    check_near(p.offline_ms, 1e3 * 8 * 8 * 256, "masks");
    CHECK_OK(spx_pi_conv_price(&p, &seal, (spx_link){1, 0}, &d));
    check_near(p.offline_ms, 1e3 * (8 * 8 * 256 + p.offline_bytes), "the link");
    spx_he_plan_destroy(plan);
    CHECK_FAILS(SPX_EINVAL,
                spx_pi_conv_price(&p, &step, (spx_link){0}, &(spx_conv2d_ring_shape){.c = 1}));
}

/* ---- a query ---- */

typedef struct story {
    deploy_fixture fixture;
    spx_deploy *model;
    spx_pi_plan *plan;
} story;

/* masked: each layer has two circuits, of what its mask keeps and of what is clamped. */
static void begin(story *s, bool masked)
{
    memset(s, 0, sizeof *s);
    s->model = fixture_model_of(&s->fixture, 7, masked);
    CHECK_OK(spx_pi_plan_create(&s->plan, s->model));
}

static void end(story *s)
{
    spx_pi_plan_destroy(s->plan);
    spx_deploy_destroy(s->model);
    fixture_clear(&s->fixture);
}

static double sum(const spx_pi_parts *p)
{
    return p->linear + p->labels + p->circuits + p->material + p->pass + p->link;
}

/* With one rate alone, a part is that rate times what is counted, and so is the whole. */
static void check_parts(bool masked)
{
    story s;
    begin(&s, masked);
    const spx_pi_sizes *z = spx_pi_plan_sizes(s.plan);
    const spx_link none = {0};
    const struct {
        spx_pi_rates rates;
        size_t part;
        double count;
    } row[] = {{{.evaluate = 1}, offsetof(spx_pi_parts, circuits), (double)z->ands},
               {{.choose = 1}, offsetof(spx_pi_parts, labels), (double)z->wires},
               {{.answer = 1}, offsetof(spx_pi_parts, labels), (double)z->wires},
               {{.unmask = 1}, offsetof(spx_pi_parts, labels), (double)z->wires},
               {{.pass = 1},
                offsetof(spx_pi_parts, pass),
                (double)(z->online_to_server + z->online_to_client)},
               {{.turn = 1}, offsetof(spx_pi_parts, pass), (double)z->online_rounds}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const spx_pi_forecast f = spx_pi_predict(s.plan, &row[i].rates, none, -1);
        double part;
        memcpy(&part, (const char *)&f.part + row[i].part, sizeof part);
        check_near(part, row[i].count, "a part");
        check_near(sum(&f.part), row[i].count, "all parts");
        check_near(f.online, row[i].count, "online");
    }
    end(&s);
}

SPX_TEST(each_part_is_its_count_times_its_rate)
{
    SPX_UNUSED;
    check_parts(false);
    check_parts(true);
}

static void check_link(bool masked)
{
    story s;
    begin(&s, masked);
    const spx_pi_rates no_work = {0};
    const spx_pi_sizes *z = spx_pi_plan_sizes(s.plan);
    const spx_pi_forecast slow = spx_pi_predict(s.plan, &no_work, (spx_link){1, 0}, -1),
                          far = spx_pi_predict(s.plan, &no_work, (spx_link){0, 1}, -1);
    check_near(slow.online, (double)(z->online_to_server + z->online_to_client), "bytes");
    check_near(far.online, (double)z->online_rounds, "rounds");
    check_near(slow.part.link, slow.online, "the link's part");
    check_near(far.part.link, far.online, "the link's part");
    end(&s);
}

SPX_TEST(a_link_takes_the_bytes_and_rounds_that_are_counted)
{
    SPX_UNUSED;
    check_link(false);
    check_link(true);
}

static void check_segments(bool masked)
{
    story s;
    spx_link lan;
    double online = 0, parts = 0;
    begin(&s, masked);
    CHECK_OK(spx_link_parse("lan", &lan));
    const spx_pi_forecast all = spx_pi_predict(s.plan, &spx_pi_usual_rates, lan, -1);
    for (int i = 0; i < s.model->n_segments; i++) {
        const spx_pi_forecast f = spx_pi_predict(s.plan, &spx_pi_usual_rates, lan, i);
        assert_true(f.online > 0);
        online += f.online;
        parts += sum(&f.part);
    }
    check_near(online, all.online, "online");
    check_near(parts, sum(&all.part), "parts");
    assert_true(all.part.linear > 0 && all.part.material > 0 && all.load > 0);
    end(&s);
}

SPX_TEST(segments_add_up_to_the_query)
{
    SPX_UNUSED;
    check_segments(false);
    check_segments(true);
}

/* By what plan_segment counts: a segment pays for its own layer alone, and for a round. */
SPX_TEST(a_segment_of_two_circuits_has_its_own_layer_and_one_round)
{
    SPX_UNUSED;
    story s;
    const spx_pi_rates evaluate = {.evaluate = 1}, no_work = {0};
    begin(&s, true);
    assert_int_equal(s.model->n_segments, 3);
    assert_int_equal(spx_pi_plan_sizes(s.plan)->online_rounds, 3);
    for (int i = 0; i < s.model->n_segments; i++) {
        const spx_pi_sizes z = spx_pi_plan_segment(s.plan, i);
        const double rounds = i == 0 ? 1.5 : i == 1 ? 1 : 0.5; /* the image; the logits */
        const spx_pi_forecast f = spx_pi_predict(s.plan, &evaluate, (spx_link){0}, i),
                              far = spx_pi_predict(s.plan, &no_work, (spx_link){0, 1}, i);
        assert_true(f.part.circuits == (double)z.ands && f.online == (double)z.ands);
        check_near(far.part.link, rounds, "the link's part of a segment");
        check_near(far.online, rounds, "a segment");
    }
    end(&s);
}

SPX_TEST(every_rate_that_rises_makes_a_query_longer)
{
    SPX_UNUSED;
    story s;
    spx_link lan;
    begin(&s, false);
    CHECK_OK(spx_link_parse("lan", &lan));
    const spx_pi_forecast before = spx_pi_predict(s.plan, &spx_pi_usual_rates, lan, -1);
    for (size_t i = 0; i < sizeof(spx_pi_rates) / sizeof(double); i++) {
        spx_pi_rates r = spx_pi_usual_rates;
        ((double *)&r)[i] *= 1000;
        const spx_pi_forecast f = spx_pi_predict(s.plan, &r, lan, -1);
        assert_true(f.online >= before.online && f.offline >= before.offline &&
                    f.load >= before.load);
        /* but for parameter sets that the model has no use for */
        const bool set = i >= offsetof(spx_pi_rates, request) / sizeof(double) &&
                         i < offsetof(spx_pi_rates, choose) / sizeof(double);
        assert_true(set || f.online > before.online || f.offline > before.offline ||
                    f.load > before.load);
    }
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_relu_costs_its_labels_tables_and_transfers),
        SPX_UNIT(a_relu_of_a_width_that_cannot_be_garbled_is_refused),
        SPX_UNIT(a_link_adds_its_bytes_and_a_round_a_layer),
        SPX_UNIT(a_wider_relu_costs_more_of_everything),
        SPX_UNIT(a_convolution_costs_its_exchange_and_its_loops),
        SPX_UNIT(each_part_is_its_count_times_its_rate),
        SPX_UNIT(a_link_takes_the_bytes_and_rounds_that_are_counted),
        SPX_UNIT(segments_add_up_to_the_query),
        SPX_UNIT(a_segment_of_two_circuits_has_its_own_layer_and_one_round),
        SPX_UNIT(every_rate_that_rises_makes_a_query_longer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
