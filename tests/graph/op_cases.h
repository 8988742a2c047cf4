#ifndef SPX_OP_CASES_H
#define SPX_OP_CASES_H
/* A case for every op that hands a gradient on: test_ops.c demands one, and runs each on every
 * device. */
#include "tests/graph/program_case.h"

typedef struct op_case {
    spx_op op;
    /* Adds the op to a network: x is (N, C, HW, HW), what a convolution made. The result goes
     * through a linear layer into a loss; x goes into another one, too. */
    spx_tid (*build)(spx_graph *g, spx_tid x);
    /* NULL: cross-entropy. Else the op is a loss, of both layers' logits beside a target; the other
     * loss is then of the same logits. */
    spx_tid (*loss)(spx_graph *g, const spx_tid logits[2], spx_tid target);
    int64_t dim[4]; /* of the result, by hand; 1 behind its rank */
} op_case;

static inline spx_tid conv2d_case(spx_graph *g, spx_tid x)
{
    return spx_g_conv2d(g, x, "case", &dil3);
}

/* Two filters a channel. */
static inline spx_tid depthwise_case(spx_graph *g, spx_tid x)
{
    spx_conv_options o = dil3;
    o.filters = 2 * C;
    o.groups = C;
    return spx_g_conv2d(g, x, "case", &o);
}

static inline spx_tid norm_sum_case(spx_graph *g, spx_tid x)
{
    return spx_g_batch_norm(g, x, "case", true);
}

static inline spx_tid relu_case(spx_graph *g, spx_tid x)
{
    return spx_g_relu(g, x, "case");
}

/* Of four times a normalised x: some of it is clipped. Normalised again, or the loss would be large
 * beside the steps of difference quotients. */
static inline spx_tid relu6_case(spx_graph *g, spx_tid x)
{
    const spx_tid y = spx_g_batch_norm(g, x, "norm", false);
    const spx_sum_term four[4] = {{y, -1, 0, -1}, {y, -1, 0, -1}, {y, -1, 0, -1}, {y, -1, 0, -1}};
    return spx_g_batch_norm(g, spx_g_relu6(g, spx_g_sum(g, 4, four, "four"), "case"), "after",
                            false);
}

/* A mask of numbers from -2 to 2, which has a gradient. */
static inline spx_tid masked_relu_case(spx_graph *g, spx_tid x)
{
    spx_graph_mask_relus(g, SPX_ROLE_ARCH);
    const spx_tid y = spx_g_relu(g, x, "case"), mask = spx_graph_find(g, "case.mask");
    if (mask != SPX_NO_TENSOR) {
        g->tensor[mask].init = (spx_init){SPX_INIT_UNIFORM, 2};
    }
    return y;
}

static inline spx_tid avg_pool_case(spx_graph *g, spx_tid x)
{
    return spx_g_avg_pool(g, x, 3, 2, 1, "case");
}

static inline spx_tid max_pool_case(spx_graph *g, spx_tid x)
{
    const spx_max_pool_options o = {{4, 3}, {2, 3}, {1, 0}, true};
    return spx_g_max_pool(g, x, &o, "case");
}

static inline spx_tid linear_case(spx_graph *g, spx_tid x)
{
    return spx_g_linear(g, x, "case", 7);
}

/* Weighs what it is given with what it makes of parameters. */
static inline spx_tid softmax_case(spx_graph *g, spx_tid x)
{
    const spx_tid alpha = spx_g_param(g, SPX_ROLE_ARCH, "alpha", 2, (int64_t[]){1, 2},
                                      (spx_init){SPX_INIT_NORMAL, 0.5f});
    const spx_tid w = spx_g_softmax(g, alpha, "case");
    const spx_sum_term term[2] = {
        {.x = x, .coef = w, .coef_index = 0, .mask = SPX_NO_TENSOR},
        {.x = spx_g_avg_pool(g, x, 3, 1, 1, "blur"), .coef = w, .coef_index = 1, .mask = -1}};
    return spx_g_sum(g, 2, term, "sum");
}

static inline spx_tid flatten_case(spx_graph *g, spx_tid x)
{
    return spx_g_flatten(g, x, "case");
}

static inline spx_tid attention_map_case(spx_graph *g, spx_tid x)
{
    return spx_g_attention_map(g, x, "case");
}

static inline spx_tid distillation_loss(spx_graph *g, const spx_tid logits[2], spx_tid target)
{
    return spx_g_distillation(g, logits[0], target, 4, "case");
}

static inline spx_tid squared_difference_loss(spx_graph *g, const spx_tid logits[2], spx_tid target)
{
    return spx_g_squared_difference(g, 2, logits, (spx_tid[]){target, target}, "case");
}

/* The loss itself: behind every case. */
static inline spx_tid loss_case(spx_graph *g, spx_tid x)
{
    (void)g;
    return x;
}

static const op_case op_cases[] = {
    {SPX_OP_CONV2D, conv2d_case, NULL, {N, C, HW, HW}},
    {SPX_OP_CONV2D, depthwise_case, NULL, {N, 2 * C, HW, HW}},
    {SPX_OP_NORM_SUM, norm_sum_case, NULL, {N, C, HW, HW}},
    {SPX_OP_RELU, relu_case, NULL, {N, C, HW, HW}},
    {SPX_OP_RELU, relu6_case, NULL, {N, C, HW, HW}},
    {SPX_OP_RELU, masked_relu_case, NULL, {N, C, HW, HW}},
    {SPX_OP_AVG_POOL, avg_pool_case, NULL, {N, C, 4, 4}},
    {SPX_OP_MAX_POOL, max_pool_case, NULL, {N, C, 4, 3}},
    {SPX_OP_LINEAR, linear_case, NULL, {N, 7, 1, 1}},
    {SPX_OP_SOFTMAX, softmax_case, NULL, {N, C, HW, HW}},
    {SPX_OP_CROSS_ENTROPY, loss_case, NULL, {N, C, HW, HW}},
    {SPX_OP_FLATTEN, flatten_case, NULL, {N, C *HW *HW, 1, 1}},
    {SPX_OP_ATTENTION_MAP, attention_map_case, NULL, {N, HW *HW, 1, 1}},
    {SPX_OP_DISTILLATION, loss_case, distillation_loss, {N, C, HW, HW}},
    {SPX_OP_SQUARED_DIFFERENCE, loss_case, squared_difference_loss, {N, C, HW, HW}},
};
#define OP_CASES (sizeof op_cases / sizeof op_cases[0])

#endif
