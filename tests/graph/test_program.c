/*
 * Compiled programs: the passes change nothing but the order of additions, gradients agree with
 * differences, the memory plan never overlaps live tensors.
 */
#include "host/graph/plan.h"
#include "host/graph/program.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "tests/support/spx_test.h"

#include <stdlib.h>

enum { N = 4, C = 4, HW = 8, CLASSES = 5 };

/*
 * A small network with everything the passes look for: convolutions that share an input, pools that
 * do, norms before convolutions, weighted sums of norms, a concatenation, masks, two losses.
 */
typedef struct net {
    spx_graph *g;
    spx_tid image, label, logits, loss, aux_loss;
} net;

static const spx_conv_options conv3 = {
    .filters = C, .size = 3, .stride = 1, .dilation = 1, .pad_begin = 1, .pad_end = 1};
static const spx_conv_options dil3 = {
    .filters = C, .size = 3, .stride = 1, .dilation = 2, .pad_begin = 2, .pad_end = 2};
static const spx_conv_options one = {
    .filters = C, .size = 1, .stride = 1, .dilation = 1, .bias = true};
static const spx_conv_options half_a = {.filters = C / 2, .size = 1, .stride = 2, .dilation = 1};
static const spx_conv_options half_b = {
    .filters = C / 2, .size = 1, .stride = 2, .dilation = 1, .pad_begin = -1};

/* One mixed edge from x with coefficients w[row]; adds its terms. */
static int edge(spx_graph *g, int node, spx_tid x, spx_tid w, int row, spx_sum_term *term)
{
    spx_tid y[3];
    spx_g_scope(g, "node%d.edge%d.", node, row);
    y[0] = spx_g_batch_norm(g, spx_g_avg_pool(g, x, 3, 1, 1, "pool"), "pool_bn", false);
    y[1] = spx_g_batch_norm(g, spx_g_conv2d(g, x, "a", &conv3), "a_bn", false);
    y[1] = spx_g_batch_norm(g, spx_g_conv2d(g, y[1], "b", &conv3), "b_bn", true);
    y[2] = spx_g_batch_norm(g, spx_g_conv2d(g, x, "d", &dil3), "d_bn", false);
    for (int j = 0; j < 3; j++) {
        term[j] =
            (spx_sum_term){.x = y[j], .coef = w, .coef_index = row * 4 + j, .mask = SPX_NO_TENSOR};
    }
    term[3] = (spx_sum_term){.x = x, .coef = w, .coef_index = row * 4 + 3, .mask = SPX_NO_TENSOR};
    return 4;
}

static net build(bool training, bool relu)
{
    net t;
    spx_graph *g;
    spx_sum_term term[8];
    CHECK_OK(spx_graph_create(&g, training));
    t.g = g;
    t.image = spx_g_input(g, "image", SPX_F32, 4, (int64_t[]){N, 3, HW, HW});
    t.label = spx_g_input(g, "label", SPX_I32, 1, (int64_t[]){N});
    const spx_tid alpha = spx_g_param(g, SPX_ROLE_ARCH, "alpha", 2, (int64_t[]){2, 4},
                                      (spx_init){SPX_INIT_NORMAL, 0.5f});
    const spx_tid w = spx_g_softmax(g, alpha, "softmax");
    spx_tid s0 = spx_g_batch_norm(g, spx_g_conv2d(g, t.image, "stem", &conv3), "stem_bn", true);
    int k = edge(g, 0, s0, w, 0, term);
    const spx_tid s1 = spx_g_sum(g, k, term, "node0");
    k = edge(g, 1, s0, w, 0, term);
    k += edge(g, 1, s1, w, 1, term + k);
    const spx_tid s2 = spx_g_sum(g, k, term, "node1");
    spx_g_scope(g, "%s", "");
    spx_tid cat = spx_g_concat(g, 2, (spx_tid[]){s1, s2}, "cat");
    cat = relu ? spx_g_relu(g, cat, "cat_relu") : cat;
    spx_tid y = spx_g_batch_norm(g, spx_g_conv2d(g, cat, "out", &one), "out_bn", false);
    y = relu ? spx_g_relu(g, y, "out_relu") : y;
    const spx_tid masked = spx_g_sum(
        g, 2,
        (spx_sum_term[]){{.x = spx_g_batch_norm(g, spx_g_conv2d(g, y, "c", &conv3), "c_bn", true),
                          .coef = SPX_NO_TENSOR,
                          .mask = training ? spx_g_drop_mask(g, N, 1, "mask") : SPX_NO_TENSOR},
                         {.x = y, .coef = SPX_NO_TENSOR, .mask = SPX_NO_TENSOR}},
        "residual");
    const spx_tid halves[2] = {spx_g_conv2d(g, masked, "half_a", &half_a),
                               spx_g_conv2d(g, masked, "half_b", &half_b)};
    y = spx_g_batch_norm(g, spx_g_concat(g, 2, halves, "halves"), "half_bn", true);
    t.logits = spx_g_linear(g, spx_g_global_avg_pool(g, y, "gap"), "classifier", CLASSES);
    t.loss = spx_g_cross_entropy(g, t.logits, t.label, 0.1f, "loss");
    spx_g_section(g, -1, true);
    const spx_tid aux =
        spx_g_linear(g, spx_g_global_avg_pool(g, masked, "aux_gap"), "aux", CLASSES);
    t.aux_loss = spx_g_cross_entropy(g, aux, t.label, 0.0f, "aux_loss");
    CHECK_OK(spx_graph_status(g));
    return t;
}

