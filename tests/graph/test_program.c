/*
 * Compiled programs: the passes change nothing but the order of additions, gradients agree with
 * differences, the memory plan never overlaps live tensors.
 */
#include "host/graph/op_private.h"
#include "host/graph/placement_private.h"
#include "tests/graph/program_case.h"

/* f32 sums of at most 4*64*36 products per element, three layers deep: 1e-5; gradients 1e-4 */
SPX_TEST(passes_and_fast_kernels_change_only_rounding)
{
    SPX_UNUSED;
    FOR_EACH_STREAM(s)
    {
        for (int relu = 0; relu < RELU_KINDS; relu++) {
            const net t = build(true, relu);
            const spx_loss_seed loss[2] = {{t.loss, 1.0f}, {t.aux_loss, 0.4f}};
            spx_program_options o = {.loss = loss,
                                     .n_loss = 2,
                                     .grad_weights = true,
                                     .grad_arch = true,
                                     .output = (spx_tid[]){t.logits, t.loss, t.aux_loss},
                                     .n_output = 3};
            run fast, plain;
            run_init(&fast, &t, s, &o);
            o.no_fusion = o.reference = true;
            run_init(&plain, &t, s, &o);
            run_go(&fast);
            run_go(&plain);
            assert_true(spx_program_graph(fast.p)->n_nodes < spx_program_graph(plain.p)->n_nodes);
            for (int i = 0; i < 3; i++) {
                check_outputs(&fast, &plain, i, i == 0 ? N * CLASSES : 1, 1e-5);
            }
            check_arenas(&fast, &plain, SPX_ROLE_WEIGHT_GRAD, 1e-4);
            check_arenas(&fast, &plain, SPX_ROLE_ARCH_GRAD, 1e-4);
            check_arenas(&fast, &plain, SPX_ROLE_STATE, 1e-5);
            run_clear(&fast);
            run_clear(&plain);
            spx_graph_destroy(t.g);
        }
    }
}

/* Linear layers beside what makes views of their inputs: convolutions that merge, a concatenation
 * before and after them, a pool whose twin is a part of it. Copies keep the inputs out of it. */
static net build_parts(bool copies, spx_loss_seed loss[4])
{
    net t;
    CHECK_OK(spx_graph_create(&t.g, true));
    t.image = spx_g_input(t.g, "image", SPX_F32, 4, (int64_t[]){N, 3, HW, HW});
    t.label = spx_g_input(t.g, "label", SPX_I32, 1, (int64_t[]){N});
    spx_tid part[3] = {spx_g_conv2d(t.g, t.image, "a", &conv3),
                       spx_g_conv2d(t.g, t.image, "b", &conv3),
                       spx_g_avg_pool(t.g, t.image, 3, 1, 1, "pool")};
    const spx_tid twin = spx_g_avg_pool(t.g, t.image, 3, 1, 1, "twin");
    const spx_tid a = part[0], b = part[1];
    for (int j = 0; copies && j < 3; j++) {
        const spx_sum_term copy = {.x = part[j], .coef = SPX_NO_TENSOR, .mask = SPX_NO_TENSOR};
        part[j] = spx_g_sum(t.g, 1, &copy, "copy");
    }
    spx_tid logits[4] = {spx_g_linear(t.g, a, "before", CLASSES)};
    const spx_tid y = spx_g_concat(t.g, 3, part, "cat");
    logits[1] = spx_g_linear(t.g, b, "after", CLASSES);
    logits[2] = spx_g_linear(t.g, twin, "of_twin", CLASSES);
    logits[3] = spx_g_linear(t.g, y, "whole", CLASSES);
    for (int j = 0; j < 4; j++) {
        loss[j] = (spx_loss_seed){spx_g_cross_entropy(t.g, logits[j], t.label, 0.0f,
                                                      (const char *[]){"l0", "l1", "l2", "l3"}[j]),
                                  1.0f + (float)j};
    }
    CHECK_OK(spx_graph_status(t.g));
    return t;
}

