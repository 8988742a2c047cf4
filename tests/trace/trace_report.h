#ifndef SPX_TRACE_REPORT_H
#define SPX_TRACE_REPORT_H
/* What the replays of recorded graphs did on a GPU, from the times of their kernels. */
#include <stdint.h>
#include <stdio.h>

/** One kernel, copy or fill of a replay. */
typedef struct spx_trace_span {
    const char *name;    /* borrowed */
    int32_t grid[3];     /* blocks; zeros for copies and fills */
    uint32_t graph;      /* which graph */
    uint32_t replay;     /* which launch of it: unique in the trace */
    uint64_t begin, end; /* nanoseconds */
} spx_trace_span;

/** Of one replay: what its lanes overlap and where they all rest. */
typedef struct spx_trace_replay {
    uint32_t graph;
    size_t spans;
    uint64_t length; /* first begin to last end */
    uint64_t sum;    /* of all spans */
    uint64_t busy;   /* time in which at least one runs: length - busy are gaps */
} spx_trace_replay;

/** Measures the replay that the first of n spans, sorted by (replay, begin), belongs to. */
size_t spx_trace_measure(const spx_trace_span *span, size_t n, spx_trace_replay *out);

/**
 * Prints lines "replay ..." (one a replay) and "kernel ..." (one a name and grid, the longest total
 * first, at most `most`), microseconds all. Sorts the spans.
 */
void spx_trace_print(FILE *out, spx_trace_span *span, size_t n, size_t most);

#endif
