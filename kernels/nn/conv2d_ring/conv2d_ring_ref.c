#include "kernels/nn/conv2d_ring/conv2d_ring.h"

/* One output element; unsigned arithmetic wraps. */
static uint64_t element(const spx_conv2d_ring_shape *d, const int32_t *w, const int64_t *x,
                        int64_t i, int64_t j)
{
    uint64_t sum = 0;
    for (int64_t c = 0; c < d->c; c++) {
        for (int64_t a = 0; a < d->size; a++) {
            for (int64_t b = 0; b < d->size; b++) {
                const int64_t row = i * d->stride + a * d->dilation - d->pad;
                const int64_t column = j * d->stride + b * d->dilation - d->pad;
                if (row >= 0 && row < d->h && column >= 0 && column < d->w) {
                    sum += (uint64_t)(int64_t)w[(c * d->size + a) * d->size + b] *
                           (uint64_t)x[(c * d->h + row) * d->w + column];
                }
            }
        }
    }
    return sum;
}

void spx_conv2d_ring_ref(const spx_conv2d_ring_shape *d, const int32_t *w, const int64_t *x,
                         int64_t *y)
{
    for (int64_t k = 0; k < d->k; k++) {
        for (int64_t i = 0; i < d->p; i++) {
            for (int64_t j = 0; j < d->q; j++) {
                int64_t *out = &y[(k * d->p + i) * d->q + j];
                *out = (int64_t)((uint64_t)*out +
                                 element(d, w + k * d->c * d->size * d->size, x, i, j));
            }
        }
    }
}
