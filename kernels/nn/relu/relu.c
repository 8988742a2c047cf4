#include "kernels/nn/relu/relu.h"
#include "kernels/device/backend.h"
#include "kernels/nn/nn_check.h"
#include "kernels/nn/relu/relu_private.h"

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

static const spx_relu_backend spx_relu_cpu = {forward_cpu, backward_cpu};

spx_status spx_relu_forward(spx_stream *s, int64_t n, int64_t c, int64_t hw, spx_operand x,
                            spx_operand y)
{
    spx_relu_args a = {.n = n, .c = c, .hw = hw, .x = x, .out = y};
    SPX_RETURN_IF(spx_check_size("relu", n, c, hw));
    SPX_RETURN_IF(spx_check_operand(s, "relu", "x", x, n, c, hw));
    SPX_RETURN_IF(spx_check_operand(s, "relu", "y", y, n, c, hw));
    return SPX_BACKEND(s, spx_relu_cpu, spx_relu_cuda)->forward(s, &a);
}

spx_status spx_relu_backward(spx_stream *s, int64_t n, int64_t c, int64_t hw, spx_operand y,
                             spx_operand dy, bool accumulate, spx_operand dx)
{
    spx_relu_args a = {
        .n = n, .c = c, .hw = hw, .x = y, .dy = dy, .out = dx, .accumulate = accumulate};
    SPX_RETURN_IF(spx_check_size("relu", n, c, hw));
    SPX_RETURN_IF(spx_check_operand(s, "relu", "y", y, n, c, hw));
    SPX_RETURN_IF(spx_check_operand(s, "relu", "dy", dy, n, c, hw));
    SPX_RETURN_IF(spx_check_operand(s, "relu", "dx", dx, n, c, hw));
    return SPX_BACKEND(s, spx_relu_cpu, spx_relu_cuda)->backward(s, &a);
}
