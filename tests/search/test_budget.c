/* The controller: budgets are hard, choices are the best by the documented score, refusals name
 * numbers. */
#define _POSIX_C_SOURCE 200809L
#include "search/budget/plan_file.h"
#include "tests/support/spx_scratch.h"

#include <math.h>

static const spx_input_shape cifar = {3, 32, 32}, tiny = {3, 64, 64}, imagenet = {3, 224, 224},
                             fashion = {1, 32, 32};

static spx_planner *planner(const spx_input_shape *in, int64_t classes)
{
    spx_planner *p;
    CHECK_OK(spx_planner_create(&p, &spx_genotype_published, in, classes));
    return p;
}

static spx_plan_bounds relus(int64_t n)
{
    return (spx_plan_bounds){.relus = n, .min_layers = 2, .max_layers = SPX_PLAN_MAX_LAYERS};
}

static void check_choice(spx_planner *p, int64_t budget, int64_t channels, int64_t layers,
                         int first, int second)
{
    spx_plan_choice c;
    const spx_plan_bounds b = relus(budget);
    CHECK_OK(spx_planner_best(p, &b, &c));
    if (c.init_channels != channels || c.layers != layers || c.reduce_at[0] != first ||
        c.reduce_at[1] != second) {
        fail_msg("budget %lld: %lld,%lld,[%d,%d]", (long long)budget, (long long)c.init_channels,
                 (long long)c.layers, c.reduce_at[0], c.reduce_at[1]);
    }
    assert_true(c.counts.relus <= budget);
}

/* Sphynx's own networks, except that 41.0K and ImageNet's have their first reduction at 1 there. */
SPX_TEST(published_budgets_give_the_published_networks)
{
    SPX_UNUSED;
    spx_planner *p = planner(&cifar, 100);
    check_choice(p, 25600, 5, 5, 0, 1);
    check_choice(p, 30720, 5, 6, 0, 1);
    check_choice(p, 40960, 5, 8, 0, 3);
    check_choice(p, 51200, 5, 10, 0, 5);
    check_choice(p, 71680, 7, 10, 0, 5);
    check_choice(p, 102400, 10, 10, 0, 5);
    spx_planner_destroy(p);
    p = planner(&tiny, 200);
    check_choice(p, 102400, 5, 5, 0, 1);
    check_choice(p, 204800, 5, 10, 0, 5);
    check_choice(p, 286720, 7, 10, 0, 5);
    check_choice(p, 491520, 12, 10, 0, 5);
    check_choice(p, 614400, 15, 10, 0, 5);
    spx_planner_destroy(p);
    p = planner(&imagenet, 1000);
    check_choice(p, 344960, 20, 10, 0, 5);
    check_choice(p, 517440, 30, 10, 0, 5);
    check_choice(p, 689920, 40, 10, 0, 5);
    check_choice(p, 862400, 50, 10, 0, 5);
    check_choice(p, 1034880, 60, 10, 0, 5);
    spx_planner_destroy(p);
}

SPX_TEST(a_small_budget_buys_depth_before_width)
{
    SPX_UNUSED;
    spx_planner *p = planner(&fashion, 10);
    check_choice(p, 10240, 2, 5, 0, 1);
    check_choice(p, 2048, 1, 2, 0, 1);
    spx_planner_destroy(p);
}

/* Every shape that fits is built and counted: none scores above the choice. */
SPX_TEST(no_network_within_the_bounds_scores_higher)
{
    SPX_UNUSED;
    static const struct {
        int64_t relus, params, macs;
    } cases[] = {
        {5119, 0, 0},
        {23000, 0, 0},
        {25600, 2000000, 0},
        {25600, 0, 60000000},
        {40000, 400000, 20000000},
    };
    spx_planner *p = planner(&cifar, 100);
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        const spx_plan_bounds b = {.relus = cases[k].relus,
                                   .max_params = cases[k].params,
                                   .max_macs = cases[k].macs,
                                   .min_layers = 2,
                                   .max_layers = 8};
        spx_plan_choice best, c = {0};
        CHECK_OK(spx_planner_best(p, &b, &best));
        for (c.layers = 2; c.layers <= 8; c.layers++) {
            for (c.init_channels = 1; c.init_channels <= 16; c.init_channels++) {
                for (c.reduce_at[0] = 0; c.reduce_at[0] < 2 * c.layers / 3; c.reduce_at[0]++) {
                    for (c.reduce_at[1] = c.reduce_at[0] + 1; c.reduce_at[1] <= 2 * c.layers / 3;
                         c.reduce_at[1]++) {
                        const spx_final_spec f =
                            spx_plan_spec(&c, &spx_genotype_published, &cifar, 100);
                        CHECK_OK(spx_final_count(&f, false, &c.counts));
                        const bool fits = c.counts.relus <= b.relus &&
                                          (b.max_params == 0 || c.counts.params <= b.max_params) &&
                                          (b.max_macs == 0 || c.counts.macs <= b.max_macs);
                        assert_true(!fits || spx_plan_score(c.init_channels, c.layers,
                                                            c.reduce_at) <= best.score);
                    }
                }
            }
        }
    }
    spx_planner_destroy(p);
}

