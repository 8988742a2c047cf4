/* What a program tells of its masked ReLUs, against the formula over what it computed itself. */
#include "kernels/nn/relu_score/relu_score.h"
#include "tests/graph/program_case.h"

enum { HALF = HW / 2, RELUS = 2 };
#define U 0x1p-24 /* half a unit in the last place of 1 */

typedef struct scored {
    net t; /* build's, but for these */
    spx_tid x[RELUS], y[RELUS];
} scored;

static scored build_scored(bool masked)
{
    const spx_conv_options halving = {
        .filters = 2 * C, .size = 3, .stride = 2, .dilation = 1, .pad_begin = 1, .pad_end = 1};
    scored k = {0};
    spx_graph *g;
    CHECK_OK(spx_graph_create(&g, true));
    k.t.g = g;
    k.t.image = spx_g_input(g, "image", SPX_F32, 4, (int64_t[]){N, 3, HW, HW});
    k.t.label = spx_g_input(g, "label", SPX_I32, 1, (int64_t[]){N});
    if (masked) {
        spx_graph_mask_relus(g, SPX_ROLE_STATE);
    }
    k.x[0] = spx_g_batch_norm(g, spx_g_conv2d(g, k.t.image, "a", &conv3), "a_bn", true);
    k.y[0] = spx_g_relu(g, k.x[0], "first");
    k.x[1] = spx_g_batch_norm(g, spx_g_conv2d(g, k.y[0], "b", &halving), "b_bn", true);
    k.y[1] = spx_g_relu(g, k.x[1], "second");
    k.t.logits = spx_g_linear(g, spx_g_global_avg_pool(g, k.y[1], "gap"), "classifier", CLASSES);
    k.t.loss = spx_g_cross_entropy(g, k.t.logits, k.t.label, 0.0f, "loss");
    CHECK_OK(spx_graph_status(g));
    return k;
}

/* Every third position becomes linear. */
static void set_masks(run *r)
{
    const spx_layout *l = spx_program_layout(r->p);
    static const char *const names[RELUS] = {"first.mask", "second.mask"};
    for (int k = 0; k < RELUS; k++) {
        const spx_layout_entry *e = spx_layout_find(l, names[k]);
        assert_non_null(e);
        for (int64_t i = 0; i < e->count; i++) {
            r->host[SPX_ROLE_STATE][e->offset + i] = i % 3 == 0 ? 0.0f : 1.0f;
        }
    }
    run_upload(r, SPX_ROLE_STATE);
}

static void check_relu(run *r, int k, int64_t count)
{
    const size_t all = (size_t)(N * count);
    const spx_relu_statistics s = spx_program_score(r->p, &r->b, k);
    float *x = malloc(all * sizeof *x), *g = malloc(all * sizeof *g);
    float *map = malloc((size_t)(SPX_SCORE_MAPS * count) * sizeof *map), square[N];
    assert_true(x != NULL && g != NULL && map != NULL);
    assert_true(s.n == N && s.count == count);
    CHECK_OK(spx_program_read(r->p, &r->b, k, x));
    CHECK_OK(spx_program_read_grad(r->p, &r->b, k, g));
    CHECK_OK(spx_download(r->s, map, s.map, (size_t)(SPX_SCORE_MAPS * count) * sizeof *map));
    CHECK_OK(spx_download(r->s, square, s.square, sizeof square));
    CHECK_OK(spx_stream_sync(r->s));
    for (int64_t i = 0; i < count; i++) {
        double want[SPX_SCORE_MAPS] = {0};
        for (int64_t n = 0; n < N; n++) {
            const double a = (double)x[n * count + i], d = (double)g[n * count + i];
            want[SPX_SCORE_PRODUCT] += fabs(a * d);
            want[SPX_SCORE_NEGATIVE] += a < 0;
            want[SPX_SCORE_INPUT] += a * a;
            want[SPX_SCORE_GRADIENT] += d * d;
        }
        for (int64_t m = 0; m < SPX_SCORE_MAPS; m++) { /* sums of N products */
            assert_true(fabs((double)map[m * count + i] - want[m]) <= (N + 2) * U * want[m]);
        }
    }
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += (double)g[i] * (double)g[i];
    }
    assert_true(sum > 0 && fabs((double)square[0] - sum) <= (double)count * U * sum);
    free(x);
    free(g);
    free(map);
}

