/* The folded network against the float engine, and what folding is to achieve. */
#include "tests/model/net_fixture.h"

#include "host/model/dropped.h"
#include "search/space/network.h"

static const spx_final_config small = {.batch = 1,
                                       .input = {3, 16, 16},
                                       .classes = 7,
                                       .init_channels = 2,
                                       .layers = 4,
                                       .n_reduce = 2,
                                       .reduce_at = {0, 2}};

/* 1e-5: float32 rounds by 6e-8 an operation; golden data asks the same of the engine. */
static void check_clamped(net_fixture *n, const bool *clamp)
{
    spx_fold *f;
    pile mine = {.key = 1};
    spx_counts counts;
    spx_fold_input s = net_source(n);
    s.clamp = clamp;
    CHECK_OK(spx_fold_create(&f, &s));
    spx_graph_count(n->net.graph, &counts);
    assert_int_equal(spx_fold_relus(f), n->config.masked ? n->kept : counts.relus);

    const size_t pixels = spx_fold_count(f, 0), classes = (size_t)n->config.classes;
    uint8_t *image = pile_bytes(&mine, pixels);
    double *x = pile_bytes(&mine, pixels * sizeof *x);
    double **value = pile_bytes(&mine, (size_t)f->n_values * sizeof *value);
    float *logits = pile_bytes(&mine, classes * sizeof *logits);
    for (size_t i = 0; i < pixels; i++) {
        image[i] = (uint8_t)spx_rng_u32(&n->rng);
        x[i] = image[i];
    }
    CHECK_OK(spx_fold_run(f, x, value));
    for (size_t i = 0; i < classes; i++) {
        logits[i] = (float)value[f->logits][i];
    }
    float *normal;
    void *memory;
    CHECK_OK(spx_alloc(&memory, pixels * sizeof *normal));
    normal = memory;
    CHECK_CLOSE(net_run(n, image, normal), logits, classes, 1e-5);
    spx_free(memory);
    for (int v = 0; v < f->n_values; v++) {
        spx_free(value[v]);
    }
    spx_fold_destroy(f);
    pile_clear(&mine);
}

static void check_ready(net_fixture *n)
{
    check_clamped(n, NULL);
}

static void check_fold(const spx_genotype *g, const spx_final_config *c, uint64_t seed)
{
    net_fixture n;
    net_open(&n, g, c, seed);
    check_ready(&n);
    net_close(&n);
}

/* Groups become dense filters: depthwise, of two filters a channel, between; behind a ReLU and
 * behind a convolution, into which they fold. */
SPX_TEST(grouped_convolutions_fold)
{
    SPX_UNUSED;
    const spx_conv_options conv[] = {
        {.filters = 6, .size = 3, .stride = 1, .dilation = 1, .pad_begin = 1, .pad_end = 1},
        {.filters = 12,
         .size = 3,
         .stride = 2,
         .dilation = 1,
         .pad_begin = 1,
         .pad_end = 1,
         .groups = 6},
        {.filters = 8, .size = 1, .stride = 1, .dilation = 1, .groups = 4, .bias = true},
        {.filters = 8,
         .size = 5,
         .stride = 1,
         .dilation = 2,
         .pad_begin = 4,
         .pad_end = 4,
         .groups = 8},
        {.filters = 4, .size = 1, .stride = 1, .dilation = 1, .groups = 2},
    };
    static const char *const names[] = {"stem", "dw2", "mix", "dil", "out"};
    net_fixture n = {.config = small};
    spx_graph *g;
    CHECK_OK(spx_graph_create(&g, false));
    n.net.graph = g;
    n.net.image = spx_g_input(g, "image", SPX_F32, 4, (int64_t[]){1, 3, 16, 16});
    spx_tid x = n.net.image;
    for (int i = 0; i < 5; i++) {
        x = spx_g_conv2d(g, x, names[i], &conv[i]);
        x = i % 2 == 0 ? spx_g_relu(g, x, i == 0 ? "relu0" : i == 2 ? "relu2" : "relu4") : x;
    }
    n.net.logits = spx_g_linear(g, x, "classifier", small.classes);
    CHECK_OK(spx_graph_status(g));
    net_start(&n, 5);
    check_ready(&n);
    net_close(&n);
}

