/* The arithmetic of linearization. Golden values are of linearize_golden.py, which has the
 * published formulas in float64. */
#include "search/final/linearize.h"

#include "kernels/nn/relu_distance/relu_distance.h"
#include "kernels/nn/relu_score/relu_score.h"
#include "kernels/optim/optim.h"
#include "tests/support/spx_test.h"

/* ---- the schedule ---- */

static const spx_linear_schedule published = {
    .epochs = 150, .before = 5, .falling = 0.6, .every = 100, .full = 491520, .budget = 49152};
static const spx_linear_schedule shortened = {
    .epochs = 10, .before = 1, .falling = 0.5, .every = 7, .full = 1000, .budget = 1};

SPX_TEST(the_number_kept_falls_as_published)
{
    static const int64_t at[][2] = {{0, 491520}, {4, 491520},  {5, 491520},
                                    {6, 491518}, {20, 485949}, {50, 356903},
                                    {91, 49474}, {92, 49152},  {149, 49152}};
    static const int64_t small[7] = {1000, 1000, 961, 722, 274, 1, 1};
    SPX_UNUSED;
    assert_int_equal(spx_linear_budget_epoch(&published), 92);
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        assert_int_equal(spx_linear_count(&published, at[i][0]), at[i][1]);
    }
    for (int64_t e = 0; e < 7; e++) {
        assert_int_equal(spx_linear_count(&shortened, e), small[e]);
    }
    for (int64_t e = 1; e < 150; e++) {
        assert_true(spx_linear_count(&published, e) <= spx_linear_count(&published, e - 1));
    }
}

SPX_TEST(choices_are_made_every_so_many_steps_and_at_the_latest_as_the_budget_begins)
{
    static const spx_linear_schedule never = {
        .epochs = 10, .before = 1, .falling = 0.5, .every = 1000, .full = 9, .budget = 3};
    SPX_UNUSED;
    assert_false(spx_linear_due(&published, 4, 200, 1600)); /* all are kept */
    assert_true(spx_linear_due(&published, 5, 4, 2000));
    assert_false(spx_linear_due(&published, 5, 4, 2001));
    assert_true(spx_linear_due(&published, 91, 9, 35700));
    assert_false(spx_linear_due(&published, 93, 9, 36300)); /* half as often at the budget */
    assert_true(spx_linear_due(&published, 93, 9, 36400));
    assert_true(spx_linear_due(&never, 5, 0, 31)); /* epochs of few steps */
    assert_false(spx_linear_due(&never, 5, 1, 32));
}

/* ---- the choice ---- */

static void keep(float *const score[3], const int64_t count[3], int64_t n, char text[3][8])
{
    float mask[3][8];
    spx_linear_layer layer[3];
    for (int l = 0; l < 3; l++) {
        layer[l] = (spx_linear_layer){count[l], score[l], mask[l]};
    }
    CHECK_OK(spx_linear_keep(layer, 3, n));
    for (int l = 0; l < 3; l++) {
        for (int64_t i = 0; i < count[l]; i++) {
            text[l][i] = mask[l][i] == 1.0f ? '1' : mask[l][i] == 0.0f ? '0' : '?';
        }
        text[l][count[l]] = '\0';
    }
}

SPX_TEST(the_highest_of_all_layers_are_kept_and_of_equal_ones_the_first)
{
    float a[4] = {1, 2, 1, 0}, b[2] = {1, 0x1.000002p0f}, c[3] = {-1, NAN, 0};
    float *const score[3] = {a, b, c};
    static const int64_t count[3] = {4, 2, 3};
    char t[3][8];
    SPX_UNUSED;
    keep(score, count, 0, t);
    assert_string_equal(t[0], "0000");
    keep(score, count, 2, t);
    assert_true(strcmp(t[0], "0100") == 0 && strcmp(t[1], "01") == 0);
    keep(score, count, 4, t); /* two of three that are 1 */
    assert_true(strcmp(t[0], "1110") == 0 && strcmp(t[1], "01") == 0);
    keep(score, count, 6, t); /* of two zeros the first */
    assert_true(strcmp(t[0], "1111") == 0 && strcmp(t[1], "11") == 0 && strcmp(t[2], "000") == 0);
    keep(score, count, 8, t);
    assert_string_equal(t[2], "101"); /* not a number: the last of all */
    keep(score, count, 9, t);
    assert_string_equal(t[2], "111");
    CHECK_FAILS(SPX_EINVAL, spx_linear_keep(NULL, 0, 1));
    CHECK_FAILS(SPX_EINVAL, spx_linear_keep(NULL, 0, -1));
}

