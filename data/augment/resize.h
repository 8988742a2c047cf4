#ifndef SPX_RESIZE_H
#define SPX_RESIZE_H
/*
 * A box of an image at another size, by the triangle filter: bilinear where it grows, and as wide
 * as the shrinking where it shrinks (so that nothing is skipped). All in integers, for every device
 * the same bits.
 *
 * Along an axis of n stored and m wanted pixels, in units of 1/(2m) of a stored pixel: wanted pixel
 * o has its centre at (2o + 1)*n, stored pixel i at (2i + 1)*m. Pixel i weighs max(0, support -
 * |distance|), support = 2*max(n, m). Weights are divided by their sum over the box.
 */
#include "kernels/base/host_device.h"

#include <stddef.h>
#include <stdint.h>

#define SPX_RESIZE_MAX 8192 /* pixels along an axis: then sums fit 64 bits */

/** The stored pixels [first, end) that one wanted pixel is made of. */
typedef struct spx_resize_taps {
    int64_t first, end;
    int64_t step, centre, support; /* pixel i weighs support - |(2i + 1)*step - centre| */
} spx_resize_taps;

/** @param o  0..m-1. @param n, m  1..SPX_RESIZE_MAX */
static inline SPX_HOST_DEVICE spx_resize_taps spx_resize_at(int o, int n, int m)
{
    spx_resize_taps t;
    int64_t low, high;
    t.step = m;
    t.centre = (2 * (int64_t)o + 1) * n;
    t.support = 2 * (int64_t)(n > m ? n : m);
    low = t.centre - t.support - m;
    high = t.centre + t.support + m - 1;
    t.first = low < 0 ? 0 : low / (2 * (int64_t)m) + 1;
    t.end = high / (2 * (int64_t)m) < n ? high / (2 * (int64_t)m) : n;
    return t;
}

static inline SPX_HOST_DEVICE uint64_t spx_resize_weight(const spx_resize_taps *t, int64_t i)
{
    const int64_t d = (2 * i + 1) * t->step - t->centre;
    return (uint64_t)(t->support - (d < 0 ? -d : d));
}

/**
 * One wanted pixel, rounded half up.
 * @param box  first byte of the box in one channel; pixels lie `pixel` bytes apart, rows `row`
 */
static inline SPX_HOST_DEVICE uint8_t spx_resize_pixel(const uint8_t *box, ptrdiff_t row,
                                                       ptrdiff_t pixel, const spx_resize_taps *y,
                                                       const spx_resize_taps *x)
{
    uint64_t sum = 0, rows = 0, columns = 0;
    for (int64_t i = y->first; i < y->end; i++) {
        const uint64_t weight = spx_resize_weight(y, i);
        uint64_t line = 0;
        columns = 0;
        for (int64_t j = x->first; j < x->end; j++) {
            const uint64_t w = spx_resize_weight(x, j);
            line += w * box[i * row + j * pixel];
            columns += w;
        }
        sum += weight * line;
        rows += weight;
    }
    return (uint8_t)((sum + rows * columns / 2) / (rows * columns));
}

#endif
