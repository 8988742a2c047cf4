/* Compiled once per instruction set. Forward goes tap by tap over whole rows of outputs, which the
 * compiler turns into vectors; backward finds each window's place and adds there. */
#include "kernels/nn/max_pool/max_pool_math_private.h"
#include "kernels/nn/max_pool/max_pool_private.h"

#include <math.h>
#include <string.h>

/* y[q] = the larger of it and column k of window q, for the windows that have it in the row x. */
static void take_tap(const spx_max_pool_shape *d, const float *x, int64_t k, float *y)
{
    const int64_t stride = d->stride[1], first = k - d->pad[1]; /* column of window 0 */
    const int64_t begin = first < 0 ? (stride - 1 - first) / stride : 0;
    const int64_t room = d->w - 1 - first;
    const int64_t most = room < 0 ? 0 : room / stride + 1, end = most < d->q ? most : d->q;
    if (stride == 1) {
#pragma omp simd
        for (int64_t q = begin; q < end; q++) {
            const float v = x[q + first];
            y[q] = spx_max_pool_larger(v, y[q]) ? v : y[q];
        }
        return;
    }
    for (int64_t q = begin; q < end; q++) {
        const float v = x[q * stride + first];
        y[q] = spx_max_pool_larger(v, y[q]) ? v : y[q];
    }
}

static void forward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_max_pool_args *a = ctx;
    const spx_max_pool_shape *d = a->d;
    (void)worker;
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        const float *x = spx_image(a->x, i / d->c) + i % d->c * d->h * d->w;
        float *y = spx_image(a->out, i / d->c) + i % d->c * d->p * d->q;
        for (int64_t p = 0; p < d->p; p++, y += d->q) {
            const spx_max_pool_span rows = spx_max_pool_window(d, 0, p);
            for (int64_t q = 0; q < d->q; q++) {
                y[q] = -INFINITY;
            }
            for (int64_t r = rows.begin; r < rows.end; r++) {
                for (int64_t k = 0; k < d->size[1]; k++) {
                    take_tap(d, x + r * d->w, k, y);
                }
            }
        }
    }
}

static int64_t place_of(const spx_max_pool_shape *d, const float *x, spx_max_pool_span rows,
                        spx_max_pool_span columns)
{
    int64_t place = rows.begin * d->w + columns.begin;
    float largest = -INFINITY;
    for (int64_t r = rows.begin; r < rows.end; r++) {
        for (int64_t c = columns.begin; c < columns.end; c++) {
            if (spx_max_pool_larger(x[r * d->w + c], largest)) {
                place = r * d->w + c;
                largest = x[place];
            }
        }
    }
    return place;
}

static void backward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_max_pool_args *a = ctx;
    const spx_max_pool_shape *d = a->d;
    (void)worker;
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        const float *x = spx_image(a->x, i / d->c) + i % d->c * d->h * d->w;
        const float *dy = spx_image(a->dy, i / d->c) + i % d->c * d->p * d->q;
        float *dx = spx_image(a->out, i / d->c) + i % d->c * d->h * d->w;
        if (!a->accumulate) {
            memset(dx, 0, (size_t)(d->h * d->w) * sizeof *dx);
        }
        for (int64_t p = 0; p < d->p; p++) {
            const spx_max_pool_span rows = spx_max_pool_window(d, 0, p);
            for (int64_t q = 0; q < d->q; q++) {
                dx[place_of(d, x, rows, spx_max_pool_window(d, 1, q))] += dy[p * d->q + q];
            }
        }
    }
}

const spx_max_pool_kernels SPX_VARIANT(spx_max_pool_kernels) = {forward, backward};
