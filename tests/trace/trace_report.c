#include "tests/trace/trace_report.h"

#include <stdlib.h>
#include <string.h>

/* Spans of one name and grid. */
typedef struct kind {
    const spx_trace_span *span;
    size_t count;
    uint64_t total, least;
} kind;

static int by_value(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_replay(const void *a, const void *b)
{
    const spx_trace_span *x = a, *y = b;
    const int c = by_value(x->replay, y->replay);
    return c != 0 ? c : by_value(x->begin, y->begin);
}

static int by_kind(const void *a, const void *b)
{
    const spx_trace_span *x = a, *y = b;
    const int c = strcmp(x->name, y->name);
    return c != 0 ? c : memcmp(x->grid, y->grid, sizeof x->grid);
}

static int by_total(const void *a, const void *b)
{
    return by_value(((const kind *)b)->total, ((const kind *)a)->total);
}

size_t spx_trace_measure(const spx_trace_span *span, size_t n, spx_trace_replay *out)
{
    uint64_t until = 0;
    *out = (spx_trace_replay){.graph = span->graph};
    for (; out->spans < n && span[out->spans].replay == span->replay; out->spans++) {
        const spx_trace_span *s = &span[out->spans];
        out->sum += s->end - s->begin;
        if (s->end > until) {
            out->busy += s->end - (s->begin > until ? s->begin : until);
            until = s->end;
        }
    }
    out->length = until - span->begin;
    return out->spans;
}

static void print_kinds(FILE *out, spx_trace_span *span, size_t n, size_t most)
{
    kind *list = calloc(n, sizeof *list);
    size_t kinds = 0;
    qsort(span, n, sizeof *span, by_kind);
    for (size_t i = 0; list != NULL && i < n; i++) {
        const uint64_t took = span[i].end - span[i].begin;
        if (i == 0 || by_kind(&span[i - 1], &span[i]) != 0) {
            list[kinds++] = (kind){.span = &span[i], .least = took};
        }
        kind *k = &list[kinds - 1];
        k->count++;
        k->total += took;
        k->least = took < k->least ? took : k->least;
    }
    qsort(list, kinds, sizeof *list, by_total);
    for (size_t i = 0; i < kinds && i < most; i++) {
        const kind *k = &list[i];
        const double total = (double)k->total / 1e3;
        (void)fprintf(
            out, "kernel total %.1f us, %zu times, mean %.2f, least %.2f, grid %dx%dx%d, %s\n",
            total, k->count, total / (double)k->count, (double)k->least / 1e3,
            (int)k->span->grid[0], (int)k->span->grid[1], (int)k->span->grid[2], k->span->name);
    }
    free(list);
}

void spx_trace_print(FILE *out, spx_trace_span *span, size_t n, size_t most)
{
    if (n == 0) {
        (void)fprintf(out, "no replay of a graph was seen\n");
        return;
    }
    qsort(span, n, sizeof *span, by_replay);
    for (size_t i = 0; i < n;) {
        spx_trace_replay r;
        i += spx_trace_measure(span + i, n - i, &r);
        (void)fprintf(out,
                      "replay of graph %u: %zu nodes, length %.1f us, sum %.1f, busy %.1f, gaps "
                      "%.1f, overlap %.2f\n",
                      (unsigned)r.graph, r.spans, (double)r.length / 1e3, (double)r.sum / 1e3,
                      (double)r.busy / 1e3, (double)(r.length - r.busy) / 1e3,
                      r.busy > 0 ? (double)r.sum / (double)r.busy : 0.0);
    }
    print_kinds(out, span, n, most);
}
