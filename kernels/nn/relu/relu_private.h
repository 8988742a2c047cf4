#ifndef SPX_NN_RELU_PRIVATE_H
#define SPX_NN_RELU_PRIVATE_H
/* What the parts of relu share; the arguments are checked already. */
#include "kernels/base/host_device.h"
#include "kernels/base/variant.h"
#include "kernels/nn/relu/relu.h"

typedef struct spx_relu_args {
    int64_t n, c, hw;
    float clip;    /* NaN: none */
    spx_operand x; /* the backward pass's y */
    spx_operand dy;
    spx_operand out; /* y of the forward pass, dx */
    bool accumulate;
    const float *mask; /* the rest: of a masked one */
    float *dmask;      /* backward: NULL where not asked for, as may be out.data */
    bool accumulate_mask;
} spx_relu_args;

/* Comparisons are so written that a NaN of x stays one, and one of clip is no bound. */
static inline SPX_HOST_DEVICE float spx_relu_of(float x, float clip)
{
    const float y = 0.0f > x ? 0.0f : x;
    return y > clip ? clip : y;
}
/* Whether the gradient goes through; y may be the output, too. */
static inline SPX_HOST_DEVICE bool spx_relu_open(float y, float clip)
{
    return y > 0.0f && !(y >= clip);
}

/* At a position whose mask is m, off = 1 - m: what x < 0 becomes. Where the ReLU is kept, off is 0,
 * and neither an infinite x nor the sign of a zero may show; where it is not, only x. */
static inline SPX_HOST_DEVICE float spx_relu_masked(float x, float off, float clip)
{
    const float low = 0.0f > x ? (off == 0.0f ? 0.0f : off * x) : x;
    const float high = off == 0.0f ? clip : off == 1.0f ? x : clip + off * (x - clip);
    return x > clip ? high : low;
}

/* dy through it, and to the mask. */
static inline SPX_HOST_DEVICE float spx_relu_masked_dx(float x, float off, float clip, float dy)
{
    return spx_relu_open(x, clip) ? dy : (off == 0.0f ? 0.0f : off * dy);
}
static inline SPX_HOST_DEVICE float spx_relu_masked_dm(float x, float clip, float dy)
{
    return 0.0f > x ? -x * dy : (x > clip ? (clip - x) * dy : 0.0f);
}

/* What a device gives. */
typedef struct spx_relu_backend {
    spx_status (*forward)(spx_stream *s, spx_relu_args *a);
    spx_status (*backward)(spx_stream *s, spx_relu_args *a);
    spx_status (*masked_forward)(spx_stream *s, spx_relu_args *a);
    spx_status (*masked_backward)(spx_stream *s, spx_relu_args *a);
} spx_relu_backend;
extern const spx_relu_backend spx_relu_cuda;

/* The CPU's: parts [begin, end), each of SPX_RELU_PART floats of an image; with a mask's gradient
 * of SPX_RELU_RUN floats of every image. */
typedef struct spx_relu_kernels {
    spx_pool_fn forward, backward, masked_forward, masked_backward, both_gradients; /* ctx is a
                                                                                  spx_relu_args */
} spx_relu_kernels;
SPX_DECLARE_VARIANTS(spx_relu_kernels, spx_relu_kernels);

#define SPX_RELU_PART ((size_t)4096)
#define SPX_RELU_RUN ((size_t)2048) /* shorter runs, from image to image, halve the speed */

void spx_relu_forward_ref(const spx_relu_args *a);
void spx_relu_backward_ref(const spx_relu_args *a);
void spx_relu_masked_forward_ref(const spx_relu_args *a);
void spx_relu_masked_backward_ref(const spx_relu_args *a);

#endif