/* as passes_and_fast_kernels_change_only_rounding */
SPX_TEST(linear_layers_read_no_views)
{
    SPX_UNUSED;
    FOR_EACH_STREAM(s)
    {
        run r[4];
        net t[4];
        for (int i = 0; i < 4; i++) {
            spx_loss_seed loss[4];
            t[i] = build_parts(i < 2, loss);
            const spx_program_options o = {
                .loss = loss,
                .n_loss = 4,
                .grad_weights = true,
                .output = (spx_tid[]){loss[0].loss, loss[1].loss, loss[2].loss, loss[3].loss},
                .n_output = 4,
                .no_fusion = i % 2 == 0};
            run_init(&r[i], &t[i], s, &o);
            run_go(&r[i]);
            for (int k = 0; k < 4; k++) {
                check_outputs(&r[i], &r[0], k, 1, 1e-5);
            }
            check_arenas(&r[i], &r[0], SPX_ROLE_WEIGHT_GRAD, 1e-4);
        }
        for (int i = 0; i < 4; i++) {
            run_clear(&r[i]);
            spx_graph_destroy(t[i].g);
        }
    }
}

static double total_loss(run *r)
{
    float main_loss, aux_loss;
    run_go(r);
    CHECK_OK(spx_program_read(r->p, &r->b, 0, &main_loss));
    CHECK_OK(spx_program_read(r->p, &r->b, 1, &aux_loss));
    return (double)main_loss + 0.4 * (double)aux_loss;
}

SPX_TEST(gradients_agree_with_differences_along_themselves)
{
    SPX_UNUSED;
    const net t = build(true, false);
    const spx_loss_seed loss[2] = {{t.loss, 1.0f}, {t.aux_loss, 0.4f}};
    const spx_program_options o = {.loss = loss,
                                   .n_loss = 2,
                                   .grad_weights = true,
                                   .grad_arch = true,
                                   .output = (spx_tid[]){t.loss, t.aux_loss},
                                   .n_output = 2};
    FOR_EACH_STREAM(s)
    {
        run r;
        run_init(&r, &t, s, &o);
        r.b.update_state = false;
        check_difference(&r, total_loss, SPX_ROLE_WEIGHT, SPX_ROLE_WEIGHT_GRAD);
        check_difference(&r, total_loss, SPX_ROLE_ARCH, SPX_ROLE_ARCH_GRAD);
        run_clear(&r);
    }
    spx_graph_destroy(t.g);
}

SPX_TEST(recomputing_saves_memory_and_changes_no_bit)
{
    SPX_UNUSED;
    for (int i = 0; i < 2; i++) {
        const net t = build(true, i == 0 ? WITH_RELUS : MASKED_RELUS);
        const spx_loss_seed loss = {t.loss, 1.0f};
        FOR_EACH_STREAM(s)
        {
            spx_program_options o = {
                .loss = &loss, .n_loss = 1, .grad_weights = true, .grad_arch = true};
            run keep, again;
            run_init(&keep, &t, s, &o);
            o.recompute = 1.0f;
            run_init(&again, &t, s, &o);
            if (spx_stream_lanes(s) == 1) { /* lanes keep more alive than a net so small has */
                assert_true(spx_program_workspace_bytes(again.p) <
                            spx_program_workspace_bytes(keep.p));
            }
            run_go(&keep);
            run_go(&again);
            check_arenas(&keep, &again, SPX_ROLE_WEIGHT_GRAD, 0.0);
            check_arenas(&keep, &again, SPX_ROLE_ARCH_GRAD, 0.0);
            run_clear(&keep);
            run_clear(&again);
        }
        spx_graph_destroy(t.g);
    }
}

/* Orders drawn from those that the lanes' events allow: a missing dependence changes some bit of
 * some of them. On a device with lanes the program beside them runs on its lanes. */
SPX_TEST(any_order_that_the_lanes_allow_gives_the_same_bits)
{
    SPX_UNUSED;
    FOR_EACH_STREAM(s)
    {
        const int orders = spx_stream_device(s) == SPX_DEVICE_CPU ? 40 : 4;
        for (int relu = 0; relu < RELU_KINDS; relu++) {
            const net t = build(true, relu);
            const spx_loss_seed loss[2] = {{t.loss, 1.0f}, {t.aux_loss, 0.4f}};
            spx_program_options o = {.loss = loss,
                                     .n_loss = 2,
                                     .grad_weights = true,
                                     .grad_arch = true,
                                     .output = (spx_tid[]){t.logits, t.loss},
                                     .n_output = 2};
            run plain;
            run_init(&plain, &t, s, &o);
            run_go(&plain);
            for (int order = 1; order <= orders; order++) {
                run any;
                o.shuffle = (uint64_t)order;
                run_init(&any, &t, s, &o);
                run_go(&any);
                check_outputs(&any, &plain, 0, N * CLASSES, 0.0);
                check_arenas(&any, &plain, SPX_ROLE_WEIGHT_GRAD, 0.0);
                check_arenas(&any, &plain, SPX_ROLE_ARCH_GRAD, 0.0);
                check_arenas(&any, &plain, SPX_ROLE_STATE, 0.0);
                run_clear(&any);
            }
            run_clear(&plain);
            spx_graph_destroy(t.g);
        }
    }
}