SPX_TEST(as_many_are_kept_as_were_asked_for_whatever_the_scores)
{
    enum { MANY = 5000 };
    float score[MANY], mask[MANY];
    SPX_UNUSED;
    for (int i = 0; i < MANY; i++) {
        score[i] = (float)(i * 7919 % 257) * 0x1p-20f; /* many are equal */
    }
    for (int64_t n = 0; n <= MANY; n += 1250) {
        const spx_linear_layer layer[2] = {{1200, score, mask},
                                           {MANY - 1200, score + 1200, mask + 1200}};
        int64_t kept = 0;
        float least_kept = INFINITY, most_dropped = -1;
        CHECK_OK(spx_linear_keep(layer, 2, n));
        for (int i = 0; i < MANY; i++) {
            kept += mask[i] == 1.0f;
            least_kept = mask[i] == 1.0f ? fminf(least_kept, score[i]) : least_kept;
            most_dropped = mask[i] == 0.0f ? fmaxf(most_dropped, score[i]) : most_dropped;
        }
        assert_int_equal(kept, n);
        assert_true(least_kept >= most_dropped);
    }
}

/* ---- relupruner on a toy of three layers ---- */

enum { IMAGES = 128, BATCHES = 10, LAYERS = 3, WIDEST = 6 };
static const int64_t counts[LAYERS] = {6, 5, 4};

static float drawn(int l, int b, int i, int k, int salt)
{
    return (float)((31 * l + 17 * b + 13 * i * (salt + 1) + 7 * k * (salt + 3) + k * k * (l + 2) +
                    5 * salt) %
                   97);
}

static void toy_layer(int l, int b, float *x, float *g)
{
    const int n = (int)counts[l];
    for (int i = 0; i < IMAGES; i++) {
        for (int k = 0; k < n; k++) {
            x[i * n + k] = (drawn(l, b, i, k, 0) - 48 + (float)(6 * k)) / 32;
            g[i * n + k] = (drawn(l, b, i, k, 1) - 48) * (float)(k % 3 + 1) / 65536;
        }
    }
}

typedef struct toy {
    float map[LAYERS][3][WIDEST], table[SPX_SCORE_ROWS * LAYERS], seen;
} toy;

static void toy_batch(spx_stream *s, toy *t, int b)
{
    float x[IMAGES * WIDEST], g[IMAGES * WIDEST], map[SPX_SCORE_MAPS * WIDEST], square[IMAGES];
    for (int l = 0; l < LAYERS; l++) {
        const spx_score_maps m = {t->map[l][0], t->map[l][1], t->map[l][2]};
        const spx_operand ox = {x, counts[l], SPX_TYPE_F32}, og = {g, counts[l], SPX_TYPE_F32};
        toy_layer(l, b, x, g);
        CHECK_OK(spx_relu_score(s, IMAGES, counts[l], 1, ox, og, map, square));
        CHECK_OK(spx_relu_score_add(s, IMAGES, counts[l], map, square, l, LAYERS, t->table,
                                    &t->seen, &m));
    }
    CHECK_OK(spx_relu_score_weigh(s, LAYERS, t->table, &t->seen));
}

/* Neighbouring scores of the toy are 6 % apart, so rounding cannot swap them. */
SPX_TEST(relupruner_keeps_what_the_published_formulas_keep)
{
    static const struct {
        int64_t keep;
        const char *mask[LAYERS];
    } golden[] = {{3, {"011001", "00000", "0000"}},
                  {7, {"111111", "00100", "0000"}},
                  {12, {"111111", "11101", "0110"}}};
    toy t = {0};
    char text[LAYERS][8];
    spx_stream *s;
    SPX_UNUSED;
    CHECK_OK(spx_stream_open(&s, &(spx_stream_options){.device = SPX_DEVICE_CPU, .threads = 2}));
    for (int b = 0; b < BATCHES; b++) {
        toy_batch(s, &t, b);
    }
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        keep((float *const[3]){t.map[0][0], t.map[1][0], t.map[2][0]}, counts, golden[i].keep,
             text);
        for (int l = 0; l < LAYERS; l++) {
            assert_string_equal(text[l], golden[i].mask[l]);
        }
    }
    spx_stream_destroy(s);
}

