#include "kernels/nn/pool/pool2d.h"
#include "kernels/device/backend.h"
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

static spx_status check_shape(const spx_pool2d_shape *d)
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

static spx_status check(const spx_stream *s, const spx_pool2d_shape *d, const char *large,
                        spx_operand x, const char *small, spx_operand y)
{
    SPX_RETURN_IF(check_shape(d));
    SPX_RETURN_IF(spx_check_operand(s, "pool", large, x, d->n, d->c, d->h * d->w));
    return spx_check_operand(s, "pool", small, y, d->n, d->c, d->p * d->q);
}

static spx_status forward_cpu(spx_stream *s, spx_avg_pool_args *a)
{
    spx_pool_run(spx_stream_pool(s), (size_t)(a->d->n * a->d->c),
                 SPX_PICK_VARIANT(spx_avg_pool_kernels)->forward, a);
    return SPX_OK;
}

static spx_status backward_cpu(spx_stream *s, spx_avg_pool_args *a)
{
    spx_pool_run(spx_stream_pool(s), (size_t)(a->d->n * a->d->c),
                 SPX_PICK_VARIANT(spx_avg_pool_kernels)->backward, a);
    return SPX_OK;
}

static const spx_avg_pool_backend spx_avg_pool_cpu = {forward_cpu, backward_cpu};

spx_status spx_avg_pool_forward(spx_stream *s, const spx_pool2d_shape *d, spx_operand x,
                                spx_operand y)
{
    spx_avg_pool_args a = {.d = d, .in = x, .out = y};
    SPX_RETURN_IF(check(s, d, "x", x, "y", y));
    return SPX_BACKEND(s, spx_avg_pool_cpu, spx_avg_pool_cuda)->forward(s, &a);
}

spx_status spx_avg_pool_backward(spx_stream *s, const spx_pool2d_shape *d, spx_operand dy,
                                 bool accumulate, spx_operand dx)
{
    spx_avg_pool_args a = {.d = d, .in = dy, .out = dx, .accumulate = accumulate};
    SPX_RETURN_IF(check(s, d, "dx", dx, "dy", dy));
    return SPX_BACKEND(s, spx_avg_pool_cpu, spx_avg_pool_cuda)->backward(s, &a);
}
