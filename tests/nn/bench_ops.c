/*
 * bench_ops [THREADS]: memory throughput of the light ops beside a copy of the same tensors in the
 * same run. An op bound by memory should come near the copy. Then the matrix product's speed and
 * the smallest ops' times. The best of several rounds.
 */
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "kernels/nn/drop_mask/drop_mask.h"
#include "kernels/nn/linear/linear.h"
#include "kernels/nn/loss/loss.h"
#include "kernels/nn/norm_sum/norm_sum.h"
#include "kernels/nn/pool/pool2d.h"
#include "kernels/nn/relu/relu.h"
#include "kernels/nn/softmax/softmax.h"
#include "kernels/optim/optim.h"
#include "tests/nn/network_sizes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TENSORS = 32, TERMS = 30, ROUNDS = 7 }; /* TERMS: the most of network_terms */

/* Tensors enough to leave the caches, and what the ops need beside them. */
typedef struct bench {
    spx_stream *s;
    network_size k;
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

/* Each returns how many tensors it read and wrote; with is the number of terms, or the stride. */
typedef double (*bench_fn)(bench *b, int with);

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

static double copy(bench *b, int unused)
{
    (void)unused;
    for (int i = 0; i < TENSORS; i += 2) {
        copy_args a = {b->tensor[i], b->tensor[i + 1]};
        spx_pool_run(spx_stream_pool(b->s), b->len, copy_part, &a);
    }
    return TENSORS;
}

static spx_norm_dims dims(const bench *b)
{
    return (spx_norm_dims){b->k.n, b->k.c, b->k.side * b->k.side};
}

static int64_t chw(const bench *b)
{
    return b->k.c * b->k.side * b->k.side;
}

static spx_operand image(const bench *b, int i)
{
    return (spx_operand){b->tensor[i], chw(b), SPX_TYPE_F32};
}

static double bn_stats(bench *b, int unused)
{
    (void)unused;
    const spx_norm_dims d = dims(b);
    for (int i = 0; i < TENSORS; i++) {
        must(spx_bn_stats(b->s, &d, image(b, i), b->small[4], b->small[5], 0, NULL, NULL, NULL));
    }
    return TENSORS;
}

static double sum(bench *b, int k)
{
    const spx_norm_dims d = dims(b);
    for (int i = 0; i + k <= TERMS; i += k) {
        must(spx_norm_sum_forward(b->s, &d, k, b->term + i, false, image(b, TERMS)));
    }
    return TERMS / k * (k + 1);
}

static double reduce(bench *b, int k)
{
    const spx_norm_dims d = dims(b);
    for (int i = 0; i + k <= TERMS; i += k) {
        must(spx_norm_sum_backward_reduce(b->s, &d, k, b->term + i, true, image(b, TERMS),
                                          image(b, TERMS + 1), b->grad + i, NULL));
    }
    return TERMS / k * (k + 2);
}

static double apply(bench *b, int unused)
{
    (void)unused;
    const spx_norm_dims d = dims(b);
    for (int i = 0; i < TERMS / 2; i++) {
        must(spx_norm_sum_backward_apply(b->s, &d, &b->term[i], b->small[2], b->small[3], false,
                                         (spx_operand){0}, image(b, TERMS + 1), false,
                                         image(b, TERMS / 2 + i)));
    }
    return TERMS / 2 * 3;
}

static double relu(bench *b, int unused)
{
    (void)unused;
    for (int i = 0; i < TENSORS; i += 2) {
        must(spx_relu_forward(b->s, b->k.n, b->k.c, b->k.side * b->k.side, 0, image(b, i),
                              image(b, i + 1)));
    }
    return TENSORS;
}

static double relu_backward(bench *b, int unused)
{
    (void)unused;
    for (int i = 0; i + 3 <= TENSORS; i += 3) {
        must(spx_relu_backward(b->s, b->k.n, b->k.c, b->k.side * b->k.side, 0, image(b, i),
                               image(b, i + 1), false, image(b, i + 2)));
    }
    return TENSORS / 3 * 3;
}

/* An image's share of the last tensor is the mask. */
static double masked_relu(bench *b, int unused)
{
    (void)unused;
    for (int i = 0; i + 2 < TENSORS; i += 2) {
        must(spx_relu_masked_forward(b->s, b->k.n, b->k.c, b->k.side * b->k.side, 0,
                                     b->tensor[TENSORS - 1], image(b, i), image(b, i + 1)));
    }
    return TENSORS - 2;
}

static double masked_relu_backward(bench *b, int with_gradient)
{
    for (int i = 0; i + 3 < TENSORS; i += 3) {
        const spx_relu_grad g = {.x = image(b, i + 2),
                                 .mask = with_gradient ? b->tensor[TENSORS - 2] : NULL};
        must(spx_relu_masked_backward(b->s, b->k.n, b->k.c, b->k.side * b->k.side, 0,
                                      b->tensor[TENSORS - 1], image(b, i), image(b, i + 1), &g));
    }
    return (TENSORS - 2) / 3 * 3;
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

static spx_operand pooled(const bench *b, const spx_pool2d_shape *d, int i)
{
    return (spx_operand){b->tensor[i], d->c * d->p * d->q, SPX_TYPE_F32};
}

static double pool_forward(bench *b, int stride)
{
    const spx_pool2d_shape d = pool_shape(b, stride);
    for (int i = 0; i < TENSORS; i += 2) {
        must(spx_avg_pool_forward(b->s, &d, image(b, i), pooled(b, &d, i + 1)));
    }
    return TENSORS / 2 * (1 + 1.0 / (double)(stride * stride));
}

static double pool_backward(bench *b, int stride)
{
    const spx_pool2d_shape d = pool_shape(b, stride);
    for (int i = 0; i < TENSORS; i += 2) {
        must(spx_avg_pool_backward(b->s, &d, pooled(b, &d, i), false, image(b, i + 1)));
    }
    return TENSORS / 2 * (1 + 1.0 / (double)(stride * stride));
}

static double norm2(bench *b, int unused)
{
    (void)unused;
    double norm, partial[SPX_POOL_MAX_THREADS];
    for (int i = 0; i < TENSORS; i++) {
        must(spx_norm2(b->s, b->len, b->tensor[i], &norm, partial));
    }
    return TENSORS;
}

static const spx_guard open_guard = {.clip = 1, .ok = 1};
static const float tiny_rate = 1e-9f;

static double sgd(bench *b, int unused)
{
    (void)unused;
    for (int i = 0; i + 3 <= TENSORS; i += 3) {
        must(spx_sgd(b->s, b->len, &tiny_rate, &(spx_sgd_rule){0.9f, 1e-4f, false, NULL},
                     &open_guard, b->tensor[i], b->tensor[i + 1], b->tensor[i + 2]));
    }
    return TENSORS / 3 * 5;
}

static double adam(bench *b, int unused)
{
    (void)unused;
    const uint64_t step = 3;
    float *t0 = b->tensor[0], *v = b->tensor[1];
    memset(v, 0, b->len * sizeof *v); /* squares: not below zero */
    must(spx_adam(b->s, b->len, 1e-9f, 0.5f, 0.999f, 1e-4f, &step, &open_guard, t0, b->tensor[2], v,
                  b->tensor[3]));
    for (int i = 4; i + 3 <= TENSORS; i += 3) {
        must(spx_adam(b->s, b->len, 1e-9f, 0.5f, 0.999f, 1e-4f, &step, &open_guard, t0,
                      b->tensor[i], v, b->tensor[i + 2]));
    }
    return (1 + (TENSORS - 4) / 3) * 7 + 1;
}

static double axpy(bench *b, int unused)
{
    (void)unused;
    for (int i = 0; i + 3 <= TENSORS; i += 3) {
        must(spx_axpy(b->s, b->len, &tiny_rate, 1, b->tensor[i], b->tensor[i + 1],
                      b->tensor[i + 2]));
    }
    return TENSORS / 3 * 3;
}

typedef struct row {
    const char *name;
    bench_fn fn;
    const int *with; /* a row each; NULL: one row */
    size_t count;
} row;

static const int strides[] = {1, 2}, to_mask[] = {0, 1};

static const row rows[] = {
    {"copy", copy, NULL, 1}, /* first: the others are shares of it */
    {"bn_stats", bn_stats, NULL, 1},
    {"norm_sum k =", sum, network_terms, NETWORK_TERMS},
    {"reduce, relu, k =", reduce, network_terms, NETWORK_TERMS},
    {"apply", apply, NULL, 1},
    {"relu", relu, NULL, 1},
    {"relu backward", relu_backward, NULL, 1},
    {"masked relu", masked_relu, NULL, 1},
    {"masked relu backward, to the mask", masked_relu_backward, to_mask, 2},
    {"avg_pool 3x3 /", pool_forward, strides, 2},
    {"avg_pool backward /", pool_backward, strides, 2},
    {"norm2", norm2, NULL, 1},
    {"sgd", sgd, NULL, 1},
    {"adam", adam, NULL, 1},
    {"axpy", axpy, NULL, 1},
};
#define ROWS (sizeof rows / sizeof rows[0])
#define MOST_WITH 4 /* NETWORK_TERMS */

static void bench_init(bench *b, spx_stream *s, network_size k)
{
    memset(b, 0, sizeof *b);
    b->s = s;
    b->k = k;
    b->len = (size_t)(k.n * chw(b));
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
        b->term[i] = (spx_norm_term){
            .x = image(b, i), .mean = b->small[0], .invstd = b->small[1], .coef = &b->coef};
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

static void run_table(spx_stream *s, network_size k)
{
    double best[ROWS][MOST_WITH] = {{0}};
    bench b;
    bench_init(&b, s, k);
    for (int round = 0; round < ROUNDS; round++) { /* rounds outside: noise meets every row alike */
        for (size_t r = 0; r < ROWS; r++) {
            for (size_t i = 0; i < rows[r].count; i++) {
                const int with = rows[r].with != NULL ? rows[r].with[i] : 0;
                const double start = spx_seconds(), tensors = rows[r].fn(&b, with);
                const double rate = tensors * (double)b.len * 4e-9 / (spx_seconds() - start);
                best[r][i] = rate > best[r][i] ? rate : best[r][i];
            }
        }
    }
    (void)printf("n %d, c %d, %d x %d: GB/s, share of copy\n", (int)k.n, (int)k.c, (int)k.side,
                 (int)k.side);
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t i = 0; i < rows[r].count; i++) {
            char with[16] = "";
            if (rows[r].with != NULL) {
                (void)snprintf(with, sizeof with, "%d", rows[r].with[i]);
            }
            (void)printf("  %-20s %-2s %7.1f %6.2f\n", rows[r].name, with, best[r][i],
                         best[r][i] / best[0][0]);
        }
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
    const spx_operand x = {p[0], f, SPX_TYPE_F32};
    for (int round = 0; round < 3 * 20; round++) {
        const double start = spx_seconds();
        double seconds;
        switch (round % 3) {
        case 0:
            must(spx_linear_forward(s, n, f, o, x, p[1], NULL, p[2]));
            break;
        case 1:
            must(spx_linear_backward_data(s, n, f, o, p[2], p[1], false, x));
            break;
        default:
            must(spx_linear_backward_weights(s, n, f, o, x, p[2], false, p[1], NULL));
        }
        seconds = spx_seconds() - start;
        best[round % 3] = seconds < best[round % 3] ? seconds : best[round % 3];
    }
    (void)printf("linear %4d x %3d x %4d: GFLOP/s %6.1f forward %6.1f data %6.1f weights\n", (int)n,
                 (int)f, (int)o, 2e-9 * (double)(n * f * o) / best[0],
                 2e-9 * (double)(n * f * o) / best[1], 2e-9 * (double)(n * f * o) / best[2]);
    for (int i = 0; i < 3; i++) {
        spx_free(p[i]);
    }
}

/* The smallest ops, which no copy compares with: logits (n, classes), alphas, masks of n images. */
static void run_small(spx_stream *s, int64_t n, int64_t classes)
{
    enum { ROWS_OF_ALPHAS = 14, CANDIDATES = 7, CALLS = 20, OPS = 4 };
    static const char *const names[OPS] = {"cross_entropy", "cross_entropy backward", "softmax",
                                           "drop_mask"};
    const float drop = 0.2f;
    const uint64_t seed = 1;
    float *x, *y;
    int32_t *label;
    double best[OPS] = {1e9, 1e9, 1e9, 1e9};
    must(spx_calloc((void **)&x, (size_t)(n * classes), sizeof *x));
    must(spx_calloc((void **)&y, (size_t)(n * classes), sizeof *y));
    must(spx_calloc((void **)&label, (size_t)n, sizeof *label));
    for (int call = 0; call < CALLS * OPS; call++) {
        const double start = spx_seconds();
        double seconds;
        switch (call % OPS) {
        case 0:
            must(spx_cross_entropy_forward(s, n, classes, x, label, 0.1f, y));
            break;
        case 1:
            must(spx_cross_entropy_backward(s, n, classes, x, label, 0.1f, 1, false, y));
            break;
        case 2:
            must(spx_softmax_forward(s, ROWS_OF_ALPHAS, CANDIDATES, x, y));
            break;
        default:
            must(spx_drop_mask(s, n, &drop, &seed, &(uint64_t){(uint64_t)call}, 0, y));
        }
        seconds = spx_seconds() - start;
        best[call % OPS] = seconds < best[call % OPS] ? seconds : best[call % OPS];
    }
    (void)printf("n %d, classes %d, microseconds:", (int)n, (int)classes);
    for (int i = 0; i < OPS; i++) {
        (void)printf(" %s %.1f", names[i], 1e6 * best[i]);
    }
    (void)printf("\n");
    spx_free(x);
    spx_free(y);
    spx_free(label);
}

int main(int argc, char **argv)
{
    spx_stream *s;
    must(spx_stream_create(&s, SPX_DEVICE_CPU, argc > 1 ? atoi(argv[1]) : 0));
    for (size_t i = 0; i < NETWORK_SIZES; i++) {
        run_table(s, network_sizes[i]);
    }
    for (size_t i = 0; i < NETWORK_LINEARS; i++) {
        run_linear(s, network_linears[i][0], network_linears[i][1], network_linears[i][2]);
        run_small(s, network_linears[i][0], network_linears[i][2]);
    }
    spx_stream_destroy(s);
    return 0;
}
