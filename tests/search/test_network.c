/*
 * Networks: what they cost is counted by walking their graphs and equals the published figures;
 * their parameters carry the published names.
 */
#include "kernels/base/rng.h"
#include "search/space/network.h"
#include "tests/support/spx_test.h"

static spx_final_config final_config(int64_t size, int64_t classes, int64_t channels,
                                     int64_t layers, int first, int second)
{
    return (spx_final_config){.batch = 2,
                              .input = {3, size, size},
                              .classes = classes,
                              .init_channels = channels,
                              .layers = layers,
                              .n_reduce = 2,
                              .reduce_at = {first, second},
                              .auxiliary = true};
}

static spx_counts count_final(const spx_final_config *c)
{
    spx_network n;
    spx_counts counts;
    CHECK_OK(spx_build_final(&n, &spx_genotype_published, c));
    spx_graph_count(n.graph, &counts);
    spx_network_clear(&n);
    return counts;
}

/* ReLUs: Sphynx (arXiv 2106.11755), the names of its networks, in units of 100 as
 * they are quoted. */
static const struct published {
    int64_t size, classes, channels, layers;
    int first, second;
    int64_t relus;
} published[] = {
    {32, 100, 5, 5, 0, 1, 25600},      {32, 100, 5, 6, 0, 1, 30720},
    {32, 100, 5, 8, 1, 3, 40960},      {32, 100, 5, 10, 0, 5, 51200},
    {32, 100, 7, 10, 0, 5, 71680},     {32, 100, 10, 10, 0, 5, 102400},
    {64, 200, 5, 5, 0, 1, 102400},     {64, 200, 5, 10, 0, 5, 204800},
    {64, 200, 7, 10, 0, 5, 286720},    {64, 200, 12, 10, 0, 5, 491520},
    {64, 200, 15, 10, 0, 5, 614400},   {224, 1000, 20, 10, 1, 5, 344960},
    {224, 1000, 30, 10, 1, 5, 517440}, {224, 1000, 40, 10, 1, 5, 689920},
    {224, 1000, 50, 10, 1, 5, 862400}, {224, 1000, 60, 10, 1, 5, 1034880},
};

SPX_TEST(every_published_configuration_has_its_published_relu_count)
{
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        const struct published *p = &published[i];
        const spx_final_config c =
            final_config(p->size, p->classes, p->channels, p->layers, p->first, p->second);
        assert_int_equal(count_final(&c).relus, p->relus);
    }
}

/* Parameters and multiply-adds of five networks, counted on the published implementation. */
SPX_TEST(params_and_macs_equal_those_of_the_published_implementation)
{
    SPX_UNUSED;
    static const struct {
        int64_t size, classes, channels, layers;
        int first, second;
        int64_t params, params_with_aux, macs;
    } cases[] = {
        {32, 100, 5, 5, 0, 1, 2888015, 3370163, 194573120},
        {32, 100, 5, 10, 0, 5, 3754235, 4236383, 283123520},
        {32, 100, 10, 10, 0, 5, 14986170, 15478558, 1131648640},
        {64, 200, 5, 10, 0, 5, 3762335, 4321383, 1132478080},
        {224, 1000, 20, 10, 1, 5, 59518050, 60721482, 3368007680},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const spx_final_config c = final_config(cases[i].size, cases[i].classes, cases[i].channels,
                                                cases[i].layers, cases[i].first, cases[i].second);
        const spx_counts n = count_final(&c);
        assert_int_equal(n.params, cases[i].params);
        assert_int_equal(n.params + n.params_aux, cases[i].params_with_aux);
        assert_int_equal(n.macs, cases[i].macs);
    }
}

static const spx_supernet_config supernet_config = {.batch = 2,
                                                    .input = {3, 32, 32},
                                                    .classes = 100,
                                                    .init_channels = 16,
                                                    .layers = 8,
                                                    .n_reduce = 2,
                                                    .reduce_loc = {2, 4},
                                                    .training = true};

