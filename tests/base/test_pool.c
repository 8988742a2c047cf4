#define _POSIX_C_SOURCE 200809L
#include "tests/support/spx_test.h"

#include "kernels/base/pool.h"

#include <time.h>

enum { MAX_N = 1000, MAX_THREADS = 8 };

/* What each run did; plain memory, so ThreadSanitizer sees whether a run is over
 * when it returns. */
typedef struct record {
    int visits[MAX_N];
    int worker[MAX_N];
    size_t begin[MAX_THREADS], end[MAX_THREADS];
    int calls[MAX_THREADS];
} record;

static void visit(void *ctx, int worker, size_t begin, size_t end)
{
    record *r = ctx;
    r->calls[worker]++;
    r->begin[worker] = begin;
    r->end[worker] = end;
    for (size_t i = begin; i < end; i++) {
        r->visits[i]++;
        r->worker[i] = worker;
    }
}

SPX_TEST(every_item_is_visited_once_in_contiguous_even_ranges)
{
    static const size_t ns[] = {0, 1, 2, 3, 7, 8, 9, 999, MAX_N};
    SPX_UNUSED;
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        spx_pool *p;
        CHECK_OK(spx_pool_create(&p, threads));
        assert_int_equal(spx_pool_threads(p), threads);
        for (size_t k = 0; k < sizeof ns / sizeof ns[0]; k++) {
            static record r, again;
            memset(&r, 0, sizeof r);
            memset(&again, 0, sizeof again);
            spx_pool_run(p, ns[k], visit, &r);
            spx_pool_run(p, ns[k], visit, &again);
            assert_memory_equal(&r, &again, sizeof r); /* the same split each time */
            for (size_t i = 0; i < ns[k]; i++) {
                assert_int_equal(r.visits[i], 1);
                assert_true(i == 0 || r.worker[i] >= r.worker[i - 1]);
            }
            for (int w = 0; w < threads; w++) {
                assert_true(r.calls[w] <= 1);
                assert_true(r.end[w] - r.begin[w] <= ns[k] / (size_t)threads + 1);
            }
        }
        spx_pool_destroy(p);
    }
}

static void add(void *ctx, int worker, size_t begin, size_t end)
{
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        ((int *)ctx)[i]++;
    }
}

SPX_TEST(many_short_runs_lose_nothing_asleep_or_spinning)
{
    enum { RUNS = 5000, N = 16 };
    const struct timespec nap = {0, 1000000};
    SPX_UNUSED;
    for (int threads = 2; threads <= 4; threads++) { /* fewer and more than the processors */
        int count[N] = {0};
        spx_pool *p;
        CHECK_OK(spx_pool_create(&p, threads));
        for (int i = 0; i < RUNS; i++) {
            spx_pool_run(p, N, add, count);
            if (i % (RUNS / 10) == 0) {
                (void)nanosleep(&nap, NULL); /* let the workers fall asleep */
            }
        }
        for (int i = 0; i < N; i++) {
            assert_int_equal(count[i], RUNS);
        }
        spx_pool_destroy(p);
    }
}

SPX_TEST(pools_without_a_run_end_and_bad_sizes_are_refused)
{
    spx_pool *p;
    SPX_UNUSED;
    for (int i = 0; i < 50; i++) {
        CHECK_OK(spx_pool_create(&p, 3));
        spx_pool_destroy(p);
    }
    CHECK_FAILS(SPX_EINVAL, spx_pool_create(&p, 0));
    assert_null(p);
    CHECK_FAILS(SPX_EINVAL, spx_pool_create(&p, 257));
    assert_null(p);
    spx_pool_destroy(NULL);
    assert_true(spx_pool_processors() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(every_item_is_visited_once_in_contiguous_even_ranges),
        SPX_UNIT(many_short_runs_lose_nothing_asleep_or_spinning),
        SPX_UNIT(pools_without_a_run_end_and_bad_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
