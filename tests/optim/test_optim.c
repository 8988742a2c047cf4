/* Parameter updates against the textbook's loops in double, and against the CPU's portable code at
 * every length and alignment. */
#include "tests/support/spx_devices.h"

#include "kernels/optim/optim.h"

enum { N = 10007, STEPS = 5 };

/* Parameters and state on the device beside the textbook's in double. */
typedef struct twin {
    float *w_host, *g_host[STEPS]; /* as they began */
    float *w, *g[STEPS], *m, *v, *out;
    double *w2, *m2, *v2;
} twin;

static float *zeros(device_env *e, size_t n)
{
    return env_floats(e, pile_bytes(&e->p, n * sizeof(float)), n);
}

static void twin_init(device_env *e, twin *t)
{
    t->w_host = pile_normal(&e->p, N, 0, 1);
    t->w = env_floats(e, t->w_host, N);
    for (int i = 0; i < STEPS; i++) {
        t->g_host[i] = pile_normal(&e->p, N, 0, 1);
        t->g[i] = env_floats(e, t->g_host[i], N);
    }
    t->m = zeros(e, N);
    t->v = zeros(e, N);
    t->out = zeros(e, N);
    t->w2 = pile_bytes(&e->p, N * sizeof(double));
    t->m2 = pile_bytes(&e->p, N * sizeof(double));
    t->v2 = pile_bytes(&e->p, N * sizeof(double));
    for (int i = 0; i < N; i++) {
        t->w2[i] = (double)t->w_host[i];
    }
}

static float *fetched(device_env *e, const float *x, size_t n)
{
    float *host = pile_bytes(&e->p, n * sizeof *host);
    env_fetch(e, host, x, n * sizeof *host);
    return host;
}

static void check_close(device_env *e, const float *got, const double *want, double tol)
{
    const float *host = fetched(e, got, N);
    float *rounded = pile_bytes(&e->p, N * sizeof *rounded);
    for (int i = 0; i < N; i++) {
        rounded[i] = (float)want[i];
    }
    CHECK_CLOSE(host, rounded, N, tol);
}

/* Numbers of the device. */
static float *number(device_env *e, float v)
{
    return env_floats(e, &v, 1);
}

static uint64_t *count_of(device_env *e, uint64_t v)
{
    return env_copy(e, &v, sizeof v);
}

static spx_guard *guard_of(device_env *e, float clip, int32_t ok)
{
    const spx_guard guard = {.clip = clip, .ok = ok};
    return env_copy(e, &guard, sizeof guard);
}

static double *norm_of(device_env *e, double v)
{
    return env_copy(e, &v, sizeof v);
}

/* Each step rounds a handful of operations on numbers of size about 1; five steps add up. */
#define STEP_TOLERANCE (STEPS * 6 * SPX_U)

static const spx_sgd_rule usual = {.momentum = 0.9f, .decay = 3e-4f};

/* torch.optim.SGD: the first buffer is the gradient itself */
static void sgd_textbook(twin *t, int i, int step, double decay, bool nesterov)
{
    const double lr = (double)0.1f, momentum = (double)0.9f, clip = 0.5;
    const double d = clip * (double)t->g_host[step][i] + decay * t->w2[i];
    t->m2[i] = step == 0 ? d : momentum * t->m2[i] + d;
    t->w2[i] -= lr * (nesterov ? d + momentum * t->m2[i] : t->m2[i]);
}

static void sgd_body(device_env *e, void *ctx)
{
    const double lr = (double)0.1f, momentum = (double)0.9f, decay = (double)3e-4f;
    const spx_guard *guard = guard_of(e, 0.5f, 1);
    const float *rate = number(e, 0.1f);
    twin t;
    (void)ctx;
    twin_init(e, &t);
    for (int step = 0; step < STEPS; step++) {
        CHECK_OK(spx_sgd(e->s, N, rate, &usual, guard, t.g[step], t.m, t.w));
        for (int i = 0; i < N; i++) {
            sgd_textbook(&t, i, step, decay, false);
        }
    }
    check_close(e, t.w, t.w2, STEP_TOLERANCE);
    check_close(e, t.m, t.m2, STEP_TOLERANCE);
    CHECK_OK(spx_sgd_lookahead(e->s, N, rate, 0.9f, 3e-4f, t.g[0], t.m, t.w, t.out));
    for (int i = 0; i < N; i++) {
        t.w2[i] -= lr * (momentum * t.m2[i] + (double)t.g_host[0][i] + decay * t.w2[i]);
    }
    check_close(e, t.out, t.w2, STEP_TOLERANCE + 6 * SPX_U);
}

