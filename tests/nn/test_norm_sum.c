#include "tests/support/spx_fixture.h"

#include "tests/nn/network_sizes.h"
#include "tests/nn/norm_sum_problem.h"

static void forward_body(spx_stream *s, void *ctx)
{
    problem *q = ctx;
    spx_norm_sum_args a = ref_args(q);
    float *y = pile_copy(&q->p, q->y, q->all), *want = pile_copy(&q->p, q->y, q->all);
    double *bound = pile_bytes(&q->p, q->all * sizeof *bound);
    CHECK_OK(spx_norm_sum_forward(s, &q->d, q->k, q->term, q->relu, y, (int64_t)q->stride));
    a.out = want;
    a.out_stride = q->stride;
    spx_norm_sum_forward_ref(&a);
    forward_bound(q, bound);
    spx_check_bounded("y", y, want, bound, q->all); /* the gaps too: they may not be written */
}

SPX_TEST(forward_equals_the_formula_and_leaves_gaps_alone)
{
    SPX_UNUSED;
    for (size_t i = 0; i < NORM_CASES; i++) {
        problem q;
        problem_init(&q, &norm_cases[i], 0.5f);
        spx_on_every_stream(forward_body, &q);
        pile_clear(&q.p);
    }
}

static void stats_body(spx_stream *s, void *ctx)
{
    const stats_case *k = ctx;
    pile p = {.key = 77};
    const size_t stride = k->c * k->hw + k->gap;
    const spx_norm_dims d = {(int64_t)k->n, (int64_t)k->c, (int64_t)k->hw};
    const float *x = pile_normal(&p, k->n * stride, k->mean, k->std);
    float *out[8], *want[8];
    for (int i = 0; i < 6; i++) { /* mean, invstd, two running means, two running variances */
        out[i] = pile_normal(&p, k->c, 1, 0.1f);
        want[i] = pile_copy(&p, out[i], k->c);
    }
    CHECK_OK(spx_bn_stats(s, &d, x, (int64_t)stride, out[0], out[1], 2, out + 2, out + 4));
    spx_bn_stats_ref(&(spx_bn_stats_args){k->n, k->c, k->hw, x, stride, want[0], want[1], 2,
                                          want + 2, want + 4, 0, 0, NULL});
    /*
     * The sums run over x - shift, |shift - mean| <= 4 std (a row's mean): in a chunk of at most
     * 1024 pixels, rounding errors of random sign add up to below 4*sqrt(1024) u (Higham and Mary
     * 2019), and sum2 - sum^2/m loses at most a factor 1 + 16. invstd takes half the variance's
     * error.
     */
    for (size_t c = 0; c < k->c; c++) {
        const double tol = 17 * 4 * 32 * SPX_U;
        assert_true(fabs((double)out[0][c] - (double)want[0][c]) <=
                    tol * (double)k->std + 2 * SPX_U * fabs((double)k->mean));
        assert_true(fabs((double)out[1][c] / (double)want[1][c] - 1) <= tol / 2 + 2 * SPX_U);
    }
    for (int i = 2; i < 6; i++) {
        CHECK_CLOSE(out[i], want[i], k->c, 17 * 4 * 32 * SPX_U);
    }
    pile_clear(&p);
}

SPX_TEST(statistics_survive_a_mean_a_thousand_times_the_deviation)
{
    SPX_UNUSED;
    for (size_t i = 0; i < STATS_CASES; i++) {
        stats_case k = stats_cases[i];
        spx_on_every_stream(stats_body, &k);
    }
}

static void outlier_body(spx_stream *s, void *ctx)
{
    enum { N = 64, HW = 16 };
    float x[N * HW], mean, invstd, want_mean, want_invstd;
    const spx_norm_dims d = {N, 1, HW};
    (void)ctx;
    for (int i = 0; i < N * HW; i++) {
        x[i] = i < HW ? 0.0f : 1000.0f + (float)(i % 7); /* the first image alone lies elsewhere */
    }
    CHECK_OK(spx_bn_stats(s, &d, x, HW, &mean, &invstd, 0, NULL, NULL));
    spx_bn_stats_ref(
        &(spx_bn_stats_args){N, 1, HW, x, HW, &want_mean, &want_invstd, 0, NULL, NULL, 0, 0, NULL});
    /* the shift costs a factor N of the digits of sums of at most 1024, see norm_sum_cpu.c */
    assert_true(fabs((double)mean / (double)want_mean - 1) <= N * SPX_U);
    assert_true(fabs((double)invstd / (double)want_invstd - 1) <= N * 4 * 32 * SPX_U / 2);
}

