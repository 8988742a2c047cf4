/* Compiled once per instruction set; plain loops that the compiler turns into vectors. */
#include "kernels/nn/relu/relu_private.h"

typedef struct part {
    size_t image, offset, len;
} part;

static part locate(const spx_relu_args *a, size_t index)
{
    const size_t per_image = (a->chw + SPX_RELU_PART - 1) / SPX_RELU_PART;
    const size_t offset = index % per_image * SPX_RELU_PART, left = a->chw - offset;
    return (part){index / per_image, offset, left < SPX_RELU_PART ? left : SPX_RELU_PART};
}

static void forward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_relu_args *a = ctx;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        const part p = locate(a, i);
        const float *x = a->x + p.image * a->x_stride + p.offset;
        float *y = a->out + p.image * a->out_stride + p.offset;
#pragma omp simd
        for (size_t j = 0; j < p.len; j++) {
            y[j] = 0.0f > x[j] ? 0.0f : x[j]; /* so written, a NaN stays one */
        }
    }
}

static void backward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_relu_args *a = ctx;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        const part p = locate(a, i);
        const float *y = a->x + p.image * a->x_stride + p.offset;
        const float *dy = a->dy + p.image * a->dy_stride + p.offset;
        float *dx = a->out + p.image * a->out_stride + p.offset;
        if (a->accumulate) {
#pragma omp simd
            for (size_t j = 0; j < p.len; j++) {
                dx[j] += y[j] > 0.0f ? dy[j] : 0.0f;
            }
        } else {
#pragma omp simd
            for (size_t j = 0; j < p.len; j++) {
                dx[j] = y[j] > 0.0f ? dy[j] : 0.0f;
            }
        }
    }
}

const spx_relu_kernels SPX_VARIANT(spx_relu_kernels) = {forward, backward};
