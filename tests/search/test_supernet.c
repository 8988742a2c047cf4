#include "search/supernet/supernet.h"

#include "host/train/device_arenas.h"
#include "host/train/feed.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "kernels/device/device_memory.h"
#include "search/bilevel/search_run.h"
#include "tests/support/spx_test.h"

static spx_stream *stream;
static spx_supernet net;

#define BATCH 4
#define CLASSES 3
#define PIXELS (BATCH * 1 * 16 * 16)

/* Everything a pass reads and writes, on the device. */
typedef struct arenas {
    spx_buffer weights, alphas, state;
    spx_buffer grad[2], alpha_grad[2];
    float images[PIXELS];
    spx_samples host, batch;
    spx_feed *feed;
} arenas;

static spx_buffer arena(spx_role role)
{
    spx_buffer p;
    CHECK_OK(spx_layout_arena(net.layout, stream, role, &p));
    return p;
}

/* An arena of the device in host memory. */
static spx_buffer read_arena(spx_role role, const spx_buffer *device)
{
    spx_buffer host;
    CHECK_OK(spx_layout_arena(net.layout, NULL, role, &host));
    CHECK_OK(spx_layout_download(net.layout, stream, role, device, &host));
    return host;
}

static void check_close(spx_role role, const spx_buffer *a, const spx_buffer *b, double tolerance)
{
    spx_buffer x = read_arena(role, a), y = read_arena(role, b);
    const float *got = x.data, *want = y.data;
    CHECK_CLOSE(got, want, (size_t)net.layout->floats[role], tolerance);
    spx_buffer_free(&x);
    spx_buffer_free(&y);
}

static spx_status get_host(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    (void)epoch;
    (void)step;
    *out = ((const arenas *)ctx)->host;
    return SPX_OK;
}

static void make(arenas *a)
{
    static const int32_t labels[BATCH] = {0, 1, 2, 1};
    const spx_batch_shape shape = {BATCH, 1, 16, 16};
    const spx_source host = {.get = get_host, .ctx = a, .steps = 1};
    spx_source source;
    spx_rng r;
    a->weights = arena(SPX_ROLE_WEIGHT);
    a->alphas = arena(SPX_ROLE_ARCH);
    a->state = arena(SPX_ROLE_STATE);
    for (int i = 0; i < 2; i++) {
        a->grad[i] = arena(SPX_ROLE_WEIGHT);
        a->alpha_grad[i] = arena(SPX_ROLE_ARCH);
    }
    CHECK_OK(spx_device_arenas_init(net.layout, stream, 1, &a->weights, &a->alphas, &a->state));
    spx_rng_init(&r, 1, SPX_RNG_TEST, 0);
    for (int i = 0; i < PIXELS; i++) {
        a->images[i] = spx_rng_normal(&r);
    }
    a->host = (spx_samples){.images = a->images, .labels = labels, .valid = BATCH};
    CHECK_OK(spx_feed_open(&a->feed, stream, &host, &shape));
    source = spx_feed_source(a->feed);
    CHECK_OK(source.get(source.ctx, 0, 0, &a->batch));
}

static void drop(arenas *a)
{
    spx_feed_close(a->feed);
    spx_buffer_free(&a->weights);
    spx_buffer_free(&a->alphas);
    spx_buffer_free(&a->state);
    for (int i = 0; i < 2; i++) {
        spx_buffer_free(&a->grad[i]);
        spx_buffer_free(&a->alpha_grad[i]);
    }
}

