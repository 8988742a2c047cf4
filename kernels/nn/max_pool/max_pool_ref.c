/* The definition, window by window, over coordinates that include the padding. */
#include "kernels/nn/max_pool/max_pool_private.h"

#include <math.h>

/* Index in the plane x of the maximum of window (p, q): the last NaN, else the first largest. */
static int64_t place_of(const spx_max_pool_shape *d, const float *x, int64_t p, int64_t q)
{
    int64_t best = -1;
    for (int64_t i = 0; i < d->size[0] * d->size[1]; i++) {
        const int64_t r = p * d->stride[0] - d->pad[0] + i / d->size[1];
        const int64_t c = q * d->stride[1] - d->pad[1] + i % d->size[1];
        if (r < 0 || r >= d->h || c < 0 || c >= d->w) {
            continue;
        }
        const int64_t at = r * d->w + c;
        if (best < 0 || isnan(x[at]) || (!isnan(x[best]) && x[at] > x[best])) {
            best = at;
        }
    }
    return best;
}

void spx_max_pool_forward_ref(const spx_max_pool_args *a)
{
    const spx_max_pool_shape *d = a->d;
    for (int64_t i = 0; i < d->n * d->c; i++) {
        const float *x = spx_image(a->x, i / d->c) + i % d->c * d->h * d->w;
        float *y = spx_image(a->out, i / d->c) + i % d->c * d->p * d->q;
        for (int64_t o = 0; o < d->p * d->q; o++) {
            y[o] = x[place_of(d, x, o / d->q, o % d->q)];
        }
    }
}

void spx_max_pool_backward_ref(const spx_max_pool_args *a)
{
    const spx_max_pool_shape *d = a->d;
    for (int64_t i = 0; i < d->n * d->c; i++) {
        const float *x = spx_image(a->x, i / d->c) + i % d->c * d->h * d->w;
        const float *dy = spx_image(a->dy, i / d->c) + i % d->c * d->p * d->q;
        float *dx = spx_image(a->out, i / d->c) + i % d->c * d->h * d->w;
        for (int64_t k = 0; k < d->h * d->w && !a->accumulate; k++) {
            dx[k] = 0;
        }
        for (int64_t o = 0; o < d->p * d->q; o++) {
            dx[place_of(d, x, o / d->q, o % d->q)] += dy[o];
        }
    }
}
