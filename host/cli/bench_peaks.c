#include "host/cli/bench_peaks.h"

#include "host/graph/program.h"
#include "host/train/device_arenas.h"
#include "kernels/device/device_memory.h"

#include <string.h>

#define REPEATS 8

/* Work to be timed, queued by fn. */
static spx_status best_of(spx_stream *s, spx_status (*fn)(void *ctx), void *ctx, double *seconds)
{
    spx_event *begin = NULL, *end = NULL;
    spx_status st;
    *seconds = 0;
    SPX_TRY(st, spx_event_create(&begin, s), done);
    SPX_TRY(st, spx_event_create(&end, s), done);
    for (int i = 0; i < REPEATS; i++) {
        double t;
        SPX_TRY(st, spx_event_record(begin, s), done);
        SPX_TRY(st, fn(ctx), done);
        SPX_TRY(st, spx_event_record(end, s), done);
        SPX_TRY(st, spx_event_sync(end), done);
        SPX_TRY(st, spx_event_seconds(begin, end, &t), done);
        *seconds = i == 0 || t < *seconds ? t : *seconds;
    }
done:
    spx_event_destroy(begin);
    spx_event_destroy(end);
    return st;
}

typedef struct copying {
    spx_stream *s;
    void *from, *to;
    size_t bytes;
} copying;

static spx_status queue_copy(void *ctx)
{
    const copying *c = ctx;
    return spx_device_copy(c->s, c->to, c->from, c->bytes);
}

static spx_status measure_bytes(spx_stream *s, size_t bytes, double *out)
{
    copying c = {.s = s, .bytes = bytes};
    double seconds = 0;
    spx_status st;
    SPX_TRY(st, spx_device_alloc(s, &c.from, bytes), end);
    SPX_TRY(st, spx_device_alloc(s, &c.to, bytes), end);
    st = best_of(s, queue_copy, &c, &seconds);
    *out = seconds > 0 ? 2 * (double)bytes / seconds : 0;
end:
    spx_device_free(s, c.from);
    spx_device_free(s, c.to);
    return st;
}

/* A convolution of n images of side x side with as many channels out as in. */
typedef struct problem {
    size_t copy_bytes;
    int64_t n, channels, side;
} problem;

static spx_status make_program(spx_program **out, spx_stream *s, const problem *p)
{
    const int64_t dim[4] = {p->n, p->channels, p->side, p->side};
    const spx_conv_options conv = {.filters = p->channels,
                                   .size = 3,
                                   .stride = 1,
                                   .pad_begin = 1,
                                   .pad_end = 1,
                                   .dilation = 1};
    spx_program_options o = {.n_output = 1};
    spx_graph *g;
    spx_tid y;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(spx_graph_create(&g, false));
    y = spx_g_conv2d(g, spx_g_input(g, "x", SPX_F32, 4, dim), "conv", &conv);
    o.output = &y;
    st = spx_program_create(out, g, s, &o);
    spx_graph_destroy(g);
    return st;
}

typedef struct convolving {
    spx_program *program;
    spx_binding bind;
} convolving;

static spx_status queue_program(void *ctx)
{
    convolving *c = ctx;
    return spx_program_run(c->program, &c->bind);
}

static spx_status measure_flops(spx_stream *s, const problem *p, double *out)
{
    const double flops =
        2.0 * 9 * (double)(p->channels * p->channels) * (double)(p->n * p->side * p->side);
    const size_t image_bytes = (size_t)(p->n * p->channels * p->side * p->side) * sizeof(float);
    convolving c = {0};
    const spx_layout *l;
    const void *input[1] = {NULL};
    void *image = NULL;
    spx_buffer weights = {0}, workspace = {0};
    double seconds = 0;
    spx_status st;
    SPX_TRY(st, make_program(&c.program, s, p), end);
    l = spx_program_layout(c.program);
    SPX_TRY(st, spx_device_alloc(s, &image, image_bytes), end);
    SPX_TRY(st, spx_buffer_alloc(&workspace, s, spx_program_workspace_bytes(c.program)), end);
    SPX_TRY(st, spx_layout_arena(l, s, SPX_ROLE_WEIGHT, &weights), end);
    SPX_TRY(st, spx_device_arenas_init(l, s, 1, &weights, NULL, NULL), end);
    input[0] = image;
    c.bind = (spx_binding){.weights = weights, .workspace = workspace, .input = input};
    st = best_of(s, queue_program, &c, &seconds);
    *out = seconds > 0 ? flops / seconds : 0;
end:
    spx_device_free(s, image);
    spx_buffer_free(&workspace);
    spx_buffer_free(&weights);
    spx_program_destroy(c.program);
    return st;
}

spx_status spx_measure_peaks(spx_stream *s, spx_peaks *out)
{
    static const problem cpu = {(size_t)64 << 20, 16, 64, 32},
                         gpu = {(size_t)512 << 20, 64, 256, 28},
                         emulated = {(size_t)1 << 20, 1, 4, 8};
    const problem *p = &cpu;
    spx_device_info info;
    memset(out, 0, sizeof *out);
    if (spx_stream_device(s) != SPX_DEVICE_CPU) {
        SPX_RETURN_IF(spx_device_describe(spx_stream_device(s), spx_stream_index(s), &info));
        p = info.driver > 0 ? &gpu : &emulated;
    }
    SPX_RETURN_IF(measure_bytes(s, p->copy_bytes, &out->bytes));
    return measure_flops(s, p, &out->flops);
}