SPX_TEST(outputs_that_equal_each_other_are_both_there)
{
    SPX_UNUSED;
    spx_graph *g;
    CHECK_OK(spx_graph_create(&g, true));
    const net t = {.g = g, .image = spx_g_input(g, "image", SPX_F32, 4, (int64_t[]){N, 3, HW, HW})};
    const spx_tid pool[2] = {spx_g_avg_pool(g, t.image, 3, 1, 1, "a"),
                             spx_g_avg_pool(g, t.image, 3, 1, 1, "b")};
    const spx_program_options o = {.output = pool, .n_output = 2};
    FOR_EACH_STREAM(s)
    {
        static float a[N * 3 * HW * HW], b[N * 3 * HW * HW];
        run r;
        run_init(&r, &t, s, &o);
        CHECK_OK(spx_program_run(r.p, &r.b));
        CHECK_OK(spx_program_read(r.p, &r.b, 0, a));
        CHECK_OK(spx_program_read(r.p, &r.b, 1, b));
        CHECK_CLOSE(b, a, N * 3 * HW * HW, 0.0);
        /* the mean of what the window covers of the first image's first rows and columns */
        const float want = (r.image[0] + r.image[1] + r.image[HW] + r.image[HW + 1]) / 4.0f;
        assert_true(fabsf(a[0] - want) < 1e-6f);
        run_clear(&r);
    }
    spx_graph_destroy(g);
}

/*
 * Which terms a reduction takes together depends on what is asked for, and with it the last bit of
 * a sum: 2^-24 a layer, under ten layers deep, hence 1e-6.
 */
SPX_TEST(programs_compute_only_the_gradients_asked_for)
{
    SPX_UNUSED;
    const net t = build(true, true);
    const spx_loss_seed loss = {t.loss, 1.0f};
    FOR_EACH_STREAM(s)
    {
        spx_program_options o = {
            .loss = &loss, .n_loss = 1, .grad_weights = true, .grad_arch = true};
        run both, arch, weights;
        run_init(&both, &t, s, &o);
        o.grad_weights = false;
        run_init(&arch, &t, s, &o);
        o.grad_weights = true;
        o.grad_arch = false;
        run_init(&weights, &t, s, &o);
        run_go(&both);
        run_go(&arch);
        run_go(&weights);
        for (int i = 0; i < spx_program_graph(arch.p)->n_nodes; i++) {
            assert_int_not_equal(spx_program_graph(arch.p)->node[i].op, SPX_OP_CONV2D_BWD_WEIGHTS);
        }
        assert_true(spx_layout_equal(spx_program_layout(both.p), spx_program_layout(arch.p)));
        assert_true(spx_layout_equal(spx_program_layout(both.p), spx_program_layout(weights.p)));
        check_arenas(&both, &arch, SPX_ROLE_ARCH_GRAD, 1e-6);
        check_arenas(&both, &weights, SPX_ROLE_WEIGHT_GRAD, 1e-6);
        run_clear(&both);
        run_clear(&arch);
        run_clear(&weights);
    }
    spx_graph_destroy(t.g);
}

SPX_TEST(evaluation_has_the_same_layout_and_cannot_be_differentiated)
{
    SPX_UNUSED;
    const net train = build(true, true), eval = build(false, true);
    const spx_loss_seed loss = {train.loss, 1.0f}, eval_loss = {eval.loss, 1.0f};
    spx_program *p, *q;
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_OK(spx_program_create(
        &p, train.g, s, &(spx_program_options){.loss = &loss, .n_loss = 1, .grad_weights = true}));
    CHECK_OK(spx_program_create(&q, eval.g, s,
                                &(spx_program_options){.output = &eval.logits, .n_output = 1}));
    assert_true(spx_layout_equal(spx_program_layout(p), spx_program_layout(q)));
    assert_true(spx_program_workspace_bytes(q) < spx_program_workspace_bytes(p));
    spx_program_destroy(q);
    CHECK_FAILS(SPX_EINVAL,
                spx_program_create(
                    &q, eval.g, s,
                    &(spx_program_options){.loss = &eval_loss, .n_loss = 1, .grad_weights = true}));
    spx_program_destroy(p);
    spx_stream_destroy(s);
    spx_graph_destroy(train.g);
    spx_graph_destroy(eval.g);
}

