/* norm_sum on CUDA against its specification in double, on operands that lie in every way. */
#include "tests/support/spx_devices.h"

#include "kernels/nn/norm_sum/norm_sum_cuda.h"
#include "tests/nn/network_sizes.h"
#include "tests/nn/norm_sum_problem.h"

/* A problem whose operands are what the device's type can hold, and its copy there. */
typedef struct twin {
    problem q;
    spx_norm_term_cuda term[SPX_NORM_SUM_MAX];
    device_tensor y, dy;
    void *scratch;
} twin;

/* Term j lies in form (first + j); all alike where `alike`. */
static tensor_form form_of(int first, int j, bool alike)
{
    return (tensor_form)((first + (alike ? 0 : j)) % FORMS);
}

static device_tensor operand(device_env *e, const problem *q, const float *x, tensor_form form)
{
    return env_tensor(e, x, q->stride, (size_t)q->d.n, (size_t)q->d.c, (size_t)q->d.hw, form);
}

static void *scratch_of(device_env *e, size_t bytes)
{
    void *p = env_bytes(e, bytes);
    unsigned char *dirt = pile_bytes(&e->p, bytes);
    memset(dirt, 0xff, bytes); /* NaN: its contents may not matter */
    env_put(e, p, dirt, bytes);
    return p;
}

static void twin_init(device_env *e, twin *t, const norm_case *k, int first, bool alike)
{
    problem *q = &t->q;
    problem_init(q, k, 0.5f);
    for (int j = 0; j < q->k; j++) {
        const spx_norm_term *from = &q->term[j];
        const size_t c = k->c;
        float *x = pile_copy(&q->p, from->x, q->all);
        round_to_type(e->type, x, q->all);
        q->term[j].x = x;
        t->term[j] = (spx_norm_term_cuda){.x = operand(e, q, x, form_of(first, j, alike)).x,
                                          .mean = env_floats(e, from->mean, c),
                                          .invstd = env_floats(e, from->invstd, c),
                                          .gamma = env_floats(e, from->gamma, c),
                                          .beta = env_floats(e, from->beta, c),
                                          .coef = env_floats(e, from->coef, 1),
                                          .mask = env_floats(e, from->mask, k->n)};
    }
    round_to_type(e->type, q->y, q->all);
    round_to_type(e->type, q->dy, q->all);
    t->y = operand(e, q, q->y, form_of(first, 1, alike));
    t->dy = operand(e, q, q->dy, form_of(first, 2, alike));
    t->scratch = scratch_of(e, spx_norm_sum_reduce_cuda_workspace(&q->d, q->k));
}

static void twin_clear(device_env *e, twin *t)
{
    env_clear(e);
    pile_clear(&t->q.p);
}

static void check_forward(device_env *e, twin *t)
{
    problem *q = &t->q;
    spx_norm_sum_args a = ref_args(q);
    float *y = pile_copy(&q->p, q->y, q->all), *want = pile_copy(&q->p, q->y, q->all);
    double *bound = pile_bytes(&q->p, q->all * sizeof *bound);
    const device_tensor out = operand(e, q, q->y, t->y.offset == 8 ? FORM_SLICE : FORM_DENSE);
    CHECK_OK(spx_norm_sum_forward_cuda(e->s, &q->d, q->k, t->term, q->relu, out.x));
    env_read(e, &out, y, q->stride);
    a.out = want;
    a.out_stride = q->stride;
    spx_norm_sum_forward_ref(&a);
    forward_bound(q, bound);
    for (size_t i = 0; i < q->all; i++) {
        bound[i] = env_stored(e, bound[i], (double)want[i]);
    }
    spx_check_bounded("y", y, want, bound, q->all);
}

