/* norm_sum against its specification in double, on operands that lie in every way. */
#include "tests/support/spx_devices.h"

#include "tests/nn/network_sizes.h"
#include "tests/nn/norm_sum_problem.h"

/* A problem whose operands are what the device's type can hold, and its copy there. */
typedef struct twin {
    problem q;
    spx_norm_term term[SPX_NORM_SUM_MAX];
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

static void twin_init(device_env *e, twin *t, const norm_case *k, int first, bool alike)
{
    problem *q = &t->q;
    problem_init(q, k, 0.5f);
    for (int j = 0; j < q->k; j++) {
        const spx_norm_term *from = &q->term[j];
        const size_t c = k->c;
        round_to_type(e->type, from->x.data, q->all);
        t->term[j] = (spx_norm_term){.x = operand(e, q, from->x.data, form_of(first, j, alike)).x,
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
    t->scratch = env_scratch(e, spx_norm_sum_reduce_workspace(e->s, &q->d, q->k));
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
    const device_tensor out = operand(e, q, q->y, t->y.offset >= 8 ? FORM_SLICE : FORM_DENSE);
    CHECK_OK(spx_norm_sum_forward(e->s, &q->d, q->k, t->term, q->relu, out.x));
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
    CHECK_OK(spx_norm_sum_backward_reduce(e->s, &q->d, q->k, t->term, q->relu, t->y.x, t->dy.x, d,
                                          t->scratch));
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
        CHECK_OK(spx_norm_sum_backward_apply(e->s, &q->d, &t->term[j], bn ? d[j].sum_dy : NULL,
                                             bn ? d[j].sum_dy_xhat : NULL, q->relu, t->y.x, t->dy.x,
                                             accumulate, dx[j].x));
        read[j] = env_queue_read(e, &dx[j]);
    }
    env_settle(e);
    for (int j = 0; j < q->k; j++) {
        tensor_unpack(&dx[j], read[j], g->dx[j], q->stride);
    }
}

/* Six roundings of parts about as large as the whole, and the reductions' own error over M; bf16
 * rounds each result once. */
static double apply_tolerance(const device_env *e)
{
    return 128 * SPX_U + env_rounding(e);
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
        CHECK_CLOSE(got.dx[j], want.dx[j], q->all, apply_tolerance(e));
    }
}

static void check_both(device_env *e, const norm_case *k, int first, bool alike, bool accumulate)
{
    static twin t;
    twin_init(e, &t, k, first, alike);
    check_forward(e, &t);
    check_backward(e, &t, accumulate);
    twin_clear(e, &t);
}

static void cases_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < 4 * NORM_CASES; i++) {
        norm_case k = norm_cases[i / 4];
        if (i % 4 >= 2) { /* channels that fill vectors, alone or four pixels at a time */
            k.c = i % 4 == 2 ? 8 * k.c : 5;
            k.hw = (k.hw + 7) / 8 * 4;
        }
        if (e->cuda || i % 4 < 2) {
            check_both(e, &k, (int)i, i % 4 != 0, i % 2 == 1);
        }
    }
}

SPX_TEST(both_passes_equal_the_formula_however_operands_lie)
{
    SPX_UNUSED;
    on_each(cases_body, NULL);
}

static void networks_body(device_env *e, void *ctx)
{
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
        if (e->cuda && k.k > 6 && k.hw > 64) {
            continue;
        }
#endif
        check_both(e, &k, 0, true, true);
    }
}

SPX_TEST(both_passes_equal_the_formula_at_the_networks_sizes)
{
    SPX_UNUSED;
    on_few(networks_body, NULL);
}

/* More channels than a block of CUDA spans; the most terms, in more layers than a block has. */
static void wide_body(device_env *e, void *ctx)
{
    static const norm_case wide[] = {
        {2, 300, 9, 2, 0, true, {BN | AFFINE | COEF, BN}},
        {3, 133, 4, SPX_NORM_SUM_MAX, 0, false, {BN | COEF | MASK, BN, COEF, BN | AFFINE}},
        {65, 160, 1, 9, 0, true, {BN | COEF, 0, MASK, BN | AFFINE}},
    };
    (void)ctx;
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        check_both(e, &wide[i], (int)i, true, false);
    }
}

SPX_TEST(more_channels_and_terms_than_a_block_holds)
{
    SPX_UNUSED;
    on_few(wide_body, NULL);
}

static void threads_body(device_env *e, void *ctx)
{
    static const norm_case k = {SPX_POOL_MAX_THREADS + 1, 3, 2, SPX_NORM_SUM_MAX, 0, false,
                                {BN | COEF, BN, COEF, BN}};
    (void)ctx;
    check_both(e, &k, 0, true, false);
}

/* As many threads and terms as there may be: the partial sums fill all the room they have. */
SPX_TEST(the_most_threads_reduce_the_most_terms)
{
    const spx_stream_options o = {
        .device = env_device, .threads = SPX_POOL_MAX_THREADS, .precision = SPX_PRECISION_F32};
    SPX_UNUSED;
    run_body(&o, threads_body, NULL);
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
        CHECK_OK(spx_norm_sum_backward_reduce(e->s, &t.q.d, SHARING, t.term, false, t.y.x, t.dy.x,
                                              g, t.scratch));
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
    CHECK_OK(spx_norm_sum_backward_apply(e->s, &q->d, &t.term[0], sum_dy, sum_dy_xhat, q->relu,
                                         t.y.x, t.dy.x, false, t.dy.x));
    env_read(e, &t.dy, got, q->stride);
    CHECK_CLOSE(got, want.dx[0], q->all, apply_tolerance(e));
    twin_clear(e, &t);
}

