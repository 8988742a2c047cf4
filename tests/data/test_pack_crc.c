#include "data/pack/pack_crc_private.h"
#include "tests/support/spx_test.h"

#include <zlib.h>

SPX_TEST(checksums_are_zlibs_at_every_length_and_alignment)
{
    SPX_UNUSED;
    enum { MOST = 700 };
    uint8_t *const bytes = malloc(MOST + 16);
    uint32_t noise = 1;
    for (int i = 0; i < MOST + 16; i++) {
        noise = noise * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(noise >> 24);
    }
    for (size_t n = 0; n <= MOST; n++) {
        const size_t from = n % 16;
        assert_int_equal(spx_pack_crc(bytes + from, n), crc32_z(0, bytes + from, n));
    }
    memset(bytes, 0, MOST);
    assert_int_equal(spx_pack_crc(bytes, MOST), crc32_z(0, bytes, MOST));
    assert_int_equal(spx_pack_crc("123456789", 9), 0xcbf43926); /* the check value of CRC-32 */
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(checksums_are_zlibs_at_every_length_and_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