/* ---- senet ---- */

SPX_TEST(shares_of_layers_come_to_the_budget_exactly)
{
    static const int64_t count[4] = {100, 50, 10, 4};
    static const double alike[4] = {1, 1, 1, 1}, steep[4] = {1, 0, 0.25, 3};
    int64_t keep[4];
    SPX_UNUSED;
    CHECK_OK(spx_linear_share(4, alike, count, 8, keep));
    assert_true(keep[0] == 2 && keep[1] == 2 && keep[2] == 2 && keep[3] == 2);
    CHECK_OK(spx_linear_share(4, alike, count, 10, keep)); /* equal fractions: the first ones */
    assert_true(keep[0] == 3 && keep[1] == 3 && keep[2] == 2 && keep[3] == 2);
    CHECK_OK(spx_linear_share(4, alike, count, 94, keep)); /* two are full */
    assert_true(keep[0] == 40 && keep[1] == 40 && keep[2] == 10 && keep[3] == 4);
    CHECK_OK(spx_linear_share(4, steep, count, 34, keep)); /* 30 by 4 to 1 */
    assert_true(keep[0] == 24 && keep[1] == 0 && keep[2] == 6 && keep[3] == 4);
    for (int64_t budget = 0; budget <= 164; budget++) {
        CHECK_OK(spx_linear_share(4, alike, count, budget, keep));
        assert_int_equal(keep[0] + keep[1] + keep[2] + keep[3], budget);
        for (int l = 0; l < 4; l++) {
            assert_true(keep[l] >= 0 && keep[l] <= count[l]);
        }
    }
    CHECK_OK(spx_linear_share(4, steep, count, 114, keep)); /* all that have a share */
    assert_true(keep[0] == 100 && keep[1] == 0 && keep[2] == 10 && keep[3] == 4);
    CHECK_FAILS(SPX_EINVAL, spx_linear_share(4, steep, count, 115, keep));
    CHECK_FAILS(SPX_EINVAL, spx_linear_share(4, (const double[4]){1, -1, 1, 1}, count, 9, keep));
    CHECK_FAILS(SPX_EINVAL, spx_linear_share(4, (const double[4]){1, NAN, 1, 1}, count, 9, keep));
}

/* Sums over an epoch of two batches of |student - teacher|. */
static void toy_distances(spx_stream *s, int l, float *all)
{
    float y[IMAGES * WIDEST], target[IMAGES * WIDEST], sum[WIDEST];
    const int n = (int)counts[l];
    const spx_operand oy = {y, n, SPX_TYPE_F32};
    memset(all, 0, (size_t)n * sizeof *all);
    for (int b = 0; b < 2; b++) {
        for (int i = 0; i < IMAGES; i++) {
            for (int k = 0; k < n; k++) {
                y[i * n + k] = fmaxf(0, (drawn(l, b, i, k, 0) - 48 + (float)(6 * k)) / 32);
                target[i * n + k] = fmaxf(0, (drawn(l, b, i, k, 1) - 40) / 32);
            }
        }
        CHECK_OK(spx_relu_distance(s, IMAGES, n, 1, oy, target, sum));
        for (int k = 0; k < n; k++) {
            all[k] += sum[k];
        }
    }
}

/* Neighbouring distances are 0.5 % apart. */
SPX_TEST(senet_keeps_of_each_layer_what_the_published_rule_keeps)
{
    static const struct {
        double share[LAYERS];
        int64_t budget;
        const char *mask[LAYERS];
    } golden[] = {{{0.5, 0.2, 0.8}, 6, {"001001", "00001", "1011"}},
                  {{0.1, 0.2, 0.6}, 4, {"000001", "00001", "0011"}}};
    float distance[WIDEST], mask[WIDEST];
    spx_stream *s;
    SPX_UNUSED;
    CHECK_OK(spx_stream_open(&s, &(spx_stream_options){.device = SPX_DEVICE_CPU, .threads = 2}));
    for (size_t g = 0; g < sizeof golden / sizeof golden[0]; g++) {
        double weight[LAYERS];
        int64_t share[LAYERS];
        for (int l = 0; l < LAYERS; l++) {
            weight[l] = golden[g].share[l] * (double)counts[l];
        }
        CHECK_OK(spx_linear_share(LAYERS, weight, counts, golden[g].budget, share));
        for (int l = 0; l < LAYERS; l++) {
            const spx_linear_layer layer = {counts[l], distance, mask};
            toy_distances(s, l, distance);
            CHECK_OK(spx_linear_keep(&layer, 1, share[l]));
            for (int64_t i = 0; i < counts[l]; i++) {
                assert_int_equal(mask[i] == 1.0f, golden[g].mask[l][i] == '1');
            }
        }
    }
    spx_stream_destroy(s);
}