static void run_backward(device_env *e, twin *t, const grads *g, bool accumulate)
{
    const problem *q = &t->q;
    const size_t c = (size_t)q->d.c;
    spx_norm_grad d[SPX_NORM_SUM_MAX];
    device_tensor dx[SPX_NORM_SUM_MAX];
    unsigned char *read[SPX_NORM_SUM_MAX];
    for (int j = 0; j < q->k; j++) {
        const spx_norm_grad *h = &g->g[j];
        d[j] = (spx_norm_grad){.sum_dy = env_floats(e, h->sum_dy, c),
                               .sum_dy_xhat = env_floats(e, h->sum_dy_xhat, c),
                               .dgamma = env_floats(e, h->dgamma, c),
                               .dbeta = env_floats(e, h->dbeta, c),
                               .accumulate_affine = accumulate,
                               .dcoef = env_floats(e, h->dcoef, 1),
                               .accumulate_coef = accumulate};
    }
    CHECK_OK(spx_norm_sum_backward_reduce_cuda(e->s, &q->d, q->k, t->term, q->relu, t->y.x, t->dy.x,
                                               d, t->scratch));
    for (int j = 0; j < q->k; j++) {
        const spx_norm_grad *h = &g->g[j];
        const bool bn = q->term[j].mean != NULL;
        float *const to[] = {h->sum_dy, h->sum_dy_xhat, h->dgamma, h->dbeta, h->dcoef};
        const float *const from[] = {d[j].sum_dy, d[j].sum_dy_xhat, d[j].dgamma, d[j].dbeta,
                                     d[j].dcoef};
        dx[j] = operand(e, q, g->dx[j], (tensor_form)(j % FORMS));
        for (int i = 0; i < 5; i++) {
            if (to[i] != NULL) {
                env_queue_fetch(e, to[i], from[i], (i < 4 ? c : 1) * sizeof(float));
            }
        }
        CHECK_OK(spx_norm_sum_backward_apply_cuda(e->s, &q->d, &t->term[j], bn ? d[j].sum_dy : NULL,
                                                  bn ? d[j].sum_dy_xhat : NULL, q->relu, t->y.x,
                                                  t->dy.x, accumulate, dx[j].x));
        read[j] = env_queue_read(e, &dx[j]);
    }
    env_settle(e);
    for (int j = 0; j < q->k; j++) {
        tensor_unpack(&dx[j], read[j], g->dx[j], q->stride);
    }
}

static void check_backward(device_env *e, twin *t, bool accumulate)
{
    problem *q = &t->q;
    static grads got, want;
    grads_init(q, &got, accumulate);
    grads_init(q, &want, accumulate);
    for (int j = 0; j < q->k; j++) {
        round_to_type(e->type, got.dx[j], q->all);
        round_to_type(e->type, want.dx[j], q->all);
    }
    run_backward(e, t, &got, accumulate);
    run_backward_ref(q, &want, accumulate);
    check_reductions(q, &got, &want);
    for (int j = 0; j < q->k; j++) {
        /* as on the CPU: six roundings of parts about as large as the whole, and the reductions'
         * own error over M; bf16 rounds each result once */
        CHECK_CLOSE(got.dx[j], want.dx[j], q->all,
                    128 * SPX_U + (e->type == SPX_TYPE_BF16 ? SPX_U_BF16 : 0));
    }
}

static void cases_body(device_env *e, void *ctx)
{
    static twin t;
    (void)ctx;
    for (size_t i = 0; i < 4 * NORM_CASES; i++) {
        norm_case k = norm_cases[i / 4];
        if (i % 4 >= 2) { /* channels that fill vectors, alone or four pixels at a time */
            k.c = i % 4 == 2 ? 8 * k.c : 5;
            k.hw = (k.hw + 7) / 8 * 4;
        }
        twin_init(e, &t, &k, (int)i, i % 4 != 0);
        check_forward(e, &t);
        check_backward(e, &t, i % 2 == 1);
        twin_clear(e, &t);
    }
}

SPX_TEST(both_passes_equal_the_formula_however_operands_lie)
{
    SPX_UNUSED;
    on_each(cases_body, NULL);
}

static void networks_body(device_env *e, void *ctx)
{
    static twin t;
    (void)ctx;
    for (size_t i = 0; i < NETWORK_SIZES * NETWORK_TERMS; i++) {
        const network_size *size = &network_sizes[i / NETWORK_TERMS];
        const norm_case k = {.n = 2,
                             .c = (size_t)size->c,
                             .hw = (size_t)(size->side * size->side),
                             .k = network_terms[i % NETWORK_TERMS],
                             .relu = true,
                             .parts = {BN | COEF, BN | COEF, BN | AFFINE | COEF, COEF}};
#ifdef SPX_CUDA_EMULATED /* slow: many terms of the smallest images only */
        if (k.k > 6 && k.hw > 64) {
            continue;
        }
#endif
        twin_init(e, &t, &k, 0, true);
        check_forward(e, &t);
        check_backward(e, &t, true);
        twin_clear(e, &t);
    }
}

SPX_TEST(both_passes_equal_the_formula_at_the_networks_sizes)
{
    SPX_UNUSED;
    on_each(networks_body, NULL);
}

