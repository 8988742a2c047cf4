#define _XOPEN_SOURCE 700
#include "host/cli/progress.h"

#include "tests/support/spx_test.h"

SPX_TEST(a_frame_tells_rate_and_time_left)
{
    SPX_UNUSED;
    char text[200];
    const spx_progress p = {.bar = true, .unit = "steps", .first = 0, .total = 200};
    spx_progress_format(&p, 50, 25.0, "loss 1.5", text, sizeof text);
    assert_string_equal(text, "[######..................] 50/200 steps, 2/s, 1:15 left, loss 1.5");
    spx_progress_format(&p, 200, 100.0, "", text, sizeof text);
    assert_string_equal(text, "[########################] 200/200 steps, 2/s, 0:00 left");
}

SPX_TEST(a_resumed_run_counts_only_its_own_items_in_the_rate)
{
    SPX_UNUSED;
    char text[200];
    const spx_progress p = {.unit = "steps", .first = 100, .total = 10000};
    spx_progress_format(&p, 110, 10.0, "", text, sizeof text);
    assert_string_equal(text, "110/10000 steps, 1/s, 2:44:50 left");
    spx_progress_format(&p, 100, 0.0, "", text, sizeof text);
    assert_string_equal(text, "100/10000 steps, 0/s, ? left");
}

SPX_TEST(a_frame_is_cut_to_its_room)
{
    SPX_UNUSED;
    char text[16];
    const spx_progress p = {.bar = true, .unit = "steps", .total = 10};
    spx_progress_format(&p, 20, 1.0, "note", text, sizeof text); /* more than total, too */
    assert_int_equal(strlen(text), sizeof text - 1);
}

SPX_TEST(off_a_terminal_short_work_prints_nothing)
{
    SPX_UNUSED;
    spx_progress p;
    FILE *out = tmpfile();
    assert_non_null(out);
    spx_progress_begin(&p, out, "steps", 0, 3);
    for (uint64_t i = 1; i <= 3; i++) {
        spx_progress_show(&p, i, "loss %d", 1);
    }
    spx_progress_end(&p);
    assert_int_equal(ftell(out), 0);
    p.shown -= 60; /* as if a minute had passed */
    spx_progress_show(&p, 3, "loss %d", 1);
    assert_true(ftell(out) > 0);
    (void)fclose(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_frame_tells_rate_and_time_left),
        SPX_UNIT(a_resumed_run_counts_only_its_own_items_in_the_rate),
        SPX_UNIT(a_frame_is_cut_to_its_room),
        SPX_UNIT(off_a_terminal_short_work_prints_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
