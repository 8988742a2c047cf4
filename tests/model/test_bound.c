/* Proven widths: no input exceeds them, and some input comes as close as they say. */
#include "tests/model/deploy_fixture.h"

#include "host/model/bound.h"

/* Linear coefficients of the first segment's output element e: differences of the executor. */
static void coefficients(const spx_deploy *m, int v, size_t e, double *c, double *bias,
                         uint8_t *image, int64_t *values)
{
    const size_t n = spx_deploy_count(m, 0), at = spx_deploy_begin(m, v) + e;
    memset(image, 0, n);
    CHECK_OK(spx_deploy_run_values(m, NULL, image, values));
    *bias = (double)values[at];
    for (size_t i = 0; i < n; i++) {
        image[i] = 1;
        CHECK_OK(spx_deploy_run_values(m, NULL, image, values));
        image[i] = 0;
        c[i] = (double)values[at] - *bias;
    }
}

/*
 * The inputs that make an element of v largest and least: their values, by the executor, lie
 * within the bound. *high, *low: the extremes of the element.
 */
static void check_extremes(deploy_fixture *f, const spx_deploy *m, int v, size_t e,
                           const spx_bound *b, double *low, double *high)
{
    const size_t n = spx_deploy_count(m, 0);
    uint8_t *image = pile_bytes(&f->pile, n);
    double *c = pile_bytes(&f->pile, n * sizeof *c), bias;
    int64_t *values = pile_bytes(&f->pile, spx_deploy_total(m) * sizeof *values);
    coefficients(m, v, e, c, &bias, image, values);
    for (int sign = 0; sign < 2; sign++) {
        double expected = bias;
        for (size_t i = 0; i < n; i++) {
            image[i] = (c[i] > 0) == (sign == 0) ? 255 : 0;
            expected += c[i] * image[i];
        }
        CHECK_OK(spx_deploy_run_values(m, NULL, image, values));
        const double got = (double)values[spx_deploy_begin(m, v) + e];
        assert_true(got == expected);
        assert_true(got >= b->low && got <= b->high);
        *(sign == 0 ? high : low) = got;
    }
}

static void bound_of(const deploy_fixture *f, const spx_deploy *m, int v, double macs,
                     spx_bound *out)
{
    const spx_deploy_draft d = {.value = f->value,
                                .op = f->op,
                                .n_values = f->n_values,
                                .n_ops = f->n_ops,
                                .logits = m->logits,
                                .logit_scale = 1};
    spx_bound all[FIXTURE_MAX];
    bool asked[FIXTURE_MAX] = {false};
    asked[v] = true;
    CHECK_OK(spx_bound_all(&d, NULL, macs, false, asked, all, NULL, NULL));
    *out = all[v];
}

SPX_TEST(worst_inputs_stay_within_both_kinds_of_bound)
{
    SPX_UNUSED;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        deploy_fixture f;
        spx_bound composed, interval;
        spx_deploy *m = fixture_model(&f, seed);
        const int v = m->op[m->relu[0]].in;
        double low, high;
        bound_of(&f, m, v, INFINITY, &composed);
        bound_of(&f, m, v, 0, &interval);
        assert_true(composed.composed && !interval.composed);
        assert_true(composed.high <= interval.high && composed.low >= interval.low);
        assert_true(composed.high < 0.5 * interval.high); /* random signs cancel */
        for (size_t e = 0; e < spx_deploy_count(m, v); e += 53) {
            check_extremes(&f, m, v, e, &composed, &low, &high);
        }
        spx_deploy_destroy(m);
        fixture_clear(&f);
    }
}