/* What lets the planner bound a depth by one placement, and halve over the width. */
SPX_TEST(relus_ignore_the_placement_and_all_counts_grow_with_the_width)
{
    SPX_UNUSED;
    static const spx_input_shape *const shapes[] = {&cifar, &imagenet};
    for (int s = 0; s < 2; s++) {
        for (int layers = 2; layers <= 12; layers += 5) {
            int64_t common = 0;
            for (int i = 0; i < 2 * layers / 3; i++) {
                for (int j = i + 1; j <= 2 * layers / 3; j++) {
                    spx_counts last = {0};
                    for (int64_t channels = 2; channels <= 6; channels += 2) {
                        const spx_plan_choice c = {
                            .init_channels = channels, .layers = layers, .reduce_at = {i, j}};
                        const spx_final_spec f =
                            spx_plan_spec(&c, &spx_genotype_published, shapes[s], 10);
                        spx_counts n;
                        CHECK_OK(spx_final_count(&f, false, &n));
                        assert_true(n.relus > last.relus && n.params > last.params &&
                                    n.macs > last.macs);
                        assert_true(channels == 2 ||
                                    n.relus * (channels - 2) == last.relus * channels);
                        last = n;
                    }
                    common = common == 0 ? last.relus : common;
                    assert_int_equal(last.relus, common);
                }
            }
        }
    }
}

SPX_TEST(the_impossible_is_refused_with_the_smallest_possible)
{
    SPX_UNUSED;
    spx_planner *p = planner(&cifar, 100);
    spx_plan_choice c;
    spx_plan_bounds b = relus(2047);
    CHECK_FAILS(SPX_ENOTFOUND, spx_planner_best(p, &b, &c));
    assert_non_null(strstr(spx_error_message(), "has 2048"));
    b = relus(25600);
    b.min_layers = 30;
    b.max_layers = 40;
    CHECK_FAILS(SPX_ENOTFOUND, spx_planner_best(p, &b, &c));
    assert_non_null(strstr(spx_error_message(), "30 layers) has 30720"));
    b = relus(25600);
    b.max_params = 10;
    CHECK_FAILS(SPX_ENOTFOUND, spx_planner_best(p, &b, &c));
    assert_non_null(strstr(spx_error_message(), "parameters"));
    b = relus(0);
    CHECK_FAILS(SPX_EINVAL, spx_planner_best(p, &b, &c));
    b = relus(25600);
    b.min_layers = 1;
    CHECK_FAILS(SPX_EINVAL, spx_planner_best(p, &b, &c));
    spx_planner_destroy(p);
    const spx_input_shape odd = {3, 30, 30};
    CHECK_FAILS(SPX_EINVAL, spx_planner_create(&p, &spx_genotype_published, &odd, 10));
}

SPX_TEST(the_audit_adds_up_to_the_whole_network)
{
    SPX_UNUSED;
    const spx_final_spec f = {.genotype = spx_genotype_published,
                              .input = cifar,
                              .classes = 100,
                              .init_channels = 5,
                              .layers = 5,
                              .n_reduce = 2,
                              .reduce_at = {0, 1}};
    spx_audit a;
    spx_counts sum = {0};
    CHECK_OK(spx_audit_final(&a, &f, true));
    assert_int_equal(a.n, 1 + 5 + 1 + 1);
    for (int i = 0; i < a.n; i++) {
        const spx_layer_audit *l = &a.layer[i];
        sum.relus += l->counts.relus;
        sum.params += l->counts.params;
        sum.params_aux += l->counts.params_aux;
        sum.macs += l->counts.macs;
        if (l->cell >= 0) {
            assert_int_equal(l->counts.relus, 5120);
            assert_int_equal(l->channels, l->cell == 0 ? 20 : 80);
            assert_int_equal(l->rows, l->cell == 0 ? 16 : 8);
            assert_int_equal(l->kind, l->cell < 2 ? SPX_LAYER_REDUCE : SPX_LAYER_NORMAL);
        }
    }
    assert_int_equal(a.layer[0].kind, SPX_LAYER_STEM);
    assert_int_equal(a.layer[0].channels, 15);
    assert_int_equal(a.layer[5].kind, SPX_LAYER_AUXILIARY);
    assert_int_equal(a.layer[7].kind, SPX_LAYER_CLASSIFIER);
    assert_int_equal(a.layer[7].channels, 100);
    assert_memory_equal(&sum, &a.total, sizeof sum);
    assert_int_equal(a.total.relus, 25600);
}

