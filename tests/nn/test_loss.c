/* Losses and counts, against the specification in double and the definition of a rank. */
#include "tests/support/spx_devices.h"

#include "kernels/nn/loss/loss.h"
#include "kernels/nn/loss/loss_private.h"

typedef struct loss_case {
    size_t n, classes;
    float smoothing, spread;
} loss_case;

static const loss_case cases[] = {
    {1, 1, 0, 1},        {1, 2, 0, 1},  {7, 10, 0.1f, 3},    {64, 100, 0, 5},
    {5, 1000, 0.1f, 30}, {3, 10, 1, 1}, {4, 10, 0.2f, 1e4f},
};
#define CASES (sizeof cases / sizeof cases[0])

typedef struct problem {
    loss_case k;
    size_t all;
    float *logits, *dev_logits;
    int32_t *label, *dev_label;
} problem;

static void problem_init(device_env *e, problem *q, const loss_case *k)
{
    spx_rng r;
    q->k = *k;
    q->all = k->n * k->classes;
    q->logits = pile_normal(&e->p, q->all, 0, k->spread);
    q->label = pile_bytes(&e->p, k->n * sizeof *q->label);
    spx_rng_init(&r, 2, SPX_RNG_TEST, 0);
    for (size_t i = 0; i < k->n; i++) {
        q->label[i] = (int32_t)spx_rng_below(&r, (uint32_t)k->classes);
    }
    q->dev_logits = env_floats(e, q->logits, q->all);
    q->dev_label = env_copy(e, q->label, k->n * sizeof *q->label);
}

static float loss_of(device_env *e, const problem *q)
{
    const float zero = 0;
    float loss, *out = env_floats(e, &zero, 1);
    CHECK_OK(spx_cross_entropy_forward(e->s, (int64_t)q->k.n, (int64_t)q->k.classes, q->dev_logits,
                                       q->dev_label, q->k.smoothing, out));
    env_fetch(e, &loss, out, sizeof loss);
    return loss;
}

/* Added to old, or alone where that is NULL. */
static float *gradient_of(device_env *e, const problem *q, float weight, const float *old)
{
    float *dx = pile_bytes(&e->p, q->all * sizeof *dx);
    float *out = env_floats(e, old != NULL ? old : dx, q->all);
    CHECK_OK(spx_cross_entropy_backward(e->s, (int64_t)q->k.n, (int64_t)q->k.classes, q->dev_logits,
                                        q->dev_label, q->k.smoothing, weight, old != NULL, out));
    env_fetch(e, dx, out, q->all * sizeof *dx);
    return dx;
}

/*
 * expf (1 ulp on the CPU, 2 ulp = 4 u on CUDA) of a rounded difference: an exponential is off by
 * (2 + |x - max|) u, or (5 + |x - max|) u, and only those within 20 of the largest count: 22 and
 * 25 u. A lane of CUDA adds up to classes/32 of them in f32; the rest is in double.
 */
static double exponential(const device_env *e)
{
    return (e->cuda ? 25 : 22) * SPX_U;
}

static double lane(const device_env *e, const problem *q)
{
    return e->cuda ? (double)(q->k.classes / 32 + 1) * SPX_U : 0;
}

/* Of an element of the gradient times n/weight: of two numbers below 1, and their products. */
static double difference(const device_env *e, const problem *q)
{
    return 2 * exponential(e) + lane(e, q) + (e->cuda ? 4 : 8) * SPX_U;
}

static void check(device_env *e, const loss_case *k)
{
    problem q;
    problem_init(e, &q, k);
    const double smoothing = (double)k->smoothing;
    const double want =
        spx_cross_entropy_forward_ref(k->n, k->classes, q.logits, q.label, smoothing);
    const float loss = loss_of(e, &q), *dx = gradient_of(e, &q, 0.4f, NULL);
    float *dx_want = pile_bytes(&e->p, q.all * sizeof *dx_want);
    /* the mean that smoothing weighs is of numbers as large as the spread of the logits, likewise
     * added; the result is rounded */
    const double mean = e->cuda ? smoothing * (lane(e, &q) + SPX_U) * 12 * (double)k->spread : 0;
    assert_true(loss == loss_of(e, &q));
    assert_true(fabs((double)loss - want) <=
                exponential(e) + lane(e, &q) + mean + SPX_U * fabs(want));
    spx_cross_entropy_backward_ref(k->n, k->classes, q.logits, q.label, smoothing, (double)0.4f,
                                   false, dx_want);
    for (size_t i = 0; i < q.all; i++) {
        assert_true(fabs((double)dx[i] - (double)dx_want[i]) <=
                    0.4 / (double)k->n * difference(e, &q));
    }
    env_clear(e);
}

