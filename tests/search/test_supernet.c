#include "search/supernet/supernet.h"

#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "search/bilevel/search_run.h"
#include "tests/support/spx_test.h"

static spx_stream *stream;
static spx_supernet net;

#define BATCH 4
#define PIXELS (BATCH * 1 * 16 * 16)

typedef struct arenas {
    float *weights, *alphas, *state, *images;
    float *grad[2], *alpha_grad[2];
} arenas;

static float *floats(int64_t n)
{
    void *p;
    CHECK_OK(spx_calloc(&p, (size_t)n, sizeof(float)));
    return p;
}

static void make(arenas *a)
{
    const int64_t *n = net.layout->floats;
    spx_rng r;
    a->weights = floats(n[SPX_ROLE_WEIGHT]);
    a->alphas = floats(n[SPX_ROLE_ARCH]);
    a->state = floats(n[SPX_ROLE_STATE]);
    a->images = floats(PIXELS);
    for (int i = 0; i < 2; i++) {
        a->grad[i] = floats(n[SPX_ROLE_WEIGHT]);
        a->alpha_grad[i] = floats(n[SPX_ROLE_ARCH]);
    }
    spx_layout_init(net.layout, 1, a->weights, a->alphas, a->state);
    spx_rng_init(&r, 1, SPX_RNG_TEST, 0);
    for (int i = 0; i < PIXELS; i++) {
        a->images[i] = spx_rng_normal(&r);
    }
}

static void drop(arenas *a)
{
    spx_free(a->weights);
    spx_free(a->alphas);
    spx_free(a->state);
    spx_free(a->images);
    for (int i = 0; i < 2; i++) {
        spx_free(a->grad[i]);
        spx_free(a->alpha_grad[i]);
    }
}

/* All are sums of the same terms; passes may add them in another order: a few roundings of f32. */
SPX_TEST(each_pass_computes_its_share_of_what_both_compute)
{
    static const int32_t labels[BATCH] = {0, 1, 2, 1};
    const size_t n = (size_t)net.layout->floats[SPX_ROLE_WEIGHT];
    const size_t n_alpha = (size_t)net.layout->floats[SPX_ROLE_ARCH];
    spx_supernet_run r;
    float loss[3], logits[3][BATCH * 3];
    arenas a;
    SPX_UNUSED;
    make(&a);
    for (int i = 0; i < 3; i++) {
        static const spx_pass pass[3] = {SPX_PASS_BOTH, SPX_PASS_WEIGHTS, SPX_PASS_ALPHAS};
        const float *out, *mean;
        r = (spx_supernet_run){.weights = a.weights,
                               .alphas = a.alphas,
                               .state = a.state,
                               .weight_grad = a.grad[i != 0],
                               .alpha_grad = a.alpha_grad[i != 0],
                               .images = a.images,
                               .labels = labels};
        CHECK_OK(spx_supernet_pass(&net, pass[i], &r, &out, &mean));
        loss[i] = *mean;
        memcpy(logits[i], out, sizeof logits[i]);
    }
    CHECK_CLOSE(&loss[1], &loss[0], 1, 1e-6);
    CHECK_CLOSE(&loss[2], &loss[0], 1, 1e-6);
    CHECK_CLOSE(logits[2], logits[0], BATCH * 3, 1e-5);
    CHECK_CLOSE(a.grad[1], a.grad[0], n, 1e-4);
    CHECK_CLOSE(a.alpha_grad[1], a.alpha_grad[0], n_alpha, 1e-4);
    drop(&a);
}

