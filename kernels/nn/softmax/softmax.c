#include "kernels/nn/softmax/softmax.h"
#include "kernels/device/backend.h"
#include "kernels/nn/nn_check.h"
#include "kernels/nn/softmax/softmax_private.h"

static spx_status forward_cpu(spx_stream *s, int64_t rows, int64_t cols, const float *x, float *y)
{
    (void)s; /* too small to share out */
    spx_softmax_forward_ref((size_t)rows, (size_t)cols, x, y);
    return SPX_OK;
}

static spx_status backward_cpu(spx_stream *s, int64_t rows, int64_t cols, const float *y,
                               const float *dy, bool accumulate, float *dx)
{
    (void)s;
    spx_softmax_backward_ref((size_t)rows, (size_t)cols, y, dy, accumulate, dx);
    return SPX_OK;
}

static const spx_softmax_backend spx_softmax_cpu = {forward_cpu, backward_cpu};

spx_status spx_softmax_forward(spx_stream *s, int64_t rows, int64_t cols, const float *x, float *y)
{
    SPX_RETURN_IF(spx_check_size("softmax", rows, cols, 1));
    if (x == NULL || y == NULL) {
        return SPX_FAIL(SPX_EINVAL, "softmax: a matrix is missing");
    }
    return SPX_BACKEND(s, spx_softmax_cpu, spx_softmax_cuda)->forward(s, rows, cols, x, y);
}

spx_status spx_softmax_backward(spx_stream *s, int64_t rows, int64_t cols, const float *y,
                                const float *dy, bool accumulate, float *dx)
{
    SPX_RETURN_IF(spx_check_size("softmax", rows, cols, 1));
    if (y == NULL || dy == NULL || dx == NULL) {
        return SPX_FAIL(SPX_EINVAL, "softmax backward: a matrix is missing");
    }
    return SPX_BACKEND(s, spx_softmax_cpu, spx_softmax_cuda)
        ->backward(s, rows, cols, y, dy, accumulate, dx);
}
