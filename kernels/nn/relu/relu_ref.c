#include "kernels/nn/relu/relu_private.h"

void spx_relu_forward_ref(const spx_relu_args *a)
{
    for (size_t n = 0; n < a->n; n++) {
        for (size_t i = 0; i < a->chw; i++) {
            const float x = a->x[n * a->x_stride + i];
            a->out[n * a->out_stride + i] = 0.0f > x ? 0.0f : x;
        }
    }
}

void spx_relu_backward_ref(const spx_relu_args *a)
{
    for (size_t n = 0; n < a->n; n++) {
        for (size_t i = 0; i < a->chw; i++) {
            float *dx = &a->out[n * a->out_stride + i];
            const bool on = a->x[n * a->x_stride + i] > 0.0f;
            *dx = (a->accumulate ? *dx : 0.0f) + (on ? a->dy[n * a->dy_stride + i] : 0.0f);
        }
    }
}
