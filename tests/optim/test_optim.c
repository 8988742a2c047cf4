#include "tests/support/spx_fixture.h"

#include "kernels/optim/optim.h"

enum { N = 10007, STEPS = 5 };

/* Parameters and state in single precision beside the textbook's loop in double. */
typedef struct twin {
    pile p;
    float *w, *g[STEPS], *m, *v, *out;
    double *w2, *m2, *v2;
} twin;

static void twin_init(twin *t)
{
    memset(t, 0, sizeof *t);
    t->w = pile_normal(&t->p, N, 0, 1);
    for (int i = 0; i < STEPS; i++) {
        t->g[i] = pile_normal(&t->p, N, 0, 1);
    }
    t->m = pile_bytes(&t->p, N * sizeof(float));
    t->v = pile_bytes(&t->p, N * sizeof(float));
    t->out = pile_bytes(&t->p, N * sizeof(float));
    t->w2 = pile_bytes(&t->p, N * sizeof(double));
    t->m2 = pile_bytes(&t->p, N * sizeof(double));
    t->v2 = pile_bytes(&t->p, N * sizeof(double));
    for (int i = 0; i < N; i++) {
        t->w2[i] = (double)t->w[i];
    }
}

static void check_close(const twin *t, const float *got, const double *want, double tol)
{
    float *rounded = pile_bytes((pile *)&t->p, N * sizeof *rounded);
    for (int i = 0; i < N; i++) {
        rounded[i] = (float)want[i];
    }
    CHECK_CLOSE(got, rounded, N, tol);
}

/* Each step rounds a handful of operations on numbers of size about 1; five steps add up. */
#define STEP_TOLERANCE (STEPS * 6 * SPX_U)

static void sgd_body(spx_stream *s, void *ctx)
{
    const double lr = (double)0.1f, momentum = (double)0.9f, decay = (double)3e-4f, clip = 0.5;
    const spx_guard guard = {.clip = 0.5f, .ok = 1};
    const float rate = 0.1f;
    twin t;
    (void)ctx;
    twin_init(&t);
    for (int step = 0; step < STEPS; step++) {
        CHECK_OK(spx_sgd(s, N, &rate, 0.9f, 3e-4f, &guard, t.g[step], t.m, t.w));
        for (int i = 0; i < N; i++) { /* torch.optim.SGD: the first buffer is the gradient itself */
            const double d = clip * (double)t.g[step][i] + decay * t.w2[i];
            t.m2[i] = step == 0 ? d : momentum * t.m2[i] + d;
            t.w2[i] -= lr * t.m2[i];
        }
    }
    check_close(&t, t.w, t.w2, STEP_TOLERANCE);
    check_close(&t, t.m, t.m2, STEP_TOLERANCE);
    CHECK_OK(spx_sgd_lookahead(s, N, &rate, 0.9f, 3e-4f, t.g[0], t.m, t.w, t.out));
    for (int i = 0; i < N; i++) {
        t.w2[i] -= lr * (momentum * t.m2[i] + (double)t.g[0][i] + decay * t.w2[i]);
    }
    check_close(&t, t.out, t.w2, STEP_TOLERANCE + 6 * SPX_U);
    pile_clear(&t.p);
}

SPX_TEST(sgd_follows_pytorch_for_five_steps_and_lookahead_takes_the_next)
{
    SPX_UNUSED;
    spx_on_every_stream(sgd_body, NULL);
}

static void adam_body(spx_stream *s, void *ctx)
{
    const double lr = (double)3e-2f, b1 = 0.5, b2 = (double)0.999f, decay = (double)1e-3f;
    const spx_guard guard = {.clip = 0.5f, .ok = 1}; /* Adam does not clip */
    twin t;
    (void)ctx;
    twin_init(&t);
    for (int step = 0; step < STEPS; step++) {
        const double c1 = 1 - pow(b1, step + 1), c2 = 1 - pow(b2, step + 1);
        const uint64_t count = (uint64_t)step + 1;
        CHECK_OK(
            spx_adam(s, N, 3e-2f, 0.5f, 0.999f, 1e-3f, &count, &guard, t.g[step], t.m, t.v, t.w));
        for (int i = 0; i < N; i++) { /* torch.optim.Adam */
            const double d = (double)t.g[step][i] + decay * t.w2[i];
            t.m2[i] = b1 * t.m2[i] + (1 - b1) * d;
            t.v2[i] = b2 * t.v2[i] + (1 - b2) * d * d;
            t.w2[i] -= lr / c1 * t.m2[i] / (sqrt(t.v2[i]) / sqrt(c2) + 1e-8);
        }
    }
    check_close(&t, t.w, t.w2, STEP_TOLERANCE);
    check_close(&t, t.m, t.m2, STEP_TOLERANCE);
    check_close(&t, t.v, t.v2, STEP_TOLERANCE);
    pile_clear(&t.p);
}