SPX_TEST(sgd_follows_pytorch_for_five_steps_and_lookahead_takes_the_next)
{
    SPX_UNUSED;
    on_each(sgd_body, NULL);
}

/* Blocks in runs of one and of several of a group, the last one not whole. */
static void groups_body(device_env *e, void *ctx)
{
    enum { BLOCKS = (N + SPX_SGD_BLOCK - 1) / SPX_SGD_BLOCK };
    const spx_guard *guard = guard_of(e, 0.5f, 1);
    const float *rate = number(e, 0.1f);
    uint8_t group[BLOCKS];
    twin t;
    (void)ctx;
    twin_init(e, &t);
    for (int b = 0; b < BLOCKS; b++) {
        group[b] = (uint8_t)(b % 7 < 3 ? b % 7 : b / 7 % 3);
    }
    const spx_sgd_rule rule = {.momentum = 0.9f,
                               .decay = 0.25f,
                               .nesterov = true,
                               .group = env_copy(e, group, sizeof group)};
    for (int step = 0; step < STEPS; step++) {
        CHECK_OK(spx_sgd(e->s, N, rate, &rule, guard, t.g[step], t.m, t.w));
        for (int i = 0; i < N; i++) {
            const uint8_t what = group[i / SPX_SGD_BLOCK];
            if (what != SPX_SGD_LEFT) {
                sgd_textbook(&t, i, step, what == SPX_SGD_DECAYED ? 0.25 : 0, true);
            }
        }
    }
    check_close(e, t.w, t.w2, STEP_TOLERANCE + STEPS * 2 * SPX_U); /* two operations more a step */
    check_close(e, t.m, t.m2, STEP_TOLERANCE);
}

SPX_TEST(nesterov_sgd_follows_pytorch_with_decay_by_group_and_leaves_what_it_shall_leave)
{
    SPX_UNUSED;
    on_each(groups_body, NULL);
}

static void adam_body(device_env *e, void *ctx)
{
    const double lr = (double)3e-2f, b1 = 0.5, b2 = (double)0.999f, decay = (double)1e-3f;
    const spx_guard *guard = guard_of(e, 0.5f, 1); /* Adam does not clip */
    twin t;
    (void)ctx;
    twin_init(e, &t);
    for (int step = 0; step < STEPS; step++) {
        const double c1 = 1 - pow(b1, step + 1), c2 = 1 - pow(b2, step + 1);
        CHECK_OK(spx_adam(e->s, N, 3e-2f, 0.5f, 0.999f, 1e-3f, count_of(e, (uint64_t)step + 1),
                          guard, t.g[step], t.m, t.v, t.w));
        for (int i = 0; i < N; i++) { /* torch.optim.Adam */
            const double d = (double)t.g_host[step][i] + decay * t.w2[i];
            t.m2[i] = b1 * t.m2[i] + (1 - b1) * d;
            t.v2[i] = b2 * t.v2[i] + (1 - b2) * d * d;
            t.w2[i] -= lr / c1 * t.m2[i] / (sqrt(t.v2[i]) / sqrt(c2) + 1e-8);
        }
    }
    check_close(e, t.w, t.w2, STEP_TOLERANCE);
    check_close(e, t.m, t.m2, STEP_TOLERANCE);
    check_close(e, t.v, t.v2, STEP_TOLERANCE);
}

SPX_TEST(adam_follows_pytorch_for_five_steps)
{
    SPX_UNUSED;
    on_each(adam_body, NULL);
}