static const spx_scalars scalars = {.seed = 5, .step = 2, .drop_prob = 0.4f};

/* One compiled program with its own arenas. */
typedef struct run {
    spx_program *p;
    spx_binding b;
    float *weights, *arch, *state, *dw, *da;
    void *workspace;
    float image[N * 3 * HW * HW];
    int32_t label[N];
    const void *input[2];
} run;

static void run_init(run *r, const net *t, spx_stream *s, const spx_program_options *o)
{
    spx_rng rng;
    CHECK_OK(spx_program_create(&r->p, t->g, s, o));
    const spx_layout *l = spx_program_layout(r->p);
    CHECK_OK(spx_calloc((void **)&r->weights, (size_t)l->floats[SPX_ROLE_WEIGHT], 4));
    CHECK_OK(spx_calloc((void **)&r->dw, (size_t)l->floats[SPX_ROLE_WEIGHT], 4));
    CHECK_OK(spx_calloc((void **)&r->arch, (size_t)l->floats[SPX_ROLE_ARCH], 4));
    CHECK_OK(spx_calloc((void **)&r->da, (size_t)l->floats[SPX_ROLE_ARCH], 4));
    CHECK_OK(spx_calloc((void **)&r->state, (size_t)l->floats[SPX_ROLE_STATE], 4));
    CHECK_OK(spx_alloc(&r->workspace, spx_program_workspace_bytes(r->p)));
    memset(r->workspace, 0xff, spx_program_workspace_bytes(r->p)); /* NaN: nothing may be assumed */
    spx_layout_init(l, 7, r->weights, r->arch, r->state);
    spx_rng_init(&rng, 3, SPX_RNG_TEST, 0);
    for (size_t i = 0; i < sizeof r->image / sizeof r->image[0]; i++) {
        r->image[i] = spx_rng_normal(&rng);
    }
    for (int i = 0; i < N; i++) {
        r->label[i] = i % CLASSES;
    }
    r->input[0] = r->image;
    r->input[1] = r->label;
    r->b = (spx_binding){.weights = r->weights,
                         .arch = r->arch,
                         .state = r->state,
                         .weight_grad = r->dw,
                         .arch_grad = r->da,
                         .workspace = r->workspace,
                         .input = r->input,
                         .update_state = true,
                         .scalars = &scalars};
}

static void run_clear(run *r)
{
    spx_program_destroy(r->p);
    spx_free(r->weights);
    spx_free(r->dw);
    spx_free(r->arch);
    spx_free(r->da);
    spx_free(r->state);
    spx_free(r->workspace);
}

