#include "tests/lattice/lattice_fixture.h"

#include "kernels/crypto/sampler.h"

#define SAMPLES ((size_t)1 << 18)

/*
 * Pearson's statistic over bins with at least 10 expected; compared with degrees + 5 * sqrt(2 *
 * degrees), the mean and five standard deviations: a sound sampler passes but for about one seed in
 * 10^5, and the seeds are fixed.
 */
static void check_chi_square(const char *what, const size_t *seen, const double *p, size_t bins)
{
    double chi = 0, degrees = -1;
    for (size_t i = 0; i < bins; i++) {
        const double want = p[i] * (double)SAMPLES, d = (double)seen[i] - want;
        if (want >= 10) {
            chi += d * d / want;
            degrees++;
        } else {
            assert_true((double)seen[i] <= want + 5 * sqrt(want) + 5);
        }
    }
    if (!(chi < degrees + 5 * sqrt(2 * degrees))) {
        fail_msg("%s: chi-square %.1f with %.0f degrees", what, chi, degrees);
    }
}

SPX_TEST(ternary_samples_are_uniform_and_map_the_ends_right)
{
    static int8_t x[SAMPLES];
    const uint64_t third = UINT64_MAX / 3; /* 3 * third = 2^64 - 1 */
    const uint64_t ends[] = {0, third, third + 1, 2 * third, 2 * third + 1, UINT64_MAX};
    const int8_t want[] = {-1, -1, 0, 0, 1, 1};
    const double p[] = {1.0 / 3, 1.0 / 3, 1.0 / 3};
    size_t seen[3] = {0};
    spx_rng r;
    SPX_UNUSED;
    spx_sample_ternary(x, ends, 6);
    assert_memory_equal(x, want, 6);
    spx_rng_init(&r, 5, SPX_RNG_TEST, 0);
    uint64_t *words = lattice_words(&r, SAMPLES);
    spx_sample_ternary(x, words, SAMPLES);
    for (size_t i = 0; i < SAMPLES; i++) {
        assert_in_range(x[i] + 1, 0, 2);
        seen[x[i] + 1]++;
    }
    check_chi_square("ternary", seen, p, 3);
    spx_free(words);
}

SPX_TEST(errors_are_centred_binomial)
{
    static int8_t x[SAMPLES];
    double p[2 * SPX_CBD_ETA + 1], choose = 1, variance = 0;
    size_t seen[2 * SPX_CBD_ETA + 1] = {0};
    spx_rng r;
    SPX_UNUSED;
    for (int i = 0; i <= 2 * SPX_CBD_ETA; i++) { /* C(42, i) / 2^42 */
        p[i] = ldexp(choose, -2 * SPX_CBD_ETA);
        variance += p[i] * (i - SPX_CBD_ETA) * (i - SPX_CBD_ETA);
        choose = choose * (2 * SPX_CBD_ETA - i) / (i + 1);
    }
    assert_true(fabs(variance - SPX_CBD_VARIANCE) < 1e-9);
    spx_rng_init(&r, 6, SPX_RNG_TEST, 0);
    uint64_t *words = lattice_words(&r, SAMPLES);
    words[0] = ((uint64_t)1 << SPX_CBD_ETA) - 1; /* the ends, whatever the unused bits */
    words[1] = ~words[0];
    spx_sample_cbd(x, words, SAMPLES);
    assert_int_equal(x[0], SPX_CBD_ETA);
    assert_int_equal(x[1], -SPX_CBD_ETA);
    for (size_t i = 2; i < SAMPLES; i++) {
        seen[x[i] + SPX_CBD_ETA]++;
    }
    check_chi_square("errors", seen, p, 2 * SPX_CBD_ETA + 1);
    spx_free(words);
}

SPX_TEST(uniform_residues_are_uniform_below_q_and_say_what_they_used)
{
    static uint64_t x[SAMPLES];
    const uint64_t q = 40961; /* rejects three eighths of 16 bits */
    size_t seen[64] = {0}, used, n;
    double p[64];
    spx_rng r;
    SPX_UNUSED;
    spx_rng_init(&r, 7, SPX_RNG_TEST, 0);
    uint64_t *words = lattice_words(&r, 2 * SAMPLES);
    n = spx_sample_uniform(x, SAMPLES, q, 16, words, 2 * SAMPLES, &used);
    assert_int_equal(n, SAMPLES);
    for (size_t i = 0; i < 64; i++) {
        const uint64_t from = (q * i + 63) / 64, to = (q * (i + 1) + 63) / 64;
        p[i] = (double)(to - from) / (double)q;
    }
    for (size_t i = 0, from = 0; i < SAMPLES; i++) {
        while ((words[from] & 0xffff) >= q) {
            from++;
        }
        assert_true(x[i] == (words[from++] & 0xffff));
        seen[x[i] * 64 / q]++;
        assert_true(i + 1 < SAMPLES || from == used);
    }
    check_chi_square("uniform", seen, p, 64);
    n = spx_sample_uniform(x, SAMPLES, q, 16, words, 10, &used);
    assert_true(n <= 10 && used == 10);
    spx_free(words);
}

/* The sum of three uniforms on [0, 1): P(S < x). */
static double bell(double x)
{
    const double third = x < 0 ? 0 : x < 3 ? x : 3;
    double f = third * third * third;
    f -= x > 1 ? 3 * pow(third - 1, 3) : 0;
    f += x > 2 ? 3 * pow(third - 2, 3) : 0;
    return f / 6;
}

SPX_TEST(floods_are_sums_of_three_uniforms_of_every_width)
{
    static const int widths[] = {8, 40, 63, 64, 65, 66, 75, 120};
    static spx_i128 x[SAMPLES];
    spx_rng r;
    SPX_UNUSED;
    spx_rng_init(&r, 8, SPX_RNG_TEST, 0);
    uint64_t *words = lattice_words(&r, SAMPLES * SPX_FLOOD_WORDS);
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
        const double scale = ldexp(1.0, widths[w]);
        size_t seen[30] = {0};
        double p[30];
        spx_sample_flood(x, SAMPLES, widths[w], words);
        for (size_t i = 0; i < SAMPLES; i++) {
            const double v = ldexp((double)(int64_t)x[i].hi, 64) + (double)x[i].lo;
            const double at = floor((v / scale + 1.5) * 10);
            assert_true(at >= 0 && at < 30);
            seen[(size_t)at]++;
        }
        for (int i = 0; i < 30; i++) {
            p[i] = bell((i + 1) / 10.0) - bell(i / 10.0);
        }
        if (widths[w] >= 40) { /* narrower ones fall on the bins' edges */
            check_chi_square("flood", seen, p, 30);
        }
    }
    memset(words, 0, SPX_FLOOD_WORDS * sizeof *words);
    memset(words + SPX_FLOOD_WORDS, 0xff, SPX_FLOOD_WORDS * sizeof *words);
    spx_sample_flood(x, 2, 65, words); /* -1.5 * 2^65, 1.5 * 2^65 - 3 */
    assert_true((int64_t)x[0].hi == -3 && x[0].lo == 0);
    assert_true(x[1].hi == 2 && x[1].lo == UINT64_MAX - 2);
    spx_free(words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(ternary_samples_are_uniform_and_map_the_ends_right),
        SPX_UNIT(errors_are_centred_binomial),
        SPX_UNIT(uniform_residues_are_uniform_below_q_and_say_what_they_used),
        SPX_UNIT(floods_are_sums_of_three_uniforms_of_every_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