/* Reads text as a plan. */
static spx_status load(const char *text, spx_final_spec *f)
{
    spx_scratch s;
    assert_int_equal(spx_scratch_make(&s), 0);
    const char *path = spx_scratch_path(&s, "plan.json");
    spx_scratch_write_text(path, text);
    const spx_status st = spx_plan_load(path, f);
    spx_scratch_remove(&s);
    return st;
}

SPX_TEST(a_plan_that_was_written_reads_back_as_the_same_network)
{
    SPX_UNUSED;
    const spx_plan_bounds b = relus(51200);
    spx_final_spec read = {.genotype = spx_genotype_published, .input = cifar, .classes = 100};
    spx_planner *p = planner(&cifar, 100);
    spx_plan_choice c;
    json_t *plan;
    char *text;
    CHECK_OK(spx_planner_best(p, &b, &c));
    plan = spx_plan_json(&c, b.relus);
    text = json_dumps(plan, 0);
    assert_non_null(text);
    CHECK_OK(load(text, &read));
    assert_int_equal(read.init_channels, c.init_channels);
    assert_int_equal(read.layers, c.layers);
    assert_int_equal(read.n_reduce, 2);
    assert_memory_equal(read.reduce_at, c.reduce_at, sizeof c.reduce_at);
    read.input = fashion; /* fewer channels of the same size: as many ReLUs */
    CHECK_OK(load(text, &read));
    read.input = tiny;
    CHECK_FAILS(SPX_EINVAL, load(text, &read));
    free(text);
    json_decref(plan);
    spx_planner_destroy(p);
}

SPX_TEST(a_file_that_is_no_plan_is_refused)
{
    SPX_UNUSED;
    static const char *const refused[] = {
        "",
        "[]",
        "{\"init_channels\": 5, ",
        "{\"init_channels\": 5, \"layers\": 5}",
        "{\"init_channels\": \"5\", \"layers\": 5, \"reduce_at\": [0, 1]}",
        "{\"init_channels\": 0, \"layers\": 5, \"reduce_at\": [0, 1]}",
        "{\"init_channels\": 4097, \"layers\": 5, \"reduce_at\": [0, 1]}",
        "{\"init_channels\": 5, \"layers\": 65, \"reduce_at\": [0, 1]}",
        "{\"init_channels\": 5, \"layers\": 5, \"reduce_at\": [0, 5]}",
        "{\"init_channels\": 5, \"layers\": 5, \"reduce_at\": [-1, 1]}",
        "{\"init_channels\": 5, \"layers\": 5, \"reduce_at\": [0.0, 1]}",
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        spx_final_spec c = {.genotype = spx_genotype_published, .input = cifar, .classes = 100};
        CHECK_FAILS(SPX_EFORMAT, load(refused[i], &c));
    }
}

/* Normal cells rectify states 0 to 3, reduction cells 0 and 1. */
static const spx_genotype relu_ops = {
    .space = SPX_SPACE_RELU_OPS,
    .normal = {{{{SPX_VAN_CONV_3X3, 0}, {SPX_VAN_CONV_5X5, 1}},
                {{SPX_VAN_DIL_CONV_3X3, 2}, {SPX_SKIP_CONNECT, 0}},
                {{SPX_VAN_CONV_3X3, 3}, {SPX_AVG_POOL_3X3, 1}},
                {{SPX_SKIP_CONNECT, 4}, {SPX_AVG_POOL_3X3, 0}}}},
    .reduce = {{{{SPX_SKIP_CONNECT, 0}, {SPX_VAN_CONV_5X5, 1}},
                {{SPX_SKIP_CONNECT, 2}, {SPX_AVG_POOL_3X3, 0}},
                {{SPX_SKIP_CONNECT, 3}, {SPX_AVG_POOL_3X3, 1}},
                {{SPX_SKIP_CONNECT, 4}, {SPX_AVG_POOL_3X3, 0}}}}};

static const spx_cell_masks masks = {
    .mask = {{{0x0, 0x0}, 0.4}, {{0x1, 0x0}, 0.55}, {{0x5, 0x2}, 0.8}, {{0xf, 0x3}, 1}}, .n = 4};

/* Counted by walking: what masks keep of a network with this one. */
static int64_t kept(const spx_plan_choice *c, const spx_input_shape *in, spx_audit *a)
{
    const spx_final_spec f = spx_plan_spec(c, &relu_ops, in, 10);
    CHECK_OK(spx_audit_final(a, &f, false));
    assert_int_equal(a->relus.full, a->total.relus);
    return a->relus.kept;
}