SPX_TEST(statistics_survive_an_outlying_first_image)
{
    SPX_UNUSED;
    spx_on_every_stream(outlier_body, NULL);
}

SPX_TEST(statistics_of_one_value_have_no_variance)
{
    const spx_norm_dims d = {1, 1, 1};
    const float x = 3, eps = 1e-5f;
    float mean, invstd, rm = 1, rv = 1, *rms[] = {&rm}, *rvs[] = {&rv};
    spx_stream *s;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_OK(spx_bn_stats(s, &d, &x, 1, &mean, &invstd, 1, rms, rvs));
    assert_true(mean == 3);
    assert_true(fabs((double)invstd * sqrt((double)eps) - 1) <= 4 * SPX_U);
    assert_true(fabs((double)rm - 1.2) <= 2 * SPX_U);
    assert_true(fabs((double)rv - 0.9) <= SPX_U);
    CHECK_OK(spx_bn_running(s, 1, &rm, &rv, &mean, &invstd));
    assert_true(mean == rm);
    assert_true(fabs((double)invstd * sqrt((double)rv + 1e-5) - 1) <= 2 * SPX_U);
    spx_stream_destroy(s);
}

/* ---- backward ---- */

static void run_backward(spx_stream *s, const problem *q, const grads *g, bool accumulate)
{
    const int64_t st = (int64_t)q->stride;
    CHECK_OK(
        spx_norm_sum_backward_reduce(s, &q->d, q->k, q->term, q->relu, q->y, st, q->dy, st, g->g));
    for (int j = 0; j < q->k; j++) {
        const bool bn = q->term[j].mean != NULL;
        CHECK_OK(spx_norm_sum_backward_apply(s, &q->d, &q->term[j], bn ? g->g[j].sum_dy : NULL,
                                             bn ? g->g[j].sum_dy_xhat : NULL, q->relu, q->y, st,
                                             q->dy, st, accumulate, g->dx[j], st));
    }
}

typedef struct backward_ctx {
    problem *q;
    bool accumulate;
} backward_ctx;

static void backward_body(spx_stream *s, void *ctx)
{
    const backward_ctx *b = ctx;
    problem *q = b->q;
    grads got, want;
    const size_t before = q->p.count;
    grads_init(q, &got, b->accumulate);
    grads_init(q, &want, b->accumulate);
    run_backward(s, q, &got, b->accumulate);
    run_backward_ref(q, &want, b->accumulate);
    check_reductions(q, &got, &want);
    for (int j = 0; j < q->k; j++) {
        /* six roundings of parts about as large as the whole, and the reductions' own
         * error over M */
        CHECK_CLOSE(got.dx[j], want.dx[j], q->all, 128 * SPX_U);
    }
    while (q->p.count > before) {
        free(q->p.block[--q->p.count]);
    }
}

SPX_TEST(backward_equals_the_formula)
{
    SPX_UNUSED;
    for (size_t i = 0; i < 2 * NORM_CASES; i++) {
        problem q;
        backward_ctx b = {&q, i % 2 == 1};
        problem_init(&q, &norm_cases[i / 2], 0.5f);
        spx_on_every_stream(backward_body, &b);
        pile_clear(&q.p);
    }
}

SPX_TEST(both_passes_equal_the_formula_at_the_networks_sizes)
{
    spx_stream *s;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 2));
    for (size_t i = 0; i < NETWORK_SIZES * NETWORK_TERMS; i++) {
        const network_size *size = &network_sizes[i / NETWORK_TERMS];
        const norm_case k = {.n = 2,
                             .c = (size_t)size->c,
                             .hw = (size_t)(size->side * size->side),
                             .k = network_terms[i % NETWORK_TERMS],
                             .relu = true,
                             .parts = {BN | COEF, BN | COEF, BN | AFFINE | COEF, COEF}};
        problem q;
        backward_ctx b = {&q, true};
        problem_init(&q, &k, 0.5f);
        forward_body(s, &q);
        backward_body(s, &b);
        pile_clear(&q.p);
    }
    spx_stream_destroy(s);
}

