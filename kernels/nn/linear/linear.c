#include "kernels/nn/linear/linear.h"
#include "kernels/nn/linear/linear_private.h"
#include "kernels/nn/nn_check.h"

static spx_status check(int64_t n, int64_t f, int64_t o, const float *p0, const float *p1,
                        const float *p2)
{
    SPX_RETURN_IF(spx_check_size("linear", n, f, o));
    if (p0 == NULL || p1 == NULL || p2 == NULL) {
        return SPX_FAIL(SPX_EINVAL, "linear: a matrix is missing");
    }
    return SPX_OK;
}

spx_status spx_linear_forward(spx_stream *s, int64_t n, int64_t f, int64_t o, const float *x,
                              const float *w, const float *b, float *y)
{
    spx_linear_args a;
    SPX_RETURN_IF(check(n, f, o, x, w, y));
    a = (spx_linear_args){
        .n = (size_t)n, .f = (size_t)f, .o = (size_t)o, .x = x, .w = w, .b = b, .out = y};
    spx_pool_run(spx_stream_pool(s), a.n, SPX_PICK_VARIANT(spx_linear_kernels)->forward, &a);
    return SPX_OK;
}

spx_status spx_linear_backward_data(spx_stream *s, int64_t n, int64_t f, int64_t o, const float *dy,
                                    const float *w, bool accumulate, float *dx)
{
    spx_linear_args a;
    SPX_RETURN_IF(check(n, f, o, dy, w, dx));
    a = (spx_linear_args){.n = (size_t)n,
                          .f = (size_t)f,
                          .o = (size_t)o,
                          .dy = dy,
                          .w = w,
                          .accumulate = accumulate,
                          .out = dx};
    spx_pool_run(spx_stream_pool(s), a.n, SPX_PICK_VARIANT(spx_linear_kernels)->backward_data, &a);
    return SPX_OK;
}

spx_status spx_linear_backward_weights(spx_stream *s, int64_t n, int64_t f, int64_t o,
                                       const float *x, const float *dy, bool accumulate, float *dw,
                                       float *db)
{
    spx_linear_args a;
    SPX_RETURN_IF(check(n, f, o, x, dy, dw));
    a = (spx_linear_args){.n = (size_t)n,
                          .f = (size_t)f,
                          .o = (size_t)o,
                          .x = x,
                          .dy = dy,
                          .accumulate = accumulate,
                          .out = dw,
                          .db = db};
    spx_pool_run(spx_stream_pool(s), a.o, SPX_PICK_VARIANT(spx_linear_kernels)->backward_weights,
                 &a);
    return SPX_OK;
}
