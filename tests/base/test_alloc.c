#include "tests/support/spx_test.h"

#include "kernels/base/alloc.h"

SPX_TEST(blocks_are_aligned_writable_and_zero_bytes_give_null)
{
    static const size_t sizes[] = {1, 63, 64, 65, 100000, (size_t)4 << 20, ((size_t)4 << 20) + 1};
    void *p = &p;
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CHECK_OK(spx_alloc(&p, sizes[i]));
        assert_int_equal((uintptr_t)p % SPX_ALIGN, 0);
        memset(p, 0xA5, sizes[i]);
        spx_free(p);
    }
    CHECK_OK(spx_alloc(&p, 0));
    assert_null(p);
    spx_free(NULL);
}

SPX_TEST(calloc_gives_zeros)
{
    void *p;
    SPX_UNUSED;
    CHECK_OK(spx_alloc(&p, 4096)); /* dirty a block that the next call may get */
    memset(p, 0xA5, 4096);
    spx_free(p);
    CHECK_OK(spx_calloc(&p, 1024, 4));
    for (size_t i = 0; i < 4096; i++) {
        assert_int_equal(((unsigned char *)p)[i], 0);
    }
    spx_free(p);
    CHECK_OK(spx_calloc(&p, 0, 8));
    assert_null(p);
}

SPX_TEST(new_elements_are_zero_and_of_their_array_s_type)
{
    struct {
        double x[5];
    } *p = NULL;
    SPX_UNUSED;
    CHECK_OK(SPX_NEW(p, (size_t)3));
    assert_true(p[2].x[4] == 0);
    spx_free(p);
    CHECK_OK(SPX_NEW(p, (size_t)0));
    assert_null(p);
    CHECK_FAILS(SPX_ENOMEM, SPX_NEW(p, SIZE_MAX / 8));
    assert_null(p);
}

SPX_TEST(a_list_grows_and_is_kept_where_it_cannot)
{
    uint32_t *list = NULL;
    size_t room = 0, moves = 0;
    SPX_UNUSED;
    for (uint32_t n = 0; n < 1000; n++) {
        const size_t before = room;
        CHECK_OK(SPX_GROW(list, n, room));
        moves += room != before;
        assert_true(room > n);
        list[n] = n;
    }
    for (uint32_t n = 0; n < 1000; n++) {
        assert_int_equal(list[n], n);
    }
    assert_true(moves <= 9); /* it doubles: 8, 16, ... 1024 */
    room = SIZE_MAX / 4;     /* made up */
    CHECK_FAILS(SPX_ENOMEM, SPX_GROW(list, SIZE_MAX / 4, room));
    assert_int_equal(list[999], 999);
    spx_free(list);
}

SPX_TEST(impossible_sizes_fail_and_clear_the_pointer)
{
    static const size_t huge[] = {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX / 2};
    void *p;
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
        p = &p;
        CHECK_FAILS(SPX_ENOMEM, spx_alloc(&p, huge[i]));
        assert_null(p);
    }
    p = &p;
    CHECK_FAILS(SPX_ENOMEM, spx_calloc(&p, SIZE_MAX / 2 + 1, 2));
    assert_null(p);
}

SPX_TEST(products_that_overflow_are_reported)
{
    size_t z;
    int64_t i;
    SPX_UNUSED;
    assert_true(spx_mul_size(SIZE_MAX, 1, &z) && z == SIZE_MAX);
    assert_true(spx_mul_size(0, SIZE_MAX, &z) && z == 0);
    z = 9;
    assert_false(spx_mul_size(SIZE_MAX / 2 + 1, 2, &z));
    assert_true(z == 0);
    assert_true(spx_mul_i64(INT64_MAX, 1, &i) && i == INT64_MAX);
    assert_true(spx_mul_i64(3037000499, 3037000499, &i) && i == 9223372030926249001);
    i = 9;
    assert_false(spx_mul_i64(3037000500, 3037000500, &i));
    assert_true(i == 0);
    assert_false(spx_mul_i64(-1, 1, &i));
    assert_false(spx_mul_i64(1, -1, &i));
}

SPX_TEST(room_is_asked_for_and_let_go)
{
    SPX_UNUSED;
    CHECK_OK(spx_memory_room("x", 0));
    CHECK_OK(spx_memory_room("x", (size_t)1 << 20));
    CHECK_FAILS(SPX_ENOMEM, spx_memory_room("x.h5", SIZE_MAX / 4));
    assert_non_null(strstr(spx_error_message(), "x.h5: out of memory"));
    CHECK_FAILS(SPX_ENOMEM, spx_memory_room("x", SIZE_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(blocks_are_aligned_writable_and_zero_bytes_give_null),
        SPX_UNIT(calloc_gives_zeros),
        SPX_UNIT(new_elements_are_zero_and_of_their_array_s_type),
        SPX_UNIT(a_list_grows_and_is_kept_where_it_cannot),
        SPX_UNIT(impossible_sizes_fail_and_clear_the_pointer),
        SPX_UNIT(products_that_overflow_are_reported),
        SPX_UNIT(room_is_asked_for_and_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
