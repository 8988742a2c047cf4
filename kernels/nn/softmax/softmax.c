#include "kernels/nn/softmax/softmax.h"
#include "kernels/nn/nn_check.h"
#include "kernels/nn/softmax/softmax_private.h"

spx_status spx_softmax_forward(spx_stream *s, int64_t rows, int64_t cols, const float *x, float *y)
{
    (void)s; /* too small to share out */
    SPX_RETURN_IF(spx_check_size("softmax", rows, cols, 1));
    if (x == NULL || y == NULL) {
        return SPX_FAIL(SPX_EINVAL, "softmax: a matrix is missing");
    }
    spx_softmax_forward_ref((size_t)rows, (size_t)cols, x, y);
    return SPX_OK;
}

spx_status spx_softmax_backward(spx_stream *s, int64_t rows, int64_t cols, const float *y,
                                const float *dy, bool accumulate, float *dx)
{
    (void)s;
    SPX_RETURN_IF(spx_check_size("softmax", rows, cols, 1));
    if (y == NULL || dy == NULL || dx == NULL) {
        return SPX_FAIL(SPX_EINVAL, "softmax backward: a matrix is missing");
    }
    spx_softmax_backward_ref((size_t)rows, (size_t)cols, y, dy, accumulate, dx);
    return SPX_OK;
}