/* A loss taken twice, as the sum of two of its halves. */
SPX_TEST(gradients_of_two_losses_of_the_same_logits_add_up)
{
    SPX_UNUSED;
    const net t = build(true, true);
    const spx_tid again = spx_g_cross_entropy(t.g, t.logits, t.label, 0.1f, "again");
    const spx_loss_seed two[2] = {{t.loss, 0.75f}, {again, 0.25f}}, once = {t.loss, 1.0f};
    spx_program_options o = {.loss = two, .n_loss = 2, .grad_weights = true};
    FOR_EACH_STREAM(s)
    {
        run sum, whole;
        o.loss = two;
        o.n_loss = 2;
        run_init(&sum, &t, s, &o);
        o.loss = &once;
        o.n_loss = 1;
        run_init(&whole, &t, s, &o);
        run_go(&sum);
        run_go(&whole);
        check_arenas(&sum, &whole, SPX_ROLE_WEIGHT_GRAD, 1e-5);
        run_clear(&sum);
        run_clear(&whole);
    }
    spx_graph_destroy(t.g);
}

/* On CUDA nobody can say so in time: the loss is no number. */
SPX_TEST(label_out_of_range_is_an_error_that_names_the_node)
{
    SPX_UNUSED;
    const net t = build(true, true);
    FOR_EACH_STREAM(s)
    {
        run r;
        float loss;
        run_init(&r, &t, s, &(spx_program_options){.output = &t.loss, .n_output = 1});
        r.label[2] = CLASSES;
        run_upload_inputs(&r);
        if (spx_stream_device(s) == SPX_DEVICE_CPU) {
            CHECK_FAILS(SPX_EINVAL, spx_program_run(r.p, &r.b));
            assert_non_null(strstr(spx_error_message(), "loss"));
        } else {
            CHECK_OK(spx_program_run(r.p, &r.b));
            CHECK_OK(spx_program_read(r.p, &r.b, 0, &loss));
            assert_true(isnan(loss));
        }
        run_clear(&r);
    }
    spx_graph_destroy(t.g);
}

SPX_TEST(masks_without_numbers_to_draw_them_from_are_refused)
{
    SPX_UNUSED;
    const net t = build(true, true);
    FOR_EACH_STREAM(s)
    {
        run r;
        run_init(&r, &t, s, &(spx_program_options){.output = &t.loss, .n_output = 1});
        r.b.scalars = NULL;
        CHECK_FAILS(SPX_EINVAL, spx_program_run(r.p, &r.b));
        assert_non_null(strstr(spx_error_message(), "mask"));
        run_clear(&r);
    }
    spx_graph_destroy(t.g);
}

SPX_TEST(what_no_memory_holds_is_refused_by_name)
{
    SPX_UNUSED;
    spx_graph *g;
    CHECK_OK(spx_graph_create(&g, true));
    const spx_tid x =
        spx_g_input(g, "image", SPX_F32, 4, (int64_t[]){1 << 14, 256, 256, 256}); /* 1 TiB */
    const spx_tid y = spx_g_avg_pool(g, x, 3, 1, 1, "pool");
    FOR_EACH_STREAM(s)
    {
        spx_program *p;
        CHECK_FAILS(SPX_ENOMEM, spx_program_create(
                                    &p, g, s, &(spx_program_options){.output = &y, .n_output = 1}));
        assert_non_null(strstr(spx_error_message(), "GiB"));
        assert_null(p);
    }
    spx_graph_destroy(g);
}