/* All are sums of the same terms; passes may add them in another order: a few roundings of f32. */
SPX_TEST(each_pass_computes_its_share_of_what_both_compute)
{
    spx_supernet_run r;
    float loss[3], logits[3][BATCH * CLASSES];
    arenas a;
    SPX_UNUSED;
    make(&a);
    for (int i = 0; i < 3; i++) {
        static const spx_pass pass[3] = {SPX_PASS_BOTH, SPX_PASS_WEIGHTS, SPX_PASS_ALPHAS};
        spx_buffer out, mean;
        r = (spx_supernet_run){.weights = a.weights,
                               .alphas = a.alphas,
                               .state = a.state,
                               .weight_grad = a.grad[i != 0],
                               .alpha_grad = a.alpha_grad[i != 0],
                               .images = a.batch.images,
                               .labels = a.batch.labels};
        CHECK_OK(spx_supernet_pass(&net, pass[i], &r, &out, &mean));
        CHECK_OK(spx_download(stream, &loss[i], mean.data, sizeof loss[i]));
        CHECK_OK(spx_download(stream, logits[i], out.data, sizeof logits[i]));
        CHECK_OK(spx_stream_sync(stream));
    }
    CHECK_CLOSE(&loss[1], &loss[0], 1, 1e-6);
    CHECK_CLOSE(&loss[2], &loss[0], 1, 1e-6);
    CHECK_CLOSE(logits[2], logits[0], BATCH * CLASSES, 1e-5);
    check_close(SPX_ROLE_WEIGHT, &a.grad[1], &a.grad[0], 1e-4);
    check_close(SPX_ROLE_ARCH, &a.alpha_grad[1], &a.alpha_grad[0], 1e-4);
    drop(&a);
}

SPX_TEST(only_a_pass_that_is_told_to_moves_the_running_statistics)
{
    spx_buffer state[3];
    arenas a;
    SPX_UNUSED;
    make(&a);
    state[0] = read_arena(SPX_ROLE_STATE, &a.state);
    for (int i = 1; i < 3; i++) {
        const spx_supernet_run r = {.weights = a.weights,
                                    .alphas = a.alphas,
                                    .state = a.state,
                                    .update_state = i == 2,
                                    .weight_grad = a.grad[0],
                                    .images = a.batch.images,
                                    .labels = a.batch.labels};
        CHECK_OK(spx_supernet_pass(&net, SPX_PASS_WEIGHTS, &r, NULL, NULL));
        state[i] = read_arena(SPX_ROLE_STATE, &a.state);
    }
    assert_memory_equal(state[0].data, state[1].data, state[0].bytes);
    assert_memory_not_equal(state[0].data, state[2].data, state[0].bytes);
    for (int i = 0; i < 3; i++) {
        spx_buffer_free(&state[i]);
    }
    drop(&a);
}

SPX_TEST(a_pass_not_built_is_refused)
{
    const spx_supernet_run r = {0};
    SPX_UNUSED;
    CHECK_FAILS(SPX_EINVAL, spx_supernet_pass(&net, SPX_PASS_EVAL, &r, NULL, NULL));
}

/* Sets one alpha of every edge of a kind. */
static void favour(const spx_buffer *alphas, bool normal, spx_primitive p, float value)
{
    float *row[2][SPX_CELL_NODES];
    CHECK_OK(spx_supernet_alphas(&net, alphas, row[0], row[1]));
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        for (int from = 0; from < 2 + i; from++) {
            row[normal ? 0 : 1][i][from * SPX_PRIMITIVE_COUNT + (int)p] = value;
        }
    }
}

SPX_TEST(collapse_tells_undecided_skipping_and_empty_cells_apart)
{
    spx_buffer alphas;
    spx_collapse c;
    SPX_UNUSED;
    CHECK_OK(spx_layout_arena(net.layout, NULL, SPX_ROLE_ARCH, &alphas));
    CHECK_OK(spx_supernet_collapse(&net, &alphas, &c));
    assert_true(fabs(c.entropy - 1) < 1e-12); /* all alphas equal */
    assert_true(c.skip_share == 0 && c.none_share == 0 && !c.warn);
    favour(&alphas, true, SPX_SKIP_CONNECT, 50);
    CHECK_OK(spx_supernet_collapse(&net, &alphas, &c));
    assert_true(c.skip_share == 1 && c.none_share == 0 && c.warn);
    assert_true(fabs(c.entropy - 0.5) < 1e-12); /* half of the edges decided: e^-50 is nothing */
    favour(&alphas, true, SPX_SKIP_CONNECT, 0);
    favour(&alphas, false, SPX_NONE, 50);
    CHECK_OK(spx_supernet_collapse(&net, &alphas, &c));
    assert_true(c.skip_share == 0 && c.none_share == 0.5 && !c.warn);
    favour(&alphas, true, SPX_NONE, 50);
    CHECK_OK(spx_supernet_collapse(&net, &alphas, &c));
    assert_true(c.none_share == 1 && c.warn);
    spx_buffer_free(&alphas);
}

