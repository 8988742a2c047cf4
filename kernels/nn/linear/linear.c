#include "kernels/nn/linear/linear.h"
#include "kernels/device/backend.h"
#include "kernels/nn/linear/linear_private.h"
#include "kernels/nn/nn_check.h"

#define KERNELS SPX_PICK_VARIANT(spx_linear_kernels)

/* ---- the CPU's backend ---- */

static spx_linear_args args_of(int64_t n, int64_t f, int64_t o)
{
    return (spx_linear_args){.n = (size_t)n, .f = (size_t)f, .o = (size_t)o};
}

static spx_status forward_cpu(spx_stream *s, int64_t n, int64_t f, int64_t o, spx_operand x,
                              const float *w, const float *b, float *y)
{
    spx_linear_args a = args_of(n, f, o);
    a.x = x.data;
    a.w = w;
    a.b = b;
    a.out = y;
    spx_pool_run(spx_stream_pool(s), a.n, KERNELS->forward, &a);
    return SPX_OK;
}

static spx_status backward_data_cpu(spx_stream *s, int64_t n, int64_t f, int64_t o, const float *dy,
                                    const float *w, bool accumulate, spx_operand dx)
{
    spx_linear_args a = args_of(n, f, o);
    a.dy = dy;
    a.w = w;
    a.accumulate = accumulate;
    a.out = dx.data;
    spx_pool_run(spx_stream_pool(s), a.n, KERNELS->backward_data, &a);
    return SPX_OK;
}

static spx_status backward_weights_cpu(spx_stream *s, int64_t n, int64_t f, int64_t o,
                                       spx_operand x, const float *dy, bool accumulate, float *dw,
                                       float *db)
{
    spx_linear_args a = args_of(n, f, o);
    a.x = x.data;
    a.dy = dy;
    a.accumulate = accumulate;
    a.out = dw;
    a.db = db;
    spx_pool_run(spx_stream_pool(s), a.o, KERNELS->backward_weights, &a);
    return SPX_OK;
}

static const spx_linear_backend spx_linear_cpu = {forward_cpu, backward_data_cpu,
                                                  backward_weights_cpu};

/* ---- validation ---- */

static spx_status check(const spx_stream *s, int64_t n, int64_t f, int64_t o, spx_operand x,
                        const float *p0, const float *p1)
{
    const bool bf16 = x.type == SPX_TYPE_BF16 && spx_stream_device(s) != SPX_DEVICE_CPU;
    SPX_RETURN_IF(spx_check_size("linear", n, f, o));
    if (x.data == NULL || p0 == NULL || p1 == NULL || (x.type != SPX_TYPE_F32 && !bf16)) {
        return SPX_FAIL(SPX_EINVAL, "linear: a matrix is missing, or of an unknown type");
    }
    if (x.stride != f) {
        return SPX_FAIL(SPX_EINVAL, "linear: rows of %lld elements lie %lld apart: copy them",
                        (long long)f, (long long)x.stride);
    }
    return SPX_OK;
}

spx_status spx_linear_forward(spx_stream *s, int64_t n, int64_t f, int64_t o, spx_operand x,
                              const float *w, const float *b, float *y)
{
    SPX_RETURN_IF(check(s, n, f, o, x, w, y));
    return SPX_BACKEND(s, spx_linear_cpu, spx_linear_cuda)->forward(s, n, f, o, x, w, b, y);
}

spx_status spx_linear_backward_data(spx_stream *s, int64_t n, int64_t f, int64_t o, const float *dy,
                                    const float *w, bool accumulate, spx_operand dx)
{
    SPX_RETURN_IF(check(s, n, f, o, dx, dy, w));
    return SPX_BACKEND(s, spx_linear_cpu, spx_linear_cuda)
        ->backward_data(s, n, f, o, dy, w, accumulate, dx);
}

spx_status spx_linear_backward_weights(spx_stream *s, int64_t n, int64_t f, int64_t o,
                                       spx_operand x, const float *dy, bool accumulate, float *dw,
                                       float *db)
{
    SPX_RETURN_IF(check(s, n, f, o, x, dy, dw));
    return SPX_BACKEND(s, spx_linear_cpu, spx_linear_cuda)
        ->backward_weights(s, n, f, o, x, dy, accumulate, dw, db);
}
