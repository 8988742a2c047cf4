/* Measures algorithms on the CPU. */
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "kernels/base/rng.h"
#include "kernels/nn/conv2d/conv2d_cpu_private.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#define TIMED_RUNS 3

static void measure(spx_stream *s, const spx_conv2d_call *call,
                    const spx_conv2d_algorithm *const *list, int n,
                    const spx_conv2d_algorithm **best)
{
    double best_seconds = 0;
    for (int i = 0; i < n; i++) {
        double least = 0;
        for (int r = 0; r <= TIMED_RUNS; r++) { /* the first run warms up */
            const double start = spx_seconds();
            list[i]->run(s, call);
            const double took = spx_seconds() - start;
            if (r == 1 || (r > 1 && took < least)) {
                least = took;
            }
        }
        if (i == 0 || least < best_seconds) {
            best_seconds = least;
            *best = list[i];
        }
    }
}

static void fill_random(float *x, int64_t n, uint64_t key)
{
    spx_rng r;
    spx_rng_init(&r, 1, SPX_RNG_BENCH, key);
    for (int64_t i = 0; i < n; i++) {
        x[i] = spx_rng_uniform(&r) - 0.5f;
    }
}

/* Room for the workspace of each. */
static size_t most_workspace(const spx_stream *s, const spx_conv2d_want *want,
                             const spx_conv2d_algorithm *const *list, int n)
{
    size_t most = 0;
    for (int i = 0; i < n; i++) {
        const size_t bytes = list[i]->workspace(&want->shape, want->pass, spx_stream_threads(s));
        most = bytes > most ? bytes : most;
    }
    return most;
}

spx_status spx_conv2d_measure_cpu(spx_stream *s, const spx_conv2d_want *want,
                                  const spx_conv2d_algorithm *const *list, int n,
                                  const spx_conv2d_algorithm **best)
{
    const spx_conv2d_shape *d = &want->shape;
    const int64_t size[] = {d->n * d->c * d->h * d->w, spx_conv2d_weights(d),
                            d->n * d->k * d->p * d->q};
    float *block[] = {NULL, NULL, NULL};
    void *workspace = NULL;
    spx_status st;
    for (int i = 0; i < 3; i++) {
        SPX_TRY(st, spx_alloc((void **)&block[i], sizeof(float) * (size_t)size[i]), done);
        fill_random(block[i], size[i], (uint64_t)i + 1);
    }
    SPX_TRY(st, spx_alloc(&workspace, most_workspace(s, want, list, n)), done);
    const bool weights = want->pass == SPX_CONV2D_BACKWARD_WEIGHTS;
    const spx_conv2d_call call = {.d = d,
                                  .pass = want->pass,
                                  .in = {.x = {block[0], size[0] / d->n, SPX_TYPE_F32}},
                                  .y = {block[2], size[2] / d->n, SPX_TYPE_F32},
                                  .w = weights ? NULL : block[1],
                                  .dw = weights ? block[1] : NULL,
                                  .workspace = workspace};
    measure(s, &call, list, n, best);
done:
    for (int i = 0; i < 3; i++) {
        spx_free(block[i]);
    }
    spx_free(workspace);
#if defined(__GLIBC__)
    (void)malloc_trim(0); /* the operands were large: give them back before the workspace is made */
#endif
    return st;
}
