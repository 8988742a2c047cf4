/* Exporting whole networks: random ones, as benchmarks do. */
#include "tests/support/spx_fixture.h"

#include "search/final/export.h"

static int told;

static void show(void *ctx, const char *phase, int64_t done, int64_t total)
{
    (void)ctx;
    assert_true(phase[0] != '\0' && done >= 1);
    assert_true(done <= total || strcmp(phase, "calibrating") != 0);
    told++;
}

static const spx_final_spec small = {.input = {3, 16, 16},
                                     .classes = 5,
                                     .init_channels = 1,
                                     .layers = 3,
                                     .n_reduce = 2,
                                     .reduce_at = {0, 2},
                                     .mean = {0.5, 0.5, 0.5},
                                     .std = {0.25, 0.25, 0.25}};

enum { IMAGES = 4, PIXELS = 3 * 16 * 16, CLASSES = 5 };

/* Makes a network of a seed on a device, in f32: devices differ by their order of sums alone. */
static spx_deploy *make(spx_device device, uint64_t seed, spx_export_report *r)
{
    const spx_stream_options so = {
        .device = device, .threads = 2, .precision = SPX_PRECISION_F32, .deterministic = true};
    const spx_export_options o = {
        .quantise = {.weight_bits = 11, .activation_bits = 11, .most_bits = 62},
        .images = 32,
        .show = show};
    spx_final_spec s = small;
    spx_stream *stream;
    spx_deploy *m;
    s.genotype = spx_genotype_published;
    CHECK_OK(spx_stream_open(&stream, &so));
    CHECK_OK(spx_export_random(&m, &s, seed, stream, &o, r));
    spx_stream_destroy(stream);
    return m;
}

SPX_TEST(a_random_network_is_the_same_for_the_same_seed)
{
    SPX_UNUSED;
    for (int d = 0; d < SPX_DEVICE_COUNT; d++) {
        spx_final_spec s = small;
        spx_export_report r;
        spx_counts counts;
        if (spx_device_count((spx_device)d) == 0) {
            continue;
        }
        spx_deploy *m[3] = {make((spx_device)d, 1, &r), make((spx_device)d, 1, NULL),
                            make((spx_device)d, 2, NULL)};
        s.genotype = spx_genotype_published;
        CHECK_OK(spx_final_count(&s, false, &counts));
        assert_memory_equal(m[0]->hash, m[1]->hash, sizeof m[0]->hash);
        assert_memory_not_equal(m[0]->hash, m[2]->hash, sizeof m[0]->hash);
        assert_int_equal(spx_deploy_relus(m[0]), counts.relus);
        assert_int_equal(r.images, 32);
        assert_true(told > 0);
        for (int i = 0; i < 3; i++) {
            spx_deploy_destroy(m[i]);
        }
        spx_export_report_clear(&r);
    }
}

/* Sums of another order move a largest value by its rounding, and may so make the next of 128
 * fractions the best clip where two are as good: either way less than rounding to 11 bits, whose
 * error test_quantise bounds by 0.05. Weights or images in a wrong order would be far off. */
SPX_TEST(devices_export_the_same_network)
{
    SPX_UNUSED;
    uint8_t pixels[IMAGES * PIXELS];
    spx_rng rng;
    if (spx_device_count(SPX_DEVICE_CUDA) == 0) {
        skip();
    }
    spx_rng_init(&rng, 1, SPX_RNG_TEST, 13);
    for (size_t i = 0; i < sizeof pixels; i++) {
        pixels[i] = (uint8_t)spx_rng_u32(&rng);
    }
    float logits[2][IMAGES * CLASSES];
    for (int d = 0; d < 2; d++) {
        int64_t integers[IMAGES * CLASSES];
        spx_deploy *m = make(d == 0 ? SPX_DEVICE_CPU : SPX_DEVICE_CUDA, 1, NULL);
        CHECK_OK(spx_deploy_run_integer(m, NULL, IMAGES, pixels, integers));
        for (size_t i = 0; i < IMAGES * CLASSES; i++) {
            logits[d][i] = (float)((double)integers[i] * m->logit_scale);
        }
        spx_deploy_destroy(m);
    }
    CHECK_CLOSE(logits[1], logits[0], IMAGES * CLASSES, 0.05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_random_network_is_the_same_for_the_same_seed),
        SPX_UNIT(devices_export_the_same_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