/* Masks at both ends of their range, some at 0 that the gradient wants larger. */
static void masks_body(device_env *e, void *ctx)
{
    const double lr = (double)3e-2f, b1 = (double)0.9f, b2 = (double)0.999f;
    const double penalty = (double)0.25f;
    const spx_guard *guard = guard_of(e, 0.5f, 1);
    const float *rate = number(e, 0.25f);
    float first[N];
    twin t;
    (void)ctx;
    twin_init(e, &t);
    for (int i = 0; i < N; i++) {
        first[i] = i % 3 == 0 ? 0.0f : i % 3 == 1 ? 1.0f : 0.25f + (float)(i % 5) * 0.125f;
        t.w2[i] = (double)first[i];
    }
    t.w = env_floats(e, first, N);
    for (int step = 0; step < STEPS; step++) {
        const double c1 = 1 - pow(b1, step + 1), c2 = 1 - pow(b2, step + 1);
        CHECK_OK(spx_adam_masks(e->s, N, 3e-2f, 0.9f, 0.999f, rate, count_of(e, (uint64_t)step + 1),
                                guard, t.g[step], t.m, t.v, t.w));
        for (int i = 0; i < N; i++) {
            const double d = (double)t.g_host[step][i] + (t.w2[i] > 0 ? penalty : 0);
            t.m2[i] = b1 * t.m2[i] + (1 - b1) * d;
            t.v2[i] = b2 * t.v2[i] + (1 - b2) * d * d;
            t.w2[i] -= lr / c1 * t.m2[i] / (sqrt(t.v2[i]) / sqrt(c2) + 1e-8);
            t.w2[i] = fmin(fmax(t.w2[i], 0), 1);
        }
    }
    check_close(e, t.w, t.w2, STEP_TOLERANCE);
    check_close(e, t.m, t.m2, STEP_TOLERANCE);
    check_close(e, t.v, t.v2, STEP_TOLERANCE);
}

SPX_TEST(masks_follow_adam_with_a_penalty_and_stay_between_0_and_1)
{
    SPX_UNUSED;
    on_each(masks_body, NULL);
}

static void axpy_body(device_env *e, void *ctx)
{
    const spx_guard *guard = guard_of(e, 1, 1);
    const float *a = number(e, 0.3f), *decay = number(e, 0.99f);
    twin t;
    (void)ctx;
    twin_init(e, &t);
    for (int i = 0; i < N; i++) {
        t.m2[i] = (double)t.w_host[i] + (double)-0.3f * (double)t.g_host[0][i];
    }
    CHECK_OK(spx_axpy(e->s, N, a, -1, t.w, t.g[0], t.out));
    check_close(e, t.out, t.m2, 2 * SPX_U);
    CHECK_OK(spx_axpy(e->s, N, a, -1, t.w, t.g[0], t.g[0])); /* out is y */
    const float *out = fetched(e, t.out, N), *in_place = fetched(e, t.g[0], N);
    CHECK_CLOSE(in_place, out, N, 0);
    for (int i = 0; i < N; i++) {
        t.m2[i] = (double)0.99f * (double)t.w_host[i] + (1 - (double)0.99f) * (double)out[i];
    }
    CHECK_OK(spx_ema(e->s, N, decay, guard, t.out, t.w));
    /* 1 - decay is exact in single precision (Sterbenz); two products and a sum are rounded */
    check_close(e, t.w, t.m2, 3 * SPX_U);
}

SPX_TEST(axpy_and_ema_equal_their_formulas_in_place_too)
{
    SPX_UNUSED;
    on_each(axpy_body, NULL);
}

static double norm2(device_env *e, size_t n, const float *g, void *workspace)
{
    double norm, *out = norm_of(e, -1);
    CHECK_OK(spx_norm2(e->s, n, g, out, workspace));
    env_fetch(e, &norm, out, sizeof norm);
    return norm;
}

static void norm_body(device_env *e, void *ctx)
{
    enum { MOST = 300007 };
    static const size_t lengths[] = {0, 1, 255, 256, 4096, 4097, N, MOST};
    const size_t bytes = spx_norm2_workspace(e->s, MOST);
    float *g = pile_normal(&e->p, MOST + 1, 0, 1);
    void *workspace = env_copy(e, pile_bytes(&e->p, bytes), bytes);
    (void)ctx;
    for (size_t i = 0; i <= MOST; i += 100) {
        g[i] *= 1e25f; /* their squares leave single precision */
    }
    const float *dev = env_floats(e, g, MOST + 1);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        const size_t n = lengths[i], off = i % 2;
        double want = 0;
        for (size_t k = 0; k < n; k++) {
            want += (double)g[off + k] * (double)g[off + k];
        }
        const double norm = norm2(e, n, dev + off, workspace);
        assert_true(norm == norm2(e, n, dev + off, workspace));
        /* n additions in double, on both sides */
        assert_true(fabs(norm - sqrt(want)) <= sqrt(want) * (double)n * 0x1p-53);
    }
}

