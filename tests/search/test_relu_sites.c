/* A graph's ReLUs as sites: which convolutions stand behind each. */
#include "kernels/base/alloc.h"
#include "search/budget/relu_sites.h"
#include "search/space/reference.h"
#include "tests/support/spx_test.h"

/* Depth of the operand of each site, and of the output, with the sites of `keep` kept. */
static int depth_behind(const spx_relu_sites *r, const bool *keep, int site)
{
    static spx_site zero[SPX_SITES_MAX];
    spx_sites s = {r->step, zero, r->n_steps, r->n};
    spx_sites_choice c = {0};
    memset(zero, 0, sizeof zero);
    for (int i = 0; i < r->n; i++) {
        c.keep[i] = keep[i];
        for (int d = 0; d <= SPX_SITES_MAX_DEPTH; d++) {
            zero[i].cost[d] = i == site ? d : 0;
        }
    }
    CHECK_OK(spx_sites_measure(&s, &c));
    return site < 0 ? c.depth : (int)c.cost;
}

static spx_tid conv(spx_graph *g, spx_tid x, int64_t filters, const char *name)
{
    const spx_conv_options o = {
        .filters = filters, .size = 3, .stride = 1, .dilation = 1, .pad_begin = 1, .pad_end = 1};
    char norm[32];
    (void)snprintf(norm, sizeof norm, "%s.norm", name);
    return spx_g_batch_norm(g, spx_g_conv2d(g, x, name, &o), norm, true);
}

static spx_tid sum(spx_graph *g, spx_tid a, spx_tid b, const char *name)
{
    const spx_sum_term term[2] = {{.x = a, .coef = SPX_NO_TENSOR, .mask = SPX_NO_TENSOR},
                                  {.x = b, .coef = SPX_NO_TENSOR, .mask = SPX_NO_TENSOR}};
    return spx_g_sum(g, 2, term, name);
}

SPX_TEST(residual_blocks_concatenations_and_pools_have_their_depths)
{
    SPX_UNUSED;
    static const int64_t dim[4] = {2, 3, 8, 8};
    const spx_max_pool_options pool = {.size = {2, 2}, .stride = {2, 2}};
    for (int training = 0; training < 2; training++) {
        spx_graph *g;
        spx_relu_sites r;
        CHECK_OK(spx_graph_create(&g, training));
        spx_tid x = spx_g_input(g, "image", SPX_F32, 4, dim);
        x = spx_g_relu(g, conv(g, x, 4, "a"), "r0");
        spx_tid y = spx_g_relu(g, conv(g, x, 4, "b"), "r1");
        (void)spx_g_relu(g, conv(g, x, 4, "unused"), "auxiliary");
        x = spx_g_relu(g, sum(g, x, conv(g, y, 4, "c"), "add"), "r2");
        y = conv(g, conv(g, x, 2, "d"), 2, "e");
        x = spx_g_concat(g, 2, (spx_tid[]){conv(g, x, 2, "f"), y}, "cat");
        x = spx_g_max_pool(g, spx_g_relu(g, x, "r3"), &pool, "pool");
        x = spx_g_relu(g, conv(g, x, 4, "h"), "r4");
        x = spx_g_linear(g, spx_g_global_avg_pool(g, x, "gap"), "fc", 5);
        CHECK_OK(spx_graph_status(g));
        CHECK_OK(spx_relu_sites_of(&r, g, x));
        assert_int_equal(r.n, 5);
        for (int i = 0; i < r.n; i++) {
            char name[3] = {'r', (char)('0' + i), '\0'};
            assert_string_equal(g->node[r.node[i]].name, name);
        }
        bool keep[5] = {true, true, true, true, true};
        static const int all[5] = {1, 1, 1, 2, 1};
        for (int i = 0; i < 5; i++) {
            assert_int_equal(depth_behind(&r, keep, i), all[i]);
        }
        assert_int_equal(depth_behind(&r, keep, -1), 2);
        keep[0] = keep[1] = false; /* behind r2: a, b, c */
        assert_int_equal(depth_behind(&r, keep, 2), 3);
        keep[2] = false; /* behind r3: a, b, c, d, e */
        assert_int_equal(depth_behind(&r, keep, 3), 5);
        keep[3] = keep[4] = false; /* pooling made values anew: h, fc */
        assert_int_equal(depth_behind(&r, keep, -1), 5);
        spx_relu_sites_clear(&r);
        spx_graph_destroy(g);
    }
}

