/* Every op in a network of its own: the same on every device, and a gradient that is one. */
#include "host/graph/op_private.h"
#include "tests/graph/op_cases.h"

/* The op beside a second reader of its input, which comes after it or before: so its gradient is
 * the later to be added there, or the first. */
static net build_case(const op_case *k, bool after)
{
    net t;
    spx_tid logits[2]; /* of the case, of the other reader */
    CHECK_OK(spx_graph_create(&t.g, true));
    t.image = spx_g_input(t.g, "image", SPX_F32, 4, (int64_t[]){N, 3, HW, HW});
    t.label = spx_g_input(t.g, "label", SPX_I32, 1, (int64_t[]){N});
    const spx_tid target = spx_g_input(t.g, "target", SPX_F32, 2, (int64_t[]){N, CLASSES});
    const spx_tid x = spx_g_conv2d(t.g, t.image, "stem", &conv3);
    for (int i = 0; i < 2; i++) {
        const bool is_case = (i == 0) == after;
        const spx_tid y = is_case ? k->build(t.g, x) : x;
        logits[!is_case] = spx_g_linear(t.g, y, is_case ? "classifier" : "other", CLASSES);
        if (is_case) {
            CHECK_OK(spx_graph_status(t.g));
            assert_memory_equal(t.g->tensor[y].dim, k->dim, sizeof k->dim);
        }
    }
    t.logits = logits[0];
    const bool same = k->loss != NULL; /* the other loss comes before it or after */
    for (int i = 0; i < 2; i++) {
        if ((i == 0) == after) {
            t.loss = same ? k->loss(t.g, logits, target)
                          : spx_g_cross_entropy(t.g, logits[0], t.label, 0.1f, "loss");
        } else {
            t.aux_loss =
                spx_g_cross_entropy(t.g, logits[same ? 0 : 1], t.label, 0.1f, "other_loss");
        }
    }
    CHECK_OK(spx_graph_status(t.g));
    return t;
}

static spx_program_options options_of(const net *t, spx_loss_seed loss[2])
{
    loss[0] = (spx_loss_seed){t->loss, 1.0f};
    loss[1] = (spx_loss_seed){t->aux_loss, 0.4f};
    return (spx_program_options){.loss = loss,
                                 .n_loss = 2,
                                 .grad_weights = true,
                                 .grad_arch = true,
                                 .output = &t->logits,
                                 .n_output = 1};
}

static bool has_node(const spx_graph *g, spx_op op)
{
    for (int i = 0; i < g->n_nodes; i++) {
        if (g->node[i].op == op) {
            return true;
        }
    }
    return false;
}

SPX_TEST(every_op_with_a_gradient_has_a_case)
{
    SPX_UNUSED;
    for (int op = 0; op < SPX_OP_COUNT; op++) {
        const op_case *k = NULL;
        for (size_t i = 0; i < OP_CASES && k == NULL; i++) {
            k = op_cases[i].op == (spx_op)op ? &op_cases[i] : NULL;
        }
        if (k == NULL && spx_op_record_of((spx_op)op)->gradient != NULL) {
            fail_msg("%s has no row in op_cases.h", spx_op_name((spx_op)op));
        }
        if (k != NULL) {
            const net t = build_case(k, true);
            assert_true(has_node(t.g, k->op));
            spx_graph_destroy(t.g);
        }
    }
}

/* Two layers of f32 sums of at most 4*64 products an element: 1e-5; gradients 1e-4 (as of whole
 * networks, see test_program.c). The reference has the readers in the other order: what is added to
 * which gradient changes nothing. */