/* Compares an arena of two runs entry by entry; layouts may differ. */
static void check_arenas(const run *a, const run *b, const float *xa, const float *xb,
                         spx_role role, double tol)
{
    const spx_layout *la = spx_program_layout(a->p), *lb = spx_program_layout(b->p);
    double norm = 0; /* entries with an exactly zero gradient are rounding: measure against all */
    for (int64_t i = 0; i < lb->floats[role]; i++) {
        norm += (double)xb[i] * (double)xb[i];
    }
    for (int i = 0; i < la->n; i++) {
        const spx_layout_entry *e = &la->entry[i];
        const spx_layout_entry *f = spx_layout_find(lb, e->name);
        double diff = 0, own = 0;
        assert_non_null(f);
        if (e->role != role) {
            continue;
        }
        for (int64_t k = 0; k < e->count; k++) {
            const double d = (double)xa[e->offset + k] - (double)xb[f->offset + k];
            diff += d * d;
            own += (double)xb[f->offset + k] * (double)xb[f->offset + k];
        }
        if (!(sqrt(diff) <= tol * (sqrt(own) + 1e-2 * sqrt(norm)))) {
            fail_msg("%s: relative error %.3g > %.3g", e->name, sqrt(diff / own), tol);
        }
    }
}

/* f32 sums of at most 4*64*36 products per element, three layers deep: 1e-5; gradients 1e-4 */
SPX_TEST(passes_and_fast_kernels_change_only_rounding)
{
    SPX_UNUSED;
    for (int relu = 0; relu < 2; relu++) {
        const net t = build(true, relu != 0);
        const spx_loss_seed loss[2] = {{t.loss, 1.0f}, {t.aux_loss, 0.4f}};
        spx_program_options o = {.loss = loss,
                                 .n_loss = 2,
                                 .grad_weights = true,
                                 .grad_arch = true,
                                 .output = (spx_tid[]){t.logits, t.loss, t.aux_loss},
                                 .n_output = 3};
        run fast, plain;
        spx_stream *s;
        CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 2));
        run_init(&fast, &t, s, &o);
        o.no_fusion = o.reference = true;
        run_init(&plain, &t, s, &o);
        CHECK_OK(spx_program_run(fast.p, &fast.b));
        CHECK_OK(spx_program_run(plain.p, &plain.b));
        assert_true(spx_program_graph(fast.p)->n_nodes < spx_program_graph(plain.p)->n_nodes);
        for (int i = 0; i < 3; i++) {
            CHECK_CLOSE(spx_program_output(fast.p, &fast.b, i),
                        spx_program_output(plain.p, &plain.b, i), i == 0 ? N * CLASSES : 1, 1e-5);
        }
        check_arenas(&fast, &plain, fast.dw, plain.dw, SPX_ROLE_WEIGHT, 1e-4);
        check_arenas(&fast, &plain, fast.da, plain.da, SPX_ROLE_ARCH, 1e-4);
        check_arenas(&fast, &plain, fast.state, plain.state, SPX_ROLE_STATE, 1e-5);
        run_clear(&fast);
        run_clear(&plain);
        spx_stream_destroy(s);
        spx_graph_destroy(t.g);
    }
}

static double total_loss(run *r)
{
    CHECK_OK(spx_program_run(r->p, &r->b));
    return (double)spx_program_output(r->p, &r->b, 0)[0] +
           0.4 * (double)spx_program_output(r->p, &r->b, 1)[0];
}

