#include "host/train/trainer.h"

#include "host/train/evaluate.h"
#include "host/train/feed.h"
#include "kernels/base/alloc.h"
#include "tests/support/spx_test.h"

#include <stdlib.h>

/* A linear classifier of two numbers into three classes: small enough to train by hand. On every
 * device there is, in f32. */
#define N 2
#define IN 2
#define OUT 3

static spx_stream *stream;
static spx_program *program;

static const float images[N * IN] = {1, -2, 0.5f, 3};
static const int32_t labels[N] = {2, 0};
static const spx_samples host_batch = {.images = images, .labels = labels, .valid = N};
static spx_feed *feed;
static const spx_samples *fed; /* what the feed takes next */

static spx_status get_fed(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    (void)ctx;
    (void)epoch;
    (void)step;
    *out = *fed;
    return SPX_OK;
}

/* The batch on the device, until the next one. */
static spx_samples on_device(const spx_samples *host)
{
    const spx_source source = spx_feed_source(feed);
    spx_samples s;
    fed = host;
    CHECK_OK(source.get(source.ctx, 0, 0, &s));
    return s;
}

/* filters: of a 1x1 convolution before the classifier; 0: none */
static void build_with(bool training, int64_t filters, spx_program **out)
{
    const spx_conv_options conv = {.filters = filters, .size = 1, .stride = 1, .dilation = 1};
    const int64_t dim[4] = {N, IN, 1, 1};
    spx_graph *g;
    spx_tid x, y, logits, loss;
    CHECK_OK(spx_graph_create(&g, training));
    x = spx_g_input(g, "image", SPX_F32, 4, dim);
    y = spx_g_input(g, "label", SPX_I32, 1, dim);
    x = filters > 0 ? spx_g_conv2d(g, x, "conv", &conv) : x;
    logits = spx_g_linear(g, x, "linear", OUT);
    loss = spx_g_cross_entropy(g, logits, y, 0, "loss");
    CHECK_OK(spx_graph_status(g));
    {
        const spx_loss_seed seed = {loss, 1};
        const spx_tid output[2] = {logits, loss};
        const spx_program_options o = {.loss = &seed,
                                       .n_loss = training,
                                       .grad_weights = training,
                                       .output = output,
                                       .n_output = training ? 2 : 1};
        CHECK_OK(spx_program_create(out, g, stream, &o));
    }
    spx_graph_destroy(g);
}

static void build(bool training, spx_program **out)
{
    build_with(training, 0, out);
}

/* Weights (OUT, IN) then biases [OUT] of an arena on the device, as doubles. */
static void pick(const spx_buffer *on_device, double w[OUT * IN + OUT])
{
    const spx_layout *l = spx_program_layout(program);
    spx_buffer host;
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, &host));
    const float *arena = host.data;
    CHECK_OK(spx_layout_download(l, stream, SPX_ROLE_WEIGHT, on_device, &host));
    const float *weight = arena + spx_layout_find(l, "linear.weight")->offset;
    const float *bias = arena + spx_layout_find(l, "linear.bias")->offset;
    for (int i = 0; i < OUT * IN; i++) {
        w[i] = (double)weight[i];
    }
    for (int i = 0; i < OUT; i++) {
        w[OUT * IN + i] = (double)bias[i];
    }
    spx_buffer_free(&host);
}

/* The textbook step in doubles: returns the gradient's norm. */
static double by_hand(double *w, double *buf, double lr, const spx_sgd_options *o)
{
    double g[OUT * IN + OUT] = {0}, norm = 0;
    for (int n = 0; n < N; n++) {
        double z[OUT], sum = 0;
        for (int k = 0; k < OUT; k++) {
            z[k] = w[OUT * IN + k];
            for (int i = 0; i < IN; i++) {
                z[k] += w[k * IN + i] * (double)images[n * IN + i];
            }
            sum += exp(z[k]);
        }
        for (int k = 0; k < OUT; k++) {
            const double d = (exp(z[k]) / sum - (k == labels[n])) / N;
            g[OUT * IN + k] += d;
            for (int i = 0; i < IN; i++) {
                g[k * IN + i] += d * (double)images[n * IN + i];
            }
        }
    }
    for (int i = 0; i < OUT * IN + OUT; i++) {
        norm += g[i] * g[i];
    }
    norm = sqrt(norm);
    for (int i = 0; i < OUT * IN + OUT; i++) {
        const double scale = fmin(1, o->clip / (norm + 1e-6)), momentum = (double)o->momentum;
        const double decay = o->spare_vectors && i >= OUT * IN ? 0 : (double)o->decay;
        const double d = scale * g[i] + decay * w[i];
        buf[i] = momentum * buf[i] + d;
        w[i] -= lr * (o->nesterov ? d + momentum * buf[i] : buf[i]);
    }
    return norm;
}

