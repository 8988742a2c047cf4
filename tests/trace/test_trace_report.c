/* What the tracer says of spans whose sums are known; and that it loads, where it is built. */
#define _POSIX_C_SOURCE 200809L
#include "tests/trace/trace_report.h"

#include "tests/support/spx_test.h"

#include <dlfcn.h>
#include <stdlib.h>

/* Two replays of a graph of three nodes, of which the first runs while the second does: two nodes
 * overlap by 2 us, then 3 us of rest, then one more. */
static const spx_trace_span spans[] = {
    {"b", {4, 1, 1}, 7, 2, 103000, 108000}, {"a", {1, 1, 1}, 7, 2, 100000, 105000},
    {"a", {1, 1, 1}, 7, 2, 111000, 112000}, {"a", {1, 1, 1}, 7, 1, 104000, 105000},
    {"a", {2, 1, 1}, 7, 1, 105000, 106000}, {"b", {4, 1, 1}, 7, 1, 105200, 105700},
};
enum { N = sizeof spans / sizeof spans[0] };

SPX_TEST(overlap_and_gaps_are_those_of_the_lanes_together)
{
    SPX_UNUSED;
    const spx_trace_span sorted[] = {spans[1], spans[0], spans[2], spans[3]};
    spx_trace_replay r;
    assert_int_equal(spx_trace_measure(sorted, 4, &r), 3);
    assert_int_equal(r.graph, 7);
    assert_int_equal(r.length, 12000);
    assert_int_equal(r.sum, 11000);
    assert_int_equal(r.busy, 9000);
    assert_int_equal(spx_trace_measure(sorted + 3, 1, &r), 1); /* one alone */
    assert_int_equal(r.length, 1000);
    assert_int_equal(r.busy, 1000);
}

SPX_TEST(kernels_are_told_apart_by_grid_the_longest_first)
{
    SPX_UNUSED;
    spx_trace_span copy[N];
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    memcpy(copy, spans, sizeof spans);
    spx_trace_print(f, copy, N, 2);
    spx_trace_print(f, copy, 0, 2);
    assert_int_equal(fclose(f), 0);
    assert_string_equal(
        text, "replay of graph 7: 3 nodes, length 2.0 us, sum 2.5, busy 2.0, gaps 0.0, overlap "
              "1.25\n"
              "replay of graph 7: 3 nodes, length 12.0 us, sum 11.0, busy 9.0, gaps 3.0, overlap "
              "1.22\n"
              "kernel total 7.0 us, 3 times, mean 2.33, least 1.00, grid 1x1x1, a\n"
              "kernel total 5.5 us, 2 times, mean 2.75, least 0.50, grid 4x1x1, b\n"
              "no replay of a graph was seen\n");
    free(text);
}

/* Without a driver it has nothing to trace, and must say so, no more. */
SPX_TEST(the_tracer_loads)
{
    SPX_UNUSED;
#ifdef SPX_CUPTI_TRACE
    void *tracer = dlopen(SPX_CUPTI_TRACE, RTLD_NOW | RTLD_LOCAL), *symbol;
    int (*begin)(void);
    if (tracer == NULL) {
        fail_msg("%s", dlerror());
    }
    symbol = dlsym(tracer, "InitializeInjection");
    assert_non_null(symbol);
    memcpy(&begin, &symbol, sizeof begin);
    const int tracing = begin();
    assert_true(tracing == 0 || tracing == 1);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(overlap_and_gaps_are_those_of_the_lanes_together),
        SPX_UNIT(kernels_are_told_apart_by_grid_the_longest_first),
        SPX_UNIT(the_tracer_loads),
    };
    return cmocka_run_group_tests_name("trace_report", tests, NULL, NULL);
}