/*
 * A step of length 0.03 along the gradient itself, both ways: truncation is of order 0.03^2; the
 * loss, of size 2 in float, is noisy by about 2e-7 against a change of at least 1e-3. 1 % covers
 * both.
 */
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
    run r;
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    run_init(&r, &t, s, &o);
    r.b.update_state = false;
    const spx_layout *l = spx_program_layout(r.p);
    for (int which = 0; which < 2; which++) {
        float *const w = which == 0 ? r.weights : r.arch, *const g = which == 0 ? r.dw : r.da;
        const size_t n = (size_t)l->floats[which == 0 ? SPX_ROLE_WEIGHT : SPX_ROLE_ARCH];
        float *const save = malloc(n * sizeof *save), *const dir = malloc(n * sizeof *dir);
        double square = 0;
        (void)total_loss(&r);
        memcpy(save, w, n * sizeof *save);
        memcpy(dir, g, n * sizeof *dir);
        for (size_t i = 0; i < n; i++) {
            square += (double)dir[i] * (double)dir[i];
        }
        assert_true(square > 1e-8);
        const double h = 3e-2 / sqrt(square);
        double side[2];
        for (int k = 0; k < 2; k++) {
            for (size_t i = 0; i < n; i++) {
                w[i] = (float)((double)save[i] + (k == 0 ? h : -h) * (double)dir[i]);
            }
            side[k] = total_loss(&r);
        }
        memcpy(w, save, n * sizeof *save);
        const double measured = (side[0] - side[1]) / (2 * h);
        if (!(fabs(measured - square) <= 1e-2 * square)) {
            fail_msg("%s: difference quotient %.8g, gradient %.8g",
                     which == 0 ? "weights" : "alphas", measured, square);
        }
        free(save);
        free(dir);
    }
    run_clear(&r);
    spx_stream_destroy(s);
    spx_graph_destroy(t.g);
}

SPX_TEST(recomputing_saves_memory_and_changes_no_bit)
{
    SPX_UNUSED;
    const net t = build(true, true);
    const spx_loss_seed loss = {t.loss, 1.0f};
    spx_program_options o = {.loss = &loss, .n_loss = 1, .grad_weights = true, .grad_arch = true};
    run keep, again;
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    run_init(&keep, &t, s, &o);
    o.recompute = 1.0f;
    run_init(&again, &t, s, &o);
    assert_true(spx_program_workspace_bytes(again.p) < spx_program_workspace_bytes(keep.p));
    CHECK_OK(spx_program_run(keep.p, &keep.b));
    CHECK_OK(spx_program_run(again.p, &again.b));
    check_arenas(&keep, &again, keep.dw, again.dw, SPX_ROLE_WEIGHT, 0.0);
    check_arenas(&keep, &again, keep.da, again.da, SPX_ROLE_ARCH, 0.0);
    run_clear(&keep);
    run_clear(&again);
    spx_stream_destroy(s);
    spx_graph_destroy(t.g);
}

/* Orders drawn from those that the lanes' events allow: a missing dependence changes some bit of
 * some of them. */
SPX_TEST(any_order_that_the_lanes_allow_gives_the_same_bits)
{
    SPX_UNUSED;
    for (int relu = 0; relu < 2; relu++) {
        const net t = build(true, relu != 0);
        const spx_loss_seed loss[2] = {{t.loss, 1.0f}, {t.aux_loss, 0.4f}};
        spx_program_options o = {.loss = loss,
                                 .n_loss = 2,
                                 .grad_weights = true,
                                 .grad_arch = true,
                                 .output = (spx_tid[]){t.logits, t.loss},
                                 .n_output = 2};
        run plain;
        spx_stream *s;
        CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
        run_init(&plain, &t, s, &o);
        CHECK_OK(spx_program_run(plain.p, &plain.b));
        for (uint64_t seed = 1; seed <= 40; seed++) {
            run any;
            o.shuffle = seed;
            run_init(&any, &t, s, &o);
            CHECK_OK(spx_program_run(any.p, &any.b));
            CHECK_CLOSE(spx_program_output(any.p, &any.b, 0),
                        spx_program_output(plain.p, &plain.b, 0), N * CLASSES, 0.0);
            check_arenas(&any, &plain, any.dw, plain.dw, SPX_ROLE_WEIGHT, 0.0);
            check_arenas(&any, &plain, any.da, plain.da, SPX_ROLE_ARCH, 0.0);
            check_arenas(&any, &plain, any.state, plain.state, SPX_ROLE_STATE, 0.0);
            run_clear(&any);
        }
        run_clear(&plain);
        spx_stream_destroy(s);
        spx_graph_destroy(t.g);
    }
}