SPX_TEST(the_second_half_may_write_over_dy)
{
    SPX_UNUSED;
    on_each(in_place_body, NULL);
}

static void repeat_body(device_env *e, void *ctx)
{
    static twin t;
    static grads a, b;
    problem *q = &t.q;
    (void)ctx;
    twin_init(e, &t, &norm_cases[6], 0, true);
    grads_init(q, &a, false);
    grads_init(q, &b, false);
    run_backward(e, &t, &a, false);
    run_backward(e, &t, &b, false);
    for (int j = 0; j < q->k; j++) {
        CHECK_CLOSE(a.dx[j], b.dx[j], q->all, 0);
        if (a.g[j].dcoef != NULL) {
            CHECK_CLOSE(a.g[j].dcoef, b.g[j].dcoef, 1, 0);
        }
    }
    twin_clear(e, &t);
}

SPX_TEST(repeated_calls_give_the_same_bits)
{
    SPX_UNUSED;
    on_each(repeat_body, NULL);
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
        sum += value(m, IN_X, j, q->term[j].x.data, i / hw * q->stride + c * hw + i % hw, 0);
    }
    for (size_t i = 0; i < all; i++) {
        const size_t at = i / hw * q->stride + c * hw + i % hw;
        const double d = value(m, IN_X, j, q->term[j].x.data, at, 0) - sum / (double)all;
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
            const double xhat = (value(m, IN_X, j, t->x.data, at, 0) - mean[j]) * invstd[j];
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

static void gradient_body(device_env *e, void *ctx)
{
    static twin t;
    static grads g;
    problem *q = &t.q;
    const size_t count = spx_test_whole_tables() ? NORM_CASES : 5; /* numbers: not a sanitizer's */
    (void)ctx;
    for (size_t i = 0; i < count && e->type == SPX_TYPE_F32; i++) {
        twin_init(e, &t, &norm_cases[i], 0, true);
        const size_t used = (size_t)(q->d.c * q->d.hw);
        grads_init(q, &g, false);
        CHECK_OK(spx_norm_sum_forward(e->s, &q->d, q->k, t.term, q->relu, t.y.x));
        run_backward(e, &t, &g, false);
        for (int j = 0; j < q->k && j < 8; j++) {
            check_direction(q, IN_X, j, g.dx[j], q->all, used);
            if (q->term[j].gamma != NULL) {
                check_direction(q, IN_GAMMA, j, g.g[j].dgamma, (size_t)q->d.c, 0);
                check_direction(q, IN_BETA, j, g.g[j].dbeta, (size_t)q->d.c, 0);
            }
            if (q->term[j].coef != NULL) {
                check_direction(q, IN_COEF, j, g.g[j].dcoef, 1, 0);
            }
        }
        twin_clear(e, &t);
    }
}

SPX_TEST(gradients_through_batch_statistics_equal_finite_differences)
{
    SPX_UNUSED;
    on_few(gradient_body, NULL);
}

/* ---- bad arguments ---- */

static void bad_terms(device_env *e, const twin *t, float *c)
{
    const spx_norm_dims *d = &t->q.d, none = {0, 1, 1};
    const spx_operand y = t->y.x, absent = {NULL, y.stride, y.type};
    spx_norm_term bad = t->term[0];
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_forward(e->s, &none, 1, t->term, false, y));
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_forward(e->s, d, 0, t->term, false, y));
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_forward(e->s, d, SPX_NORM_SUM_MAX + 1, t->term, false, y));
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_forward(e->s, d, 1, t->term, false, absent));
    bad.invstd = NULL;
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_forward(e->s, d, 1, &bad, false, y));
    bad.mean = NULL;
    bad.gamma = bad.beta = c;
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_forward(e->s, d, 1, &bad, false, y));
}

static void bad_gradients(device_env *e, const twin *t, float *c)
{
    const spx_norm_dims *d = &t->q.d;
    const spx_operand y = t->y.x, dy = t->dy.x, absent = {0};
    spx_norm_term term = t->term[0];
    spx_norm_grad g = {0};
#define REDUCE(relu, y)                                                                            \
    spx_norm_sum_backward_reduce(e->s, d, 1, &term, (relu), (y), dy, &g, t->scratch)
    CHECK_FAILS(SPX_EINVAL, REDUCE(false, absent)); /* sums wanted */
    g.sum_dy = g.sum_dy_xhat = c;
    CHECK_FAILS(SPX_EINVAL, REDUCE(true, absent)); /* a relu without y */
    term.gamma = term.beta = NULL;
    g.dgamma = c;
    CHECK_FAILS(SPX_EINVAL, REDUCE(false, absent));
    g.dgamma = NULL;
    term.coef = NULL;
    g.dcoef = c;
    CHECK_FAILS(SPX_EINVAL, REDUCE(false, absent));
#undef REDUCE
    CHECK_FAILS(SPX_EINVAL, spx_norm_sum_backward_apply(e->s, d, &term, NULL, NULL, false, absent,
                                                        dy, false, y));
}

static void bad_body(device_env *e, void *ctx)
{
    static twin t;
    (void)ctx;
    twin_init(e, &t, &norm_cases[4], 0, true);
    float *c = env_bytes(e, 64);
    bad_terms(e, &t, c);
    bad_gradients(e, &t, c);
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
        SPX_UNIT(the_most_threads_reduce_the_most_terms),
        SPX_UNIT(terms_with_parameters_in_common_add_to_their_gradients_in_one_order),
        SPX_UNIT(the_second_half_may_write_over_dy),
        SPX_UNIT(repeated_calls_give_the_same_bits),
        SPX_UNIT(gradients_through_batch_statistics_equal_finite_differences),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
