#include "host/graph/tuning_private.h"
#include "tests/support/spx_test.h"

#include <stdlib.h>

static const char good[] =
    "0 2 4 8 8 8 8 3 3 1 1 1 1 planar\n1 2 4 8 8 8 8 3 3 1 1 1 1 reference\n"
    "cuda NVIDIA_H100 13000 12090 bf16 1 0 0 1 4 8 8 8 8 3 3 1 1 1 1 8 8 0 "
    "0 engine=1,knobs=2:1;7:0\n"
    "0 2 4 8 8 8 8 3 3 1 1 1 1 groups=8 planar\n"
    "cuda H100 13000 12090 f32 0 0 0 0 4 8 8 8 8 3 3 1 1 1 1 8 8 0 0 groups=2 "
    "direct\n";

SPX_TEST(text_survives_a_round_trip)
{
    SPX_UNUSED;
    spx_tuning *t;
    CHECK_OK(spx_tuning_create(&t));
    CHECK_OK(spx_tuning_parse(t, good, strlen(good)));
    char *text = spx_tuning_text(t);
    assert_string_equal(text, good);
    free(text);
    spx_tuning_destroy(t);
}

SPX_TEST(malformed_lines_are_refused_by_number)
{
    SPX_UNUSED;
    static const char *const bad[] = {
        "0 2 4 8 8 8 8 3 3 1 1 1 planar\n",     /* a number short */
        "0 2 4 8 8 8 8 3 3 1 1 1 1 2 planar\n", /* a number more */
        "9 2 4 8 8 8 8 3 3 1 1 1 1 planar\n",   /* unknown pass */
        "x 2 4 8 8 8 8 3 3 1 1 1 1 planar\n",
        "0 2 4 8 8 8 8 3 3 1 1 1 1 groups= planar\n",
        "0 2 4 8 8 8 8 3 3 1 1 1 1 groups=2x planar\n",
        "0 2 4 8 8 8 8 3 3 1 1 1 groups=2 planar\n",
        "cuda \n",
        "cuda H100 13000 12090 bf16 1 0 0 1 4 8 8 8 8 3 3 1 1 1 1 8 8 0 direct\n",     /* short */
        "cuda H100 13000 12090 bf16 1 0 0 1 4 8 8 8 8 3 3 1 1 1 1 8 8 0 0 0 direct\n", /* long */
        "cuda H100  13000 12090 bf16 1 0 0 1 4 8 8 8 8 3 3 1 1 1 1 8 8 0 0 direct\n",  /* no word */
        "cuda H100 13000 12090 bf16 1 0 0 1 4 8 8 8 8 3 3 1 1 1 1 8 8 0 0 \n",
        "cuda H\t100 13000 12090 bf16 1 0 0 1 4 8 8 8 8 3 3 1 1 1 1 8 8 0 0 direct\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        spx_tuning *t;
        CHECK_OK(spx_tuning_create(&t));
        CHECK_FAILS(SPX_EFORMAT, spx_tuning_parse(t, bad[i], strlen(bad[i])));
        assert_non_null(strstr(spx_error_message(), "line 1"));
        spx_tuning_destroy(t);
    }
}

SPX_TEST(later_lines_win)
{
    SPX_UNUSED;
    static const char key[] = "cuda H100 13000 12090 f32 0 0 0 0 4 8 8 8 8 3 3 1 1 1 1 8 8 0 0";
    char text[256], want[128];
    spx_tuning *t;
    (void)snprintf(text, sizeof text, "%s direct\n%s engine=3\n", key, key);
    (void)snprintf(want, sizeof want, "%s engine=3\n", key);
    CHECK_OK(spx_tuning_create(&t));
    CHECK_OK(spx_tuning_parse(t, text, strlen(text)));
    char *got = spx_tuning_text(t);
    assert_string_equal(got, want);
    free(got);
    spx_tuning_destroy(t);
}

