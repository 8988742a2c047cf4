#include "tests/he/he_cases.h"

static void exchange(const he_case *c, int set, size_t queries, int kind)
{
    he_case forced = *c;
    const spx_he_geometry g = he_geometry(&forced);
    spx_he_plan *plan;
    he_run h;
    forced.set = set;
    if (set != SPX_HE_ANY_SET) {
        const spx_he_geometry tried = he_geometry(&forced);
        if (spx_he_plan_create(&plan, &tried) != SPX_OK) {
            return; /* the budget does not hold there: some other set's does */
        }
        spx_he_plan_destroy(plan);
    }
    (void)g;
    he_start(&h, &forced, queries, kind, 1);
    he_keys(&h);
    he_exchange(&h, NULL);
    he_check(&h, &forced);
    he_end(&h);
}

SPX_TEST(shares_and_masks_add_up_to_the_plain_convolutions)
{
    SPX_UNUSED;
    for (size_t i = 0; i < HE_CASES; i++) {
        exchange(&he_cases[i], SPX_HE_ANY_SET, 1, 0);
    }
}

SPX_TEST(every_parameter_set_that_holds_gives_the_same_sums)
{
    SPX_UNUSED;
    for (size_t i = 0; i < HE_CASES; i++) {
        for (int set = 0; set < SPX_HE_SETS; set++) {
            exchange(&he_cases[i], set, 1, 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(shares_and_masks_add_up_to_the_plain_convolutions),
        SPX_UNIT(every_parameter_set_that_holds_gives_the_same_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
