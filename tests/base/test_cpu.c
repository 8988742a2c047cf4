#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>

#include "tests/support/spx_test.h"

#include "kernels/base/cpu.h"

SPX_TEST(names_are_known_and_the_environment_only_lowers)
{
    spx_isa best;
    SPX_UNUSED;
    assert_int_equal(unsetenv("SPHYNX_ISA"), 0);
    best = spx_cpu_isa();
    assert_in_range(best, SPX_ISA_PORTABLE, SPX_ISA_COUNT - 1);
    for (int i = 0; i < (int)SPX_ISA_COUNT; i++) {
        assert_int_equal(setenv("SPHYNX_ISA", spx_isa_name((spx_isa)i), 1), 0);
        assert_int_equal(spx_cpu_isa(), i < (int)best ? i : (int)best);
    }
    assert_int_equal(setenv("SPHYNX_ISA", "sse9", 1), 0);
    assert_int_equal(spx_cpu_isa(), best);
    assert_int_equal(unsetenv("SPHYNX_ISA"), 0);
    assert_string_equal(spx_isa_name(SPX_ISA_PORTABLE), "portable");
    assert_string_equal(spx_isa_name(SPX_ISA_AVX2), "avx2");
    assert_string_equal(spx_isa_name(SPX_ISA_AVX512VL), "avx512vl");
    assert_string_equal(spx_isa_name(SPX_ISA_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(names_are_known_and_the_environment_only_lowers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
