/* The table of bench_conv2d on CUDA. Runs follow each other between two marks; the best counts. */
#include "tests/nn/bench_conv2d_cuda.h"

#include "kernels/base/clock.h"
#include "kernels/device/device_memory.h"
#include "kernels/nn/conv2d/conv2d.h"
#include "tests/nn/conv2d_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 20 /* runs between two marks */

static const struct {
    const char *name;
    spx_precision precision;
    bool own;
} columns[] = {
    {"own f32", SPX_PRECISION_F32, true},
    {"f32", SPX_PRECISION_F32, false},
    {"tf32", SPX_PRECISION_TF32, false},
    {"bf16", SPX_PRECISION_BF16, false},
};
#define COLUMNS (sizeof columns / sizeof columns[0])

typedef struct row {
    double seconds[SPX_CONV2D_PASS_COUNT];
    size_t workspace[SPX_CONV2D_PASS_COUNT];
    char choice[SPX_CONV2D_PASS_COUNT][SPX_CONV2D_CHOICE];
} row;

static void need(spx_status st)
{
    if (st != SPX_OK) {
        (void)fprintf(stderr, "bench_conv2d: %s\n", spx_error_message());
        exit(1);
    }
}

/* Operands are zeros. */
typedef struct buffers {
    void *x, *y, *w, *workspace;
} buffers;

static void run(spx_stream *s, const spx_conv2d_plan *plan, const spx_conv2d_want *want,
                const buffers *b)
{
    const spx_type type = spx_activation_type(s);
    const spx_conv2d_input in = {.x = {b->x, want->x_stride, type}};
    const spx_operand y = {b->y, want->y_stride, type};
    switch (want->pass) {
    case SPX_CONV2D_FORWARD:
        need(spx_conv2d_forward(plan, s, &in, b->w, NULL, y, b->workspace));
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        need(spx_conv2d_backward_data(plan, s, y, b->w, in.x, b->workspace));
        break;
    default:
        need(spx_conv2d_backward_weights(plan, s, &in, y, b->w, NULL, b->workspace));
        break;
    }
}

static double best_of(spx_stream *s, const spx_conv2d_plan *plan, const spx_conv2d_want *want,
                      const buffers *b, double budget)
{
    spx_event *from, *to;
    double best = 0;
    need(spx_event_create(&from, s));
    need(spx_event_create(&to, s));
    run(s, plan, want, b);
    need(spx_stream_sync(s));
    const double end = spx_seconds() + budget;
    do {
        double t;
        need(spx_event_record(from, s));
        for (int i = 0; i < AT_ONCE; i++) {
            run(s, plan, want, b);
        }
        need(spx_event_record(to, s));
        need(spx_event_sync(to));
        need(spx_event_seconds(from, to, &t));
        best = best == 0 || t / AT_ONCE < best ? t / AT_ONCE : best;
    } while (spx_seconds() < end);
    spx_event_destroy(from);
    spx_event_destroy(to);
    return best;
}

static void measure(spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass, bool own,
                    double budget, row *r)
{
    const size_t size = spx_type_bytes(spx_activation_type(s));
    const spx_conv2d_want want = {
        .shape = *d, .pass = pass, .reference = own, .x_stride = d->c, .y_stride = d->k};
    spx_conv2d_plan *plan;
    buffers b;
    need(spx_conv2d_plan_create(&plan, s, &want, NULL));
    need(spx_device_alloc(s, &b.x, (size_t)(d->n * d->h * d->w * d->c) * size));
    need(spx_device_alloc(s, &b.y, (size_t)(d->n * d->p * d->q * d->k) * size));
    need(spx_device_alloc(s, &b.w, (size_t)spx_conv2d_weights(d) * sizeof(float)));
    need(spx_device_alloc(s, &b.workspace, spx_conv2d_plan_workspace(plan)));
    r->seconds[pass] = best_of(s, plan, &want, &b, budget);
    r->workspace[pass] = spx_conv2d_plan_workspace(plan);
    (void)snprintf(r->choice[pass], sizeof r->choice[pass], "%s", spx_conv2d_plan_choice(plan));
    spx_device_free(s, b.x);
    spx_device_free(s, b.y);
    spx_device_free(s, b.w);
    spx_device_free(s, b.workspace);
    spx_conv2d_plan_destroy(plan);
}

