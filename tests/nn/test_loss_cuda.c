/* Losses and counts on CUDA, against the specification in double and the definition of a rank. */
#include "tests/support/spx_cuda.h"

#include "kernels/nn/loss/loss_cuda.h"
#include "kernels/nn/loss/loss_private.h"
#include "tests/nn/loss_problem.h"

static void check(cuda_env *e, const loss_case *k)
{
    problem q;
    problem_init(&q, k);
    const size_t all = k->n * k->classes;
    const int64_t n = (int64_t)k->n, classes = (int64_t)k->classes;
    const double smoothing = (double)k->smoothing;
    float loss, *dx = pile_bytes(&q.p, all * sizeof *dx), *want = pile_copy(&q.p, dx, all);
    float *logits = cuda_floats(e, q.logits, all), *ddx = cuda_floats(e, dx, all);
    float *dloss = cuda_floats(e, dx, 1);
    const int32_t *label = cuda_copy(e, q.label, k->n * sizeof *q.label);
    const double loss_want =
        spx_cross_entropy_forward_ref(k->n, k->classes, q.logits, q.label, smoothing);
    spx_cross_entropy_backward_ref(k->n, k->classes, q.logits, q.label, smoothing, (double)0.4f,
                                   want);
    CHECK_OK(spx_cross_entropy_forward_cuda(e->s, n, classes, logits, label, k->smoothing, dloss));
    CHECK_OK(
        spx_cross_entropy_backward_cuda(e->s, n, classes, logits, label, k->smoothing, 0.4f, ddx));
    cuda_queue_fetch(e, &loss, dloss, sizeof loss);
    cuda_queue_fetch(e, dx, ddx, all * sizeof *dx);
    cuda_settle(e);
    /*
     * expf (2 ulp = 4 u) of a rounded difference: an exponential is off by (5 + |x - max|) u, and
     * only those within 20 of the largest count: 25 u; a lane adds up to classes/32 of them in f32;
     * the rest is in double and the result is rounded. The mean that smoothing weighs is of numbers
     * as large as the spread of the logits, likewise added.
     */
    const double lane = (double)(k->classes / 32 + 1) * SPX_U, spread = 12 * (double)k->spread;
    assert_true(fabs((double)loss - loss_want) <=
                25 * SPX_U + lane + smoothing * (lane + SPX_U) * spread + SPX_U * fabs(loss_want));
    for (size_t i = 0; i < all; i++) { /* weight/n times the errors of two numbers below 1 */
        assert_true(fabs((double)dx[i] - (double)want[i]) <=
                    0.4 / (double)k->n * (2 * 25 * SPX_U + lane + 4 * SPX_U));
    }
    cuda_clear(e);
    pile_clear(&q.p);
}

static void cases_body(cuda_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < LOSS_CASES; i++) {
        check(e, &loss_cases[i]);
    }
}

SPX_TEST(loss_and_gradient_equal_the_formula)
{
    SPX_UNUSED;
    cuda_on_types(cases_body, NULL);
}

static void label_body(cuda_env *e, void *ctx)
{
    const float x[8] = {0};
    const int32_t bad[][2] = {{0, 4}, {-1, 0}};
    float loss, dx[8];
    (void)ctx;
    for (size_t i = 0; i < 2; i++) {
        float *logits = cuda_floats(e, x, 8), *out = cuda_floats(e, x, 8);
        const int32_t *label = cuda_copy(e, bad[i], sizeof bad[i]);
        CHECK_OK(spx_cross_entropy_forward_cuda(e->s, 2, 4, logits, label, 0.1f, out));
        cuda_fetch(e, &loss, out, sizeof loss);
        assert_true(isnan(loss));
        CHECK_OK(spx_cross_entropy_backward_cuda(e->s, 2, 4, logits, label, 0.1f, 1, out));
        cuda_fetch(e, dx, out, sizeof dx); /* no write beside the row */
    }
}

