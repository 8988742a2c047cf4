#ifndef SPX_NN_CONV2D_PARTS_H
#define SPX_NN_CONV2D_PARTS_H
/* Private to this folder: what the CPU's own convolutions, PLANAR and WINOGRAD, share. */
#include "kernels/nn/conv2d/conv2d.h"

#include <assert.h>

#define SPX_CONV2D_VECTOR 8 /* floats, on every processor */

static inline int64_t spx_conv2d_ceil(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/** n things cut into parts that differ by at most one, the larger ones first. */
typedef struct spx_conv2d_cut {
    int64_t parts, size, larger; /* the first larger parts have size + 1 */
} spx_conv2d_cut;

static inline spx_conv2d_cut spx_conv2d_cut_in(int64_t n, int64_t parts)
{
    assert(n >= 0 && parts >= 1);
    return (spx_conv2d_cut){parts, n / parts, n % parts};
}

/** First thing of part i; of part parts: n. */
static inline int64_t spx_conv2d_cut_at(const spx_conv2d_cut *c, int64_t i)
{
    assert(i >= 0 && i <= c->parts);
    return i * c->size + (i < c->larger ? i : c->larger);
}

/** Things in the largest part. */
static inline int64_t spx_conv2d_cut_most(const spx_conv2d_cut *c)
{
    return c->size + (c->larger > 0);
}

/** Hands out aligned parts of a workspace; with a NULL base it only counts. */
typedef struct spx_conv2d_arena {
    char *base;
    size_t used;
} spx_conv2d_arena;

/** count things of size bytes; NULL while counting. */
void *spx_conv2d_take(spx_conv2d_arena *a, int64_t count, size_t size);

/** What is done to the pixels of a channel when they are read: v -> max(0, (v - mean) * scale +
 * shift). */
typedef struct spx_conv2d_affine {
    bool affine, relu;
    float mean, scale, shift;
} spx_conv2d_affine;

/** That of channel c of an input. */
spx_conv2d_affine spx_conv2d_affine_of(const spx_conv2d_input *in, int64_t c);

/** Outputs along one axis, [*first, *last), whose input through a tap at position at lies in the
 * image. */
void spx_conv2d_reach(int64_t at, int64_t step, int64_t inputs, int64_t outputs, int64_t *first,
                      int64_t *last);

#endif