static void cases_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < CASES; i++) {
        check(e, &cases[i]);
    }
}

SPX_TEST(loss_and_gradient_equal_the_formula)
{
    SPX_UNUSED;
    on_each(cases_body, NULL);
}

/* loss in double with logits moved by h along a direction */
static double moved_loss(const problem *q, const float *direction, double h)
{
    double loss = 0;
    for (size_t i = 0; i < q->k.n; i++) {
        double sum = 0, dot = 0;
        for (size_t k = 0; k < q->k.classes; k++) {
            const size_t at = i * q->k.classes + k;
            const double x = (double)q->logits[at] + h * (double)direction[at];
            const double t = (1 - (double)q->k.smoothing) * (k == (size_t)q->label[i]) +
                             (double)q->k.smoothing / (double)q->k.classes;
            sum += exp(x);
            dot += t * x;
        }
        loss += log(sum) - dot;
    }
    return loss / (double)q->k.n;
}

static void gradient_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < CASES && cases[i].spread <= 5; i++) {
        const double h = 1e-5; /* truncation h^2, rounding 1e-16 * loss / h */
        double product = 0, slope;
        problem q;
        problem_init(e, &q, &cases[i]);
        const float *direction = pile_normal(&e->p, q.all, 0, 1), *dx = gradient_of(e, &q, 1, NULL);
        for (size_t k = 0; k < q.all; k++) {
            product += (double)dx[k] * (double)direction[k];
        }
        slope = (moved_loss(&q, direction, h) - moved_loss(&q, direction, -h)) / (2 * h);
        /* the error of an element of dx * n, as above, of random sign, times a normal direction */
        assert_true(fabs(slope - product) <= 4 * difference(e, &q) + 1e-9);
        env_clear(e);
    }
}

SPX_TEST(gradient_equals_finite_differences)
{
    SPX_UNUSED;
    on_each(gradient_body, NULL);
}

static void label_body(device_env *e, void *ctx)
{
    const float x[8] = {7};
    const int32_t bad[][2] = {{0, 4}, {-1, 0}};
    float loss, dx[8];
    (void)ctx;
    for (size_t i = 0; i < 2; i++) {
        float *logits = env_floats(e, x, 8), *out = env_floats(e, x, 8);
        const int32_t *label = env_copy(e, bad[i], sizeof bad[i]);
        if (!e->cuda) {
            CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_forward(e->s, 2, 4, logits, label, 0, out));
            CHECK_FAILS(SPX_EINVAL,
                        spx_cross_entropy_backward(e->s, 2, 4, logits, label, 0, 1, false, out));
            assert_true(out[0] == 7); /* before any work */
            continue;
        }
        CHECK_OK(spx_cross_entropy_forward(e->s, 2, 4, logits, label, 0.1f, out));
        env_fetch(e, &loss, out, sizeof loss);
        assert_true(isnan(loss));
        CHECK_OK(spx_cross_entropy_backward(e->s, 2, 4, logits, label, 0.1f, 1, false, out));
        env_fetch(e, dx, out, sizeof dx); /* no write beside the row */
    }
}

SPX_TEST(a_label_out_of_range_is_refused_or_on_cuda_makes_the_loss_nan_and_harms_no_memory)
{
    SPX_UNUSED;
    on_each(label_body, NULL);
}

enum { ROWS = 70, CLASSES = 37 };