/* g NULL: the residual network; masks: as net_mask takes them. */
static void check_masked_fold(const spx_genotype *g, const spx_final_config *config, uint64_t seed,
                              const char *masks)
{
    spx_final_config c = *config;
    net_fixture n;
    c.masked = true;
    if (g != NULL) {
        net_open(&n, g, &c, seed);
    } else {
        net_open_residual(&n, &c, seed);
    }
    net_mask(&n, masks);
    check_ready(&n);
    net_close(&n);
}

SPX_TEST(masked_networks_fold_without_changing_what_they_compute)
{
    SPX_UNUSED;
    static const char *const masks[] = {"a", "n", "c", "e", "nc", "ce", "acen", "cna"};
    spx_final_config c = small;
    c.init_channels = 3;
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        const spx_genotype g = net_random_genotype(i + 1);
        check_masked_fold(&g, &c, i + 1, masks[i]);
        check_masked_fold(NULL, &c, i + 1, masks[i]);
    }
}

/* As SqueezeNet has them: what is pooled is two ReLUs side by side. */
SPX_TEST(pools_of_concatenations_fold)
{
    SPX_UNUSED;
    net_fixture n = {.config = small};
    spx_graph *g;
    spx_tid part[2];
    CHECK_OK(spx_graph_create(&g, false));
    n.net.graph = g;
    n.net.image = spx_g_input(g, "image", SPX_F32, 4, (int64_t[]){1, 3, 16, 16});
    part[0] = spx_g_relu(g, net_conv_norm(g, n.net.image, "one", 4, 1, 1), "relu");
    part[1] = spx_g_relu(g, net_conv_norm(g, n.net.image, "three", 5, 3, 1), "relu");
    const spx_tid all = spx_g_concat(g, 2, part, "concat");
    spx_tid x = spx_g_avg_pool(g, all, 3, 2, 1, "pool");
    x = spx_g_relu(g, net_conv_norm(g, x, "last", 4, 3, 1), "relu");
    n.net.logits = spx_g_linear(g, x, "classifier", small.classes);
    CHECK_OK(spx_graph_status(g));
    net_start(&n, 5);
    check_ready(&n);
    net_close(&n);
}

SPX_TEST(inverted_residuals_fold)
{
    SPX_UNUSED;
    net_fixture n;
    net_open_mobile(&n, &small, 3);
    check_ready(&n);
    net_close(&n);
}

/* Clamped wherever it can be done: in real numbers that is the identity. */
SPX_TEST(clamps_where_no_relu_is_fold_without_changing_what_is_computed)
{
    SPX_UNUSED;
    static const char *const networks[] = {"deepreduce,cull=1+4,thin=1,alpha=0.0625",
                                           "cnet1,width=2", "wrn-22-8,width=1"};
    const spx_choose_options o = {.tried = SPX_CHOOSE_TRIES - 1};
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        net_fixture n;
        net_open_reference(&n, networks[i], &small, i + 1);
        const spx_fold_input s = net_source(&n);
        bool *clamp, any;
        CHECK_OK(SPX_NEW(clamp, (size_t)s.graph->n_nodes));
        CHECK_OK(spx_fold_choose(clamp, &any, &s, &o));
        assert_false(any);
        check_clamped(&n, clamp);
        spx_free(clamp);
        net_close(&n);
    }
}

SPX_TEST(masks_of_other_numbers_are_refused_by_name)
{
    net_fixture n;
    spx_fold *f;
    spx_final_config c = small;
    SPX_UNUSED;
    c.masked = true;
    net_open_residual(&n, &c, 1);
    const spx_layout *l = spx_program_layout(n.program);
    for (int i = 0; i < l->n; i++) {
        if (net_is_mask(&l->entry[i])) {
            ((float *)n.state.data)[l->entry[i].offset] = 0.5f;
        }
    }
    const spx_fold_input s = net_source(&n);
    CHECK_FAILS(SPX_EUNSUPPORTED, spx_fold_create(&f, &s));
    assert_non_null(strstr(spx_error_message(), "stem.relu: a mask"));
    net_close(&n);
}

SPX_TEST(random_networks_fold_without_changing_what_they_compute)
{
    SPX_UNUSED;
    for (uint64_t seed = 1; seed <= 25; seed++) {
        spx_genotype g = net_random_genotype(seed);
        spx_final_config c = small;
        g.space = seed % 5 == 0 ? SPX_SPACE_RELU_OPS : SPX_SPACE_SPHYNX;
        c.init_channels = 1 + (int64_t)(seed % 3);
        c.input.channels = seed % 2 == 0 ? 1 : 3;
        c.reduce_at[0] = seed % 2 == 0 ? 0 : 1;
        check_fold(&g, &c, seed);
    }
}