/* As many threads and terms as there may be: the partial sums fill all the room they have. */
SPX_TEST(the_most_threads_reduce_the_most_terms)
{
    static const norm_case k = {SPX_POOL_MAX_THREADS + 1, 3, 2, SPX_NORM_SUM_MAX, 0, false,
                                {BN | COEF, BN, COEF, BN}};
    problem q;
    backward_ctx b = {&q, false};
    spx_stream *s;
    SPX_UNUSED;
    problem_init(&q, &k, 0.5f);
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, SPX_POOL_MAX_THREADS));
    backward_body(s, &b);
    spx_stream_destroy(s);
    pile_clear(&q.p);
}

/* ---- gradient check: the whole of statistics and sum, in double ---- */

typedef enum input { IN_X, IN_GAMMA, IN_BETA, IN_COEF } input;

/* One input moved by h along a direction; everything else as it is. */
typedef struct moved {
    const problem *q;
    input which;
    int term;
    const float *direction;
    double h;
} moved;

static double value(const moved *m, input which, int j, const float *p, size_t i, double absent)
{
    if (p == NULL) {
        return absent;
    }
    return (double)p[i] + (m->which == which && m->term == j ? m->h * (double)m->direction[i] : 0);
}

static void batch_statistics(const moved *m, int j, size_t c, double *mean, double *invstd)
{
    const problem *q = m->q;
    const size_t hw = (size_t)q->d.hw, all = (size_t)q->d.n * hw;
    double sum = 0, m2 = 0;
    for (size_t i = 0; i < all; i++) {
        sum += value(m, IN_X, j, q->term[j].x, i / hw * q->stride + c * hw + i % hw, 0);
    }
    for (size_t i = 0; i < all; i++) {
        const size_t at = i / hw * q->stride + c * hw + i % hw;
        const double d = value(m, IN_X, j, q->term[j].x, at, 0) - sum / (double)all;
        m2 += d * d;
    }
    *mean = sum / (double)all;
    *invstd = 1 / sqrt(m2 / (double)all + 1e-5);
}

/* sum of dy * y over a channel */
static double channel_loss(const moved *m, size_t c)
{
    const problem *q = m->q;
    const size_t hw = (size_t)q->d.hw;
    double mean[SPX_NORM_SUM_MAX], invstd[SPX_NORM_SUM_MAX], loss = 0;
    for (int j = 0; j < q->k; j++) {
        mean[j] = 0;
        invstd[j] = 1;
        if (q->term[j].mean != NULL) {
            batch_statistics(m, j, c, &mean[j], &invstd[j]);
        }
    }
    for (size_t i = 0; i < (size_t)q->d.n * hw; i++) {
        const size_t n = i / hw, at = n * q->stride + c * hw + i % hw;
        double z = 0;
        for (int j = 0; j < q->k; j++) {
            const spx_norm_term *t = &q->term[j];
            const double xhat = (value(m, IN_X, j, t->x, at, 0) - mean[j]) * invstd[j];
            z += value(m, IN_COEF, j, t->coef, 0, 1) * part_or(t->mask, n, 1) *
                 (value(m, IN_GAMMA, j, t->gamma, c, 1) * xhat +
                  value(m, IN_BETA, j, t->beta, c, 0));
        }
        loss += (double)q->dy[at] * (q->relu && z < 0 ? 0 : z);
    }
    return loss;
}

/* The derivative along a direction, by central differences, equals the gradient's
 * product with it. */
