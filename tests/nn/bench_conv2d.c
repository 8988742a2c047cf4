/*
 * Speed of every convolution algorithm: bench_conv2d [--json] [--threads N] [--ms N] [--images N]
 * [--only TEXT] [--device cpu|cuda].
 * GFLOP/s (two per multiply-add) of each pass at the shapes of the search and of the final
 * networks; the best of as many runs as fit in the given milliseconds, algorithms taken in turn.
 */
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "kernels/base/cpu.h"
#include "tests/nn/bench_conv2d_cuda.h"
#include "tests/nn/conv2d_cases.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#define PEAK_TURNS 4000000
/* Ten independent chains keep two 4-cycle multiply-add units busy. */
__attribute__((target("avx2,fma"))) static void peak_items(void *ctx, int worker, size_t begin,
                                                           size_t end)
{
    float *sink = ctx;
    __m256 a[10];
    const __m256 x = _mm256_set1_ps(0.5F);
    (void)end;
    for (int i = 0; i < 10; i++) {
        a[i] = _mm256_set1_ps((float)begin);
    }
    for (int64_t i = 0; i < PEAK_TURNS; i++) {
        _Pragma("GCC unroll 10") for (int j = 0; j < 10; j++)
        {
            a[j] = _mm256_fmadd_ps(a[j], x, x);
        }
    }
    for (int i = 1; i < 10; i++) {
        a[0] = _mm256_add_ps(a[0], a[i]);
    }
    sink[worker * 16] = _mm256_cvtss_f32(a[0]);
}

static double peak(spx_stream *s)
{
    static float sink[256 * 16];
    const int threads = spx_stream_threads(s);
    double best = 0;
    if (spx_cpu_isa() < SPX_ISA_AVX2) {
        return 0;
    }
    for (int i = 0; i < 10; i++) {
        const double t0 = spx_seconds();
        spx_pool_run(spx_stream_pool(s), (size_t)threads, peak_items, sink);
        const double rate = 160.0 * PEAK_TURNS * threads / (spx_seconds() - t0) * 1e-9;
        best = rate > best ? rate : best;
    }
    return best;
}
#else
static double peak(spx_stream *s)
{
    (void)s;
    return 0;
}
#endif

static void need(spx_status st)
{
    if (st != SPX_OK) {
        (void)fprintf(stderr, "bench_conv2d: %s\n", spx_error_message());
        exit(1);
    }
}

static float *block(int64_t n)
{
    void *p;
    need(spx_alloc(&p, (size_t)n * sizeof(float)));
    for (int64_t i = 0; i < n; i++) {
        ((float *)p)[i] = (float)(i * 2654435761 % 1024) / 512.0F - 1.0F;
    }
    return p;
}

#define ALGORITHMS 2

typedef struct buffers {
    float *x, *y, *w;
    spx_conv2d_plan *plan[ALGORITHMS];
    void *workspace[ALGORITHMS];
} buffers;

static void run(spx_stream *s, const spx_conv2d_want *want, bool relu, int a, buffers *b)
{
    const spx_conv2d_input in = {.x = {b->x, want->x_stride, SPX_TYPE_F32}, .relu = relu};
    const spx_operand y = {b->y, want->y_stride, SPX_TYPE_F32};
    switch (want->pass) {
    case SPX_CONV2D_FORWARD:
        need(spx_conv2d_forward(b->plan[a], s, &in, b->w, NULL, y, b->workspace[a]));
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        need(spx_conv2d_backward_data(b->plan[a], s, y, b->w, in.x, b->workspace[a]));
        break;
    default:
        need(spx_conv2d_backward_weights(b->plan[a], s, &in, y, b->w, NULL, b->workspace[a]));
        break;
    }
}

/* An algorithm's rates; 0 where it does not run. */
typedef struct row {
    const char *name;
    double seconds[SPX_CONV2D_PASS_COUNT];
} row;

