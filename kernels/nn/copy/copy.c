#include "kernels/nn/copy/copy.h"
#include "kernels/device/backend.h"
#include "kernels/nn/copy/copy_private.h"
#include "kernels/nn/nn_check.h"

#include <string.h>

static spx_status fill_cpu(spx_stream *s, int64_t n, int64_t c, int64_t hw, float value,
                           spx_operand y)
{
    (void)s; /* differentiation's zeros: rare and small */
    for (int64_t i = 0; i < n; i++) {
        float *image = spx_image(y, i);
        for (int64_t k = 0; k < c * hw; k++) {
            image[k] = value;
        }
    }
    return SPX_OK;
}

static spx_status from_nchw_cpu(spx_stream *s, int64_t n, int64_t c, int64_t hw, const float *x,
                                bool accumulate, spx_operand y)
{
    (void)s;
    for (int64_t i = 0; i < n; i++) {
        const float *from = x + i * c * hw;
        float *to = spx_image(y, i);
        for (int64_t k = 0; k < c * hw; k++) {
            to[k] = accumulate ? to[k] + from[k] : from[k];
        }
    }
    return SPX_OK;
}

static spx_status to_nchw_cpu(spx_stream *s, int64_t n, int64_t c, int64_t hw, spx_operand x,
                              float *y)
{
    (void)s;
    for (int64_t i = 0; i < n; i++) {
        memcpy(y + i * c * hw, spx_image(x, i), (size_t)(c * hw) * sizeof *y);
    }
    return SPX_OK;
}

static spx_status to_bf16_cpu(spx_stream *s, int64_t n, const float *x, void *y)
{
    (void)s;
    (void)n;
    (void)x;
    (void)y;
    return SPX_FAIL(SPX_EUNSUPPORTED, "bf16 on the CPU");
}

static const spx_copy_backend spx_copy_cpu = {fill_cpu, from_nchw_cpu, to_nchw_cpu, to_bf16_cpu};

spx_status spx_fill(spx_stream *s, int64_t n, int64_t c, int64_t hw, float value, spx_operand y)
{
    SPX_RETURN_IF(spx_check_size("fill", n, c, hw));
    SPX_RETURN_IF(spx_check_typed(s, "fill", "y", y, y.type, n, c, hw));
    return SPX_BACKEND(s, spx_copy_cpu, spx_copy_cuda)->fill(s, n, c, hw, value, y);
}

spx_status spx_from_nchw(spx_stream *s, int64_t n, int64_t c, int64_t hw, const float *x,
                         bool accumulate, spx_operand y)
{
    SPX_RETURN_IF(spx_check_size("from nchw", n, c, hw));
    if (x == NULL) {
        return SPX_FAIL(SPX_EINVAL, "from nchw: x is missing");
    }
    SPX_RETURN_IF(spx_check_typed(s, "from nchw", "y", y, y.type, n, c, hw));
    return SPX_BACKEND(s, spx_copy_cpu, spx_copy_cuda)->from_nchw(s, n, c, hw, x, accumulate, y);
}

spx_status spx_to_nchw(spx_stream *s, int64_t n, int64_t c, int64_t hw, spx_operand x, float *y)
{
    SPX_RETURN_IF(spx_check_size("to nchw", n, c, hw));
    SPX_RETURN_IF(spx_check_typed(s, "to nchw", "x", x, x.type, n, c, hw));
    if (y == NULL) {
        return SPX_FAIL(SPX_EINVAL, "to nchw: y is missing");
    }
    return SPX_BACKEND(s, spx_copy_cpu, spx_copy_cuda)->to_nchw(s, n, c, hw, x, y);
}

spx_status spx_to_bf16(spx_stream *s, int64_t n, const float *x, void *y)
{
    SPX_RETURN_IF(spx_check_size("to bf16", n, 1, 1));
    if (x == NULL || y == NULL) {
        return SPX_FAIL(SPX_EINVAL, "to bf16: an array is missing");
    }
    return SPX_BACKEND(s, spx_copy_cpu, spx_copy_cuda)->to_bf16(s, n, x, y);
}
