/* Quantised networks: what they compute, and that their widths hold. */
#include "tests/model/quantise_fixture.h"

#include "host/model/quantise_private.h"

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
                    const int64_t least = m->value[v].is_signed ? -((int64_t)1 << bits) : 0;
                    assert_true(x >= least && x < (int64_t)1 << bits);
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
        spx_final_config c = made_small;
        made t;
        c.input.channels = seed % 2 == 0 ? 1 : 3;
        c.init_channels = 1 + (int64_t)(seed % 3);
        made_open(&t, &g, &c, seed, &o);
        check_widths(t.m, 58);
        check_values(&t);
        made_drop(&t);
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
    spx_final_config c = made_small;
    c.n_reduce = 0;
    c.layers = 3;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        const spx_quantise_options o = {.weight_bits = steps[i].bits,
                                        .activation_bits = steps[i].bits,
                                        .most_bits = steps[i].most};
        made t;
        made_open(&t, &spx_genotype_published, &c, 5, &o);
        const double now = made_distance(&t);
        assert_true(now < last);
        last = now;
        made_drop(&t);
    }
    assert_true(last < 0.05);
}

static int count_ops(const spx_deploy *m, spx_deploy_op_kind kind)
{
    int n = 0;
    for (int i = 0; i < m->n_ops; i++) {
        n += m->op[i].kind == kind;
    }
    return n;
}

/*
 * Three of four additions are of an activation itself: PICKs. What is left are the stem's, two
 * convolutions a block, one shortcut's and the classifier.
 */
SPX_TEST(identity_paths_of_residual_blocks_become_shifts)
{
    SPX_UNUSED;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        const spx_quantise_options o = {.weight_bits = 11, .activation_bits = 11, .most_bits = 62};
        spx_final_config c = made_small;
        made t;
        c.init_channels = 6;
        made_open(&t, NULL, &c, seed, &o);
        assert_int_equal(count_ops(t.m, SPX_DEPLOY_PICK), 3);
        assert_int_equal(count_ops(t.m, SPX_DEPLOY_CONV), 1 + 2 * 4 + 1 + 1);
        assert_int_equal(t.m->max_depth, 1);
        check_widths(t.m, 62);
        check_values(&t);
        assert_true(made_distance(&t) <
                    0.01); /* 9 roundings of 2^-11 of a range 8 times the typical */
        made_drop(&t);
    }
}

/* Within the bound of the unmasked networks above: a clamp holds what the images asked for. */
/* The clamp is the ReLU6's: the top of every activation stands for 6 at most, ties or not. */
SPX_TEST(what_a_relu6_cuts_off_is_what_the_clamp_cuts_off)
{
    SPX_UNUSED;
    const spx_quantise_options o = {.weight_bits = 11, .activation_bits = 11, .most_bits = 62};
    made t;
    double **tied;
    int sixes = 0, relu = 0;
    made_open(&t, NULL, &made_small, 1, &o);
    for (int i = 0; i < t.fold->n_ops; i++) { /* as from an unlucky calibration */
        for (int64_t c = 0; t.fold->op[i].d.kind == SPX_DEPLOY_RELU && c < 3; c++) {
            t.clip[relu][c] = 5 + 3.0 * (double)c;
        }
        relu += t.fold->op[i].d.kind == SPX_DEPLOY_RELU;
    }
    CHECK_OK(spx_tie_clips(&tied, t.fold, (const double *const *)t.clip));
    relu = 0;
    for (int i = 0; i < t.fold->n_ops; i++) {
        const spx_fold_op *op = &t.fold->op[i];
        for (int64_t c = 0; op->most > 0 && c < t.fold->value[op->d.out].c; c++) {
            assert_true(op->most == 6 && tied[relu][c] <= 6);
            sixes += tied[relu][c] == 6;
        }
        relu += op->d.kind == SPX_DEPLOY_RELU;
    }
    assert_true(sixes > 0);
    spx_free(tied);
    made_drop(&t);
}

SPX_TEST(masked_networks_come_as_close_to_the_float_network)
{
    SPX_UNUSED;
    static const char *const masks[] = {"e", "n", "c", "acen", "ca"};
    const spx_quantise_options o = {.weight_bits = 11, .activation_bits = 11, .most_bits = 62};
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        for (int kind = 0; kind < 2; kind++) {
            spx_final_config c = made_small;
            made t;
            c.n_reduce = 0;
            c.layers = 2;
            made_open_masked(&t, kind == 0 ? &spx_genotype_published : NULL, &c, i + 1, &o,
                             masks[i]);
            assert_int_equal(spx_deploy_relus(t.m), t.net.kept);
            check_widths(t.m, 62);
            check_values(&t);
            /* The clamp beside a ReLU6's kept elements is at 6 for dropped ones too. */
            const bool cut = kind == 1 && masks[i][0] == 'e';
            assert_true(made_distance(&t) < (cut ? 0.1 : 0.01));
            made_drop(&t);
        }
    }
}

SPX_TEST(segments_that_are_too_wide_lose_weight_bits_and_say_so)
{
    SPX_UNUSED;
    const spx_quantise_options o = {.most_bits = 32};
    bool lowered = false;
    made t;
    made_open(&t, &spx_genotype_published, &made_small, 3, &o);
    check_widths(t.m, 32);
    check_values(&t);
    for (int s = 0; s < t.m->n_segments; s++) {
        assert_true(t.segment[s].composed);
        lowered = lowered || t.segment[s].weight_bits < 8;
    }
    assert_true(lowered);
    made_drop(&t);
}

SPX_TEST(calibration_refuses_arenas_in_the_memory_of_a_device)
{
    spx_final_config c = made_small;
    double **clip;
    made t = {0};
    SPX_UNUSED;
    c.batch = MADE_BATCH;
    net_open(&t.net, &spx_genotype_published, &c, 3);
    const spx_fold_input network = net_source(&t.net);
    CHECK_OK(spx_fold_create(&t.fold, &network));
    for (int i = 0; i < 2; i++) {
        spx_calibrate_source s = made_calibration(&t);
        *(i == 0 ? &s.weights.device : &s.state.device) = SPX_DEVICE_CUDA;
        CHECK_FAILS(SPX_EINVAL, spx_calibrate(&clip, &s, t.net.stream, 8));
        assert_null(clip);
    }
    made_drop(&t);
}

SPX_TEST(bad_options_are_refused)
{
    SPX_UNUSED;
    static const spx_quantise_options bad[] = {
        {.weight_bits = 1}, {.weight_bits = 13}, {.activation_bits = 13}, {.most_bits = 63}};
    const spx_quantise_options good = {0};
    made t;
    spx_deploy *m;
    made_open(&t, &spx_genotype_published, &made_small, 3, &good);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_FAILS(SPX_EINVAL,
                    spx_quantise(&m, t.fold, (const double *const *)t.clip, &bad[i], NULL, NULL));
    }
    made_drop(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(random_networks_of_every_wiring_quantise_within_their_widths),
        SPX_UNIT(finer_weights_and_activations_come_closer_to_the_float_network),
        SPX_UNIT(identity_paths_of_residual_blocks_become_shifts),
        SPX_UNIT(what_a_relu6_cuts_off_is_what_the_clamp_cuts_off),
        SPX_UNIT(masked_networks_come_as_close_to_the_float_network),
        SPX_UNIT(segments_that_are_too_wide_lose_weight_bits_and_say_so),
        SPX_UNIT(calibration_refuses_arenas_in_the_memory_of_a_device),
        SPX_UNIT(bad_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