SPX_TEST(adam_follows_pytorch_for_five_steps)
{
    SPX_UNUSED;
    spx_on_every_stream(adam_body, NULL);
}

static void axpy_body(spx_stream *s, void *ctx)
{
    const spx_guard guard = {.clip = 1, .ok = 1};
    const float a = 0.3f, decay = 0.99f;
    twin t;
    double *want;
    (void)ctx;
    twin_init(&t);
    want = t.m2;
    for (int i = 0; i < N; i++) {
        want[i] = (double)t.w[i] + (double)-0.3f * (double)t.g[0][i];
    }
    CHECK_OK(spx_axpy(s, N, &a, -1, t.w, t.g[0], t.out));
    check_close(&t, t.out, want, 2 * SPX_U);
    CHECK_OK(spx_axpy(s, N, &a, -1, t.w, t.g[0], t.g[0])); /* out is y */
    CHECK_CLOSE(t.g[0], t.out, N, 0);
    memcpy(t.g[0], t.out, N * sizeof(float));
    for (int i = 0; i < N; i++) {
        want[i] = (double)0.99f * (double)t.w[i] + (1 - (double)0.99f) * (double)t.out[i];
    }
    CHECK_OK(spx_ema(s, N, &decay, &guard, t.out, t.w));
    /* 1 - decay is exact in single precision (Sterbenz); two products and a sum are rounded */
    check_close(&t, t.w, want, 3 * SPX_U);
    pile_clear(&t.p);
}

SPX_TEST(axpy_and_ema_equal_their_formulas_in_place_too)
{
    SPX_UNUSED;
    spx_on_every_stream(axpy_body, NULL);
}

static void norm_body(spx_stream *s, void *ctx)
{
    pile p = {.key = 0};
    float *g = pile_normal(&p, N, 0, 1);
    void *workspace = pile_bytes(&p, spx_norm2_workspace(s, N));
    double want = 0, norm, again;
    (void)ctx;
    for (int i = 0; i < N; i++) {
        g[i] = i % 100 == 0 ? g[i] * 1e25f : g[i]; /* their squares leave single precision */
        want += (double)g[i] * (double)g[i];
    }
    CHECK_OK(spx_norm2(s, N, g, &norm, workspace));
    CHECK_OK(spx_norm2(s, N, g, &again, workspace));
    assert_true(norm == again);
    assert_true(fabs(norm / sqrt(want) - 1) <= N * 0x1p-53); /* N additions in double */
    CHECK_OK(spx_norm2(s, 0, NULL, &norm, workspace));
    assert_true(norm == 0);
    pile_clear(&p);
}

SPX_TEST(norm_is_summed_in_double_and_repeats)
{
    SPX_UNUSED;
    spx_on_every_stream(norm_body, NULL);
}

static spx_guard next(double norm, float loss, double max_norm, int32_t ok)
{
    spx_guard guard = {.clip = 7, .ok = ok};
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_OK(spx_guard_update(s, &norm, &loss, max_norm, &guard));
    spx_stream_destroy(s);
    return guard;
}

SPX_TEST(the_guard_clips_long_gradients_only_and_stays_shut)
{
    SPX_UNUSED;
    assert_true(next(2, 1, 0, 1).clip == 1 && next(2, 1, -1, 1).clip == 1);
    assert_true(next(0, 1, 5, 1).clip == 1 && next(4.9, 1, 5, 1).clip == 1);
    assert_true(fabs((double)next(50, 1, 5, 1).clip - 5 / (50 + 1e-6)) <= SPX_U);
    assert_true(next(50, 1, 5, 1).ok == 1 && next(50, 1, 5, 0).ok == 0);
    assert_true(next(NAN, 1, 5, 1).ok == 0 && next(INFINITY, 1, 5, 1).ok == 0);
    assert_true(next(1, NAN, 5, 1).ok == 0 && next(1, -INFINITY, 5, 1).ok == 0);
}

