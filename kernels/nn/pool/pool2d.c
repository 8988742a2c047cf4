#include "kernels/nn/pool/pool2d.h"
#include "kernels/nn/nn_check.h"
#include "kernels/nn/pool/pool2d_private.h"

#define MAX_SIZE 1024

static int64_t outputs(const spx_pool2d_shape *d, int64_t in)
{
    const int64_t room = in + 2 * d->pad - d->size;
    return room < 0 ? 0 : room / d->stride + 1;
}

spx_status spx_pool2d_shape_init(spx_pool2d_shape *d)
{
    int64_t planes;
    if (d == NULL || !spx_mul_i64(d->n, d->c, &planes)) {
        return SPX_FAIL(SPX_EINVAL, "pool: bad n or c");
    }
    SPX_RETURN_IF(spx_check_size("pool", d->n, d->c, 1));
    SPX_RETURN_IF(spx_check_size("pool", planes, d->h, d->w));
    if (d->size < 1 || d->size > MAX_SIZE) {
        return SPX_FAIL(SPX_EINVAL, "pool: size %lld is not in 1..%d", (long long)d->size,
                        MAX_SIZE);
    }
    if (d->stride < 1 || d->pad < 0 || d->pad > d->size / 2) {
        return SPX_FAIL(SPX_EINVAL, "pool: stride %lld, pad %lld", (long long)d->stride,
                        (long long)d->pad);
    }
    d->p = outputs(d, d->h);
    d->q = outputs(d, d->w);
    if (d->p < 1 || d->q < 1) {
        return SPX_FAIL(SPX_EINVAL, "pool: a window of %lld does not fit %lld x %lld",
                        (long long)d->size, (long long)d->h, (long long)d->w);
    }
    return SPX_OK;
}

spx_status spx_pool2d_check(const spx_pool2d_shape *d)
{
    spx_pool2d_shape again;
    if (d == NULL) {
        return SPX_FAIL(SPX_EINVAL, "pool: the shape is missing");
    }
    again = *d;
    SPX_RETURN_IF(spx_pool2d_shape_init(&again));
    if (again.p != d->p || again.q != d->q) {
        return SPX_FAIL(SPX_EINVAL, "pool: the shape is not initialised");
    }
    return SPX_OK;
}

spx_status spx_avg_pool_forward(spx_stream *s, const spx_pool2d_shape *d, const float *x,
                                int64_t x_stride_n, float *y, int64_t y_stride_n)
{
    spx_avg_pool_args a;
    SPX_RETURN_IF(spx_pool2d_check(d));
    SPX_RETURN_IF(spx_check_images("pool", "x", x, d->n, d->c * d->h * d->w, x_stride_n));
    SPX_RETURN_IF(spx_check_images("pool", "y", y, d->n, d->c * d->p * d->q, y_stride_n));
    a = (spx_avg_pool_args){d, x, (size_t)x_stride_n, y, (size_t)y_stride_n, false};
    spx_pool_run(spx_stream_pool(s), (size_t)(d->n * d->c),
                 SPX_PICK_VARIANT(spx_avg_pool_kernels)->forward, &a);
    return SPX_OK;
}

spx_status spx_avg_pool_backward(spx_stream *s, const spx_pool2d_shape *d, const float *dy,
                                 int64_t dy_stride_n, bool accumulate, float *dx,
                                 int64_t dx_stride_n)
{
    spx_avg_pool_args a;
    SPX_RETURN_IF(spx_pool2d_check(d));
    SPX_RETURN_IF(spx_check_images("pool", "dy", dy, d->n, d->c * d->p * d->q, dy_stride_n));
    SPX_RETURN_IF(spx_check_images("pool", "dx", dx, d->n, d->c * d->h * d->w, dx_stride_n));
    a = (spx_avg_pool_args){d, dy, (size_t)dy_stride_n, dx, (size_t)dx_stride_n, accumulate};
    spx_pool_run(spx_stream_pool(s), (size_t)(d->n * d->c),
                 SPX_PICK_VARIANT(spx_avg_pool_kernels)->backward, &a);
    return SPX_OK;
}