/* The memory is the host's, so that a reader that takes it all the same does no harm. */
SPX_TEST(alphas_in_the_memory_of_a_device_are_refused_by_readers)
{
    float *row[2][SPX_CELL_NODES];
    spx_buffer alphas;
    spx_collapse c;
    spx_genotype g;
    SPX_UNUSED;
    CHECK_OK(spx_layout_arena(net.layout, NULL, SPX_ROLE_ARCH, &alphas));
    alphas.device = SPX_DEVICE_CUDA;
    CHECK_FAILS(SPX_EINVAL, spx_supernet_alphas(&net, &alphas, row[0], row[1]));
    CHECK_FAILS(SPX_EINVAL, spx_supernet_genotype(&net, &alphas, &g));
    CHECK_FAILS(SPX_EINVAL, spx_supernet_collapse(&net, &alphas, &c));
    assert_non_null(strstr(spx_error_message(), "memory of cuda"));
    spx_buffer_free(&alphas);
}

SPX_TEST(random_genotypes_are_valid_differ_by_seed_and_use_every_primitive)
{
    int used[SPX_PRIMITIVE_COUNT] = {0};
    spx_genotype last = {0};
    SPX_UNUSED;
    for (uint64_t seed = 0; seed < 200; seed++) {
        spx_genotype g, again;
        spx_genotype_random(seed, &g);
        spx_genotype_random(seed, &again);
        CHECK_OK(spx_genotype_check(&g));
        assert_memory_equal(&g, &again, sizeof g);
        assert_memory_not_equal(&g, &last, sizeof g);
        last = g;
        for (int i = 0; i < SPX_CELL_NODES; i++) {
            assert_int_not_equal(g.normal.edge[i][0].from, g.normal.edge[i][1].from);
            used[g.normal.edge[i][0].primitive]++;
        }
    }
    for (int p = 0; p < SPX_NONE; p++) { /* 800 draws of 6: about 133 each, sd 10.5 */
        assert_in_range(used[p], 133 - 60, 133 + 60);
    }
    assert_int_equal(used[SPX_NONE], 0);
}

static int run_on(spx_device device, spx_space space)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(each_pass_computes_its_share_of_what_both_compute),
        SPX_UNIT(only_a_pass_that_is_told_to_moves_the_running_statistics),
        SPX_UNIT(a_pass_not_built_is_refused),
        SPX_UNIT(collapse_tells_undecided_skipping_and_empty_cells_apart),
        SPX_UNIT(alphas_in_the_memory_of_a_device_are_refused_by_readers),
        SPX_UNIT(random_genotypes_are_valid_differ_by_seed_and_use_every_primitive),
    };
    const spx_stream_options o = {.device = device, .threads = 1, .precision = SPX_PRECISION_F32};
    const spx_supernet_config c = {.space = space,
                                   .batch = BATCH,
                                   .input = {1, 16, 16},
                                   .classes = CLASSES,
                                   .init_channels = 2,
                                   .layers = 2,
                                   .n_reduce = 1,
                                   .reduce_loc = {3}};
    int failed;
    if (spx_stream_open(&stream, &o) != SPX_OK ||
        spx_supernet_init(&net, stream, &c, SPX_PASSES_SECOND_ORDER, NULL) != SPX_OK) {
        (void)fprintf(stderr, "%s\n", spx_error_message());
        return 1;
    }
    failed = cmocka_run_group_tests_name(spx_device_name(device), tests, NULL, NULL);
    spx_supernet_clear(&net);
    spx_stream_destroy(stream);
    return failed;
}

int main(void)
{
    int failed = 0;
    for (int d = 0; d < SPX_DEVICE_COUNT; d++) {
        for (int s = 0; spx_device_count((spx_device)d) > 0 && s < SPX_SPACE_COUNT; s++) {
            failed += run_on((spx_device)d, (spx_space)s);
        }
    }
    return failed;
}