static void check_steps(const spx_sgd_options *o)
{
    double w[OUT * IN + OUT], buf[OUT * IN + OUT] = {0}, got[OUT * IN + OUT];
    spx_trainer t;
    spx_step_report r;
    CHECK_OK(spx_trainer_init(&t, stream, program, o, 7, 0));
    pick(&t.weights, w);
    for (uint64_t step = 0; step < 5; step++) {
        const spx_step_args a = {.lr = 0.1f, .step = step};
        const spx_samples batch = on_device(&host_batch);
        const double norm = by_hand(w, buf, (double)a.lr, o);
        CHECK_OK(spx_trainer_step(&t, &batch, &a, &r));
        assert_true(fabs(r.norm / norm - 1) < 1e-5);
        pick(&t.weights, got);
        for (int i = 0; i < OUT * IN + OUT; i++) { /* five steps of a dozen f32 roundings each */
            assert_true(fabs(got[i] - w[i]) < 60 * 0x1p-24);
        }
    }
    spx_trainer_clear(&t);
}

SPX_TEST(steps_are_sgd_with_momentum_decay_and_clipping)
{
    const spx_sgd_options o = {.momentum = 0.9f, .decay = 0.01f, .clip = 0.5};
    SPX_UNUSED;
    check_steps(&o);
}

SPX_TEST(steps_may_be_nesterovs_and_spare_vectors_the_decay)
{
    const spx_sgd_options o = {
        .momentum = 0.9f, .decay = 0.3f, .clip = 0.5, .nesterov = true, .spare_vectors = true};
    SPX_UNUSED;
    check_steps(&o);
}

#define FILTERS 4

/* The weights after a step at rate 1 from those of seed 7 (before: none); freed by the caller. */
static float *after_a_step(spx_program *p, const spx_sgd_options *o, bool before)
{
    const spx_layout *l = spx_program_layout(p);
    const spx_samples batch = on_device(&host_batch);
    const spx_step_args a = {.lr = 1};
    spx_step_report r;
    spx_trainer t;
    spx_buffer host;
    float *copy = malloc(spx_layout_bytes(l, SPX_ROLE_WEIGHT));
    assert_non_null(copy);
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, &host));
    CHECK_OK(spx_trainer_init(&t, stream, p, o, 7, 0));
    if (!before) {
        CHECK_OK(spx_trainer_step(&t, &batch, &a, &r));
    }
    CHECK_OK(spx_layout_download(l, stream, SPX_ROLE_WEIGHT, &t.weights, &host));
    memcpy(copy, host.data, spx_layout_bytes(l, SPX_ROLE_WEIGHT));
    spx_buffer_free(&host);
    spx_trainer_clear(&t);
    return copy;
}

/* Plain SGD's step tells the gradient. */
SPX_TEST(muon_steps_convolutions_and_sgd_the_rest)
{
    const spx_sgd_options plain = {0}, muon = {.muon = 0.5f, .muon_momentum = 0.6f};
    const spx_muon_matrix m = {.rows = FILTERS, .columns = IN};
    float g[FILTERS * IN], buf[FILTERS * IN] = {0};
    spx_program *p;
    SPX_UNUSED;
    build_with(true, FILTERS, &p);
    const spx_layout *l = spx_program_layout(p);
    const int64_t conv = spx_layout_find(l, "conv.weight")->offset;
    float *first = after_a_step(p, &plain, true), *sgd = after_a_step(p, &plain, false);
    float *got = after_a_step(p, &muon, false);
    for (int i = 0; i < FILTERS * IN; i++) {
        g[i] = first[conv + i] - sgd[conv + i];
    }
    CHECK_OK(spx_muon_ref(&m, 0.5, 0.6, 1, g, buf, first + conv));
    /* weights below 1 tell a gradient above 0.1 to 2^-20; three steps grow that below 64-fold */
    CHECK_CLOSE(got + conv, first + conv, FILTERS * IN, 0x1p-14);
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        if (e->role == SPX_ROLE_WEIGHT && e->rank != 4) {
            CHECK_CLOSE(got + e->offset, sgd + e->offset, (size_t)e->count, 0);
        }
    }
    free(first);
    free(sgd);
    free(got);
    spx_program_destroy(p);
}

