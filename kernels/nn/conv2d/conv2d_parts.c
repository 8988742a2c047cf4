#include "kernels/nn/conv2d/conv2d_parts_private.h"

#include "kernels/base/alloc.h"

#include <assert.h>

void *spx_conv2d_take(spx_conv2d_arena *a, int64_t count, size_t size)
{
    void *p = a->base != NULL ? a->base + a->used : NULL;
    const size_t bytes = (size_t)count * size;
    assert(count >= 0);
    a->used += (bytes + SPX_ALIGN - 1) / SPX_ALIGN * SPX_ALIGN;
    return p;
}

spx_conv2d_affine spx_conv2d_affine_of(const spx_conv2d_input *in, int64_t c)
{
    spx_conv2d_affine f = {.relu = in->relu, .scale = 1};
    if (in->mean != NULL) {
        f.affine = true;
        f.mean = in->mean[c];
        f.scale = in->invstd[c] * (in->gamma != NULL ? in->gamma[c] : 1);
        f.shift = in->beta != NULL ? in->beta[c] : 0;
    }
    return f;
}

void spx_conv2d_reach(int64_t at, int64_t step, int64_t inputs, int64_t outputs, int64_t *first,
                      int64_t *last)
{
    /* 0 <= at + step * o < inputs */
    const int64_t begin = at >= 0 ? 0 : spx_conv2d_ceil(-at, step);
    const int64_t end = at >= inputs ? 0 : spx_conv2d_ceil(inputs - at, step);
    assert(step >= 1);
    *last = end < outputs ? end : outputs;
    *first = begin < *last ? begin : *last;
}