SPX_TEST(norm_is_summed_in_double_and_repeats)
{
    SPX_UNUSED;
    on_each(norm_body, NULL);
}

static spx_guard next(device_env *e, double norm, float loss, double max_norm, int32_t ok)
{
    spx_guard got, *guard = guard_of(e, 7, ok);
    CHECK_OK(spx_guard_update(e->s, norm_of(e, norm), number(e, loss), max_norm, guard));
    env_fetch(e, &got, guard, sizeof got);
    return got;
}

static void guard_body(device_env *e, void *ctx)
{
    (void)ctx;
    assert_true(next(e, 2, 1, 0, 1).clip == 1 && next(e, 2, 1, -1, 1).clip == 1);
    assert_true(next(e, 0, 1, 5, 1).clip == 1 && next(e, 4.9, 1, 5, 1).clip == 1);
    assert_true(fabs((double)next(e, 50, 1, 5, 1).clip - 5 / (50 + 1e-6)) <= SPX_U);
    assert_true(next(e, 50, 1, 5, 1).ok == 1 && next(e, 50, 1, 5, 0).ok == 0);
    assert_true(next(e, NAN, 1, 5, 1).ok == 0 && next(e, INFINITY, 1, 5, 1).ok == 0);
    assert_true(next(e, 1, NAN, 5, 1).ok == 0 && next(e, 1, -INFINITY, 5, 1).ok == 0);
}

SPX_TEST(the_guard_clips_long_gradients_only_and_stays_shut)
{
    SPX_UNUSED;
    on_few(guard_body, NULL);
}

static void shut_body(device_env *e, void *ctx)
{
    const spx_guard *guard = guard_of(e, 1, 0);
    const float *rate = number(e, 0.1f);
    twin t;
    (void)ctx;
    twin_init(e, &t);
    CHECK_OK(spx_sgd(e->s, N, rate, &usual, guard, t.g[0], t.m, t.w));
    CHECK_OK(spx_adam(e->s, N, 3e-2f, 0.5f, 0.999f, 1e-3f, count_of(e, 1), guard, t.g[0], t.m, t.v,
                      t.w));
    CHECK_OK(spx_adam_masks(e->s, N, 3e-2f, 0.5f, 0.999f, rate, count_of(e, 1), guard, t.g[0], t.m,
                            t.v, t.w));
    CHECK_OK(spx_ema(e->s, N, rate, guard, t.g[0], t.w));
    const float *w = fetched(e, t.w, N), *m = fetched(e, t.m, N), *v = fetched(e, t.v, N);
    assert_memory_equal(w, t.w_host, N * sizeof(float));
    for (int i = 0; i < N; i++) {
        assert_true(m[i] == 0 && v[i] == 0);
    }
}

SPX_TEST(behind_a_shut_guard_nothing_changes)
{
    SPX_UNUSED;
    on_each(shut_body, NULL);
}

static float step_of(device_env *e, double norm, float **eps)
{
    *eps = number(e, 7);
    CHECK_OK(spx_difference_step(e->s, norm_of(e, norm), *eps));
    return *fetched(e, *eps, 1);
}