/* More channels than a block spans; the most terms, in more layers than a block has. */
static void wide_body(device_env *e, void *ctx)
{
    static const norm_case wide[] = {
        {2, 300, 9, 2, 0, true, {BN | AFFINE | COEF, BN}},
        {3, 133, 4, SPX_NORM_SUM_MAX, 0, false, {BN | COEF | MASK, BN, COEF, BN | AFFINE}},
        {65, 160, 1, 9, 0, true, {BN | COEF, 0, MASK, BN | AFFINE}},
    };
    static twin t;
    (void)ctx;
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        twin_init(e, &t, &wide[i], (int)i, true);
        check_forward(e, &t);
        check_backward(e, &t, false);
        twin_clear(e, &t);
    }
}

SPX_TEST(more_channels_and_terms_than_a_block_holds)
{
    SPX_UNUSED;
    on_each(wide_body, NULL);
}

/* Terms may have parameters in common (a sum of sums that is scaled as one): theirs add up. */
#define SHARING 7
static void shared_body(device_env *e, void *ctx)
{
    enum { C = 5, ALL = BN | AFFINE | COEF };
    static const norm_case k = {3, C, 49, SHARING, 0, false, {ALL, ALL, ALL, ALL}};
    static const float zero[C];
    static twin t;
    float own[SHARING][3][C] = {{{0}}}, got[2][3][C], *device[SHARING][3], *shared[2][3];
    spx_norm_grad g[SHARING];
    (void)ctx;
    twin_init(e, &t, &k, 0, true);
    for (int both = 0; both < 2; both++) { /* gradients of its own for each term, then shared */
        for (int j = 0; j < SHARING; j++) {
            for (int i = 0; i < 3; i++) {
                device[j][i] = j > 1 && both ? shared[j % 2][i] : env_floats(e, zero, C);
                shared[j % 2][i] = device[j][i];
            }
            g[j] = (spx_norm_grad){.sum_dy = env_floats(e, zero, C),
                                   .sum_dy_xhat = env_floats(e, zero, C),
                                   .dgamma = device[j][0],
                                   .dbeta = device[j][1],
                                   .dcoef = device[j][2],
                                   .accumulate_affine = j > 1,
                                   .accumulate_coef = j > 1};
        }
        CHECK_OK(spx_norm_sum_backward_reduce_cuda(e->s, &t.q.d, SHARING, t.term, false, t.y.x,
                                                   t.dy.x, g, t.scratch));
        for (int j = 0; j < (both ? 2 : SHARING); j++) {
            for (int i = 0; i < 3; i++) {
                env_queue_fetch(e, both ? got[j][i] : own[j][i], device[j][i], sizeof zero);
            }
        }
        env_settle(e);
    }
    for (int i = 0; i < 2 * 3 * C; i++) {
        float want[1] = {0};
        double size = 0, bound;
        for (int j = i / (3 * C); j < SHARING; j += 2) {
            want[0] += own[j][i / C % 3][i % C];
            size += fabs((double)own[j][i / C % 3][i % C]);
        }
        bound = 2 * (SHARING + 1) * SPX_U * size; /* parts and sums are rounded on both sides */
        spx_check_bounded("shared", &got[i / (3 * C)][i / C % 3][i % C], want, &bound, 1);
    }
    twin_clear(e, &t);
}

SPX_TEST(terms_with_parameters_in_common_add_to_their_gradients_in_one_order)
{
    SPX_UNUSED;
    on_each(shared_body, NULL);
}

static void in_place_body(device_env *e, void *ctx)
{
    static twin t;
    static grads want;
    problem *q = &t.q;
    float *got;
    (void)ctx;
    twin_init(e, &t, &norm_cases[9], 0, true);
    grads_init(q, &want, false);
    run_backward_ref(q, &want, false);
    got = pile_copy(&q->p, q->dy, q->all);
    float *sum_dy = env_floats(e, want.g[0].sum_dy, 1);
    float *sum_dy_xhat = env_floats(e, want.g[0].sum_dy_xhat, 1);
    CHECK_OK(spx_norm_sum_backward_apply_cuda(e->s, &q->d, &t.term[0], sum_dy, sum_dy_xhat, q->relu,
                                              t.y.x, t.dy.x, false, t.dy.x));
    env_read(e, &t.dy, got, q->stride);
    CHECK_CLOSE(got, want.dx[0], q->all, 128 * SPX_U + (e->type == SPX_TYPE_BF16 ? SPX_U_BF16 : 0));
    twin_clear(e, &t);
}

SPX_TEST(the_second_half_may_write_over_dy)
{
    SPX_UNUSED;
    on_each(in_place_body, NULL);
}

