/* Seconds and multiply-adds per second of ring convolutions; run by hand. */
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "kernels/base/rng.h"
#include "kernels/nn/conv2d_ring/conv2d_ring.h"

#include <stdio.h>
#include <stdlib.h>

/* Convolutions of the 51.2K-ReLU network: c h w | k p q | size stride dilation pad */
static const spx_conv2d_ring_shape shapes[] = {
    {20, 16, 16, 20, 16, 16, 5, 1, 1, 2}, {20, 16, 16, 20, 16, 16, 5, 1, 2, 4},
    {80, 8, 8, 80, 8, 8, 5, 1, 1, 2},     {80, 8, 8, 80, 8, 8, 3, 1, 1, 1},
    {80, 8, 8, 80, 8, 8, 1, 1, 1, 0},     {64, 32, 32, 64, 32, 32, 3, 1, 1, 1},
};

static const spx_ring_range ranges[] = {{8, false}, {37, false}, {45, false}, {60, false}};

static int bench(const spx_conv2d_ring_shape *d, spx_ring_range range)
{
    const size_t nx = (size_t)(d->c * d->h * d->w), ny = (size_t)(d->k * d->p * d->q);
    const size_t nw = (size_t)(d->k * d->c * d->size * d->size);
    int64_t *x = calloc(nx, sizeof *x), *y = calloc(ny, sizeof *y);
    int32_t *w = calloc(nw, sizeof *w);
    spx_conv2d_ring *f = NULL;
    void *scratch = NULL;
    double best = 1e9;
    spx_rng r;
    spx_rng_init(&r, 1, SPX_RNG_BENCH, 0);
    for (size_t i = 0; x != NULL && i < nx; i++) {
        x[i] = (int64_t)((uint64_t)spx_rng_u32(&r) << 32 | spx_rng_u32(&r));
    }
    for (size_t i = 0; w != NULL && i < nw; i++) {
        w[i] = (int32_t)spx_rng_below(&r, 255) - 127;
    }
    if (x == NULL || y == NULL || w == NULL || spx_conv2d_ring_create(&f, d, w) != SPX_OK ||
        spx_alloc(&scratch, spx_conv2d_ring_scratch(f, range)) != SPX_OK) {
        (void)fprintf(stderr, "%s\n", spx_error_message());
        return 1;
    }
    for (int i = 0; i < 20; i++) {
        const double began = spx_seconds();
        spx_conv2d_ring_run(f, x, range, y, scratch, NULL);
        const double took = spx_seconds() - began;
        best = took < best ? took : best;
    }
    (void)printf("%2lldx%-2lld %lld->%lld %lldx%lld/%lld %2d bits: %7.3f ms, %5.1f GMAC/s\n",
                 (long long)d->h, (long long)d->w, (long long)d->c, (long long)d->k,
                 (long long)d->size, (long long)d->size, (long long)d->dilation, range.bits,
                 1e3 * best, (double)d->p * (double)d->q * (double)nw / best / 1e9);
    spx_free(scratch);
    spx_conv2d_ring_destroy(f);
    free(x);
    free(y);
    free(w);
    return 0;
}

int main(void)
{
    int failed = 0;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        for (size_t g = 0; g < sizeof ranges / sizeof ranges[0]; g++) {
            failed |= bench(&shapes[s], ranges[g]);
        }
    }
    return failed;
}
