#include "host/control/json_text.h"

#include "tests/support/spx_test.h"

#include <stdlib.h>

SPX_TEST(reals_are_as_short_as_they_can_be_and_stay_reals)
{
    SPX_UNUSED;
    json_t *j = json_pack("{s:f, s:f, s:f, s:f, s:[f, f], s:i, s:s, s:b, s:n}", "a", 0.1, "b", 1.0,
                          "c", 1e-40, "d", 1.0 / 3, "e", -0.025, 1e300, "f", 7, "g",
                          "0.10000000000000001 \"e\\", "h", 1, "i");
    char *text = spx_json_text(j, JSON_COMPACT);
    json_t *back = json_loads(text, 0, NULL);
    assert_string_equal(text,
                        "{\"a\":0.1,\"b\":1.0,\"c\":1e-40,\"d\":0.3333333333333333,"
                        "\"e\":[-0.025,1e+300],\"f\":7,\"g\":\"0.10000000000000001 \\\"e\\\\\","
                        "\"h\":true,\"i\":null}");
    assert_true(json_equal(back, j));
    json_decref(back);
    json_decref(j);
    free(text);
}

SPX_TEST(what_is_no_json_has_no_text)
{
    SPX_UNUSED;
    assert_null(spx_json_text(NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(reals_are_as_short_as_they_can_be_and_stay_reals),
        SPX_UNIT(what_is_no_json_has_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