/* ---- statistics ---- */

static void check_stats(device_env *e, const stats_case *k, const float *x, tensor_form form,
                        double tol)
{
    const size_t stride = k->c * k->hw + k->gap;
    const spx_norm_dims d = {(int64_t)k->n, (int64_t)k->c, (int64_t)k->hw};
    const device_tensor t = env_tensor(e, x, stride, k->n, k->c, k->hw, form);
    float *out[6], *device[6], *want[6];
    void *scratch = scratch_of(e, spx_bn_stats_cuda_workspace(&d));
    for (int i = 0; i < 6; i++) { /* mean, invstd, two running means, two running variances */
        out[i] = pile_normal(&e->p, k->c, 1, 0.1f);
        want[i] = pile_copy(&e->p, out[i], k->c);
        device[i] = env_floats(e, out[i], k->c);
    }
    CHECK_OK(
        spx_bn_stats_cuda(e->s, &d, t.x, device[0], device[1], 2, device + 2, device + 4, scratch));
    for (int i = 0; i < 6; i++) {
        env_fetch(e, out[i], device[i], k->c * sizeof(float));
    }
    spx_bn_stats_ref(&(spx_bn_stats_args){k->n, k->c, k->hw, x, stride, want[0], want[1], 2,
                                          want + 2, want + 4, 0, 0, NULL});
    for (size_t c = 0; c < k->c; c++) {
        const double std = 1 / (double)want[1][c];
        assert_true(fabs((double)out[0][c] - (double)want[0][c]) <=
                    tol * std + 2 * SPX_U * fabs((double)want[0][c]));
        assert_true(fabs((double)out[1][c] / (double)want[1][c] - 1) <= tol / 2 + 2 * SPX_U);
    }
    for (int i = 2; i < 6; i++) {
        CHECK_CLOSE(out[i], want[i], k->c, tol + 4 * SPX_U);
    }
}

static void stats_cases_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < 3 * STATS_CASES; i++) {
        stats_case k = stats_cases[i / 3];
        k.c = i % 3 == 2 ? 4 * k.c : k.c;
        k.hw = i % 3 == 1 ? (k.hw + 3) / 4 * 4 : k.hw;
        const size_t all = k.n * (k.c * k.hw + k.gap);
        float *x = pile_normal(&e->p, all, k.mean, k.std);
        round_to_type(e->type, x, all);
        for (int form = 0; form < FORMS; form++) {
            /*
             * A thread's sums are of x less one of its values, of 64 values at most here; they lose
             * a factor of 64 of their digits if that value is the outlier, but values are normal,
             * so 16 = 4 deviations squared. Joined are at most 256 rows of threads, roundings of
             * random sign, in f32: 4 * sqrt(64 + 256) u and 17 for the cancellation.
             */
            check_stats(e, &k, x, (tensor_form)form, 17 * 4 * 18 * SPX_U);
        }
        env_clear(e);
    }
}

SPX_TEST(statistics_survive_a_mean_a_thousand_times_the_deviation)
{
    SPX_UNUSED;
    on_each(stats_cases_body, NULL);
}

/* The first pixel, row or image alone lies far off: the worst shift there is. */
static void outlier_body(device_env *e, void *ctx)
{
    const stats_case k = {64, 3, 64, 0, 0, 1};
    const size_t all = k.n * k.c * k.hw, far[] = {1, k.hw, k.c * k.hw};
    (void)ctx;
    for (size_t i = 0; i < 3; i++) {
        float *x = pile_normal(&e->p, all, 1, 1);
        for (size_t j = 0; j < far[i]; j++) {
            x[j] += 4096;
        }
        round_to_type(e->type, x, all);
        /* a block's first value is the origin of its means, and lies in its own variance: what a
         * block loses is the square root of its values, at most 64 */
        check_stats(e, &k, x, FORM_DENSE, 64 * 4 * 18 * SPX_U);
        env_clear(e);
    }
}

SPX_TEST(statistics_survive_an_outlying_first_pixel_row_or_image)
{
    SPX_UNUSED;
    on_each(outlier_body, NULL);
}

