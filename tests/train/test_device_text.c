#include "host/train/device_text.h"
#include "tests/support/spx_test.h"

SPX_TEST(devices_agree_by_kind_and_model_whichever_of_several_it_is)
{
    static const struct {
        const char *a, *b;
        bool agree;
    } cases[] = {
        {"cpu", "cpu", true},
        {"cpu", "cuda:0 NVIDIA H100", false},
        {"cuda", "cuda:0 NVIDIA H100", true}, /* as checkpoints once told it */
        {"cud", "cuda:0 NVIDIA H100", false},
        {"cuda:0 NVIDIA H100", "cuda:1 NVIDIA H100", true},
        {"cuda:10 NVIDIA H100", "cuda:1 NVIDIA H100 NVL", false},
        {"cuda:0 NVIDIA A100", "cuda:0 NVIDIA H100", false},
        {"cuda:3", "cuda:0 NVIDIA H100", true},
        {"", "cpu", false},
    };
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (spx_device_text_agrees(cases[i].a, cases[i].b) != cases[i].agree ||
            spx_device_text_agrees(cases[i].b, cases[i].a) != cases[i].agree) {
            fail_msg("'%s' and '%s'", cases[i].a, cases[i].b);
        }
    }
}

SPX_TEST(a_streams_text_agrees_with_itself_and_its_kind)
{
    SPX_UNUSED;
    for (int d = 0; d < SPX_DEVICE_COUNT; d++) {
        char text[160];
        spx_stream *s;
        if (spx_device_count((spx_device)d) == 0) {
            print_message("  %s: not here\n", spx_device_name((spx_device)d));
            continue;
        }
        CHECK_OK(spx_stream_create(&s, (spx_device)d, 1));
        spx_device_text(s, text, sizeof text);
        assert_true(spx_device_text_agrees(text, text));
        for (int other = 0; other < SPX_DEVICE_COUNT; other++) {
            assert_true(spx_device_text_agrees(text, spx_device_name((spx_device)other)) ==
                        (other == d));
        }
        spx_stream_destroy(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(devices_agree_by_kind_and_model_whichever_of_several_it_is),
        SPX_UNIT(a_streams_text_agrees_with_itself_and_its_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
