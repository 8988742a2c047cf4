#include "tests/support/spx_fixture.h"

#include "kernels/nn/drop_mask/drop_mask.h"

enum { N = 40001 };

typedef struct masks {
    float first[N], second[N];
} masks;

static void draw(int threads, int64_t n, float p, uint64_t seed, uint64_t step, uint32_t key,
                 float *mask)
{
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, threads));
    CHECK_OK(spx_drop_mask(s, n, p, seed, step, key, mask));
    spx_stream_destroy(s);
}

SPX_TEST(kept_share_is_one_less_p_and_the_mean_is_one)
{
    static masks m;
    static const float ps[] = {0.0f, 0.2f, 0.5f, 0.9f};
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof ps / sizeof ps[0]; i++) {
        const double p = (double)ps[i], scale = 1 / (1 - p);
        double sum = 0;
        draw(1, N, ps[i], 1, 2, 3, m.first);
        for (int j = 0; j < N; j++) {
            assert_true(m.first[j] == 0 || fabs((double)m.first[j] - scale) <= 4 * SPX_U * scale);
            sum += (double)m.first[j];
        }
        /* five standard deviations of the mean of N draws */
        assert_true(fabs(sum / N - 1) <= 5 * scale * sqrt(p * (1 - p) / N) + 4 * SPX_U);
    }
}

SPX_TEST(masks_depend_on_seed_step_and_key_but_not_on_threads_or_length)
{
    static masks m;
    SPX_UNUSED;
    draw(1, N, 0.3f, 5, 6, 7, m.first);
    draw(3, N, 0.3f, 5, 6, 7, m.second);
    CHECK_CLOSE(m.first, m.second, N, 0);
    draw(2, 101, 0.3f, 5, 6, 7, m.second);
    CHECK_CLOSE(m.first, m.second, 101, 0);
    for (uint64_t i = 1; i <= 3; i++) {
        int same = 0;
        draw(1, N, 0.5f, 5, 6, 7, m.first);
        draw(1, N, 0.5f, 5 + (i == 1), 6 + (i == 2), 7 + (i == 3), m.second);
        for (int j = 0; j < N; j++) {
            same += m.first[j] == m.second[j];
        }
        assert_true(fabs(same / (double)N - 0.5) <= 5 * sqrt(0.25 / N)); /* as fair coins do */
    }
}

SPX_TEST(bad_arguments_are_refused)
{
    spx_stream *s;
    float m[1];
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_FAILS(SPX_EINVAL, spx_drop_mask(s, 0, 0.1f, 1, 1, 1, m));
    CHECK_FAILS(SPX_EINVAL, spx_drop_mask(s, 1, 1.0f, 1, 1, 1, m));
    CHECK_FAILS(SPX_EINVAL, spx_drop_mask(s, 1, -0.1f, 1, 1, 1, m));
    CHECK_FAILS(SPX_EINVAL, spx_drop_mask(s, 1, NAN, 1, 1, 1, m));
    CHECK_FAILS(SPX_EINVAL, spx_drop_mask(s, 1, 0.1f, 1, 1, 1, NULL));
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(kept_share_is_one_less_p_and_the_mean_is_one),
        SPX_UNIT(masks_depend_on_seed_step_and_key_but_not_on_threads_or_length),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