static void one_value_body(device_env *e, void *ctx)
{
    const spx_norm_dims d = {1, 1, 1};
    const float x = 3, one = 1;
    float mean, invstd, rm, rv, *dm = env_floats(e, &one, 1), *dv = env_floats(e, &one, 1);
    float *m = env_floats(e, &one, 1), *s = env_floats(e, &one, 1);
    const device_tensor t = env_tensor(e, &x, 1, 1, 1, 1, FORM_DENSE);
    void *scratch = scratch_of(e, spx_bn_stats_cuda_workspace(&d));
    (void)ctx;
    CHECK_OK(spx_bn_stats_cuda(e->s, &d, t.x, m, s, 1, &dm, &dv, scratch));
    env_fetch(e, &mean, m, sizeof mean);
    env_fetch(e, &invstd, s, sizeof invstd);
    env_fetch(e, &rm, dm, sizeof rm);
    env_fetch(e, &rv, dv, sizeof rv);
    assert_true(mean == 3);
    assert_true(fabs((double)invstd * sqrt(1e-5) - 1) <= 4 * SPX_U);
    assert_true(fabs((double)rm - 1.2) <= 2 * SPX_U && fabs((double)rv - 0.9) <= SPX_U);
    CHECK_OK(spx_bn_running_cuda(e->s, 1, dm, dv, m, s));
    env_fetch(e, &mean, m, sizeof mean);
    env_fetch(e, &invstd, s, sizeof invstd);
    assert_true(mean == rm);
    assert_true(fabs((double)invstd * sqrt((double)rv + 1e-5) - 1) <= 2 * SPX_U);
}

SPX_TEST(statistics_of_one_value_have_no_variance_and_evaluation_takes_the_running_ones)
{
    SPX_UNUSED;
    on_each(one_value_body, NULL);
}

static void nan_body(device_env *e, void *ctx)
{
    const spx_norm_dims d = {2, 1, 5};
    float x[10] = {1, 2, 3, 4, NAN, 6, 7, 8, 9, 10}, mean, invstd;
    float *m = env_floats(e, x, 1), *s = env_floats(e, x, 1);
    const device_tensor t = env_tensor(e, x, 5, 2, 1, 5, FORM_DENSE);
    (void)ctx;
    CHECK_OK(spx_bn_stats_cuda(e->s, &d, t.x, m, s, 0, NULL, NULL,
                               scratch_of(e, spx_bn_stats_cuda_workspace(&d))));
    env_fetch(e, &mean, m, sizeof mean);
    env_fetch(e, &invstd, s, sizeof invstd);
    assert_true(isnan(mean) && isnan(invstd)); /* or divergence would hide */
}

SPX_TEST(a_nan_reaches_the_statistics)
{
    SPX_UNUSED;
    on_each(nan_body, NULL);
}

static void bad_body(device_env *e, void *ctx)
{
    static twin t;
    spx_norm_grad g = {0};
    problem *q = &t.q;
    (void)ctx;
    twin_init(e, &t, &norm_cases[2], 0, true);
    const spx_norm_dims none = {0, 1, 1};
    spx_norm_term_cuda bad = t.term[0];
    bad.invstd = NULL;
    CHECK_FAILS(SPX_EINVAL,
                spx_norm_sum_forward_cuda(e->s, &q->d, SPX_NORM_SUM_MAX + 1, t.term, false, t.y.x));
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_forward_cuda(e->s, &none, 1, t.term, false, t.y.x));
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_forward_cuda(e->s, &q->d, 1, &bad, false, t.y.x));
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_backward_reduce_cuda(e->s, &q->d, 1, t.term, true, t.y.x,
                                                              t.dy.x, &g, t.scratch));
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_backward_apply_cuda(e->s, &q->d, t.term, NULL, NULL, false,
                                                             t.y.x, t.dy.x, false, t.dy.x));
    CHECK_FAILS(SPX_EINVAL,
                spx_bn_stats_cuda(e->s, &q->d, t.y.x, NULL, NULL, 0, NULL, NULL, t.scratch));
    twin_clear(e, &t);
}

SPX_TEST(bad_arguments_are_refused)
{
    SPX_UNUSED;
    on_each(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(both_passes_equal_the_formula_however_operands_lie),
        SPX_UNIT(both_passes_equal_the_formula_at_the_networks_sizes),
        SPX_UNIT(more_channels_and_terms_than_a_block_holds),
        SPX_UNIT(terms_with_parameters_in_common_add_to_their_gradients_in_one_order),
        SPX_UNIT(the_second_half_may_write_over_dy),
        SPX_UNIT(statistics_survive_a_mean_a_thousand_times_the_deviation),
        SPX_UNIT(statistics_survive_an_outlying_first_pixel_row_or_image),
        SPX_UNIT(statistics_of_one_value_have_no_variance_and_evaluation_takes_the_running_ones),
        SPX_UNIT(a_nan_reaches_the_statistics),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_cuda(all_tests);
}