static void check_direction(problem *q, input which, int j, const float *grad, size_t len,
                            size_t used)
{
    const float *direction = pile_normal(&q->p, len, 0, 1);
    double slope = 0, product = 0, size = 0;
    const double h = 1e-6; /* truncation h^2, and about 1e-16 / h of rounding */
    moved m = {q, which, j, direction, h};
    for (size_t c = 0; c < (size_t)q->d.c; c++) {
        double up, down;
        m.h = h;
        up = channel_loss(&m, c);
        m.h = -h;
        down = channel_loss(&m, c);
        slope += (up - down) / (2 * h);
    }
    for (size_t i = 0; i < len; i++) {
        if (i % q->stride < used || len != q->all) { /* gaps carry no gradient */
            product += (double)grad[i] * (double)direction[i];
            size += (double)grad[i] * (double)grad[i];
        }
    }
    /*
     * Each element carries about 128 u of its size (as above), of random sign, so the product
     * carries that times ||grad||; 1e-7 bounds the differences' own error for losses of up to 1000.
     */
    if (!(fabs(slope - product) <= 512 * SPX_U * sqrt(size) + 1e-7 * (1 + fabs(slope)))) {
        fail_msg("input %d of term %d: slope %.9g, gradient %.9g (norm %.3g)", (int)which, j, slope,
                 product, sqrt(size));
    }
}

SPX_TEST(gradients_through_batch_statistics_equal_finite_differences)
{
    SPX_UNUSED;
    for (size_t i = 0; i < NORM_CASES; i++) {
        problem q;
        grads g;
        spx_stream *s;
        size_t used;
        problem_init(&q, &norm_cases[i], 0.5f);
        used = (size_t)(q.d.c * q.d.hw);
        CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 2));
        grads_init(&q, &g, false);
        CHECK_OK(spx_norm_sum_forward(s, &q.d, q.k, q.term, q.relu, q.y, (int64_t)q.stride));
        run_backward(s, &q, &g, false);
        for (int j = 0; j < q.k && j < 8; j++) {
            check_direction(&q, IN_X, j, g.dx[j], q.all, used);
            if (q.term[j].gamma != NULL) {
                check_direction(&q, IN_GAMMA, j, g.g[j].dgamma, (size_t)q.d.c, 0);
                check_direction(&q, IN_BETA, j, g.g[j].dbeta, (size_t)q.d.c, 0);
            }
            if (q.term[j].coef != NULL) {
                check_direction(&q, IN_COEF, j, g.g[j].dcoef, 1, 0);
            }
        }
        spx_stream_destroy(s);
        pile_clear(&q.p);
    }
}

static void in_place_body(spx_stream *s, void *ctx)
{
    problem *q = ctx;
    const int64_t st = (int64_t)q->stride;
    const size_t c = (size_t)q->d.c;
    const float *sums = pile_normal(&q->p, 2 * c, 0, 1);
    float *dx = pile_copy(&q->p, q->dy, q->all), *same = pile_copy(&q->p, q->dy, q->all);
    CHECK_OK(spx_norm_sum_backward_apply(s, &q->d, q->term, sums, sums + c, true, q->y, st, q->dy,
                                         st, false, dx, st));
    CHECK_OK(spx_norm_sum_backward_apply(s, &q->d, q->term, sums, sums + c, true, q->y, st, same,
                                         st, false, same, st));
    CHECK_CLOSE(same, dx, q->all, 0);
}

SPX_TEST(the_gradient_may_replace_the_incoming_one)
{
    problem q;
    SPX_UNUSED;
    problem_init(&q, &norm_cases[6], 0.5f);
    spx_on_every_stream(in_place_body, &q);
    pile_clear(&q.p);
}

static void repeat_body(spx_stream *s, void *ctx)
{
    problem *q = ctx;
    grads a, b;
    const size_t c = (size_t)q->d.c;
    float *stats[4];
    for (int i = 0; i < 4; i++) {
        stats[i] = pile_normal(&q->p, c, 0, 1);
    }
    for (int i = 0; i < 4; i += 2) {
        CHECK_OK(spx_bn_stats(s, &q->d, q->term[0].x, (int64_t)q->stride, stats[i], stats[i + 1], 0,
                              NULL, NULL));
    }
    CHECK_CLOSE(stats[0], stats[2], c, 0);
    CHECK_CLOSE(stats[1], stats[3], c, 0);
    grads_init(q, &a, false);
    grads_init(q, &b, false);
    run_backward(s, q, &a, false);
    run_backward(s, q, &b, false);
    for (int j = 0; j < q->k; j++) {
        CHECK_CLOSE(a.dx[j], b.dx[j], q->all, 0);
        if (a.g[j].dcoef != NULL) {
            CHECK_CLOSE(a.g[j].dcoef, b.g[j].dcoef, 1, 0);
        }
    }
}