SPX_TEST(the_supernet_costs_what_the_published_one_does)
{
    SPX_UNUSED;
    spx_network n;
    spx_counts c;
    CHECK_OK(spx_build_supernet(&n, &supernet_config));
    spx_graph_count(n.graph, &c);
    assert_int_equal(c.params, 22803476);
    assert_int_equal(c.arch, 196);
    assert_int_equal(c.relus, 278528);
    /* 3,015,196,672 in convolutions, and the classifier: 64 x 100 */
    assert_int_equal(c.macs, 3015196672 + 6400);
    spx_network_clear(&n);
}

static void assert_dim(const spx_graph *g, const char *name, spx_role role, int64_t d0, int64_t d1,
                       int64_t d2)
{
    const spx_tid t = spx_graph_find(g, name);
    if (t == SPX_NO_TENSOR) {
        fail_msg("no tensor %s", name);
    }
    assert_int_equal(g->tensor[t].role, role);
    assert_int_equal(g->tensor[t].dim[0], d0);
    assert_int_equal(g->tensor[t].dim[1], d1);
    assert_int_equal(g->tensor[t].dim[2], d2);
}

/* One name of each kind; golden_check compares all of them. */
SPX_TEST(supernet_parameters_carry_the_published_names)
{
    SPX_UNUSED;
    spx_network n;
    CHECK_OK(spx_build_supernet(&n, &supernet_config));
    const spx_graph *g = n.graph;
    assert_dim(g, "alpha_normal.3", SPX_ROLE_ARCH, 5, 7, 1);
    assert_dim(g, "alpha_reduce.0", SPX_ROLE_ARCH, 2, 7, 1);
    assert_dim(g, "net.stem.0.weight", SPX_ROLE_WEIGHT, 48, 3, 3);
    assert_dim(g, "net.stem.1.bias", SPX_ROLE_WEIGHT, 48, 1, 1);
    assert_dim(g, "net.cells.0.preproc0.net.0.weight", SPX_ROLE_WEIGHT, 16, 48, 1);
    assert_dim(g, "net.cells.3.preproc0.conv2.weight", SPX_ROLE_WEIGHT, 16, 16, 1);
    assert_dim(g, "net.cells.2.dag.3.1._ops.1.conv1.weight", SPX_ROLE_WEIGHT, 16, 32, 1);
    assert_dim(g, "net.cells.0.dag.3.4._ops.0.bn.running_var", SPX_ROLE_STATE, 16, 1, 1);
    assert_dim(g, "net.cells.0.dag.0.0._ops.3.net.2.weight", SPX_ROLE_WEIGHT, 16, 16, 5);
    assert_dim(g, "net.cells.0.proproc.net.2.bias", SPX_ROLE_WEIGHT, 16, 1, 1);
    assert_dim(g, "net.linear.weight", SPX_ROLE_WEIGHT, 100, 64, 1);
    assert_int_equal(spx_graph_find(g, "net.cells.0.dag.0.0._ops.2.net.1.weight"), SPX_NO_TENSOR);
    assert_int_equal(spx_graph_find(g, "net.cells.0.dag.0.0._ops.1.bn.running_var"), SPX_NO_TENSOR);
    spx_network_clear(&n);
}

SPX_TEST(final_parameters_and_masks_carry_the_published_names)
{
    SPX_UNUSED;
    spx_network n;
    spx_final_config c = final_config(32, 100, 5, 5, 0, 1);
    c.training = true;
    c.drop_path = SPX_DROP_PATH_BOUND;
    CHECK_OK(spx_build_final(&n, &spx_genotype_published, &c));
    const spx_graph *g = n.graph;
    assert_dim(g, "stem.0.weight", SPX_ROLE_WEIGHT, 15, 3, 3);
    assert_dim(g, "cells.0.dag.1.0.0.conv1.weight", SPX_ROLE_WEIGHT, 10, 20, 1);
    assert_dim(g, "cells.0.dag.1.0.0.bn.weight", SPX_ROLE_WEIGHT, 20, 1, 1);
    assert_dim(g, "cells.2.preproc0.conv2.weight", SPX_ROLE_WEIGHT, 40, 20, 1);
    assert_dim(g, "cells.4.proproc.net.1.running_mean", SPX_ROLE_STATE, 80, 1, 1);
    assert_dim(g, "aux_head.net.5.weight", SPX_ROLE_WEIGHT, 768, 128, 2);
    assert_dim(g, "aux_head.net.6.running_var", SPX_ROLE_STATE, 768, 1, 1);
    assert_dim(g, "aux_head.linear.weight", SPX_ROLE_WEIGHT, 100, 768, 1);
    assert_dim(g, "linear.weight", SPX_ROLE_WEIGHT, 100, 80, 1);
    assert_dim(g, "cells.0.dag.1.0.1", SPX_ROLE_INPUT, 2, 1, 1); /* a skip of stride 2 has a mask */
    assert_int_equal(spx_graph_find(g, "cells.0.dag.2.1.1"),
                     SPX_NO_TENSOR); /* an identity has none */
    assert_int_equal(spx_graph_find(g, "cells.0.preproc0.net.1.weight"), SPX_NO_TENSOR);
    spx_network_clear(&n);
}

