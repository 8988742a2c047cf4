/* Colour jitter against its definition, pixel by pixel. */
#include "data/augment/augment.h"
#include "tests/support/spx_test.h"

static double grey_of(const double *p, int channels)
{
    return channels == 3 ? floor((19595 * p[0] + 38470 * p[1] + 7471 * p[2]) / 65536 + 0.5)
                         : floor((p[0] + (channels > 1 ? p[1] : 0)) / channels + 0.5);
}

/* What augment.h says, in double: exact, as every product and sum is below 2^53. */
static void jittered(int channels, int pixels, const spx_jitter *order, const int32_t *factor,
                     const uint8_t *in, uint8_t *out)
{
    double v[64][3], middle;
    for (int i = 0; i < pixels; i++) {
        for (int c = 0; c < channels; c++) {
            v[i][c] = in[c * pixels + i];
        }
    }
    for (int k = 0; k < SPX_JITTER_COUNT; k++) {
        const double f = factor[order[k]] / 65536.0;
        middle = 0;
        for (int i = 0; i < pixels; i++) {
            middle += grey_of(v[i], channels);
        }
        middle = floor(middle / pixels + 0.5);
        for (int i = 0; i < pixels; i++) {
            const double grey = grey_of(v[i], channels);
            const double other = order[k] == SPX_JITTER_BRIGHTNESS ? 0
                                 : order[k] == SPX_JITTER_CONTRAST ? middle
                                                                   : grey;
            for (int c = 0; c < channels; c++) {
                const double blended = floor(f * v[i][c] + (1 - f) * other + 0.5);
                v[i][c] = blended < 0 ? 0 : blended > 255 ? 255 : blended;
            }
        }
    }
    for (int i = 0; i < pixels * channels; i++) {
        out[i] = (uint8_t)v[i % pixels][i / pixels];
    }
}

SPX_TEST(colour_jitter_is_what_the_definition_says)
{
    enum { SIDE = 8, N = SIDE * SIDE };
    static const spx_jitter orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                            {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    const spx_augment a = {.jitter = {0.4, 1, 0.4}};
    const spx_augment_shape k = {3, SIDE, SIDE, SIDE, SIDE, false};
    static uint8_t big[1024];
    int seen[6] = {0};
    spx_rng bytes;
    int32_t least[3] = {65536, 65536, 65536}, most[3] = {65536, 65536, 65536};
    SPX_UNUSED;
    spx_rng_init(&bytes, 9, SPX_RNG_TEST, 1);
    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (uint8_t)spx_rng_u32(&bytes);
    }
    for (uint32_t i = 0; i < 600; i++) {
        const int channels = 1 + (int)(i % 3);
        uint8_t got[3 * N], want[3 * N], mixed[3 * N];
        spx_augment_draw d;
        spx_rng rng;
        spx_augment_rng(&rng, 5, 1, i);
        spx_augment_choose(&a, &k, &rng, &d);
        memcpy(got, big + i, sizeof got);
        spx_augment_recolour(&a, &d, channels, N, true, got);
        jittered(channels, N, orders[d.order], d.factor, big + i, want);
        assert_memory_equal(got, want, (size_t)(channels * N));
        for (int j = 0; j < channels * N; j++) {
            mixed[j % N * channels + j / N] = big[i + (uint32_t)j];
        }
        spx_augment_recolour(&a, &d, channels, N, false, mixed);
        for (int j = 0; j < channels * N; j++) {
            assert_int_equal(mixed[j % N * channels + j / N], want[j]);
        }
        seen[d.order]++;
        for (int j = 0; j < SPX_JITTER_COUNT; j++) {
            least[j] = d.factor[j] < least[j] ? d.factor[j] : least[j];
            most[j] = d.factor[j] > most[j] ? d.factor[j] : most[j];
        }
    }
    for (int j = 0; j < 6; j++) {
        assert_in_range(seen[j], 46, 154); /* 100 +- six deviations of sqrt(100 * 5/6) = 9 */
    }
    for (int j = 0; j < SPX_JITTER_COUNT; j++) { /* all of their range, and no more */
        const int32_t amount = (int32_t)rint(65536 * a.jitter[j]);
        assert_in_range(least[j], 65536 - amount, 65536 - amount * 9 / 10);
        assert_in_range(most[j], 65536 + amount * 9 / 10, 65536 + amount);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(colour_jitter_is_what_the_definition_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