SPX_TEST(repeated_calls_give_the_same_bits)
{
    problem q;
    SPX_UNUSED;
    problem_init(&q, &norm_cases[6], 0.5f);
    spx_on_every_stream(repeat_body, &q);
    pile_clear(&q.p);
}

SPX_TEST(bad_arguments_are_refused)
{
    problem q;
    spx_stream *s;
    spx_norm_dims none;
    spx_norm_term t;
    spx_norm_grad g = {0};
    float c0[3], c1[3], one, *null_list[] = {NULL};
    int64_t st;
    SPX_UNUSED;
    problem_init(&q, &norm_cases[4], 0);
    st = (int64_t)q.stride;
    t = q.term[0];
    none = (spx_norm_dims){0, 1, 1};
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_FAILS(SPX_EINVAL, spx_bn_stats(s, &none, t.x, st, c0, c1, 0, NULL, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_bn_stats(s, &q.d, NULL, st, c0, c1, 0, NULL, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_bn_stats(s, &q.d, t.x, 3, c0, c1, 0, NULL, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_bn_stats(s, &q.d, t.x, st, NULL, c1, 0, NULL, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_bn_stats(s, &q.d, t.x, st, c0, c1, 1, NULL, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_bn_stats(s, &q.d, t.x, st, c0, c1, 1, null_list, null_list));
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_forward(s, &q.d, 0, &t, false, q.y, st));
    CHECK_FAILS(SPX_EINVAL,
                spx_norm_sum_forward(s, &q.d, SPX_NORM_SUM_MAX + 1, &t, false, q.y, st));
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_forward(s, &q.d, 1, &t, false, NULL, st));
    t.invstd = NULL;
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_forward(s, &q.d, 1, &t, false, q.y, st));
    t.mean = NULL;
    t.gamma = t.beta = c0;
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_forward(s, &q.d, 1, &t, false, q.y, st));
    t = q.term[0];
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_backward_reduce(s, &q.d, 1, &t, false, NULL, 0, q.dy, st,
                                                         &g)); /* sums wanted */
    g.sum_dy = c0;
    g.sum_dy_xhat = c1;
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_backward_reduce(s, &q.d, 1, &t, true, NULL, 0, q.dy, st,
                                                         &g)); /* a relu without y */
    g.dgamma = c0;
    CHECK_FAILS(SPX_EINVAL,
                spx_norm_sum_backward_reduce(s, &q.d, 1, &t, false, NULL, 0, q.dy, st, &g));
    g.dgamma = NULL;
    t.coef = NULL;
    g.dcoef = &one;
    CHECK_FAILS(SPX_EINVAL,
                spx_norm_sum_backward_reduce(s, &q.d, 1, &t, false, NULL, 0, q.dy, st, &g));
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_backward_apply(s, &q.d, &t, NULL, NULL, false, NULL, 0,
                                                        q.dy, st, false, q.y, st));
    spx_stream_destroy(s);
    pile_clear(&q.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(forward_equals_the_formula_and_leaves_gaps_alone),
        SPX_UNIT(statistics_survive_a_mean_a_thousand_times_the_deviation),
        SPX_UNIT(statistics_survive_an_outlying_first_image),
        SPX_UNIT(statistics_of_one_value_have_no_variance),
        SPX_UNIT(backward_equals_the_formula),
        SPX_UNIT(both_passes_equal_the_formula_at_the_networks_sizes),
        SPX_UNIT(the_most_threads_reduce_the_most_terms),
        SPX_UNIT(gradients_through_batch_statistics_equal_finite_differences),
        SPX_UNIT(the_gradient_may_replace_the_incoming_one),
        SPX_UNIT(repeated_calls_give_the_same_bits),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
