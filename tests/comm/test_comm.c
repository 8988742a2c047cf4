#include "host/comm/comm.h"
#include "tests/support/spx_test.h"

SPX_TEST(a_group_of_one_keeps_its_numbers)
{
    SPX_UNUSED;
    spx_comm *c;
    float x[3] = {1, 2, 3};
    double y[2] = {4, 5};
    CHECK_OK(spx_comm_self(&c));
    assert_int_equal(c->rank, 0);
    assert_int_equal(c->size, 1);
    CHECK_OK(spx_comm_sum_f32(c, x, 3));
    CHECK_OK(spx_comm_sum_f64(c, y, 2));
    CHECK_OK(spx_comm_broadcast(c, x, sizeof x, 0));
    CHECK_OK(spx_comm_barrier(c));
    assert_true(x[0] == 1 && x[1] == 2 && x[2] == 3 && y[0] == 4 && y[1] == 5);
    spx_comm_destroy(c);
    spx_comm_destroy(NULL);
}

SPX_TEST(bad_arguments_are_refused_before_the_transport_sees_them)
{
    SPX_UNUSED;
    spx_comm *c;
    CHECK_OK(spx_comm_self(&c));
    CHECK_FAILS(SPX_EINVAL, spx_comm_sum_f32(c, NULL, 1));
    CHECK_FAILS(SPX_EINVAL, spx_comm_sum_f64(c, NULL, 1));
    CHECK_FAILS(SPX_EINVAL, spx_comm_broadcast(c, &c, 1, 1));
    CHECK_FAILS(SPX_EINVAL, spx_comm_broadcast(c, &c, 1, -1));
    CHECK_OK(spx_comm_sum_f32(c, NULL, 0));
    spx_comm_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_group_of_one_keeps_its_numbers),
        SPX_UNIT(bad_arguments_are_refused_before_the_transport_sees_them),
    };
    return cmocka_run_group_tests_name("comm", tests, NULL, NULL);
}
