/*
 * Measures the candidates of a plan where it will run. Each is run once, so that its code is loaded
 * (or compiled), then RUNS times between marks; the median counts. Before each timed run other
 * memory is written, more than twice what the second-level cache of any device holds: that takes
 * the operands out of it, as a step's other ops do, and keeps the device busy until the run is
 * queued.
 */
#include "kernels/base/alloc.h"
#include "kernels/device/device_memory.h"
#include "kernels/nn/conv2d/cuda/conv2d_plan_cuda_private.h"

#include <stdio.h>
#include <stdlib.h>

#define RUNS 5
#define OTHER_BYTES ((size_t)128 << 20) /* 30 us of a data-centre device */
#define HOPELESS 3                      /* times the best: one timed run is enough */

typedef struct bench {
    spx_stream *s;
    void *x, *y, *w, *dbias, *bias, *other, *workspace;
    size_t workspace_bytes;
    spx_event *from[RUNS], *to[RUNS];
} bench;

static void bench_clear(bench *b)
{
    void *const blocks[] = {b->x, b->y, b->w, b->dbias, b->bias, b->other, b->workspace};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        spx_device_free(b->s, blocks[i]);
    }
    for (int i = 0; i < RUNS; i++) {
        spx_event_destroy(b->from[i]);
        spx_event_destroy(b->to[i]);
    }
}

/* Zeros: what is timed does not depend on the numbers. */
static spx_status bench_init(bench *b, spx_stream *s, const spx_conv2d_cuda_plan *p)
{
    const spx_conv2d_shape *d = &p->base.want.shape;
    const size_t size = spx_type_bytes(p->base.type), f32 = sizeof(float);
    const struct {
        void **out;
        int64_t elements;
        size_t size;
    } blocks[] = {
        {&b->x, d->n * d->h * d->w * p->base.want.x_stride, size},
        {&b->y, d->n * d->p * d->q * p->base.want.y_stride, size},
        {&b->w, spx_conv2d_weights(d), f32},
        {&b->dbias, d->k, f32},
        {&b->bias, d->k, f32},
        {&b->other, (int64_t)OTHER_BYTES, 1},
    };
    *b = (bench){.s = s};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        SPX_RETURN_IF(
            spx_device_alloc(s, blocks[i].out, (size_t)blocks[i].elements * blocks[i].size));
    }
    for (int i = 0; i < RUNS; i++) {
        SPX_RETURN_IF(spx_event_create(&b->from[i], s));
        SPX_RETURN_IF(spx_event_create(&b->to[i], s));
    }
    return SPX_OK;
}

static spx_status grow_workspace(bench *b, size_t bytes)
{
    if (bytes > b->workspace_bytes) {
        spx_device_free(b->s, b->workspace);
        b->workspace = NULL;
        b->workspace_bytes = 0;
        SPX_RETURN_IF(spx_device_alloc(b->s, &b->workspace, bytes));
        b->workspace_bytes = bytes;
    }
    return SPX_OK;
}

static spx_status run(const bench *b, const spx_conv2d_cuda_plan *p)
{
    const spx_conv2d_want *want = &p->base.want;
    const spx_type type = p->base.type;
    const bool weights = want->pass == SPX_CONV2D_BACKWARD_WEIGHTS;
    const size_t size = spx_type_bytes(type);
    const spx_conv2d_call call = {
        .in = {.x = {(char *)b->x + (size_t)want->x_first * size, want->x_stride, type}},
        .y = {(char *)b->y + (size_t)want->y_first * size, want->y_stride, type},
        .w = weights ? NULL : b->w,
        .dw = weights ? b->w : NULL,
        .dbias = weights && want->bias ? b->dbias : NULL,
        .bias = !weights && want->bias ? b->bias : NULL,
        .workspace = b->workspace};
    return spx_conv2d_plan_run(p, b->s, &call);
}

static int by_time(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Queues `runs` timed runs and waits for them. */
static spx_status time_runs(bench *b, const spx_conv2d_cuda_plan *p, int runs, double *median)
{
    double t[RUNS];
    for (int i = 0; i < runs; i++) {
        SPX_RETURN_IF(spx_device_zero(b->s, b->other, OTHER_BYTES));
        SPX_RETURN_IF(spx_event_record(b->from[i], b->s));
        SPX_RETURN_IF(run(b, p));
        SPX_RETURN_IF(spx_event_record(b->to[i], b->s));
    }
    SPX_RETURN_IF(spx_stream_sync(b->s));
    for (int i = 0; i < runs; i++) {
        SPX_RETURN_IF(spx_event_seconds(b->from[i], b->to[i], &t[i]));
    }
    qsort(t, (size_t)runs, sizeof t[0], by_time);
    *median = t[runs / 2];
    return SPX_OK;
}

static spx_status measure(bench *b, const spx_conv2d_cuda_plan *p, double best, double *seconds)
{
    SPX_RETURN_IF(grow_workspace(b, p->base.bytes));
    SPX_RETURN_IF(run(b, p));
    SPX_RETURN_IF(spx_stream_sync(b->s));
    SPX_RETURN_IF(time_runs(b, p, 1, seconds));
    return best > 0 && *seconds > HOPELESS * best ? SPX_OK : time_runs(b, p, RUNS, seconds);
}

/* Index of the fastest; a candidate that cannot be made or run is passed over. */
static spx_status fastest(spx_conv2d_cuda_plan *p, bench *b, const spx_conv2d_library *l,
                          const spx_conv2d_choices *c, int *index, double *seconds)
{
    spx_status last = SPX_OK;
    *index = -1;
    *seconds = 0;
    for (int i = 0; i < c->count; i++) {
        double t = 0;
        spx_status st = spx_conv2d_plan_take(p, l, c->text[i]);
        if (st == SPX_OK) {
            st = measure(b, p, *seconds, &t);
        }
        if (st == SPX_OK && (*index < 0 || t < *seconds)) {
            *index = i;
            *seconds = t;
        }
        last = st != SPX_OK ? st : last;
    }
    if (*index >= 0) {
        return SPX_OK;
    }
    return last == SPX_OK ? SPX_FAIL(SPX_EUNSUPPORTED, "conv2d: nothing runs this shape")
                          : spx_fail_context(last, "conv2d: no candidate runs");
}

spx_status spx_conv2d_plan_measure(spx_conv2d_cuda_plan *p, spx_stream *s,
                                   const spx_conv2d_library *l)
{
    bench b;
    int index = -1;
    double seconds = 0;
    spx_conv2d_choices *c = malloc(sizeof *c);
    if (c == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "conv2d: candidates");
    }
    spx_status st = spx_conv2d_plan_list(p, l, c);
    if (st == SPX_OK) {
        st = bench_init(&b, s, p);
        if (st == SPX_OK) {
            st = fastest(p, &b, l, c, &index, &seconds);
        }
        bench_clear(&b);
    }
    if (st == SPX_OK) {
        char choice[SPX_CONV2D_CHOICE];
        const int hundredths = seconds < 1 ? (int)(1e8 * seconds + 0.5) : 100000000; /* of us */
        (void)snprintf(choice, sizeof choice, "us=%d.%02d,%s", hundredths / 100, hundredths % 100,
                       c->text[index]);
        st = spx_conv2d_plan_take(p, l, choice);
    }
    free(c);
    return st;
}