SPX_TEST(every_op_computes_what_the_reference_does_on_every_device)
{
    spx_stream *cpu;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&cpu, SPX_DEVICE_CPU, 1));
    FOR_EACH_STREAM(s)
    {
        for (size_t i = 0; i < 2 * OP_CASES; i++) {
            const net t = build_case(&op_cases[i / 2], i % 2 == 0);
            const net u = build_case(&op_cases[i / 2], i % 2 != 0);
            spx_loss_seed loss[2];
            spx_program_options o = options_of(&t, loss);
            run fast, plain;
            run_init(&fast, &t, s, &o);
            o = options_of(&u, loss);
            o.no_fusion = o.reference = true;
            run_init(&plain, &u, cpu, &o);
            run_go(&fast);
            run_go(&plain);
            check_outputs(&fast, &plain, 0, N * CLASSES, 1e-5);
            check_arenas(&fast, &plain, SPX_ROLE_WEIGHT_GRAD, 1e-4);
            check_arenas(&fast, &plain, SPX_ROLE_ARCH_GRAD, 1e-4);
            run_clear(&fast);
            run_clear(&plain);
            spx_graph_destroy(t.g);
            spx_graph_destroy(u.g);
        }
    }
    spx_stream_destroy(cpu);
}

/* No ReLU: masks of zeros. */
static spx_tid zero_mask_case(spx_graph *g, spx_tid x)
{
    spx_graph_mask_relus(g, SPX_ROLE_STATE);
    const spx_tid y = spx_g_relu(g, x, "case"), mask = spx_graph_find(g, "case.mask");
    g->tensor[mask].init.value = 0;
    return y;
}

SPX_TEST(a_mask_of_zeros_is_a_network_without_the_relu_to_the_bit)
{
    const op_case zeros = {SPX_OP_RELU, zero_mask_case, NULL, {N, C, HW, HW}},
                  none = {SPX_OP_CROSS_ENTROPY, loss_case, NULL, {N, C, HW, HW}};
    SPX_UNUSED;
    FOR_EACH_STREAM(s)
    {
        for (int after = 0; after < 2; after++) {
            const net t = build_case(&zeros, after != 0), u = build_case(&none, after != 0);
            spx_loss_seed loss[2];
            spx_program_options o = options_of(&t, loss);
            run masked, plain;
            o.n_loss = 1; /* the other reader's gradient would be added in another order */
            run_init(&masked, &t, s, &o);
            o = options_of(&u, loss);
            o.n_loss = 1;
            run_init(&plain, &u, s, &o);
            run_go(&masked);
            run_go(&plain);
            check_outputs(&masked, &plain, 0, N * CLASSES, 0.0);
            check_arenas(&plain, &masked, SPX_ROLE_WEIGHT_GRAD, 0.0);
            run_clear(&masked);
            run_clear(&plain);
            spx_graph_destroy(t.g);
            spx_graph_destroy(u.g);
        }
    }
}

static double loss_of(run *r)
{
    float loss[2];
    run_go(r);
    CHECK_OK(spx_program_read(r->p, &r->b, 0, &loss[0]));
    CHECK_OK(spx_program_read(r->p, &r->b, 1, &loss[1]));
    return (double)loss[0] + 0.4 * (double)loss[1];
}

SPX_TEST(every_ops_gradient_agrees_with_differences_along_itself)
{
    SPX_UNUSED;
    FOR_EACH_STREAM(s)
    {
        for (size_t i = 0; i < 2 * OP_CASES; i++) {
            const net t = build_case(&op_cases[i / 2], i % 2 == 0);
            spx_loss_seed loss[2];
            spx_program_options o = options_of(&t, loss);
            o.output = (spx_tid[]){t.loss, t.aux_loss};
            o.n_output = 2;
            run r;
            run_init(&r, &t, s, &o);
            r.b.update_state = false;
            check_difference(&r, loss_of, SPX_ROLE_WEIGHT, SPX_ROLE_WEIGHT_GRAD);
            if (spx_program_layout(r.p)->floats[SPX_ROLE_ARCH] > 0) {
                check_difference(&r, loss_of, SPX_ROLE_ARCH, SPX_ROLE_ARCH_GRAD);
            }
            run_clear(&r);
            spx_graph_destroy(t.g);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(every_op_with_a_gradient_has_a_case),
        SPX_UNIT(every_op_computes_what_the_reference_does_on_every_device),
        SPX_UNIT(a_mask_of_zeros_is_a_network_without_the_relu_to_the_bit),
        SPX_UNIT(every_ops_gradient_agrees_with_differences_along_itself),
    };
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
