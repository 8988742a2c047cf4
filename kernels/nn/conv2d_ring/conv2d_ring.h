#ifndef SPX_CONV2D_RING_H
#define SPX_CONV2D_RING_H
/*
 * Convolution of integers modulo a power of two: small secret weights on one image, exact.
 *
 * y[k][i][j] += sum over c, a, b of w[k][c][a][b] * x[c][i*stride + a*dilation - pad][j*stride +
 * b*dilation - pad], x being zero outside its map. Operands are cut into 15-bit limbs (weights into
 * 8-bit ones) whose products are summed by vpmaddwd in 32 bits for as long as they provably fit,
 * then widened. Time depends on shapes and widths only: no weight or operand is looked at.
 */
#include "kernels/base/pool.h"
#include "kernels/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPX_CONV2D_RING_MAX_WEIGHT ((int32_t)1 << 22) /* absolute value */

typedef struct spx_conv2d_ring_shape {
    int64_t c, h, w; /* of the input */
    int64_t k, p, q; /* of the output */
    int64_t size;    /* of the square filter */
    int64_t stride, dilation;
    int64_t pad; /* zero rows and columns before the map; negative: that many are cropped */
} spx_conv2d_ring_shape;

/** What is known of the elements of x. */
typedef struct spx_ring_range {
    int bits;       /* 1..64 */
    bool is_signed; /* in [-2^(bits-1), 2^(bits-1)); else the low `bits` bits of x are taken */
} spx_ring_range;

/** Weights made ready for one shape; immutable, so threads may share it. */
typedef struct spx_conv2d_ring spx_conv2d_ring;

/** @return SPX_OK; SPX_EINVAL: a size out of range, or operands beyond 2^28 elements */
SPX_MUST_CHECK spx_status spx_conv2d_ring_check(const spx_conv2d_ring_shape *shape);

/**
 * @param w  [k][c][size][size], each at most SPX_CONV2D_RING_MAX_WEIGHT in size; copied
 * @return SPX_OK, SPX_EINVAL (shape, a weight out of range), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_conv2d_ring_create(spx_conv2d_ring **out,
                                                 const spx_conv2d_ring_shape *shape,
                                                 const int32_t *w);
void spx_conv2d_ring_destroy(spx_conv2d_ring *f); /* wipes the weights; NULL is a no-op */

/** Bytes a run needs beside its operands, for elements of that range. */
size_t spx_conv2d_ring_scratch(const spx_conv2d_ring *f, spx_ring_range range);

/**
 * y = (y + f * x) mod 2^64. Where x is a ring element of `bits` bits (not signed), the low `bits`
 * bits of y are right and those above are not to be used.
 * @param x        [c][h][w]
 * @param y        [k][p][q], read and written; must not overlap x
 * @param scratch  spx_conv2d_ring_scratch bytes, aligned to SPX_ALIGN
 * @param pool     NULL: the calling thread alone
 */
void spx_conv2d_ring_run(const spx_conv2d_ring *f, const int64_t *x, spx_ring_range range,
                         int64_t *y, void *scratch, spx_pool *pool);

/** How often each of a run's loops turns, by which its time can be told. */
typedef struct spx_conv2d_ring_work {
    double steps;  /* a tap of a pair of channels, for the pixels and filters worked on together */
    double sums;   /* of such products, widened and added */
    double packed; /* elements of limbs */
} spx_conv2d_ring_work;
/** @param shape  one that spx_conv2d_ring_check takes; @param weight_bits  1..23, signed */
spx_conv2d_ring_work spx_conv2d_ring_count(const spx_conv2d_ring_shape *shape, spx_ring_range range,
                                           int weight_bits);

/** The definition, term by term: the twin of the above for tests. Any SPX_ISA. */
void spx_conv2d_ring_ref(const spx_conv2d_ring_shape *shape, const int32_t *w, const int64_t *x,
                         int64_t *y);

#endif