/* image -> 3x3 -> 3x3 -> ReLU without padding: no element's map is cut. */
static spx_deploy *two_convolutions(deploy_fixture *f, uint64_t seed, uint32_t dropped)
{
    spx_deploy *m;
    memset(f, 0, sizeof *f);
    spx_rng_init(&f->rng, seed, SPX_RNG_TEST, 3);
    const int image = fixture_value(f, SPX_DEPLOY_IMAGE, 2, 9, 9);
    const int a = fixture_value(f, SPX_DEPLOY_LINEAR, 4, 7, 7);
    fixture_conv(f, image, a, 3, 1, 1, 0);
    fixture_bias(f, a);
    const int u = fixture_value(f, SPX_DEPLOY_LINEAR, 3, 5, 5);
    fixture_conv(f, a, u, 3, 1, 1, 0);
    fixture_bias(f, u);
    const int x = fixture_relu(f, u, 10);
    if (dropped > 0) {
        fixture_mask(f, dropped);
    }
    const int sum = fixture_value(f, SPX_DEPLOY_LINEAR, 3, 1, 1);
    fixture_pool(f, x, sum, 5, 1, 0, 5);
    const int logits = fixture_value(f, SPX_DEPLOY_LINEAR, 2, 1, 1);
    fixture_conv(f, sum, logits, 1, 1, 1, 0);
    const spx_deploy_draft draft = {.value = f->value,
                                    .op = f->op,
                                    .n_values = f->n_values,
                                    .n_ops = f->n_ops,
                                    .logits = logits,
                                    .logit_scale = 1};
    CHECK_OK(spx_deploy_create(&m, &draft, NULL));
    return m;
}

/* Logits are sums of 25 elements a channel, which are 0 or more, or -256 or more where the mask
 * drops one of the channel. */
SPX_TEST(bounds_of_what_reads_a_masked_activation_know_its_sign)
{
    SPX_UNUSED;
    deploy_fixture f;
    spx_deploy *m = two_convolutions(&f, 1, 2);
    const spx_deploy_op *op = &m->op[m->relu[0]], *last = &m->op[m->n_ops - 1];
    double low = 0, high = 0;
    for (int64_t k = 0; k < 2; k++) {
        double one[2] = {0};
        for (int64_t c = 0; c < 3; c++) {
            bool is_signed = false;
            for (size_t j = 0; j < 25; j++) {
                is_signed = is_signed || !spx_deploy_keeps(op, (size_t)c * 25 + j);
            }
            assert_int_equal(is_signed, c > 0);
            const double w = 25.0 * last->weights[k * 3 + c], least = is_signed ? -256 : 0;
            one[0] += fmin(w * 255, w * least);
            one[1] += fmax(w * 255, w * least);
        }
        low = fmin(low, one[0]);
        high = fmax(high, one[1]);
    }
    for (int composed = 0; composed < 2; composed++) {
        spx_bound b;
        bound_of(&f, m, m->logits, composed == 1 ? INFINITY : 0, &b);
        assert_int_equal(b.composed, composed);
        assert_true(fabs(b.low - low) < 4 && fabs(b.high - high) < 4); /* rounded outwards */
    }
    spx_deploy_destroy(m);
    fixture_clear(&f);
}

SPX_TEST(the_bound_is_the_largest_value_an_input_reaches)
{
    SPX_UNUSED;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        deploy_fixture f;
        spx_bound b, interval;
        spx_deploy *m = two_convolutions(&f, seed, 0);
        const int v = m->op[m->relu[0]].in;
        double low = 0, high = 0;
        bound_of(&f, m, v, INFINITY, &b);
        bound_of(&f, m, v, 0, &interval);
        for (size_t e = 0; e < spx_deploy_count(m, v); e++) {
            double l, h;
            check_extremes(&f, m, v, e, &b, &l, &h);
            low = fmin(low, l);
            high = fmax(high, h);
        }
        /* What rounding of doubles is allowed: 2^-28 of the size without cancelling, and 2. */
        const double slack = ldexp(fmax(interval.high, -interval.low), -27) + 4;
        assert_true(b.high - high <= slack && low - b.low <= slack);
        spx_deploy_destroy(m);
        fixture_clear(&f);
    }
}