/* ---- snl ---- */

enum { POSITIONS = 15, STEPS = 10, EPOCHS = 40 };

typedef struct snl_toy {
    spx_scalars scalars;
    spx_guard guard;
    float a[POSITIONS], m[POSITIONS], v[POSITIONS], g[POSITIONS];
} snl_toy;

/* The loss falls by a mask as much as it is worth, but for noise. */
static void toy_epoch(spx_stream *s, snl_toy *t, int e, float penalty)
{
    for (int b = e * STEPS; b < (e + 1) * STEPS; b++) {
        for (int l = 0, i = 0; l < LAYERS; l++) {
            for (int k = 0; k < (int)counts[l]; k++, i++) {
                t->g[i] = (drawn(l, b, 5, k, 0) - 48) / 97 * 1e-3f -
                          (drawn(l, 0, 3, k, 1) + 1) / 97 * 1e-2f;
            }
        }
        t->scalars.adam_t = (uint64_t)b + 1;
        CHECK_OK(spx_adam_masks(s, POSITIONS, 0.05f, 0.9f, 0.999f, &penalty, &t->scalars.adam_t,
                                &t->guard, t->g, t->m, t->v, t->a));
    }
}

/* Masks at the ends of epochs, and at the choice, are 0.002 or more from what would change it; 200
 * steps in single precision move them by some 1e-5. */
SPX_TEST(snl_keeps_what_the_published_rule_keeps_and_the_budget_exactly)
{
    static const struct {
        int64_t budget, above;
        int epochs;
        double penalty;
        const char *mask[LAYERS];
    } golden[] = {{12, 12, 10, 0.003712930000000001, {"101111", "01111", "1101"}},
                  {8, 7, 17, 0.010604499373000004, {"100101", "01101", "0101"}},
                  {3, 2, 20, 0.01792160394037001, {"000100", "01100", "0000"}}};
    spx_stream *s;
    SPX_UNUSED;
    CHECK_OK(spx_stream_open(&s, &(spx_stream_options){.device = SPX_DEVICE_CPU, .threads = 2}));
    for (size_t n = 0; n < sizeof golden / sizeof golden[0]; n++) {
        snl_toy t = {.guard = {.clip = 1, .ok = 1}};
        spx_snl rule = {.penalty = 1e-3, .growth = 1.3, .least = POSITIONS};
        char text[LAYERS][8];
        int64_t above = POSITIONS;
        int e = 0;
        for (int i = 0; i < POSITIONS; i++) {
            t.a[i] = 1;
        }
        for (bool done = false; !done && e < EPOCHS; e++) {
            toy_epoch(s, &t, e, (float)rule.penalty);
            above = 0;
            for (int i = 0; i < POSITIONS; i++) {
                above += t.a[i] > SPX_SNL_THRESHOLD;
            }
            done = spx_snl_judge(&rule, above, golden[n].budget, e >= 2);
        }
        assert_int_equal(e, golden[n].epochs);
        assert_int_equal(above, golden[n].above);
        assert_true(fabs(rule.penalty / golden[n].penalty - 1) < 1e-12);
        keep((float *const[3]){t.a, t.a + 6, t.a + 11}, counts, golden[n].budget, text);
        for (int l = 0; l < LAYERS; l++) {
            assert_string_equal(text[l], golden[n].mask[l]);
        }
    }
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(the_number_kept_falls_as_published),
        SPX_UNIT(choices_are_made_every_so_many_steps_and_at_the_latest_as_the_budget_begins),
        SPX_UNIT(the_highest_of_all_layers_are_kept_and_of_equal_ones_the_first),
        SPX_UNIT(as_many_are_kept_as_were_asked_for_whatever_the_scores),
        SPX_UNIT(relupruner_keeps_what_the_published_formulas_keep),
        SPX_UNIT(shares_of_layers_come_to_the_budget_exactly),
        SPX_UNIT(senet_keeps_of_each_layer_what_the_published_rule_keeps),
        SPX_UNIT(snl_keeps_what_the_published_rule_keeps_and_the_budget_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
