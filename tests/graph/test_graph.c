/* Shape inference, errors, names and counts of the graph builders. */
#include "host/graph/graph.h"
#include "tests/support/spx_test.h"

static spx_graph *new_graph(void)
{
    spx_graph *g;
    CHECK_OK(spx_graph_create(&g, true));
    return g;
}

static spx_tid image(spx_graph *g)
{
    return spx_g_input(g, "image", SPX_F32, 4, (int64_t[]){2, 3, 8, 8});
}

SPX_TEST(convolution_infers_its_shape_and_names_its_parameters)
{
    SPX_UNUSED;
    spx_graph *g = new_graph();
    const spx_conv_options o = {.filters = 6,
                                .size = 3,
                                .stride = 2,
                                .dilation = 1,
                                .pad_begin = 1,
                                .pad_end = 1,
                                .bias = true};
    spx_g_scope(g, "cells.%d.", 0);
    const spx_tid y = spx_g_conv2d(g, image(g), "conv", &o);
    CHECK_OK(spx_graph_status(g));
    assert_int_equal(g->tensor[y].dim[1], 6);
    assert_int_equal(g->tensor[y].dim[2], 4);
    assert_int_not_equal(spx_graph_find(g, "cells.0.conv.weight"), SPX_NO_TENSOR);
    assert_int_not_equal(spx_graph_find(g, "cells.0.conv.bias"), SPX_NO_TENSOR);
    spx_graph_destroy(g);
}

SPX_TEST(first_error_sticks_and_names_the_place)
{
    SPX_UNUSED;
    spx_graph *g = new_graph();
    const spx_tid x = image(g);
    const spx_conv_options too_large = {.filters = 4, .size = 11, .stride = 1, .dilation = 1};
    spx_g_scope(g, "stem.");
    assert_int_equal(spx_g_conv2d(g, x, "wide", &too_large), SPX_NO_TENSOR);
    assert_int_equal(spx_g_relu(g, x, "after"), SPX_NO_TENSOR);
    CHECK_FAILS(SPX_EINVAL, spx_graph_status(g));
    assert_non_null(strstr(spx_error_message(), "stem.wide"));
    spx_graph_destroy(g);
}

SPX_TEST(duplicate_names_are_refused)
{
    SPX_UNUSED;
    spx_graph *g = new_graph();
    const spx_tid x = image(g);
    (void)spx_g_batch_norm(g, x, "bn", true);
    (void)spx_g_batch_norm(g, x, "bn", true);
    CHECK_FAILS(SPX_EINVAL, spx_graph_status(g));
    spx_graph_destroy(g);
}

SPX_TEST(sums_of_unequal_shapes_are_refused)
{
    SPX_UNUSED;
    spx_graph *g = new_graph();
    const spx_tid x = image(g);
    const spx_sum_term terms[2] = {
        {.x = x, .coef = SPX_NO_TENSOR, .mask = SPX_NO_TENSOR},
        {.x = spx_g_avg_pool(g, x, 3, 2, 1, "pool"), .coef = SPX_NO_TENSOR, .mask = SPX_NO_TENSOR}};
    (void)spx_g_sum(g, 2, terms, "sum");
    CHECK_FAILS(SPX_EINVAL, spx_graph_status(g));
    spx_graph_destroy(g);
}

SPX_TEST(absurd_sizes_are_refused)
{
    SPX_UNUSED;
    spx_graph *g = new_graph();
    (void)spx_g_input(g, "image", SPX_F32, 4, (int64_t[]){1 << 30, 1 << 30, 4, 4});
    CHECK_FAILS(SPX_EINVAL, spx_graph_status(g));
    spx_graph_destroy(g);
}

SPX_TEST(concatenation_makes_views_and_copies_what_it_must)
{
    SPX_UNUSED;
    spx_graph *g = new_graph();
    const spx_tid x = image(g);
    const spx_tid a = spx_g_relu(g, x, "a");
    const spx_tid y = spx_g_concat(g, 3, (spx_tid[]){a, x, a}, "cat");
    CHECK_OK(spx_graph_status(g));
    assert_int_equal(g->tensor[y].dim[1], 9);
    assert_int_equal(g->tensor[a].parent, y); /* no copy */
    assert_int_equal(g->tensor[x].parent, SPX_NO_TENSOR);
    assert_int_equal(g->n_nodes,
                     3); /* relu, and two copies: of the input and of the repeated part */
    spx_graph_destroy(g);
}

SPX_TEST(counts_come_from_walking_and_leave_the_auxiliary_head_out)
{
    SPX_UNUSED;
    spx_counts c;
    spx_graph *g = new_graph();
    const spx_conv_options o = {
        .filters = 4, .size = 3, .stride = 1, .dilation = 1, .pad_begin = 1, .pad_end = 1};
    spx_tid x = spx_g_conv2d(g, image(g), "conv", &o);
    x = spx_g_relu(g, spx_g_batch_norm(g, x, "bn", true), "relu");
    x = spx_g_linear(g, spx_g_global_avg_pool(g, x, "pool"), "classifier", 10);
    spx_g_section(g, -1, true);
    (void)spx_g_conv2d(g, 0, "aux", &o);
    CHECK_OK(spx_graph_status(g));
    spx_graph_count(g, &c);
    assert_int_equal(c.relus, 4 * 64);
    assert_int_equal(c.params, 4 * 27 + 8 + 40 + 10);
    assert_int_equal(c.params_aux, 4 * 27);
    assert_int_equal(c.macs, 4 * 27 * 64 + 40);
    spx_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(convolution_infers_its_shape_and_names_its_parameters),
        SPX_UNIT(first_error_sticks_and_names_the_place),
        SPX_UNIT(duplicate_names_are_refused),
        SPX_UNIT(sums_of_unequal_shapes_are_refused),
        SPX_UNIT(absurd_sizes_are_refused),
        SPX_UNIT(concatenation_makes_views_and_copies_what_it_must),
        SPX_UNIT(counts_come_from_walking_and_leave_the_auxiliary_head_out),
    };
    return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
