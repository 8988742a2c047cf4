/* Every op in a network of its own: the same on every device, and a gradient that is one. */
#include "host/graph/op_private.h"
#include "tests/graph/op_cases.h"

static net build_case(const op_case *k)
{
    net t;
    CHECK_OK(spx_graph_create(&t.g, true));
    t.image = spx_g_input(t.g, "image", SPX_F32, 4, (int64_t[]){N, 3, HW, HW});
    t.label = spx_g_input(t.g, "label", SPX_I32, 1, (int64_t[]){N});
    const spx_tid x = spx_g_conv2d(t.g, t.image, "stem", &conv3);
    t.logits = spx_g_linear(t.g, k->build(t.g, x), "classifier", CLASSES);
    t.loss = t.aux_loss = spx_g_cross_entropy(t.g, t.logits, t.label, 0.1f, "loss");
    CHECK_OK(spx_graph_status(t.g));
    return t;
}

static spx_program_options options_of(const net *t, const spx_loss_seed *loss)
{
    return (spx_program_options){.loss = loss,
                                 .n_loss = 1,
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
            const net t = build_case(k);
            assert_true(has_node(t.g, k->op));
            spx_graph_destroy(t.g);
        }
    }
}

/* Two layers of f32 sums of at most 4*64 products an element: 1e-5; gradients 1e-4 (as of whole
 * networks, see test_program.c). */
SPX_TEST(every_op_computes_what_the_reference_does_on_every_device)
{
    spx_stream *cpu;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&cpu, SPX_DEVICE_CPU, 1));
    FOR_EACH_STREAM(s)
    {
        for (size_t i = 0; i < OP_CASES; i++) {
            const net t = build_case(&op_cases[i]);
            const spx_loss_seed loss = {t.loss, 1.0f};
            spx_program_options o = options_of(&t, &loss);
            run fast, plain;
            run_init(&fast, &t, s, &o);
            o.no_fusion = o.reference = true;
            run_init(&plain, &t, cpu, &o);
            run_go(&fast);
            run_go(&plain);
            check_outputs(&fast, &plain, 0, N * CLASSES, 1e-5);
            check_arenas(&fast, &plain, SPX_ROLE_WEIGHT_GRAD, 1e-4);
            check_arenas(&fast, &plain, SPX_ROLE_ARCH_GRAD, 1e-4);
            run_clear(&fast);
            run_clear(&plain);
            spx_graph_destroy(t.g);
        }
    }
    spx_stream_destroy(cpu);
}

static double loss_of(run *r)
{
    float loss;
    run_go(r);
    CHECK_OK(spx_program_read(r->p, &r->b, 0, &loss));
    return (double)loss;
}

SPX_TEST(every_smooth_ops_gradient_agrees_with_differences_along_itself)
{
    SPX_UNUSED;
    FOR_EACH_STREAM(s)
    {
        for (size_t i = 0; i < OP_CASES; i++) {
            const net t = build_case(&op_cases[i]);
            const spx_loss_seed loss = {t.loss, 1.0f};
            spx_program_options o = options_of(&t, &loss);
            o.output = &t.loss;
            run r;
            run_init(&r, &t, s, &o);
            r.b.update_state = false;
            if (op_cases[i].smooth) {
                check_difference(&r, loss_of, SPX_ROLE_WEIGHT, SPX_ROLE_WEIGHT_GRAD);
            }
            if (op_cases[i].op == SPX_OP_SOFTMAX) {
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
        SPX_UNIT(every_smooth_ops_gradient_agrees_with_differences_along_itself),
    };
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
