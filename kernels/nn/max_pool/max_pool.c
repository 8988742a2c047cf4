#include "kernels/nn/max_pool/max_pool.h"
#include "kernels/device/backend.h"
#include "kernels/nn/max_pool/max_pool_private.h"
#include "kernels/nn/nn_check.h"

#define MAX_SIZE 1024

/* Windows along an axis of `in` inputs. */
static int64_t outputs(const spx_max_pool_shape *d, int axis, int64_t in)
{
    const int64_t stride = d->stride[axis], pad = d->pad[axis];
    const int64_t room = in + 2 * pad - d->size[axis] + (d->ceil_mode ? stride - 1 : 0);
    const int64_t windows = room < 0 ? 0 : room / stride + 1;
    return d->ceil_mode && (windows - 1) * stride >= in + pad ? windows - 1 : windows;
}

static spx_status check_axis(const spx_max_pool_shape *d, int axis)
{
    const int64_t size = d->size[axis], stride = d->stride[axis], pad = d->pad[axis];
    if (size < 1 || size > MAX_SIZE) {
        return SPX_FAIL(SPX_EINVAL, "max pool: size %lld is not in 1..%d", (long long)size,
                        MAX_SIZE);
    }
    if (stride < 1 || stride > INT32_MAX || pad < 0 || pad > size / 2) {
        return SPX_FAIL(SPX_EINVAL, "max pool: stride %lld, pad %lld", (long long)stride,
                        (long long)pad);
    }
    return SPX_OK;
}

spx_status spx_max_pool_shape_init(spx_max_pool_shape *d)
{
    int64_t planes;
    if (d == NULL || !spx_mul_i64(d->n, d->c, &planes)) {
        return SPX_FAIL(SPX_EINVAL, "max pool: bad n or c");
    }
    SPX_RETURN_IF(spx_check_size("max pool", d->n, d->c, 1));
    SPX_RETURN_IF(spx_check_size("max pool", planes, d->h, d->w));
    SPX_RETURN_IF(check_axis(d, 0));
    SPX_RETURN_IF(check_axis(d, 1));
    d->p = outputs(d, 0, d->h);
    d->q = outputs(d, 1, d->w);
    if (d->p < 1 || d->q < 1) {
        return SPX_FAIL(SPX_EINVAL, "max pool: a window of %lld x %lld does not fit %lld x %lld",
                        (long long)d->size[0], (long long)d->size[1], (long long)d->h,
                        (long long)d->w);
    }
    return SPX_OK;
}

static spx_status forward_cpu(spx_stream *s, spx_max_pool_args *a)
{
    spx_pool_run(spx_stream_pool(s), (size_t)(a->d->n * a->d->c),
                 SPX_PICK_VARIANT(spx_max_pool_kernels)->forward, a);
    return SPX_OK;
}

static spx_status backward_cpu(spx_stream *s, spx_max_pool_args *a)
{
    spx_pool_run(spx_stream_pool(s), (size_t)(a->d->n * a->d->c),
                 SPX_PICK_VARIANT(spx_max_pool_kernels)->backward, a);
    return SPX_OK;
}

static const spx_max_pool_backend spx_max_pool_cpu = {forward_cpu, backward_cpu};

static spx_status check_shape(const spx_max_pool_shape *d)
{
    spx_max_pool_shape again;
    if (d == NULL) {
        return SPX_FAIL(SPX_EINVAL, "max pool: the shape is missing");
    }
    again = *d;
    SPX_RETURN_IF(spx_max_pool_shape_init(&again));
    if (again.p != d->p || again.q != d->q) {
        return SPX_FAIL(SPX_EINVAL, "max pool: the shape is not initialised");
    }
    return SPX_OK;
}

static spx_status check_input(const spx_stream *s, const spx_max_pool_shape *d, const char *what,
                              spx_operand x)
{
    return spx_check_operand(s, "max pool", what, x, d->n, d->c, d->h * d->w);
}

static spx_status check_output(const spx_stream *s, const spx_max_pool_shape *d, const char *what,
                               spx_operand y)
{
    return spx_check_operand(s, "max pool", what, y, d->n, d->c, d->p * d->q);
}

spx_status spx_max_pool_forward(spx_stream *s, const spx_max_pool_shape *d, spx_operand x,
                                spx_operand y)
{
    spx_max_pool_args a = {.d = d, .x = x, .out = y};
    SPX_RETURN_IF(check_shape(d));
    SPX_RETURN_IF(check_input(s, d, "x", x));
    SPX_RETURN_IF(check_output(s, d, "y", y));
    return SPX_BACKEND(s, spx_max_pool_cpu, spx_max_pool_cuda)->forward(s, &a);
}

spx_status spx_max_pool_backward(spx_stream *s, const spx_max_pool_shape *d, spx_operand x,
                                 spx_operand dy, bool accumulate, spx_operand dx)
{
    spx_max_pool_args a = {.d = d, .x = x, .dy = dy, .out = dx, .accumulate = accumulate};
    SPX_RETURN_IF(check_shape(d));
    SPX_RETURN_IF(check_input(s, d, "x", x));
    SPX_RETURN_IF(check_output(s, d, "dy", dy));
    SPX_RETURN_IF(check_input(s, d, "dx", dx));
    return SPX_BACKEND(s, spx_max_pool_cpu, spx_max_pool_cuda)->backward(s, &a);
}