SPX_TEST(the_imagenet_network_runs_its_cells_at_28x28)
{
    SPX_UNUSED;
    spx_network n;
    const spx_final_config c = final_config(224, 1000, 20, 10, 1, 5);
    CHECK_OK(spx_build_final(&n, &spx_genotype_published, &c));
    const spx_tensor *first = &n.graph->tensor[n.cell[0]], *last = &n.graph->tensor[n.cell[9]];
    assert_int_equal(first->dim[1], 20);
    assert_int_equal(first->dim[2], 28);
    assert_int_equal(last->dim[1], 320);
    assert_int_equal(last->dim[2], 7);
    assert_dim(n.graph, "cells.0.preproc0.conv1.weight", SPX_ROLE_WEIGHT, 10, 20, 1);
    assert_int_equal(spx_graph_find(n.graph, "aux_head.net.6.weight"), SPX_NO_TENSOR);
    spx_network_clear(&n);
}

/* The whole network's parameters must be those of the smaller images' one, whose auxiliary head
 * pools another map to 2x2. */
static void check_smaller(spx_final_config c, int64_t side)
{
    spx_network whole, smaller;
    c.auxiliary = c.training = true;
    CHECK_OK(spx_build_final(&whole, &spx_genotype_published, &c));
    c.whole = c.input;
    c.input.rows = c.input.columns = side;
    CHECK_OK(spx_build_final(&smaller, &spx_genotype_published, &c));
    int j = 0;
    for (int i = 0; i < whole.graph->n_tensors; i++) {
        const spx_tensor *a = &whole.graph->tensor[i];
        if (a->role == SPX_ROLE_WEIGHT || a->role == SPX_ROLE_STATE) {
            while (smaller.graph->tensor[j].role != a->role) {
                assert_true(++j < smaller.graph->n_tensors);
            }
            const spx_tensor *b = &smaller.graph->tensor[j++];
            assert_string_equal(a->name, b->name);
            assert_memory_equal(a->dim, b->dim, (size_t)a->rank * sizeof a->dim[0]);
        }
    }
    const spx_tensor *last = &smaller.graph->tensor[smaller.cell[smaller.n_cells - 1]];
    assert_int_equal(last->dim[2] * c.whole.rows,
                     whole.graph->tensor[whole.cell[whole.n_cells - 1]].dim[2] * side);
    spx_network_clear(&whole);
    spx_network_clear(&smaller);
}

SPX_TEST(a_network_takes_smaller_images_in_training_with_the_same_parameters)
{
    spx_network n;
    spx_final_config c = final_config(224, 10, 4, 10, 1, 5);
    SPX_UNUSED;
    check_smaller(c, 128);
    check_smaller(c, 160);
    check_smaller(c, 192);
    check_smaller(final_config(32, 10, 4, 6, 1, 3), 24);
    check_smaller(final_config(64, 10, 4, 6, 1, 3), 48);
    c.whole = c.input;
    c.input.rows = c.input.columns = 176; /* 22, 11: no reduction halves that */
    CHECK_FAILS(SPX_EINVAL, spx_build_final(&n, &spx_genotype_published, &c));
    c.input.rows = c.input.columns = 32; /* a map of one pixel */
    c.auxiliary = c.training = true;
    CHECK_FAILS(SPX_EINVAL, spx_build_final(&n, &spx_genotype_published, &c));
}

