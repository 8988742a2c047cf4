#include "host/graph/tuning.h"
#include "tests/support/spx_test.h"

#include <stdlib.h>

static const char good[] = "0 2 4 8 8 8 8 3 3 1 1 1 1 planar\n1 2 4 8 8 8 8 3 3 1 1 1 1 reference\n"
                           "cuda NVIDIA_H100 13000 12090 bf16 1 0 0 1 4 8 8 8 8 3 3 1 1 1 1 8 8 0 "
                           "0 engine=1,knobs=2:1;7:0\n";

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
        "0 2 4 8 8 8 8 3 3 1 1 1 planar\n",   /* a number short */
        "0 2 4 8 8 8 8 3 3 1 1 1 1 cudnn\n",  /* unknown algorithm */
        "9 2 4 8 8 8 8 3 3 1 1 1 1 planar\n", /* unknown pass */
        "x 2 4 8 8 8 8 3 3 1 1 1 1 planar\n",
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

SPX_TEST(a_known_choice_is_not_measured_again)
{
    SPX_UNUSED;
    spx_tuning *t;
    spx_stream *s;
    spx_conv2d_algo first, second;
    spx_conv2d_shape d = {.n = 2,
                          .c = 4,
                          .h = 8,
                          .w = 8,
                          .k = 4,
                          .r = 3,
                          .s = 3,
                          .stride = 1,
                          .dilation = 1,
                          .pad_begin = 1,
                          .pad_end = 1};
    CHECK_OK(spx_conv2d_shape_init(&d));
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    CHECK_OK(spx_tuning_create(&t));
    CHECK_OK(spx_tuning_choose(t, s, &d, SPX_CONV2D_FORWARD, &first));
    assert_int_equal(spx_tuning_measured(t), 1);
    CHECK_OK(spx_tuning_choose(t, s, &d, SPX_CONV2D_FORWARD, &second));
    assert_int_equal(spx_tuning_measured(t), 1);
    assert_int_equal(first, second);
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
    };
    return cmocka_run_group_tests_name("tuning", tests, NULL, NULL);
}
