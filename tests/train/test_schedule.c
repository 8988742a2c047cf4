#include "host/train/schedule.h"
#include "tests/support/spx_test.h"

SPX_TEST(cosine_starts_at_lr_halves_at_the_middle_and_tends_to_lr_min)
{
    const spx_schedule s = {
        .kind = SPX_SCHEDULE_COSINE, .lr = 0.025, .lr_min = 0.001, .epochs = 50};
    SPX_UNUSED;
    CHECK_OK(spx_schedule_check(&s));
    assert_true(spx_schedule_lr(&s, 0, 0, 1) == 0.025f);
    /* cos(pi/2) is 6e-17 in double: the mean of both ends after rounding to f32 */
    assert_true(spx_schedule_lr(&s, 25, 0, 1) == (float)0.013);
    /* Last epoch of 50: 0.001 + 0.012*(1 + cos(49 pi/50)), 0.00102367926 by another program */
    assert_true(fabs((double)spx_schedule_lr(&s, 49, 0, 1) - 0.00102367926) < 1e-10);
    for (int64_t e = 1; e < 50; e++) {
        assert_true(spx_schedule_lr(&s, e, 0, 1) < spx_schedule_lr(&s, e - 1, 0, 1));
    }
}

SPX_TEST(cosine_steps_falls_at_each_step_and_meets_cosine_at_the_epochs)
{
    const spx_schedule epochs = {.kind = SPX_SCHEDULE_COSINE, .lr = 0.2, .epochs = 2};
    const spx_schedule steps = {.kind = SPX_SCHEDULE_COSINE_STEPS, .lr = 0.2, .epochs = 2};
    const spx_schedule bad = {
        .kind = SPX_SCHEDULE_COSINE_STEPS, .lr = 0.1, .lr_min = 0.2, .epochs = 1};
    SPX_UNUSED;
    CHECK_OK(spx_schedule_check(&steps));
    CHECK_FAILS(SPX_EINVAL, spx_schedule_check(&bad));
    for (int64_t e = 0; e < 2; e++) {
        assert_true(spx_schedule_lr(&steps, e, 0, 100) == spx_schedule_lr(&epochs, e, 0, 100));
        for (int64_t done = 1; done < 100; done++) {
            assert_true(spx_schedule_lr(&steps, e, done, 100) <
                        spx_schedule_lr(&steps, e, done - 1, 100));
            assert_true(spx_schedule_lr(&epochs, e, done, 100) ==
                        spx_schedule_lr(&epochs, e, 0, 100));
        }
    }
    /* 0.1 * (1 + cos(3 pi / 4)) = 0.1 - 0.1 / sqrt 2: one rounding to f32 */
    assert_true(fabs((double)spx_schedule_lr(&steps, 1, 50, 100) - 0.029289321881345254) < 1e-9);
}

SPX_TEST(steps_divide_at_their_milestones_and_nowhere_else)
{
    const spx_schedule s = {.kind = SPX_SCHEDULE_STEP,
                            .lr = 0.1,
                            .epochs = 120,
                            .factor = 0.1,
                            .n_milestones = 3,
                            .milestone = {30, 60, 90}};
    const double want[] = {0.1, 0.01, 0.001, 0.0001};
    SPX_UNUSED;
    CHECK_OK(spx_schedule_check(&s));
    for (int64_t e = 0; e < 120; e++) {
        /* three products in double, one rounding to f32: 2^-24 relative and a little */
        assert_true(fabs((double)spx_schedule_lr(&s, e, 0, 1) / want[e / 30] - 1) < 1e-7);
    }
}

SPX_TEST(drop_path_rises_linearly_from_zero)
{
    SPX_UNUSED;
    assert_true(spx_drop_path_ramp(0.2, 0, 600) == 0.0f);
    assert_true(spx_drop_path_ramp(0.2, 300, 600) == 0.1f);
    assert_true(spx_drop_path_ramp(0.2, 599, 600) < 0.2f);
}

SPX_TEST(schedules_out_of_range_are_refused)
{
    const spx_schedule good = {.kind = SPX_SCHEDULE_STEP,
                               .lr = 0.1,
                               .epochs = 2,
                               .factor = 0.1,
                               .n_milestones = 2,
                               .milestone = {1, 2}};
    spx_schedule s = good;
    SPX_UNUSED;
    CHECK_OK(spx_schedule_check(&s));
    s.lr = 0;
    CHECK_FAILS(SPX_EINVAL, spx_schedule_check(&s));
    s = good;
    s.lr = NAN;
    CHECK_FAILS(SPX_EINVAL, spx_schedule_check(&s));
    s = good;
    s.epochs = 0;
    CHECK_FAILS(SPX_EINVAL, spx_schedule_check(&s));
    s = good;
    s.factor = 1.5;
    CHECK_FAILS(SPX_EINVAL, spx_schedule_check(&s));
    s = good;
    s.milestone[1] = 1;
    CHECK_FAILS(SPX_EINVAL, spx_schedule_check(&s));
    s = good;
    s.n_milestones = SPX_SCHEDULE_MILESTONES + 1;
    CHECK_FAILS(SPX_EINVAL, spx_schedule_check(&s));
    s = (spx_schedule){.kind = SPX_SCHEDULE_COSINE, .lr = 0.1, .lr_min = 0.2, .epochs = 1};
    CHECK_FAILS(SPX_EINVAL, spx_schedule_check(&s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(cosine_starts_at_lr_halves_at_the_middle_and_tends_to_lr_min),
        SPX_UNIT(cosine_steps_falls_at_each_step_and_meets_cosine_at_the_epochs),
        SPX_UNIT(steps_divide_at_their_milestones_and_nowhere_else),
        SPX_UNIT(drop_path_rises_linearly_from_zero),
        SPX_UNIT(schedules_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