SPX_TEST(a_label_out_of_range_makes_the_loss_nan_and_harms_no_memory)
{
    SPX_UNUSED;
    cuda_on_types(label_body, NULL);
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

static void hits_body(cuda_env *e, void *ctx)
{
    const loss_case k = {ROWS, CLASSES, 0, 2};
    problem q;
    (void)ctx;
    problem_init(&q, &k);
    for (int i = 0; i < ROWS * CLASSES; i++) {
        q.logits[i] = roundf(q.logits[i]); /* many are equal */
    }
    float *logits = cuda_floats(e, q.logits, ROWS * CLASSES);
    const int32_t *label = cuda_copy(e, q.label, ROWS * sizeof *q.label);
    const int64_t valid[] = {ROWS, 33, 1, 0};
    const spx_hits before = {1000, 100, 200, 0.5};
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++) {
        spx_hits got, want = hits_of(q.logits, q.label, valid[i]);
        spx_hits *hits = cuda_copy(e, &before, sizeof before);
        CHECK_OK(spx_count_hits_cuda(e->s, ROWS, valid[i], CLASSES, logits, label, hits));
        cuda_fetch(e, &got, hits, sizeof got);
        assert_int_equal(got.images, before.images + want.images);
        assert_int_equal(got.top1, before.top1 + want.top1);
        assert_int_equal(got.top5, before.top5 + want.top5);
        /* 25 u, as above, and the two additions of a lane, for each row */
        assert_true(fabs(got.loss - before.loss - want.loss) <= (double)valid[i] * 27 * SPX_U);
    }
    q.logits[q.label[0]] = NAN;
    logits = cuda_floats(e, q.logits, ROWS * CLASSES);
    spx_hits got = {0}, *hits = cuda_copy(e, &got, sizeof got);
    CHECK_OK(spx_count_hits_cuda(e->s, ROWS, 1, CLASSES, logits, label, hits));
    cuda_fetch(e, &got, hits, sizeof got);
    assert_true(got.images == 1 && got.top1 == 0 && got.top5 == 0 && isnan(got.loss));
    const int other = q.label[1] == 0 ? 1 : 0; /* beside the label, where a sum would hide it */
    q.logits[CLASSES + other] = -INFINITY;
    logits = cuda_floats(e, q.logits + CLASSES, CLASSES);
    got = (spx_hits){0};
    hits = cuda_copy(e, &got, sizeof got);
    CHECK_OK(spx_count_hits_cuda(e->s, 1, 1, CLASSES, logits, label + 1, hits));
    cuda_fetch(e, &got, hits, sizeof got);
    assert_true(got.images == 1 && isnan(got.loss));
    pile_clear(&q.p);
}

SPX_TEST(hits_are_counted_by_rank_ties_by_index_and_nan_is_wrong)
{
    SPX_UNUSED;
    cuda_on_types(hits_body, NULL);
}

static void bad_body(cuda_env *e, void *ctx)
{
    float *x = cuda_bytes(e, 64);
    int32_t *label = cuda_bytes(e, 64);
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_forward_cuda(e->s, 0, 2, x, label, 0, x));
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_forward_cuda(e->s, 2, 2, x, label, 1.5f, x));
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_forward_cuda(e->s, 2, 2, x, label, NAN, x));
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_backward_cuda(e->s, 2, 2, NULL, label, 0, 1, x));
    CHECK_FAILS(SPX_EINVAL, spx_count_hits_cuda(e->s, 2, 3, 2, x, label, (spx_hits *)(void *)x));
}

SPX_TEST(bad_arguments_are_refused)
{
    SPX_UNUSED;
    cuda_on_types(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(loss_and_gradient_equal_the_formula),
        SPX_UNIT(a_label_out_of_range_makes_the_loss_nan_and_harms_no_memory),
        SPX_UNIT(hits_are_counted_by_rank_ties_by_index_and_nan_is_wrong),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_cuda_run(all_tests);
}
