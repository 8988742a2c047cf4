#include "host/train/metrics.h"
#include "tests/support/spx_test.h"

SPX_TEST(top1_and_top5_count_labels_among_the_largest_logits)
{
    /* label's rank: 0, 4, 5, 6 */
    const float logits[4][7] = {
        {9, 1, 2, 3, 4, 5, 6}, {1, 3, 4, 5, 6, 0, 2}, {1, 3, 4, 5, 6, 0, 2}, {1, 3, 4, 5, 6, 0, 2}};
    const int32_t label[4] = {0, 6, 0, 5};
    spx_metrics m = {0};
    SPX_UNUSED;
    spx_hits_add(&m, 4, 7, logits[0], label);
    assert_int_equal(m.images, 4);
    assert_int_equal(m.top1, 1);
    assert_int_equal(m.top5, 2);
    assert_true(spx_metrics_top1(&m) == 0.25 && spx_metrics_top5(&m) == 0.5);
}

SPX_TEST(loss_is_the_mean_cross_entropy_even_of_huge_logits)
{
    const float logits[2][2] = {{0, 0}, {10000, 9999}};
    const int32_t label[2] = {1, 1};
    spx_metrics m = {0};
    SPX_UNUSED;
    spx_hits_add(&m, 2, 2, logits[0], label);
    /* (log 2 + (1 + log(1 + 1/e)))/2; doubles, with 1e4 cancelled: 1e4 * 2^-53 */
    assert_true(fabs(spx_metrics_loss(&m) - (log(2.0) + 1 + log1p(exp(-1.0))) / 2) < 1e-11);
}

SPX_TEST(equal_logits_rank_by_class_and_nan_is_wrong)
{
    const float equal[6] = {1, 1, 1, 1, 1, 1};
    const float broken[6] = {NAN, NAN, NAN, NAN, NAN, NAN};
    const float one_nan[6] = {NAN, 0, 0, 0, 0, 0};
    const int32_t first = 0, last = 5, second = 1;
    spx_metrics m = {0};
    SPX_UNUSED;
    spx_hits_add(&m, 1, 6, equal, &first);
    assert_true(m.top1 == 1 && m.top5 == 1);
    spx_hits_add(&m, 1, 6, equal, &last);
    assert_true(m.top1 == 1 && m.top5 == 1);
    spx_hits_add(&m, 1, 6, broken, &first);
    assert_true(m.top1 == 1 && m.top5 == 1);
    spx_hits_add(&m, 1, 6, one_nan, &second); /* the NaN ranks before it */
    assert_true(m.top1 == 1 && m.top5 == 2);
}

SPX_TEST(a_logit_that_is_not_finite_leaves_no_accuracy)
{
    const float beside[3][3] = {{1, -INFINITY, 0}, {1, 0, INFINITY}, {1, NAN, 0}};
    const int32_t label = 0;
    SPX_UNUSED;
    for (int i = 0; i < 3; i++) {
        spx_metrics m = {0};
        spx_hits_add(&m, 1, 3, beside[i], &label);
        assert_true(isnan(m.loss));
    }
}

SPX_TEST(no_images_give_zero_and_not_nan)
{
    const spx_metrics m = {0};
    SPX_UNUSED;
    assert_true(spx_metrics_top1(&m) == 0 && spx_metrics_top5(&m) == 0 &&
                spx_metrics_loss(&m) == 0);
}

SPX_TEST(probabilities_are_the_softmax)
{
    float x[3] = {0, 0.69314718f, 0}; /* 1/4, 1/2, 1/4 */
    const float want[3] = {0.25f, 0.5f, 0.25f};
    SPX_UNUSED;
    spx_probabilities(3, x, x);
    CHECK_CLOSE(x, want, 3, 2e-7); /* log 2 rounded to f32, results rounded to f32 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(top1_and_top5_count_labels_among_the_largest_logits),
        SPX_UNIT(loss_is_the_mean_cross_entropy_even_of_huge_logits),
        SPX_UNIT(equal_logits_rank_by_class_and_nan_is_wrong),
        SPX_UNIT(a_logit_that_is_not_finite_leaves_no_accuracy),
        SPX_UNIT(no_images_give_zero_and_not_nan),
        SPX_UNIT(probabilities_are_the_softmax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
