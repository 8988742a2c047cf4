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

SPX_TEST(one_cycle_rises_to_its_peak_at_the_warm_up_and_falls_straight_to_its_end)
{
    const spx_schedule s = {
        .kind = SPX_SCHEDULE_ONE_CYCLE, .lr = 0.5, .lr_min = 0.1, .epochs = 10, .warmup = 2.5};
    spx_schedule none = s;
    SPX_UNUSED;
    CHECK_OK(spx_schedule_check(&s));
    for (int64_t step = 0; step < 10 * 4; step++) { /* of 4 an epoch; the peak is that of step 9 */
        const double want =
            step < 10 ? 0.5 * (double)(step + 1) / 10 : 0.1 + 0.4 * (double)(40 - step) / 30;
        assert_true(fabs((double)spx_schedule_lr(&s, step / 4, step % 4, 4) - want) < 1e-7);
    }
    none.warmup = 0;
    assert_true(spx_schedule_lr(&none, 0, 0, 4) == 0.5f);
    assert_true(spx_schedule_lr(&none, 5, 0, 4) == (float)0.3);
}

SPX_TEST(a_warm_up_scales_any_schedule_and_then_is_gone)
{
    const spx_schedule plain[] = {{.kind = SPX_SCHEDULE_COSINE, .lr = 0.2, .epochs = 8},
                                  {.kind = SPX_SCHEDULE_COSINE_STEPS, .lr = 0.2, .epochs = 8},
                                  {.kind = SPX_SCHEDULE_STEP,
                                   .lr = 0.2,
                                   .epochs = 8,
                                   .factor = 0.5,
                                   .n_milestones = 1,
                                   .milestone = {2}}};
    SPX_UNUSED;
    for (size_t k = 0; k < 3; k++) {
        spx_schedule s = plain[k];
        s.warmup = 3;
        CHECK_OK(spx_schedule_check(&s));
        for (int64_t step = 0; step < 8 * 5; step++) {
            const double rate = (double)spx_schedule_lr(&plain[k], step / 5, step % 5, 5);
            const double part = step < 15 ? (double)(step + 1) / 15 : 1;
            assert_true(fabs((double)spx_schedule_lr(&s, step / 5, step % 5, 5) - rate * part) <
                        1e-7);
        }
        s.warmup = 8;
        CHECK_FAILS(SPX_EINVAL, spx_schedule_check(&s));
        s.warmup = -1;
        CHECK_FAILS(SPX_EINVAL, spx_schedule_check(&s));
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
        SPX_UNIT(one_cycle_rises_to_its_peak_at_the_warm_up_and_falls_straight_to_its_end),
        SPX_UNIT(a_warm_up_scales_any_schedule_and_then_is_gone),
        SPX_UNIT(drop_path_rises_linearly_from_zero),
        SPX_UNIT(schedules_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
