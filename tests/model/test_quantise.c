/* Quantised networks: what they compute, and that their widths hold. */
#include "tests/model/net_fixture.h"

#include "host/model/calibrate.h"
#include "host/model/quantise.h"

enum { BATCH = 4 };

typedef struct made {
    net_fixture net;
    pile pile;
    spx_fold *fold;
    double **clip;
    float *images; /* (BATCH, c, h, w), normalised, of the pixels */
    uint8_t *pixels;
    spx_deploy *m;
    spx_quantise_segment segment[64];
} made;

static spx_status next(void *ctx, int64_t step, const float **images)
{
    const made *t = ctx;
    (void)step;
    *images = t->images;
    return SPX_OK;
}

static spx_calibrate_source calibration(made *t)
{
    const spx_fold_input s = net_source(&t->net);
    return (spx_calibrate_source){.graph = s.graph,
                                  .fold = t->fold,
                                  .layout = s.layout,
                                  .weights = s.weights,
                                  .state = s.state,
                                  .next = next,
                                  .ctx = t,
                                  .steps = 1};
}

static void make(made *t, const spx_genotype *g, const spx_final_config *config, uint64_t seed,
                 const spx_quantise_options *o)
{
    spx_final_config c = *config;
    memset(t, 0, sizeof *t);
    c.batch = BATCH;
    net_open(&t->net, g, &c, seed);
    const spx_fold_input s = net_source(&t->net);
    CHECK_OK(spx_fold_create(&t->fold, &s));
    const size_t n = spx_fold_count(t->fold, 0), map = (size_t)(c.input.rows * c.input.columns);
    void *memory;
    CHECK_OK(spx_alloc(&memory, BATCH * n * sizeof *t->images));
    t->images = memory;
    t->pixels = pile_bytes(&t->pile, BATCH * n);
    for (size_t i = 0; i < BATCH * n; i++) {
        const size_t channel = i / map % (size_t)c.input.channels;
        t->pixels[i] = (uint8_t)spx_rng_u32(&t->net.rng);
        t->images[i] = (float)((t->pixels[i] / 255.0 - t->net.mean[channel]) / t->net.std[channel]);
    }
    const spx_calibrate_source cs = calibration(t);
    const int bits = o->activation_bits > 0 ? o->activation_bits : 8;
    CHECK_OK(spx_calibrate(&t->clip, &cs, t->net.stream, bits));
    CHECK_OK(spx_quantise(&t->m, t->fold, (const double *const *)t->clip, o, NULL, t->segment));
}

static void drop(made *t)
{
    spx_deploy_destroy(t->m);
    spx_fold_destroy(t->fold);
    spx_free(t->clip);
    spx_free(t->images);
    net_close(&t->net);
    pile_clear(&t->pile);
}

static const spx_final_config small = {.input = {3, 16, 16},
                                       .classes = 7,
                                       .init_channels = 3,
                                       .layers = 4,
                                       .n_reduce = 2,
                                       .reduce_at = {0, 2}};

/* Relative distance of integer logits from the float network's, over the batch. */
static double distance(made *t)
{
    const size_t classes = (size_t)t->net.config.classes;
    const void *input[2] = {t->images, NULL};
    float got[BATCH * 16];
    int64_t logits[BATCH * 16];
    spx_binding b = {.weights = t->net.weights,
                     .state = t->net.state,
                     .workspace = t->net.workspace,
                     .input = input};
    CHECK_OK(spx_program_run(t->net.program, &b));
    CHECK_OK(spx_deploy_run_integer(t->m, NULL, BATCH, t->pixels, logits));
    for (size_t i = 0; i < BATCH * classes; i++) {
        got[i] = (float)((double)logits[i] * t->m->logit_scale);
    }
    return spx_relative_error(got, spx_program_output(t->net.program, &b, 0).data, BATCH * classes);
}

static void check_widths(const spx_deploy *m, int most)
{
    for (int i = 0; i < m->n_segments - 1; i++) {
        const spx_deploy_op *op = &m->op[m->relu[i]];
        assert_true(op->width <= most && op->width > op->shift + op->bits);
        assert_true(m->value[op->in].bits <= op->width);
    }
    assert_true(m->value[m->logits].bits <= most);
}

