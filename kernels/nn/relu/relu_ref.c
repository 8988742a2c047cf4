#include "kernels/nn/relu/relu_private.h"

void spx_relu_forward_ref(const spx_relu_args *a)
{
    for (int64_t n = 0; n < a->n; n++) {
        const float *x = spx_image(a->x, n);
        float *y = spx_image(a->out, n);
        for (int64_t i = 0; i < a->c * a->hw; i++) {
            y[i] = 0.0f > x[i] ? 0.0f : x[i];
        }
    }
}

void spx_relu_backward_ref(const spx_relu_args *a)
{
    for (int64_t n = 0; n < a->n; n++) {
        const float *y = spx_image(a->x, n), *dy = spx_image(a->dy, n);
        float *dx = spx_image(a->out, n);
        for (int64_t i = 0; i < a->c * a->hw; i++) {
            dx[i] = (a->accumulate ? dx[i] : 0.0f) + (y[i] > 0.0f ? dy[i] : 0.0f);
        }
    }
}

void spx_relu_masked_forward_ref(const spx_relu_args *a)
{
    for (int64_t n = 0; n < a->n; n++) {
        const float *x = spx_image(a->x, n);
        float *y = spx_image(a->out, n);
        for (int64_t i = 0; i < a->c * a->hw; i++) {
            y[i] = spx_relu_masked(x[i], 1.0f - a->mask[i]);
        }
    }
}

void spx_relu_masked_backward_ref(const spx_relu_args *a)
{
    for (int64_t i = 0; i < a->c * a->hw; i++) {
        double sum = 0;
        for (int64_t n = 0; n < a->n; n++) {
            const float x = spx_image(a->x, n)[i], dy = spx_image(a->dy, n)[i];
            float *dx = a->out.data != NULL ? spx_image(a->out, n) + i : NULL;
            sum += 0.0f > x ? -(double)x * (double)dy : 0;
            if (dx != NULL) {
                *dx = (a->accumulate ? *dx : 0.0f) + spx_relu_masked_dx(x, 1.0f - a->mask[i], dy);
            }
        }
        if (a->dmask != NULL) {
            a->dmask[i] = (float)((a->accumulate_mask ? (double)a->dmask[i] : 0) + sum);
        }
    }
}