static void difference_body(device_env *e, void *ctx)
{
    const double norm = 0.5;
    float *dev_eps;
    twin t;
    (void)ctx;
    twin_init(e, &t);
    assert_true(step_of(e, NAN, &dev_eps) == 0 && step_of(e, INFINITY, &dev_eps) == 0);
    const float eps = step_of(e, norm, &dev_eps);
    assert_true(eps == (float)(0.01 / norm));
    for (int i = 0; i < N; i++) {
        t.m2[i] = ((double)t.g_host[0][i] - (double)t.g_host[1][i]) / (2 * (double)eps);
        t.v2[i] = ((double)t.g_host[0][i] - (double)t.g_host[1][i]) / 2 * (double)eps;
    }
    CHECK_OK(spx_central_difference(e->s, N, dev_eps, false, t.g[0], t.g[1], t.out));
    check_close(e, t.out, t.m2, SPX_U);
    CHECK_OK(spx_central_difference(e->s, N, dev_eps, true, t.g[0], t.g[1], t.out));
    check_close(e, t.out, t.v2, SPX_U);
    assert_true(step_of(e, 0, &dev_eps) == 0);
    CHECK_OK(spx_central_difference(e->s, N, dev_eps, false, t.g[0], t.g[1], t.out));
    const float *out = fetched(e, t.out, N);
    for (int i = 0; i < N; i++) {
        assert_true(out[i] == 0);
    }
}

SPX_TEST(the_central_difference_equals_its_formula_and_is_zero_without_a_direction)
{
    SPX_UNUSED;
    on_each(difference_body, NULL);
}

/* ---- every update beside the CPU's portable one ---- */

enum { ARRAYS = 4, LONGEST = 20011 };

/* The same numbers on a stream. */
typedef struct side {
    spx_stream *s;
    float *x[ARRAYS];
    const spx_scalars *scalars;
    const spx_guard *guard;
} side;

typedef spx_status (*update_fn)(const side *t, float *const *x, size_t n);

static spx_status sgd(const side *t, float *const *x, size_t n)
{
    return spx_sgd(t->s, n, &t->scalars->lr, &usual, t->guard, x[0], x[1], x[2]);
}

static spx_status lookahead(const side *t, float *const *x, size_t n)
{
    return spx_sgd_lookahead(t->s, n, &t->scalars->xi, 0.9f, 3e-4f, x[0], x[1], x[2], x[3]);
}

static spx_status adam(const side *t, float *const *x, size_t n)
{
    return spx_adam(t->s, n, 3e-2f, 0.5f, 0.999f, 1e-3f, &t->scalars->adam_t, t->guard, x[0], x[1],
                    x[3], x[2]);
}

static spx_status masks(const side *t, float *const *x, size_t n)
{
    return spx_adam_masks(t->s, n, 3e-2f, 0.5f, 0.999f, &t->scalars->xi, &t->scalars->adam_t,
                          t->guard, x[0], x[1], x[3], x[2]);
}

static spx_status axpy(const side *t, float *const *x, size_t n)
{
    return spx_axpy(t->s, n, &t->scalars->xi, -1, x[0], x[1], x[1]);
}

static spx_status difference(const side *t, float *const *x, size_t n)
{
    return spx_central_difference(t->s, n, &t->scalars->lr, false, x[0], x[1], x[2]);
}

static spx_status ema(const side *t, float *const *x, size_t n)
{
    return spx_ema(t->s, n, &t->scalars->ema, t->guard, x[0], x[1]);
}

/*
 * The formulas are the same source. Emulated they are the same arithmetic, so bits are equal;
 * vectors and GPUs fuse products into sums, which saves at most 8 roundings of numbers of the
 * results' size.
 */
static double fusing(const device_env *e)
{
#ifdef SPX_CUDA_EMULATED
    return e->cuda ? 0 : 8 * SPX_U;
#else
    (void)e;
    return 8 * SPX_U;
#endif
}

static void check_update(device_env *e, spx_stream *portable, update_fn update, size_t n,
                         size_t off)
{
    const spx_scalars v = {.adam_t = 3, .lr = 0.1f, .xi = 0.025f, .ema = 0.9f};
    const spx_guard guard = {.clip = 0.5f, .ok = 1};
    side cpu = {.s = portable, .scalars = &v, .guard = &guard};
    side own = {.s = e->s,
                .scalars = env_copy(e, &v, sizeof v),
                .guard = env_copy(e, &guard, sizeof guard)};
    float *cpu_at[ARRAYS], *own_at[ARRAYS];
    for (int i = 0; i < ARRAYS; i++) {
        cpu.x[i] = pile_normal(&e->p, LONGEST + 1, 0, 1);
        for (size_t k = 0; i == ARRAYS - 1 && k <= LONGEST; k++) {
            cpu.x[i][k] = fabsf(cpu.x[i][k]); /* squares: not below 0 */
        }
        own.x[i] = env_floats(e, cpu.x[i], LONGEST + 1);
        cpu_at[i] = cpu.x[i] + off;
        own_at[i] = own.x[i] + off;
    }
    assert_int_equal(setenv("SPHYNX_ISA", spx_isa_name((spx_isa)0), 1), 0); /* no fused adds */
    CHECK_OK(update(&cpu, cpu_at, n));
    assert_int_equal(unsetenv("SPHYNX_ISA"), 0);
    CHECK_OK(update(&own, own_at, n));
    for (int i = 0; i < ARRAYS; i++) {
        const float *got = fetched(e, own.x[i], LONGEST + 1);
        CHECK_CLOSE(got, cpu.x[i], LONGEST + 1, fusing(e));
    }
    env_clear(e);
}