/* Every value of images of noise and of extremes lies in its proven width. */
static void check_values(made *t)
{
    const spx_deploy *m = t->m;
    const size_t n = spx_deploy_count(m, 0);
    int64_t *values = pile_bytes(&t->pile, spx_deploy_total(m) * sizeof *values);
    uint8_t *image = pile_bytes(&t->pile, n);
    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < n; i++) {
            image[i] = kind == 2 ? (spx_rng_u32(&t->net.rng) & 1 ? 255 : 0) : kind == 1 ? 255 : 0;
        }
        CHECK_OK(spx_deploy_run_values(m, NULL, image, values));
        for (int v = 1; v < m->n_values; v++) {
            const int bits = m->value[v].bits;
            for (size_t i = 0; i < spx_deploy_count(m, v); i++) {
                const int64_t x = values[spx_deploy_begin(m, v) + i];
                if (m->value[v].kind == SPX_DEPLOY_ACTIVATION) {
                    assert_true(x >= 0 && x < (int64_t)1 << bits);
                } else if (bits < 64) {
                    assert_true(x >= -((int64_t)1 << (bits - 1)) && x < (int64_t)1 << (bits - 1));
                }
            }
        }
    }
}

SPX_TEST(random_networks_of_every_wiring_quantise_within_their_widths)
{
    SPX_UNUSED;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        const spx_genotype g = net_random_genotype(seed);
        const spx_quantise_options o = {0};
        spx_final_config c = small;
        made t;
        c.input.channels = seed % 2 == 0 ? 1 : 3;
        c.init_channels = 1 + (int64_t)(seed % 3);
        make(&t, &g, &c, seed, &o);
        check_widths(t.m, 58);
        check_values(&t);
        drop(&t);
    }
}

/*
 * Fewer bits, more distance; with 12 bits of both, little is left of it: each of the chain's
 * roundings is within 2^-12 of a range some 8 times the typical size, so 0.3 % an operation, of
 * which there are 4 to 5 in a cell and 3 cells: 1 % if they add like noise, 5 % if they all add.
 */
SPX_TEST(finer_weights_and_activations_come_closer_to_the_float_network)
{
    SPX_UNUSED;
    static const struct {
        int bits, most;
    } steps[] = {{4, 58}, {8, 58}, {11, 62}};
    double last = INFINITY;
    spx_final_config c = small;
    c.n_reduce = 0;
    c.layers = 3;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        const spx_quantise_options o = {.weight_bits = steps[i].bits,
                                        .activation_bits = steps[i].bits,
                                        .most_bits = steps[i].most};
        made t;
        make(&t, &spx_genotype_published, &c, 5, &o);
        const double now = distance(&t);
        assert_true(now < last);
        last = now;
        drop(&t);
    }
    assert_true(last < 0.05);
}

SPX_TEST(segments_that_are_too_wide_lose_weight_bits_and_say_so)
{
    SPX_UNUSED;
    const spx_quantise_options o = {.most_bits = 32};
    bool lowered = false;
    made t;
    make(&t, &spx_genotype_published, &small, 3, &o);
    check_widths(t.m, 32);
    check_values(&t);
    for (int s = 0; s < t.m->n_segments; s++) {
        assert_true(t.segment[s].composed);
        lowered = lowered || t.segment[s].weight_bits < 8;
    }
    assert_true(lowered);
    drop(&t);
}

SPX_TEST(calibration_refuses_arenas_in_the_memory_of_a_device)
{
    spx_final_config c = small;
    double **clip;
    made t = {0};
    SPX_UNUSED;
    c.batch = BATCH;
    net_open(&t.net, &spx_genotype_published, &c, 3);
    const spx_fold_input network = net_source(&t.net);
    CHECK_OK(spx_fold_create(&t.fold, &network));
    for (int i = 0; i < 2; i++) {
        spx_calibrate_source s = calibration(&t);
        *(i == 0 ? &s.weights.device : &s.state.device) = SPX_DEVICE_CUDA;
        CHECK_FAILS(SPX_EINVAL, spx_calibrate(&clip, &s, t.net.stream, 8));
        assert_null(clip);
    }
    drop(&t);
}

SPX_TEST(bad_options_are_refused)
{
    SPX_UNUSED;
    static const spx_quantise_options bad[] = {
        {.weight_bits = 1}, {.weight_bits = 13}, {.activation_bits = 13}, {.most_bits = 63}};
    const spx_quantise_options good = {0};
    made t;
    spx_deploy *m;
    make(&t, &spx_genotype_published, &small, 3, &good);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_FAILS(SPX_EINVAL,
                    spx_quantise(&m, t.fold, (const double *const *)t.clip, &bad[i], NULL, NULL));
    }
    drop(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(random_networks_of_every_wiring_quantise_within_their_widths),
        SPX_UNIT(finer_weights_and_activations_come_closer_to_the_float_network),
        SPX_UNIT(segments_that_are_too_wide_lose_weight_bits_and_say_so),
        SPX_UNIT(calibration_refuses_arenas_in_the_memory_of_a_device),
        SPX_UNIT(bad_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