/* Evaluation drops masks and batch statistics, nothing else: one set of weights serves both. */
SPX_TEST(training_and_evaluation_have_the_same_parameters_in_the_same_order)
{
    SPX_UNUSED;
    spx_network train, eval;
    spx_final_config c = final_config(32, 10, 4, 6, 1, 3);
    CHECK_OK(spx_build_final(&eval, &spx_genotype_published, &c));
    c.training = true;
    c.drop_path = SPX_DROP_PATH_DRAWN;
    c.batch = 7;
    CHECK_OK(spx_build_final(&train, &spx_genotype_published, &c));
    int j = 0, params = 0;
    for (int i = 0; i < train.graph->n_tensors; i++) {
        const spx_tensor *t = &train.graph->tensor[i], *e = NULL;
        if (t->role != SPX_ROLE_WEIGHT && t->role != SPX_ROLE_STATE) {
            continue;
        }
        while (j < eval.graph->n_tensors && (e = &eval.graph->tensor[j], e->role != t->role)) {
            j++;
        }
        assert_in_range(j, 0, eval.graph->n_tensors - 1);
        assert_string_equal(t->name, e->name);
        assert_memory_equal(t->dim, e->dim, sizeof t->dim);
        j++;
        params++;
    }
    assert_in_range(params, 100, 1000);
    spx_network_clear(&train);
    spx_network_clear(&eval);
}

/* ReLUs of a cell of RELU_OPS whose output is (c, side, side). */
static int64_t relus_of(const spx_cell_genes *cell, bool reduces, int64_t c, int64_t side)
{
    bool read[2 + SPX_CELL_NODES] = {false}; /* through a ReLU */
    int64_t n = c * side * side;
    for (int k = 0; k < SPX_CELL_NODES * SPX_NODE_EDGES; k++) {
        const spx_gene *e = &cell->edge[k / SPX_NODE_EDGES][k % SPX_NODE_EDGES];
        const bool skip = e->primitive == SPX_SKIP_CONNECT;
        read[e->from] = read[e->from] || (skip && reduces && e->from < 2) ||
                        (!skip && e->primitive != SPX_AVG_POOL_3X3);
    }
    for (int s = 0; s < 2 + SPX_CELL_NODES; s++) {
        const int64_t in = reduces && s < 2 ? 2 * side : side; /* at the input's resolution */
        n += read[s] ? c * in * in : 0;
    }
    return n;
}

SPX_TEST(a_state_pays_once_for_the_relus_of_its_readers)
{
    SPX_UNUSED;
    spx_rng r;
    spx_rng_init(&r, 1, SPX_RNG_TEST, 0);
    for (int round = 0; round < 20; round++) {
        spx_genotype g = {.space = SPX_SPACE_RELU_OPS};
        spx_final_config c = final_config(32, 10, 1 + round % 3, 6, round % 2, 2 + round % 3);
        spx_network n;
        spx_counts counts;
        for (int k = 0; k < 2 * SPX_CELL_NODES * SPX_NODE_EDGES; k++) {
            const int i = k / 2 / SPX_NODE_EDGES;
            (k % 2 == 0 ? &g.normal : &g.reduce)->edge[i][k / 2 % SPX_NODE_EDGES] =
                (spx_gene){(spx_primitive)spx_rng_below(&r, SPX_NONE),
                           (int)spx_rng_below(&r, (uint32_t)i + 2)};
        }
        c.auxiliary = false;
        int64_t want = 0, channels = c.init_channels, side = 32;
        for (int i = 0; i < c.layers; i++) {
            const bool reduces = i == c.reduce_at[0] || i == c.reduce_at[1];
            channels *= reduces ? 4 : 1;
            side /= reduces ? 2 : 1;
            want += relus_of(reduces ? &g.reduce : &g.normal, reduces, channels, side);
        }
        CHECK_OK(spx_build_final(&n, &g, &c));
        spx_graph_count(n.graph, &counts);
        assert_int_equal(counts.relus, want);
        spx_network_clear(&n);
    }
}

/* The cells of tests/golden's aug_relu_ops.h5; parameters and multiply-adds as PyTorch counts the
 * modules of scripts/bench/twin.py. */
