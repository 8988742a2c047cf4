#include "kernels/nn/relu/relu_private.h"

#include <math.h>

void spx_relu_forward_ref(const spx_relu_args *a)
{
    for (int64_t n = 0; n < a->n; n++) {
        const float *x = spx_image(a->x, n);
        float *y = spx_image(a->out, n);
        for (int64_t i = 0; i < a->c * a->hw; i++) {
            y[i] = spx_relu_of(x[i], a->clip);
        }
    }
}

void spx_relu_backward_ref(const spx_relu_args *a)
{
    for (int64_t n = 0; n < a->n; n++) {
        const float *y = spx_image(a->x, n), *dy = spx_image(a->dy, n);
        float *dx = spx_image(a->out, n);
        for (int64_t i = 0; i < a->c * a->hw; i++) {
            dx[i] = (a->accumulate ? dx[i] : 0.0f) + (spx_relu_open(y[i], a->clip) ? dy[i] : 0.0f);
        }
    }
}

void spx_relu_masked_forward_ref(const spx_relu_args *a)
{
    for (int64_t n = 0; n < a->n; n++) {
        const float *x = spx_image(a->x, n);
        float *y = spx_image(a->out, n);
        for (int64_t i = 0; i < a->c * a->hw; i++) {
            y[i] = spx_relu_masked(x[i], 1.0f - a->mask[i], a->clip);
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
            const double y = (double)spx_relu_of(x, a->clip);
            sum += isnan(x) ? 0 : (y - (double)x) * (double)dy;
            if (dx != NULL) {
                *dx = (a->accumulate ? *dx : 0.0f) +
                      spx_relu_masked_dx(x, 1.0f - a->mask[i], a->clip, dy);
            }
        }
        if (a->dmask != NULL) {
            a->dmask[i] = (float)((a->accumulate_mask ? (double)a->dmask[i] : 0) + sum);
        }
    }
}
