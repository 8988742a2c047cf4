#ifndef SPX_CONV2D_RING_PRIVATE_H
#define SPX_CONV2D_RING_PRIVATE_H
/* Shared by the files of this folder. */
#include "kernels/base/variant.h"
#include "kernels/nn/conv2d_ring/conv2d_ring.h"

enum {
    SPX_RING_PIXELS = 6,   /* output pixels worked on together */
    SPX_RING_FILTERS = 16, /* output channels worked on together */
    SPX_RING_MAX_LIMBS = 64,
    SPX_RING_WEIGHT_LIMB = 12 /* bits of the lower limb where weights need two */
};

/*
 * Inner products of SPX_RING_PIXELS pixels with SPX_RING_FILTERS filters over `steps` pairs of
 * input channels and filter taps: sum[u][f] += (limbs' product) << shift, modulo 2^64.
 * @param w      [steps][filters][2]
 * @param x      the operand's limb; pixel u of step s is the pair x[pixel[u] + step[s]]
 * @param chunk  steps whose sums fit 32 bits
 */
typedef void (*spx_ring_dot)(const int16_t *w, const int16_t (*x)[2], const int32_t *pixel,
                             const int32_t *step, size_t steps, size_t chunk, int shift,
                             int64_t sum[SPX_RING_PIXELS][SPX_RING_FILTERS]);

typedef struct spx_ring_table {
    spx_ring_dot dot;
} spx_ring_table;

SPX_DECLARE_VARIANTS(spx_ring_table, spx_ring_table);

#endif