/* What a pass must at least move, in bytes. */
static double bytes_of(const spx_conv2d_shape *d, spx_precision precision)
{
    const int64_t elements =
        d->n * (d->h * d->w * d->c + d->p * d->q * d->k) + spx_conv2d_weights(d);
    return (double)elements * (precision == SPX_PRECISION_BF16 ? 2 : 4);
}

static void print_json(const char *name, size_t column, double flop, double bytes, const row *r)
{
    static bool comma = false;
    (void)printf("%s\n{\"case\": \"%s\", \"algo\": \"cuda %s\", \"gflop\": %.6f, \"bytes\": %.0f",
                 comma ? "," : "", name, columns[column].name, flop, bytes);
    for (int p = 0; p < SPX_CONV2D_PASS_COUNT; p++) {
        static const char *const passes[] = {"forward", "backward_data", "backward_weights"};
        (void)printf(", \"%s\": %.2f, \"%s_us\": %.2f, \"%s_workspace\": %zu, \"%s_choice\": "
                     "\"%s\"",
                     passes[p], flop / r->seconds[p], passes[p], 1e6 * r->seconds[p], passes[p],
                     r->workspace[p], passes[p], r->choice[p]);
    }
    (void)printf("}");
    comma = true;
}

static void bench(spx_stream *const *s, const conv2d_network_case *c, const bench_cuda_options *o)
{
    spx_conv2d_shape d = c->d;
    d.n = o->images > 0 ? o->images : d.n;
    need(spx_conv2d_shape_init(&d));
    const double flop = 2e-9 * (double)(d.n * d.p * d.q * spx_conv2d_weights(&d));
    if (!o->json) {
        (void)printf("%-30s %7.3f %7.2f", c->name, flop, 1e-6 * bytes_of(&d, SPX_PRECISION_F32));
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        row r;
        for (int p = 0; p < SPX_CONV2D_PASS_COUNT; p++) {
            measure(s[i], &d, (spx_conv2d_pass)p, columns[i].own, o->budget, &r);
        }
        if (o->json) {
            print_json(c->name, i, flop, bytes_of(&d, columns[i].precision), &r);
        } else {
            (void)printf("  | %6.0f %6.0f %6.0f", flop / r.seconds[0], flop / r.seconds[1],
                         flop / r.seconds[2]);
        }
    }
    (void)printf(o->json ? "" : "\n");
    (void)fflush(stdout);
}

int bench_conv2d_cuda(const bench_cuda_options *o)
{
    spx_stream *s[COLUMNS];
    spx_device_info info;
    need(spx_device_describe(SPX_DEVICE_CUDA, 0, &info));
    for (size_t i = 0; i < COLUMNS; i++) {
        need(spx_stream_open(&s[i], &(spx_stream_options){.device = SPX_DEVICE_CUDA,
                                                          .threads = 1,
                                                          .precision = columns[i].precision}));
    }
    if (o->json) {
        (void)printf("{\"device\": \"%s\", \"cases\": [", info.name);
    } else {
        (void)printf("%s\n%-30s %7s %7s", info.name, "GFLOP/s, best", "GFLOP", "MB f32");
        for (size_t i = 0; i < COLUMNS; i++) {
            (void)printf("  | %7s: fwd data wt", columns[i].name);
        }
        (void)printf("\n");
    }
    for (size_t i = 0; i < CONV2D_NETWORK_CASES; i++) {
        if (strstr(conv2d_network_cases[i].name, o->only) != NULL) {
            bench(s, &conv2d_network_cases[i], o);
        }
    }
    (void)printf(o->json ? "\n]}\n" : "");
    for (size_t i = 0; i < COLUMNS; i++) {
        spx_stream_destroy(s[i]);
    }
    return 0;
}