SPX_TEST(only_a_pass_that_is_told_to_moves_the_running_statistics)
{
    static const int32_t labels[BATCH] = {0, 1, 2, 1};
    const size_t n = (size_t)net.layout->floats[SPX_ROLE_STATE];
    float *before = floats((int64_t)n);
    arenas a;
    SPX_UNUSED;
    make(&a);
    memcpy(before, a.state, n * sizeof(float));
    {
        spx_supernet_run r = {.weights = a.weights,
                              .alphas = a.alphas,
                              .state = a.state,
                              .weight_grad = a.grad[0],
                              .images = a.images,
                              .labels = labels};
        CHECK_OK(spx_supernet_pass(&net, SPX_PASS_WEIGHTS, &r, NULL, NULL));
        assert_memory_equal(before, a.state, n * sizeof(float));
        r.update_state = true;
        CHECK_OK(spx_supernet_pass(&net, SPX_PASS_WEIGHTS, &r, NULL, NULL));
        assert_memory_not_equal(before, a.state, n * sizeof(float));
    }
    spx_free(before);
    drop(&a);
}

SPX_TEST(a_pass_not_built_is_refused)
{
    const spx_supernet_run r = {0};
    SPX_UNUSED;
    CHECK_FAILS(SPX_EINVAL, spx_supernet_pass(&net, SPX_PASS_EVAL, &r, NULL, NULL));
}

/* Sets one alpha of every edge of a kind. */
static void favour(float *alphas, bool normal, spx_primitive p, float value)
{
    const float *row[2][SPX_CELL_NODES];
    spx_supernet_alphas(&net, alphas, row[0], row[1]);
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        for (int from = 0; from < 2 + i; from++) {
            const ptrdiff_t at = row[normal ? 0 : 1][i] - alphas;
            alphas[at + from * SPX_PRIMITIVE_COUNT + (int)p] = value;
        }
    }
}

SPX_TEST(collapse_tells_undecided_skipping_and_empty_cells_apart)
{
    float *alphas = floats(net.layout->floats[SPX_ROLE_ARCH]);
    spx_collapse c;
    SPX_UNUSED;
    spx_supernet_collapse(&net, alphas, &c);
    assert_true(fabs(c.entropy - 1) < 1e-12); /* all alphas equal */
    assert_true(c.skip_share == 0 && c.none_share == 0 && !c.warn);
    favour(alphas, true, SPX_SKIP_CONNECT, 50);
    spx_supernet_collapse(&net, alphas, &c);
    assert_true(c.skip_share == 1 && c.none_share == 0 && c.warn);
    assert_true(fabs(c.entropy - 0.5) < 1e-12); /* half of the edges decided: e^-50 is nothing */
    favour(alphas, true, SPX_SKIP_CONNECT, 0);
    favour(alphas, false, SPX_NONE, 50);
    spx_supernet_collapse(&net, alphas, &c);
    assert_true(c.skip_share == 0 && c.none_share == 0.5 && !c.warn);
    favour(alphas, true, SPX_NONE, 50);
    spx_supernet_collapse(&net, alphas, &c);
    assert_true(c.none_share == 1 && c.warn);
    spx_free(alphas);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(each_pass_computes_its_share_of_what_both_compute),
        SPX_UNIT(only_a_pass_that_is_told_to_moves_the_running_statistics),
        SPX_UNIT(a_pass_not_built_is_refused),
        SPX_UNIT(collapse_tells_undecided_skipping_and_empty_cells_apart),
        SPX_UNIT(random_genotypes_are_valid_differ_by_seed_and_use_every_primitive),
    };
    const spx_supernet_config c = {.batch = BATCH,
                                   .input = {1, 16, 16},
                                   .classes = 3,
                                   .init_channels = 2,
                                   .layers = 2,
                                   .n_reduce = 1,
                                   .reduce_loc = {3}};
    int failed;
    if (spx_stream_create(&stream, SPX_DEVICE_CPU, 1) != SPX_OK ||
        spx_supernet_init(&net, stream, &c, SPX_PASSES_SECOND_ORDER, NULL) != SPX_OK) {
        (void)fprintf(stderr, "%s\n", spx_error_message());
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_supernet_clear(&net);
    spx_stream_destroy(stream);
    return failed;
}