SPX_TEST(threads_find_the_same_bound)
{
    SPX_UNUSED;
    deploy_fixture f;
    spx_bound one[FIXTURE_MAX], three[FIXTURE_MAX];
    bool asked[FIXTURE_MAX] = {false};
    spx_pool *pool;
    spx_deploy *m = fixture_model(&f, 9);
    const spx_deploy_draft d = {.value = f.value,
                                .op = f.op,
                                .n_values = f.n_values,
                                .n_ops = f.n_ops,
                                .logits = m->logits,
                                .logit_scale = 1};
    for (int i = 0; i < m->n_segments - 1; i++) {
        asked[m->op[m->relu[i]].in] = true;
    }
    asked[m->logits] = true;
    CHECK_OK(spx_pool_create(&pool, 3));
    CHECK_OK(spx_bound_all(&d, NULL, INFINITY, false, asked, one, NULL, NULL));
    CHECK_OK(spx_bound_all(&d, pool, INFINITY, false, asked, three, NULL, NULL));
    for (int v = 0; v < m->n_values; v++) {
        assert_true(one[v].low == three[v].low && one[v].high == three[v].high);
    }
    spx_pool_destroy(pool);
    spx_deploy_destroy(m);
    fixture_clear(&f);
}

/* The bounds of n convolutions of one channel, one behind the other. */
static spx_status bound_chain(int n)
{
    enum { MOST = 40 };
    static const int32_t weight = 1;
    spx_deploy_value value[MOST + 1] = {
        {.kind = SPX_DEPLOY_IMAGE, .c = 1, .h = 1, .w = 1, .bits = 8}};
    spx_deploy_op op[MOST];
    spx_bound all[MOST + 1];
    const bool asked[MOST + 1] = {false};
    const spx_deploy_draft d = {
        .value = value, .op = op, .n_values = n + 1, .n_ops = n, .logits = n, .logit_scale = 1};
    assert_true(n <= MOST);
    for (int i = 0; i < n; i++) {
        value[i + 1] = (spx_deploy_value){.kind = SPX_DEPLOY_LINEAR, .c = 1, .h = 1, .w = 1};
        op[i] = (spx_deploy_op){.kind = SPX_DEPLOY_CONV,
                                .in = i,
                                .out = i + 1,
                                .size = 1,
                                .stride = 1,
                                .dilation = 1,
                                .weights = &weight};
    }
    return spx_bound_all(&d, NULL, 0, false, asked, all, NULL, NULL);
}

SPX_TEST(sums_too_deep_for_the_rounding_allowed_are_refused)
{
    SPX_UNUSED;
    CHECK_OK(bound_chain(31));
    CHECK_FAILS(SPX_EUNSUPPORTED, bound_chain(32));
    assert_non_null(strstr(spx_error_message(), "op 31"));
}

SPX_TEST(bits_hold_the_bound_and_no_fewer_do)
{
    SPX_UNUSED;
    static const struct {
        double low, high;
        int bits;
    } cases[] = {{0, 0, 1},        {-1, 0, 1},      {0, 1, 2},        {-2, 1, 2},
                 {-3, 1, 3},       {0, 0x1p40, 42}, {-0x1p40, 0, 41}, {0, 0x1p40 - 1, 41},
                 {-0x1p62, 1, 63}, {0, 0x1p80, 64}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const spx_bound b = {.low = cases[i].low, .high = cases[i].high};
        assert_int_equal(spx_bound_bits(&b), cases[i].bits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(worst_inputs_stay_within_both_kinds_of_bound),
        SPX_UNIT(bounds_of_what_reads_a_masked_activation_know_its_sign),
        SPX_UNIT(the_bound_is_the_largest_value_an_input_reaches),
        SPX_UNIT(threads_find_the_same_bound),
        SPX_UNIT(sums_too_deep_for_the_rounding_allowed_are_refused),
        SPX_UNIT(bits_hold_the_bound_and_no_fewer_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
