#include "kernels/nn/relu/relu.h"
#include "kernels/device/backend.h"
#include "kernels/nn/nn_check.h"
#include "kernels/nn/relu/relu_private.h"

#include <math.h>

static size_t parts(const spx_relu_args *a)
{
    return (size_t)a->n * (((size_t)(a->c * a->hw) + SPX_RELU_PART - 1) / SPX_RELU_PART);
}

static spx_status forward_cpu(spx_stream *s, spx_relu_args *a)
{
    spx_pool_run(spx_stream_pool(s), parts(a), SPX_PICK_VARIANT(spx_relu_kernels)->forward, a);
    return SPX_OK;
}

static spx_status backward_cpu(spx_stream *s, spx_relu_args *a)
{
    spx_pool_run(spx_stream_pool(s), parts(a), SPX_PICK_VARIANT(spx_relu_kernels)->backward, a);
    return SPX_OK;
}

static spx_status masked_forward_cpu(spx_stream *s, spx_relu_args *a)
{
    spx_pool_run(spx_stream_pool(s), parts(a), SPX_PICK_VARIANT(spx_relu_kernels)->masked_forward,
                 a);
    return SPX_OK;
}

static spx_status masked_backward_cpu(spx_stream *s, spx_relu_args *a)
{
    const spx_relu_kernels *k = SPX_PICK_VARIANT(spx_relu_kernels);
    const size_t runs = ((size_t)(a->c * a->hw) + SPX_RELU_RUN - 1) / SPX_RELU_RUN;
    spx_pool_run(spx_stream_pool(s), a->dmask != NULL ? runs : parts(a),
                 a->dmask != NULL ? k->both_gradients : k->masked_backward, a);
    return SPX_OK;
}

static const spx_relu_backend spx_relu_cpu = {forward_cpu, backward_cpu, masked_forward_cpu,
                                              masked_backward_cpu};

/* No number is above a NaN: kernels ask nothing more. */
static float none(float clip)
{
    return clip == 0.0f ? NAN : clip;
}

static spx_status check_sizes(int64_t n, int64_t c, int64_t hw, float clip)
{
    SPX_RETURN_IF(spx_check_size("relu", n, c, hw));
    return clip >= 0 && isfinite(clip)
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "relu: clip %g, expected a finite one above 0, or 0 for none",
                          (double)clip);
}

spx_status spx_relu_forward(spx_stream *s, int64_t n, int64_t c, int64_t hw, float clip,
                            spx_operand x, spx_operand y)
{
    spx_relu_args a = {.n = n, .c = c, .hw = hw, .clip = none(clip), .x = x, .out = y};
    SPX_RETURN_IF(check_sizes(n, c, hw, clip));
    SPX_RETURN_IF(spx_check_operand(s, "relu", "x", x, n, c, hw));
    SPX_RETURN_IF(spx_check_operand(s, "relu", "y", y, n, c, hw));
    return SPX_BACKEND(s, spx_relu_cpu, spx_relu_cuda)->forward(s, &a);
}

spx_status spx_relu_backward(spx_stream *s, int64_t n, int64_t c, int64_t hw, float clip,
                             spx_operand y, spx_operand dy, bool accumulate, spx_operand dx)
{
    spx_relu_args a = {.n = n,
                       .c = c,
                       .hw = hw,
                       .clip = none(clip),
                       .x = y,
                       .dy = dy,
                       .out = dx,
                       .accumulate = accumulate};
    SPX_RETURN_IF(check_sizes(n, c, hw, clip));
    SPX_RETURN_IF(spx_check_operand(s, "relu", "y", y, n, c, hw));
    SPX_RETURN_IF(spx_check_operand(s, "relu", "dy", dy, n, c, hw));
    SPX_RETURN_IF(spx_check_operand(s, "relu", "dx", dx, n, c, hw));
    return SPX_BACKEND(s, spx_relu_cpu, spx_relu_cuda)->backward(s, &a);
}

static spx_status check_mask(const float *mask)
{
    return mask != NULL ? SPX_OK : SPX_FAIL(SPX_EINVAL, "relu: the mask is missing");
}

spx_status spx_relu_masked_forward(spx_stream *s, int64_t n, int64_t c, int64_t hw, float clip,
                                   const float *mask, spx_operand x, spx_operand y)
{
    spx_relu_args a = {
        .n = n, .c = c, .hw = hw, .clip = none(clip), .x = x, .out = y, .mask = mask};
    SPX_RETURN_IF(check_sizes(n, c, hw, clip));
    SPX_RETURN_IF(spx_check_operand(s, "relu", "x", x, n, c, hw));
    SPX_RETURN_IF(spx_check_operand(s, "relu", "y", y, n, c, hw));
    SPX_RETURN_IF(check_mask(mask));
    return SPX_BACKEND(s, spx_relu_cpu, spx_relu_cuda)->masked_forward(s, &a);
}

spx_status spx_relu_masked_backward(spx_stream *s, int64_t n, int64_t c, int64_t hw, float clip,
                                    const float *mask, spx_operand x, spx_operand dy,
                                    const spx_relu_grad *grad)
{
    spx_relu_args a = {.n = n,
                       .c = c,
                       .hw = hw,
                       .clip = none(clip),
                       .x = x,
                       .dy = dy,
                       .out = grad->x,
                       .accumulate = grad->accumulate,
                       .mask = mask,
                       .dmask = grad->mask,
                       .accumulate_mask = grad->accumulate_mask};
    SPX_RETURN_IF(check_sizes(n, c, hw, clip));
    SPX_RETURN_IF(spx_check_operand(s, "relu", "x", x, n, c, hw));
    SPX_RETURN_IF(spx_check_operand(s, "relu", "dy", dy, n, c, hw));
    if (grad->x.data != NULL || grad->mask == NULL) {
        SPX_RETURN_IF(spx_check_operand(s, "relu", "dx", grad->x, n, c, hw));
    }
    SPX_RETURN_IF(check_mask(mask));
    return SPX_BACKEND(s, spx_relu_cpu, spx_relu_cuda)->masked_backward(s, &a);
}
