#include "tests/support/spx_fixture.h"

#include "kernels/nn/loss/loss.h"
#include "kernels/nn/loss/loss_private.h"
#include "tests/nn/loss_problem.h"

static void body(spx_stream *s, void *ctx)
{
    problem *q = ctx;
    const size_t all = q->k.n * q->k.classes;
    const double want = spx_cross_entropy_forward_ref(q->k.n, q->k.classes, q->logits, q->label,
                                                      (double)q->k.smoothing);
    float loss, again, *dx = pile_bytes(&q->p, all * sizeof *dx),
                       *dx_want = pile_copy(&q->p, dx, all);
    CHECK_OK(spx_cross_entropy_forward(s, (int64_t)q->k.n, (int64_t)q->k.classes, q->logits,
                                       q->label, q->k.smoothing, &loss));
    CHECK_OK(spx_cross_entropy_forward(s, (int64_t)q->k.n, (int64_t)q->k.classes, q->logits,
                                       q->label, q->k.smoothing, &again));
    assert_true(loss == again);
    /* expf (1 ulp) of a rounded difference: an exponential is off by (2 + |x - max|) u, and only
     * those within 20 of the largest count; their sum and logarithm are in double; the result is
     * rounded */
    assert_true(fabs((double)loss - want) <= 22 * SPX_U + SPX_U * fabs(want));
    CHECK_OK(spx_cross_entropy_backward(s, (int64_t)q->k.n, (int64_t)q->k.classes, q->logits,
                                        q->label, q->k.smoothing, 0.4f, dx));
    spx_cross_entropy_backward_ref(q->k.n, q->k.classes, q->logits, q->label,
                                   (double)q->k.smoothing, (double)0.4f, dx_want);
    for (size_t i = 0; i < all; i++) { /* weight/n times the errors of two numbers below 1 */
        assert_true(fabs((double)dx[i] - (double)dx_want[i]) <= 0.4 / (double)q->k.n * 52 * SPX_U);
    }
}

SPX_TEST(loss_and_gradient_equal_the_formula)
{
    SPX_UNUSED;
    for (size_t i = 0; i < LOSS_CASES; i++) {
        problem q;
        problem_init(&q, &loss_cases[i]);
        spx_on_every_stream(body, &q);
        pile_clear(&q.p);
    }
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

SPX_TEST(gradient_equals_finite_differences)
{
    SPX_UNUSED;
    for (size_t i = 0; i < LOSS_CASES && loss_cases[i].spread <= 5; i++) {
        problem q;
        spx_stream *s;
        const double h = 1e-5; /* truncation h^2, rounding 1e-16 * loss / h */
        double product = 0, slope;
        float *direction, *dx;
        size_t all;
        problem_init(&q, &loss_cases[i]);
        all = q.k.n * q.k.classes;
        direction = pile_normal(&q.p, all, 0, 1);
        dx = pile_bytes(&q.p, all * sizeof *dx);
        CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 2));
        CHECK_OK(spx_cross_entropy_backward(s, (int64_t)q.k.n, (int64_t)q.k.classes, q.logits,
                                            q.label, q.k.smoothing, 1, dx));
        for (size_t k = 0; k < all; k++) {
            product += (double)dx[k] * (double)direction[k];
        }
        slope = (moved_loss(&q, direction, h) - moved_loss(&q, direction, -h)) / (2 * h);
        /* 52 u per element of dx * n, as above, of random sign, times a normal direction */
        assert_true(fabs(slope - product) <= 4 * 52 * SPX_U + 1e-9);
        spx_stream_destroy(s);
        pile_clear(&q.p);
    }
}

SPX_TEST(bad_labels_and_arguments_are_refused_before_any_work)
{
    spx_stream *s;
    const float x[4] = {0};
    const int32_t high[] = {0, 2}, low[] = {-1, 0}, good[] = {0, 1};
    float loss = 7, dx[4] = {7};
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_forward(s, 2, 2, x, high, 0, &loss));
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_backward(s, 2, 2, x, low, 0, 1, dx));
    assert_true(loss == 7 && dx[0] == 7);
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_forward(s, 0, 2, x, good, 0, &loss));
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_forward(s, 2, 2, x, good, 1.5f, &loss));
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_forward(s, 2, 2, x, good, NAN, &loss));
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_forward(s, 2, 2, NULL, good, 0, &loss));
    CHECK_FAILS(SPX_EINVAL, spx_cross_entropy_backward(s, 2, 2, x, good, 0, 1, NULL));
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(loss_and_gradient_equal_the_formula),
        SPX_UNIT(gradient_equals_finite_differences),
        SPX_UNIT(bad_labels_and_arguments_are_refused_before_any_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
