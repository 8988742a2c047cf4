#include "kernels/base/wire.h"
#include "tests/support/spx_test.h"

typedef struct letter {
    uint64_t number;
    uint8_t name[3];
    uint32_t count;
} letter;

static void letter_fields(spx_wire *w, void *message)
{
    letter *l = message;
    spx_wire_u64(w, &l->number);
    spx_wire_bytes(w, l->name, sizeof l->name);
    spx_wire_u32(w, &l->count);
}

static const unsigned char bytes[] = {8, 7, 6, 5, 4, 3, 2, 0x81, 'a', 'b', 'c', 4, 3, 2, 0xf1};

SPX_TEST(fields_lie_little_endian_and_without_padding)
{
    SPX_UNUSED;
    letter l = {.number = 0x8102030405060708, .name = "abc", .count = 0xf1020304};
    unsigned char out[sizeof bytes + 1] = {0};
    assert_int_equal(spx_wire_size(letter_fields, &l), sizeof bytes);
    assert_true(spx_wire_put(letter_fields, &l, out, sizeof bytes));
    assert_memory_equal(out, bytes, sizeof bytes);
    assert_int_equal(out[sizeof bytes], 0);
    assert_int_equal(l.count, 0xf1020304); /* writing changes nothing */
}

SPX_TEST(what_is_read_is_what_was_written)
{
    SPX_UNUSED;
    letter l;
    assert_true(spx_wire_get(letter_fields, &l, bytes, sizeof bytes));
    assert_true(l.number == 0x8102030405060708);
    assert_memory_equal(l.name, "abc", 3);
    assert_int_equal(l.count, 0xf1020304);
}

SPX_TEST(another_length_fails_and_nothing_beyond_it_is_touched)
{
    SPX_UNUSED;
    for (size_t n = 0; n < sizeof bytes; n++) {
        unsigned char *exact = malloc(n + 1); /* a sanitizer sees what passes its end */
        letter l = {.number = 1, .name = "xyz", .count = 2};
        assert_non_null(exact);
        exact[n] = 0x77;
        assert_false(spx_wire_put(letter_fields, &l, exact, n));
        assert_int_equal(exact[n], 0x77);
        memcpy(exact, bytes, n);
        assert_false(spx_wire_get(letter_fields, &l, exact, n));
        assert_int_equal(l.count, 0); /* the first field that is missing, and all after it */
        if (n < sizeof l.number + sizeof l.name) {
            assert_memory_equal(l.name, "\0\0\0", sizeof l.name);
        }
        free(exact);
    }
    unsigned char longer[sizeof bytes + 1] = {0};
    letter l;
    assert_false(spx_wire_get(letter_fields, &l, longer, sizeof longer));
    assert_false(spx_wire_put(letter_fields, &l, longer, sizeof longer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(fields_lie_little_endian_and_without_padding),
        SPX_UNIT(what_is_read_is_what_was_written),
        SPX_UNIT(another_length_fails_and_nothing_beyond_it_is_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