SPX_TEST(the_average_follows_the_weights_and_is_what_evaluation_gets)
{
    const spx_sgd_options o = {.momentum = 0.9f, .ema = 0.15f};
    double w[OUT * IN + OUT], mean[OUT * IN + OUT], got[OUT * IN + OUT];
    spx_trainer t;
    spx_step_report r;
    spx_binding b;
    SPX_UNUSED;
    CHECK_OK(spx_trainer_init(&t, stream, program, &o, 7, 0));
    pick(&t.weights, mean);
    for (uint64_t step = 0; step < 3; step++) {
        const spx_step_args a = {.lr = 0.1f, .step = step};
        const spx_samples batch = on_device(&host_batch);
        const double d = fmin((double)o.ema, (1.0 + (double)step) / (10.0 + (double)step));
        CHECK_OK(spx_trainer_step(&t, &batch, &a, &r));
        pick(&t.weights, w);
        for (int i = 0; i < OUT * IN + OUT; i++) {
            mean[i] = d * mean[i] + (1 - d) * w[i];
        }
    }
    spx_trainer_bind_best(&t, &b);
    assert_ptr_equal(b.weights.data, t.ema_weights.data);
    pick(spx_trainer_best(&t, SPX_ROLE_WEIGHT), got);
    for (int i = 0; i < OUT * IN + OUT; i++) {
        assert_true(fabs(got[i] - mean[i]) < 20 * 0x1p-24);
    }
    spx_trainer_clear(&t);
}

SPX_TEST(a_loss_that_is_not_finite_leaves_the_weights_alone)
{
    const float bad[N * IN] = {1, NAN, 0, 0};
    const spx_samples broken = {.images = bad, .labels = labels, .valid = N};
    const spx_sgd_options o = {.momentum = 0.9f};
    const spx_step_args a = {.lr = 0.1f, .step = 7};
    double before[OUT * IN + OUT], after[OUT * IN + OUT];
    spx_samples batch;
    spx_trainer t;
    spx_step_report r;
    SPX_UNUSED;
    CHECK_OK(spx_trainer_init(&t, stream, program, &o, 7, 0));
    pick(&t.weights, before);
    batch = on_device(&broken);
    CHECK_FAILS(SPX_ENUMERIC, spx_trainer_step(&t, &batch, &a, &r));
    assert_non_null(strstr(spx_error_message(), "step 8: loss"));
    for (int i = 0; i < 3; i++) { /* and steps behind it, replayed ones too */
        batch = on_device(&host_batch);
        CHECK_FAILS(SPX_ENUMERIC, spx_trainer_step(&t, &batch, &a, &r));
    }
    pick(&t.weights, after);
    assert_memory_equal(before, after, sizeof before);
    spx_trainer_clear(&t);
}

SPX_TEST(replayed_steps_give_the_bits_of_those_that_are_not)
{
    const spx_sgd_options o = {.momentum = 0.9f, .decay = 0.01f, .clip = 0.5, .ema = 0.9f};
    double w[2][OUT * IN + OUT], norm[2][6];
    SPX_UNUSED;
    for (int eager = 0; eager < 2; eager++) {
        spx_trainer t;
        CHECK_OK(spx_trainer_init(&t, stream, program, &o, 7, 0));
        t.queue.eager = eager != 0;
        for (uint64_t step = 0; step < 6; step++) {
            const spx_step_args a = {.lr = 0.1f / (float)(step + 1), .step = step};
            const spx_samples batch = on_device(&host_batch);
            spx_step_report r;
            CHECK_OK(spx_trainer_step(&t, &batch, &a, &r));
            norm[eager][step] = r.norm;
        }
        pick(&t.ema_weights, w[eager]);
        spx_trainer_clear(&t);
    }
    assert_memory_equal(w[0], w[1], sizeof w[0]);
    assert_memory_equal(norm[0], norm[1], sizeof norm[0]);
}

SPX_TEST(late_reports_are_all_there_and_their_metrics_add_up)
{
    const spx_sgd_options o = {.momentum = 0.9f};
    const spx_metrics from = {.images = 100, .top1 = 50, .top5 = 60, .loss = 1000};
    spx_trainer t;
    uint64_t reported = 0;
    bool any = true;
    SPX_UNUSED;
    CHECK_OK(spx_trainer_init(&t, stream, program, &o, 7, 0));
    CHECK_OK(spx_step_queue_count_from(&t.queue, &from));
    for (uint64_t step = 0; step < 10 || any; step++) {
        const spx_step_args a = {.lr = 0.1f, .step = step};
        spx_step_report r;
        if (step < 10) {
            const spx_samples batch = on_device(&host_batch);
            CHECK_OK(spx_trainer_queue(&t, &batch, &a));
        }
        CHECK_OK(spx_trainer_report(&t, step >= 10, &r, &any));
        if (any) {
            assert_int_equal(r.step, reported++);
            assert_int_equal(r.metrics.images, 100 + N * reported);
            assert_int_equal(r.metrics.top5, 60 + N * reported); /* of three classes */
            assert_true(r.metrics.loss > 1000 && r.metrics.loss < 1100 && r.loss > 0);
        }
    }
    assert_int_equal(reported, 10);
    spx_trainer_clear(&t);
}