/* Fills column `pass` of the rows. */
static void measure(spx_stream *s, const conv2d_network_case *c, spx_conv2d_pass pass,
                    double budget, row *rows, int n)
{
    const spx_conv2d_shape *d = &c->d;
    const spx_conv2d_want want = {.shape = *d,
                                  .pass = pass,
                                  .fused = c->relu && pass != SPX_CONV2D_BACKWARD_DATA,
                                  .x_stride = d->c * d->h * d->w,
                                  .y_stride = d->k * d->p * d->q};
    buffers b = {.x = block(d->n * want.x_stride),
                 .y = block(d->n * want.y_stride),
                 .w = block(spx_conv2d_weights(d))};
    for (int a = 0; a < n; a++) {
        need(spx_conv2d_plan_create(&b.plan[a], s, &want, rows[a].name));
        if (strcmp(spx_conv2d_plan_choice(b.plan[a]), rows[a].name) != 0) {
            spx_conv2d_plan_destroy(b.plan[a]);
            b.plan[a] = NULL;
            continue;
        }
        need(spx_alloc(&b.workspace[a], spx_conv2d_plan_workspace(b.plan[a])));
        run(s, &want, want.fused, a, &b);
    }
    for (const double end = spx_seconds() + budget; spx_seconds() < end;) {
        for (int a = 0; a < n; a++) {
            const double t0 = spx_seconds();
            if (b.plan[a] != NULL) {
                run(s, &want, want.fused, a, &b);
                const double t = spx_seconds() - t0, best = rows[a].seconds[pass];
                rows[a].seconds[pass] = best == 0 || t < best ? t : best;
            }
        }
    }
    spx_free(b.x);
    spx_free(b.y);
    spx_free(b.w);
    for (int a = 0; a < n; a++) {
        spx_conv2d_plan_destroy(b.plan[a]);
        spx_free(b.workspace[a]);
    }
}

static void bench(spx_stream *s, const conv2d_network_case *table_case, int images, double budget,
                  bool json)
{
    static bool comma = false;
    conv2d_network_case c = *table_case;
    row rows[ALGORITHMS] = {{.name = "planar"}, {.name = "winograd"}};
    c.d.n = images > 0 ? images : c.d.n;
    need(spx_conv2d_shape_init(&c.d));
    const double flop = 2e-9 * (double)(c.d.n * c.d.p * c.d.q * spx_conv2d_weights(&c.d));
    for (int p = 0; p < SPX_CONV2D_PASS_COUNT; p++) {
        measure(s, &c, (spx_conv2d_pass)p, budget, rows, ALGORITHMS);
    }
    if (!json) {
        (void)printf("%-30s %7.3f", c.name, flop);
    }
    for (int a = 0; a < ALGORITHMS; a++) {
        double rate[SPX_CONV2D_PASS_COUNT];
        for (int p = 0; p < SPX_CONV2D_PASS_COUNT; p++) {
            rate[p] = rows[a].seconds[p] > 0 ? flop / rows[a].seconds[p] : 0;
        }
        if (json) {
            (void)printf(
                "%s\n{\"case\": \"%s\", \"algo\": \"%s\", \"gflop\": %.6f, \"forward\": %.2f, "
                "\"backward_data\": %.2f, \"backward_weights\": %.2f}",
                comma ? "," : "", c.name, rows[a].name, flop, rate[0], rate[1], rate[2]);
            comma = true;
        } else {
            (void)printf("  | %6.1f %6.1f %6.1f", rate[0], rate[1], rate[2]);
        }
    }
    (void)printf(json ? "" : "\n");
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"ms", required_argument, NULL, 'm'},
                                            {"images", required_argument, NULL, 'i'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"device", required_argument, NULL, 'd'},
                                            {NULL, 0, NULL, 0}};
    bool json = false, cuda = false;
    int threads = 0, images = 0, o;
    double budget = 0.06;
    const char *only = "";
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'j':
            json = true;
            break;
        case 't':
            threads = atoi(optarg);
            break;
        case 'm':
            budget = 1e-3 * atof(optarg);
            break;
        case 'i':
            images = atoi(optarg);
            break;
        case 'o':
            only = optarg;
            break;
        case 'd':
            cuda = strcmp(optarg, "cuda") == 0;
            break;
        default:
            return 2;
        }
    }
    if (cuda) {
#ifdef SPX_HAVE_CUDA
        return bench_conv2d_cuda(&(bench_cuda_options){json, images, budget, only});
#else
        (void)fprintf(stderr, "bench_conv2d: this build has no CUDA\n");
        return 1;
#endif
    }
    spx_stream *s;
    need(spx_stream_create(&s, SPX_DEVICE_CPU, threads));
    const char *isa = spx_isa_name(spx_cpu_isa());
    if (json) {
        (void)printf("{\"isa\": \"%s\", \"threads\": %d, \"peak_gflops\": %.1f, \"cases\": [", isa,
                     spx_stream_threads(s), peak(s));
    } else {
        (void)printf("%s, %d threads, peak %.1f GFLOP/s\n%-30s %7s", isa, spx_stream_threads(s),
                     peak(s), "GFLOP/s, best", "GFLOP");
        (void)printf("  | planar: fwd data wght  | winograd: fwd data w");
        (void)printf("\n");
    }
    for (size_t i = 0; i < CONV2D_NETWORK_CASES; i++) {
        if (strstr(conv2d_network_cases[i].name, only) != NULL) {
            bench(s, &conv2d_network_cases[i], images, budget, json);
        }
    }
    (void)printf(json ? "\n]}\n" : "");
    spx_stream_destroy(s);
    return 0;
}