/* What the definition says, row by row. */
static spx_hits hits_of(const float *x, const int32_t *label, int64_t valid)
{
    spx_hits h = {.images = valid};
    for (int64_t i = 0; i < valid; i++) {
        const float *row = x + i * CLASSES;
        const float own = row[label[i]];
        int rank = 0;
        for (int k = 0; k < CLASSES; k++) {
            rank += row[k] > own || isnan(row[k]) || (row[k] == own && k < label[i]);
        }
        h.top1 += rank < 1 && !isnan(own);
        h.top5 += rank < 5 && !isnan(own);
        h.loss += spx_cross_entropy_forward_ref(1, CLASSES, row, &label[i], 0);
    }
    return h;
}

/* Counts rows of those classes onto `before`. */
static spx_hits count(device_env *e, int64_t n, int64_t valid, const float *x, const int32_t *label,
                      spx_hits before)
{
    spx_hits *hits = env_copy(e, &before, sizeof before), got;
    CHECK_OK(spx_count_hits(e->s, n, valid, CLASSES, env_floats(e, x, (size_t)n * CLASSES),
                            env_copy(e, label, (size_t)n * sizeof *label), hits));
    env_fetch(e, &got, hits, sizeof got);
    return got;
}

static void hits_body(device_env *e, void *ctx)
{
    static const int64_t valid[] = {ROWS, 33, 1, 0};
    const spx_hits before = {1000, 100, 200, 0.5}, none = {0};
    const loss_case k = {ROWS, CLASSES, 0, 2};
    problem q;
    (void)ctx;
    problem_init(e, &q, &k);
    for (int i = 0; i < ROWS * CLASSES; i++) {
        q.logits[i] = roundf(q.logits[i]); /* many are equal */
    }
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++) {
        const spx_hits want = hits_of(q.logits, q.label, valid[i]);
        const spx_hits got = count(e, ROWS, valid[i], q.logits, q.label, before);
        assert_int_equal(got.images, before.images + want.images);
        assert_int_equal(got.top1, before.top1 + want.top1);
        assert_int_equal(got.top5, before.top5 + want.top5);
        /* 25 u, as above, and the two additions of a lane, for each row */
        assert_true(fabs(got.loss - before.loss - want.loss) <= (double)valid[i] * 27 * SPX_U);
    }
    q.logits[q.label[0]] = NAN;
    spx_hits got = count(e, ROWS, 1, q.logits, q.label, none);
    assert_true(got.images == 1 && got.top1 == 0 && got.top5 == 0 && isnan(got.loss));
    const int other = q.label[1] == 0 ? 1 : 0; /* beside the label, where a sum would hide it */
    q.logits[CLASSES + other] = -INFINITY;
    got = count(e, 1, 1, q.logits + CLASSES, q.label + 1, none);
    assert_true(got.images == 1 && isnan(got.loss));
}

SPX_TEST(hits_are_counted_by_rank_ties_by_index_and_nan_is_wrong)
{
    SPX_UNUSED;
    on_each(hits_body, NULL);
}

static void bad_body(device_env *e, void *ctx)
{
    float *x = env_bytes(e, 64);
    int32_t *label = env_bytes(e, 64);
    spx_hits *hits = env_bytes(e, sizeof *hits);
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_forward(e->s, 0, 2, x, label, 0, x));
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_forward(e->s, 2, 2, x, label, 1.5f, x));
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_forward(e->s, 2, 2, x, label, NAN, x));
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_forward(e->s, 2, 2, NULL, label, 0, x));
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_backward(e->s, 2, 2, NULL, label, 0, 1, false, x));
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_backward(e->s, 2, 2, x, label, 0, 1, false, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_count_hits(e->s, 2, 3, 2, x, label, hits));
    CHECK_FAILS(SPX_EINVAL, spx_count_hits(e->s, 2, 2, 2, x, label, NULL));
}

SPX_TEST(bad_arguments_are_refused)
{
    SPX_UNUSED;
    on_each(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(loss_and_gradient_equal_the_formula),
        SPX_UNIT(gradient_equals_finite_differences),
        SPX_UNIT(a_label_out_of_range_is_refused_or_on_cuda_makes_the_loss_nan_and_harms_no_memory),
        SPX_UNIT(hits_are_counted_by_rank_ties_by_index_and_nan_is_wrong),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