SPX_TEST(no_mask_and_shape_within_the_bounds_score_higher)
{
    SPX_UNUSED;
    static const struct {
        int64_t relus, params;
    } cases[] = {{4000, 0}, {60000, 0}, {60000, 40000}};
    spx_planner *p;
    uint32_t used = 0;
    CHECK_OK(spx_planner_create(&p, &relu_ops, &fashion, 10));
    spx_planner_set_masks(p, &masks);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const spx_plan_bounds b = {.relus = cases[k].relus,
                                   .max_params = cases[k].params,
                                   .min_layers = 2,
                                   .max_layers = 4};
        spx_plan_choice best;
        spx_audit a;
        CHECK_OK(spx_planner_best(p, &b, &best));
        assert_true(best.masked && best.counts.relus <= b.relus);
        assert_int_equal(best.counts.relus, kept(&best, &fashion, &a));
        bool found = false;
        for (int m = 0; m < masks.n; m++) {
            const double extra = SPX_PLAN_MASK_WEIGHT * log(masks.mask[m].value);
            spx_plan_choice c = {.masked = true, .keep = masks.mask[m].keep};
            for (c.layers = 2; c.layers <= 4; c.layers++) {
                for (c.init_channels = 1; c.init_channels <= 10; c.init_channels++) {
                    for (c.reduce_at[0] = 0; c.reduce_at[0] < 2 * c.layers / 3; c.reduce_at[0]++) {
                        c.reduce_at[1] = c.reduce_at[0] + 1; /* counts ignore it, but parameters */
                        const double score =
                            spx_plan_score(c.init_channels, c.layers, c.reduce_at) + extra;
                        if (score > best.score) {
                            assert_true(kept(&c, &fashion, &a) > b.relus ||
                                        (b.max_params > 0 && a.total.params > b.max_params));
                        }
                    }
                }
            }
            if (memcmp(&best.keep, &masks.mask[m].keep, sizeof best.keep) == 0) {
                const double shape =
                    spx_plan_score(best.init_channels, best.layers, best.reduce_at);
                assert_true(best.score == shape + extra);
                used |= 1u << m;
                found = true;
            }
        }
        assert_true(found);
    }
    assert_true((used & (used - 1)) != 0); /* not always the same mask */
    spx_plan_choice c;
    const spx_plan_bounds little = relus(1000);
    CHECK_FAILS(SPX_ENOTFOUND, spx_planner_best(p, &little, &c));
    assert_non_null(strstr(spx_error_message(), "sparsest mask) has 2048"));
    spx_planner_destroy(p);
}

SPX_TEST(a_plan_with_a_mask_reads_back_as_the_same_network)
{
    SPX_UNUSED;
    const spx_plan_bounds b = relus(40000);
    const spx_cell_masks one = {.mask = {{{0x5, 0x2}, 0.8}}, .n = 1};
    spx_final_spec read = {.genotype = relu_ops, .input = fashion, .classes = 10};
    spx_planner *p;
    spx_plan_choice c;
    spx_audit a;
    CHECK_OK(spx_planner_create(&p, &relu_ops, &fashion, 10));
    spx_planner_set_masks(p, &one);
    CHECK_OK(spx_planner_best(p, &b, &c));
    json_t *plan = spx_plan_json(&c, b.relus);
    char *text = json_dumps(plan, 0);
    CHECK_OK(load(text, &read));
    assert_true(read.masked);
    assert_int_equal(read.dropped.normal, 0xa);
    assert_int_equal(read.dropped.reduce, 0x1);
    CHECK_OK(spx_audit_final(&a, &read, false));
    assert_int_equal(a.relus.kept, c.counts.relus);
    assert_true(a.relus.masked && a.relus.kept < a.relus.full);
    read.genotype.normal.edge[1][0].primitive = SPX_AVG_POOL_3X3; /* state 2 has no ReLU then */
    CHECK_FAILS(SPX_EFORMAT, load(text, &read));
    assert_non_null(strstr(spx_error_message(), "state 2 has no ReLU"));
    free(text);
    json_decref(plan);
    spx_planner_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(published_budgets_give_the_published_networks),
        SPX_UNIT(a_small_budget_buys_depth_before_width),
        SPX_UNIT(no_network_within_the_bounds_scores_higher),
        SPX_UNIT(relus_ignore_the_placement_and_all_counts_grow_with_the_width),
        SPX_UNIT(the_impossible_is_refused_with_the_smallest_possible),
        SPX_UNIT(a_plan_that_was_written_reads_back_as_the_same_network),
        SPX_UNIT(no_mask_and_shape_within_the_bounds_score_higher),
        SPX_UNIT(a_plan_with_a_mask_reads_back_as_the_same_network),
        SPX_UNIT(a_file_that_is_no_plan_is_refused),
        SPX_UNIT(the_audit_adds_up_to_the_whole_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
