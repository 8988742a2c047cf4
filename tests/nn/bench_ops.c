/*
 * bench_ops [THREADS]: memory throughput of the light ops beside a copy of the same tensors in the
 * same run. An op bound by memory should come near the copy. Prints a table; the best of several
 * rounds.
 */
#define _POSIX_C_SOURCE 200809L
#include "kernels/base/alloc.h"
#include "kernels/nn/linear/linear.h"
#include "kernels/nn/norm_sum/norm_sum.h"
#include "kernels/nn/pool/pool2d.h"
#include "kernels/nn/relu/relu.h"
#include "kernels/optim/optim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TENSORS = 32, TERMS = 30, ROUNDS = 7 };

typedef struct shape {
    int64_t n, c, hw, side;
} shape;

/* Tensors enough to leave the caches, and what the ops need beside them. */
typedef struct bench {
    spx_stream *s;
    shape k;
    size_t len; /* floats of a tensor */
    float *tensor[TENSORS];
    float *small[6]; /* [c] each: mean, invstd, sums */
    float coef, dcoef;
    spx_norm_term term[TERMS];
    spx_norm_grad grad[TERMS];
} bench;

static void must(spx_status st)
{
    if (st != SPX_OK) {
        (void)fprintf(stderr, "bench_ops: %s\n", spx_error_message());
        exit(1);
    }
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Each returns how many tensors it read and wrote. */
typedef double (*bench_fn)(bench *b);

typedef struct copy_args {
    const float *from;
    float *to;
} copy_args;

static void copy_part(void *ctx, int worker, size_t begin, size_t end)
{
    const copy_args *a = ctx;
    (void)worker;
    memcpy(a->to + begin, a->from + begin, (end - begin) * sizeof(float));
}

static double copy(bench *b)
{
    for (int i = 0; i < TENSORS; i += 2) {
        copy_args a = {b->tensor[i], b->tensor[i + 1]};
        spx_pool_run(spx_stream_pool(b->s), b->len, copy_part, &a);
    }
    return TENSORS;
}

static spx_norm_dims dims(const bench *b)
{
    return (spx_norm_dims){b->k.n, b->k.c, b->k.hw};
}

static int64_t chw(const bench *b)
{
    return b->k.c * b->k.hw;
}

static double bn_stats(bench *b)
{
    const spx_norm_dims d = dims(b);
    for (int i = 0; i < TENSORS; i++) {
        must(spx_bn_stats(b->s, &d, b->tensor[i], chw(b), b->small[4], b->small[5], 0, NULL, NULL));
    }
    return TENSORS;
}

static double sum_of(bench *b, int k)
{
    const spx_norm_dims d = dims(b);
    for (int i = 0; i + k <= TERMS; i += k) {
        must(spx_norm_sum_forward(b->s, &d, k, b->term + i, false, b->tensor[TERMS], chw(b)));
    }
    return TERMS / k * (k + 1);
}

static double sum_1(bench *b)
{
    return sum_of(b, 1);
}

static double sum_2(bench *b)
{
    return sum_of(b, 2);
}

static double sum_6(bench *b)
{
    return sum_of(b, 6);
}

static double sum_30(bench *b)
{
    return sum_of(b, TERMS);
}

static double reduce(bench *b, int k, bool relu)
{
    const spx_norm_dims d = dims(b);
    for (int i = 0; i + k <= TERMS; i += k) {
        must(spx_norm_sum_backward_reduce(b->s, &d, k, b->term + i, relu, b->tensor[TERMS], chw(b),
                                          b->tensor[TERMS + 1], chw(b), b->grad + i));
    }
    return TERMS / k * (k + 1 + relu);
}

static double reduce_1(bench *b)
{
    return reduce(b, 1, true);
}

static double reduce_6(bench *b)
{
    return reduce(b, 6, false);
}

static double reduce_30(bench *b)
{
    return reduce(b, TERMS, false);
}

static double apply(bench *b)
{
    const spx_norm_dims d = dims(b);
    for (int i = 0; i < TERMS / 2; i++) {
        must(spx_norm_sum_backward_apply(b->s, &d, &b->term[i], b->small[2], b->small[3], false,
                                         NULL, 0, b->tensor[TERMS + 1], chw(b), false,
                                         b->tensor[TERMS / 2 + i], chw(b)));
    }
    return TERMS / 2 * 3;
}

static double relu(bench *b)
{
    for (int i = 0; i < TENSORS; i += 2) {
        must(
            spx_relu_forward(b->s, b->k.n, chw(b), b->tensor[i], chw(b), b->tensor[i + 1], chw(b)));
    }
    return TENSORS;
}

static spx_pool2d_shape pool_shape(const bench *b, int64_t stride)
{
    spx_pool2d_shape d = {.n = b->k.n,
                          .c = b->k.c,
                          .h = b->k.side,
                          .w = b->k.side,
                          .size = 3,
                          .stride = stride,
                          .pad = 1};
    must(spx_pool2d_shape_init(&d));
    return d;
}

static double pool_forward(bench *b, int64_t stride)
{
    const spx_pool2d_shape d = pool_shape(b, stride);
    for (int i = 0; i < TENSORS; i += 2) {
        must(spx_avg_pool_forward(b->s, &d, b->tensor[i], chw(b), b->tensor[i + 1],
                                  d.c * d.p * d.q));
    }
    return TENSORS / 2 * (1 + 1.0 / (double)(stride * stride));
}

static double pool_backward(bench *b, int64_t stride)
{
    const spx_pool2d_shape d = pool_shape(b, stride);
    for (int i = 0; i < TENSORS; i += 2) {
        must(spx_avg_pool_backward(b->s, &d, b->tensor[i], d.c * d.p * d.q, false, b->tensor[i + 1],
                                   chw(b)));
    }
    return TENSORS / 2 * (1 + 1.0 / (double)(stride * stride));
}

static double pool_forward_1(bench *b)
{
    return pool_forward(b, 1);
}

static double pool_forward_2(bench *b)
{
    return pool_forward(b, 2);
}

static double pool_backward_1(bench *b)
{
    return pool_backward(b, 1);
}

static double pool_backward_2(bench *b)
{
    return pool_backward(b, 2);
}

static double norm2(bench *b)
{
    double norm;
    for (int i = 0; i < TENSORS; i++) {
        must(spx_norm2(b->s, b->len, b->tensor[i], &norm));
    }
    return TENSORS;
}

static double sgd(bench *b)
{
    for (int i = 0; i + 3 <= TENSORS; i += 3) {
        must(spx_sgd(b->s, b->len, 1e-9f, 0.9f, 1e-4f, 1, b->tensor[i], b->tensor[i + 1],
                     b->tensor[i + 2]));
    }
    return TENSORS / 3 * 5;
}

static double adam(bench *b)
{
    float *t0 = b->tensor[0], *v = b->tensor[1];
    memset(v, 0, b->len * sizeof *v); /* squares: not below zero */
    must(spx_adam(b->s, b->len, 1e-9f, 0.5f, 0.999f, 1e-4f, 3, t0, b->tensor[2], v, b->tensor[3]));
    for (int i = 4; i + 3 <= TENSORS; i += 3) {
        must(spx_adam(b->s, b->len, 1e-9f, 0.5f, 0.999f, 1e-4f, 3, t0, b->tensor[i], v,
                      b->tensor[i + 2]));
    }
    return (1 + (TENSORS - 4) / 3) * 7 + 1;
}

static double axpy(bench *b)
{
    for (int i = 0; i + 3 <= TENSORS; i += 3) {
        must(spx_axpy(b->s, b->len, 0.1f, b->tensor[i], b->tensor[i + 1], b->tensor[i + 2]));
    }
    return TENSORS / 3 * 3;
}

typedef struct row {
    const char *name;
    bench_fn fn;
} row;

static const row rows[] = {
    {"copy", copy},
    {"bn_stats", bn_stats},
    {"norm_sum k=1", sum_1},
    {"norm_sum k=2", sum_2},
    {"norm_sum k=6", sum_6},
    {"norm_sum k=30", sum_30},
    {"reduce k=1 relu", reduce_1},
    {"reduce k=6", reduce_6},
    {"reduce k=30", reduce_30},
    {"apply", apply},
    {"relu", relu},
    {"avg_pool 3x3", pool_forward_1},
    {"avg_pool 3x3 / 2", pool_forward_2},
    {"avg_pool backward", pool_backward_1},
    {"avg_pool / 2 backward", pool_backward_2},
    {"norm2", norm2},
    {"sgd", sgd},
    {"adam", adam},
    {"axpy", axpy},
};
#define ROWS (sizeof rows / sizeof rows[0])

static void bench_init(bench *b, spx_stream *s, shape k)
{
    memset(b, 0, sizeof *b);
    b->s = s;
    b->k = k;
    b->len = (size_t)(k.n * k.c * k.hw);
    b->coef = 0.5f;
    for (int i = 0; i < TENSORS; i++) {
        must(spx_alloc((void **)&b->tensor[i], b->len * sizeof(float)));
        for (size_t j = 0; j < b->len; j++) {
            b->tensor[i][j] = (float)(j * 2654435761u % 1000) * 1e-3f;
        }
    }
    for (int i = 0; i < 6; i++) {
        must(spx_alloc((void **)&b->small[i], (size_t)k.c * sizeof(float)));
        for (int64_t j = 0; j < k.c; j++) {
            b->small[i][j] = 0.5f;
        }
    }
    for (int i = 0; i < TERMS; i++) {
        b->term[i] = (spx_norm_term){.x = b->tensor[i],
                                     .stride_n = chw(b),
                                     .mean = b->small[0],
                                     .invstd = b->small[1],
                                     .coef = &b->coef};
        b->grad[i] =
            (spx_norm_grad){.sum_dy = b->small[2], .sum_dy_xhat = b->small[3], .dcoef = &b->dcoef};
    }
}

static void bench_clear(bench *b)
{
    for (int i = 0; i < TENSORS; i++) {
        spx_free(b->tensor[i]);
    }
    for (int i = 0; i < 6; i++) {
        spx_free(b->small[i]);
    }
}

static void run_table(spx_stream *s, shape k)
{
    double best[ROWS], copied = 0;
    bench b;
    bench_init(&b, s, k);
    for (int round = 0; round < ROUNDS; round++) { /* rounds outside: noise meets every row alike */
        for (size_t r = 0; r < ROWS; r++) {
            const double start = now(), tensors = rows[r].fn(&b), seconds = now() - start;
            const double rate = tensors * (double)b.len * 4e-9 / seconds;
            best[r] = round == 0 || rate > best[r] ? rate : best[r];
        }
    }
    copied = best[0];
    (void)printf("n %d, c %d, %d x %d: GB/s, share of copy\n", (int)k.n, (int)k.c, (int)k.side,
                 (int)k.side);
    for (size_t r = 0; r < ROWS; r++) {
        (void)printf("  %-22s %7.1f %6.2f\n", rows[r].name, best[r], best[r] / copied);
    }
    bench_clear(&b);
}

static void run_linear(spx_stream *s, int64_t n, int64_t f, int64_t o)
{
    const size_t sizes[] = {(size_t)(n * f), (size_t)(o * f), (size_t)(n * o)};
    float *p[3]; /* x, w, y */
    double best[3] = {1e9, 1e9, 1e9};
    for (int i = 0; i < 3; i++) {
        must(spx_calloc((void **)&p[i], sizes[i], sizeof(float)));
    }
    for (int round = 0; round < 3 * 20; round++) {
        const double start = now();
        double seconds;
        switch (round % 3) {
        case 0:
            must(spx_linear_forward(s, n, f, o, p[0], p[1], NULL, p[2]));
            break;
        case 1:
            must(spx_linear_backward_data(s, n, f, o, p[2], p[1], false, p[0]));
            break;
        default:
            must(spx_linear_backward_weights(s, n, f, o, p[0], p[2], false, p[1], NULL));
        }
        seconds = now() - start;
        best[round % 3] = seconds < best[round % 3] ? seconds : best[round % 3];
    }
    (void)printf("linear %4d x %3d x %4d: GFLOP/s %6.1f forward %6.1f data %6.1f weights\n", (int)n,
                 (int)f, (int)o, 2e-9 * (double)(n * f * o) / best[0],
                 2e-9 * (double)(n * f * o) / best[1], 2e-9 * (double)(n * f * o) / best[2]);
    for (int i = 0; i < 3; i++) {
        spx_free(p[i]);
    }
}

int main(int argc, char **argv)
{
    static const shape shapes[] = {
        {64, 16, 1024, 32}, {64, 32, 256, 16}, {64, 64, 64, 8}, {96, 5, 1024, 32}};
    static const int64_t linears[][3] = {{96, 80, 100}, {64, 256, 10}, {256, 512, 1000}};
    spx_stream *s;
    must(spx_stream_create(&s, SPX_DEVICE_CPU, argc > 1 ? atoi(argv[1]) : 0));
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        run_table(s, shapes[i]);
    }
    for (size_t i = 0; i < sizeof linears / sizeof linears[0]; i++) {
        run_linear(s, linears[i][0], linears[i][1], linears[i][2]);
    }
    spx_stream_destroy(s);
    return 0;
}
