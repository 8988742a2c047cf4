#include "data/loader/loader.h"
#include "tests/support/spx_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 1003, CLASSES = 7 };

static uint16_t labels[N];
static uint32_t first[N], second[N];
static size_t first_count, second_count;

/* Sorted by class, as some sets come; class 5 is empty and class 6 has one image. */
static void make_labels(void)
{
    for (int i = 0; i < N; i++) {
        labels[i] = (uint16_t)(i == N - 1 ? 6 : i / 201);
    }
}

SPX_TEST(the_halves_partition_every_class_evenly)
{
    SPX_UNUSED;
    int seen[N] = {0}, balance[CLASSES] = {0};
    make_labels();
    CHECK_OK(
        spx_split_share(labels, N, CLASSES, 1, 0.5, first, &first_count, second, &second_count));
    assert_int_equal(first_count, (N + 1) / 2);
    assert_int_equal(second_count, N / 2);
    for (size_t i = 0; i < first_count; i++) {
        assert_true(i == 0 || first[i] > first[i - 1]);
        seen[first[i]]++;
        balance[labels[first[i]]]++;
    }
    for (size_t i = 0; i < second_count; i++) {
        assert_true(i == 0 || second[i] > second[i - 1]);
        seen[second[i]]++;
        balance[labels[second[i]]]--;
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(seen[i], 1);
    }
    for (int k = 0; k < CLASSES; k++) {
        assert_true(abs(balance[k]) <= 1);
    }
}

SPX_TEST(the_split_depends_on_the_seed_alone)
{
    SPX_UNUSED;
    uint32_t again[N], rest[N];
    size_t a, b;
    make_labels();
    CHECK_OK(
        spx_split_share(labels, N, CLASSES, 1, 0.5, first, &first_count, second, &second_count));
    CHECK_OK(spx_split_share(labels, N, CLASSES, 1, 0.5, again, &a, rest, &b));
    assert_memory_equal(first, again, first_count * sizeof *first);
    CHECK_OK(spx_split_share(labels, N, CLASSES, 2, 0.5, again, &a, rest, &b));
    assert_memory_not_equal(first, again, first_count * sizeof *first);
}

SPX_TEST(within_a_class_every_image_is_as_likely_in_either_half)
{
    SPX_UNUSED;
    int hits[10] = {0};
    const uint16_t same[10] = {0};
    for (uint64_t seed = 0; seed < 2000; seed++) {
        CHECK_OK(
            spx_split_share(same, 10, 1, seed, 0.5, first, &first_count, second, &second_count));
        for (size_t i = 0; i < first_count; i++) {
            hits[first[i]]++;
        }
    }
    for (int i = 0; i < 10; i++) { /* binomial: 1000, deviation sqrt(2000)/2 = 22; six of them */
        assert_in_range(hits[i], 866, 1134);
    }
}

SPX_TEST(a_share_is_taken_of_every_class_and_of_the_whole)
{
    static const double shares[] = {0, 0.01, 0.1, 0.37, 1};
    SPX_UNUSED;
    make_labels();
    for (size_t s = 0; s < 5; s++) {
        int of[CLASSES] = {0};
        CHECK_OK(spx_split_share(labels, N, CLASSES, 1, shares[s], first, &first_count, second,
                                 &second_count));
        assert_int_equal(first_count, (size_t)(shares[s] * N + 0.5));
        assert_int_equal(first_count + second_count, N);
        for (size_t i = 0; i < first_count; i++) {
            of[labels[first[i]]]++;
        }
        for (int k = 0; k < CLASSES - 2; k++) { /* of 201 images each, but the last of 198 */
            assert_true(fabs(of[k] - shares[s] * (k < 4 ? 201 : 198)) < 1.0 + 1e-9);
        }
    }
    CHECK_FAILS(SPX_EINVAL, spx_split_share(labels, N, CLASSES, 1, 1.5, first, &first_count, second,
                                            &second_count));
}

SPX_TEST(labels_out_of_range_and_empty_sets)
{
    SPX_UNUSED;
    const uint16_t bad[] = {0, 7};
    CHECK_FAILS(SPX_EINVAL, spx_split_share(bad, 2, CLASSES, 1, 0.5, first, &first_count, second,
                                            &second_count));
    CHECK_OK(spx_split_share(bad, 0, CLASSES, 1, 0.5, first, &first_count, second, &second_count));
    assert_int_equal(first_count + second_count, 0);
}

SPX_TEST(a_held_out_part_that_would_be_empty_is_refused_with_the_nearest_share)
{
    SPX_UNUSED;
    const uint16_t same[8] = {0};
    const struct {
        double share, nearest;
        size_t n;
    } bad[] = {{0.01, 0.125, 8}, {0.99, 0.875, 8}, {0.5, 0, 1}};
    for (size_t i = 0; i < 3; i++) {
        CHECK_FAILS(SPX_EINVAL, spx_split_held_out(same, bad[i].n, 1, 1, bad[i].share, first,
                                                   &first_count, second, &second_count));
        if (bad[i].nearest > 0) {
            char text[64];
            (void)snprintf(text, sizeof text, "--val-fraction at %s %g",
                           bad[i].share < 0.5 ? "least" : "most", bad[i].nearest);
            assert_non_null(strstr(spx_error_message(), text));
            CHECK_OK(spx_split_held_out(same, bad[i].n, 1, 1, bad[i].nearest, first, &first_count,
                                        second, &second_count));
            assert_true(first_count > 0 && second_count > 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(the_halves_partition_every_class_evenly),
        SPX_UNIT(the_split_depends_on_the_seed_alone),
        SPX_UNIT(a_held_out_part_that_would_be_empty_is_refused_with_the_nearest_share),
        SPX_UNIT(within_a_class_every_image_is_as_likely_in_either_half),
        SPX_UNIT(a_share_is_taken_of_every_class_and_of_the_whole),
        SPX_UNIT(labels_out_of_range_and_empty_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