SPX_TEST(profile_counts_every_node_and_its_work)
{
    SPX_UNUSED;
    const net t = build(true, true);
    const spx_loss_seed loss = {t.loss, 1.0f};
    FOR_EACH_STREAM(s)
    {
        const spx_program_options o = {.loss = &loss, .n_loss = 1, .grad_weights = true};
        spx_op_profile sum = {0}, p;
        run r;
        run_init(&r, &t, s, &o);
        CHECK_OK(spx_program_run(r.p, &r.b)); /* not counted */
        CHECK_OK(spx_program_profile_begin(r.p));
        CHECK_OK(spx_program_run(r.p, &r.b));
        CHECK_OK(spx_program_run(r.p, &r.b));
        for (int op = 0; op < SPX_OP_COUNT; op++) {
            spx_program_profile(r.p, (spx_op)op, &p);
            sum.calls += p.calls;
            assert_true(p.seconds >= 0 && p.calls % 2 == 0);
            assert_true((p.bytes > 0) == (p.calls > 0));
        }
        assert_int_equal(sum.calls, 2 * spx_program_graph(r.p)->n_nodes);
        spx_program_profile(r.p, SPX_OP_LINEAR, &p); /* one: (N, 4) by (5, 4) */
        assert_true(p.flops == 2.0 * N * CLASSES * C);
        spx_program_profile(r.p, SPX_OP_CONV2D, &p);
        assert_true(p.flops > 2.0 * N * HW * HW * 9 * 3 * C); /* more than the stem's alone */
        run_clear(&r);
    }
    spx_graph_destroy(t.g);
}

static bool alive(const spx_graph *g, spx_tid t, int node, int *first, int *last)
{
    *first = g->n_nodes;
    *last = -1;
    for (int i = 0; i < g->n_nodes; i++) {
        for (int k = 0; k < g->node[i].n_in + g->node[i].n_out; k++) {
            const spx_tid u =
                k < g->node[i].n_in ? g->node[i].in[k] : g->node[i].out[k - g->node[i].n_in];
            if (u == SPX_NO_TENSOR || (u != t && g->tensor[u].parent != t)) {
                continue;
            }
            *first = i < *first ? i : *first;
            *last = i;
        }
    }
    return node >= *first && node <= *last;
}

SPX_TEST(plan_keeps_live_tensors_apart)
{
    SPX_UNUSED;
    const net t = build(true, true);
    const spx_loss_seed loss = {t.loss, 1.0f};
    spx_program *p;
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_OK(spx_program_create(
        &p, t.g, s,
        &(spx_program_options){
            .loss = &loss, .n_loss = 1, .grad_weights = true, .grad_arch = true}));
    const spx_graph *g = spx_program_graph(p);
    const size_t n = (size_t)g->n_tensors;
    int64_t *offset = malloc(sizeof *offset * n), bytes, sum = 0;
    size_t *size = malloc(sizeof *size * n);
    for (size_t k = 0; k < n; k++) {
        size[k] = (size_t)spx_tensor_count(&g->tensor[k]) * (1 + k % 3); /* any sizes */
    }
    CHECK_OK(
        spx_place_memory(g, &(spx_placement_options){.size = size, .align = 64}, offset, &bytes));
    for (int a = 0; a < g->n_tensors; a++) {
        int fa, la, fb, lb;
        const int64_t na = (int64_t)size[a];
        if (offset[a] < 0) {
            continue;
        }
        sum += na;
        (void)alive(g, a, 0, &fa, &la);
        assert_true(offset[a] + na <= bytes);
        for (int b = 0; b < a; b++) {
            if (offset[b] < 0) {
                continue;
            }
            (void)alive(g, b, 0, &fb, &lb);
            const bool together = fa <= lb && fb <= la;
            const bool overlap =
                offset[a] < offset[b] + (int64_t)size[b] && offset[b] < offset[a] + na;
            assert_false(together && overlap);
        }
    }
    assert_true(bytes < sum); /* memory is reused at all */
    free(offset);
    free(size);
    spx_program_destroy(p);
    spx_stream_destroy(s);
    spx_graph_destroy(t.g);
}

static void check_operand(const spx_graph *g, const spx_slot *slot, spx_tid t)
{
    assert_non_null(slot);
    if (t == SPX_NO_TENSOR) {
        assert_true(slot->optional);
    } else {
        assert_true(slot->rank == 0 || slot->rank == g->tensor[t].rank);
    }
}

/* The slots that come once, and whole rounds of those that repeat. */
static void check_count(int n, const spx_slot *list, int repeat)
{
    const int more = n - spx_op_fixed(list, repeat);
    assert_true(more >= 0 && (repeat > 0 ? more % repeat == 0 : more == 0));
}