/* A convolution on one thread; its line up to the choice is KEY. */
#define KEY "0 1 2 4 8 8 4 3 3 1 1 1 1 "

static spx_conv2d_want want_of(void)
{
    spx_conv2d_want w = {.shape = {.n = 2,
                                   .c = 4,
                                   .h = 8,
                                   .w = 8,
                                   .k = 4,
                                   .r = 3,
                                   .s = 3,
                                   .stride = 1,
                                   .dilation = 1,
                                   .pad_begin = 1,
                                   .pad_end = 1},
                         .x_stride = 256,
                         .y_stride = 256};
    CHECK_OK(spx_conv2d_shape_init(&w.shape));
    return w;
}

/* Asks for the convolution; gives its choice, "" for none kept. */
static void ask(spx_tuning *t, spx_stream *s, const spx_conv2d_want *w, char choice[64])
{
    spx_shared_plan *p;
    CHECK_OK(spx_tuning_share_plan(t, s, w, &p));
    (void)snprintf(choice, 64, "%s", spx_conv2d_plan_choice(spx_shared_plan_get(p)));
    spx_shared_plan_release(p);
}

SPX_TEST(a_known_choice_is_not_measured_again)
{
    SPX_UNUSED;
    const spx_conv2d_want w = want_of();
    char first[64], second[64], line[128];
    spx_tuning *t;
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_OK(spx_tuning_create(&t));
    ask(t, s, &w, first);
    assert_int_equal(spx_tuning_measured(t), 1);
    ask(t, s, &w, second);
    assert_int_equal(spx_tuning_measured(t), 1);
    assert_string_equal(first, second);
    char *text = spx_tuning_text(t);
    (void)snprintf(line, sizeof line, KEY "%s\n", first);
    assert_string_equal(text, line);
    free(text);
    spx_tuning_destroy(t);
    spx_stream_destroy(s);
}

/* "onednn" was an algorithm once: checkpoints may name it. */
SPX_TEST(a_choice_that_this_build_lacks_is_measured_anew)
{
    SPX_UNUSED;
    static const char *const gone[] = {KEY "onednn\n", KEY "cudnn\n", KEY "us=1.00,direct\n"};
    const spx_conv2d_want w = want_of();
    char choice[64];
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        spx_tuning *t;
        CHECK_OK(spx_tuning_create(&t));
        CHECK_OK(spx_tuning_parse(t, gone[i], strlen(gone[i])));
        ask(t, s, &w, choice);
        assert_int_equal(spx_tuning_measured(t), 1);
        char *text = spx_tuning_text(t);
        assert_null(strstr(text, strrchr(gone[i], ' ')));
        assert_non_null(strstr(text, choice));
        free(text);
        spx_tuning_destroy(t);
    }
    spx_stream_destroy(s);
}

/* The reference runs without a table's help, and leaves none; so does the default. */
SPX_TEST(what_is_not_measured_is_not_kept)
{
    SPX_UNUSED;
    spx_conv2d_want w = want_of();
    char choice[64];
    spx_tuning *t;
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_OK(spx_tuning_create(&t));
    w.reference = true;
    ask(t, s, &w, choice);
    assert_string_equal(choice, "reference");
    w.reference = false;
    w.unmeasured = true;
    ask(t, s, &w, choice);
    char *text = spx_tuning_text(t);
    assert_string_equal(text, "");
    assert_int_equal(spx_tuning_measured(t), 0);
    free(text);
    spx_tuning_destroy(t);
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(text_survives_a_round_trip),
        SPX_UNIT(malformed_lines_are_refused_by_number),
        SPX_UNIT(later_lines_win),
        SPX_UNIT(a_known_choice_is_not_measured_again),
        SPX_UNIT(a_choice_that_this_build_lacks_is_measured_anew),
        SPX_UNIT(what_is_not_measured_is_not_kept),
    };
    return cmocka_run_group_tests_name("tuning", tests, NULL, NULL);
}