SPX_TEST(a_program_tells_what_its_masked_relus_read_and_were_handed)
{
    SPX_UNUSED;
    FOR_EACH_STREAM(s)
    {
        for (int fused = 0; fused < 2; fused++) {
            const scored k = build_scored(true);
            const spx_loss_seed loss = {k.t.loss, 1.0f};
            const spx_program_options o = {.loss = &loss,
                                           .n_loss = 1,
                                           .grad_weights = true,
                                           .score_relus = true,
                                           .output = k.x,
                                           .n_output = RELUS,
                                           .grad = k.y,
                                           .n_grad = RELUS,
                                           .recompute = fused ? 0.3f : 0,
                                           .no_fusion = !fused};
            run r;
            run_init(&r, &k.t, s, &o);
            set_masks(&r);
            run_go(&r);
            assert_int_equal(spx_program_scores(r.p), RELUS);
            check_relu(&r, 0, C * HW * HW);
            check_relu(&r, 1, 2 * C * HALF * HALF);
            run_clear(&r);
            spx_graph_destroy(k.t.g);
        }
    }
}

/* A ReLU of CLASSES values an image beside the target; values and distances are outputs. */
SPX_TEST(a_program_hands_values_out_and_tells_how_far_they_are_from_others)
{
    const spx_conv_options wide = {.filters = CLASSES, .size = 1, .stride = 1, .dilation = 1};
    SPX_UNUSED;
    FOR_EACH_STREAM(s)
    {
        scored k = build_scored(false);
        spx_graph *g = k.t.g;
        float y[N * CLASSES], values[N * CLASSES], sum[CLASSES];
        const spx_tid target = spx_g_input(g, "target", SPX_F32, 2, (int64_t[]){N, CLASSES});
        const spx_tid pool = spx_g_global_avg_pool(g, k.y[1], "pool");
        const spx_tid relu = spx_g_relu(g, spx_g_conv2d(g, pool, "wide", &wide), "third");
        const spx_tid output[3] = {relu, spx_g_flatten(g, relu, "values"),
                                   spx_g_relu_distance(g, relu, target, "distance")};
        const spx_loss_seed loss = {k.t.loss, 1.0f};
        const spx_program_options o = {
            .loss = &loss, .n_loss = 1, .grad_weights = true, .output = output, .n_output = 3};
        run r;
        CHECK_OK(spx_graph_status(g));
        run_init(&r, &k.t, s, &o);
        run_go(&r);
        CHECK_OK(spx_program_read(r.p, &r.b, 0, y));
        CHECK_OK(spx_program_read(r.p, &r.b, 1, values));
        CHECK_OK(spx_program_read(r.p, &r.b, 2, sum));
        for (int i = 0; i < CLASSES; i++) {
            double want = 0;
            for (int n = 0; n < N; n++) {
                want += fabs((double)y[n * CLASSES + i] - (double)r.target[n * CLASSES + i]);
            }
            assert_true(fabs((double)sum[i] - want) <= (N + 2) * U * want);
        }
        assert_memory_equal(y, values, sizeof y);
        run_clear(&r);
        assert_int_equal(spx_g_relu_distance(g, k.y[0], target, "other"), SPX_NO_TENSOR);
        spx_graph_destroy(g);
    }
}

SPX_TEST(scores_need_masked_relus_and_a_loss)
{
    spx_stream *s;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    for (int masked = 0; masked < 2; masked++) {
        const scored k = build_scored(masked);
        const spx_loss_seed loss = {k.t.loss, 1.0f};
        spx_program *p;
        CHECK_FAILS(SPX_EINVAL, spx_program_create(&p, k.t.g, s,
                                                   &(spx_program_options){.loss = &loss,
                                                                          .n_loss = !masked,
                                                                          .grad_weights = !masked,
                                                                          .score_relus = true,
                                                                          .output = &k.t.logits,
                                                                          .n_output = 1}));
        spx_graph_destroy(k.t.g);
    }
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_program_tells_what_its_masked_relus_read_and_were_handed),
        SPX_UNIT(a_program_hands_values_out_and_tells_how_far_they_are_from_others),
        SPX_UNIT(scores_need_masked_relus_and_a_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