SPX_TEST(options_out_of_range_are_refused)
{
    static const spx_sgd_options bad[] = {{.momentum = 1}, {.momentum = -0.1f}, {.decay = 2},
                                          {.clip = -1},    {.ema = 1},          {.ema = NAN}};
    spx_trainer t;
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_FAILS(SPX_EINVAL, spx_trainer_init(&t, stream, program, &bad[i], 1, 0));
        assert_null(t.weights.data);
    }
}

/* Three batches of two images, the last one half full; all labels 0. */
static spx_status some_batches(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    static const int32_t zeros[N] = {0, 0};
    const spx_samples host = {.images = images, .labels = zeros, .valid = step == 2 ? 1 : N};
    (void)ctx;
    assert_int_equal(epoch, 0);
    *out = on_device(&host);
    return SPX_OK;
}

static spx_status stop_at_second(void *ctx)
{
    int *calls = ctx;
    return ++*calls == 2 ? SPX_FAIL(SPX_EINTERRUPTED, "enough") : SPX_OK;
}

SPX_TEST(evaluation_counts_every_image_once_and_can_be_stopped)
{
    const spx_source src = {.get = some_batches, .steps = 3};
    const spx_sgd_options o = {0};
    spx_program *forward;
    spx_metrics m;
    spx_trainer t;
    spx_binding b;
    int calls = 0;
    SPX_UNUSED;
    build(false, &forward);
    CHECK_OK(spx_trainer_init(&t, stream, program, &o, 7, spx_program_workspace_bytes(forward)));
    spx_trainer_bind_best(&t, &b);
    CHECK_OK(spx_evaluate(stream, forward, &b, &src, 0, NULL, NULL, &m));
    assert_int_equal(m.images, 5);
    assert_int_equal(m.top5, 5); /* of three classes */
    CHECK_OK(spx_evaluate(stream, forward, &b, &src, 2, NULL, NULL, &m));
    assert_int_equal(m.images, 4);
    CHECK_FAILS(SPX_EINTERRUPTED,
                spx_evaluate(stream, forward, &b, &src, 0, stop_at_second, &calls, &m));
    spx_trainer_clear(&t);
    spx_program_destroy(forward);
}

static int run_on(spx_device device)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(steps_are_sgd_with_momentum_decay_and_clipping),
        SPX_UNIT(steps_may_be_nesterovs_and_spare_vectors_the_decay),
        SPX_UNIT(muon_steps_convolutions_and_sgd_the_rest),
        SPX_UNIT(the_average_follows_the_weights_and_is_what_evaluation_gets),
        SPX_UNIT(a_loss_that_is_not_finite_leaves_the_weights_alone),
        SPX_UNIT(replayed_steps_give_the_bits_of_those_that_are_not),
        SPX_UNIT(late_reports_are_all_there_and_their_metrics_add_up),
        SPX_UNIT(options_out_of_range_are_refused),
        SPX_UNIT(evaluation_counts_every_image_once_and_can_be_stopped),
    };
    const spx_stream_options o = {
        .device = device, .threads = 1, .precision = SPX_PRECISION_F32, .deterministic = true};
    const spx_batch_shape shape = {N, IN, 1, 1};
    const spx_source source = {.get = get_fed, .steps = 1};
    int failed;
    if (spx_stream_open(&stream, &o) != SPX_OK ||
        spx_feed_open(&feed, stream, &source, &shape) != SPX_OK) {
        (void)fprintf(stderr, "%s\n", spx_error_message());
        return 1;
    }
    build(true, &program);
    failed = cmocka_run_group_tests_name(spx_device_name(device), tests, NULL, NULL);
    spx_program_destroy(program);
    spx_feed_close(feed);
    spx_stream_destroy(stream);
    return failed;
}

int main(void)
{
    int failed = 0;
    for (int d = 0; d < SPX_DEVICE_COUNT; d++) {
        failed += spx_device_count((spx_device)d) > 0 ? run_on((spx_device)d) : 0;
    }
    return failed;
}