static void shut_body(spx_stream *s, void *ctx)
{
    const spx_guard guard = {.clip = 1};
    const float rate = 0.1f;
    const uint64_t count = 1;
    twin t;
    (void)ctx;
    twin_init(&t);
    memcpy(t.out, t.w, N * sizeof(float));
    CHECK_OK(spx_sgd(s, N, &rate, 0.9f, 3e-4f, &guard, t.g[0], t.m, t.w));
    CHECK_OK(spx_adam(s, N, 3e-2f, 0.5f, 0.999f, 1e-3f, &count, &guard, t.g[0], t.m, t.v, t.w));
    CHECK_OK(spx_ema(s, N, &rate, &guard, t.g[0], t.w));
    assert_memory_equal(t.w, t.out, N * sizeof(float));
    for (int i = 0; i < N; i++) {
        assert_true(t.m[i] == 0 && t.v[i] == 0);
    }
    pile_clear(&t.p);
}

SPX_TEST(behind_a_shut_guard_nothing_changes)
{
    SPX_UNUSED;
    spx_on_every_stream(shut_body, NULL);
}

static void difference_body(spx_stream *s, void *ctx)
{
    const double norm = 0.5, none = 0, broken = NAN;
    float eps;
    twin t;
    (void)ctx;
    twin_init(&t);
    CHECK_OK(spx_difference_step(s, &norm, &eps));
    assert_true(eps == (float)(0.01 / norm));
    for (int i = 0; i < N; i++) {
        t.m2[i] = ((double)t.g[0][i] - (double)t.g[1][i]) / (2 * (double)eps);
        t.v2[i] = ((double)t.g[0][i] - (double)t.g[1][i]) / 2 * (double)eps;
    }
    CHECK_OK(spx_central_difference(s, N, &eps, false, t.g[0], t.g[1], t.out));
    check_close(&t, t.out, t.m2, SPX_U);
    CHECK_OK(spx_central_difference(s, N, &eps, true, t.g[0], t.g[1], t.out));
    check_close(&t, t.out, t.v2, SPX_U);
    CHECK_OK(spx_difference_step(s, &broken, &eps));
    assert_true(eps == 0);
    CHECK_OK(spx_difference_step(s, &none, &eps));
    assert_true(eps == 0);
    CHECK_OK(spx_central_difference(s, N, &eps, false, t.g[0], t.g[1], t.out));
    for (int i = 0; i < N; i++) {
        assert_true(t.out[i] == 0);
    }
    pile_clear(&t.p);
}

SPX_TEST(the_central_difference_equals_its_formula_and_is_zero_without_a_direction)
{
    SPX_UNUSED;
    spx_on_every_stream(difference_body, NULL);
}

SPX_TEST(bad_arguments_are_refused)
{
    const spx_guard g = {.clip = 1, .ok = 1};
    const uint64_t t = 1;
    spx_stream *s;
    float x[1] = {0};
    double norm, space[1];
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_FAILS(SPX_EINVAL, spx_norm2(s, 1, NULL, &norm, space));
    CHECK_FAILS(SPX_EINVAL, spx_norm2(s, 1, x, NULL, space));
    CHECK_FAILS(SPX_EINVAL, spx_norm2(s, 1, x, &norm, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_guard_update(s, &norm, x, 1, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_sgd(s, 1, x, 1, 1, &g, x, NULL, x));
    CHECK_FAILS(SPX_EINVAL, spx_sgd(s, 1, x, 1, 1, NULL, x, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_sgd_lookahead(s, 1, x, 1, 1, x, x, x, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_adam(s, 1, 1, 0.9f, 0.9f, 0, NULL, &g, x, x, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_adam(s, 1, 1, 1.0f, 0.9f, 0, &t, &g, x, x, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_axpy(s, 1, x, 1, x, NULL, x));
    CHECK_FAILS(SPX_EINVAL, spx_difference_step(s, NULL, x));
    CHECK_FAILS(SPX_EINVAL, spx_central_difference(s, 1, x, false, x, x, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_ema(s, 1, x, &g, NULL, x));
    CHECK_OK(spx_axpy(s, 0, x, 1, NULL, NULL, NULL));
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(sgd_follows_pytorch_for_five_steps_and_lookahead_takes_the_next),
        SPX_UNIT(adam_follows_pytorch_for_five_steps),
        SPX_UNIT(axpy_and_ema_equal_their_formulas_in_place_too),
        SPX_UNIT(norm_is_summed_in_double_and_repeats),
        SPX_UNIT(the_guard_clips_long_gradients_only_and_stays_shut),
        SPX_UNIT(behind_a_shut_guard_nothing_changes),
        SPX_UNIT(the_central_difference_equals_its_formula_and_is_zero_without_a_direction),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