SPX_TEST(a_final_networks_sites_are_its_cells)
{
    SPX_UNUSED;
    const spx_final_spec f = {.genotype = spx_genotype_published,
                              .input = {3, 32, 32},
                              .classes = 5,
                              .init_channels = 2,
                              .layers = 5,
                              .n_reduce = 2,
                              .reduce_at = {0, 2}};
    spx_final_config c = spx_spec_config(&f, 1);
    spx_network net;
    spx_relu_sites r;
    bool keep[SPX_SITES_MAX] = {true, true, true, true, true};
    c.auxiliary = true; /* its ReLUs are none of the deployed network */
    CHECK_OK(spx_build_spec(&net, &f, &c));
    CHECK_OK(spx_relu_sites_of(&r, net.graph, net.logits));
    assert_int_equal(r.n, f.layers);
    for (int i = 0; i < r.n; i++) {
        assert_int_equal(net.graph->node[r.node[i]].block, i);
    }
    /* The published cells: preprocessing and output are a convolution each. A reduction cell has
     * four more between (van3 of van3), a normal one two (van5 of what skips give). The first cell
     * reads the stem, a convolution. */
    assert_int_equal(depth_behind(&r, keep, 0), 7);
    assert_int_equal(depth_behind(&r, keep, 2), 6);
    assert_int_equal(depth_behind(&r, keep, 3), 4);
    keep[3] = false;
    assert_int_equal(depth_behind(&r, keep, 4), 8);
    spx_relu_sites_clear(&r);
    spx_network_clear(&net);
}

/* With every ReLU kept and, where that is not too deep, with none. */
SPX_TEST(every_reference_network_becomes_sites)
{
    SPX_UNUSED;
    static const struct {
        const char *text;
        int64_t side;
        int depth; /* with every ReLU kept */
    } net[] = {{"resnet18", 32, 1},       {"resnet50,width=8", 224, 1},
               {"resnet32", 32, 1},       {"wrn-22-8,width=2", 32, 2},
               {"vgg16,width=8", 32, 1},  {"densenet121", 224, 1},
               {"cnet1,width=8", 32, 6},  {"cnet2,width=8,skips=all", 32, 10},
               {"cnet3,width=8", 32, 13}, {"deepreduce,cull=1+4,thin=1,alpha=0.5", 32, 12},
               {"hybrenet,m=4", 32, 1}};
    static spx_site zero[SPX_SITES_MAX];
    for (size_t i = 0; i < sizeof net / sizeof net[0]; i++) {
        spx_final_spec f = {.input = {3, net[i].side, net[i].side}, .classes = 5};
        spx_network n;
        spx_relu_sites r;
        spx_counts counts;
        spx_sites_choice c;
        bool keep[SPX_SITES_MAX];
        int64_t relus = 0;
        CHECK_OK(spx_reference_parse(f.reference, net[i].text, &f.input));
        const spx_final_config config = spx_spec_config(&f, 1);
        CHECK_OK(spx_build_spec(&n, &f, &config));
        CHECK_OK(spx_relu_sites_of(&r, n.graph, n.logits));
        for (int k = 0; k < r.n; k++) {
            relus += spx_tensor_count(&n.graph->tensor[n.graph->node[r.node[k]].out[0]]);
        }
        spx_graph_count(n.graph, &counts);
        assert_int_equal(relus, counts.relus);
        memset(keep, true, sizeof keep);
        if (depth_behind(&r, keep, -1) != net[i].depth) {
            fail_msg("%s: depth %d", net[i].text, depth_behind(&r, keep, -1));
        }
        const spx_sites s = {r.step, zero, r.n_steps, r.n};
        CHECK_OK(spx_sites_solve(&s, 0, SPX_SITES_MAX_DEPTH, &c)); /* fits its table of values */
        spx_relu_sites_clear(&r);
        spx_network_clear(&n);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SPX_UNIT(residual_blocks_concatenations_and_pools_have_their_depths),
        SPX_UNIT(a_final_networks_sites_are_its_cells),
        SPX_UNIT(every_reference_network_becomes_sites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
