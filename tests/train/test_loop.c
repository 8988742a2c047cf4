#include "host/train/loop.h"
#include "tests/support/spx_test.h"

#include <stdbool.h>

/*
 * A run whose whole state is one number, folded over what happens; what is saved is that number and
 * the loop's state. Two runs are the same if the numbers are.
 */
typedef struct sim {
    uint64_t value;
    int64_t calls;   /* of stop, over the process's life */
    int64_t stop_at; /* stop is asked for at that call; < 0: never */
    bool refuse_end; /* end_epoch is interrupted once */
    int ends;
    uint64_t saved_value;
    json_t *saved;
    int saves;
    spx_status step_fails, end_fails, save_fails;
} sim;

static void fold(sim *s, uint64_t x)
{
    s->value = (s->value ^ x) * 0x9E3779B97F4A7C15u + 1;
}

static spx_status sim_step(void *ctx, spx_loop_state *st)
{
    sim *s = ctx;
    if (s->step_fails != SPX_OK) {
        return SPX_FAIL(s->step_fails, "step 1: the loss is nan");
    }
    fold(s, (uint64_t)(st->epoch * 1000 + st->epoch_step));
    st->train.images += 3;
    st->train.loss += 0.1 * (double)(st->step + 1);
    return SPX_OK;
}

static spx_status sim_end(void *ctx, const spx_loop_state *st)
{
    sim *s = ctx;
    uint64_t bits;
    if (s->refuse_end) {
        s->refuse_end = false;
        return SPX_FAIL(SPX_EINTERRUPTED, "not now");
    }
    if (s->end_fails != SPX_OK) {
        return SPX_FAIL(s->end_fails, "the loss is nan");
    }
    memcpy(&bits, &st->train.loss, sizeof bits);
    fold(s, bits + (uint64_t)st->train.images);
    s->ends++;
    return SPX_OK;
}

static spx_status sim_save(void *ctx, const spx_loop_state *st)
{
    sim *s = ctx;
    if (s->save_fails != SPX_OK) {
        return SPX_FAIL(s->save_fails, "a variance is inf");
    }
    json_decref(s->saved);
    s->saved = spx_loop_state_json(st);
    s->saved_value = s->value;
    s->saves++;
    return s->saved != NULL ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "json");
}

static spx_status sim_stop(void *ctx)
{
    sim *s = ctx;
    return s->calls++ == s->stop_at ? SPX_FAIL(SPX_EINTERRUPTED, "a signal came") : SPX_OK;
}

static spx_loop make_loop(sim *s)
{
    return (spx_loop){.epochs = 3,
                      .epoch_steps = 5,
                      .save_every = 2,
                      .ctx = s,
                      .step = sim_step,
                      .end_epoch = sim_end,
                      .save = sim_save,
                      .stop = sim_stop};
}

/* What a new process knows: the last checkpoint. */
static void restart(sim *s, spx_loop_state *st)
{
    memset(st, 0, sizeof *st);
    s->value = s->saved_value;
    s->stop_at = -1;
    if (s->saved != NULL) {
        CHECK_OK(spx_loop_state_parse(st, s->saved));
    }
}

static uint64_t undisturbed(int64_t max_steps)
{
    sim s = {.stop_at = -1};
    spx_loop l = make_loop(&s);
    spx_loop_state st = {0};
    l.max_steps = max_steps;
    CHECK_OK(spx_loop_run(&l, &st));
    json_decref(s.saved);
    return s.value;
}

SPX_TEST(stopped_after_any_step_and_resumed_a_run_ends_the_same)
{
    const uint64_t want = undisturbed(0);
    SPX_UNUSED;
    for (int64_t at = 0; at < 15; at++) {
        sim s = {.stop_at = at};
        const spx_loop l = make_loop(&s);
        spx_loop_state st = {0};
        CHECK_FAILS(SPX_EINTERRUPTED, spx_loop_run(&l, &st));
        assert_non_null(strstr(spx_error_message(), "a signal came; saved after step"));
        restart(&s, &st);
        CHECK_OK(spx_loop_run(&l, &st));
        assert_true(s.value == want);
        json_decref(s.saved);
    }
}

SPX_TEST(interrupted_in_the_end_of_an_epoch_it_is_done_once_after_resuming)
{
    sim s = {.stop_at = -1, .refuse_end = true};
    const spx_loop l = make_loop(&s);
    spx_loop_state st = {0};
    SPX_UNUSED;
    CHECK_FAILS(SPX_EINTERRUPTED, spx_loop_run(&l, &st));
    assert_int_equal(s.ends, 0);
    restart(&s, &st);
    CHECK_OK(spx_loop_run(&l, &st));
    assert_int_equal(s.ends, 3);
    assert_true(s.value == undisturbed(0));
    json_decref(s.saved);
}

