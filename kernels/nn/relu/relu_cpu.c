/* Compiled once per instruction set; plain loops that the compiler turns into vectors. */
#include "kernels/nn/relu/relu_private.h"

#include <string.h>

typedef struct part {
    int64_t image;
    size_t offset, len;
} part;

static part locate(const spx_relu_args *a, size_t index)
{
    const size_t chw = (size_t)(a->c * a->hw),
                 per_image = (chw + SPX_RELU_PART - 1) / SPX_RELU_PART;
    const size_t offset = index % per_image * SPX_RELU_PART, left = chw - offset;
    return (part){(int64_t)(index / per_image), offset,
                  left < SPX_RELU_PART ? left : SPX_RELU_PART};
}

static void forward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_relu_args *a = ctx;
    const float clip = a->clip;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        const part p = locate(a, i);
        const float *x = spx_image(a->x, p.image) + p.offset;
        float *y = spx_image(a->out, p.image) + p.offset;
#pragma omp simd
        for (size_t j = 0; j < p.len; j++) {
            y[j] = spx_relu_of(x[j], clip);
        }
    }
}

static void backward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_relu_args *a = ctx;
    const float clip = a->clip;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        const part p = locate(a, i);
        const float *y = spx_image(a->x, p.image) + p.offset;
        const float *dy = spx_image(a->dy, p.image) + p.offset;
        float *dx = spx_image(a->out, p.image) + p.offset;
        if (a->accumulate) {
#pragma omp simd
            for (size_t j = 0; j < p.len; j++) {
                dx[j] += spx_relu_open(y[j], clip) ? dy[j] : 0.0f;
            }
        } else {
#pragma omp simd
            for (size_t j = 0; j < p.len; j++) {
                dx[j] = spx_relu_open(y[j], clip) ? dy[j] : 0.0f;
            }
        }
    }
}

static void masked_forward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_relu_args *a = ctx;
    const float clip = a->clip;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        const part p = locate(a, i);
        const float *x = spx_image(a->x, p.image) + p.offset, *m = a->mask + p.offset;
        float *y = spx_image(a->out, p.image) + p.offset;
#pragma omp simd
        for (size_t j = 0; j < p.len; j++) {
            y[j] = spx_relu_masked(x[j], 1.0f - m[j], clip);
        }
    }
}

static void masked_dx(const spx_relu_args *a, size_t len, const float *x, const float *m,
                      const float *dy, float *dx)
{
    const float clip = a->clip;
    if (a->accumulate) {
#pragma omp simd
        for (size_t j = 0; j < len; j++) {
            dx[j] += spx_relu_masked_dx(x[j], 1.0f - m[j], clip, dy[j]);
        }
    } else {
#pragma omp simd
        for (size_t j = 0; j < len; j++) {
            dx[j] = spx_relu_masked_dx(x[j], 1.0f - m[j], clip, dy[j]);
        }
    }
}

static void masked_backward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_relu_args *a = ctx;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        const part p = locate(a, i);
        masked_dx(a, p.len, spx_image(a->x, p.image) + p.offset, a->mask + p.offset,
                  spx_image(a->dy, p.image) + p.offset, spx_image(a->out, p.image) + p.offset);
    }
}

static void both_gradients(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_relu_args *a = ctx;
    const float clip = a->clip;
    const size_t chw = (size_t)(a->c * a->hw);
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        const size_t at = i * SPX_RELU_RUN, left = chw - at,
                     len = left < SPX_RELU_RUN ? left : SPX_RELU_RUN;
        float *dm = a->dmask + at;
        if (!a->accumulate_mask) {
            memset(dm, 0, len * sizeof *dm);
        }
        for (int64_t n = 0; n < a->n; n++) {
            const float *x = spx_image(a->x, n) + at, *dy = spx_image(a->dy, n) + at;
#pragma omp simd
            for (size_t j = 0; j < len; j++) {
                dm[j] += spx_relu_masked_dm(x[j], clip, dy[j]);
            }
            if (a->out.data != NULL) { /* after: it may be dy */
                masked_dx(a, len, x, a->mask + at, dy, spx_image(a->out, n) + at);
            }
        }
    }
}

const spx_relu_kernels SPX_VARIANT(spx_relu_kernels) = {forward, backward, masked_forward,
                                                        masked_backward, both_gradients};