/* Passes and gradients move and append operands; what they leave must fit the op's record. */
SPX_TEST(every_node_of_a_program_has_the_operands_of_its_record)
{
    SPX_UNUSED;
    FOR_EACH_STREAM(s)
    {
        for (int i = 0; i < 4; i++) {
            const bool plain = i % 2 == 0;
            const net t = build(true, i < 2 ? WITH_RELUS : MASKED_RELUS);
            const spx_loss_seed loss[2] = {{t.loss, 1.0f}, {t.aux_loss, 0.4f}};
            const spx_program_options o = {.loss = loss,
                                           .n_loss = 2,
                                           .grad_weights = true,
                                           .grad_arch = true,
                                           .recompute = 0.5f,
                                           .no_fusion = plain};
            spx_program *p;
            CHECK_OK(spx_program_create(&p, t.g, s, &o));
            const spx_graph *g = spx_program_graph(p);
            for (int n = 0; n < g->n_nodes; n++) {
                const spx_node *nd = &g->node[n];
                const spx_op_record *r = spx_op_record_of(nd->op);
                assert_non_null(r->run);
                check_count(nd->n_in, r->in, r->repeat_in);
                check_count(nd->n_out, r->out, r->repeat_out);
                for (int k = 0; k < nd->n_in; k++) {
                    check_operand(g, spx_op_input(r, k), nd->in[k]);
                }
                for (int k = 0; k < nd->n_out; k++) {
                    check_operand(g, spx_op_output(r, k), nd->out[k]);
                }
            }
            spx_program_destroy(p);
            spx_graph_destroy(t.g);
        }
    }
}

/* Whose memory it is decides, not where it lies: all of it is the host's here. */
SPX_TEST(arenas_are_taken_where_they_belong_only)
{
    SPX_UNUSED;
    const net t = build(true, true);
    const spx_loss_seed loss = {t.loss, 1.0f};
    spx_stream *s;
    run r;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    run_init(&r, &t, s,
             &(spx_program_options){
                 .loss = &loss, .n_loss = 1, .grad_weights = true, .grad_arch = true});
    const spx_layout *l = spx_program_layout(r.p);
    const spx_buffer *mine = &r.on_host[SPX_ROLE_WEIGHT];
    spx_buffer foreign = *mine, less = *mine;
    foreign.device = SPX_DEVICE_CUDA;
    less.bytes--;
    for (int i = 0; i < 2; i++) {
        const spx_buffer *bad = i == 0 ? &foreign : &less;
        spx_binding b = r.b;
        b.weight_grad = *bad;
        CHECK_FAILS(SPX_EINVAL, spx_program_run(r.p, &b));
        assert_non_null(strstr(spx_error_message(), "gradient of the weights"));
        CHECK_FAILS(SPX_EINVAL, spx_layout_init(l, 1, bad, NULL, NULL));
        CHECK_FAILS(SPX_EINVAL, spx_layout_upload(l, s, SPX_ROLE_WEIGHT, bad, mine));
        CHECK_FAILS(SPX_EINVAL, spx_layout_upload(l, s, SPX_ROLE_WEIGHT, mine, bad));
        CHECK_FAILS(SPX_EINVAL, spx_layout_download(l, s, SPX_ROLE_WEIGHT, bad, mine));
        CHECK_FAILS(SPX_EINVAL, spx_layout_download(l, s, SPX_ROLE_WEIGHT, mine, bad));
    }
    run_clear(&r);
    spx_stream_destroy(s);
    spx_graph_destroy(t.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(passes_and_fast_kernels_change_only_rounding),
        SPX_UNIT(linear_layers_read_no_views),
        SPX_UNIT(gradients_agree_with_differences_along_themselves),
        SPX_UNIT(recomputing_saves_memory_and_changes_no_bit),
        SPX_UNIT(any_order_that_the_lanes_allow_gives_the_same_bits),
        SPX_UNIT(outputs_that_equal_each_other_are_both_there),
        SPX_UNIT(programs_compute_only_the_gradients_asked_for),
        SPX_UNIT(evaluation_has_the_same_layout_and_cannot_be_differentiated),
        SPX_UNIT(gradients_of_two_losses_of_the_same_logits_add_up),
        SPX_UNIT(label_out_of_range_is_an_error_that_names_the_node),
        SPX_UNIT(masks_without_numbers_to_draw_them_from_are_refused),
        SPX_UNIT(what_no_memory_holds_is_refused_by_name),
        SPX_UNIT(profile_counts_every_node_and_its_work),
        SPX_UNIT(plan_keeps_live_tensors_apart),
        SPX_UNIT(every_node_of_a_program_has_the_operands_of_its_record),
        SPX_UNIT(arenas_are_taken_where_they_belong_only),
    };
    return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}
