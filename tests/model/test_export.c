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

static const spx_final_spec small = {.input = {3, 32, 32},
                                     .classes = 5,
                                     .init_channels = 1,
                                     .layers = 3,
                                     .n_reduce = 2,
                                     .reduce_at = {0, 2},
                                     .mean = {0.5, 0.5, 0.5},
                                     .std = {0.25, 0.25, 0.25}};

SPX_TEST(a_random_network_is_the_same_for_the_same_seed)
{
    SPX_UNUSED;
    const spx_export_options o = {.images = 32, .show = show};
    spx_final_spec s = small;
    spx_export_report r;
    spx_deploy *m[3];
    spx_stream *stream;
    spx_counts counts;
    s.genotype = spx_genotype_published;
    CHECK_OK(spx_stream_create(&stream, SPX_DEVICE_CPU, 2));
    CHECK_OK(spx_export_random(&m[0], &s, 1, stream, &o, &r));
    CHECK_OK(spx_export_random(&m[1], &s, 1, stream, &o, NULL));
    CHECK_OK(spx_export_random(&m[2], &s, 2, stream, &o, NULL));
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
    spx_stream_destroy(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_random_network_is_the_same_for_the_same_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
