#include "kernels/nn/pool/pool2d_private.h"

static float *at(const spx_pool2d_shape *d, spx_operand x, int64_t plane, int64_t rows,
                 int64_t cols, int64_t r, int64_t c)
{
    return spx_image(x, plane / d->c) + (plane % d->c * rows + r) * cols + c;
}

void spx_avg_pool_forward_ref(const spx_avg_pool_args *a)
{
    const spx_pool2d_shape *d = a->d;
    for (int64_t i = 0; i < d->n * d->c * d->p * d->q; i++) {
        const int64_t plane = i / (d->p * d->q), p = i / d->q % d->p, q = i % d->q;
        double sum = 0;
        int64_t count = 0;
        for (int64_t r = p * d->stride - d->pad; r < p * d->stride - d->pad + d->size; r++) {
            for (int64_t c = q * d->stride - d->pad; c < q * d->stride - d->pad + d->size; c++) {
                if (r >= 0 && r < d->h && c >= 0 && c < d->w) {
                    sum += (double)*at(d, a->in, plane, d->h, d->w, r, c);
                    count++;
                }
            }
        }
        *at(d, a->out, plane, d->p, d->q, p, q) = (float)(sum / (double)count);
    }
}

/* 1 over the inputs under window (p, q), if it holds (r, c); else 0 */
static double weight(const spx_pool2d_shape *d, int64_t p, int64_t q, int64_t r, int64_t c)
{
    const spx_pool2d_span rows = spx_pool2d_window(d, p, d->h),
                          cols = spx_pool2d_window(d, q, d->w);
    if (r < rows.begin || r >= rows.end || c < cols.begin || c >= cols.end) {
        return 0;
    }
    return 1.0 / ((double)(rows.end - rows.begin) * (double)(cols.end - cols.begin));
}

void spx_avg_pool_backward_ref(const spx_avg_pool_args *a)
{
    const spx_pool2d_shape *d = a->d;
    for (int64_t i = 0; i < d->n * d->c * d->h * d->w; i++) {
        const int64_t plane = i / (d->h * d->w), r = i / d->w % d->h, c = i % d->w;
        float *dx = at(d, a->out, plane, d->h, d->w, r, c);
        double sum = a->accumulate ? (double)*dx : 0.0;
        for (int64_t p = 0; p < d->p; p++) {
            for (int64_t q = 0; q < d->q; q++) {
                sum += weight(d, p, q, r, c) * (double)*at(d, a->in, plane, d->p, d->q, p, q);
            }
        }
        *dx = (float)sum;
    }
}