static void lengths_body(device_env *e, void *ctx)
{
    static const update_fn updates[] = {sgd, lookahead, adam, masks, axpy, difference, ema};
    static const size_t lengths[] = {0, 1, 3, 4, 5, 1023, 1024, 1025, LONGEST};
    for (size_t i = 0; i < 7 * 9; i++) {
        check_update(e, ctx, updates[i / 9], lengths[i % 9], i % 2);
    }
}

SPX_TEST(updates_give_what_portable_code_gives_at_every_length_and_alignment)
{
    spx_stream *portable;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&portable, SPX_DEVICE_CPU, 1));
    on_few(lengths_body, portable);
    spx_stream_destroy(portable);
}

static void bad_body(device_env *e, void *ctx)
{
    const spx_guard *g = guard_of(e, 1, 1);
    const uint64_t *t = count_of(e, 1);
    float *x = number(e, 0);
    double *norm = norm_of(e, 0), *space = norm_of(e, 0);
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_norm2(e->s, 1, NULL, norm, space));
    CHECK_FAILS(SPX_EINVAL, spx_norm2(e->s, 1, x, NULL, space));
    CHECK_FAILS(SPX_EINVAL, spx_norm2(e->s, 1, x, norm, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_guard_update(e->s, norm, x, 1, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_sgd(e->s, 1, x, &usual, g, x, NULL, x));
    CHECK_FAILS(SPX_EINVAL, spx_sgd(e->s, 1, x, &usual, NULL, x, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_sgd_lookahead(e->s, 1, x, 1, 1, x, x, x, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_adam(e->s, 1, 1, 0.9f, 0.9f, 0, NULL, g, x, x, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_adam(e->s, 1, 1, 1.0f, 0.9f, 0, t, g, x, x, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_adam_masks(e->s, 1, 1, 0.9f, 0.9f, NULL, t, g, x, x, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_axpy(e->s, 1, x, 1, x, NULL, x));
    CHECK_FAILS(SPX_EINVAL, spx_difference_step(e->s, NULL, x));
    CHECK_FAILS(SPX_EINVAL, spx_central_difference(e->s, 1, x, false, x, x, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_ema(e->s, 1, x, g, NULL, x));
    CHECK_OK(spx_axpy(e->s, 0, x, 1, NULL, NULL, NULL));
}

SPX_TEST(bad_arguments_are_refused)
{
    SPX_UNUSED;
    on_few(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(sgd_follows_pytorch_for_five_steps_and_lookahead_takes_the_next),
        SPX_UNIT(nesterov_sgd_follows_pytorch_with_decay_by_group_and_leaves_what_it_shall_leave),
        SPX_UNIT(adam_follows_pytorch_for_five_steps),
        SPX_UNIT(masks_follow_adam_with_a_penalty_and_stay_between_0_and_1),
        SPX_UNIT(axpy_and_ema_equal_their_formulas_in_place_too),
        SPX_UNIT(norm_is_summed_in_double_and_repeats),
        SPX_UNIT(the_guard_clips_long_gradients_only_and_stays_shut),
        SPX_UNIT(behind_a_shut_guard_nothing_changes),
        SPX_UNIT(the_central_difference_equals_its_formula_and_is_zero_without_a_direction),
        SPX_UNIT(updates_give_what_portable_code_gives_at_every_length_and_alignment),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
