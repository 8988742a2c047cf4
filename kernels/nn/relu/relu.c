#include "kernels/nn/relu/relu.h"
#include "kernels/nn/nn_check.h"
#include "kernels/nn/relu/relu_private.h"

static size_t parts(const spx_relu_args *a)
{
    return a->n * ((a->chw + SPX_RELU_PART - 1) / SPX_RELU_PART);
}

spx_status spx_relu_forward(spx_stream *s, int64_t n, int64_t chw, const float *x,
                            int64_t x_stride_n, float *y, int64_t y_stride_n)
{
    spx_relu_args a;
    SPX_RETURN_IF(spx_check_size("relu", n, chw, 1));
    SPX_RETURN_IF(spx_check_images("relu", "x", x, n, chw, x_stride_n));
    SPX_RETURN_IF(spx_check_images("relu", "y", y, n, chw, y_stride_n));
    a = (spx_relu_args){.n = (size_t)n,
                        .chw = (size_t)chw,
                        .x = x,
                        .x_stride = (size_t)x_stride_n,
                        .out = y,
                        .out_stride = (size_t)y_stride_n};
    spx_pool_run(spx_stream_pool(s), parts(&a), SPX_PICK_VARIANT(spx_relu_kernels)->forward, &a);
    return SPX_OK;
}

spx_status spx_relu_backward(spx_stream *s, int64_t n, int64_t chw, const float *y,
                             int64_t y_stride_n, const float *dy, int64_t dy_stride_n,
                             bool accumulate, float *dx, int64_t dx_stride_n)
{
    spx_relu_args a;
    SPX_RETURN_IF(spx_check_size("relu", n, chw, 1));
    SPX_RETURN_IF(spx_check_images("relu", "y", y, n, chw, y_stride_n));
    SPX_RETURN_IF(spx_check_images("relu", "dy", dy, n, chw, dy_stride_n));
    SPX_RETURN_IF(spx_check_images("relu", "dx", dx, n, chw, dx_stride_n));
    a = (spx_relu_args){.n = (size_t)n,
                        .chw = (size_t)chw,
                        .x = y,
                        .x_stride = (size_t)y_stride_n,
                        .dy = dy,
                        .dy_stride = (size_t)dy_stride_n,
                        .accumulate = accumulate,
                        .out = dx,
                        .out_stride = (size_t)dx_stride_n};
    spx_pool_run(spx_stream_pool(s), parts(&a), SPX_PICK_VARIANT(spx_relu_kernels)->backward, &a);
    return SPX_OK;
}