SPX_TEST(networks_with_relus_in_primitives_cost_what_their_twin_does)
{
    SPX_UNUSED;
    static const char text[] =
        "Genotype(normal=[[('van_conv_3x3', 0), ('dil_conv_5x5', 1)], "
        "[('dil_conv_3x3', 0), ('skip_connect', 2)], [('van_conv_5x5', 3), ('avg_pool_3x3', 1)], "
        "[('van_conv_3x3', 3), ('skip_connect', 0)]], "
        "reduce=[[('skip_connect', 0), ('dil_conv_5x5', 1)], "
        "[('dil_conv_3x3', 0), ('van_conv_5x5', 1)], [('avg_pool_3x3', 1), ('skip_connect', 2)], "
        "[('dil_conv_5x5', 4), ('van_conv_3x3', 2)]])";
    spx_genotype g;
    spx_network n;
    spx_counts counts;
    spx_final_config c = final_config(16, 5, 2, 3, 0, 2);
    c.auxiliary = false;
    CHECK_OK(spx_genotype_parse(&g, text, strlen(text)));
    CHECK_OK(spx_build_final(&n, &g, &c));
    spx_graph_count(n.graph, &counts);
    assert_int_equal(counts.params, 93131);
    assert_int_equal(counts.macs, 2117280);
    /* reducing: 2 inputs, 2 nodes, output; normal: 3 states, output */
    assert_int_equal(counts.relus, 2 * (2 * 2048 + 3 * 512) + 4 * 512);
    spx_network_clear(&n);
}

SPX_TEST(impossible_networks_are_refused_by_number)
{
    SPX_UNUSED;
    const spx_final_config good = final_config(32, 10, 5, 6, 0, 1);
    static const struct {
        size_t offset;
        int64_t value;
        const char *message;
    } cases[] = {
        {offsetof(spx_final_config, batch), 0, "batch is 0"},
        {offsetof(spx_final_config, classes), 0, "classes is 0"},
        {offsetof(spx_final_config, init_channels), (int64_t)1 << 60, "initial channels"},
        {offsetof(spx_final_config, layers), 65, "layers is 65"},
        {offsetof(spx_final_config, layers), 1, "must be 0 to 0"},
        {offsetof(spx_final_config, input.rows), 30, "even rows and columns, the map is 15x16"},
        {offsetof(spx_final_config, input.channels), -1, "input channels"},
    };
    spx_network n;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        spx_final_config c = good;
        memcpy((char *)&c + cases[i].offset, &cases[i].value, sizeof(int64_t));
        CHECK_FAILS(SPX_EINVAL, spx_build_final(&n, &spx_genotype_published, &c));
        assert_null(n.graph);
        if (strstr(spx_error_message(), cases[i].message) == NULL) {
            fail_msg("\"%s\" lacks \"%s\"", spx_error_message(), cases[i].message);
        }
    }
    spx_final_config c = good;
    c.reduce_at[1] = 5; /* 2*6/3 = 4 is the last place */
    CHECK_FAILS(SPX_EINVAL, spx_build_final(&n, &spx_genotype_published, &c));
    c = good;
    c.reduce_at[0] = 1;
    CHECK_FAILS(SPX_EINVAL, spx_build_final(&n, &spx_genotype_published, &c));
    c = good;
    c.input = (spx_input_shape){3, 224, 224};
    CHECK_FAILS(SPX_EINVAL, spx_build_final(&n, &spx_genotype_published, &c)); /* odd channels */
    spx_supernet_config s = supernet_config;
    s.reduce_loc[0] = 6;
    CHECK_FAILS(SPX_EINVAL, spx_build_supernet(&n, &s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(every_published_configuration_has_its_published_relu_count),
        SPX_UNIT(params_and_macs_equal_those_of_the_published_implementation),
        SPX_UNIT(the_supernet_costs_what_the_published_one_does),
        SPX_UNIT(supernet_parameters_carry_the_published_names),
        SPX_UNIT(final_parameters_and_masks_carry_the_published_names),
        SPX_UNIT(the_imagenet_network_runs_its_cells_at_28x28),
        SPX_UNIT(a_network_takes_smaller_images_in_training_with_the_same_parameters),
        SPX_UNIT(training_and_evaluation_have_the_same_parameters_in_the_same_order),
        SPX_UNIT(a_state_pays_once_for_the_relus_of_its_readers),
        SPX_UNIT(networks_with_relus_in_primitives_cost_what_their_twin_does),
        SPX_UNIT(impossible_networks_are_refused_by_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