SPX_TEST(cut_by_max_steps_and_continued_a_run_ends_the_same)
{
    SPX_UNUSED;
    for (int64_t cut = 1; cut <= 15; cut++) {
        sim s = {.stop_at = -1};
        spx_loop l = make_loop(&s);
        spx_loop_state st = {0};
        l.max_steps = cut;
        CHECK_OK(spx_loop_run(&l, &st));
        assert_int_equal(st.step, cut);
        assert_true(s.value == undisturbed(cut));
        restart(&s, &st);
        l.max_steps = 0;
        CHECK_OK(spx_loop_run(&l, &st));
        assert_true(s.value == undisturbed(0));
        json_decref(s.saved);
    }
}

SPX_TEST(a_failing_step_ends_the_run_and_saves_nothing_after_it)
{
    sim s = {.stop_at = -1, .step_fails = SPX_ENUMERIC};
    const spx_loop l = make_loop(&s);
    spx_loop_state st = {0};
    SPX_UNUSED;
    CHECK_FAILS(SPX_ENUMERIC, spx_loop_run(&l, &st));
    assert_string_equal(spx_error_message(),
                        "diverged, try a lower --lr: step 1: the loss is nan");
    assert_int_equal(s.saves, 0);
}

SPX_TEST(a_divergence_seen_in_saving_or_at_an_epochs_end_is_told_with_its_step)
{
    sim save = {.stop_at = -1, .save_fails = SPX_ENUMERIC};
    sim end = {.stop_at = -1, .end_fails = SPX_ENUMERIC};
    sim disk = {.stop_at = -1, .save_fails = SPX_EIO};
    spx_loop l = make_loop(&save);
    spx_loop_state st = {0};
    SPX_UNUSED;
    CHECK_FAILS(SPX_ENUMERIC, spx_loop_run(&l, &st));
    assert_non_null(strstr(spx_error_message(), "diverged, try a lower --lr: step 2: "));
    assert_non_null(strstr(spx_error_message(), "a variance is inf"));
    l = make_loop(&end);
    st = (spx_loop_state){0};
    CHECK_FAILS(SPX_ENUMERIC, spx_loop_run(&l, &st));
    assert_non_null(strstr(spx_error_message(), "diverged, try a lower --lr: step 5: "));
    json_decref(end.saved);
    l = make_loop(&disk);
    st = (spx_loop_state){0};
    CHECK_FAILS(SPX_EIO, spx_loop_run(&l, &st)); /* any other failure stays as it is */
    assert_null(strstr(spx_error_message(), "diverged"));
}

SPX_TEST(states_outside_the_run_are_refused)
{
    sim s = {.stop_at = -1};
    spx_loop l = make_loop(&s);
    spx_loop_state st = {.epoch = 1, .epoch_step = 2, .step = 6}; /* 1*5 + 2 is 7 */
    SPX_UNUSED;
    CHECK_FAILS(SPX_EINVAL, spx_loop_run(&l, &st));
    st = (spx_loop_state){.epoch = 4, .step = 20};
    CHECK_FAILS(SPX_EINVAL, spx_loop_run(&l, &st));
    st = (spx_loop_state){0};
    l.epoch_steps = 0;
    CHECK_FAILS(SPX_EINVAL, spx_loop_run(&l, &st));
}

SPX_TEST(a_state_without_a_field_is_refused)
{
    json_t *j = json_pack("{s:i, s:i}", "epoch", 1, "step", 5);
    spx_loop_state st;
    SPX_UNUSED;
    CHECK_FAILS(SPX_EFORMAT, spx_loop_state_parse(&st, j));
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(stopped_after_any_step_and_resumed_a_run_ends_the_same),
        SPX_UNIT(interrupted_in_the_end_of_an_epoch_it_is_done_once_after_resuming),
        SPX_UNIT(cut_by_max_steps_and_continued_a_run_ends_the_same),
        SPX_UNIT(a_failing_step_ends_the_run_and_saves_nothing_after_it),
        SPX_UNIT(a_divergence_seen_in_saving_or_at_an_epochs_end_is_told_with_its_step),
        SPX_UNIT(states_outside_the_run_are_refused),
        SPX_UNIT(a_state_without_a_field_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