SPX_TEST(weights_in_the_memory_of_a_device_are_refused)
{
    const spx_genotype g = net_random_genotype(1);
    net_fixture n;
    spx_fold *f;
    SPX_UNUSED;
    net_open(&n, &g, &small, 1);
    spx_fold_input s = net_source(&n);
    s.state.device = SPX_DEVICE_CUDA;
    CHECK_FAILS(SPX_EINVAL, spx_fold_create(&f, &s));
    assert_null(f);
    net_close(&n);
}

SPX_TEST(every_primitive_alone_folds_in_both_cells)
{
    SPX_UNUSED;
    for (int p = 0; p < SPX_SPACE_COUNT * SPX_NONE; p++) {
        spx_genotype g = spx_genotype_published;
        g.space = (spx_space)(p / SPX_NONE);
        for (int i = 0; i < SPX_CELL_NODES * SPX_NODE_EDGES; i++) {
            g.normal.edge[i / 2][i % 2].primitive = (spx_primitive)(p % SPX_NONE);
            g.reduce.edge[i / 2][i % 2].primitive = (spx_primitive)(p % SPX_NONE);
        }
        check_fold(&g, &small, 100 + (uint64_t)p);
    }
}

SPX_TEST(the_published_families_fold)
{
    SPX_UNUSED;
    spx_final_config c = small;
    c.input = (spx_input_shape){3, 32, 32};
    c.init_channels = 5;
    check_fold(&spx_genotype_published, &c, 1);
    c.input = (spx_input_shape){3, 224, 224};
    c.init_channels = 2;
    c.layers = 3;
    c.reduce_at[0] = 1;
    c.n_reduce = 1;
    check_fold(&spx_genotype_published, &c, 2);
}

/* Convolutions in series behind the nearest maskable value. */
static int deepest(const spx_fold *f, int *convs)
{
    int depth[1024] = {0}, most = 0;
    *convs = 0;
    for (int i = 0; i < f->n_ops; i++) {
        const spx_deploy_op *d = &f->op[i].d;
        if (d->in >= 0 && d->kind != SPX_DEPLOY_RELU) {
            const int here = depth[d->in] + (d->kind == SPX_DEPLOY_CONV);
            depth[d->out] = here > depth[d->out] ? here : depth[d->out];
            most = here > most ? here : most;
            *convs += d->kind == SPX_DEPLOY_CONV;
        }
    }
    return most;
}

static void check_depth(const spx_genotype *g, int layers, int depth, int convs)
{
    net_fixture n;
    spx_fold *f;
    int found;
    spx_final_config c = small;
    c.n_reduce = 0;
    c.layers = layers;
    net_open(&n, g, &c, 1);
    const spx_fold_input s = net_source(&n);
    CHECK_OK(spx_fold_create(&f, &s));
    assert_int_equal(deepest(f, &found), depth);
    assert_int_equal(found, convs);
    spx_fold_destroy(f);
    net_close(&n);
}

/*
 * A published normal cell: its inputs to two inner maps (three convolutions: one of them reads
 * both), its inputs and these maps to its output (four). In the first cell both inputs are the
 * stem, whose convolution comes before, and all its paths but one merge: 5 and the stem's; then 7.
 * One more is the classifier.
 */
SPX_TEST(normal_cells_of_the_published_network_are_two_convolutions_deep)
{
    SPX_UNUSED;
    check_depth(&spx_genotype_published, 1, 3, 1 + 5 + 1);
    check_depth(&spx_genotype_published, 3, 3, 1 + 5 + 2 * 7 + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(grouped_convolutions_fold),
        SPX_UNIT(masked_networks_fold_without_changing_what_they_compute),
        SPX_UNIT(pools_of_concatenations_fold),
        SPX_UNIT(inverted_residuals_fold),
        SPX_UNIT(clamps_where_no_relu_is_fold_without_changing_what_is_computed),
        SPX_UNIT(masks_of_other_numbers_are_refused_by_name),
        SPX_UNIT(random_networks_fold_without_changing_what_they_compute),
        SPX_UNIT(weights_in_the_memory_of_a_device_are_refused),
        SPX_UNIT(every_primitive_alone_folds_in_both_cells),
        SPX_UNIT(the_published_families_fold),
        SPX_UNIT(normal_cells_of_the_published_network_are_two_convolutions_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