SPX_TEST(outputs_that_equal_each_other_are_both_there)
{
    SPX_UNUSED;
    spx_graph *g;
    spx_stream *s;
    run r;
    CHECK_OK(spx_graph_create(&g, true));
    const net t = {.g = g, .image = spx_g_input(g, "image", SPX_F32, 4, (int64_t[]){N, 3, HW, HW})};
    const spx_tid pool[2] = {spx_g_avg_pool(g, t.image, 3, 1, 1, "a"),
                             spx_g_avg_pool(g, t.image, 3, 1, 1, "b")};
    const spx_program_options o = {.output = pool, .n_output = 2};
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    run_init(&r, &t, s, &o);
    CHECK_OK(spx_program_run(r.p, &r.b));
    CHECK_CLOSE(spx_program_output(r.p, &r.b, 1), spx_program_output(r.p, &r.b, 0), N * 3 * HW * HW,
                0.0);
    run_clear(&r);
    spx_stream_destroy(s);
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
    spx_program_options o = {.loss = &loss, .n_loss = 1, .grad_weights = true, .grad_arch = true};
    run both, arch, weights;
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    run_init(&both, &t, s, &o);
    o.grad_weights = false;
    run_init(&arch, &t, s, &o);
    o.grad_weights = true;
    o.grad_arch = false;
    run_init(&weights, &t, s, &o);
    CHECK_OK(spx_program_run(both.p, &both.b));
    CHECK_OK(spx_program_run(arch.p, &arch.b));
    CHECK_OK(spx_program_run(weights.p, &weights.b));
    for (int i = 0; i < spx_program_graph(arch.p)->n_nodes; i++) {
        assert_int_not_equal(spx_program_graph(arch.p)->node[i].op, SPX_OP_CONV2D_BWD_WEIGHTS);
    }
    assert_true(spx_layout_equal(spx_program_layout(both.p), spx_program_layout(arch.p)));
    assert_true(spx_layout_equal(spx_program_layout(both.p), spx_program_layout(weights.p)));
    check_arenas(&both, &arch, both.da, arch.da, SPX_ROLE_ARCH, 1e-6);
    check_arenas(&both, &weights, both.dw, weights.dw, SPX_ROLE_WEIGHT, 1e-6);
    run_clear(&both);
    run_clear(&arch);
    run_clear(&weights);
    spx_stream_destroy(s);
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

SPX_TEST(two_losses_of_the_same_logits_are_refused)
{
    SPX_UNUSED;
    const net t = build(true, true);
    const spx_tid again = spx_g_cross_entropy(t.g, t.logits, t.label, 0.0f, "again");
    const spx_loss_seed loss[2] = {{t.loss, 1.0f}, {again, 1.0f}};
    spx_program *p;
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_FAILS(
        SPX_EUNSUPPORTED,
        spx_program_create(
            &p, t.g, s, &(spx_program_options){.loss = loss, .n_loss = 2, .grad_weights = true}));
    assert_null(p);
    spx_stream_destroy(s);
    spx_graph_destroy(t.g);
}

SPX_TEST(label_out_of_range_is_an_error_that_names_the_node)
{
    SPX_UNUSED;
    const net t = build(true, true);
    run r;
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    run_init(&r, &t, s, &(spx_program_options){.output = &t.loss, .n_output = 1});
    r.label[2] = CLASSES;
    CHECK_FAILS(SPX_EINVAL, spx_program_run(r.p, &r.b));
    assert_non_null(strstr(spx_error_message(), "loss"));
    run_clear(&r);
    spx_stream_destroy(s);
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
    CHECK_OK(spx_plan_memory(g, &(spx_plan_options){.size = size, .align = 64}, offset, &bytes));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(passes_and_fast_kernels_change_only_rounding),
        SPX_UNIT(gradients_agree_with_differences_along_themselves),
        SPX_UNIT(recomputing_saves_memory_and_changes_no_bit),
        SPX_UNIT(any_order_that_the_lanes_allow_gives_the_same_bits),
        SPX_UNIT(outputs_that_equal_each_other_are_both_there),
        SPX_UNIT(programs_compute_only_the_gradients_asked_for),
        SPX_UNIT(evaluation_has_the_same_layout_and_cannot_be_differentiated),
        SPX_UNIT(two_losses_of_the_same_logits_are_refused),
        SPX_UNIT(label_out_of_range_is_an_error_that_names_the_node),
        SPX_UNIT(plan_keeps_live_tensors_apart),
    };
    return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}
